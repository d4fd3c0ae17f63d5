"""The contenders of ``study_efficiency.py``, each run in a process of its own.

    python _contenders.py plain|stock|sepray|calibrate '{"trials": 8, "epochs": 5, "steps": 100, "slots": 2}'

works in the current folder and writes ``epochs.json``: for every epoch of every trial, its end (seconds since 1970, by
the worker's clock) and its duration in seconds, ``[[trial, ended, seconds], ...]``.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch
from _workload import Config, Data, HandWritten

from sepray.contracts import TaskData

LEARNING_RATE, WEIGHT = (1e-4, 1e-2), (0.5, 2.0)
CALIBRATION_SECONDS = 4.0
NICENESS = 15
"""Niceness of Ray's workers, and so of the plain ones: other processes then slow all contenders down alike."""
Epoch = tuple[str, float, float]
"""Name of the trial, end of the epoch (seconds since 1970), duration in seconds."""


@dataclass(frozen=True)
class Work:
    """The work of every contender.

    Attributes:
        trials: number of trials.
        epochs: number of epochs of each trial; no trial is stopped early.
        steps: number of updates in an epoch; 0 for trials without training.
        slots: number of trials at once, each with one thread.
    """

    trials: int
    epochs: int
    steps: int
    slots: int

    @property
    def config(self) -> Config:
        """Configuration of the separator."""
        return Config(train=self.steps > 0)

    def load(self) -> TaskData:
        """Return the data."""
        return Data(self.steps).load(Path())


def timed(
    work: Work, data: TaskData, hyperparameters: dict[str, float], seed: int
) -> Iterator[tuple[dict[str, float], torch.nn.Module]]:
    """Train one trial in a plain loop; yield the metrics of each epoch with its end and duration, and the network."""
    # Not timed: the first optimizer of a process imports a part of torch, which takes seconds.
    loop = HandWritten(work.config, data, hyperparameters, seed)
    for _ in range(work.epochs):
        started = time.monotonic()
        metrics = loop.epoch()
        yield metrics | {"epoch_seconds": time.monotonic() - started, "ended": time.time()}, loop.network


def plain(work: Work) -> list[Epoch]:
    """Run worker processes that take settings from a queue and train in a plain loop."""
    context = multiprocessing.get_context("spawn")
    settings: Queue[Any] = context.Queue()
    results: Queue[Epoch] = context.Queue()
    draw = random.Random(0)
    for number in range(work.trials):
        settings.put((number, {"learning_rate": draw.uniform(*LEARNING_RATE), "weight": draw.uniform(*WEIGHT)}))
    workers = [context.Process(target=_plain_worker, args=(work, settings, results)) for _ in range(work.slots)]
    for worker in workers:
        settings.put(None)
        worker.start()
    epochs = [results.get() for _ in range(work.trials * work.epochs)]
    for worker in workers:
        worker.join()
    return epochs


def _plain_worker(work: Work, settings: Queue[Any], results: Queue[Epoch]) -> None:
    os.nice(NICENESS)
    torch.set_num_threads(1)
    data = work.load()
    while (item := settings.get()) is not None:
        number, hyperparameters = item
        for metrics, network in timed(work, data, hyperparameters, number):
            results.put((str(number), metrics["ended"], metrics["epoch_seconds"]))
            weights = network.state_dict()
        torch.save(weights, f"trial-{number}.pt")


def calibrate(work: Work) -> list[Epoch]:
    """Train in every slot for some seconds; the durations of the epochs tell how long ``work.steps`` steps take."""
    context = multiprocessing.get_context("spawn")
    results: Queue[Epoch] = context.Queue()
    workers = [context.Process(target=_calibration_worker, args=(work, results)) for _ in range(work.slots)]
    for worker in workers:
        worker.start()
    ended, epochs = 0, []
    while ended < work.slots:
        epoch = results.get()
        epochs.append(epoch)
        ended += epoch[0] == "last"
    for worker in workers:
        worker.join()
    return epochs


def _calibration_worker(work: Work, results: Queue[Epoch]) -> None:
    os.nice(NICENESS)
    torch.set_num_threads(1)
    endless = Work(1, sys.maxsize, work.steps, work.slots)
    began = time.monotonic()
    for metrics, _ in timed(endless, work.load(), {"learning_rate": 1e-3, "weight": 1.0}, 0):
        last = time.monotonic() - began > CALIBRATION_SECONDS
        results.put(("last" if last else "", metrics["ended"], metrics["epoch_seconds"]))
        if last:
            return


def stock(work: Work) -> list[Epoch]:
    """Run Ray Tune with its defaults, OptunaSearch and MLflowLoggerCallback, as in its documentation."""
    import optuna
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    def train(config: dict[str, float], data: TaskData) -> None:
        torch.set_num_threads(1)
        for epoch, (metrics, network) in enumerate(timed(work, data, config, 0), 1):
            if epoch < work.epochs:
                tune.report(metrics)
                continue
            with tempfile.TemporaryDirectory() as folder:
                torch.save(network.state_dict(), f"{folder}/weights.pt")
                tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

    ray.init(num_cpus=work.slots)
    uri = "sqlite:///mlflow.db"
    tune.Tuner(
        tune.with_parameters(train, data=work.load()),
        param_space={"learning_rate": tune.loguniform(*LEARNING_RATE), "weight": tune.uniform(*WEIGHT)},
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(storage=optuna.storages.RDBStorage("sqlite:///optuna.db")),
            num_samples=work.trials,
            metric="relative_l2",
            mode="min",
        ),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(Path("tune").absolute()),
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock")],
        ),
    ).fit()
    ray.shutdown()
    ended = dict(_metrics("SELECT run_uuid || ' ' || step, value FROM metrics WHERE key = 'ended'"))
    seconds = _metrics(
        "SELECT run_uuid || ' ' || step, run_uuid, value FROM metrics WHERE key = 'epoch_seconds' AND step > 0"
    )
    return [(run, ended[epoch], value) for epoch, run, value in seconds]


def sepray(work: Work) -> list[Epoch]:
    """Run the search of a sepray study: as ``run`` does, without the retrainings and the registration."""
    from optuna.distributions import FloatDistribution

    from sepray.console import terminal
    from sepray.driver.prepared import prepare
    from sepray.driver.stage import run_stage, search_stage
    from sepray.driver.stores import StudyStores
    from sepray.execution import cluster
    from sepray.loading import load_task
    from sepray.study import StudySpec

    terminal.console.quiet = True
    spec = StudySpec(
        name="efficiency",
        separator=work.config,
        task=Data(work.steps),
        space={
            "learning_rate": FloatDistribution(*LEARNING_RATE, log=True),
            "weight": FloatDistribution(*WEIGHT),
        },
        trials=work.trials,
        max_epochs=work.epochs,
        concurrency=work.slots,
        scheduler="none",
        tracking_uri="sqlite:///mlflow.db",
        cache=Path(),
    )
    prepared = prepare(spec, load_task(spec.task, spec.stores.cache))
    stores = StudyStores(prepared)
    try:
        slots = cluster.connect(None, work.slots, 1.0, 0.0, spec.modules())
        run_stage(search_stage(prepared, stores.search), prepared, stores, slots)
    finally:
        cluster.disconnect()
        stores.close()
    return _metrics(
        "SELECT run_uuid, timestamp / 1000.0, value FROM metrics WHERE key = 'epoch_seconds' ORDER BY timestamp"
    )


def _metrics(statement: str) -> list[Any]:
    """Query MLflow's database, so that epochs that were not tracked do not count."""
    with contextlib.closing(sqlite3.connect("mlflow.db")) as connection:
        return connection.execute(statement).fetchall()


CONTENDERS: dict[str, Callable[[Work], list[Epoch]]] = {"plain": plain, "stock": stock, "sepray": sepray}


if __name__ == "__main__":
    name, work = sys.argv[1], Work(**json.loads(sys.argv[2]))
    Path("epochs.json").write_text(json.dumps((CONTENDERS | {"calibrate": calibrate})[name](work)))
