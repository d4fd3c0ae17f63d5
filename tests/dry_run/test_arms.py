"""The dry run of a study with arms."""

import pytest

from sepray.arms import Arm
from sepray.driver.prepared import prepare
from sepray.driver.stores import StudyStores
from sepray.dry_run import estimator
from sepray.dry_run.estimate import share_active, tried_settings
from sepray.dry_run.estimator import estimate
from sepray.dry_run.schedule import EstimateRange, early_stopping
from sepray.dry_run.stored import progress

from .conftest import DATA
from .test_estimate import THREE, THREE_WITHOUT, left, time_model
from .test_measurement import MEASURED

ARMS = {
    "off": Arm({"adversarial": 0}),
    "plain": Arm({"adversarial": 1, "cross.*": 0.0}, ("beta",)),
    "cross": Arm({"adversarial": 1}, ("beta", "cross.{i}_to_{j}")),
}
OFF = {"off": {"adversarial": 0, "beta": 0.5, "cross.{i}_to_{j}": 0.0}}


@pytest.fixture
def spec(spec):
    return spec.changed(arms=ARMS, reference_points=OFF, controls={})


def test_phase_is_active_in_the_share_of_the_arms_that_have_it(spec):
    made = prepare(spec, DATA)
    assert share_active(made, "adversarial") == EstimateRange(*[pytest.approx(2 / 3)] * 3)
    assert tried_settings(made) == {"adversarial": 1}  # the first published point, with every phase


def test_retrainings_are_every_arm_at_the_best_settings_and_the_best_of_each(spec):
    assert progress(prepare(spec, DATA)).retrainings == (3 + 2 + 1) * 2
    spec = spec.changed(reference_budget="none")
    six = time_model(spec, left(retrainings=6)).finals()  # of each kind the last: the best of each arm
    assert six == EstimateRange(*[pytest.approx(3 + 2 * THREE_WITHOUT + 4 * THREE)] * 3)
    assert prepare(spec.changed(final_seeds=0), DATA).final_seeds == 7


def test_trials_are_stopped_within_their_arm(spec):
    asha = spec.changed(scheduler="asha", max_epochs=9, grace_period=1, reduction_factor=3.0)
    assert early_stopping(asha, 0, 6).least == (9, 1, 1, 1, 1, 1)
    assert early_stopping(asha, 0, 6, arms=3).least == (9, 9, 9, 1, 1, 1)


@pytest.mark.parametrize(
    ("trials", "without"), [(1, ("plain", "cross")), (2, ("cross",)), (3, ()), (9, ())]
)  # the published point is of the arm "off"
def test_arms_that_get_no_trial_are_named(spec, trials, without):
    assert progress(prepare(spec.changed(trials=trials), DATA)).arms_without_trials == without


def test_arms_that_have_a_trial_already_need_none(spec, tracker):
    made = prepare(spec.changed(trials=2), DATA)
    stores = StudyStores(made)
    for arm in ("cross", "plain"):
        stores.search.enqueue_trial({"arm": arm})
        stores.search.ask()
    stores.close()
    assert progress(made).arms_without_trials == ("off",)
    assert progress(prepare(spec.changed(trials=3), DATA)).arms_without_trials == ()


def test_warning_names_arms_without_trials_and_the_number_that_is_enough(spec, monkeypatch):
    monkeypatch.setattr(estimator, "measure_trial", lambda *_: MEASURED)
    found = estimate(spec.changed(trials=1), DATA)
    assert found.warnings[0] == "The arms plain, cross would get no trial of 1: give --trials 3 or more."
    assert estimate(spec.changed(trials=2), DATA).warnings[0].startswith("The arm cross would get no trial of 2: give")
    assert not any("no trial" in warning for warning in estimate(spec.changed(trials=3), DATA).warnings)
