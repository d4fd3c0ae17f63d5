"""All retrainings of a study, and how many there can be before its search is done."""

import pytest

from sepray.arms import Arm
from sepray.driver.finished_trials import Finished
from sepray.driver.prepared import prepare
from sepray.driver.retraining_plan import most_epochs, most_retrainings, plan

from .arms import OFF
from .conftest import DATA

BOTH = {
    "no adversaries": Arm({"adversarial": 0}, ("beta",)),
    "CASS": Arm({"adversarial": 1, "cross.*": 0.0}, ("beta",)),
}


@pytest.fixture
def with_arms(spec):
    space = {"beta": spec.space["beta"]}
    return spec.changed(space=space, reference_points={"published": {"adversarial": 0, "beta": 0.75}}, arms=BOTH)


def trial(number, value, arm="", **hyperparameters):
    return Finished(number, None, hyperparameters, value, "", {}, arm)


def test_plan_without_arms_is_the_finalists_the_controls_and_published_settings(spec):
    made = prepare(spec.changed(finalists=2), DATA)
    found = plan(made, [trial(k, 0.1 * k, beta=k / 10, adversarial=1) for k in (3, 1, 2)])
    control = "plain at the settings of trial 1"
    assert [r.role for r in found[::2]] == ["trial 1", "trial 2", control, "published"]
    assert [r.reference for r in found] == [""] * 6 + ["published"] * 2
    assert [r.seed for r in found[:2]] * 4 == [r.seed for r in found]


def test_plan_of_a_study_with_one_arm_is_its_finalists(with_arms):
    made = prepare(with_arms.changed(only_arms=("CASS",), finalists=2, controls={}), DATA)
    searched = [trial(k, 0.1 * k, "CASS", beta=0.1 * k, adversarial=1, **OFF) for k in range(3)]
    assert [(r.role, r.arm) for r in plan(made, searched)] == [("trial 0", "")] * 2 + [("trial 1", "")] * 2


def test_plan_with_arms_is_pairs_and_a_control_of_the_best_alone(with_arms):
    made = prepare(with_arms.changed(finalists=2, controls={"louder": {"adversarial": 2}}), DATA)
    searched = [
        trial(0, 0.1, "CASS", beta=0.5, adversarial=1, **OFF),
        trial(1, 0.2, "no adversaries", beta=0.5, adversarial=0),
    ]
    assert [(r.role, r.arm) for r in plan(made, searched)[::2]] == [
        ("no adversaries at the settings of trial 0", "no adversaries"),
        ("trial 0 (best of CASS)", "CASS"),
        ("louder at the settings of trial 0", ""),
        ("published", "no adversaries"),
    ]


def test_nothing_is_trained_again_where_no_trial_has_finished(spec):
    assert plan(prepare(spec, DATA), []) == []


def test_largest_number_of_retrainings(spec):
    assert most_retrainings(prepare(spec, DATA)) == (1 + 1 + 1) * 2
    assert most_retrainings(prepare(spec.changed(finalists=9), DATA)) == (4 + 1 + 1) * 2


def test_arms_are_trained_at_the_best_settings_and_all_but_the_best_at_their_own(with_arms):
    assert most_retrainings(prepare(with_arms.changed(controls={}), DATA)) == (2 + 1 + 1) * 2


def test_retrainings_have_budgets_of_their_own(spec):
    """Published settings that their paper trains for 30 epochs: two seeds of them beside 4 retrainings of 3 epochs."""
    own = spec.changed(reference_budget="published", reference_epochs={"published": 30})
    assert most_epochs(prepare(own, DATA)) == [3] * 4 + [30] * 2
