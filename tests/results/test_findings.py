"""Findings in a study's stores, from records and results of the test's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from optuna.trial import TrialState, create_trial

from sepray.disk import private_list
from sepray.errors import UsageError
from sepray.results import findings, progress
from sepray.results.findings import Findings
from sepray.search import outcomes

ROW = {"values": {"mean": [0.25, 0.2, 0.3125], "low": [0.5, 0.25, 0.75]}}
RESULT = {
    "metric": "relative_l2",
    "role": "trial 3",
    "hyperparameters": {"beta": 0.5},
    "rows": [ROW],
    "scores": {"relative_l2": [[0.1]] * 12},
    "columns": ["low", "high", "mean"],
    "units": {"names": ["tracks"], "of_items": [[str(k // 2)] for k in range(12)], "told": True},
}
REGISTERED = {"name": "cass-mine", "version": "4", "sentence": "Registered as cass-mine version 4."}


class Record:
    """A study as its stores hold it."""

    name, separator, task = "mine", "sepray.separators.cass", "sepray.tasks.ecg"

    def __init__(self, folder, objectives, attributes, best=()):
        self.folder, self.objectives, self.is_running = folder, objectives, False
        self.studies = {"search": SimpleNamespace(user_attrs=attributes, best_trials=list(best))}

    def spec(self, cache, uri):
        return cache, uri


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return what is found of a study that has the values given."""
    monkeypatch.setattr(progress, "in_words", lambda state, saved, stages: f"{saved.name} is {state}")

    def made(state=progress.FINISHED, objectives=None, attributes=None, best=(), trials=(), **given):
        monkeypatch.setattr(progress, "state", lambda *seen: asked.append(seen) or state)
        saved = Record(tmp_path, objectives or {"validation/relative_l2": "minimize"}, attributes or {}, best)
        values = {"result": RESULT, "registration": REGISTERED, "is_running": False, **given}
        return Findings(saved=saved, trials_of={"search": list(trials)}, **values)

    asked = made.asked = []
    return made


def trial(number, value, state=TrialState.COMPLETE, **attributes):
    ended = create_trial(value=value, state=state, user_attrs=attributes)
    ended.number = number
    return ended


def test_caption_has_the_champions_score_with_its_interval_and_what_it_is_over(found):
    assert found().caption == (
        "The champion, trial 3, on the test split: relative L2 error 0.25 [0.2, 0.3125], mean over 12 test items of 6 "
        "tracks with its 95% interval over tracks; less is better."
    )
    assert found(result=None).caption == ""


def test_caption_has_the_unit_of_the_measure_and_whole_tracks_where_these_are_scored(found):
    scores = {"si_sdr": [[1.0]] * 3}
    units = {"names": ["tracks"], "of_items": [["a"], ["b"], ["c"]], "told": True}
    row = {"values": {"mean": [5.0, 4.5, 5.5]}}
    changed = {"metric": "si_sdr", "scores": scores, "units": units, "rows": [row], "scored": "whole tracks"}
    assert found(result={**RESULT, **changed}).caption == (
        "The champion, trial 3, on the test split: SI-SDR 5 dB [4.5, 5.5], mean over 3 whole tracks with its 95% "
        "interval over tracks; more is better."
    )


def test_caption_of_several_measures_has_each_column_that_has_values(found):
    columns = ["low relative L2 error", "SI-SDR", "missing"]
    row = {"values": {"low relative L2 error": [0.5, 0.25, 0.75], "SI-SDR": [3.0, 2.0, 4.0]}}
    both = {"validation/low/relative_l2": "minimize", "validation/si_sdr": "maximize"}
    caption = found(result={**RESULT, "columns": columns, "rows": [row]}, objectives=both).caption
    assert caption.startswith(
        "The champion, trial 3, on the test split: low relative L2 error 0.5 [0.25, 0.75], SI-SDR 3 [2, 4], mean over "
    )
    assert "relative L2 error" in caption.rpartition("; ")[2]
    assert "SI-SDR" in caption.rpartition("; ")[2]


def test_settings_are_the_champions_and_say_where_they_are_from(found):
    settings = found().settings()
    assert (settings.separator, settings.task, settings.study) == (Record.separator, Record.task, "mine")
    assert (settings.trial, settings.hyperparameters) == ("trial 3", {"beta": 0.5})
    with pytest.raises(UsageError, match=r"^mine has no champion, so no settings: mine is running$"):
        found(progress.RUNNING, result=None).settings()


def test_facts_of_a_finished_and_of_an_unfinished_study(found):
    caption = found().caption
    assert found().facts == [caption, "Registered as cass-mine version 4."]
    assert found(registration={}).facts == [caption]
    assert found(progress.RUNNING).facts[0] == "mine is running. This is the result so far."
    assert found(progress.RUNNING, result=None).facts == ["mine is running."]


@pytest.mark.parametrize(("state", "place"), [(progress.FINISHED, 0), (progress.RUNNING, 1)])
def test_answer_comes_first_where_the_study_is_finished(found, monkeypatch, state, place):
    monkeypatch.setattr(findings.Answer, "restored", classmethod(lambda cls, kept: f"answer {kept}"))
    study = found(state, result={**RESULT, "answer": {"a": 1}})
    lines = study.conclusion.splitlines()
    assert lines.pop(place) == "answer {'a': 1}"
    assert lines == study.facts
    assert found(state).answer is None
    assert found(state).conclusion == "\n".join(found(state).facts)


def test_a_study_is_registered_where_both_files_say_so(found):
    for given, registered in (({}, True), ({"registration": {}}, False), ({"result": None}, False)):
        study = found(is_running=True, **given)
        assert study.state == progress.FINISHED
        assert found.asked[-1][1:] == (study.trials_of, registered, True)


def test_best_trial_is_the_least_of_the_sound_ones_the_first_of_equals(found):
    pruned = trial(0, 0.1, TrialState.PRUNED)
    trials = [pruned, trial(5, 0.5), trial(2, 0.25), trial(1, 0.25), trial(3, 0.75)]
    assert [t.number for t in found(trials=trials).best] == [1]
    more = {"validation/si_sdr": "maximize"}
    assert [t.number for t in found(trials=trials, objectives=more).best] == [3]
    assert found(trials=[pruned]).best == []
    front = {"a": "minimize", "b": "minimize"}
    assert [t.number for t in found(objectives=front, best=[trials[1], trials[2]]).best] == [2, 5]


def test_trials_are_counted_by_how_they_ended(found):
    trials = [trial(0, 0.5), trial(1, 0.25), trial(2, None, TrialState.RUNNING)]
    assert found(trials=trials).counts == {outcomes.outcome(trials[0]): 2, outcomes.outcome(trials[2]): 1}


def test_model_is_the_registered_version_or_else_the_packaged_folder(found, tmp_path):
    assert found().model_uri == "models:/cass-mine/4"
    assert found(registration={}).model_uri is None
    (tmp_path / "model").mkdir()
    assert found(registration={}).model_uri is None
    (tmp_path / "model" / "MLmodel").touch()
    assert found(registration={}).model_uri == str(tmp_path / "model")
    assert found(result=None).model_uri is None


def test_report_and_mlflow_are_there_once_they_were_made(found, tmp_path):
    study = found(tracking_uri="http://mlflow:5000")
    assert (study.report, study.run_id, study.runs_page) == (None, None, None)
    (tmp_path / "report.html").touch()
    told = {"mlflow_run_id": "r1", "mlflow_experiment_id": "7"}
    study = found(attributes=told, tracking_uri="http://mlflow:5000")
    assert (study.report, study.run_id) == (tmp_path / "report.html", "r1")
    assert study.runs_page.startswith("http://mlflow:5000/#/experiments/7")


def test_mlflow_is_the_studys_own_where_this_user_knows_it(found, monkeypatch):
    told = {"tracking_uri": "http://findings:5000", "mlflow_experiment_id": "7"}
    assert found(attributes=told).mlflow.startswith("sqlite:///")  # perhaps a stranger has written it there
    private_list.remember_named("tracking", "http://findings:5000")
    assert found(attributes=told).mlflow == "http://findings:5000"
    assert found(attributes=told).runs_page.startswith("http://findings:5000/#/experiments/7")
    assert found(attributes=told, tracking_uri="http://me:pass-word1@own:1").mlflow == "http://me:***@own:1"
    masked = {"tracking_uri": "http://me:***@findings:5000"}
    assert found(attributes=masked).mlflow.startswith("sqlite:///")  # its password is not known
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:pass-word1@findings:5000")
    assert found(attributes=masked).mlflow == "http://me:***@findings:5000"


def test_edges_are_those_of_the_result(found):
    assert found(result={**RESULT, "edges": ["beta is at its end"]}).edges == ["beta is at its end"]
    assert found().edges == found(result=None).edges == []


@pytest.mark.parametrize(
    ("sentence", "packaged"), [("Registered as x.", True), ("No model is registered: it failed.", False), (None, True)]
)
def test_status_is_that_of_the_run_or_worked_out_from_the_stores(found, monkeypatch, sentence, packaged):
    asked = []
    monkeypatch.setattr(progress, "exit_status", lambda *seen: asked.append(seen) or 1)
    study = found(registration={"sentence": sentence})
    assert study.status == 1
    assert asked == [(progress.FINISHED, study.trials_of, packaged)]
    assert found(given_status=0).status == 0
    assert len(asked) == 1


def test_description_is_read_with_the_users_stores(found, tmp_path):
    study = found(cache=tmp_path / "c", tracking_uri="sqlite:///m.db")
    assert study.spec == (tmp_path / "c", "sqlite:///m.db")
    assert study.state_in_words == "mine is finished"
    assert study.name == "mine"


def test_tables_are_made_of_what_the_stores_told(found, monkeypatch):
    for name in ("result_frame", "trials_frame", "failures_frame", "explanation_frame"):
        monkeypatch.setattr(f"sepray.results.frames.{name}", lambda *given, name=name: (name, *given))
    study = found()
    assert study.table == ("result_frame", RESULT)
    assert study.trials == ("trials_frame", study.saved, study.trials_of)
    assert study.failures == ("failures_frame", study.trials_of)
    assert study.explanation == ("explanation_frame", study.ablation_path)
