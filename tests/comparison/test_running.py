"""The studies of a comparison: what fails, and what that costs the others."""

import optuna
import pytest

from sepray.comparison import running
from sepray.comparison.contenders import LeftOut
from sepray.comparison.spec import Comparison
from sepray.spec.study import StudySpec

from .conftest import entry, taking_part


def test_one_that_fails_costs_the_others_nothing(monkeypatch, no_specs, data):
    def run(spec, contender, _):
        if contender.key == "b":
            raise RuntimeError("no such\nlayer")
        if contender.key == "c":
            return LeftOut("c", "no training ran to its end: loss is not finite")
        return entry(contender.key, contender.system, [[1, 2, 3, 4]])

    monkeypatch.setattr(running, "_run", run)
    outcome = running.run_all(Comparison(), None, data, taking_part())
    assert [e.contender.key for e in outcome.entries] == ["a"]
    assert outcome.left_out[0] == LeftOut("b", "RuntimeError: no such; layer")
    assert outcome.left_out[1].system == "c"
    assert isinstance(outcome.left_out[0].bug, RuntimeError)
    assert outcome.left_out[1].bug is None


@pytest.mark.parametrize("stage", ["search", "finals"])
def test_study_without_a_sound_trial_says_what_became_of_the_last(stage, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    searched = optuna.create_study(storage=storage, study_name="lab-x")
    failed = searched
    if stage == "finals":
        searched.add_trial(optuna.trial.create_trial(value=1.0))
        failed = optuna.create_study(storage=storage, study_name="lab-x/finals")
    for reason in ("another", "mse of phase filters is not finite"):
        attributes = {"outcome": {"tag": "diverged", "reason": reason}}
        failed.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs=attributes))
    spec = StudySpec(name="lab-x", separator="cass", task="ecg", space={}, storage=storage)
    assert running._why(spec, searched) == "no training ran to its end: mse of phase filters is not finite"


def test_no_more_seeds_count_than_are_asked_for():
    trials = [optuna.trial.create_trial(value=1.0, user_attrs={"label": f"trial 0 seed {k}"}) for k in (1, 2, 10)]
    assert [running._asked(trial, 2) for trial in trials] == [True, True, False]


def test_interruption_ends_the_comparison(monkeypatch, no_specs, data):
    ran = []
    monkeypatch.setattr(running.study, "execute", lambda spec: ran.append(spec) or 130)
    with pytest.raises(KeyboardInterrupt):
        running.run_all(Comparison(), None, data, taking_part())
    assert len(ran) == 1
