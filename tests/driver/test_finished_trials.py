"""Trials that count as finished, and the one number that each is ranked by."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sepray.choices import Objective
from sepray.driver.finished_trials import finished
from sepray.spec import choosing

ERROR, SDR = Objective("validation/relative_l2", "minimize"), Objective("validation/si_sdr", "maximize")


def frozen(number, values):
    """An Optuna record."""
    attributes = {"hyperparameters": {"beta": number / 10}}
    return create_trial(state=TrialState.COMPLETE, values=values, user_attrs=attributes)


def test_finished_trial_has_the_losses_and_what_the_rule_makes_of_them():
    values = [[0.1, 0.0], [0.5, 10.0]]  # the ends of the front
    rule = choosing.rule(("weights", "3", "1"), (ERROR, SDR), np.array([(e, -s) for e, s in values]))
    [found] = finished([frozen(0, [0.2, 8.0])], rule, lambda number: f"folder-{number}")
    assert found.losses == (0.2, -8.0)
    assert found.value == pytest.approx(0.75 * 0.25 + 0.25 * 0.2)
    assert (found.hyperparameters, found.folder) == ({"beta": 0.0}, f"folder-{found.number}")


def test_trial_at_the_boundary_of_its_constraint_is_finished_and_one_beyond_is_not():
    study = optuna.create_study()
    for constraint in (-1.0, 0.0, 1.0):
        trial = study.ask()
        trial.set_constraint("collapsed", constraint)
        trial.set_user_attr("hyperparameters", {"c": constraint})
        study.tell(trial, 0.5)
    found = finished(study.trials, choosing.rule(("knee",), (ERROR,), np.zeros((0, 1))), str)
    assert [t.hyperparameters["c"] for t in found] == [-1.0, 0.0]
