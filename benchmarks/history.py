"""Measures whether the searcher slows down with the length of a study: 0, 1,000 and 10,000 finished trials.

    python benchmarks/history.py [--trials 0 1000 10000] [--sampler tpe] [--repeat 20] [--arms]

SQLite, seven hyperparameters, trials of 2 to 20 epochs. Figures are seconds of CPU time, or of wall time ("clock")
where Tune waits; medians where an action repeats. With ``--repeat 6`` on two idle cores of an Intel Xeon (AVX-512),
Python 3.11, Optuna 5.0, Ray 2.60; on a busy machine all are longer:

    seconds, with finished trials:                   0       1,000      10,000   last / first
    open the study                             0.01904     0.10898     0.79557        41.8x
    its trials in memory, MB                   0.06144     2.58867    27.03770       440.1x
    read the history                           0.00149     0.00792     0.19953       134.0x
    replay it to asha                          0.00011     0.00505     0.05156       482.6x
    a decision of asha                         0.00001     0.00004     0.00021        20.3x
    replay it to median                        0.00006     0.00592     0.05780       947.0x
    a decision of median                       0.00004     0.00113     0.01427       338.0x
    count what is left                         0.00299     0.01145     0.08269        27.7x
    ask, in the background                     0.02098     0.08567     0.40865        19.5x
    report, in the background                  0.00103     0.00105     0.00101         1.0x
    tell, in the background                    0.00744     0.00784     0.00767         1.0x
    first suggestion, clock                    0.01979     0.08027     0.48759        24.6x
    a suggestion, longest, clock               0.00006     0.00005     0.00004         0.7x
    a trial's end, longest, clock              0.00028     0.00023     0.00018         0.7x

Optuna's own first read makes an object of every value; ``sepray.search.bulk_read`` reads the tables instead. TPE's own
work makes an ask longer, once for each hyperparameter; asks are made ahead, while trials run.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.samplers import BaseSampler
from ray.tune.experiment import Trial

from sepray.arms import ARM, Arm
from sepray.execution.schedulers import make_scheduler
from sepray.search.ledger import Ledger, history
from sepray.search.outcomes import decide
from sepray.search.samplers import make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study

EPOCHS = 20
KEY = "validation/relative_l2"
SPACE: dict[str, BaseDistribution] = {
    "one_minus_alpha": FloatDistribution(1e-4, 1.0, log=True),
    "cross.maternal_to_fetal": FloatDistribution(1e-4, 1.0, log=True),
    "cross.fetal_to_maternal": FloatDistribution(1e-4, 1.0, log=True),
    "learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "width": IntDistribution(4, 64),
    "representation": CategoricalDistribution(["complex", "magnitude"]),
}
ARMS = {
    "all": Arm({}, tuple(SPACE)),
    "without cross weights": Arm(
        {"cross.maternal_to_fetal": 0.0, "cross.fetal_to_maternal": 0.0},
        tuple(name for name in SPACE if not name.startswith("cross.")),
    ),
}
TABLES = {
    "trials": "trial_id, number, study_id, state, datetime_start, datetime_complete",
    "trial_params": "trial_id, param_name, param_value, distribution_json",
    "trial_values": "trial_id, objective, value, value_type",
    "trial_intermediate_values": "trial_id, step, intermediate_value, intermediate_value_type",
    "trial_user_attributes": "trial_id, key, value_json",
    "trial_system_attributes": "trial_id, key, value_json",
}


def fill(path: Path, count: int, arms: Mapping[str, Arm]) -> None:
    """Write ``count`` finished trials: three in ten complete, one failed, the others pruned after 2 or 6 epochs.

    With arms each has the parameters of one of them, in turn.
    """
    draw = random.Random(0)
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in TABLES}
    texts = {name: distribution_to_json(distribution) for name, distribution in SPACE.items()}
    for i in range(count):
        number, trial = i, i + 1
        kind = draw.random()
        state, epochs = (
            ("COMPLETE", EPOCHS) if kind < 0.3 else ("FAIL", 3) if kind < 0.4 else ("PRUNED", draw.choice((2, 6)))
        )
        final = draw.random()
        rows["trials"].append((trial, number, 1, state, "2025-01-01 00:00:00", "2025-01-01 00:01:00"))
        arm = list(arms)[i % len(arms)] if arms else ""
        if arm:
            text = distribution_to_json(CategoricalDistribution(list(arms)))
            rows["trial_params"].append((trial, ARM, i % len(arms), text))
        for name, distribution in SPACE.items():
            if arm and name not in arms[arm].searched:
                continue
            low, high = getattr(distribution, "low", 0), getattr(distribution, "high", 1)
            value = draw.uniform(low, high)
            whole = not isinstance(distribution, FloatDistribution)
            rows["trial_params"].append((trial, name, round(value) if whole else value, texts[name]))
        for epoch in range(1, epochs + 1):
            rows["trial_intermediate_values"].append((trial, epoch, final + 1 / epoch, "FINITE"))
        if state != "FAIL":
            rows["trial_values"].append((trial, 0, final + 1 / epochs, "FINITE"))
        outcome = {"state": state, "values": None, "reason": "", "tag": state.lower(), "constraint": None}
        attributes = {"seed": i, "checkpoint": f"trial-{i:05d}", "outcome": outcome, "mlflow_run_id": f"{i:032x}"}
        rows["trial_user_attributes"] += [(trial, key, json.dumps(value)) for key, value in attributes.items()]
        if state == "COMPLETE":
            rows["trial_system_attributes"].append((trial, "constraints:collapsed", "-1.0"))
    with sqlite3.connect(path) as connection:
        for table, columns in TABLES.items():
            marks = ", ".join("?" * len(columns.split(",")))
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows[table])
    connection.close()


def private() -> int:
    """Return the private memory of this process in bytes."""
    with open("/proc/self/smaps_rollup") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def timed(action: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the seconds that ``action`` takes: CPU time, which other processes disturb little, or another clock's."""
    started = clock()
    action()
    return clock() - started


def result_of(epoch: int, value: float) -> dict[str, object]:
    """Return a result as the trainable makes it."""
    outcome = "complete" if epoch == EPOCHS else ""
    return {"epoch": epoch, "objective": value, KEY: value, "outcome": outcome}


def decisions(scheduler: Any, numbers: Iterable[int]) -> list[float]:
    """Return the seconds of each decision on trials that no scheduler stops."""
    seconds = []
    for number in numbers:
        trial = Trial("none", stub=True, config={"number": number}, trial_id=str(number))
        scheduler.on_trial_add(None, trial)
        for epoch in (2, 3, 6, 7):
            result = result_of(epoch, 0.1 / epoch)
            seconds.append(timed(lambda t=trial, r=result: scheduler.on_trial_result(None, t, r)))
    return seconds


def measure(count: int, sampler: str, repeat: int, arms: Mapping[str, Arm]) -> Iterator[tuple[str, float]]:
    """Yield (action, seconds) for a study that holds ``count`` finished trials."""

    def made(existing: int) -> BaseSampler:
        return make_sampler(sampler, 0, SPACE, existing=existing, arms=bool(arms))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optuna.db"
        url = f"sqlite:///{path}"

        def reopen() -> None:
            nonlocal study
            study = open_study(url, "s", ["minimize"], {"space": SPACE}, made)

        study = open_study(url, "s", ["minimize"], {"space": SPACE}, made)
        fill(path, count, arms)
        before = private()
        yield "open the study", timed(reopen)
        study.get_trials(deepcopy=False)
        yield "its trials in memory, MB", (private() - before) / 1e6
        past: list[tuple[int, list[tuple[int, float]]]] = []
        yield "read the history", timed(lambda: past.extend(history(study)))
        for name in ("asha", "median"):
            made: list[Any] = []
            yield (
                f"replay it to {name}",
                timed(lambda n=name, m=made: m.append(make_scheduler(n, EPOCHS, history=past))),
            )
            yield f"a decision of {name}", statistics.median(decisions(made[0], range(count, count + repeat)))

        ledger = Ledger(study, SPACE, count + repeat, 0, {}, None, "trial-{number:05d}", arms)
        yield "count what is left", timed(ledger.count)
        asks, reports, tells = [], [], []
        for _ in range(repeat):
            asked: list[int] = []
            asks.append(timed(lambda asked=asked: asked.append(ledger.next().number)))
            reports += [timed(lambda n=asked[0], e=epoch: ledger.report(n, e, 1.0 / e)) for epoch in (1, 2, 3)]
            outcome = decide(result_of(EPOCHS, 0.5), False, [KEY])
            tells.append(timed(lambda n=asked[0], o=outcome: ledger.finish(n, o)))
        yield "ask, in the background", statistics.median(asks)
        yield "report, in the background", statistics.median(reports)
        yield "tell, in the background", statistics.median(tells)

        searcher = StudySearcher(study, SPACE, [KEY], count + 2 * repeat, 0, arms=arms)
        first: list[object] = [None]

        def start() -> None:
            while first[0] is None:
                first[0] = searcher.suggest("first")

        yield "first suggestion, clock", timed(start, time.perf_counter)
        suggestions, calls, clock = [], [], time.perf_counter
        for i in range(repeat - 1):
            time.sleep(1.0)  # a trial of a second
            calls.append(
                timed(lambda i=i: searcher.on_trial_complete("first" if i == 0 else str(i - 1), result_of(20, 0.5)))
            )
            suggested: list[object] = []
            suggestions.append(timed(lambda i=i, to=suggested: to.append(searcher.suggest(str(i))), clock))
            assert suggested[0] is not None, "no suggestion was ready"
        yield "a suggestion, longest, clock", max(suggestions)
        yield "a trial's end, longest, clock", max(calls)
        searcher.close()


def main() -> None:
    """Print a table of seconds, one column for each number of trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[0, 1000, 10000])
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--arms", action="store_true", help="a study with two arms")
    arguments = parser.parse_args()
    columns = {
        count: dict(measure(count, arguments.sampler, arguments.repeat, ARMS if arguments.arms else {}))
        for count in arguments.trials
    }
    print(f"{'seconds, with finished trials:':38}" + "".join(f"{count:>12,}" for count in columns) + "   last / first")
    first, last = columns[arguments.trials[0]], columns[arguments.trials[-1]]
    for action in first:
        times = "".join(f"{column[action]:12.5f}" for column in columns.values())
        print(f"{action:38}{times}{last[action] / first[action]:12.1f}x")


if __name__ == "__main__":
    main()
