"""A journal file is cut off after its last line break before something is appended; a signal cuts no write off."""

import os
import signal
import time

import optuna
import pytest
from optuna.storages.journal import _file

from sepray.search import journal
from sepray.search.journal import RepairingBackend, drop_torn_line
from sepray.search.storage import connect


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"one\n", b"one\n"),
        (b"one\ntwo\n", b"one\ntwo\n"),
        (b"one\nto", b"one\n"),
        (b"on", b""),
        (b"\n", b"\n"),
        (b"\nx", b"\n"),
        (b"one\n" + b"x" * 9, b"one\n"),  # the line break is in an earlier chunk, of 4 bytes
        (b"one\n" + b"x" * 8, b"one\n"),
        (b"12345\n" + b"x" * 10, b"12345\n"),
        (b"x" * 13, b""),
    ],
)
def test_torn_line_is_dropped(content, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_CHUNK", 4)
    path = tmp_path / "journal.log"
    path.write_bytes(content)
    assert drop_torn_line(str(path)) == len(content) - len(kept)
    assert path.read_bytes() == kept


def test_whole_file_is_not_written_to(tmp_path, monkeypatch):
    """Others may append to it at the same time on a file system whose locks do not hold."""
    path = tmp_path / "journal.log"
    path.write_bytes(b"one\n")
    monkeypatch.setattr(journal.os, "truncate", lambda *given: pytest.fail("it was cut off"))
    assert drop_torn_line(str(path)) == 0


def test_records_follow_the_last_whole_line(tmp_path):
    path = tmp_path / "journal.log"
    backend = RepairingBackend(str(path))
    backend.append_logs([{"op_code": 1}])
    with path.open("ab") as file:
        file.write(b'{"op_code": 2')
    backend.append_logs([{"op_code": 3}, {"op_code": 4}])
    assert list(backend.read_logs(0)) == [{"op_code": 1}, {"op_code": 3}, {"op_code": 4}]


@pytest.mark.parametrize("moment", ["rename", "symlink"])
def test_signal_during_a_write_is_raised_after_it(tmp_path, monkeypatch, request, moment):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run with Ctrl-C ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = connect(f"journal://{tmp_path}/journal.log")
    study = optuna.create_study(storage=storage, study_name="s")
    done = getattr(os, moment)

    def interrupted(*arguments):
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done(*arguments)

    monkeypatch.setattr(_file.os, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.set_user_attr("a", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.log"]
    study.set_user_attr("b", 2)
    assert optuna.load_study(storage=connect(f"journal://{tmp_path}/journal.log"), study_name="s").user_attrs == {
        "a": 1,
        "b": 2,
    }
