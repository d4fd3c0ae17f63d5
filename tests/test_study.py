"""The front door of studies: what a command does with one, and that errors leave as they should."""

import json
import os
from types import SimpleNamespace

import pytest

from sepray import study
from sepray.console.terminal import console
from sepray.dry_run import estimator
from sepray.errors import UsageError
from sepray.results import document, study_result
from sepray.spec.permissions import Permissions
from sepray.study import StudySpec

TELL = 'echo "$SEPRAY_STATUS|$SEPRAY_FOLDER|$SEPRAY_REPORT|$SEPRAY_MODEL|$SEPRAY_CONCLUSION" > told'
SPEC = StudySpec(name="small", separator="cass", task="ecg", trials=3)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "refuse_bad_input", lambda spec: None)


def command(monkeypatch, *flags: str) -> int:
    """Exit status of the study with these flags."""
    monkeypatch.setattr("sys.argv", ["study.py", *flags])
    with pytest.raises(SystemExit) as ended:
        study.main(SPEC)
    return ended.value.code


def ends(monkeypatch, with_: int | BaseException) -> list[StudySpec]:
    """Let the study end with a status or an error; the list fills with the specs that were run."""
    ran: list[StudySpec] = []

    def execute(spec, permitted):
        ran.append(spec)
        if isinstance(with_, BaseException):
            raise with_
        return with_

    monkeypatch.setattr(study, "execute", execute)
    return ran


@pytest.mark.parametrize("status", [0, 1, 3, 130])
def test_command_ends_with_the_status_of_the_study(monkeypatch, status):
    ran = ends(monkeypatch, status)
    assert command(monkeypatch, "--trials", "5") == status
    assert ran == [SPEC.changed(trials=5)]


@pytest.mark.parametrize("flag", ["--take-over", "--move-here", "--allow-changed-code", "--trust-model-code"])
@pytest.mark.parametrize("after", [(), ("--on-finish", "true")])
def test_flags_that_permit_something_reach_the_driver(monkeypatch, tmp_path, flag, after):
    given = []
    monkeypatch.setattr(study, "execute", lambda spec, permitted: given.append(permitted) or 1)
    found = SimpleNamespace(folder=tmp_path, report=None, model_uri=None, conclusion="")
    monkeypatch.setattr(study, "_result", lambda spec, status: found)
    for flags in ((), (flag,)):
        assert command(monkeypatch, *flags, *after) == 1
    name = flag.removeprefix("--").replace("-", "_")
    assert given == [Permissions(), Permissions(**{name: True})]


@pytest.mark.parametrize("status", [0, 1, 130])
def test_command_of_the_user_is_told_the_result(monkeypatch, tmp_path, status):
    ends(monkeypatch, status)
    found = SimpleNamespace(folder=tmp_path, report=None, model_uri="models:/a/1", conclusion="It is better.")
    asked = []
    monkeypatch.setattr(study_result, "load_study", lambda *given: asked.append(given) or found)
    assert command(monkeypatch, "--on-finish", TELL) == status
    assert (tmp_path / "told").read_text() == f"{status}|{tmp_path}||models:/a/1|It is better.\n"
    stores = SPEC.stores
    assert asked == [("small", stores.storage, stores.storage_path, stores.tracking_uri, stores.cache, status)]


def test_command_of_the_user_is_told_of_an_error_too(monkeypatch, tmp_path, capsys):
    ends(monkeypatch, UsageError("no such file"))
    assert command(monkeypatch, "--on-finish", TELL) == 2
    assert (tmp_path / "told").read_text() == "2||||no such file\n"
    assert capsys.readouterr().err == "small: no such file\n"


@pytest.mark.parametrize("status", [0, 3])
def test_dry_run_shows_what_would_run_and_runs_nothing(monkeypatch, status):
    ran = ends(monkeypatch, 0)
    shown = []

    def estimate(spec, permitted):
        return SimpleNamespace(spec=spec, status=status, trusts=permitted.trust_model_code)

    monkeypatch.setattr(estimator, "estimate", estimate)
    monkeypatch.setattr(estimator, "show", lambda found: shown.append((found.spec, found.trusts)))
    given = ["--dry-run", "--trials", "7", "--trust-model-code", "--on-finish", "touch told"]
    assert command(monkeypatch, *given) == status
    assert shown == [(SPEC.changed(trials=7), True)]
    assert ran == []


@pytest.mark.parametrize("status", [0, 1, 130])
def test_json_is_alone_on_standard_output(monkeypatch, capsys, status):
    def execute(spec, permitted):
        console.print("a message")
        return status

    monkeypatch.setattr(study, "execute", execute)
    monkeypatch.setattr(study_result, "load_study", lambda name, *more: (name, more[-1]))
    monkeypatch.setattr(document, "study", lambda result: {"study": result[0], "status": result[1]})
    assert command(monkeypatch, "--json") == status
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"study": "small", "status": status}
    assert "a message" in printed.err
    assert command(monkeypatch) == status
    assert capsys.readouterr().out == "a message\n"


def test_json_of_a_study_that_fails_is_empty(monkeypatch, capsys):
    ends(monkeypatch, UsageError("wrong"))
    assert command(monkeypatch, "--json") == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "small: wrong\n")


def test_dry_run_has_no_json(monkeypatch, capsys):
    assert command(monkeypatch, "--json", "--dry-run") == 2
    assert "--json prints the result of a study, which --dry-run does not run" in capsys.readouterr().err


@pytest.mark.parametrize(("shared", "file", "folder"), [(False, 0o600, 0o700), (True, 0o660, 0o770)])
def test_files_of_a_study_are_its_users_or_its_groups(monkeypatch, tmp_path, shared, file, folder):
    def write(spec, permitted):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        return 0

    monkeypatch.setattr(study, "_execute", write)
    before = os.umask(0o022)
    try:
        study.execute(SPEC.changed(shared=shared))
        (tmp_path / "afterwards").touch()
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"file": file, "folder": folder, "afterwards": 0o644}
