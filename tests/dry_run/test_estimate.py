"""The sums of an estimate, by hand from what one trial takes."""

from dataclasses import replace

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sepray.arms import Arm
from sepray.contracts import Split
from sepray.driver.prepared import prepare
from sepray.dry_run import estimate
from sepray.dry_run.estimate import Estimate, SplitSize, TimeModel, share_active, split_sizes, tried_settings
from sepray.dry_run.schedule import EstimateRange
from sepray.dry_run.stored import StudyProgress

from .conftest import DATA, SIGNAL
from .test_measurement import MEASURED

# By hand, of MEASURED: a trial of n epochs takes 2.25 s to build and to save, 10 + 1 + 4 + 2.5 (n - 3) s around its
# steps, and n times 8 steps of 0.5 s (0.375 s without the phase of "adversarial") and 0.75 s of validation.
THREE, THREE_WITHOUT = 2.25 + 15 + 3 * (4.0 + 0.75), 2.25 + 15 + 3 * (3.0 + 0.75)


def left(trials=4, points=("published",), retrainings=4) -> StudyProgress:
    return StudyProgress(False, 0, 0, trials, points, 0, retrainings, retrainings)


def time_model(spec, progress=None, slots=1, measured=MEASURED, **changes) -> TimeModel:
    return TimeModel(prepare(spec.changed(**changes), DATA), progress or left(), measured, slots)


def test_splits_are_measured():
    assert split_sizes(DATA) == (
        SplitSize("train", 4, (1, 128), 4 * 3 * 128 * 4),
        SplitSize("validation", 3, (1, 128), 3 * 3 * 128 * 4),
        SplitSize("test", 5, (1, 128), 5 * 3 * 128 * 4),
    )
    longer = Split(torch.zeros(2, 1, 200), torch.zeros(2, 2, 1, 200), torch.zeros(2, 1, 200))
    assert split_sizes(replace(DATA, train=longer))[0] == SplitSize("train", 2, (1, 200), 2 * 4 * 200 * 4)


def test_epoch_and_trial(spec):
    whole = time_model(spec)
    assert whole.epoch() == EstimateRange(7.25, 7.25, 7.25)  # 2.5 + 4 + 0.75
    assert whole.trial() == EstimateRange(THREE, THREE, THREE)


def test_phases_that_only_some_trials_have_make_a_range(spec):
    space = {"beta": FloatDistribution(0, 1), "adversarial": CategoricalDistribution([1, 0, 1, 1])}
    some = time_model(spec, space=space, reference_points={}, controls={})
    assert some.epoch() == EstimateRange(6.25, 7.0, 7.25)
    assert some.trial() == EstimateRange(THREE_WITHOUT, THREE - 0.25 * 3, THREE)


def test_search_without_early_stopping(spec):
    assert time_model(spec).search() == EstimateRange(*[3 + 4 * THREE] * 3)
    assert time_model(spec, slots=2).search() == EstimateRange(*[3 + 2 * THREE] * 3)
    assert time_model(spec, slots=3).search() == EstimateRange(*[3 + 2 * THREE] * 3)
    assert time_model(spec, slots=9).search() == EstimateRange(*[3 + THREE] * 3)
    assert time_model(spec, left(trials=0, points=())).search() == EstimateRange(0, 0, 0)


def test_search_with_early_stopping(spec):
    found = time_model(spec, scheduler="asha", grace_period=1, reduction_factor=3.0).search()
    one = 2.25 + 10 + 4.75
    assert found.least == pytest.approx(3 + THREE + 3 * one)
    assert found.most == pytest.approx(3 + 4 * THREE)
    assert found.least < found.likely < found.most
    untold = time_model(spec, scheduler="hyperband", reduction_factor=3.0).search()
    assert untold.likely is None
    assert untold.expected == untold.most == pytest.approx(3 + 4 * THREE)


def test_reference_points_have_the_phases_of_their_own_settings(spec):
    space = {"adversarial": CategoricalDistribution([1, 0])}
    points = {"plain": {"adversarial": 0}, "full": {"adversarial": 1}}
    settings = {"space": space, "reference_points": points, "controls": {}}
    both = time_model(spec, left(3, ("plain", "full")), **settings).search()
    assert both.least == pytest.approx(3 + THREE_WITHOUT + THREE + THREE_WITHOUT)
    assert both.likely == pytest.approx(3 + THREE_WITHOUT + THREE + (THREE_WITHOUT + THREE) / 2)
    assert both.most == pytest.approx(3 + THREE_WITHOUT + THREE + THREE)
    one = time_model(spec, left(2, ("full",)), **settings).search()
    assert one.least == pytest.approx(3 + THREE + THREE_WITHOUT)


def test_retrainings_of_finalists_and_controls(spec):
    """The control is without the phase of ``adversarial``; the published settings come last."""
    spec = spec.changed(reference_budget="none")
    assert time_model(spec).finals() == EstimateRange(*[3 + 2 * THREE + 2 * THREE_WITHOUT] * 3)
    assert time_model(spec, left(retrainings=3)).finals() == EstimateRange(*[3 + THREE + 2 * THREE_WITHOUT] * 3)
    assert time_model(spec, slots=2).finals() == EstimateRange(*[3 + THREE + THREE_WITHOUT] * 3)
    assert time_model(spec, left(retrainings=0)).finals() == EstimateRange(0, 0, 0)


def test_published_settings_are_retrained_last_for_the_epochs_of_their_paper(spec):
    rows = time_model(spec, left(retrainings=6)).finals()
    assert rows == EstimateRange(*[3 + 4 * THREE + 2 * THREE_WITHOUT] * 3)
    own = {"reference_budget": "published", "reference_epochs": {"published": 30}}
    long = time_model(spec, left(retrainings=2), **own).finals()
    assert long.least > 3 + 2 * 7 * THREE  # the first epochs are the slowest


def test_retrainings_have_one_separator_each(spec):
    spec = spec.changed(reference_budget="none")
    found = time_model(spec, seeds_per_trial=2).finals()
    assert found == EstimateRange(*[3 + (2 * THREE + 2 * THREE_WITHOUT) / 2] * 3)


def test_champion_control_and_reference_point_are_scored_on_the_test_split(spec):
    """Validation of 3 items takes 0.75 s; the test split has 5."""
    assert time_model(spec).scoring() == EstimateRange(*[4 * 5 * 0.25] * 3)
    assert time_model(spec, seeds_per_trial=2, controls={}).scoring() == EstimateRange(*[3 * 5 * 0.125] * 3)


@pytest.mark.parametrize(
    ("space", "share"),
    [
        ({}, (1, 1, 1)),  # CASS is adversarial by default
        ({"adversarial": CategoricalDistribution([0, 1])}, (0, 0.5, 1)),
        ({"adversarial": CategoricalDistribution([0, 0.0])}, (0, 0, 0)),
        ({"adversarial": CategoricalDistribution([1, 2])}, (1, 1, 1)),
        ({"adversarial": IntDistribution(0, 1)}, (1, 1, 1)),
    ],
)
def test_share_of_the_trials_with_a_phase(spec, space, share):
    assert share_active(prepare(spec.changed(space=space, reference_points={}), DATA), "adversarial") == EstimateRange(
        *share
    )


def test_share_where_the_default_is_nothing(spec, monkeypatch):
    made = prepare(spec, DATA)
    monkeypatch.setattr(made.separator, "hyperparameters", lambda: {"adversarial": 0.0})
    assert share_active(made, "adversarial") == EstimateRange(0, 0, 0)


@pytest.mark.parametrize(
    ("space", "points", "controls", "tried"),
    [
        ({}, {}, {}, {}),
        ({"beta": FloatDistribution(0, 1)}, {"a": {"beta": 0.5}, "b": {"beta": 0.7}}, {}, {"beta": 0.5}),
        ({"adversarial": CategoricalDistribution([0, 1])}, {"a": {"adversarial": 0}}, {}, {"adversarial": 1}),
        ({"adversarial": IntDistribution(0, 3)}, {"a": {"adversarial": 0}}, {}, {"adversarial": 3}),
        ({"adversarial": CategoricalDistribution([0])}, {"a": {"adversarial": 0}}, {"c": {"adversarial": 2}},
         {"adversarial": 2}),
        ({"adversarial": CategoricalDistribution([2])}, {"a": {"adversarial": 2}}, {}, {"adversarial": 2}),
    ],
)  # fmt: skip
def test_trial_that_is_tried_has_every_phase_that_a_trial_may_have(spec, space, points, controls, tried):
    made = prepare(spec.changed(space=space, reference_points=points, controls=controls), DATA)
    assert tried_settings(made) == tried


def test_phase_that_no_trial_has_is_not_tried(spec, monkeypatch):
    off = {"adversarial": CategoricalDistribution([0])}
    made = prepare(spec.changed(space=off, reference_points={}, controls={}), DATA)
    defaults = made.separator.hyperparameters()
    monkeypatch.setattr(made.separator, "hyperparameters", lambda: {**defaults, "adversarial": 0.0})
    assert tried_settings(made) == {}


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ({}, 0),
        ({"failure": "Traceback", "bug": True}, 3),
        ({"failure": "no such width", "refused": True}, 2),
        ({"failure": "killed"}, 1),
    ],
)
def test_exit_status(spec, ending, status):
    assert Estimate(spec, "paired", SIGNAL, (), {}, {}, {}, left(), 2, **ending).status == status


def test_share_in_an_arm_is_that_of_what_it_fixes_or_searches(spec):
    made = prepare(spec, DATA)
    name = next(phase.active for phase in made.separator.phases() if phase.active)
    space = {name: CategoricalDistribution([0, 0.1, 0.5, 1])}
    varied = replace(made, space=space)
    for arm, share in (
        (Arm({name: 0}, ()), (0, 0, 0)),
        (Arm({name: 0.3}, (name,)), (1, 1, 1)),
        (Arm({}, (name,)), (0, 0.75, 1)),
        (Arm({}, ()), (1, 1, 1)),  # the default
    ):
        assert estimate._share_in_arm(varied, name, arm) == EstimateRange(*share)
    assert estimate._mean([EstimateRange(0, 1, 2), EstimateRange(2, 5, 10)]) == EstimateRange(1, 3, 6)
    assert [estimate._choices(each) for each in (None, space[name], FloatDistribution(0.5, 2))] == [
        [],
        [0, 0.1, 0.5, 1],
        [2, 0.5],
    ]
