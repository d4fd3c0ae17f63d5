"""A laboratory: a folder with a user's own separator, task, space and study, run by real commands in real processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

SEPARATOR = '''
"""A linear separator: one filter a source."""
import time
from dataclasses import dataclass
import torch
from sepray.contracts import Loss, Phase, Separator


@dataclass(frozen=True)
class Config:
    taps: int = 9
    pause: float = 0.0
    """Seconds that an epoch takes at least."""
    batch_size: int = 20
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal):
        return Filters(signal, self)


class Filters(Separator):
    def __init__(self, signal, config):
        super().__init__(signal)
        self.pause = config.pause
        self.filters = torch.nn.Conv1d(1, len(signal.sources), config.taps, padding=config.taps // 2, bias=False)

    def hyperparameters(self):
        return {"learning_rate": 1e-2, "weight": 1.0}

    def before_epoch(self, data, epoch, generator):
        time.sleep(self.pause)
        return data

    def estimate(self, mixture):
        return self.filters(mixture).unsqueeze(2)

    def loss(self, module, batch, weights, random):
        error = (module.estimate(batch["mixture"]) - batch["sources"]).square().mean()
        total = weights["weight"] * error / (weights["weight"] >= 0)
        return Loss(total, {"mse": error})

    def phases(self):
        return (Phase("filters", ("filters",), "learning_rate", self.loss),)

    def separate(self, mixture):
        with torch.no_grad():
            return self.estimate(mixture)
'''
TASK = '''
"""A slow and a fast sinusoid."""
import hashlib
import torch
from dataclasses import dataclass
from sepray.contracts import Signal, Split, TaskData


@dataclass(frozen=True)
class Config:
    items: int = 40
    seed: int = 0

    def load(self, cache):
        generator = torch.Generator().manual_seed(self.seed)
        def split():
            phase = torch.rand(self.items, 2, 1, 1, generator=generator) * 6.28
            rate = torch.tensor([0.2, 1.5]).reshape(1, 2, 1, 1)
            sources = torch.sin(rate * torch.arange(64) + phase)
            return Split(sources.sum(1), sources)
        train, validation, test = split(), split(), split()
        digest = hashlib.sha256(torch.cat([s.sources for s in (train, validation, test)]).numpy().tobytes()).hexdigest()
        return TaskData(Signal(("slow", "fast"), 1, (64,), 100.0), train, validation, test, digest)
'''
STUDY = """
from optuna.distributions import FloatDistribution
from sepray.study import StudySpec, main

if __name__ == "__main__":
    main(StudySpec(
        name="lab",
        separator="my_separator",
        task="my_task",
        space={
            "learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
            "weight": FloatDistribution(-0.2, 1.0),
        },
        reference_points={"careful": {"learning_rate": 2e-3, "weight": 1.0}},
        controls={"heavy": {"weight": 1.0}},
        trials=6,
        max_epochs=4,
        finalists=1,
        final_seeds=2,
        checkpoint_seconds=0.001,
    ))
"""


class Laboratory:
    """Runs the study in its folder and looks at what it left there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen] = []
        for name, text in (("my_separator", SEPARATOR), ("my_task", TASK), ("study", STUDY)):
            (folder / f"{name}.py").write_text(textwrap.dedent(text).lstrip())
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RAY", "OMP"))}
        self.environment |= {"COLUMNS": "200", "PYTHONWARNINGS": "ignore"}

    def start(self, *arguments: str, script: str = "study.py") -> subprocess.Popen:
        """Start the study in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, script, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, status: int = 0, timeout: float = 150, script: str = "study.py") -> str:
        """Run the study to its end and return what it printed."""
        process = self.start(*arguments, script=script)
        try:
            printed, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            raise AssertionError(f"still running after {timeout} s: {process.communicate()[0][-2000:]}") from None
        assert process.returncode == status, printed[-4000:]
        return printed

    def trials(self, name: str = "lab") -> list[optuna.trial.FrozenTrial]:
        """Return the Optuna records."""
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{self.folder}/optuna.db")
        return study.get_trials()

    def query(self, statement: str, *values: object) -> list[tuple]:
        """Ask MLflow's database."""
        with sqlite3.connect(f"file:{self.folder}/mlflow.db?mode=ro", uri=True) as connection:
            return connection.execute(statement, values).fetchall()

    def wait(self, condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 100) -> None:
        """Wait until the running study has come so far."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert process.poll() is None, f"it ended early: {process.communicate()[0][-3000:]}"
            try:
                if condition():
                    return
            except (KeyError, optuna.exceptions.StorageInternalError, Exception) as error:
                if not isinstance(error, KeyError) and "no such table" not in str(error):
                    raise
            time.sleep(0.1)
        kill(process)
        raise AssertionError(f"it did not come so far in {seconds} s: {process.communicate()[0][-3000:]}")


def kill(process: subprocess.Popen) -> None:
    """Kill -9 the driver alone; Ray's processes find out by themselves."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path)
    yield laboratory
    for process in laboratory.started:  # of a test that failed
        if process.poll() is None:
            kill(process)
        if process.stdout is not None:
            process.stdout.close()
