"""The front door of studies: what a command does with one, and that errors leave as they should."""

from types import SimpleNamespace

import pytest

from sepray import study
from sepray.dry_run import estimator
from sepray.errors import UsageError
from sepray.results import study_result
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

    def execute(spec):
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
    monkeypatch.setattr(estimator, "estimate", lambda spec: SimpleNamespace(spec=spec, status=status))
    monkeypatch.setattr(estimator, "show", lambda found: shown.append(found.spec))
    assert command(monkeypatch, "--dry-run", "--trials", "7", "--on-finish", "touch told") == status
    assert shown == [SPEC.changed(trials=7)]
    assert ran == []
