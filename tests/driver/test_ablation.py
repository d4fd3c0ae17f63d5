"""The ablation path between two configurations: what changes, what an arm brings, and the greedy order."""

import dataclasses

import pytest
from optuna.distributions import FloatDistribution

from sepray.arms import Arm
from sepray.driver.ablation import Ablation, Point, find_origin, origin_names, points, walk
from sepray.driver.finished_trials import Finished
from sepray.driver.prepared import prepare
from sepray.errors import UsageError

from .conftest import DATA

DEFAULTS = {"adversarial": 1.0, "beta": 0.1, "rate": 0.5, "cross": 0.0, "depth": 3}
ARMS = {
    "plain": Arm({"adversarial": 0}, ("rate",)),
    "CASS": Arm({"adversarial": 1, "cross": 0.0}, ("beta", "rate")),
    "cross": Arm({"adversarial": 1}, ("beta", "rate", "cross")),
}
PLAIN = Point("the published settings", {"adversarial": 0, "rate": 1e-5}, "plain")
CASS = Point("the published settings", {"adversarial": 1, "cross": 0.0, "beta": 0.1, "rate": 1e-5}, "CASS")
CHAMPION = Point("the champion's", {"adversarial": 1, "beta": 0.02, "rate": 0.01, "cross": 0.7}, "cross")


def test_arm_brings_what_it_alone_sets_and_searches_and_no_dead_setting_gets_a_step():
    ablation = Ablation(PLAIN, CHAMPION, ARMS, DEFAULTS)
    assert ablation.names == ("arm", "rate")  # beta and cross do nothing without adversaries
    assert ablation.point(["arm"]) == Point("step 1: arm", {**CHAMPION.hyperparameters, "rate": 1e-5}, "cross")
    assert ablation.point(["rate"]) == Point("step 1: rate", {"adversarial": 0, "rate": 0.01}, "plain")
    assert ablation.point(["rate", "arm"]).hyperparameters == CHAMPION.hyperparameters
    change = ablation.change(["rate"], "arm")
    assert (change.name, change.old, change.new) == ("arm", "plain", "cross")
    assert change.brought == {"adversarial": (0, 1), "beta": (None, 0.02), "cross": (None, 0.7)}
    assert ablation.change(["arm"], "rate") == ablation.change([], "rate")
    assert (ablation.change([], "rate").old, ablation.change([], "rate").new) == (1e-5, 0.01)


def test_what_both_arms_search_is_a_step_before_and_after_the_arm():
    ablation = Ablation(CASS, CHAMPION, ARMS, DEFAULTS)
    assert ablation.names == ("arm", "beta", "rate")
    assert ablation.point(["beta"]) == Point("step 1: beta", {**CASS.hyperparameters, "beta": 0.02}, "CASS")
    assert ablation.point(["arm"]).hyperparameters == {**CASS.hyperparameters, "cross": 0.7}
    assert ablation.change([], "arm").brought == {"cross": (0.0, 0.7)}


def test_within_an_arm_only_what_differs_changes():
    other = dataclasses.replace(CHAMPION, hyperparameters={**CHAMPION.hyperparameters, "cross": 0.1})
    assert Ablation(other, CHAMPION, ARMS, DEFAULTS).names == ("cross",)
    assert Ablation(CHAMPION, CHAMPION, ARMS, DEFAULTS).names == ()


@pytest.mark.parametrize("arms", [{}, ARMS])
def test_without_arms_every_hyperparameter_that_differs_is_a_setting_and_has_a_default(arms):
    start, target = (
        Point("start", {"beta": 0.1, "rate": 1e-5}),
        Point("target", {"rate": 0.01, "depth": 3, "beta": 0.1}),
    )
    ablation = Ablation(start, target, arms, DEFAULTS)
    assert ablation.names == ("rate",)  # depth is the default already
    assert ablation.point([]).hyperparameters == {"rate": 1e-5, "depth": 3, "beta": 0.1}
    assert ablation.point(["rate"]).hyperparameters == target.hyperparameters
    deeper = Ablation(start, Point("target", {"rate": 0.01, "depth": 5}), arms, DEFAULTS)
    assert deeper.names == ("rate", "depth")
    assert deeper.change(["rate"], "depth").old == 3


def driven(ablation, names, greedy, value, failed=()):
    """Return the path on trials of two seeds, and the batches that it asked for; ``failed`` seeds give no value."""
    path, batches = walk(ablation, names, greedy), []
    asked = next(path)
    while True:
        batches.append([point.name for point in asked])
        found = [{s: value(p.hyperparameters) + s / 100 for s in (1, 2) if (p.name, s) not in failed} for p in asked]
        try:
            asked = path.send(found)
        except StopIteration as end:
            return end.value, batches


def error(settings):
    """The rate matters most, beta a little and only with the new rate, depth nothing."""
    return 1.0 - 0.6 * (settings["rate"] == 0.01) - 0.1 * (settings["rate"] == 0.01 and settings["beta"] == 0.02)


START = Point("start", {"beta": 0.1, "depth": 3, "rate": 1e-5})
TARGET = Point("target", {"beta": 0.02, "depth": 5, "rate": 0.01})


def test_greedy_path_takes_the_best_change_first_and_an_inert_one_earns_nothing():
    ablation = Ablation(START, TARGET, {}, DEFAULTS)
    (first, steps), batches = driven(ablation, ablation.names, True, error)
    assert first == {1: 1.01, 2: 1.02}
    assert [change.name for change, _ in steps] == ["rate", "beta", "depth"]
    assert [values[1] for _, values in steps] == pytest.approx([0.41, 0.31, 0.31])
    assert batches == [
        ["start", "step 1: beta", "step 1: depth", "step 1: rate"],
        ["step 2: beta", "step 2: depth"],
        ["step 3: depth"],
    ]
    assert points(3, greedy=True) == sum(map(len, batches))


def test_given_order_is_kept_and_asked_for_at_once():
    ablation = Ablation(START, TARGET, {}, DEFAULTS)
    (first, steps), batches = driven(ablation, ["beta", "rate", "depth"], False, error)
    assert first == {1: 1.01, 2: 1.02}
    assert [change.name for change, _ in steps] == ["beta", "rate", "depth"]
    assert [values[1] for _, values in steps] == pytest.approx([1.01, 0.31, 0.31])
    assert batches == [["start", "step 1: beta", "step 2: rate", "step 3: depth"]]
    assert points(3, greedy=False) == 4


def test_change_that_fails_comes_after_those_that_do_not():
    ablation = Ablation(START, TARGET, {}, DEFAULTS)
    failed = {("step 1: rate", 1), ("step 1: beta", 1), ("step 1: beta", 2)}
    (_, steps), _ = driven(ablation, ablation.names, True, error, failed)
    assert [change.name for change, _ in steps] == ["depth", "rate", "beta"]
    assert [len(values) for _, values in steps] == [2, 2, 2]


@pytest.fixture
def prepared(spec):
    return prepare(spec.changed(first_settings={"mine": {"beta": 0.9}}), DATA)


def trial(number, value, label=None, arm="", **settings) -> Finished:
    return Finished(number, label, settings, value, "", {}, arm)


SEARCHED = [
    trial(0, 0.1, "mine", beta=0.9),
    trial(1, 0.7, "paper", beta=0.5),
    trial(2, 0.6, "other paper", beta=0.4),
    trial(3, 0.2, beta=0.3),
]


def test_path_begins_with_the_best_published_settings_or_those_that_are_named(prepared):
    assert origin_names(prepared, SEARCHED) == ["paper", "other paper", "control"]
    assert find_origin("", prepared, SEARCHED, TARGET) == (
        "other paper",
        Point("the published settings 'other paper'", {"beta": 0.4}),
    )
    assert find_origin("paper", prepared, SEARCHED, TARGET)[1].hyperparameters == {"beta": 0.5}
    with pytest.raises(UsageError) as caught:
        find_origin("papr", prepared, SEARCHED, TARGET)
    assert str(caught.value) == (
        "small has no finished published settings 'papr' (perhaps you meant 'paper'); a path can begin with: 'paper', "
        "'other paper', 'control'"
    )


def test_without_published_settings_it_begins_with_the_control_or_is_refused(prepared, spec):
    name, control = find_origin("", prepared, SEARCHED[3:], TARGET)
    assert (name, control.name) == ("control", "the settings of the control 'plain'")
    assert control.hyperparameters == {**TARGET.hyperparameters, "adversarial": 0}
    bare = prepare(spec.changed(controls={}), DATA)
    with pytest.raises(UsageError, match=r"^small has neither finished published settings nor arms nor controls"):
        find_origin("", bare, SEARCHED[3:], TARGET)


def test_control_of_a_study_with_arms_is_the_best_of_its_first_arm(spec):
    space = {"beta": FloatDistribution(0.0, 1.0), "autoencoder_learning_rate": FloatDistribution(0.0, 1.0)}
    arms = {
        "plain": Arm({"adversarial": 0}, ("autoencoder_learning_rate",)),
        "CASS": Arm({"adversarial": 1}, ("beta",)),
    }
    made = prepare(spec.changed(space=space, arms=arms, controls={}, reference_points={}), DATA)
    searched = [trial(k, value, None, "plain", rate=k) for k, value in enumerate((0.5, 0.3, 0.4))]
    name, control = find_origin("control", made, [*searched, trial(3, 0.1, None, "CASS", beta=1)], TARGET)
    assert (name, control) == ("control", Point("the best settings of 'plain'", {"rate": 1}, "plain"))
    with pytest.raises(UsageError, match=r"^no trial of the control arm 'plain' has run its whole budget$"):
        find_origin("control", made, [], TARGET)
