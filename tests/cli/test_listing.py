"""``sepray list``: registered models, stored studies, available tasks and separators."""

import json

import optuna

from sepray.tracking import models as registry
from sepray.tracking.connection import connect


def test_models(models, run, tmp_path):
    there = f"sqlite:///{tmp_path}/there.db"
    client = connect(there)
    uri = f"file://{models.half}"
    client.create_registered_model("shares")
    client.create_model_version("shares", uri)
    client.create_model_version("shares", uri)
    registry.set_champion("shares", "1", there)
    newest, oldest = json.loads(run("list", "models", "--json", "--tracking-uri", there))
    assert (newest["model"], newest["alias"]) == ("models:/shares/2", [])
    assert (oldest["model"], oldest["alias"]) == ("models:/shares/1", ["champion"])
    assert (oldest["sources"], oldest["rate_hz"], oldest["metric"]) == (["maternal", "fetal"], 128.0, "relative_l2")


def sweep(storage):
    study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize")
    study.set_user_attr("fingerprint", {"objectives": {"validation/si_sdr": "maximize"}, "task": {"name": "ecg"}})
    for value in (1.5, 2.5):
        study.add_trial(optuna.trial.create_trial(value=value))
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED))
    study.ask()


def test_studies(run):
    sweep("sqlite:///there.db")
    [row] = json.loads(run("list", "studies", "--json", "--storage", "sqlite:///there.db"))
    assert (row["study"], row["trials"], row["complete"], row["pruned"], row["running"]) == ("sweep", 4, 2, 1, 1)
    assert (row["objective"], row["best"]) == (["si_sdr"], 2.5)


def test_table_has_a_row_a_study_and_says_where_there_is_none(run):
    optuna.create_study(storage="sqlite:///optuna.db", study_name="of another program")
    assert run("list", "studies") == "there are no studies yet\n"
    sweep("sqlite:///optuna.db")
    printed = run("list", "studies")
    assert [line.split() for line in printed.splitlines() if "sweep" in line] == [
        ["sweep", "-", "ecg", "4", "2", "1", "0", "1", "si_sdr", "2.5"]
    ]


def test_tasks_and_separators(run):
    tasks = json.loads(run("list", "tasks", "--json"))
    assert next(t["needs"] for t in tasks if t["task"] == "ecg").startswith("The ECG task;")
    separators = json.loads(run("list", "separators", "--json"))
    assert [s["needs"] for s in separators if s["separator"] == "cass"] == ["paired"]
