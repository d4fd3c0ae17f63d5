"""The parameters of a stage's trials: settings, and a view of the data that is copied as seldom as can be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Augmentation, Supervision, TaskData
from sepray.disk import mapping
from sepray.driver import warm_start
from sepray.driver.prepared import prepare
from sepray.driver.stage import Stage, run_stage, search_stage, trial_parameters
from sepray.errors import UsageError
from sepray.loading import load_task
from sepray.separators import cass, neural_egg, semi_adversarial, supervised_mask
from sepray.tasks import chords
from sepray.training.views import view

from .conftest import DATA, SIGNAL


def test_trials_are_given_the_settings_of_the_study(prepared):
    spec = prepared.spec.changed(max_epochs=7, checkpoint_seconds=3.5, cpus_per_trial=2.0, seeds_per_trial=2)
    data = TaskData(SIGNAL, DATA.train, DATA.validation, DATA.test, "cd", Augmentation(crop=128, remix=0.5))
    made = prepare(spec, data)
    stage = Stage("search", None, 1, members=2)
    context = trial_parameters(stage.name, stage.members, made, "place")["context"]
    assert (context.separator, context.signal, context.objectives) == (spec.separator, SIGNAL, made.objectives)
    assert (context.max_epochs, context.members, context.threads) == (7, 2, 2)
    assert (context.checkpoints, context.checkpoint_seconds) == ("place/search", 3.5)
    assert (context.device, context.augmentation) == ("cpu", data.augmentation)


def test_trials_see_training_and_validation_by_supervision_and_nothing_of_the_test_split(spec, monkeypatch):
    egg = spec.changed(separator=neural_egg.DEBUG, space={}, reference_points={}, controls={})
    made = prepare(egg, DATA)
    assert made.separator.supervision is Supervision.OBSERVED_SOURCE
    given = trial_parameters("search", 1, made, "place")
    assert set(given["train"]) == {"mixture", "observed"}
    np.testing.assert_array_equal(given["validation"]["sources"], DATA.validation.sources)
    np.testing.assert_array_equal(given["validation"]["mixture"], DATA.validation.mixture)
    seen = view(DATA.train, Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(spec.seed))
    np.testing.assert_array_equal(given["train"]["observed"], seen["observed"])
    np.testing.assert_array_equal(given["train"]["mixture"], seen["mixture"])
    others = (trial_parameters("search", 1, prepare(egg.changed(seed=s), DATA), "place")["train"] for s in range(1, 5))
    assert not all(np.array_equal(other["observed"], given["train"]["observed"]) for other in others)


@pytest.mark.parametrize("separator", [cass.DEBUG, neural_egg.DEBUG, semi_adversarial.DEBUG])
def test_large_items_are_told_by_place_and_copied_for_no_stage(spec, monkeypatch, separator):
    other = spec.changed(separator=separator, space={}, reference_points={}, controls={})
    expected = trial_parameters("search", 1, prepare(other, DATA), "place")
    monkeypatch.setattr(mapping, "LARGE_BYTES", 1000)
    monkeypatch.setattr(mapping, "_COPIED_BYTES", 0)
    made = prepare(other, DATA)
    stages = [trial_parameters(stage, 1, made, "place") for stage in ("search", "finals", "explain")]
    files = list(Path(spec.stores.cache).glob("sepray-items-*/[0-9]*"))
    given = [{**stage["train"], **stage["validation"]} for stage in stages]
    assert given[0] == given[1] == given[2]
    assert {place.path for place in given[0].values()} <= {str(file) for file in files}
    assert len(files) == len(expected["train"]) + len(expected["validation"])
    for part in ("train", "validation"):
        assert stages[0][part].keys() == expected[part].keys()
        for name, place in stages[0][part].items():
            np.testing.assert_array_equal(mapping.opened(place), expected[part][name])


def test_items_that_lie_in_the_cache_are_not_copied_at_all(spec, monkeypatch, tmp_path):
    monkeypatch.setattr(mapping, "LARGE_BYTES", 1000)
    monkeypatch.setattr(mapping, "_COPIED_BYTES", 0)
    task = replace(chords.DEBUG, instruments=chords.DEBUG.instruments[:2])
    data = load_task(task, tmp_path / "tasks")
    other = spec.changed(task=task, separator=supervised_mask.DEBUG, space={}, reference_points={}, controls={})
    given = trial_parameters("search", 1, prepare(other, data), "place")
    [entry] = (tmp_path / "tasks").glob("chords-*")
    assert {place.path for part in ("train", "validation") for place in given[part].values()} == {str(entry)}
    assert not list(Path(spec.stores.cache).glob("sepray-items-*/[0-9]*"))


def test_estimates_to_start_from_join_the_training_view(spec, monkeypatch):
    told = []

    def separator(view, augmentation, seed, device):
        told.append((augmentation, seed, device))
        return lambda mixture: mixture[:, None].repeat(1, 2, 1, 1)

    start = warm_start.WarmStart("other", {"separator": "other"}, separator)
    monkeypatch.setattr(warm_start, "find", lambda *_: start)
    made = prepare(spec.changed(seed=9), DATA)
    given = trial_parameters("search", 1, made, spec.stores.storage_path)
    np.testing.assert_array_equal(given["train"]["start"][:, 1], DATA.train.mixture)
    assert told == [(DATA.augmentation, 9, "cpu")]
    assert (Path(spec.stores.storage_path) / "start").is_dir()


def test_training_data_that_cannot_be_used_is_refused_before_a_trial_is_asked_for(spec, stores, monkeypatch):
    made = prepare(spec, DATA)

    def refused(*_):
        raise UsageError("paired_fraction leaves no item")

    monkeypatch.setattr("sepray.training.views.view", refused)
    with pytest.raises(UsageError, match="paired_fraction"):
        run_stage(search_stage(made, stores.search), made, stores, slots=2)
    assert stores.search.get_trials() == []


def test_paired_fraction_of_the_separator_decides_what_is_paired(spec):
    config = replace(semi_adversarial.DEBUG, paired_fraction=0.25)
    semi = spec.changed(separator=config, space={}, reference_points={}, controls={})
    made = prepare(semi, DATA)
    given = trial_parameters("search", 1, made, "place")
    paired = given["train"]["paired_mixture"]
    assert len(np.unique(paired.reshape(len(paired), -1), axis=0)) == 1  # one of the four items
