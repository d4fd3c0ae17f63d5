"""Measures the metrics a second that arrive in MLflow, and the driver's cost of telling them.

    python benchmarks/rate.py
    python benchmarks/rate.py --trials 64 --epochs 20 --uri http://127.0.0.1:5000     # a server that runs

As many trials as ``--trials`` report an epoch each in turn, 20 metrics an epoch, as fast as the driver can; then it
waits until all have arrived. ``driver`` is its CPU time for an epoch, ``append`` the wall time of writing it to the
outbox (median, and the 99th of 100), ``arriving`` all metrics over the seconds from the first to the last, ``sender``
the CPU seconds of the process that delivers, without its start and the creation of the database.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from sepray.tracking.tracker import Tracker

METRICS = 20


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8, help="trials that run at once")
    parser.add_argument("--epochs", type=int, default=100, help="epochs of each")
    parser.add_argument("--uri", default="", help="address of MLflow; default: a new SQLite database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(Path(folder) / "outbox.db", "rate", uri=options.uri or f"sqlite:///{folder}/mlflow.db")
        tracker.open_study("rate", {}, {})
        for number in range(options.trials):
            tracker.trial_started(number, f"trial {number}", {"beta": 0.5, "rate": 1e-3})
        while tracker.pending():  # the database is made, and the runs are there
            tracker.flush(300.0)
        [sender] = [p for p in psutil.Process().children() if "tracking.sender" in " ".join(p.cmdline())]
        before = sum(sender.cpu_times()[:2])
        appending: list[float] = []
        began, began_cpu = time.monotonic(), time.process_time()
        for epoch in range(1, options.epochs + 1):
            for number in range(options.trials):
                metrics = {f"validation/measure_{k}": 1.0 / (epoch + k) for k in range(METRICS)}
                started = time.perf_counter()
                tracker.trial_epoch(number, metrics, epoch)
                appending.append(time.perf_counter() - started)
        driver = (time.process_time() - began_cpu) / len(appending)
        while tracker.pending():
            tracker.flush(1.0)
        seconds = time.monotonic() - began
        cpu = sum(sender.cpu_times()[:2]) - before
        tracker.close(60.0)
    count = METRICS * len(appending)
    figures = {
        "metrics": count,
        "driver, us an epoch": round(1e6 * driver),
        "append, ms": [
            round(1e3 * value, 3)
            for value in (statistics.median(appending), statistics.quantiles(appending, n=100)[-1])
        ],
        "arriving, a second": round(count / seconds),
        "sender, CPU s for 1000": round(1000 * cpu / count, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
