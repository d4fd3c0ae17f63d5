"""A laboratory: a folder with a user's own separator, task and study, run by real commands in real processes."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage

from ..kept.make import unpack

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
    """Seconds that each epoch waits."""
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


SCRIPTS = {"my_separator.py": SEPARATOR, "my_task.py": TASK, "study.py": STUDY}
COMMAND = "import sys; sys.path.insert(0, '.'); from sepray.cli.main import main; main()"
# Loads a registered model in a process that cannot import sepray, nor the user's own modules.
LOADED_ELSEWHERE = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sepray", "my_separator", "my_task", "kept_task", "search_spaces"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
import mlflow, numpy as np
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model(sys.argv[1])
print("shape", model.predict(np.ones((3, 1, 50), np.float32)).shape)
"""


class Laboratory:
    """A folder with a user's files: runs studies and the ``sepray`` command in it, and reads the databases there."""

    def __init__(self, folder: Path, scripts: Mapping[str, str]) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen] = []
        self.storage: BaseStorage | None = None  # Optuna's, where it is not optuna.db
        for name, text in scripts.items():
            (folder / name).write_text(text.lstrip())
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RAY", "OMP"))}
        self.environment |= {"COLUMNS": "200", "PYTHONWARNINGS": "ignore"}

    def start(self, *arguments: str, script: str = "study.py") -> subprocess.Popen:
        """Start a script with Python, in a process group of its own."""
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

    def run(self, *arguments: str, status: int = 0, timeout: float = 500, script: str = "study.py") -> str:
        """Run a script to its end, check its exit status and return what it printed."""
        process = self.start(*arguments, script=script)
        try:
            printed, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            raise AssertionError(f"still running after {timeout} s: {process.communicate()[0][-2000:]}") from None
        assert process.returncode == status, printed[-4000:]
        return printed

    def sepray(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the ``sepray`` command and check its exit status."""
        command = [sys.executable, "-c", COMMAND, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == status, (done.stdout + done.stderr)[-4000:]
        return done

    def load_elsewhere(self, model: str) -> str:
        """Return what a process without sepray prints of a registered model's estimates of three mixtures."""
        done = subprocess.run(
            [sys.executable, "-c", LOADED_ELSEWHERE, model],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def trials(self, name: str = "lab") -> list[optuna.trial.FrozenTrial]:
        """Return the trials in the Optuna storage."""
        storage = self.storage or f"sqlite:///{self.folder}/optuna.db"
        study = optuna.load_study(study_name=name, storage=storage)
        return study.get_trials()

    def champion(self, printed: str, name: str = "lab") -> str:
        """Return the role of the champion in the printed table, which is that of a retraining: finalist or control."""
        [row] = [line for line in printed.splitlines() if line.strip().startswith("champion, ")]
        roles = {t.user_attrs["role"] for t in self.trials(f"{name}/finals")}
        [role] = [role for role in roles if f"champion, {role}" in row]
        return role

    def query(self, statement: str, *values: object) -> list[tuple]:
        """Return the rows that MLflow's database gives for an SQL statement."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/mlflow.db?mode=ro", uri=True)) as connection:
            return connection.execute(statement, values).fetchall()

    def wait(self, condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 100) -> None:
        """Wait until a condition of the running process holds; a study or table that is not there yet counts as no."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert process.poll() is None, f"it ended early: {process.communicate()[0][-3000:]}"
            try:
                if condition():
                    return
            except KeyError:
                pass
            except Exception as error:
                if "no such table" not in str(error):
                    raise
            time.sleep(0.1)
        kill(process)
        raise AssertionError(f"the condition did not hold within {seconds} s: {process.communicate()[0][-3000:]}")


def kill(process: subprocess.Popen) -> None:
    """Kill -9 the driver alone; Ray's processes notice by themselves."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def opened(laboratory: Laboratory) -> Iterator[Laboratory]:
    """End what a failed test has left running."""
    yield laboratory
    for process in laboratory.started:
        if process.poll() is None:
            kill(process)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    """A new folder with a user's own separator, task and study."""
    with opened(Laboratory(tmp_path, SCRIPTS)) as laboratory:
        yield laboratory


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Laboratory]:
    """The folder in which studies of an older commit were made; see tests/kept/make.py."""
    unpack(tmp_path)
    with opened(Laboratory(tmp_path, {})) as laboratory:
        yield laboratory
