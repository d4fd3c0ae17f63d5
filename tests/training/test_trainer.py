"""The trainer on separators of one weight, worked out by hand; states."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sepray.contracts import Loss, Phase, Separator, Signal, Split, Supervision
from sepray.disk import mapping
from sepray.errors import UsageError
from sepray.training import trainer as trainer_module
from sepray.training.trainer import NonFiniteLossError, Trainer, batches, build, resolve
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
        self.repeats, self.own_batches = 1, False
        self.kept = dict

    def hyperparameters(self):
        return {"weight": 2.0, "first_rate": 0.1, "second_rate": 0.01, "on": 1.0}

    def prepare(self, data):
        self.mean.copy_(data["mixture"].mean())

    def before_epoch(self, data, epoch, generator):
        return {**data, "epoch": torch.full((len(data["mixture"]),), float(epoch))}

    def phases(self):
        return (
            Phase("one", ("first",), "first_rate", first_loss, None, self.repeats, None, self.own_batches),
            Phase("two", ("second",), "second_rate", second_loss, draw=draw, active="on"),
        )


def draw(batch, generator):
    return {"noise": torch.rand((), generator=generator)}


def first_loss(toy, batch, hyperparameters, random):
    toy.batches.append(("one", [x.item() for x in batch["mixture"][:, 0, 0]]))
    total = hyperparameters["weight"] * (toy.first - batch["mixture"].mean()) ** 2
    return Loss(total, {"one": total, "epoch": batch["epoch"].mean()}, {"seen": toy.first.detach() + 100}, toy.kept())


def second_loss(toy, batch, hyperparameters, random):
    toy.batches.append(("two", batch["mixture"][:, 0, 0].tolist()))
    total = (toy.second - batch["seen"]) ** 2
    return Loss(total, {"two": total, "noise": random["noise"]})


def trainer(hyperparameters=None, seed=0, batch_size=6, toy=None, items=6) -> Trainer:
    data = view(split(items), Supervision.PAIRED, generator())
    torch.manual_seed(1)
    return Trainer(toy or Toy(), data, hyperparameters or {}, seed, batch_size, (0.9, 0.999))


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


def test_inactive_phase_is_skipped():
    toy = Toy()
    run = trainer({"on": 0}, toy=toy, batch_size=2, items=40)
    start = toy.second.item()
    run.epoch()
    assert toy.second.item() == start
    assert [phase for phase, _ in toy.batches] == ["one"] * 20


@pytest.mark.parametrize(("repeats", "own"), [(3, False), (1, True), (3, True)])
def test_a_phase_with_batches_of_its_own_leaves_the_pass_over_the_data_to_the_others(repeats, own):
    """SSGAN, algorithm 1: critics see batches drawn at random, and the separator every item once an epoch."""
    toy = Toy()
    toy.repeats, toy.own_batches = repeats, own
    trainer(toy=toy, batch_size=2, items=40).epoch()
    assert [phase for phase, _ in toy.batches] == (["one"] * repeats + ["two"]) * 20
    passed = [value for phase, batch in toy.batches for value in batch if phase == "two"]
    assert len(passed) == len(set(passed)) == 40
    drawn = [batch for phase, batch in toy.batches if phase == "one"]
    assert len({tuple(batch) for batch in drawn}) > 0.9 * len(drawn)
    assert len({value for batch in drawn for value in batch}) < 2 * len(drawn)  # with replacement
    steps = [toy.batches[k : k + repeats + 1] for k in range(0, len(toy.batches), repeats + 1)]
    reused = [batch == step[-1][1] for step in steps for _, batch in step[:-1]]
    assert sum(reused) <= 1  # by chance, of 1600 pairs


def test_a_phase_of_the_steps_batch_shares_it():
    toy = Toy()
    trainer(toy=toy, batch_size=2, items=40).epoch()
    firsts, seconds = ([b for phase, b in toy.batches if phase == wanted] for wanted in ("one", "two"))
    assert firsts == seconds


def test_buffers_that_a_loss_keeps_are_written_after_its_update_and_not_where_it_is_not_finite():
    toy = Toy()
    toy.kept = lambda: {"mean": toy.mean + 1}
    run = trainer(toy=toy)
    before = toy.mean.item()
    run.epoch()
    assert toy.mean.item() == before + 1
    run.data = {name: torch.full_like(value, math.nan) for name, value in run.data.items()}
    with pytest.raises(NonFiniteLossError):
        run.epoch()
    assert toy.mean.item() == before + 1
    toy.kept = lambda: {"median": toy.mean}
    with pytest.raises(UsageError, match="keeps median, which names no buffer"):
        trainer(toy=toy).epoch()


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
    weights = []
    run.separator.first.register_hook(lambda gradient: weights.append(run.separator.first.item()))
    with pytest.raises(NonFiniteLossError, match=r"one of phase one is not finite in epoch 1") as caught:
        run.epoch()
    assert caught.value.step == where
    # The updates before it have changed the weight; its own and the later one have not.
    assert len(set(weights[: where + 1])) == where + 1
    assert run.separator.first.item() == weights[where]


def test_unknown_names_and_uneven_data_are_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^unknown hyperparameter gamma; there are: first_rate, on, second"):
        resolve(Toy(), {"gamma": 1.0})
    with pytest.raises(ValueError, match=r"the same number of items, not"):
        Trainer(Toy(), {"mixture": torch.zeros(3, 1, 4), "sources": torch.zeros(2, 2, 1, 4)}, {}, 0, 2, (0.9, 0.999))


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
    run._optimizers["one"].eps = 1.0
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


def test_betas_of_adam_arrive():
    run = trainer(toy=Turned())
    assert run._optimizers["one"].betas == (0.9, 0.999)
    other = Trainer(Turned(), view(split(), Supervision.PAIRED, generator()), {}, 0, 6, (0.5, 0.25))
    assert other._optimizers["one"].betas == (0.5, 0.25)


def test_size_of_a_batch_may_be_a_number_of_numpy():
    toy = Toy()
    trainer(toy=toy, batch_size=np.int64(3)).epoch()
    assert [len(items) for name, items in toy.batches if name == "one"] == [3, 3]


def test_batch_is_all_items_where_there_are_fewer():
    toy = Toy()
    trainer(toy=toy, batch_size=50).epoch()
    assert sorted(toy.batches[0][1]) == [10 + 2 * n for n in range(6)]


class Fitted(Separator):
    """Advances without gradients; what it reports is ``reported``."""

    def __init__(self) -> None:
        super().__init__(SIGNAL)
        self.register_buffer("total", torch.zeros(()))
        self.reported, self.given = 1.0, {}

    def hyperparameters(self):
        return {"step": 2.0}

    def fit_epoch(self, data, hyperparameters, generator):
        self.given = dict(hyperparameters)
        self.total += hyperparameters["step"]
        return {"error": self.reported}


def test_a_fit_that_reports_no_finite_value_leaves_the_weights_as_they_were():
    fitted = Fitted()
    run = trainer({"step": 3.0}, toy=fitted)
    assert run.epoch() == {"error": 1.0}
    assert fitted.given["step"].item() == 3.0
    fitted.reported = math.inf
    with pytest.raises(NonFiniteLossError, match=r"^error of phase fit is not finite in epoch 2, step 1$"):
        run.epoch()
    assert fitted.total.item() == 3.0
    assert run.epochs == 1


def test_separator_is_in_training_mode_during_an_epoch():
    toy = Toy()
    run = trainer(toy=toy)
    toy.eval()  # as validation leaves it
    run.epoch()
    assert toy.training


def test_a_skipped_phase_leaves_the_batches_as_they_were():
    seen = []
    for on in (0.0, 1.0):
        toy = Toy()
        toy.repeats = 2
        run = trainer({"on": on}, toy=toy, batch_size=2, items=12)
        run.epoch()
        run.epoch()
        seen.append([batch for phase, batch in toy.batches if phase == "one"])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 24


class Watch:
    """Keeps what the trainer tells, and ends each epoch after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps, self.told = steps, []

    def begins(self, step):
        self.told.append(step)
        return step < self.steps

    def updates(self, phase):
        self.told.append(f"{phase.name} begins")

    def updated(self, phase):
        self.told.append(f"{phase.name} ends")

    def ends(self):
        self.told.append("step ends")


def test_watch_sees_every_step_and_update_and_ends_the_epoch():
    watched, free = trainer(batch_size=2), trainer(batch_size=2)
    watched.watch = Watch(2)
    watched.epoch()
    step = ["one begins", "one ends", "two begins", "two ends", "step ends"]
    assert watched.watch.told == [0, *step, 1, *step, 2]
    assert watched.epochs == 1
    free.epoch()
    assert watched.separator.batches == free.separator.batches[:4]


def test_watch_changes_no_bit_of_a_training():
    watched, free = trainer(batch_size=2), trainer(batch_size=2)
    watched.watch = Watch(9)
    assert watched.epoch() == free.epoch()
    assert torch.equal(watched.separator.second, free.separator.second)
    assert torch.equal(watched.generator.get_state(), free.generator.get_state())


def test_skipped_phase_is_no_update():
    watched = trainer({"on": 0})
    watched.watch = Watch(1)
    watched.epoch()
    assert watched.watch.told == [0, "one begins", "one ends", "step ends"]


def test_large_data_are_measured_in_part_and_trained_on_as_all_others(monkeypatch):
    small = trainer(seed=4, batch_size=2, items=40)
    torch.manual_seed(1)
    whole = Toy()
    monkeypatch.setattr(mapping, "LARGE_BYTES", 100)
    item = 3 * 4 * 4  # bytes of a mixture and two sources
    monkeypatch.setattr(trainer_module, "PREPARED_BYTES", 5 * item)
    data = view(split(40), Supervision.PAIRED, generator())
    large = Trainer(whole, data, {}, 4, 2, (0.9, 0.999))
    assert large.data is data
    assert whole.mean.item() == sum(10 + 2 * n for n in range(0, 40, 8)) / 5
    assert [large.epoch() for _ in range(2)] == [small.epoch() for _ in range(2)]
    assert whole.batches == small.separator.batches


def test_of_large_items_two_are_measured_however_large_they_are(monkeypatch):
    monkeypatch.setattr(mapping, "LARGE_BYTES", 100)
    monkeypatch.setattr(trainer_module, "PREPARED_BYTES", 1)
    assert trainer(toy=Toy(), items=40).separator.mean.item() == (10 + (10 + 2 * 20)) / 2


def test_separator_that_keeps_something_of_each_item_is_shown_all_of_large_data(monkeypatch):
    monkeypatch.setattr(mapping, "LARGE_BYTES", 100)
    monkeypatch.setattr(trainer_module, "PREPARED_BYTES", 1)
    keeping = Toy()
    keeping.keeps_items = True
    assert trainer(toy=keeping, items=40).separator.mean.item() == sum(10 + 2 * n for n in range(40)) / 40
