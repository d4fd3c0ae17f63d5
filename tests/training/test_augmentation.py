"""Crops and remixes of batches, on items whose every value says where it is from; what a trainer does with them."""

import dataclasses

import pytest
import torch
from torch import Tensor

from sepray.contracts import Augmentation, Loss, Phase, Separator, Signal, Split, Supervision
from sepray.training.augmentation import PLAIN, batch
from sepray.training.trainer import Trainer
from sepray.training.views import view

ITEMS, SOURCES, CHANNELS, TIME, CROP = 50, 3, 2, 40, 8
NOISE = 0.25
CROPPED = Augmentation(crop=CROP)


def split(items: int = ITEMS) -> Split:
    """Items whose values are item + 1000 source + 10000 channel + time / 64; mixtures have some noise besides."""
    item = torch.arange(items)[:, None, None, None]
    source, channel = torch.arange(SOURCES)[:, None, None], torch.arange(CHANNELS)[:, None]
    sources = item + 1000.0 * source + 10000 * channel + torch.arange(TIME) / 64
    return Split(sources.sum(1) + NOISE, sources)


def seen(supervision: Supervision) -> dict[str, Tensor]:
    return view(split(), supervision, torch.Generator().manual_seed(0), 0.5)


def drawn(supervision: Supervision, how: Augmentation, size: int = 400, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    data = seen(supervision)
    index = torch.randint(len(data["mixture"]), (size,), generator=generator)
    return {"index": index} | batch(data, index, how, supervision, generator)


def item(sources: Tensor) -> Tensor:
    """Number of the item that each source is from, ``[batch, source]``."""
    return sources[:, :, 0, 0].remainder(1000).floor()


def start(sources: Tensor) -> Tensor:
    """Return where the crop of each source begins, ``[batch, source]``."""
    return sources[:, :, 0, 0].remainder(1) * 64


@pytest.mark.parametrize("supervision", Supervision)
def test_plain_items_are_as_they_are_and_nothing_is_drawn(supervision: Supervision) -> None:
    data, generator = seen(supervision), torch.Generator().manual_seed(0)
    before = generator.get_state()
    made = batch(data, torch.tensor([3, 1]), PLAIN, supervision, generator)
    assert torch.equal(generator.get_state(), before)
    assert {name: tensor.shape for name, tensor in made.items()} == {n: (2, *t.shape[1:]) for n, t in data.items()}
    assert all(torch.equal(made[name][1], tensor[1]) for name, tensor in data.items())


@pytest.mark.parametrize("supervision", Supervision)
def test_every_tensor_is_cropped_anywhere_and_crops_are_of_consecutive_samples(supervision: Supervision) -> None:
    made = drawn(supervision, CROPPED)
    made.pop("index")
    assert made.keys() == seen(supervision).keys()
    for name, tensor in made.items():
        factor = SOURCES if name.endswith("mixture") else 1
        assert tensor.shape[-1] == CROP
        assert torch.equal(tensor.diff(dim=-1), torch.full_like(tensor[..., 1:], factor / 64))


def test_pairs_stay_together() -> None:
    made = drawn(Supervision.PAIRED, CROPPED)
    assert torch.equal(made["mixture"], made["sources"].sum(1) + NOISE)
    assert torch.equal(item(made["sources"]), made["index"][:, None].expand(-1, SOURCES).float())
    assert set(start(made["sources"]).flatten().tolist()) == set(range(TIME - CROP + 1))  # the last one too


def test_unpaired_sources_and_observed_ones_are_cropped_at_times_of_their_own() -> None:
    made = drawn(Supervision.UNPAIRED_SOURCES, CROPPED)
    begins = start(made["sources"])
    for one, other in ((begins[:, 0], begins[:, 1]), (begins[:, 1], begins[:, 2])):
        assert (one == other).float().mean() == pytest.approx(1 / 33, abs=0.03)
    made = drawn(Supervision.OBSERVED_SOURCE, CROPPED)
    mixtures = (made["mixture"][:, 0, 0] - NOISE - 3000).div(3).remainder(1).mul(64).round()
    same = made["observed"][:, 0, 0].remainder(1).mul(64) == mixtures
    assert same.float().mean() == pytest.approx(1 / 33, abs=0.03)


def test_semi_paired_has_both() -> None:
    made = drawn(Supervision.SEMI_PAIRED, CROPPED)
    assert torch.equal(made["paired_mixture"], made["paired_sources"].sum(1) + NOISE)
    assert (start(made["sources"])[:, 0] == start(made["sources"])[:, 1]).float().mean() < 0.1


def test_what_another_separator_made_of_a_mixture_is_cropped_with_it() -> None:
    data = {"mixture": split().mixture, "observed": split().mixture, "start": split().sources}
    made = batch(data, torch.arange(ITEMS), CROPPED, Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
    assert torch.equal(made["mixture"], made["start"].sum(1) + NOISE)


def test_remixed_mixtures_are_of_sources_from_anywhere_with_what_was_beside_them() -> None:
    made = drawn(Supervision.PAIRED, Augmentation(crop=CROP, remix=1))
    torch.testing.assert_close(made["mixture"], made["sources"].sum(1) + NOISE, rtol=0, atol=0.02)
    numbers, begins = item(made["sources"]), start(made["sources"])
    assert (numbers[:, 0] == numbers[:, 1]).float().mean() == pytest.approx(1 / ITEMS, abs=0.02)
    assert (begins[:, 0] == begins[:, 1]).float().mean() == pytest.approx(1 / 33, abs=0.03)
    assert set(numbers.flatten().tolist()) == set(range(ITEMS))


def test_share_and_level_of_remixes() -> None:
    half = drawn(Supervision.PAIRED, Augmentation(remix=0.5, remix_level=(-6, 6)))
    plain = split().sources[half["index"]]
    kept = (half["sources"] == plain).flatten(1).all(1)
    assert kept.float().mean() == pytest.approx(0.5, abs=0.07)
    assert torch.equal(half["mixture"][kept], split().mixture[half["index"]][kept])
    # The second channel's values are 10000 to 12050, so a level can be told to half a decibel or so.
    levels = 20 * torch.log10(half["sources"][~kept][:, 0, 1, 0] / 10025)
    assert levels.min() == pytest.approx(-6, abs=0.3)
    assert levels.max() == pytest.approx(6, abs=0.3)
    assert levels.mean() == pytest.approx(0, abs=1)


def test_no_remix_is_made_of_sources_that_may_not_be_seen_together() -> None:
    for supervision in (Supervision.UNPAIRED_SOURCES, Supervision.OBSERVED_SOURCE, Supervision.NONE):
        plain, remixed = (drawn(supervision, dataclasses.replace(CROPPED, remix=share)) for share in (0, 1))
        assert all(torch.equal(plain[name], remixed[name]) for name in plain)


def test_semi_paired_remixes_the_pairs_alone() -> None:
    plain, remixed = (drawn(Supervision.SEMI_PAIRED, dataclasses.replace(CROPPED, remix=share)) for share in (0, 1))
    assert torch.equal(plain["mixture"], remixed["mixture"])
    assert torch.equal(plain["sources"], remixed["sources"])
    pairs = remixed["paired_sources"]
    assert (item(pairs)[:, 0] == item(pairs)[:, 1]).float().mean() < 0.1
    torch.testing.assert_close(remixed["paired_mixture"], pairs.sum(1) + NOISE, rtol=0, atol=0.02)


class Witness(Separator):
    """Writes down what it is handed; its loss depends on nothing."""

    def __init__(self) -> None:
        super().__init__(Signal(("a", "b", "c"), CHANNELS, (CROP,), 8.0))
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.prepared: list[Tensor] = []
        self.batches: list[Tensor] = []

    def hyperparameters(self) -> dict[str, float]:
        return {"learning_rate": 0.0}

    def prepare(self, data):
        self.prepared.append(data["mixture"])

    def phases(self) -> tuple[Phase, ...]:
        def loss(separator, batch, hyperparameters, random) -> Loss:
            separator.batches.append(batch["mixture"])
            return Loss(self.weight * 0, {})

        return (Phase("only", ("weight",), "learning_rate", loss),)


class Keeper(Witness):
    keeps_items = True


class Fitter(Witness):
    def phases(self) -> tuple[Phase, ...]:
        return ()

    def fit_epoch(self, data, hyperparameters, generator) -> dict[str, float]:
        self.batches.append(data["mixture"])
        return {}


def epochs(kind: type[Witness], count: int = 2, seed: int = 0) -> tuple[Witness, list[Tensor]]:
    """The separator, and the items of each epoch in one order."""
    separator = kind()
    trainer = Trainer(separator, seen(Supervision.PAIRED), {}, seed, 10, (0.9, 0.999), augment=CROPPED)
    found = []
    for _ in range(count):
        separator.batches.clear()
        trainer.epoch()
        together = torch.cat(separator.batches)
        found.append(together[together[:, 0, 0].argsort()])
    return separator, found


@pytest.mark.parametrize("kind", [Witness, Fitter])
def test_every_epoch_has_crops_of_its_own_of_all_items(kind: type[Witness]) -> None:
    separator, (first, second) = epochs(kind)
    assert separator.prepared[0].shape == first.shape == (ITEMS, CHANNELS, CROP)
    for one in (first, second):
        assert ((one[:, 0, 0] - NOISE - 3000) / 3).floor().tolist() == list(range(ITEMS))
    assert not torch.equal(first, second)
    again = epochs(kind)[1]
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, epochs(kind, seed=1)[1][0])


def test_a_separator_that_keeps_items_has_the_same_ones_in_all_epochs() -> None:
    separator, (first, second) = epochs(Keeper)
    assert torch.equal(first, second)
    assert torch.equal(first, separator.prepared[0])
    assert not torch.equal(first, epochs(Keeper, seed=1)[1][0])


def test_training_goes_on_from_a_state_with_the_crops_that_it_would_have_had() -> None:
    def trainer() -> Trainer:
        return Trainer(Witness(), seen(Supervision.PAIRED), {}, 0, 10, (0.9, 0.999), augment=CROPPED)

    first = trainer()
    first.epoch()
    other = trainer()
    other.load_state(*first.state())
    for one in (first, other):
        one.separator.batches.clear()
        one.epoch()
    assert torch.equal(torch.cat(first.separator.batches), torch.cat(other.separator.batches))
