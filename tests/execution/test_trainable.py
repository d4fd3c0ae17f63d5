"""One trial from its first epoch to its outcome, driven as Tune drives it, with no Ray running."""

import logging
import math
import shutil
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sepray.choices import Objective
from sepray.contracts import Loss, Phase, Separator, Signal
from sepray.execution import checkpoint, trainable
from sepray.execution.trainable import COLLAPSE_PATIENCE, MEMORY_RETRIES, SeparatorTrainable, TrialContext
from sepray.execution.weights import state_of_member
from sepray.scoring import metrics
from sepray.separators import cass
from sepray.training.augmentation import PLAIN

logging.getLogger("ray").setLevel(logging.ERROR)
SIGNAL = Signal(("low", "high"), 1, (64,), 64.0)
L2 = Objective("validation/relative_l2", "minimize")


def nothing(separator: "Gains", epoch: int) -> None:
    """The event of a separator that just trains."""


@dataclass(frozen=True)
class Config:
    """``event`` is called with the separator before each epoch (counted from 0)."""

    event: Callable[["Gains", int], None] = nothing
    failing: Callable[[dict[str, float]], str | None] = lambda found: None
    batch_size: int = 4
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> "Gains":
        return Gains(signal, self)


class Gains(Separator):
    """Each estimate is the mixture times a weight of the source's own."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.config = config
        self.gains = nn.Parameter(torch.rand(len(signal.sources)))
        self.input = 1.0
        self.output = 1.0

    def hyperparameters(self):
        return {"rate": 0.05, "noise": 0.1}

    def before_epoch(self, data, epoch, generator):
        self.config.event(self, epoch)
        return {**data, "mixture": data["mixture"] * self.input}

    def phases(self):
        return (Phase("gains", ("gains",), "rate", self.loss, draw=self.draw),)

    def draw(self, batch, generator):
        return {"noise": torch.randn(batch["mixture"].shape, generator=generator)}

    def loss(self, module, batch, hyperparameters, random):
        mixture = batch["mixture"] + hyperparameters["noise"] * random["noise"]
        error = (mixture[:, None] * module.gains[:, None, None] - batch["sources"]).square().mean()
        return Loss(error, {"mse": error})

    @torch.no_grad()
    def separate(self, mixture):
        return mixture[:, None] * self.gains[:, None, None] * self.output

    def failure(self, metrics):
        return self.config.failing(metrics)


def split(seed: int, items: int = 8) -> dict[str, np.ndarray]:
    """Slow and fast sinusoids of random phase, and their sum, read-only as the object store gives them."""
    phase = np.random.default_rng(seed).uniform(0, 2 * math.pi, (items, 2, 1, 1))
    rate = np.array([3.0, 17.0]).reshape(1, 2, 1, 1)
    sources = np.sin(rate * np.arange(64) / 10 + phase) * np.array([1.0, 0.5]).reshape(1, 2, 1, 1)
    arrays = {"mixture": sources.sum(1).astype(np.float32), "sources": sources.astype(np.float32)}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


TRAIN, VALIDATION = split(0), split(1)


class Bench:
    """Makes trials that share a folder of checkpoints, as the actors of a study do."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.opened: list[SeparatorTrainable] = []

    def __call__(self, config=None, *, number=0, seed=0, settings=None, **changes) -> SeparatorTrainable:
        context = TrialContext(
            **{
                "separator": config or Config(),
                "signal": SIGNAL,
                "objectives": (L2,),
                "max_epochs": 3,
                "members": 1,
                "checkpoints": self.folder,
                "checkpoint_seconds": 0.0,
                "device": "cpu",
                "threads": 1,
                "augmentation": PLAIN,
                "evaluation_batch": 3,
                **changes,
            }
        )

        class Bound(SeparatorTrainable):  # what tune.with_parameters makes of it
            def setup(self, config):
                super().setup(config, context=context, train=TRAIN, validation=VALIDATION)

        trial = Bound(asked(number, seed, settings))
        self.opened.append(trial)
        return trial

    def checkpoints(self, number: int = 0) -> list[Path]:
        return sorted((Path(self.folder) / f"trial-{number}").glob("epoch-*"))


def asked(number=0, seed=0, settings=None):
    """A suggestion of the searcher."""
    return {"number": number, "seed": seed, "hyperparameters": settings or {}, "folder": f"trial-{number}"}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    # Without a Tune run, Ray would make folders in the user's home.
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    made = Bench(tmp_path)
    yield made
    for trial in made.opened:
        trial.stop()


def weights(trial: SeparatorTrainable, member: int = 0) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trial._members[member].separator.state_dict().items()}


def values(result: dict) -> dict[str, float]:
    """What a result says of the training, without the clock."""
    return {k: v for k, v in result.items() if "/" in k or k in ("epoch", "objective", "outcome", "done")}


def step(trial: SeparatorTrainable) -> dict:
    """One epoch; the next one finds the writer of checkpoints idle."""
    result = trial.step()
    trial._settle()
    return result


def run(trial: SeparatorTrainable, most: int = 50) -> list[dict]:
    """Steps until the trial says that it is done."""
    results = [step(trial)]
    while not results[-1]["done"]:
        assert len(results) < most
        results.append(step(trial))
    return results


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_results_hold_parts_every_measure_and_the_objective_and_the_budget_ends_the_trial(bench):
    trial = bench(objectives=(Objective("validation/low/si_sdr", "maximize"), L2))
    first, second, last = run(trial)
    assert [r["epoch"] for r in (first, second, last)] == [1, 2, 3]
    assert [r["outcome"] for r in (first, second, last)] == ["", "", "complete"]
    assert [r["done"] for r in (first, second, last)] == [False, False, True]
    assert first["train/mse"] > last["train/mse"] > 0
    assert "history" not in first

    # Independently: all items at once, through the weights as they now are.
    gains = weights(trial)["gains"][None, :, None, None]
    mixture, sources = torch.tensor(VALIDATION["mixture"]), torch.tensor(VALIDATION["sources"])
    expected = metrics.summary(metrics.score(mixture[:, None] * gains, sources), SIGNAL.sources)
    found = {k.removeprefix("validation/"): v for k, v in last.items() if k.startswith("validation/")}
    assert found == pytest.approx(expected, rel=1e-5)
    assert {"low/relative_l1", "high/relative_linf", "high/energy_ratio", "relative_l2"} <= set(found)
    # More is better in the first of the objectives, so it counts with a minus sign in the mean.
    assert last["objective"] == pytest.approx((-expected["low/si_sdr"] + expected["relative_l2"]) / 2, rel=1e-5)
    assert last["timestamp_ms"] >= second["timestamp_ms"] > 1_600_000_000_000
    assert last["epoch_seconds"] > 0


def test_tune_passes_results_on_as_they_are(bench):
    through, direct = bench(number=1), bench(number=2)
    assert values(through.train()) == values(direct.step())


@pytest.mark.parametrize("epoch", [0, 1])
def test_nan_loss_ends_as_diverged_and_touches_no_weight(bench, epoch):
    kept = {}

    def event(separator, now):
        if now == epoch:
            kept.update({k: v.clone() for k, v in separator.state_dict().items()})
            separator.input = math.nan

    trial = bench(Config(event=event))
    results = run(trial)
    assert len(results) == epoch + 1
    assert results[-1]["outcome"] == "diverged"
    assert results[-1]["reason"] == f"mse of phase gains is not finite in epoch {epoch}, step 0"
    assert results[-1]["epoch"] == epoch
    assert results[-1]["objective"] == pytest.approx(results[0]["objective"] if epoch else math.nan, nan_ok=True)
    assert same(weights(trial), kept)


def test_metric_that_is_not_finite_ends_as_diverged(bench):
    def event(separator, epoch):
        separator.output = math.inf if epoch == 1 else 1.0

    first, last = run(bench(Config(event=event)))
    assert first["outcome"] == ""
    assert (last["outcome"], last["epoch"]) == ("diverged", 2)
    assert "validation/" in last["reason"]
    assert "at epoch 2" in last["reason"]


def test_code_that_raises_in_the_loss_ends_as_an_error_with_its_traceback(bench):
    def event(separator, epoch):
        if epoch == 1:
            raise ZeroDivisionError("no such\nfrequency")

    first, last = run(bench(Config(event=event)))
    assert (last["outcome"], last["done"], last["epoch"]) == ("error", True, 1)
    assert last["reason"] == "ZeroDivisionError: no such", "one line; the rest is in the traceback"
    assert "in event" in last["traceback"]
    assert last["objective"] == first["objective"]


def test_code_that_raises_in_build_ends_as_an_error_at_the_first_step(bench):
    @dataclass(frozen=True)
    class Broken(Config):
        def build(self, signal):
            raise KeyError("width")

    [last] = run(bench(Broken()))
    assert (last["outcome"], last["epoch"], last["reason"]) == ("error", 0, "KeyError: 'width'")
    assert "in build" in last["traceback"]
    assert math.isnan(last["objective"])


def test_unknown_hyperparameter_ends_as_an_error(bench):
    [last] = run(bench(settings={"gamma": 1.0}))
    assert last["outcome"] == "error"
    assert last["reason"] == "ValueError: unknown hyperparameter gamma; there are: noise, rate"


def collapse(*epochs: int) -> Config:
    """The second source's estimate is silent after these epochs, counted from 1; set ``rate`` to 0."""

    def event(separator, epoch):
        separator.gains.data[:] = torch.tensor([0.5, 0.0 if epoch + 1 in epochs else 0.5])

    return Config(event=event)


def test_collapsed_source_ends_the_trial_after_exactly_as_many_epochs_in_a_row(bench):
    trial = bench(collapse(*range(3, 100)), settings={"rate": 0.0}, max_epochs=100)
    results = run(trial)
    assert len(results) == 2 + COLLAPSE_PATIENCE
    assert [r["outcome"] for r in results] == [""] * (1 + COLLAPSE_PATIENCE) + ["collapsed"]
    end = f"({COLLAPSE_PATIENCE} epochs in a row, at epoch {2 + COLLAPSE_PATIENCE})"
    assert results[-1]["reason"] == f"the estimate of high has collapsed {end}"
    assert results[-1]["validation/high/energy_ratio"] == 0
    assert results[-1]["done"]


def test_source_that_recovers_is_counted_anew(bench):
    silent = {*range(1, COLLAPSE_PATIENCE), *range(COLLAPSE_PATIENCE + 1, 2 * COLLAPSE_PATIENCE)}
    budget = 2 * COLLAPSE_PATIENCE
    results = run(bench(collapse(*silent), settings={"rate": 0.0}, max_epochs=budget))
    assert len(results) == budget
    assert results[-1]["outcome"] == "complete"


def test_collapse_is_counted_on_across_a_restart(bench):
    config, settings = collapse(*range(100)), {"rate": 0.0}
    first = bench(config, settings=settings, max_epochs=100)
    for _ in range(COLLAPSE_PATIENCE - 2):
        step(first)
    results = run(bench(config, settings=settings, max_epochs=100))
    assert [r["epoch"] for r in results] == [COLLAPSE_PATIENCE - 1, COLLAPSE_PATIENCE]
    assert results[-1]["outcome"] == "collapsed"


def test_separator_names_its_own_failure(bench):
    """CASS's own sentence holds the error, so that it is another one after each epoch."""
    bounds = {}

    def failing(found):
        bounds.setdefault("first", found["train/mse"])
        return None if found["train/mse"] == bounds["first"] else f"the critic won at {found['train/mse']}"

    results = run(bench(Config(failing=failing), max_epochs=100))
    assert len(results) == 1 + COLLAPSE_PATIENCE
    assert results[-1]["outcome"] == "collapsed"
    end = f"({COLLAPSE_PATIENCE} epochs in a row, at epoch {1 + COLLAPSE_PATIENCE})"
    assert results[-1]["reason"] == f"the critic won at {results[-1]['train/mse']} {end}"


class OutOfMemory:
    """Raises in the second epoch, ``times`` times."""

    def __init__(self, times: int, error: BaseException | None = None) -> None:
        self.times, self.error = times, error or torch.OutOfMemoryError("CUDA out of memory.\nTried to ...")
        self.built: list[weakref.ref] = []

    def __call__(self, separator, epoch):
        if not self.built or self.built[-1]() is not separator:
            self.built.append(weakref.ref(separator))
        if epoch == 1 and self.times:
            self.times -= 1
            raise type(self.error)(*self.error.args)


class Clock:
    """Stands still unless it is told otherwise; nobody waits for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.sleep = self.slept.append
        self.time_ns = time.time_ns

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    stands = Clock()
    monkeypatch.setattr(trainable, "time", stands)
    return stands


def test_out_of_memory_goes_on_from_the_newest_checkpoint_after_growing_pauses(bench, clock):
    expected = run(bench(number=1))
    event = OutOfMemory(MEMORY_RETRIES)
    results = run(bench(Config(event=event)))
    assert [values(r) for r in results] == [values(r) for r in expected]
    assert all("history" not in r for r in results)
    assert len(event.built) == 1 + MEMORY_RETRIES
    assert clock.slept == [trainable.MEMORY_PAUSE_SECONDS * n for n in range(1, MEMORY_RETRIES + 1)]


def test_out_of_memory_is_given_up_after_the_retries(bench, clock):
    event = OutOfMemory(100)
    _, last = run(bench(Config(event=event)))
    assert (last["outcome"], last["done"], last["epoch"]) == ("out_of_memory", True, 1)
    assert last["reason"] == f"OutOfMemoryError: CUDA out of memory. ({MEMORY_RETRIES} retries)"
    assert event.times == 100 - MEMORY_RETRIES - 1
    assert len(clock.slept) == MEMORY_RETRIES


def test_out_of_memory_before_the_first_checkpoint_begins_again(bench, clock):
    """So does the count of epochs with a collapsed source: it is silent in all but the last epoch."""
    memory, silent, begun = OutOfMemory(1), collapse(*range(1, COLLAPSE_PATIENCE)).event, []

    def event(separator, epoch):
        begun.append(epoch)
        memory(separator, epoch)
        silent(separator, epoch)

    settings = {"rate": 0.0}
    results = run(bench(Config(event=event), settings=settings, max_epochs=COLLAPSE_PATIENCE, checkpoint_seconds=1e9))
    assert begun == [0, 1, *range(COLLAPSE_PATIENCE)]
    assert results[-1]["outcome"] == "complete"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."), "complete"),
        (MemoryError(), "complete"),
        (RuntimeError("shapes differ"), "error"),
    ],
)
def test_what_counts_as_out_of_memory(bench, clock, error, outcome):
    results = run(bench(Config(event=OutOfMemory(1, error))))
    assert results[-1]["outcome"] == outcome
    assert len(clock.slept) == (outcome == "complete")


def test_memory_is_given_back_before_the_pause(bench, clock):
    event, alive = OutOfMemory(2), []
    clock.sleep = lambda seconds: alive.append([built() is not None for built in event.built])
    assert run(bench(Config(event=event)))[-1]["outcome"] == "complete"
    assert alive == [[False], [False, False]]


@pytest.mark.parametrize("config", [Config(), cass.DEBUG], ids=["gains", "cass"])
def test_killed_trial_goes_on_bit_for_bit_in_another_actor_and_reports_what_was_before(bench, config):
    expected = run(bench(config, number=1, seed=5, max_epochs=4))
    first = bench(config, seed=5, max_epochs=4)
    before = [step(first), step(first)]
    other = bench(config, seed=5, max_epochs=4)
    after = run(other)
    assert [values(r) for r in before + after] == [values(r) for r in expected]
    assert [values(r) for r in after[0]["history"]] == [
        {k: v for k, v in values(r).items() if k not in ("outcome", "done")} for r in before
    ]
    assert [r["timestamp_ms"] for r in after[0]["history"]] == [r["timestamp_ms"] for r in before]
    assert "history" not in after[1]


def test_trial_that_was_killed_before_its_last_report_reports_again_and_trains_no_more(bench):
    first = bench()
    expected = run(first)
    trained = []
    other = bench(Config(event=lambda separator, epoch: trained.append(epoch)))
    [again] = run(other)
    assert trained == []
    assert values(again) == values(expected[-1])
    assert again["timestamp_ms"] == expected[-1]["timestamp_ms"]
    assert [r["epoch"] for r in again["history"]] == [1, 2]
    assert same(weights(other), weights(first))


@pytest.mark.parametrize("budget", [COLLAPSE_PATIENCE - 1, 100])
def test_killed_trial_has_the_outcome_that_it_was_about_to_report(bench, budget):
    """A source that is silent, in a trial that is complete one epoch before that counts, and in one that is not."""
    config, settings = collapse(*range(100)), {"rate": 0.0}
    expected = run(bench(config, settings=settings, max_epochs=budget))
    again = run(bench(config, settings=settings, max_epochs=budget))
    assert [(r["epoch"], r["outcome"]) for r in again] == [(expected[-1]["epoch"], expected[-1]["outcome"])]
    assert expected[-1]["outcome"] == ("complete" if budget < COLLAPSE_PATIENCE else "collapsed")


def test_damaged_checkpoint_is_passed_over_for_the_one_before(bench):
    expected = run(bench(number=1))
    first = bench()
    run(first)
    newest = bench.checkpoints()[-1]
    assert newest.name.startswith("epoch-000003")
    newest.write_bytes(newest.read_bytes()[:-7])
    [again] = run(bench())
    assert values(again) == values(expected[-1])
    assert [r["epoch"] for r in again["history"]] == [1, 2]


def test_actor_that_is_reused_leaves_nothing_of_the_trial_before(bench):
    event = OutOfMemory(0)
    fresh = run(bench(number=7, seed=3, settings={"rate": 0.2}))
    trial = bench(Config(event=event), number=1, seed=1, settings={"noise": 0.5})
    step(trial)
    trial._memory_failures = MEMORY_RETRIES
    shutil.rmtree(Path(bench.folder) / "trial-7")
    assert trial.reset(asked(7, 3, {"rate": 0.2}))
    assert trial._memory_failures == 0
    results = run(trial)
    assert [values(r) for r in results] == [values(r) for r in fresh]
    assert "history" not in results[0]
    assert [c.name[:12] for c in bench.checkpoints(1)] == ["epoch-000001"]


def test_reused_actor_goes_on_with_a_trial_of_an_earlier_start(bench):
    earlier = bench(number=4, seed=2)
    expected = run(earlier)
    for path in bench.checkpoints(4)[1:]:
        path.unlink()
    trial = bench(number=5)
    run(trial)
    trial.reset(asked(4, 2))
    [again] = run(trial)
    assert values(again) == values(expected[-1])


def test_data_is_the_object_stores_and_no_copy_of_it(bench):
    trial = bench(members=2)
    run(trial)
    for trainer in trial._members:
        for name, array in TRAIN.items():
            assert trainer.data[name].data_ptr() == array.ctypes.data


def test_separate_may_write_to_the_mixtures_that_it_is_handed(bench):
    trial = bench()
    run(trial)
    trial._validation["mixture"].zero_()  # of memory that cannot be written to, this would end the process
    assert VALIDATION["mixture"].any()


def test_result_of_several_members_is_the_mean_of_each_alone(bench):
    seeds = np.random.SeedSequence(11).generate_state(2)
    together = bench(number=0, seed=11, members=2)
    results = run(together)
    # Alone, a trial draws its member's seed from its own; so that of the pair is put in its place.
    alone = []
    for k, seed in enumerate(seeds):
        trial = bench(number=1 + k)
        single = trainable.Trainer(
            trainable.build(Config(), SIGNAL, int(seed)), trial._train, {}, int(seed), 4, (0.9, 0.999)
        )
        trial._members = [single]
        alone.append(run(trial))
    assert values(alone[0][0]) != values(alone[1][0])
    for both, one, other in zip(results, *alone, strict=True):
        for name in ("train/mse", "validation/relative_l2", "validation/high/si_sdr", "objective"):
            assert both[name] == pytest.approx((one[name] + other[name]) / 2, rel=1e-12)
    found = checkpoint.newest(f"{bench.folder}/trial-0")
    assert found is not None
    assert same(state_of_member(found, 0), weights(together, 0))
    assert same(state_of_member(found, 1), weights(together, 1))
    assert not same(weights(together, 0), weights(together, 1))


def test_several_members_go_on_bit_for_bit(bench):
    expected = run(bench(number=1, members=2))
    step(bench(members=2))
    assert [values(r) for r in run(bench(members=2))] == [values(r) for r in expected[1:]]


def test_checkpoint_of_another_trial_gives_its_weights_and_leaves_the_settings(bench, tmp_path):
    """What population based training does."""
    good = bench(number=1, seed=1, settings={"rate": 0.3}, max_epochs=9)
    step(good), step(good)
    good.save_checkpoint(str(tmp_path / "exploited"))
    bad = bench(number=2, seed=2, settings={"rate": 0.0}, max_epochs=9)
    step(bad)
    bad.load_checkpoint(str(tmp_path / "exploited"))
    assert same(weights(bad), weights(good))
    assert bad._members[0].hyperparameters == {"rate": 0.0, "noise": 0.1}
    result = step(bad)
    assert result["epoch"] == 3
    assert same(weights(bad), weights(good)), "its own learning rate is 0"


def test_checkpoint_of_another_trial_counts_though_it_is_of_an_earlier_epoch(bench, tmp_path):
    good, bad = bench(number=1, seed=1, max_epochs=9), bench(number=2, seed=2, max_epochs=9)
    step(good)
    good.save_checkpoint(str(tmp_path / "exploited"))
    step(bad), step(bad)
    bad.load_checkpoint(str(tmp_path / "exploited"))
    assert same(weights(bad), weights(good))
    assert step(bad)["epoch"] == 2


def test_own_checkpoint_of_a_scheduler_does_not_undo_newer_training(bench, tmp_path):
    first = bench(max_epochs=9)
    step(first)
    first.save_checkpoint(str(tmp_path / "paused"))
    step(first)
    ahead = weights(first)
    other = bench(max_epochs=9)
    other.load_checkpoint(str(tmp_path / "paused"))
    assert same(weights(other), ahead)
    assert step(other)["epoch"] == 3


def test_paused_trial_goes_on_from_the_schedulers_checkpoint_where_its_own_is_older(bench, tmp_path):
    expected = run(bench(number=1))
    first = bench(checkpoint_seconds=1e9)
    step(first), step(first)
    first.save_checkpoint(str(tmp_path / "paused"))
    assert bench.checkpoints() == []
    other = bench(checkpoint_seconds=1e9)
    other.load_checkpoint(str(tmp_path / "paused"))
    [last] = run(other)
    assert values(last) == values(expected[-1])
    assert [r["epoch"] for r in last["history"]] == [1, 2]


def test_folder_without_a_sound_checkpoint_is_refused(bench, tmp_path):
    with pytest.raises(ValueError, match=r"no sound checkpoint in .*empty"):
        bench().load_checkpoint(str(tmp_path / "empty"))


def test_checkpoints_are_written_at_intervals_and_at_the_end(bench, clock, monkeypatch):
    saved = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda f, epoch, *rest: saved.append(epoch) or save(f, epoch, *rest))
    trial = bench(checkpoint_seconds=2.5, max_epochs=8)
    for second in range(1, 9):
        clock.now = float(second)
        step(trial)
    assert saved == [3, 6, 8]
    assert [path.name[:12] for path in bench.checkpoints()] == ["epoch-000006", "epoch-000008"]


def test_checkpoint_that_cannot_be_written_is_the_fault_of_its_own_trial_alone(bench):
    trial = bench(checkpoint_seconds=1e9, max_epochs=2)
    trial.step()
    (Path(bench.folder) / "trial-0").write_text("a file where the folder should be")
    last = trial.step()
    assert last["outcome"] == "error"
    assert "trial-0" in last["reason"]
    trial.reset(asked(number=1))
    assert run(trial)[-1]["outcome"] == "complete"


@pytest.mark.parametrize("end", ["reset", "stop"])
def test_folder_cleared_while_a_stopped_trial_writes_to_it_is_not_the_next_trials_failure(bench, monkeypatch, end):
    trial, save = bench(), checkpoint.save

    def too_late(folder, *arguments):
        raise FileNotFoundError(f"{folder} is gone")

    monkeypatch.setattr(checkpoint, "save", too_late)
    trial.step()
    monkeypatch.setattr(checkpoint, "save", save)
    if end == "stop":
        trial.stop()
        return
    assert trial.reset(asked(number=1))
    assert [r["outcome"] for r in run(trial)] == ["", "", "complete"]


def test_torch_takes_the_threads_of_the_trial(bench):
    for threads in (2, 1):
        bench(threads=threads)
        assert torch.get_num_threads() == threads


def test_cass_learns_with_the_settings_of_the_trial(bench):
    settings = {"autoencoder_learning_rate": 3e-3, "adversarial": 0.0}
    config = replace(cass.DEBUG, batch_size=4)
    results = run(bench(config, settings=settings, max_epochs=4))
    assert results[-1]["outcome"] == "complete"
    assert results[-1]["validation/relative_l2"] < results[0]["validation/relative_l2"]
    assert {"train/mse/low", "train/adversarial/high"} <= set(results[0])
    assert "train/discriminator/low" not in results[0]
