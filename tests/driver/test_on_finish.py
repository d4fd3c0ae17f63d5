"""The user's command at the end of a study: what it is told, and what its own end costs the study."""

import io
import os
import signal
import sys
import threading

import pytest
from rich.console import Console

from sepray.driver import on_finish
from sepray.driver.on_finish import run_on_error, run_on_finish
from sepray.errors import StorageError, UsageError

VARIABLES = ("STUDY", "STATUS", "OUTCOME", "FOLDER", "REPORT", "MODEL", "CONCLUSION")


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    console = Console(file=io.StringIO(), width=140, highlight=False, markup=False)
    monkeypatch.setattr(on_finish, "console", console)
    return console.file


def told(tmp_path, **result) -> list[str]:
    """Return the variables that a command finds in its environment, one a line."""
    shown = "; ".join(f'echo "[$SEPRAY_{name}]"' for name in VARIABLES)
    run_on_finish(f"({shown}) > '{tmp_path}/told'", **result)
    return (tmp_path / "told").read_text().splitlines()


def test_command_is_told_the_result(tmp_path, screen):
    result = {"folder": tmp_path / "x", "report": tmp_path / "x" / "report.html", "model": "models:/cass-ecg/3"}
    assert told(tmp_path, study="sweep", status=0, **result, conclusion="It is $(better) \"by\" 1 dB.") == [
        "[sweep]", "[0]", "[done]", f"[{tmp_path}/x]", f"[{tmp_path}/x/report.html]", "[models:/cass-ecg/3]",
        '[It is $(better) "by" 1 dB.]',
    ]  # fmt: skip
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(1, "nothing to register"), (2, "bad input"), (3, "a bug"), (130, "interrupted"), (9, "status 9")],
)
def test_study_without_a_result_is_told_how_it_ended(tmp_path, status, outcome):
    assert told(tmp_path, study="sweep", status=status)[1:] == [f"[{status}]", f"[{outcome}]", "[]", "[]", "[]", "[]"]


def test_variables_of_an_outer_study_are_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPRAY_MODEL", "models:/other/1")
    monkeypatch.setenv("OTHER", "kept")
    run_on_finish(f"echo \"[$SEPRAY_MODEL] $OTHER\" > '{tmp_path}/told'", "sweep", 1)
    assert (tmp_path / "told").read_text() == "[] kept\n"


def test_passwords_are_masked(tmp_path, screen):
    assert told(tmp_path, study="s", status=2, conclusion="postgresql://me:secret@host does not answer")[-1] == (
        "[postgresql://me:***@host does not answer]"
    )
    run_on_finish("curl --fail token=abc123; exit 4", "s", 0)
    assert "abc123" not in screen.getvalue()


def test_output_is_passed_on(capfd):
    run_on_finish("echo to the reader; echo to the log >&2", "sweep", 0)
    assert tuple(capfd.readouterr()) == ("to the reader\n", "to the log\n")


def test_command_that_reads_does_not_wait_for_the_terminal(capfd):
    run_on_finish("cat; echo ended", "sweep", 0)
    assert capfd.readouterr().out == "ended\n"


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("exit 3", "note: --on-finish 'exit 3' ended with status 3\n"),
        ('test "$SEPRAY_STATUS" = 7', "note: --on-finish 'test \"$SEPRAY_STATUS\" = 7' ended with status 1\n"),
        ("echo \\\\d >/dev/null; false", "note: --on-finish 'echo \\\\d >/dev/null; false' ended with status 1\n"),
        ("kill -9 $$", "note: --on-finish 'kill -9 $$' was killed by signal 9\n"),
        ("true", ""),
        ("", ""),
        ("  ", ""),
    ],
)
def test_failure_is_a_note(command, note, screen):
    assert run_on_finish(command, "sweep", 0) is None
    assert screen.getvalue() == note


def test_conclusion_is_text_that_a_terminal_does_not_obey(tmp_path, screen):
    command = f"printf %s \"$SEPRAY_CONCLUSION\" > '{tmp_path}/told'"
    run_on_finish(command, "sweep", 0, conclusion="a\0b\x1b[2J\nc\ud800")
    assert (tmp_path / "told").read_text() == "a\\x00b\\x1b[2J\nc\\ud800"
    assert screen.getvalue() == ""


def test_conclusion_that_is_too_long_is_a_note(screen):
    run_on_finish("true", "sweep", 0, conclusion="x" * 3_000_000)
    assert "note: --on-finish true could not be run: [Errno 7]" in screen.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_the_command_and_not_the_study(screen):
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        run_on_finish("exec sleep 1000", "sweep", 0)  # longer than a test may take
    finally:
        timer.join()
        signal.signal(signal.SIGINT, previous)
    assert screen.getvalue() == "note: --on-finish 'exec sleep 1000' was interrupted\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), 130), (UsageError("x"), 2), (StorageError("x"), 2), (ValueError("x"), 3)],
)
def test_study_that_raises_is_told_and_its_error_goes_on(tmp_path, error, status):
    command = f"""echo "$SEPRAY_STUDY $SEPRAY_STATUS $SEPRAY_CONCLUSION" > '{tmp_path}/told'"""
    with pytest.raises(type(error)), run_on_error(command, "small"):
        raise error
    assert (tmp_path / "told").read_text().split() == ["small", str(status), str(error) or "KeyboardInterrupt"]


def test_study_that_does_not_raise_is_not_told_yet(tmp_path):
    with run_on_error(f"touch '{tmp_path}/told'", "small"):
        pass
    assert not (tmp_path / "told").exists()
