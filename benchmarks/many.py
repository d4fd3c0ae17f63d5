"""Measures a study's driver with many trials at once: CPU time, memory, and the delay with which it hears of results.

    python benchmarks/many.py --slots 64 1000

Nodes and workers are not there (``_fake_actors``): every trial ends an epoch after a time, and the driver does all that
it does in a study, with Tune's controller, early stopping, an SQLite storage, and MLflow told through the outbox. What
is not in the figures is Ray's own work for an answer of an actor. Results arrive at ``--rate`` a second however many
trials there are, 20 metrics each; trials have ``--epochs`` epochs. The sampler is random: what TPE takes, in a thread
of the driver, grows with the study and is in ``history.py``.

``Tune`` is the CPU time of the driver's main thread for a result, starts and ends of trials included; ``threads`` that
of its others, above all the one that asks Optuna for trials and tells it of their ends, for a trial; both without the
study's start. ``late`` is how much later than due an event was handled (median, and the 99th of 100), ``MB`` the
driver's private memory in the end, and what it grew by for a thousand trials.

With ``--rate 20`` on two cores of an Intel Xeon (AVX-512) that other work kept busy, Python 3.11, Ray 2.60, Optuna 5.0:

    slots                             64      1000
    Tune, ms a result                4.8       5.7
    threads, ms a trial               35        50
    late, ms                   7 and 437 0.4 and 209
    MB                               515       536

Optuna reads all trials that run whenever it is asked for one more, so that the thread that asks has more to do with
more of them; trials are asked for ahead of need. The threads took 57 and 112 ms before those reads were of rows
(``search.bulk_read``).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _fake_actors import FakeActors
from _workload import Config, Data

METRICS = 20


def result(config: dict[str, Any], epoch: int, epochs: int) -> dict[str, Any]:
    """Return the result of an epoch, as ``SeparatorTrainable`` makes it."""
    value = 1.0 / (1 + epoch) + (config["number"] * 7919 % 101) / 100
    measures = {f"validation/measure_{k}": value + k for k in range(METRICS - 1)}
    outcome = "complete" if epoch >= epochs else ""
    return {
        **measures, "validation/relative_l2": value, "epoch": epoch, "objective": value, "epoch_seconds": 1.0,
        "timestamp_ms": time.time_ns() // 1_000_000, "outcome": outcome, "reason": "", "done": bool(outcome),
    }  # fmt: skip


def private() -> int:
    """Return the private memory of this process in bytes."""
    with open("/proc/self/smaps_rollup") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def measure(slots: int, trials: int, epochs: int, rate: float, sampler: str, pipe: Any) -> None:
    """Run a search; send its figures."""
    from optuna.distributions import FloatDistribution
    from ray.tune.execution import tune_controller

    from sepray.console import terminal
    from sepray.driver.prepared import prepare
    from sepray.driver.stage import run_stage, search_stage
    from sepray.driver.stores import StudyStores
    from sepray.execution import cluster
    from sepray.loading import load_task
    from sepray.study import StudySpec

    terminal.console.quiet = True
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        spec = StudySpec(
            name="many",
            separator=Config(),
            task=Data(),
            space={
                "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
                "weight": FloatDistribution(0.5, 2.0),
            },
            trials=trials,
            max_epochs=epochs,
            concurrency=1,
            sampler=sampler,
            tracking_uri="sqlite:///mlflow.db",
            storage="sqlite:///optuna.db",
            cache=Path(),
        )
        prepared = prepare(spec, load_task(spec.task, spec.stores.cache))
        stores = StudyStores(prepared)
        try:
            cluster.connect(None, 1, 1.0, 0.0, spec.modules())
            cluster._capacity = lambda needs: slots  # type: ignore[assignment]
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"
            FakeActors.slots, FakeActors.seconds = slots, slots / rate
            FakeActors.result = staticmethod(lambda config, epoch: result(config, epoch, epochs))
            tune_controller.RayActorManager = FakeActors
            stage = search_stage(prepared, stores.search)
            before, began = private(), time.monotonic()
            tune, all_threads = time.thread_time(), time.process_time()
            run_stage(stage, prepared, stores, slots)
            tune, all_threads = time.thread_time() - tune, time.process_time() - all_threads
            seconds, after, made = time.monotonic() - began, private(), FakeActors.made
        finally:
            cluster.disconnect()
            stores.close()
    pipe.send(
        {
            "slots": slots,
            "trials": trials,
            "results": made.handled,
            "a second": round(made.handled / seconds, 1),
            "Tune, ms a result": round(1e3 * tune / made.handled, 2),
            "threads, ms a trial": round(1e3 * (all_threads - tune) / trials, 2),
            "late, ms": [
                round(1e3 * v, 1) for v in (statistics.median(made.late), statistics.quantiles(made.late, n=100)[-1])
            ],
            "MB": round(after / 1e6),
            "MB more for 1000 trials": round((after - before) / 1e3 / trials, 1),
        }
    )


def main() -> None:
    """Print a line of JSON for each number of slots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 1000], help="trials at once")
    parser.add_argument("--trials", type=int, default=1200, help="trials of the study")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of a trial")
    parser.add_argument("--rate", type=float, default=50.0, help="results a second")
    parser.add_argument("--sampler", default="random", help="TPE's own work is in history.py")
    options = parser.parse_args()
    for slots in options.slots:
        ours, theirs = multiprocessing.Pipe()
        given = (slots, options.trials, options.epochs, options.rate, options.sampler, theirs)
        process = multiprocessing.get_context("spawn").Process(target=measure, args=given)
        process.start()
        theirs.close()
        print(json.dumps(ours.recv()), flush=True)
        process.join()


if __name__ == "__main__":
    main()
