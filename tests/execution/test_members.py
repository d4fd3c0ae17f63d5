"""The separators of one trial: what each is made with, what they report together, and what is saved of them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sepray.contracts import Augmentation, Signal
from sepray.execution import checkpoint, members
from sepray.execution.checkpoint import Checkpoint
from sepray.execution.members import Members
from sepray.execution.weights import state_of_member
from sepray.training.augmentation import PLAIN

from .bench import SIGNAL, TRAIN, VALIDATION, Config, Gains, run, same, split, values, weights


def tensors(arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


def members_of(config=None, signal=SIGNAL, **changes):
    options = {
        "seed": 11,
        "count": 2,
        "train": tensors(TRAIN),
        "hyperparameters": {},
        "device": "cpu",
        "augmentation": PLAIN,
        **changes,
    }
    return Members(config or Config(), signal, **options)


def weights_of(group):
    return [{name: t.clone() for name, t in trainer.separator.state_dict().items()} for trainer in group.trainers]


def saved(group, epoch=1):
    named, states = group.state()
    return Checkpoint(epoch, named, {"members": states})


def test_result_of_several_members_is_the_mean_of_each_alone():
    together = members_of()
    alone = []
    for index in (0, 1):
        single = members_of()
        del single.trainers[1 - index]
        alone.append(single)
    for _ in range(2):
        both, first, second = (group.epoch(tensors(VALIDATION), 3) for group in (together, *alone))
        assert first != second
        assert both.keys() == first.keys()
        for name in ("train/mse", "validation/relative_l2", "validation/high/si_sdr", "validation/low/energy_ratio"):
            assert both[name] == pytest.approx((first[name] + second[name]) / 2, rel=1e-12)
    assert together.epochs == 2


def test_members_begin_with_seeds_of_their_own_that_the_trials_seed_decides():
    first, second = weights_of(members_of())
    assert not same(first, second)
    assert all(same(a, b) for a, b in zip(weights_of(members_of()), (first, second), strict=True))
    assert same(weights_of(members_of(count=1))[0], first), "more members begin with the same"
    assert not same(weights_of(members_of(seed=12))[0], first)
    generators = [trainer.generator.initial_seed() for trainer in members_of().trainers]
    assert generators == np.random.SeedSequence(11).generate_state(2).tolist()


def test_checkpoint_of_a_trial_holds_every_member(bench):
    together = bench(seed=11, members=2)
    results = run(together)
    stored = checkpoint.newest(f"{bench.folder}/trial-0")
    assert stored is not None
    assert same(state_of_member(stored, 0), weights(together, 0))
    assert same(state_of_member(stored, 1), weights(together, 1))
    assert not same(weights(together, 0), weights(together, 1))
    alone = members_of(seed=11)
    for result in results:
        means = alone.epoch(tensors(VALIDATION), 3)
        assert {name: values(result)[name] for name in means} == means


def test_state_is_a_copy_and_is_gone_on_from_with_the_settings_that_are_asked_for():
    group = members_of(hyperparameters={"rate": 0.3})
    group.epoch(tensors(VALIDATION), 3)
    kept, before = saved(group), weights_of(group)
    expected = group.epoch(tensors(VALIDATION), 3)
    other = members_of(seed=99)
    other.load(kept, {"rate": 0.3})
    assert all(same(a, b) for a, b in zip(weights_of(other), before, strict=True))
    assert other.epochs == 1
    assert other.epoch(tensors(VALIDATION), 3) == expected
    other.load(kept, {"noise": 0.0})
    assert [trainer.hyperparameters for trainer in other.trainers] == [{"rate": 0.05, "noise": 0.0}] * 2


def test_checkpoint_of_another_number_of_members_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        members_of(count=2).load(saved(members_of(count=1)), {})


# -- settings arrive -------------------------------------------------------------------------------------------------


def test_batches_are_cropped_as_the_augmentation_says():
    group = members_of(augmentation=Augmentation(crop=8))
    group.epoch(tensors(VALIDATION), 3)
    for trainer in group.trainers:
        assert trainer.separator.trained == [(4, 1, 8)] * 2
        assert {shape[1:] for shape in trainer.separator.separated} == {(1, 64)}, "validation items stay whole"


def test_the_trials_augmentation_reaches_its_members(bench):
    trial = bench(augmentation=Augmentation(crop=8))
    trial.step()
    assert trial._members.trainers[0].separator.trained == [(4, 1, 8)] * 2


@pytest.mark.parametrize(("batch_size", "batches"), [(4, [4, 4]), (3, [3, 3]), (8, [8]), (50, [8])])
def test_batch_size_is_the_separators(batch_size, batches):
    group = members_of(Config(batch_size=batch_size), count=1)
    group.epoch(tensors(VALIDATION), 3)
    assert [shape[0] for shape in group.trainers[0].separator.trained] == batches


def test_betas_and_hyperparameters_are_those_that_were_given():
    group = members_of(Config(betas=(0.3, 0.7)), hyperparameters={"rate": 0.125})
    for trainer in group.trainers:
        adam = trainer._optimizers["gains"]
        assert (adam.betas, adam.lr) == ((0.3, 0.7), 0.125)
        assert trainer.hyperparameters == {"rate": 0.125, "noise": 0.1}


def test_device_is_the_one_that_was_asked_for():
    """Tensors on the device ``meta`` have shapes and no values, which is enough to see where they went."""
    group = members_of(device="meta")
    assert {trainer.separator.gains.device.type for trainer in group.trainers} == {"meta"}
    assert {t.device.type for trainer in group.trainers for t in trainer.data.values()} == {"meta"}


@pytest.mark.parametrize(("batch_size", "batches"), [(3, [3, 3, 2]), (8, [8]), (200, [8]), (1, [1] * 8)])
def test_validation_items_are_separated_in_batches_of_their_own_size(bench, batch_size, batches):
    group = members_of()
    group.epoch(tensors(VALIDATION), batch_size)
    for trainer in group.trainers:
        assert [shape[0] for shape in trainer.separator.separated] == batches
    trial = bench(evaluation_batch=batch_size)
    trial.step()
    assert [shape[0] for shape in trial._members.trainers[0].separator.separated] == batches


def test_scores_do_not_depend_on_the_size_of_the_batches():
    separator = Gains(SIGNAL, Config())
    whole = members.score(separator, SIGNAL, tensors(VALIDATION), 8)
    for size in (1, 3, 7):
        assert members.score(separator, SIGNAL, tensors(VALIDATION), size) == pytest.approx(whole, rel=1e-5)


def test_measures_are_those_of_the_kind_of_signal():
    def names(signal, arrays):
        return set(members.score(Gains(signal, Config()), signal, tensors(arrays), 8))

    sound = names(SIGNAL, VALIDATION)
    assert not sound & {"psnr", "ssim", "heart_rate_error"}
    pictures = {name: np.abs(array[..., None].repeat(64, -1)) for name, array in split(2, items=2).items()}
    images = names(Signal(("low", "high"), 1, (64, 64), None), pictures)
    assert images - sound == {f"{at}{name}" for name in ("psnr", "ssim") for at in ("", "low/", "high/")}
    long = {name: np.tile(array, 16) for name, array in VALIDATION.items()}
    hearts = names(Signal(("low", "high"), 1, (1024,), 64.0, heart_sources=("high",)), long)
    of_hearts = ("heart_rate_error", "beat_f1", "missed_beats", "invented_beats")
    assert hearts - sound == {f"{at}{name}" for name in of_hearts for at in ("", "high/")}


def test_true_beats_of_the_validation_split_are_scored_against():
    signal = Signal(("low", "high"), 1, (1024,), 64.0, heart_sources=("high",))
    arrays = tensors({name: np.tile(array, 16) for name, array in VALIDATION.items()})
    items = len(arrays["mixture"])
    none = torch.full((items, 2, 3), torch.nan, dtype=torch.float64)
    some = none.clone()
    some[:, 1, 0] = 3.0
    found = [members.score(Gains(signal, Config()), signal, arrays | {"beats": b}, 8) for b in (none, some)]
    assert found[0]["high/missed_beats"] == 0
    assert found[1]["high/missed_beats"] > 0


def test_failure_is_the_one_that_the_separator_sees():
    @dataclass(frozen=True)
    class Lost(Config):
        failing: object = lambda result: f"lost at {result['epoch']}"

    assert members_of(Lost()).failure({"epoch": 3}) == "lost at 3"
    assert members_of().failure({"epoch": 3}) is None


def test_large_validation_is_scored_in_groups_with_the_same_result(monkeypatch):
    separator = members_of().trainers[0].separator
    items = tensors(split(2, 7))
    expected = members.score(separator, SIGNAL, items, 2)
    separator.separated.clear()
    monkeypatch.setattr(members, "_SCORED_BYTES", 3 * 2 * 64 * 4 + 1)
    assert members.score(separator, SIGNAL, items, 2) == pytest.approx(expected, rel=1e-6)
    assert [shape[0] for shape in separator.separated] == [2, 1, 2, 1, 1]
