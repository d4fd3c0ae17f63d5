"""The trainer on separators of one weight, worked out by hand; views; states."""

import math

import pytest
import torch
from torch import nn

from sepray.contracts import Loss, Phase, Separator, Signal, Split, Supervision
from sepray.training.trainer import (
    NonFiniteLossError,
    Trainer,
    batches,
    build,
    phase_gradients,
    phase_parameters,
    resolve,
)
from sepray.training.views import view

SIGNAL = Signal(("a", "b"), 1, (4,), 8.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split(items: int = 6) -> Split:
    """Source k of item n is 10 k + n everywhere."""
    sources = torch.arange(items)[:, None, None, None] + 10.0 * torch.arange(2)[None, :, None, None]
    sources = sources.expand(-1, -1, 1, 4).contiguous()
    return Split(sources.sum(1), sources)


class Toy(Separator):
    """Weight ``first`` learns the mean of the mixtures, ``second`` follows what the first phase carries."""

    def __init__(self) -> None:
        super().__init__(SIGNAL)
        self.first = nn.Parameter(torch.zeros(()))
        self.second = nn.Parameter(torch.rand(()))
        self.register_buffer("mean", torch.zeros(()))
        self.batches: list[tuple[str, list[float]]] = []
        self.repeats = 1

    def hyperparameters(self):
        return {"weight": 2.0, "first_rate": 0.1, "second_rate": 0.01, "on": 1.0}

    def prepare(self, data):
        self.mean.copy_(data["mixture"].mean())

    def before_epoch(self, data, epoch, generator):
        return {**data, "epoch": torch.full((len(data["mixture"]),), float(epoch))}

    def phases(self):
        return (
            Phase("one", ("first",), "first_rate", first_loss, repeats=self.repeats),
            Phase("two", ("second",), "second_rate", second_loss, draw=draw, active="on"),
        )


def draw(batch, generator):
    return {"noise": torch.rand((), generator=generator)}


def first_loss(toy, batch, hyperparameters, random):
    toy.batches.append(("one", [x.item() for x in batch["mixture"][:, 0, 0]]))
    total = hyperparameters["weight"] * (toy.first - batch["mixture"].mean()) ** 2
    return Loss(total, {"one": total, "epoch": batch["epoch"].mean()}, {"seen": toy.first.detach() + 100})


def second_loss(toy, batch, hyperparameters, random):
    toy.batches.append(("two", batch["mixture"][:, 0, 0].tolist()))
    total = (toy.second - batch["seen"]) ** 2
    return Loss(total, {"two": total, "noise": random["noise"]})


def trainer(hyperparameters=None, seed=0, batch_size=6, toy=None, items=6) -> Trainer:
    data = view(split(items), Supervision.PAIRED, generator())
    torch.manual_seed(1)
    return Trainer(toy or Toy(), data, hyperparameters or {}, seed, batch_size, (0.9, 0.999))


def test_views_hold_what_the_supervision_allows_and_no_pairs_beyond_it():
    data = split(50)
    assert set(view(data, Supervision.NONE, generator())) == {"mixture"}
    paired = view(data, Supervision.PAIRED, generator())
    assert torch.equal(paired["mixture"], data.mixture)
    assert torch.equal(paired["sources"], data.sources)

    unpaired = view(data, Supervision.UNPAIRED_SOURCES, generator())
    assert set(unpaired) == {"mixture", "sources"}
    assert torch.equal(unpaired["sources"].sort(0).values, data.sources.sort(0).values)
    a, b = unpaired["sources"][:, 0, 0, 0], unpaired["sources"][:, 1, 0, 0] - 10
    items = torch.arange(50.0)
    # A random order keeps one item in place on average.
    assert all((x == y).sum() < 6 for x, y in ((a, b), (a, items), (b, items)))

    observed = view(data, Supervision.OBSERVED_SOURCE, generator())
    assert set(observed) == {"mixture", "observed"}
    assert torch.equal(observed["observed"].sort(0).values, data.sources[:, 1])
    assert (observed["observed"][:, 0, 0] - 10 == items).sum() < 6


@pytest.mark.parametrize(("fraction", "paired", "items"), [(0.2, 10, 40), (0.8, 40, 40)])
def test_semi_paired_view_shows_a_fraction_of_the_pairs_and_hides_the_others(fraction, paired, items):
    data = split(50)
    seen = view(data, Supervision.SEMI_PAIRED, generator(), fraction)
    assert {name: len(tensor) for name, tensor in seen.items()} == dict.fromkeys(
        ("mixture", "sources", "paired_mixture", "paired_sources"), items
    )
    # The values tell the item n: the first source is n, the second 10 + n, the mixture 10 + 2 n.
    known = (seen["paired_mixture"][:, 0, 0] - 10) / 2
    assert torch.equal(seen["paired_sources"][:, 0, 0, 0], known)
    assert torch.equal(seen["paired_sources"][:, 1, 0, 0], known + 10)
    unknown = (seen["mixture"][:, 0, 0] - 10) / 2
    first, second = seen["sources"][:, 0, 0, 0], seen["sources"][:, 1, 0, 0] - 10
    assert len(known.unique()) == paired
    assert len(unknown.unique()) == 50 - paired
    assert sorted({*known.tolist()} | {*unknown.tolist()}) == list(range(50))
    assert {*first.tolist()} == {*second.tolist()} == {*unknown.tolist()}
    rows = slice(50 - paired)  # once each; then they recur
    assert all((x[rows] == y[rows]).sum() < 6 for x, y in ((first, second), (first, unknown), (second, unknown)))


@pytest.mark.parametrize("fraction", [0.0, 0.001, 1.0])
def test_semi_paired_view_needs_items_of_both_kinds(fraction):
    with pytest.raises(ValueError, match=rf"^paired_fraction = {fraction} of 50 items leaves none of one kind$"):
        view(split(50), Supervision.SEMI_PAIRED, generator(), fraction)


def test_batches_are_of_one_size_and_hold_no_item_twice():
    taken = list(batches(10, 4, generator()))
    assert [len(b) for b in taken] == [4, 4]
    assert len(set(torch.cat(taken).tolist())) == 8
    assert [len(b) for b in batches(3, 50, generator())] == [3]


def test_first_step_of_adam_is_the_learning_rate_against_the_gradient_and_the_carry_arrives():
    toy = Toy()
    start = toy.second.item()
    parts = trainer(toy=toy).epoch()
    mean = sum(10 + 2 * n for n in range(6)) / 6
    assert toy.mean.item() == mean == 15
    assert toy.first.item() == pytest.approx(0.1, rel=1e-5)
    assert toy.second.item() == pytest.approx(start + 0.01, rel=1e-4)
    assert parts["one"] == pytest.approx(2 * 15**2)
    assert parts["two"] == pytest.approx((start - 100) ** 2, rel=1e-5)


def test_two_steps_follow_adam_written_out_and_the_parts_are_means():
    run = trainer({"first_rate": 0.5, "on": 0}, batch_size=3)
    parts = run.epoch()
    means = [sum(batch) / 3 for _, batch in run.separator.batches]
    weight, m, v, losses = 0.0, 0.0, 0.0, []
    for t, mean in enumerate(means, 1):
        gradient = 2 * 2 * (weight - mean)
        losses.append(2 * (weight - mean) ** 2)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        weight -= 0.5 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert run.separator.first.item() == pytest.approx(weight, rel=1e-5)
    assert parts == {"one": pytest.approx(sum(losses) / 2), "epoch": 0.0}
    assert run.epoch()["epoch"] == 1.0


def test_adam_begins_anew_where_the_separator_says_so():
    """The first step of a new Adam is the learning rate against the gradient, whatever the gradients were before."""
    reset, plain = Toy(), Toy()
    reset.resets = lambda epoch: epoch == 1
    runs = [trainer(toy=toy) for toy in (reset, plain)]
    for run in runs:
        run.epoch()
        run.set_hyperparameters({"weight": 0.01})
        run.epoch()
    assert reset.first.item() == pytest.approx(0.2, rel=1e-5)  # below the mean of the mixtures in both steps
    assert plain.first.item() < 0.19  # the large first gradient still counts in the second moment


def test_inactive_phase_is_skipped_and_repeats_take_batches_of_their_own():
    toy = Toy()
    toy.repeats = 3
    run = trainer({"on": 0}, toy=toy, batch_size=2, items=40)
    start = toy.second.item()
    run.epoch()
    assert toy.second.item() == start
    assert [phase for phase, _ in toy.batches] == ["one"] * 60
    assert len({tuple(batch) for _, batch in toy.batches[:9]}) == 9
    firsts = [value for _, batch in toy.batches[::3] for value in batch]
    assert len(set(firsts)) == 40  # of every step the first batch is of the pass over the data


def test_random_tensors_come_from_the_seed_alone():
    def noise(seed):
        torch.manual_seed(torch.seed())
        before = torch.random.get_rng_state()
        value = trainer(seed=seed).epoch()["noise"]
        return value, before

    assert noise(3)[0] == noise(3)[0] != noise(4)[0]
    run = trainer()
    before = torch.random.get_rng_state()
    run.epoch()
    assert torch.equal(before, torch.random.get_rng_state())


def test_restored_trainer_goes_on_bit_for_bit():
    run = trainer({"first_rate": 0.3}, batch_size=2)
    run.epoch()
    tensors, values = run.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    expected = run.epoch(), run.separator.state_dict()
    other = trainer(seed=9, batch_size=2)
    other.epoch()
    other.load_state(tensors, values)
    assert other.epochs == 1
    assert (other.epoch(), other.separator.state_dict()) == expected
    assert other.hyperparameters["first_rate"] == 0.3


def test_state_before_the_first_epoch_can_be_restored_too():
    tensors, values = trainer().state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    other = trainer(seed=5)
    other.epoch()
    other.load_state(tensors, values)
    assert other.epoch() == trainer().epoch()


def test_foreign_state_is_refused():
    run = trainer()
    tensors, values = run.state()
    with pytest.raises(ValueError, match=r"does not fit this separator"):
        run.load_state({**tensors, "separator.third": torch.zeros(())}, values)


def test_new_hyperparameters_hold_from_the_next_step_and_the_moments_stay():
    run = trainer()
    run.epoch()
    before = run.separator.first.item()
    run.set_hyperparameters({"first_rate": 0.0})
    run.epoch()
    assert run.separator.first.item() == before
    tensors, _ = run.state()
    assert tensors["adam.one.first.step"].item() == 2


@pytest.mark.parametrize("where", [0, 1])
def test_nan_is_raised_with_its_place_before_the_weight_changes(where):
    run = trainer(batch_size=3)
    data = split(6).mixture
    order = torch.cat(list(batches(6, 3, generator(0))))
    data[order[3 * where]] = math.nan
    run.data = {"mixture": data}
    seen = []
    run.separator.first.register_hook(lambda g: seen.append(g))
    with pytest.raises(NonFiniteLossError, match=r"one of phase one is not finite in epoch 0") as caught:
        run.epoch()
    assert caught.value.step == where
    assert len(seen) == where
    assert run.separator.first.isfinite()


def test_unknown_names_and_uneven_data_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^unknown hyperparameter gamma; there are: first_rate, on, second"):
        resolve(Toy(), {"gamma": 1.0})
    with pytest.raises(ValueError, match=r"as many items of each kind, not"):
        Trainer(Toy(), {"mixture": torch.zeros(3, 1, 4), "sources": torch.zeros(2, 2, 1, 4)}, {}, 0, 2, (0.9, 0.999))
    with pytest.raises(ValueError, match=r"phase 'x' updates 'fir', which names no parameter"):
        phase_parameters(Toy(), Phase("x", ("fir",), "first_rate", first_loss))


def test_functional_gradients_are_of_the_phase_alone_and_use_the_given_tensors():
    toy = Toy()
    parameters = {"first": torch.tensor(1.0), "second": torch.tensor(5.0)}
    batch = {"mixture": torch.full((2, 1, 4), 4.0), "epoch": torch.zeros(2)}
    weights = {"weight": torch.tensor(3.0)}
    gradients, loss = phase_gradients(toy, toy.phases()[0], parameters, {}, batch, weights, {})
    assert {name: g.item() for name, g in gradients.items()} == {"first": -18.0}
    assert (loss.total.item(), loss.carry["seen"].item()) == (27.0, 101.0)


def test_build_gives_the_weights_of_the_seed_and_leaves_the_global_generator():
    class Config:
        def build(self, signal):
            return Toy()

    before = torch.random.get_rng_state()
    first, again, other = (build(Config(), SIGNAL, seed).second.item() for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(before, torch.random.get_rng_state())


class Turned(Separator):
    """A weight whose gradient lies in memory column by column."""

    def __init__(self) -> None:
        super().__init__(SIGNAL)
        self.weight = nn.Parameter(torch.zeros(2, 3))
        self.told: list[float] = []

    def hyperparameters(self):
        return {"rate": 1.0}

    def set_hyperparameters(self, hyperparameters):
        self.told.append(hyperparameters["rate"])

    def phases(self):
        def loss(turned, batch, hyperparameters, random):
            total = (turned.weight.t().reshape(-1) * torch.arange(6.0)).sum()
            return Loss(total, {"total": total})

        return (Phase("one", ("weight",), "rate", loss),)


def test_each_weight_gets_its_own_gradient_whatever_that_ones_strides():
    run = trainer(toy=Turned())
    gradient = torch.arange(6.0).reshape(3, 2).t()
    for group in run._optimizers["one"].param_groups:
        group["eps"] = 1.0
    run.epoch()
    torch.testing.assert_close(run.separator.weight.detach(), -gradient / (gradient + 1))  # Adam's first step


def test_separator_is_told_its_hyperparameters_before_training_and_when_they_change():
    run = trainer(toy=Turned())
    assert run.separator.told == [1.0]
    run.set_hyperparameters({"rate": 0.5})
    assert run.separator.told == [1.0, 0.5]
    tensors, values = run.state()
    other = trainer(toy=Turned())
    other.load_state(tensors, values)
    assert other.separator.told == [1.0, 0.5]
