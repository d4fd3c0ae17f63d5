"""Measures what ``--deterministic`` costs: the share of the slots' time that goes into epochs that the study counts.

    python benchmarks/deterministic.py [--slots 2 8] [--spreads 0 0.1 0.3 1] [--trials 100] [--seeds 5]

A search of ``search.py``'s recorded CASS curves, with the searcher and the scheduler of a study and a simulated clock.
An epoch of a trial takes ``exp(spread * z)`` units of time, with a ``z`` of each trial's own, drawn from a normal
distribution: 0.1 is a quiet machine, 1 a cluster of very different ones. A slot is idle while nothing is due for it,
and an epoch does not count that a trial trains after the one at which it was stopped.

Means over five seeds; "plain" is a study without the flag, in the same simulation:

    slots  spread   plain  deterministic
        2     0.0    1.00           0.98
        2     0.1    0.99           0.94
        2     0.3    0.99           0.87
        2     1.0    0.99           0.70
        8     0.0    0.90           0.91
        8     0.1    0.93           0.83
        8     0.3    0.91           0.68
        8     1.0    0.70           0.36
"""

from __future__ import annotations

import argparse
import heapq
from typing import Any

import numpy as np
import optuna
from _searches import KEY
from _surrogate import Surrogate
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from search import surrogate_of

from sepray.execution.schedulers import StopsAsTold, make_scheduler
from sepray.search.in_order import InOrderSearcher
from sepray.search.samplers import make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study


def occupancy(surrogate: Surrogate, in_order: bool, slots: int, spread: float, trials: int, seed: int) -> float:
    """Return the time of counted epochs over the time of all slots, of one simulated search."""
    random = np.random.default_rng(seed)
    study = open_study(
        optuna.storages.InMemoryStorage(), "s", ["minimize"], {}, make_sampler("tpe", seed, surrogate.space)
    )
    scheduler: Any = make_scheduler("asha", surrogate.epochs)
    given: Any = (study, surrogate.space, [KEY], trials, seed)
    if in_order:
        searcher: StudySearcher = InOrderSearcher(*given, slots=slots, judge=scheduler)
        scheduler = StopsAsTold(searcher.hear)  # type: ignore[attr-defined]
    else:
        searcher = StudySearcher(*given)

    def idle() -> bool:
        """Return whether the storage has heard of everything, so that a suggestion that is due is there."""
        return not (searcher._background._queue or searcher._needs_preparing())

    paces, curves, reached, clock, started = {}, {}, {}, 0.0, 0
    running: list[tuple[float, str]] = []  # (end of the epoch that is being trained, trial)
    handles: dict[str, Trial] = {}
    while True:
        while len(running) < slots:
            searcher._background.wait(idle, 10)
            config = searcher.suggest(str(started))
            if not isinstance(config, dict):
                break
            name, started = str(started), started + 1
            handles[name] = Trial("none", stub=True, config=config, trial_id=name)
            scheduler.on_trial_add(None, handles[name])
            paces[name] = float(np.exp(spread * random.standard_normal()))
            noise = np.random.default_rng([seed, config["number"]])
            curves[name] = surrogate.curve(config["hyperparameters"]) * surrogate.noise(noise)
            reached[name] = 0
            heapq.heappush(running, (clock + paces[name], name))
        if not running:
            if config == searcher.FINISHED:
                break
            continue
        clock, name = heapq.heappop(running)
        reached[name] += 1
        epoch, value = reached[name], float(curves[name][reached[name] - 1])
        last = epoch == surrogate.epochs
        result = {"epoch": epoch, "objective": value, KEY: value, "outcome": "complete" if last else ""}
        if last or scheduler.on_trial_result(None, handles[name], result) == TrialScheduler.STOP:
            scheduler.on_trial_complete(None, handles[name], result)
            searcher.on_trial_complete(name, result)
        else:
            searcher.on_trial_result(name, result)
            heapq.heappush(running, (clock + paces[name], name))
    searcher.close()
    pace_of = {handles[name].config["number"]: pace for name, pace in paces.items()}
    counted = sum(len(t.intermediate_values) * pace_of[t.number] for t in study.get_trials(deepcopy=False))
    return counted / (slots * clock)


def main() -> None:
    """Print a line for each number of slots and each spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.0, 0.1, 0.3, 1.0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    surrogate = surrogate_of("cass")
    print(f"{'slots':>5}{'spread':>8}{'plain':>8}{'deterministic':>15}")
    for slots in options.slots:
        for spread in options.spreads:
            plain, ordered = (
                np.mean([occupancy(surrogate, on, slots, spread, options.trials, s) for s in range(options.seeds)])
                for on in (False, True)
            )
            print(f"{slots:5}{spread:8.1f}{plain:8.2f}{ordered:15.2f}", flush=True)


if __name__ == "__main__":
    main()
