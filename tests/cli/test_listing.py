"""``sepray list``: registered models, stored studies, available tasks and separators."""

import datetime
import json

import optuna

from sepray.tracking import catalogue
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


def test_models_have_their_score_and_time_of_registration(run, monkeypatch, tmp_path):
    described = {"sources": ["fetal"], "sample_rate": 128.0, "metric": "si_sdr", "study": "sweep"}
    registered = datetime.datetime(2026, 3, 4, 5, 6, 59)
    model = catalogue.RegisteredModel("shares", "7", ("champion",), registered, described, 12.25)
    asked = []
    monkeypatch.setattr(catalogue, "registered", lambda uri: asked.append(uri) or [model])
    (tmp_path / "mlflow.db").touch()
    [row] = json.loads(run("list", "models", "--json"))
    assert row == {
        "model": "models:/shares/7",
        "alias": ["champion"],
        "sources": ["fetal"],
        "rate_hz": 128.0,
        "metric": "si_sdr",
        "on_test": 12.25,
        "study": "sweep",
        "registered": "2026-03-04 05:06",
    }
    assert asked == [f"sqlite:///{tmp_path.resolve()}/mlflow.db"]


def sweep(storage, name="sweep", direction="maximize", metrics=("si_sdr",)):
    study = optuna.create_study(storage=storage, study_name=name, directions=[direction] * len(metrics))
    objectives = {f"validation/{metric}": direction for metric in metrics}
    parts = {"task": {"name": "ecg"}, "separator": {"name": "cass"}}
    study.set_user_attr("fingerprint", {"objectives": objectives} | parts)
    for value in (1.5, 2.5):
        study.add_trial(optuna.trial.create_trial(values=[value] * len(metrics)))
    study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.PRUNED))
    study.ask()
    return study


def test_studies(run):
    study = sweep("sqlite:///there.db")
    for collapsed in (9.5, -9.5):  # the best in both directions, but not to be trusted
        trial = optuna.trial.create_trial(value=collapsed, system_attrs={"constraints:collapsed": 1.0})
        study.add_trial(trial)
    sweep("sqlite:///there.db", "sweep/finals")  # a stage of the study above
    sweep("sqlite:///there.db", "smaller", "minimize")
    sweep("sqlite:///there.db", "front", metrics=("si_sdr", "psnr"))
    optuna.create_study(storage="sqlite:///there.db", study_name="of another program")
    rows = json.loads(run("list", "studies", "--json", "--storage", "sqlite:///there.db"))
    assert [(row["study"], row["objective"], row["best"]) for row in rows] == [
        ("front", ["si_sdr", "psnr"], "1 on the Pareto front"),
        ("smaller", ["si_sdr"], 1.5),
        ("sweep", ["si_sdr"], 2.5),
    ]
    row = rows[-1]
    assert (row["separator"], row["task"]) == ("cass", "ecg")
    assert (row["trials"], row["complete"], row["pruned"], row["fail"], row["running"]) == (6, 4, 1, 0, 1)


def test_table_has_a_row_a_study_and_says_where_there_is_none(run):
    optuna.create_study(storage="sqlite:///optuna.db", study_name="of another program")
    assert run("list", "studies") == "there are no studies yet\n"
    sweep("sqlite:///optuna.db")
    printed = run("list", "studies")
    assert [line.split() for line in printed.splitlines() if "sweep" in line] == [
        ["sweep", "cass", "ecg", "4", "2", "1", "0", "1", "si_sdr", "2.5"]
    ]


def test_tasks_and_separators(run):
    tasks = json.loads(run("list", "tasks", "--json"))
    assert next(t["needs"] for t in tasks if t["task"] == "ecg").startswith("Maternal and fetal ECG: synthetic")
    separators = json.loads(run("list", "separators", "--json"))
    assert [s["needs"] for s in separators if s["separator"] == "cass"] == ["paired"]
