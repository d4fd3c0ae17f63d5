"""Makes the tables that ``search.py`` replays: learning curves of many settings of two separators.

    OMP_NUM_THREADS=1 python benchmarks/search_table.py --jobs 2

For ``cass:quick`` on ``ecg:quick`` (cross adversarial training in both directions) and ``ssgan:small`` on
``notes_and_bursts``, this trains settings of the separator's search space for 20 epochs each and writes the study's
objective after every epoch, the mean relative L2 error of the validation split, to ``benchmarks/search_table.json``.
The settings are a scrambled Sobol sequence over the space, logarithmic where the space is, and the published ones. The
first few settings are trained from further seeds too: they say how much a seed moves a curve.

A training that does not finish (a loss that is not finite) has a shorter curve.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.distributions import FloatDistribution
from scipy.stats import qmc

from sepray import registry, shipped
from sepray.contracts import TaskData
from sepray.execution.members import Members
from sepray.identity import expand
from sepray.training.trainer import NonFiniteLossError, build
from sepray.training.views import view

TABLE = Path(__file__).with_name("search_table.json")
OBJECTIVE = "validation/relative_l2"


@dataclasses.dataclass(frozen=True)
class Subject:
    """The subject of a table: a separator on a task.

    Attributes:
        separator: name of the separator, and of its search space.
        configuration: name of a constant of the separator's module.
        task: name of the task.
        task_configuration: name of a constant of the task's module; empty for its defaults.
        task_fields: fields of the task that differ.
        fixed: hyperparameters that the space leaves out.
    """

    separator: str
    configuration: str
    task: str
    task_configuration: str = ""
    task_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def config(self) -> Any:
        """Return the configuration of the separator."""
        return getattr(registry.find("sepray.separators", self.separator), self.configuration)

    def data(self, cache: Path) -> TaskData:
        """Return the data of the task."""
        module = registry.find("sepray.tasks", self.task)
        config = getattr(module, self.task_configuration) if self.task_configuration else module.Config()
        return dataclasses.replace(config, **self.task_fields).load(cache)


SUBJECTS = {
    "cass": Subject("cass", "QUICK", "ecg", "QUICK", fixed={"adversarial": 1}),
    "ssgan": Subject("ssgan", "SMALL", "notes_and_bursts", task_fields={"train": 64, "validation": 32, "test": 2}),
}


def settings(space: Mapping[str, FloatDistribution], count: int, seed: int = 0) -> list[dict[str, float]]:
    """Return ``count`` points of the space: a scrambled Sobol sequence, logarithmic where the space is."""
    points = qmc.Sobol(len(space), seed=seed).random(count)
    found = []
    for point in points:
        values = {}
        for (name, d), share in zip(space.items(), point, strict=True):
            low, high = (np.log(d.low), np.log(d.high)) if d.log else (d.low, d.high)
            value = low + share * (high - low)
            values[name] = float(np.clip(np.exp(value) if d.log else value, d.low, d.high))
        found.append(values)
    return found


def train(name: str, params: Mapping[str, float], seed: int, epochs: int, cache: Path) -> dict[str, Any]:
    """Train one setting from one seed on one thread; return its curve and the seconds of CPU time that it took."""
    torch.set_num_threads(1)
    subject = SUBJECTS[name]
    data, config = subject.data(cache), subject.config()
    separator = build(config, data.signal, 0)
    members = Members(
        config,
        data.signal,
        seed=seed,
        count=1,
        train=view(data.train, separator.supervision, torch.Generator().manual_seed(0), separator.paired_fraction),
        hyperparameters={**subject.fixed, **params},
        device="cpu",
        augmentation=data.augmentation,
    )
    validation = {"mixture": data.validation.mixture, "sources": data.validation.sources}
    started = time.process_time()
    curve: list[float] = []
    try:
        for _ in range(epochs):
            value = members.epoch(validation, 200)[OBJECTIVE]
            if not np.isfinite(value):
                break
            curve.append(float(f"{value:.6g}"))
    except NonFiniteLossError:
        pass  # the curve ends here
    return {"seed": seed, "params": dict(params), "curve": curve, "seconds": round(time.process_time() - started, 2)}


def jobs(name: str, count: int, repeated: int, seeds: int) -> tuple[dict[str, Any], list[tuple[str, dict, int]]]:
    """Return the space of a subject as plain values, and (label, settings, seed) of every training."""
    subject = SUBJECTS[name]
    published_space = shipped.search_spaces()[subject.separator]
    sources = subject.data(Path(os.environ.get("SEPRAY_CACHE", "~/.cache/sepray")).expanduser()).signal.sources
    space: Any = expand(published_space.space, sources)
    published = {label: expand(point, sources) for label, point in published_space.reference_points.items()}
    points = settings(space, count)
    found = [("", point, 0) for point in points]
    found += [("", point, seed) for point in points[:repeated] for seed in range(1, seeds)]
    for label, point in published.items():
        if all(point.get(key, value) == value for key, value in subject.fixed.items()):
            found.append((label, {k: v for k, v in point.items() if k in space}, 0))
    return {k: {"low": d.low, "high": d.high, "log": d.log} for k, d in space.items()}, found


def made(name: str, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield the fields of one subject's table."""
    space, todo = jobs(name, options.settings, options.repeated, options.seeds)
    cache = Path(os.environ.get("SEPRAY_CACHE", "~/.cache/sepray")).expanduser()
    with ProcessPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(train, name, point, seed, options.epochs, cache) for _, point, seed in todo]
        trainings = [{"label": label, **f.result()} for (label, _, _), f in zip(todo, futures, strict=True)]
    subject = SUBJECTS[name]
    yield "separator", f"{subject.separator}:{subject.configuration.lower()}"
    yield "task", subject.task
    yield "space", space
    yield "epochs", options.epochs
    yield "machine", platform.machine()
    yield "trainings", trainings


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS), choices=SUBJECTS)
    parser.add_argument("--settings", type=int, default=64, help="settings from the Sobol sequence")
    parser.add_argument("--repeated", type=int, default=12, help="settings that are trained from several seeds")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each of those")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, on a thread each")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    tables = {name: dict(made(name, options)) for name in options.subjects}
    lines = []
    for name, table in tables.items():
        trainings = ",\n".join(json.dumps(training) for training in table.pop("trainings"))
        lines.append(f'"{name}": {json.dumps(table)[:-1]}, "trainings": [\n{trainings}\n]}}')
    options.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
