"""The parts that studies and comparisons share: bounds of their values, and one dictionary of all their fields."""

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.spec.field_types import UnknownFieldError
from sepray.spec.parts import PARTS, Budget, Resources, Search, Stores, flat, merged
from sepray.spec.study import StudySpec


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget(trials=0, max_epochs=1, seeds_per_trial=1, finalists=1, final_seeds=1),
        lambda: Search(grace_period=1, reduction_factor=1.001),
        lambda: Resources(concurrency=0, cpus_per_trial=0.001, gpus_per_trial=0),
        lambda: Stores(checkpoint_seconds=0.001),
    ],
)
def test_least_values_are_taken(make):
    assert make() == make()


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Budget(trials=-1), "--trials must be at least 0, not -1"),
        (lambda: Budget(max_epochs=0), "--max-epochs must be at least 1, not 0"),
        (lambda: Budget(seeds_per_trial=0), "--seeds-per-trial must be at least 1, not 0"),
        (lambda: Budget(finalists=0), "--finalists must be at least 1, not 0"),
        (lambda: Budget(final_seeds=-1), "--final-seeds must be at least 0, not -1"),
        (lambda: Search(grace_period=-1), "--grace-period must be at least 0, not -1"),
        (lambda: Search(reduction_factor=1), "--reduction-factor must be more than 1, not 1"),
        (lambda: Resources(concurrency=-1), "--concurrency must be at least 0, not -1"),
        (lambda: Resources(cpus_per_trial=0), "--cpus-per-trial must be more than 0, not 0"),
        (lambda: Resources(epoch_timeout=-1.0), "--epoch-timeout must not be negative, not -1"),
        (lambda: Resources(gpus_per_trial=-0.1), "--gpus-per-trial must not be negative, not -0.1"),
        (lambda: Resources(gpus_per_trial=float("inf")), "--gpus-per-trial must be finite, not inf"),
        (
            lambda: Resources(device="cuda"),
            "--device cuda needs a share of a GPU for each trial: give --gpus-per-trial 1",
        ),
        (
            lambda: Resources(device="mps", gpus_per_trial=0.5),
            "--device mps does not use the GPUs of --gpus-per-trial 0.5",
        ),
        (lambda: Resources(device="cpu", gpus_per_trial=1), "--device cpu does not use the GPUs of --gpus-per-trial 1"),
        (
            lambda: Resources(device="cuda:1", gpus_per_trial=1),
            "--device must be a kind of device such as cuda or mps, not 'cuda:1'",
        ),
        (lambda: Resources(cpus_per_trial=float("inf")), "--cpus-per-trial must be finite, not inf"),
        (lambda: Search(reduction_factor=float("inf")), "--reduction-factor must be finite, not inf"),
        (lambda: Stores(checkpoint_seconds=float("inf")), "--checkpoint-seconds must be finite, not inf"),
        (lambda: Stores(checkpoint_seconds=0), "--checkpoint-seconds must be more than 0, not 0"),
    ],
)
def test_lesser_values_are_refused_in_one_line(make, line):
    with pytest.raises(UsageError) as refusal:
        make()
    assert str(refusal.value) == line


@pytest.mark.parametrize(
    ("flag", "environment", "address"),
    [
        (None, None, ""),
        (None, "auto", "auto"),
        ("ray://a:1", None, "ray://a:1"),
        ("ray://a:1", "auto", "ray://a:1"),
        (None, "", ""),
        ("", "a:1", "a:1"),
        ("local", None, ""),
        ("local", "a:1", ""),
        (None, "local", ""),
        ("auto", "local", ""),  # Ray would take the environment's
        ("auto", "a:1", "auto"),
        ("a:1", "local", "a:1"),
    ],
)
def test_address_of_the_cluster_is_the_flag_or_that_of_the_environment(flag, environment, address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert Resources(address=flag).cluster_address == address


def test_changes_go_to_the_parts_that_own_them():
    budget, search, resources, stores = Budget(trials=3), Search(sampler="gp"), Resources(), Stores(storage="a")
    changes = {"max_epochs": 7, "grace_period": 4, "concurrency": 2, "storage_path": "s3://b"}
    assert merged(StudySpec, budget, search, resources, stores, changes) == {
        "budget": Budget(trials=3, max_epochs=7),
        "search": Search(sampler="gp", grace_period=4),
        "resources": Resources(concurrency=2),
        "stores": Stores(storage="a", storage_path="s3://b"),
    }
    names = [f.name for kind in (StudySpec, Budget, Search, Resources, Stores) for f in fields(kind)]
    with pytest.raises(UnknownFieldError) as refusal:
        merged(StudySpec, budget, search, resources, stores, {"trials": 3, "trails": 1, "epochs": 2})
    assert str(refusal.value) == f"unknown field trails; perhaps you meant trials; there are {', '.join(names)}"
    assert isinstance(refusal.value, TypeError)  # as for every unknown keyword


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Budget(max_epochs="x"), "max_epochs must be a whole number (int), not 'x'"),
        (lambda: Budget(trials=2.5), "trials must be a whole number (int), not 2.5"),
        (lambda: Budget(trials=True), "trials must be a whole number (int), not True"),
        (lambda: Search(reduction_factor="3"), "reduction_factor must be a number (float), not '3'"),
        (lambda: Search(deterministic=1), "deterministic must be True or False (bool), not 1"),
        (lambda: Search(sampler=3), "sampler must be a text (str), not 3"),
        (lambda: Search(only_arms="CASS"), "only_arms must be a tuple of texts (str), not 'CASS'"),
        (lambda: Resources(address=6379), "address must be a text (str) or None, not 6379"),
        (lambda: Stores(cache=3), "cache must be a path (pathlib.Path) or a text (str), not 3"),
        (
            lambda: Stores(cache=Path("s3://bucket/cache")),
            "--cache is a URI: give it as a text, because a path has one slash of two: s3:/bucket/cache",
        ),
    ],
)
def test_values_of_a_wrong_type_are_refused_in_one_line(make, line):
    with pytest.raises(UsageError) as refusal:
        make()
    assert str(refusal.value) == line


def test_cache_is_a_folder_or_a_uri():
    assert Stores(cache="data").cache == Stores(cache=Path("data")).cache == Path("data")
    assert Stores(cache="s3://bucket/cache").cache == "s3://bucket/cache"


def test_numbers_of_numpy_are_numbers():
    assert Budget(trials=np.int64(3)) == Budget(trials=3)
    assert Search(reduction_factor=np.float32(2)) == Search(reduction_factor=2)


def test_refusal_of_a_field_survives_the_way_from_another_process():
    with pytest.raises(UsageError) as refusal:
        Budget(max_epochs=0)
    sent = pickle.loads(pickle.dumps(refusal.value))
    assert (str(sent), sent.field, sent.why) == (str(refusal.value), "max_epochs", "must be at least 1, not 0")


def test_all_fields_of_all_parts_are_in_one_dictionary():
    class Owner:
        budget, search, resources, stores = Budget(trials=3), Search(sampler="gp"), Resources(), Stores(storage="a")

    found = flat(Owner)
    assert list(PARTS) == ["budget", "search", "resources", "stores"]
    assert list(found) == [f.name for part in (Budget, Search, Resources, Stores) for f in fields(part)]
    assert (found["trials"], found["sampler"], found["concurrency"], found["storage"]) == (3, "gp", 0, "a")


@pytest.mark.parametrize(
    ("search", "epochs", "grace"),
    [
        (Search(), 500, 25),
        (Search(), 39, 1),
        (Search(), 40, 2),
        (Search(), 1, 1),
        (Search(scheduler="median"), 20, 2),
        (Search(scheduler="pbt"), 500, 50),
        (Search(grace_period=7), 500, 7),
    ],
)
def test_a_trial_may_be_stopped_after_a_twentieth_of_a_full_training_where_nothing_else_is_said(search, epochs, grace):
    assert search.grace(epochs) == grace


@pytest.mark.parametrize(
    ("given", "device"),
    [({}, "cpu"), ({"gpus_per_trial": 0.25}, "cuda"), ({"device": "mps"}, "mps"), ({"device": "xpu"}, "xpu")],
)
def test_trials_train_on_the_device_that_is_named_or_on_their_gpus(given, device):
    assert Resources(**given).trial_device == device
