"""A step's random tensors are drawn and brought to the device at once; one by one where a draw looks at its batch."""

import pytest
import torch
from torch import nn

from sepray.contracts import Augmentation, Loss, Phase, Separator, Signal, Split, Supervision
from sepray.training.draws import Draws, joined, moved, parted
from sepray.training.trainer import Trainer
from sepray.training.views import view

SIGNAL = Signal(("a", "b"), 1, (4,), 8.0)


def test_tensors_are_put_together_and_apart_again():
    tensors = [
        torch.tensor([True, False, True]),
        torch.tensor(7),
        torch.empty(0, 3),
        torch.arange(6.0).reshape(2, 3).T,
        torch.tensor([1e-300, 2.0], dtype=torch.float64),
        torch.arange(5, dtype=torch.int32)[::2],
        torch.tensor([1.5], dtype=torch.bfloat16),
    ]
    together = joined(tensors)
    assert together.shape == (16 + 16 + 0 + 32 + 16 + 16 + 16,)
    for found, tensor in zip(parted(together, tensors), tensors, strict=True):
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor)


def test_what_is_for_the_cpu_stays_as_it_is():
    cpu, meta = torch.device("cpu"), torch.device("meta")
    groups = [{"index": torch.arange(3)}, {"noise": torch.rand(2, 5), "there": torch.zeros(4, device="meta")}, {}]
    assert all(group is moved_ for group, moved_ in zip(groups, moved(groups, [cpu] * 3), strict=True))
    there = moved(groups, [cpu, meta, meta])
    assert there[0]["index"] is groups[0]["index"]
    assert there[1]["there"] is groups[1]["there"]
    assert (there[1]["noise"].device, there[1]["noise"].shape) == (meta, (2, 5))
    assert groups[1]["noise"].device == cpu


@pytest.mark.parametrize("looks", [False, True])
def test_batches_are_taken_where_the_data_are_and_all_ends_up_with_the_separator(looks):
    toy, generator = Toy(Supervision.PAIRED, looks), torch.Generator().manual_seed(0)
    sources = torch.rand(12, 2, 1, 4, generator=generator)
    data = view(Split(sources.sum(1), sources), Supervision.PAIRED, generator, 0.5)
    draws = Draws(toy.phases(), Augmentation(), Supervision.PAIRED, generator, torch.device("meta"))
    draws.begin_epoch(data, 12, 4)
    draws.begin(torch.arange(4))
    assert {tensor.device.type for chosen in draws._chosen for tensor in chosen.values()} == {"cpu"}
    for _ in range(2):  # the second one is drawn when it is needed
        batch = draws.batch()
        assert {tensor.device.type for tensor in batch.values()} == {"meta"}
    shown = {"mixture": torch.rand(4, 1, 4)}
    one, two, three = toy.phases()
    for phase in (one, two, two, three, one):  # all of a step, and one that is drawn when it is needed
        found = {tensor.device.type for tensor in draws.random(phase, shown).values()}
        assert found == (set() if phase is three else {"meta"})


class Toy(Separator):
    """One weight; its phases draw noise, with batches of their own or without."""

    def __init__(self, supervision, looks):
        super().__init__(SIGNAL)
        self.weight = nn.Parameter(torch.zeros(()))
        self.supervision, self.paired_fraction, self.looks = supervision, 0.5, looks
        self.seen = []

    def hyperparameters(self):
        return {"rate": 0.1, "on": 1.0}

    def phases(self):
        return (
            Phase("one", ("weight",), "rate", loss, self.draw),
            Phase("two", ("weight",), "rate", loss, self.draw, repeats=2, active="on"),
            Phase("three", ("weight",), "rate", loss, None, own_batches=True),
        )

    def draw(self, batch, generator):
        if self.looks:
            assert batch["mixture"].sum().isfinite()
        return {"noise": torch.rand(batch["mixture"].shape, generator=generator)}


def loss(toy, batch, hyperparameters, random):
    toy.seen += [*batch.values(), *random.values()]
    noise = random.get("noise", batch["mixture"]).mean()
    total = (toy.weight - sum(tensor.mean() for tensor in batch.values())).square() + noise
    return Loss(total, {"total": total}, {"carried": total.detach()})


def trained(supervision, how, looks, on=1.0):
    generator = torch.Generator().manual_seed(0)
    sources = torch.rand(12, 2, 1, 9 if how.crop else 4, generator=generator)
    data = view(Split(sources.sum(1), sources), supervision, generator, 0.5)
    toy = Toy(supervision, looks)
    run = Trainer(toy, data, {"on": on}, 3, 4, (0.9, 0.999), augment=how)
    return toy, [run.epoch() for _ in range(2)], run


@pytest.mark.parametrize("supervision", Supervision)
@pytest.mark.parametrize("how", [Augmentation(), Augmentation(crop=4), Augmentation(4, 0.5, (-3, 3))])
@pytest.mark.parametrize("on", [1.0, 0.0])
def test_draws_that_look_at_their_batch_are_the_same_to_the_bit(supervision, how, on):
    ahead, as_needed = (trained(supervision, how, looks, on) for looks in (False, True))
    assert ahead[1] == as_needed[1]
    assert len(ahead[0].seen) == len(as_needed[0].seen)
    assert all(torch.equal(a, b) for a, b in zip(ahead[0].seen, as_needed[0].seen, strict=True))
    assert torch.equal(ahead[2].generator.get_state(), as_needed[2].generator.get_state())


def test_error_of_a_draw_is_its_own():
    class Wrong(Toy):
        def draw(self, batch, generator):
            return {"noise": torch.rand(batch["mixture"].shapes)}

    sources = torch.rand(8, 2, 1, 4)
    data = view(Split(sources.sum(1), sources), Supervision.PAIRED, torch.Generator(), 0.5)
    run = Trainer(Wrong(Supervision.PAIRED, False), data, {}, 0, 4, (0.9, 0.999))
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'shapes'"):
        run.epoch()


@pytest.mark.parametrize("asks", [lambda batch: "carried" in batch, lambda batch: batch.get("carried") is not None])
def test_what_is_carried_can_be_drawn_for(asks):
    class Carried(Toy):
        def phases(self):
            return tuple(Phase(name, ("weight",), "rate", loss, self.draw) for name in ("one", "two"))

        def draw(self, batch, generator):
            return {"noise": torch.rand(3 + asks(batch), generator=generator)}

    sources = torch.rand(8, 2, 1, 4)
    data = view(Split(sources.sum(1), sources), Supervision.PAIRED, torch.Generator(), 0.5)
    toy = Carried(Supervision.PAIRED, False)
    Trainer(toy, data, {}, 0, 4, (0.9, 0.999)).epoch()
    assert [len(tensor) for tensor in toy.seen if tensor.dim() == 1] == [3, 4, 3, 4]
