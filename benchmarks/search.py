"""Replays searches on recorded learning curves: how many epochs samplers and schedulers need to find good settings.

    python benchmarks/search.py [--tables cass ssgan] [--searches NAME ...] [--slots 2 8] [--seeds 60]

``search_table.json`` (made by ``search_table.py``) holds curves of many settings of two separators. Between them a
Gaussian process gives the curve of any settings of the space; a trial's curve is that curve times a random one, drawn
with the covariance that the table's repeated seeds show. So a search of any sampler and scheduler takes seconds. The
clock is simulated too: ``--slots`` trials run at once, and an epoch takes one unit of time, give or take a tenth.

A search has found good settings as soon as a trial ends that is, without noise, among the best hundredth of the space
(on ``cass`` this is within 2% of the least error, on ``ssgan`` within 6%). Random search without early stopping needs a
hundred full trainings for that on average. What is printed, for each search: the mean number of epochs that all its
trials together were trained for until then (``--epochs`` where it has not found any by then) and its standard error,
the share of seeds that found some, how many times fewer epochs that is than random search without early stopping
needs, and the mean excess of the best finished trial over the least error of the space, in percent, after the epochs
of 5, 15 and 50 full trainings.

Searches of Syne Tune are replayed where it is installed (``pip install syne-tune``). Its early-stopping rule never
pauses a trial, like ours.
"""

from __future__ import annotations

import argparse
import heapq
import importlib
import json
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from scipy.stats import qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from sepray.execution.schedulers import make_scheduler
from sepray.search.ledger import Ledger
from sepray.search.outcomes import decide
from sepray.search.samplers import make_sampler
from sepray.search.storage import open_study

TABLE = Path(__file__).with_name("search_table.json")
GOOD = 0.01
"""Share of the space whose settings are good."""
FULL_TRAININGS = (5, 15, 50)
KEY = "objective"


class Surrogate:
    """Curves of any settings of a recorded search space.

    Attributes:
        space: distributions by name.
        epochs: epochs of a full training.
        least: least final value of the curves without noise.
        good: final value that a hundredth of the space is below.
        references: published settings by label.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.space = {name: FloatDistribution(**limits) for name, limits in table["space"].items()}
        self.epochs = int(table["epochs"])
        trainings = [t for t in table["trainings"] if len(t["curve"]) == self.epochs]
        self.references = {t["label"]: t["params"] for t in trainings if t["label"]}
        curves: dict[tuple[float, ...], list[np.ndarray]] = {}
        for training in trainings:
            point = tuple(self._coordinates(training["params"]))
            curves.setdefault(point, []).append(np.log(training["curve"]))
        self._points = np.array(list(curves))
        means = np.array([np.mean(each, axis=0) for each in curves.values()])
        self._mean = means.mean(axis=0)
        kernel = ConstantKernel() * Matern(np.ones(len(self.space)), (0.1, 100.0), nu=2.5) + WhiteKernel(1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=3, random_state=0)
            self._kernel = process.fit(self._points, means[:, -1]).kernel_
        self._weights = np.linalg.solve(self._kernel(self._points), means - self._mean)
        spread = [np.array(each) - np.mean(each, axis=0) for each in curves.values() if len(each) > 1]
        freedom = sum(len(each) - 1 for each in spread)
        self._covariance = sum(each.T @ each for each in spread) / freedom
        grid = qmc.Sobol(len(self.space), seed=0).random(2**14)
        ends = np.exp(self._at(grid)[:, -1])
        self.least, self.good = float(ends.min()), float(np.quantile(ends, GOOD))

    def _coordinates(self, settings: Mapping[str, float]) -> list[float]:
        """Return settings as a point of the unit cube."""
        found = []
        for name, d in self.space.items():
            value, low, high = settings[name], d.low, d.high
            if d.log:
                value, low, high = np.log(value), np.log(low), np.log(high)
            found.append(float((value - low) / (high - low)))
        return found

    def _at(self, points: np.ndarray) -> np.ndarray:
        """Return the logarithmic curves at points, ``[point, epoch]``."""
        noiseless = self._kernel.k1
        curves: np.ndarray = noiseless(points, self._points) @ self._weights + self._mean
        return curves

    def curve(self, settings: Mapping[str, float]) -> np.ndarray:
        """Return the curve of settings without noise, ``[epoch]``."""
        return np.exp(self._at(np.array([self._coordinates(settings)]))[0])

    def noise(self, random: np.random.Generator) -> np.ndarray:
        """Return the factors, ``[epoch]``, by which one seed's curve differs from that without noise."""
        return np.exp(random.multivariate_normal(np.zeros(self.epochs), self._covariance))


class Search(Protocol):
    """What is replayed: proposes settings, hears of epochs and says which trials go on."""

    def suggest(self) -> tuple[int, Mapping[str, float]] | None:
        """Return number and settings of the next trial to start; a number that was paused goes on. None: none now."""

    def report(self, number: int, epoch: int, value: float) -> str:
        """Hear of an epoch that is not a trial's last one; return ``continue``, ``stop`` or ``pause``."""

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Hear that a trial has ended."""


class Sepray:
    """A search of sepray: its ledger, sampler and scheduler, without Ray, threads or files.

    Args:
        surrogate: what is searched.
        seed: random seed.
        slots: trials at once.
        sampler: name of a sampler.
        options: options of the sampler.
        references: whether the published settings are tried first: ``never`` stopped early, or ``stopped`` like others.
        ahead: suggestions that are made before they are needed.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        seed: int,
        slots: int,
        *,
        sampler: str = "tpe",
        options: Mapping[str, Any] | None = None,
        scheduler: str = "asha",
        grace: int = 2,
        reduction: float = 3.0,
        references: str = "",
        ahead: int = 2,
    ) -> None:
        self._protected = references == "never"
        made = make_sampler(sampler, seed, surrogate.space, options)
        study = open_study(optuna.storages.InMemoryStorage(), "s", ["minimize"], {}, made)
        given = surrogate.references if references else {}
        self._ledger = Ledger(study, surrogate.space, 10**6, seed, given, None, "{number}")
        self._ledger.count()
        self._scheduler: Any = make_scheduler(
            scheduler, surrogate.epochs, grace_period=grace, reduction_factor=reduction, sampler=sampler
        )
        self._trials: dict[int, Any] = {}
        self._ready: deque[Any] = deque()
        self._ahead = ahead

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the oldest of the suggestions that are ready, and make another one."""
        while len(self._ready) <= self._ahead:
            self._ready.append(self._ledger.next())
        asked = self._ready.popleft()
        protected = asked.label is not None and self._protected
        trial = SimpleNamespace(config={"number": asked.number, "protected": protected})
        self._trials[asked.number] = trial
        self._scheduler.on_trial_add(None, trial)
        return asked.number, asked.hyperparameters

    def report(self, number: int, epoch: int, value: float) -> str:
        """Write the epoch, and let the scheduler decide."""
        self._ledger.report(number, epoch, value)
        result = {"epoch": epoch, "objective": value}
        decision = self._scheduler.on_trial_result(None, self._trials[number], result)
        return "stop" if decision == TrialScheduler.STOP else "continue"

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Write how the trial ended."""
        if not stopped:
            self._ledger.report(number, epoch, value)
        result = {"epoch": epoch, KEY: value, "outcome": "" if stopped else "complete"}
        self._scheduler.on_trial_complete(None, self._trials.pop(number), result)
        self._ledger.finish(number, decide(result, False, [KEY]))


class Stock:
    """Ray Tune's own OptunaSearch and ASHA with their defaults, as Ray's documentation combines them."""

    def __init__(self, surrogate: Surrogate, seed: int, slots: int) -> None:
        self._searcher = OptunaSearch(dict(surrogate.space), metric=KEY, mode="min", seed=seed + 1)
        self._scheduler = AsyncHyperBandScheduler("epoch", metric=KEY, mode="min", max_t=surrogate.epochs)
        self._trials: dict[int, Any] = {}

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the searcher's next trial."""
        number = len(self._trials)
        self._trials[number] = SimpleNamespace(trial_id=str(number))
        self._scheduler.on_trial_add(None, self._trials[number])
        return number, self._searcher.suggest(str(number))

    def report(self, number: int, epoch: int, value: float) -> str:
        """Tell the searcher, and let the scheduler decide."""
        result = {"epoch": epoch, "training_iteration": epoch, KEY: value}
        self._searcher.on_trial_result(str(number), result)
        decision = self._scheduler.on_trial_result(None, self._trials[number], result)
        return "stop" if decision == TrialScheduler.STOP else "continue"

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Tell both how the trial ended."""
        result = {"epoch": epoch, "training_iteration": epoch, KEY: value}
        self._scheduler.on_trial_complete(None, self._trials[number], result)
        self._searcher.on_trial_complete(str(number), result)


class SyneTune:
    """A scheduler of Syne Tune with its defaults: a grace period of 1 and a reduction factor of 3.

    Args:
        surrogate: what is searched.
        seed: random seed.
        slots: trials at once.
        scheduler: name of a class of ``syne_tune.optimizer.baselines``.
    """

    def __init__(self, surrogate: Surrogate, seed: int, slots: int, *, scheduler: str) -> None:
        spaces = importlib.import_module("syne_tune.config_space")
        baselines = importlib.import_module("syne_tune.optimizer.baselines")
        self._trial = importlib.import_module("syne_tune.backend.trial_status").Trial
        space = {n: (spaces.loguniform if d.log else spaces.uniform)(d.low, d.high) for n, d in surrogate.space.items()}
        self._scheduler = getattr(baselines, scheduler)(
            space, metric=KEY, time_attr="epoch", max_t=surrogate.epochs, random_seed=seed
        )
        self._trials: dict[int, Any] = {}

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the scheduler's next trial."""
        number, settings = len(self._trials), self._scheduler.suggest().config
        self._trials[number] = self._trial(number, settings, datetime.now())
        self._scheduler.on_trial_add(self._trials[number])
        return number, settings

    def report(self, number: int, epoch: int, value: float) -> str:
        """Let the scheduler decide."""
        decision = self._scheduler.on_trial_result(self._trials[number], {"epoch": epoch, KEY: value})
        return "stop" if decision == "STOP" else "continue"

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Tell the scheduler of a trial's end; of one that it has stopped it knows."""
        if not stopped:
            self._scheduler.on_trial_complete(self._trials[number], {"epoch": epoch, KEY: value})


@dataclass
class Replay:
    """One search that was replayed.

    Attributes:
        until: epochs trained by all trials until the best was found; None where it was not.
        excess: excess of the best finished trial over the least, after the epochs of so many full trainings.
    """

    until: int | None = None
    excess: dict[int, float] = field(default_factory=dict)


def replay(make: Callable[..., Search], surrogate: Surrogate, seed: int, slots: int, most: int) -> Replay:
    """Replay a search until it has trained ``most`` epochs."""
    random = np.random.default_rng([seed, 1])
    search = make(surrogate, seed, slots)
    curves: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    reached: dict[int, int] = {}
    clock = 0.0
    queue: list[tuple[float, int]] = []  # (end of the epoch that is being trained, trial)
    found, best, trained = Replay(), np.inf, 0
    while trained < most:
        while len(queue) < slots and (suggestion := search.suggest()) is not None:
            number, settings = suggestion
            if number not in curves:
                truth = surrogate.curve(settings)
                curves[number], reached[number] = (truth, truth * surrogate.noise(random)), 0
            heapq.heappush(queue, (clock + random.normal(1, 0.1), number))
        clock, number = heapq.heappop(queue)
        reached[number] += 1
        trained += 1
        truth, curve = curves[number]
        epoch, value = reached[number], float(curve[reached[number] - 1])
        if epoch == surrogate.epochs:
            search.finish(number, epoch, value, stopped=False)
            best = min(best, float(truth[-1]))
            if found.until is None and best <= surrogate.good:
                found.until = trained
        else:
            decision = search.report(number, epoch, value)
            if decision == "continue":
                heapq.heappush(queue, (clock + random.normal(1, 0.1), number))
            elif decision == "stop":
                search.finish(number, epoch, value, stopped=True)
        for count in FULL_TRAININGS:
            if trained == count * surrogate.epochs:
                found.excess[count] = best / surrogate.least - 1
    return found


_RANDOM: dict[str, Any] = {"sampler": "random"}
SEARCHES: dict[str, Callable[..., Search]] = {
    "random, no early stopping": partial(Sepray, sampler="random", scheduler="none"),
    "random, asha": partial(Sepray, sampler="random"),
    "tpe, no early stopping": partial(Sepray, scheduler="none"),
    "former default": partial(Sepray, references="never"),
    "tpe multivariate": partial(Sepray),
    "tpe multivariate g1 r4": partial(Sepray, grace=1, reduction=4),
    "tpe univariate": partial(Sepray, options={"multivariate": False}),
    "tpe univariate g1 r4": partial(Sepray, options={"multivariate": False}, grace=1, reduction=4),
    "tpe univariate g1 r4 ahead 0": partial(Sepray, options={"multivariate": False}, grace=1, reduction=4, ahead=0),
    "tpe univariate g1 r3": partial(Sepray, options={"multivariate": False}, grace=1, reduction=3),
    "gp g1 r4": partial(Sepray, sampler="gp", grace=1, reduction=4),
}


@cache
def surrogate_of(table: str) -> Surrogate:
    """Return the surrogate of a table of ``search_table.json``."""
    return Surrogate(json.loads(TABLE.read_text())[table])


def one(table: str, search: str, seed: int, slots: int, most: int) -> Replay:
    """Replay one search with one seed."""
    return replay(SEARCHES[search], surrogate_of(table), seed, slots, most)


def main() -> None:
    """Print a table for each recorded separator and number of slots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["cass", "ssgan"])
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=SEARCHES, metavar="NAME")
    parser.add_argument("--slots", type=int, nargs="+", default=[2])
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=1500, help="epochs after which a search is given up")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    counts = [count for count in FULL_TRAININGS if count * 20 <= options.epochs]
    with ProcessPoolExecutor(options.jobs) as pool:
        for table in options.tables:
            for slots in options.slots:
                print(f"\n{table}, {slots} slots, {options.seeds} seeds; least {surrogate_of(table).least:.4f}")
                excess = "".join(f"{f'after {count}':>10}" for count in counts)
                print(f"{'':34}{'epochs':>8}{'+-':>6}{'found':>7}{'fewer':>7}{excess}")
                reference = None
                for search in options.searches:
                    jobs = [pool.submit(one, table, search, s, slots, options.epochs) for s in range(options.seeds)]
                    runs = [job.result() for job in jobs]
                    until = [options.epochs if run.until is None else run.until for run in runs]
                    mean, error = np.mean(until), np.std(until) / np.sqrt(len(until))
                    reference = mean if reference is None else reference
                    found = np.mean([run.until is not None for run in runs])
                    row = "".join(f"{100 * np.mean([r.excess[c] for r in runs]):9.1f}%" for c in counts)
                    print(f"{search:34}{mean:8.0f}{error:6.0f}{found:7.0%}{reference / mean:7.1f}{row}", flush=True)


if __name__ == "__main__":
    main()
