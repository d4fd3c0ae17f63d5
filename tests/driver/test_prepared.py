"""A study that is ready to run: names filled in, settings checked, and what makes it the same study."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sepray import identity
from sepray.arms import Arm
from sepray.choices import Objective
from sepray.contracts import Supervision
from sepray.driver import warm_start
from sepray.driver.prepared import FIXED, RETRAINS_REFERENCES, prepare
from sepray.errors import UsageError
from sepray.separators import cass, neural_egg, nmf, supervised_mask
from sepray.spec.settings import SettingsError

from .conftest import DATA, SIGNAL

HALF = FloatDistribution(0.0, 1.0)
CROSS = {"cross.low_to_high": 0.25, "cross.high_to_low": 0.25}


def test_names_of_the_sources_are_filled_in_everywhere(spec):
    made = prepare(spec, DATA)
    assert made.space == {"beta": HALF, "cross.low_to_high": HALF, "cross.high_to_low": HALF}
    assert made.reference_points == {"published": {"beta": 0.5, "cross.low_to_high": 0.25, "cross.high_to_low": 0.25}}
    assert made.controls == {"plain": {"adversarial": 0}}
    assert made.signal is SIGNAL
    assert isinstance(made.separator, cass.Cass)
    assert made.objectives == (Objective("validation/relative_l2", "minimize"),)
    assert made.warm_start is None


def test_what_a_published_setting_leaves_open_has_the_separators_default(spec):
    made = prepare(spec.changed(reference_points={"published": {"beta": 0.5}}), DATA)
    default = made.separator.hyperparameters()["cross.low_to_high"]
    assert made.reference_points == {"published": {"beta": 0.5, **dict.fromkeys(CROSS, default)}}


def test_fingerprint_is_what_makes_a_study_the_same(spec):
    assert prepare(spec, DATA).fingerprint == {
        "objectives": {"validation/relative_l2": "minimize"},
        "max_epochs": 3,
        "seeds_per_trial": 1,
        "search space": {"beta": HALF, "cross.low_to_high": HALF, "cross.high_to_low": HALF},
        "task": {"name": "ecg", "data": DATA.fingerprint},
        "separator": {"name": "cass", "config": identity.plain(cass.DEBUG)},
    }


@dataclass(frozen=True)
class Odd:
    items: int = 3
    device: object = torch.device("cpu")


@pytest.mark.parametrize("part", ["separator", "task"])
def test_settings_that_no_study_can_store_are_refused_by_name(spec, part):
    object.__setattr__(spec, part, Odd())
    line = r"Odd\.device must be a value that a study can store \(.*\): a value of type torch\.device has no canonical"
    with pytest.raises(UsageError, match=line):
        prepare(spec, DATA)


def test_fingerprint_says_that_networks_get_the_residual_of_a_template(spec):
    changed = replace(DATA, signal=replace(SIGNAL, template=True))
    assert prepare(spec, changed).fingerprint["task"] == {"name": "ecg", "data": DATA.fingerprint, "template": True}


def test_fingerprint_says_where_unpaired_samples_are_from(spec):
    """Thus a study whose samples were the mixtures' own sources is not continued."""
    plain = {"space": {}, "reference_points": {}, "controls": {}}
    egg = spec.changed(separator=neural_egg.DEBUG, **plain)
    assert prepare(egg, DATA).fingerprint["samples"] == "in none of the mixtures"
    with_samples = replace(DATA, train=replace(DATA.train, observed=DATA.train.mixture))
    assert "samples" not in prepare(egg, with_samples).fingerprint  # as ever
    assert "samples" in prepare(spec.changed(separator=nmf.DEBUG, **plain), DATA).fingerprint


def test_warning_where_samples_are_of_the_recordings_in_the_mixtures(spec):
    one = replace(DATA, train=replace(DATA.train, units=(("a piece",),) * 4), unit_names=("pieces",))
    egg = spec.changed(separator=neural_egg.DEBUG, space={}, reference_points={}, controls={})
    assert prepare(egg, one).warning == (
        "There are too few pieces to be divided: unpaired samples are other crops than those in the mixtures, but of "
        "the same pieces."
    )
    assert prepare(egg, DATA).warning == prepare(spec, one).warning == ""


def test_warning_of_silent_data(spec):
    silent = replace(DATA.train, sources=torch.zeros_like(DATA.train.sources))
    told = "All values are 0 in train (low, high): look at what the task loads."
    assert prepare(spec, replace(DATA, train=silent)).warning == told


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"max_epochs": 4}, "max_epochs"),
        ({"seeds_per_trial": 2}, "seeds_per_trial"),
        ({"objective": ("si_sdr",)}, "objectives"),
        ({"space": {"beta": HALF}}, "search space"),
        ({"separator": supervised_mask.DEBUG, "space": {}, "reference_points": {}, "controls": {}}, "separator"),
    ],
)
def test_what_changes_a_study_changes_its_fingerprint(spec, changes, path):
    before, after = prepare(spec, DATA).fingerprint, prepare(spec.changed(**changes), DATA).fingerprint
    assert any(line.startswith(path) for line in identity.differences(before, after))


@pytest.mark.parametrize(
    "changes",
    [{"trials": 9}, {"seed": 5}, {"sampler": "tpe"}, {"scheduler": "asha"}, {"final_seeds": 5}, {"concurrency": 3}],
)
def test_what_only_extends_or_moves_a_study_does_not(spec, changes):
    before, after = prepare(spec, DATA).fingerprint, prepare(spec.changed(**changes), DATA).fingerprint
    assert identity.differences(before, after) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"space": {"gamma": HALF}, "reference_points": {}}, "the search space has"),
        ({"reference_points": {"wild": {"gamma": 1.0}}}, "reference point 'wild' sets"),
        ({"controls": {"odd": {"gamma": 1.0}}}, "control 'odd' sets"),
    ],
)
def test_setting_that_the_separator_does_not_have_is_refused(spec, changes, place):
    with pytest.raises(UsageError, match=rf"^{place} gamma, which cass does not have; cass has the hyper"):
        prepare(spec.changed(**changes), DATA)


def test_start_is_looked_for_with_all_that_it_depends_on_and_is_part_of_the_fingerprint(spec, monkeypatch):
    asked = []

    def find(*arguments):
        asked.append(arguments)
        return warm_start.WarmStart("other", {"separator": "other", "epochs": 2}, lambda *_: lambda mixture: mixture)

    monkeypatch.setattr(warm_start, "find", find)
    made = prepare(spec.changed(tracking_uri="http://tracker"), DATA)
    assert asked == [(cass.DEBUG, SIGNAL, Supervision.PAIRED, "http://tracker")]
    assert made.fingerprint["start"] == {"separator": "other", "epochs": 2}


def test_fixed_settings_are_in_every_trial_and_part_of_the_fingerprint(spec):
    made = prepare(spec.changed(fixed_settings={"cross.{i}_to_{j}": 0.25, "beta": 0.5}), DATA)
    one = {name: CategoricalDistribution([v]) for name, v in {**CROSS, "beta": 0.5}.items()}
    assert made.space == one
    assert made.fingerprint["search space"] == one
    # The published point has these values, so it is tried under its name; it is all that there is to try.
    assert made.reference_points == {"published": {"beta": 0.5, **CROSS}}
    assert made.left_out == ()
    assert made.spec.budget.trials == 1


def test_published_point_that_differs_from_the_fixed_settings_is_left_out(spec):
    made = prepare(spec.changed(fixed_settings={"beta": 0.75}, first_settings={"mine": CROSS}), DATA)
    assert made.left_out == ("published",)
    assert made.reference_points == {"mine": {**CROSS, "beta": 0.75}}
    assert made.space == {"beta": CategoricalDistribution([0.75]), "cross.low_to_high": HALF, "cross.high_to_low": HALF}
    assert made.spec == spec.changed(fixed_settings={"beta": 0.75}, first_settings={"mine": CROSS})


def test_study_that_fixes_everything_tries_that_once(spec):
    fixed = {"beta": 0.75, **CROSS}
    made = prepare(spec.changed(fixed_settings=fixed, trials=9), DATA)
    assert (made.reference_points, made.left_out, made.spec.budget.trials) == ({FIXED: fixed}, ("published",), 1)


def test_space_of_single_values_without_fixed_settings_keeps_its_trials(spec):
    single = spec.changed(space={"beta": CategoricalDistribution([0.5])}, reference_points={}, trials=9)
    assert prepare(single, DATA).spec.budget.trials == 9


def test_first_settings_come_before_the_published_ones(spec):
    made = prepare(spec.changed(first_settings={"mine": {"beta": 0.1}}), DATA)
    assert list(made.reference_points) == ["mine", "published"]
    assert made.reference_points["mine"] == {"beta": 0.1}


def test_settings_of_numpys_numbers_are_pythons_which_storages_take(spec, monkeypatch):
    own = cass.Cass.hyperparameters
    monkeypatch.setattr(cass.Cass, "hyperparameters", lambda self: {k: np.float32(v) for k, v in own(self).items()})
    half, epochs = np.float32(0.5), np.int64(7)
    with pytest.warns(UserWarning, match="for persistent storage"):  # of Optuna
        switch = CategoricalDistribution([np.int64(0), np.int64(1)])
    changed = spec.changed(
        space={**spec.space, "adversarial": switch},
        arms={"a": Arm({"adversarial": np.int64(1)}, ("beta",))},
        first_settings={"mine": {"beta": half}},
        reference_points={"published": {"beta": half}},
        reference_epochs={"published": epochs},
        controls={"plain": {"adversarial": np.int64(0)}},
    )
    made = prepare(changed.changed(arms={}), DATA)
    stored = json.loads(json.dumps([changed.plain_given(), made.reference_points, made.controls]))
    assert stored[0]["arms"] == {"a": {"settings": {"adversarial": 1}, "searched": ["beta"]}}
    assert stored[0]["reference_epochs"] == {"published": 7}
    assert stored[1]["mine"] == {"beta": 0.5}
    assert made.space["adversarial"] == CategoricalDistribution([0, 1])
    assert prepare(spec.changed(fixed_settings={"beta": half}), DATA).space["beta"].choices == (0.5,)
    with pytest.raises(UsageError, match=r"^fixed_settings has beta = True; it must be a number$"):
        prepare(spec.changed(fixed_settings={"beta": np.bool_(True)}), DATA)


def test_fixed_setting_that_the_separator_does_not_have_is_refused(spec):
    with pytest.raises(UsageError, match=r"^fixed_settings sets betta, which cass does not have; "):
        prepare(spec.changed(fixed_settings={"betta": 0.1}), DATA)


def test_first_setting_that_the_separator_does_not_have_is_refused_as_one_of_them(spec):
    with pytest.raises(SettingsError, match=r"^first_settings sets betta, which cass does not have; "):
        prepare(spec.changed(first_settings={"mine": {"betta": 0.1}}), DATA)


def test_control_that_contradicts_the_fixed_settings_is_left_out(spec):
    made = prepare(spec.changed(fixed_settings={"adversarial": 1}), DATA)
    assert made.controls == {}
    assert made.left_out == ("plain",)
    assert prepare(spec.changed(fixed_settings={"adversarial": 0}), DATA).controls == {"plain": {"adversarial": 0}}


@pytest.mark.parametrize("value", ["a", True, None])
def test_fixed_setting_that_is_no_number_is_refused(spec, value):
    with pytest.raises(UsageError, match=rf"^fixed_settings has beta = {value!r}; it must be a number$"):
        prepare(spec.changed(fixed_settings={"beta": value}), DATA)


def test_fixed_setting_may_be_a_choice_of_the_space(spec):
    space = {**spec.space, "adversarial": CategoricalDistribution(["yes", "no"])}
    changed = spec.changed(space=space, reference_points={}, controls={})
    assert prepare(changed.changed(fixed_settings={"adversarial": "no"}), DATA).space["adversarial"].choices == ("no",)
    with pytest.raises(UsageError, match="adversarial = 'on'; it must be one of yes, no, or a number"):
        prepare(changed.changed(fixed_settings={"adversarial": "on"}), DATA)


def test_fixed_settings_that_leave_nothing_to_search_point_to_those_that_are_tried_first(spec):
    some, everything = {"beta": 0.5}, {"beta": 0.5, **CROSS}
    assert prepare(spec.changed(fixed_settings=some), DATA).warning == ""
    assert prepare(spec.changed(space={"beta": CategoricalDistribution([0.5])}, fixed_settings={}), DATA).warning == ""
    told = prepare(spec.changed(fixed_settings=everything), DATA).warning
    assert told.startswith("The fixed settings leave nothing to search")
    assert "give --first-settings" in told
    arms = {"off": Arm({"adversarial": 0}, ("beta",)), "on": Arm({"adversarial": 1}, ("beta",))}
    with pytest.raises(UsageError, match=r"leave none of the study's arms: off, on; .* by --first-settings"):
        prepare(spec.changed(arms=arms, controls={}, fixed_settings={"adversarial": 2}), DATA)


def test_arms_that_search_nothing_are_a_trial_each(spec):
    arms = {
        name: Arm({"adversarial": value, "beta": 0.5}, ()) for name, value in (("off", 0), ("half", 0.5), ("on", 1))
    }
    made = prepare(spec.changed(arms=arms, controls={}, space={"beta": CategoricalDistribution([0.5])}), DATA)
    assert (made.space, made.spec.budget.trials) == ({}, 3)


def test_study_that_an_older_version_has_begun_trains_no_published_settings_again(spec):
    made = prepare(spec, DATA)
    assert list(made.references) == ["published"]
    assert made.as_begun({}).references == made.as_begun({"uid": "a", RETRAINS_REFERENCES: True}).references
    assert made.as_begun({"uid": "a"}).references == {}
    asked = prepare(spec.changed(reference_budget="published"), DATA)
    assert list(asked.as_begun({"uid": "a"}).references) == ["published"]


def test_published_settings_without_values_have_no_row(spec):
    found = prepare(spec.changed(reference_points={"constant mask": {}}, space={}, trials=1), DATA)
    assert (list(found.references), list(found.reference_points)) == ([], ["constant mask"])


def test_published_settings_leave_the_search_where_they_have_a_budget_of_their_own_or_none(spec):
    for budget, rows, tried in (("study", 1, 1), ("published", 1, 0), ("none", 0, 0)):
        found = prepare(spec.changed(reference_budget=budget, reference_epochs={"published": 9}), DATA)
        assert (len(found.references), len(found.reference_points)) == (rows, tried)
        assert found.reference_epochs("published") == (9 if budget == "published" else None)
    given = prepare(spec.changed(reference_budget="none", first_settings={"mine": {"beta": 0.1}}), DATA)
    assert list(given.reference_points) == ["mine"]
