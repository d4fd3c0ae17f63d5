"""A study as the report sees it: read from its stores, with the value and the outcome of each trial."""

import json

import optuna
from optuna.trial import TrialState

from sepray.choices import Objective
from sepray.execution import checkpoint
from sepray.report.study_results import StudyResults, ending
from sepray.search.outcomes import is_feasible

from .studies import data, searched, spec, study_results, trial
from .test_kept_result import OLD as RESULT


def stored(name: str, objectives: dict[str, str]) -> optuna.Study:
    study = optuna.create_study(study_name=name, directions=list(objectives.values()))
    study.set_user_attr("fingerprint", {"objectives": objectives})
    study.set_user_attr("uid", "12ab")
    return study


def test_results_are_read_from_the_stores(tmp_path):
    study = stored("small", {"validation/low/si_sdr": "maximize"})
    study.add_trial(trial(0, [0.5]))
    study.enqueue_trial({"learning_rate": 0.1})  # waits, and is no part of the report
    study.ask()
    study.enqueue_trial({"learning_rate": 0.2})
    finals = stored("small/finals", {"validation/low/si_sdr": "maximize"})
    finals.add_trial(trial(0, [0.25]))
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    found = StudyResults.read(spec(), study, finals, tmp_path, None)
    assert found.objectives == (Objective("validation/low/si_sdr", "maximize"),)
    assert [t.state for t in found.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert [t.values for t in found.finals] == [[0.25]]
    assert (found.result, found.registration) == (RESULT, {})
    assert found.checkpoints == str(tmp_path)
    assert found.trial_folder("finals", 7) == f"{tmp_path}/finals/trial-00007"
    remote = StudyResults.read(spec(storage_path="s3://bucket/results"), study, None, tmp_path, None)
    assert remote.trial_folder("search", 7) == "s3://bucket/results/small/12ab/search/trial-00007"
    assert remote.finals == []


def test_outcomes_and_feasible_trials():
    trials = searched()
    assert [ending(t) for t in trials] == [
        *("complete", "complete", "pruned", "complete", "failed"),
        *("complete", "pruned", "complete", "collapsed"),
    ]
    assert [t.number for t in trials if is_feasible(t)] == [0, 1, 3, 5, 7]
    assert ending(trial(0, [0.5], "running")) == "unfinished"
    assert [ending(trial(0, [0.5], tag)) for tag in ("out_of_memory", "error", "lost")] == ["failed"] * 3


def test_value_of_one_objective_keeps_its_sign_and_of_several_is_of_one_measure(tmp_path):
    one = study_results(tmp_path, [], (Objective("validation/si_sdr", "maximize"),))
    assert (one.value(trial(0, [3.0])), one.sign, one.axis, one.words) == (3.0, -1, "SI-SDR (dB)", "SI-SDR")
    mixed = (Objective("validation/si_sdr", "maximize"), Objective("validation/relative_l2", "minimize"))
    several = study_results(tmp_path, [], mixed)
    both = trial(0, [-1.0, -3.0], values=[3.0, 0.5])  # the storage has the loss of each epoch
    assert several.value(both) == 3.0
    assert several.curve(both) == [(1, 1.0), (2, 3.0)]
    assert several.last_value(both) == 3.0
    assert (several.sign, several.axis, several.words) == (-1, "SI-SDR (dB)", "SI-SDR")


def test_best_of_several_objectives_is_the_one_that_the_rule_chooses(tmp_path):
    mixed = (Objective("validation/si_sdr", "maximize"), Objective("validation/relative_l2", "minimize"))
    values = [[10.0, 0.5], [8.0, 0.2], [0.0, 0.1]]
    trials = [trial(k, [0.0], values=both) for k, both in enumerate(values)]
    assert study_results(tmp_path, trials, mixed).best.number == 1
    for choose, number in ((("si_sdr",), 0), (("weights", "1", "9"), 2)):
        given = spec(objective=("si_sdr", "relative_l2"), choose=choose)
        assert study_results(tmp_path, trials, mixed, spec=given).best.number == number


def test_value_so_far_is_the_last_finite_one_of_a_trial_that_is_not_complete(tmp_path):
    results = study_results(tmp_path, [])
    assert results.value_so_far(trial(0, [0.9, 0.5])) == 0.5
    assert results.value_so_far(trial(0, [0.9, 0.4, float("nan")], "pruned")) == 0.4
    pruned = trial(0, [0.9, 0.4], "pruned")
    pruned.values = [0.7]  # Optuna keeps what the sampler was told
    assert results.value_so_far(pruned) == 0.4
    assert results.value_so_far(trial(0, [float("inf")], "diverged")) is None
    assert results.value_so_far(trial(0, [], "running")) is None


def test_best_is_the_first_of_equal_feasible_trials(tmp_path):
    trials = [trial(4, [0.4]), trial(2, [0.4]), trial(1, [0.1], "collapsed"), trial(0, [0.5])]
    assert study_results(tmp_path, trials).best.number == 2
    assert study_results(tmp_path, trials[2:3]).best is None
    greatest = study_results(tmp_path, trials, (Objective("validation/si_sdr", "maximize"),))
    assert greatest.best.number == 0


def test_sources_are_those_of_the_data_or_of_the_result(tmp_path):
    row = {"system": "champion", "values": {"a": [1, 1, 1], "b": [1, 1, 1], "mean": [1, 1, 1]}}
    assert study_results(tmp_path, [], data=data()).sources == ("low", "high")
    assert study_results(tmp_path, [], result={"rows": [row]}).sources == ("a", "b")
    assert study_results(tmp_path, []).sources == ()


def test_history_is_that_of_the_newest_checkpoint(tmp_path):
    results = study_results(tmp_path, [])
    for epoch in (1, 2):
        history = [{"epoch": e} for e in range(1, epoch + 1)]
        checkpoint.save(str(tmp_path / "search/trial-00003"), epoch, {}, {"history": history, "members": []})
    assert [entry["epoch"] for entry in results.history("search", 3)] == [1, 2]
    assert results.history("finals", 3) == []
