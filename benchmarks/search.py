"""Replays searches on recorded learning curves: how many epochs samplers and schedulers need to find good settings.

    python benchmarks/search.py [--tables cass ssgan] [--searches NAME ...] [--slots 2 8] [--seeds 48]

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

Searches of Syne Tune are replayed where it is installed (``pip install syne-tune``). Its version 0.16, which was
measured, has no MOBSTER and no DyHPO; version 0.13 was the last that has them (``pip install
"syne-tune[gpsearchers]<0.14"``), and then these two are replayed in the place of its others. ifBO (freeze-thaw) was not
tried, because it downloads a model. Measured on 16 cores of an Intel Xeon with Syne Tune 0.16, Optuna 5.0 and Ray 2.60:

    cass, 2 slots, 48 seeds; least error 0.3486
                                      epochs    +-  found  fewer   after 5  after 15
    default                              166     9   100%   12.0     10.0%      0.8%
    grace 2                              263    28    92%    7.6      9.9%      1.5%
    grace 1, reduction 2                 264    31    88%    7.6     10.1%      1.4%
    grace 1, reduction 4                 454    47    54%    4.4      8.7%      2.1%
    grace 2, reduction 4                 232    23    96%    8.6     10.5%      1.3%
    no early stopping                    358    19   100%    5.6     23.8%      3.4%
    joint TPE, grace 2                   386    31    90%    5.2      9.9%      2.6%
    the same, published first            417    33    83%    4.8     34.9%      2.9%
    the same, those stopped too          420    31    85%    4.8     24.0%      3.0%
    20 random trials, grace 2            251    17   100%    8.0      9.9%      1.6%
    suggestions not ahead, grace 2       264    30    92%    7.6      9.7%      1.4%
    random, grace 2                      560    38    60%    3.6      9.9%      3.2%
    Ray: OptunaSearch and ASHA           561    43    42%    3.6      9.1%      2.9%
    Syne Tune: ASHA                      320    30    94%    6.2      9.3%      2.4%
    Syne Tune: BOHB                      301    22    96%    6.6      8.3%      2.2%

    ssgan, 2 slots, 48 seeds; least error 0.7716
                                      epochs    +-  found  fewer   after 5  after 15
    default                              612    38    38%    3.3     13.5%      9.1%
    grace 2                              653    35    33%    3.1     15.6%     10.1%
    grace 1, reduction 2                 614    38    40%    3.3     13.1%      9.2%
    grace 1, reduction 4                 707    29    25%    2.8     14.6%     11.0%
    grace 2, reduction 4                 580    38    52%    3.4     14.0%      9.0%
    no early stopping                    625    34    46%    3.2     15.0%     10.3%
    joint TPE, grace 2                   667    36    25%    3.0     15.4%     11.5%
    the same, published first            698    30    23%    2.9     16.4%     11.9%
    the same, those stopped too          680    33    27%    2.9     16.3%     12.3%
    20 random trials, grace 2            600    38    42%    3.3     15.6%      9.4%
    suggestions not ahead, grace 2       572    34    54%    3.5     15.8%     11.3%
    random, grace 2                      637    37    40%    3.1     15.6%      9.9%
    Ray: OptunaSearch and ASHA           678    31    27%    2.9     14.0%     10.2%
    Syne Tune: ASHA                      603    38    42%    3.3     14.7%      8.6%
    Syne Tune: BOHB                      414    33    88%    4.8     14.0%      7.6%

    cass, 2 slots, 6 seeds, --epochs 200; least error 0.3486; two cores of an Intel Xeon, Syne Tune 0.13.0
                                      epochs    +-  found  fewer   after 5
    default                              155    27    33%   12.9     31.2%
    Syne Tune 0.13: DyHPO                 73     6   100%   27.5      1.5%
    Syne Tune 0.13: MOBSTER              115    13   100%   17.4      7.0%

The last table is of few seeds because these two fit Gaussian processes to settings and epochs at every suggestion. Both
need fewer epochs on CASS than the default does; they were not tried on SSGAN.

Where a search has not found any it counts as 800 (or 200) epochs, so "fewer" is at most what it says where few seeds
found some. On CASS one learning rate decides, and the order after an epoch is that after twenty (rank correlation
0.99). On SSGAN seeds move the error by 15%, more than most settings do, and no search is much better than random search
with early stopping. (This BOHB models learning rates on a linear scale. That may be its luck: SSGAN's good rates are
high.) With 8 slots, 32 seeds, the default finds good settings of CASS after 245 epochs, joint TPE with grace 2 after
474 and random search with grace 2 after 553; of SSGAN after 712, 699 and 653, in 22, 25 and 38% of the seeds.
"""

from __future__ import annotations

import argparse
import heapq
import importlib.metadata
import importlib.util
import itertools
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from _searches import SEARCHES, Search
from _surrogate import GOOD, Surrogate

TABLE = Path(__file__).with_name("search_table.json")
FULL_TRAININGS = (5, 15, 50)


@dataclass
class Replay:
    """A search that was replayed.

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
        while len(queue) < slots:
            number, settings = search.suggest()
            if number not in curves:  # else it was paused
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
        elif (decision := search.report(number, epoch, value)) == "stop":
            search.finish(number, epoch, value, stopped=True)
        elif decision != "pause":
            heapq.heappush(queue, (clock + random.normal(1, 0.1), number))
        for count in FULL_TRAININGS:
            if trained == count * surrogate.epochs:
                found.excess[count] = best / surrogate.least - 1
    return found


@cache
def surrogate_of(table: str) -> Surrogate:
    """Return the surrogate of a table of ``search_table.json``."""
    return Surrogate(json.loads(TABLE.read_text())[table])


def one(table: str, search: str, seed: int, slots: int, most: int) -> Replay:
    """Replay one search with one seed."""
    return replay(SEARCHES[search], surrogate_of(table), seed, slots, most)


def shown(name: str, runs: Sequence[Replay], epochs: int, most: int, counts: Sequence[int]) -> str:
    """Return the line of a search: its name and figures.

    Args:
        name: name of the search.
        runs: its replays, one for each seed.
        epochs: epochs of a full training.
        most: epochs after which a search was given up.
        counts: numbers of full trainings after whose epochs the excess is told.
    """
    until = [most if run.until is None else run.until for run in runs]
    mean, error = np.mean(until), np.std(until) / np.sqrt(len(until))
    found = np.mean([run.until is not None for run in runs])
    excess = [100 * np.mean([run.excess[count] for run in runs]) for count in counts]
    told = "".join(f"{value:9.1f}%" if np.isfinite(value) else f"{'none':>10}" for value in excess)
    return f"{name:32}{mean:8.0f}{error:6.0f}{found:7.0%}{epochs / GOOD / mean:7.1f}{told}"


def is_installed(search: str) -> bool:
    """Say whether the version of Syne Tune that a search is of is installed; those of others need none."""
    if not search.startswith("Syne Tune"):
        return True
    if importlib.util.find_spec("syne_tune") is None:
        return False
    is_older = importlib.metadata.version("syne-tune").startswith("0.13.")
    return is_older == search.startswith("Syne Tune 0.13")


def main() -> None:
    """Print a table for each recorded separator and number of slots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["cass", "ssgan"])
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, metavar="NAME", help="; ".join(SEARCHES))
    parser.add_argument("--slots", type=int, nargs="+", default=[2])
    parser.add_argument("--seeds", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=800, help="epochs after which a search is given up")
    parser.add_argument("--jobs", type=int, default=2, help="replays at once")
    options = parser.parse_args()
    names = options.searches or [name for name in SEARCHES if is_installed(name)]
    counts = [count for count in FULL_TRAININGS if count * surrogate_of(options.tables[0]).epochs <= options.epochs]
    with ProcessPoolExecutor(options.jobs) as pool:
        for table, slots in itertools.product(options.tables, options.slots):
            surrogate = surrogate_of(table)
            print(f"\n{table}, {slots} slots, {options.seeds} seeds; least error {surrogate.least:.4f}")
            excess = "".join(f"{f'after {count}':>10}" for count in counts)
            print(f"{'':32}{'epochs':>8}{'+-':>6}{'found':>7}{'fewer':>7}{excess}")
            for name in names:
                jobs = [pool.submit(one, table, name, seed, slots, options.epochs) for seed in range(options.seeds)]
                print(shown(name, [j.result() for j in jobs], surrogate.epochs, options.epochs, counts), flush=True)


if __name__ == "__main__":
    main()
