"""``sepray report``: which stores it reads, and what it says of MLflow; what is in a report is in ``tests/report``."""

import shutil

from sepray.spec.folder import lock, study_folder


def test_stores_are_those_that_were_given(tmp_path, run, study, monkeypatch):
    from sepray.report.study_results import StudyResults

    specs, read = [], StudyResults.read
    monkeypatch.setattr(StudyResults, "read", lambda spec, *given: specs.append(spec) or read(spec, *given))
    study("sqlite:///there.db")
    stores = ["--storage", "sqlite:///there.db", "--storage-path", tmp_path / "results", "--cache", tmp_path / "cache"]
    printed = run("report", "small", *stores, "--tracking-uri", "http://127.0.0.1:9")
    page = tmp_path / "results" / "small" / "12ab" / "report.html"
    assert page.is_file()
    assert printed.splitlines() == [
        str(page),
        "the report is not added to MLflow: the tracking server http://127.0.0.1:9 does not answer: Connection refused",
    ]
    [spec] = specs
    assert (spec.stores.storage, spec.stores.storage_path, spec.stores.cache) == (
        "sqlite:///there.db",
        str(tmp_path / "results"),
        tmp_path / "cache",
    )
    assert list((tmp_path / "cache").rglob("*.*"))  # the task's data, of which it shows items


def test_mlflow_without_the_study_is_said(tmp_path, run, study, empty_database):
    study()
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    printed = run("report", "small", "--cache", tmp_path / "cache")
    assert printed.endswith(
        "the report is not added to MLflow, which does not have the study's run; first run: sepray reconcile small "
        f"--cache {tmp_path}/cache\n"
    )


def test_running_study_gets_the_report_through_its_own_outbox(tmp_path, run, study, empty_database):
    from sepray.tracking.outbox import Outbox

    study()
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    folder = study_folder("sepray-results", "small", "12ab")
    with lock(folder, "small"):
        run("report", "small", "--cache", tmp_path / "cache")
    outbox = Outbox(folder / "outbox.db")
    assert outbox.pending() > 0
    outbox.close()


def test_task_whose_data_cannot_be_loaded_leaves_the_items_out(tmp_path, run, study, monkeypatch):
    from sepray.errors import UsageError
    from sepray.tasks import ecg

    def refuse(self, cache):
        raise UsageError("no records in http://user:secret@host/x")

    monkeypatch.setattr(ecg.Config, "load", refuse)
    study()
    printed = run("report", "small", "--tracking-uri", "http://127.0.0.1:9")
    line = "the report shows no items: the task's data cannot be loaded (no records in http://user:***@host/x)"
    assert printed.splitlines()[0] == line
    assert (tmp_path / "sepray-results" / "small" / "12ab" / "report.html").is_file()


def test_study_of_another_program_is_refused(run, study):
    import optuna

    optuna.create_study(storage="sqlite:///optuna.db", study_name="foreign")
    assert run("report", "foreign", status=2) == "sepray: foreign in sqlite:///optuna.db is not a study of sepray\n"


def test_bug_in_the_users_task_costs_the_report_only_its_items(tmp_path, run, study, monkeypatch):
    from sepray.tasks import ecg

    def broken(self, cache):
        return [][1]

    monkeypatch.setattr(ecg.Config, "load", broken)
    study()
    shown = run("report", "small", "--cache", tmp_path / "cache", status=3)
    assert f'File "{__file__}", line ' in shown
    assert "return [][1]" in shown
    assert "\nIndexError: list index out of range\nsepray: this is a bug in the code shown above" in shown
    assert (study_folder("sepray-results", "small", "12ab") / "report.html").is_file()
