"""MLflow's runs as they follow from real Optuna records."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from sepray.choices import Objective
from sepray.driver import runs
from sepray.driver.best_so_far import BestSoFar

KEY = "validation/relative_l2"
OBJECTIVES = (Objective(KEY, "minimize"),)
NOTE = "mlflow.note.content"


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study()


def asked(study, seed=7, label=None):
    """A trial as the searcher begins it."""
    trial = study.ask({"beta": FloatDistribution(0.0, 1.0)})
    trial.set_user_attr("seed", seed)
    trial.set_user_attr("hyperparameters", {"beta": 0.25, "adversarial": 1})
    if label:
        trial.set_user_attr("label", label)
    return trial


def ended(trial, tag, reason="", values=(0.5,)):
    trial.set_user_attr("outcome", {"tag": tag, "reason": reason, "values": values if tag == "complete" else None})


def record(study, number=0, stage="search"):
    return runs.expected_run(study.trials[number], stage, OBJECTIVES)


def test_complete_trial_is_a_finished_run_with_all_its_epochs(study):
    trial = asked(study, label="CASS")
    for epoch, value in ((1, 0.9), (2, 0.5)):
        trial.report(value, epoch)
    ended(trial, "complete")
    study.tell(trial, 0.5)
    found = record(study)
    assert (found.label, found.name, found.status) == ("0", "000 · 0.5000 · CASS", "FINISHED")
    assert found.former_name == "trial 000 · CASS"
    assert found.params == {"beta": 0.25, "adversarial": 1, "seed": 7}
    note = "Relative L2 error 0.5 on validation after 2 epochs, the whole budget."
    tags = {"stage": "search", "trial": 0, "label": "CASS", "outcome": "complete", "epochs": 2, NOTE: note}
    assert found.tags == tags
    assert found.epochs == {1: {KEY: 0.9}, 2: {KEY: 0.5}}
    stored = study.trials[0]
    assert found.start_ms == round(stored.datetime_start.timestamp() * 1000)
    assert found.end_ms == round(stored.datetime_complete.timestamp() * 1000) >= found.start_ms > 1_600_000_000_000


@pytest.mark.parametrize(
    ("state", "tag", "reason", "status", "told"),
    [
        (TrialState.PRUNED, "pruned", "stopped by the scheduler at epoch 1", "FINISHED", "stopped early"),
        (TrialState.COMPLETE, "collapsed", "the estimate of fetal has collapsed", "FINISHED", "collapsed"),
        (TrialState.FAIL, "diverged", "mse is not finite", "FAILED", "failed: diverged"),
        (TrialState.FAIL, "error", "KeyError: 'x'", "FAILED", "failed: error"),
        (TrialState.FAIL, "out_of_memory", "OutOfMemoryError", "FAILED", "failed: out of memory"),
        (TrialState.FAIL, "lost", "the worker was lost", "FAILED", "failed: lost"),
    ],
)
def test_run_ends_as_the_table_of_outcomes_says(study, state, tag, reason, status, told):
    trial = asked(study)
    trial.report(0.8, 1)
    ended(trial, tag, reason)
    study.tell(trial, 0.8 if state is TrialState.COMPLETE else None, state=state)
    found = record(study)
    assert found.status == status
    assert (found.tags["outcome"], found.tags["reason"], found.tags["epochs"]) == (tag, reason, 1)
    assert found.name == f"000 · {told} · beta=0.25 adversarial=1"
    assert found.tags[NOTE] == f"{told[0].upper()}{told[1:]} after 1 epoch{'' if tag == 'pruned' else f': {reason}'}."


def test_trial_that_never_finished_an_epoch_has_none(study):
    trial = asked(study)
    ended(trial, "error", "KeyError: 'x'")
    study.tell(trial, state=TrialState.FAIL)
    found = record(study)
    assert (found.tags["epochs"], found.epochs) == (0, {})


def test_interrupted_trial_is_a_killed_run_that_can_go_on(study):
    asked(study).report(0.7, 1)
    found = record(study)
    assert (found.status, found.tags["outcome"]) == ("KILLED", "interrupted")
    assert found.end_ms == found.start_ms > 0
    assert found.epochs == {1: {KEY: 0.7}}


def test_outcome_that_was_written_before_the_driver_died_counts(study):
    ended(asked(study), "complete")
    assert (record(study).status, record(study).tags["outcome"]) == ("FINISHED", "complete")


def test_waiting_trial_and_one_that_was_not_handed_out_have_no_run(study):
    study.enqueue_trial({"beta": 0.5})
    assert study.trials[0].state is TrialState.WAITING
    assert record(study) is None
    study.ask({"beta": FloatDistribution(0.0, 1.0)})
    assert study.trials[0].state is TrialState.RUNNING
    assert record(study) is None


def test_retraining_is_called_final(study):
    trial = asked(study, label="trial 3 seed 1")
    ended(trial, "complete")
    study.tell(trial, 0.5)
    found = record(study, stage="finals")
    assert (found.label, found.name) == ("final-0", "f000 · 0.5000 · trial 3 seed 1")
    assert found.tags["stage"] == "finals"


def test_name_shows_the_first_settings_and_is_cut():
    settings = {"rate": 0.00123456, "kind": "complex", "on": 1, "beta": 0.5}
    assert runs.run_name("search", 12, None, settings) == "trial 012 · rate=0.0012 kind=complex on=1"
    assert len(runs.run_name("search", 12, "x" * 400, settings)) == 250


def test_name_holds_no_control_characters_of_labels_arms_and_settings():
    bad = "\x1b[2J\u202ea\nb"
    shown = r"\x1b[2J\u202ea b"
    assert runs.run_name("search", 1, bad, {}) == f"trial 001 · {shown}"
    assert runs.run_name("search", 1, None, {"kind": bad}, bad) == f"trial 001 · {shown} · kind={shown}"
    assert runs.finished_name("search", 1, bad, None, bad, {}) == f"001 · failed: {shown} · {shown}"
    assert runs.finished_name("finals", 1, "complete", (0.5,), None, {"kind": bad}) == f"f001 · 0.5000 · kind={shown}"
    assert runs.finished_name("explain", 12, "complete", (0.5,), "start seed 1", {}) == "a012 · 0.5000 · start seed 1"
    assert len(runs.finished_name("search", 1, "complete", (0.5,), "\x1b" * 400, {})) == 250


@pytest.mark.parametrize(
    ("arm", "label", "who"),
    [("cross", None, "cross"), ("cross", "CASS", "cross · CASS"), ("cross", "cross", "cross"), ("", None, "beta=0.5")],
)
def test_name_of_a_trial_that_has_ended_says_its_value_and_its_arm(arm, label, who):
    name = runs.finished_name("search", 23, "complete", (0.25519, 12.0), label, {"beta": 0.5}, arm)
    assert name == f"023 · 0.2552 / 12.00 · {who}"


def test_runs_are_told_as_at_the_start_before_them(study):
    first = runs.run_context(None, {"trials": "1"}, {"mlflow.user": "me", "platform": "a"}, {"digest": "d"}, 5)
    assert (
        runs.run_context(first, {"trials": "2"}, {"mlflow.user": "me", "platform": "a"}, None, 6)["starts"]
        == first["starts"]
    )
    later = runs.run_context(first, {"trials": "2"}, {"mlflow.user": "you"}, {"digest": "e"}, 2**50)
    finished(study)
    own, trial = runs.expected_runs("sweep", {"search": study.trials}, OBJECTIVES, later)
    assert (trial.inherited, trial.dataset) == ({"mlflow.user": "me"}, {"digest": "e"})
    assert (own.inherited, own.params) == ({"mlflow.user": "me", "platform": "a"}, {"trials": "2"})
    assert own.dataset == {"digest": "e"}


def test_study_charts_the_best_so_far(study):
    for tag, value in (("diverged", None), ("complete", 0.5), ("complete", 0.75), ("complete", 0.25)):
        finished(study, tag, value)
    own, *_ = runs.expected_runs("sweep", {"search": study.trials}, OBJECTIVES)
    assert own.epochs == {k: {"best so far/relative_l2": v} for k, v in ((1, 0.5), (2, 0.5), (3, 0.25))}
    assert own.times_ms[3] == round(study.trials[3].datetime_complete.timestamp() * 1000)


def test_best_so_far_is_that_of_each_objective_and_in_its_direction():
    best = BestSoFar([Objective("validation/high/l2", "minimize"), Objective("validation/si_sdr", "maximize")])
    assert best.ended(0, None) == []
    assert best.ended(1, (0.5, 3.0)) == [(1, {"best so far/high l2": 0.5, "best so far/si_sdr": 3.0})]
    assert best.ended(2, (0.75, 4.0)) == [(2, {"best so far/high l2": 0.5, "best so far/si_sdr": 4.0})]


def finished(study, tag="complete", value=0.5):
    trial = asked(study)
    ended(trial, tag, values=(value,))
    study.tell(trial, value, state=TrialState.FAIL if value is None else TrialState.COMPLETE)


def test_records_are_the_studys_own_and_those_of_both_stages(study):
    finished(study)
    study.enqueue_trial({"beta": 0.5})
    finals = optuna.create_study()
    finished(finals)
    own, *trials = runs.expected_runs("sweep", {"search": study.trials, "finals": finals.trials}, OBJECTIVES)
    assert [t.label for t in trials] == ["0", "final-0"]
    assert (own.label, own.name, own.status, own.tags) == ("", "sweep", "FINISHED", {"stage": "study"})
    assert own.start_ms == min(t.start_ms for t in trials)
    assert own.end_ms == max(t.end_ms for t in trials)


def test_study_with_a_trial_that_can_go_on_is_not_finished(study):
    finished(study)
    asked(study)
    own, *trials = runs.expected_runs("sweep", {"search": study.trials}, OBJECTIVES)
    assert own.status == "KILLED"
    assert [t.status for t in trials] == ["FINISHED", "KILLED"]


def test_ablation_path_that_can_go_on_leaves_the_study_finished(study):
    finished(study)
    explain = optuna.create_study()
    asked(explain)
    own, *trials = runs.expected_runs("sweep", {"search": study.trials, "explain": explain.trials}, OBJECTIVES)
    assert (own.status, own.end_ms) == ("FINISHED", trials[0].end_ms)
    assert [(t.label, t.status, t.tags["stage"]) for t in trials] == [
        ("0", "FINISHED", "search"),
        ("ablation-0", "KILLED", "explain"),
    ]


def test_study_without_a_trial_has_a_record_of_its_own(study):
    [own] = runs.expected_runs("sweep", {"search": study.trials}, OBJECTIVES)
    assert (own.status, own.start_ms, own.end_ms) == ("FINISHED", 0, 0)


def test_trial_that_optuna_alone_knows_is_named_by_its_parameters(study):
    """The searcher has written no settings of its own for this trial (they would include fixed parameters)."""
    study.add_trial(
        create_trial(
            params={"beta": 0.5}, distributions={"beta": FloatDistribution(0, 1)}, value=1.0, user_attrs={"seed": 3}
        )
    )
    assert record(study).params == {"beta": 0.5, "seed": 3}
