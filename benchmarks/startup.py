"""Measures how much CPU time a command takes, beside that of ``import torch``, which most of them cannot do without.

    python benchmarks/startup.py [--rounds 5]

A model of CASS is registered twice in a new SQLite registry, and a recording of ten seconds is separated, at another
rate than the model's; the task has eight items a split. Every command runs in a process of its own, all of them in turn
in each round, after a round that is not counted; figures are medians of user and system time together, in seconds.
With ``--rounds 3`` on two cores of an Intel Xeon that other programs kept busy, Python 3.11, torch 2.11:

    CPU seconds                       median   least  of the import
    import torch                        1.96    1.87          1.00x
    import sepray                       0.03    0.03          0.01x
    sepray --help                       0.30    0.28          0.15x
    sepray list separators              0.24    0.24          0.12x
    sepray separate                     2.87    2.75          1.46x
    sepray separate --no-picture        2.36    2.23          1.20x
    sepray evaluate                     3.69    3.66          1.88x
    sepray compare                      3.90    3.60          1.99x
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

SECONDS, RATE = 10, 250
MODEL = "cass-ecg"
BASELINE = "import torch"
_SEPRAY = ("-c", "from sepray.cli.main import main; main()")
_FIRST, _SECOND = f"models:/{MODEL}@champion", f"models:/{MODEL}/1"
COMMANDS: dict[str, tuple[str, ...]] = {
    BASELINE: ("-c", "import torch"),
    "import sepray": ("-c", "import sepray"),
    "sepray --help": (*_SEPRAY, "--help"),
    "sepray list separators": (*_SEPRAY, "list", "separators"),
    "sepray separate": (*_SEPRAY, "separate", _FIRST, "abdomen.wav", "-o", "separated"),
    "sepray separate --no-picture": (*_SEPRAY, "separate", _FIRST, "abdomen.wav", "-o", "separated", "--no-picture"),
    "sepray evaluate": (*_SEPRAY, "evaluate", _FIRST, "--cache", "cache"),
    "sepray compare": (*_SEPRAY, "compare", _FIRST, _SECOND, "--cache", "cache"),
}
"""What is measured: the arguments of Python."""


def prepare(folder: Path) -> None:
    """Write a recording into a folder, and a registry with two versions of a model, as a study registers them."""
    import torch

    from sepray.identity import plain
    from sepray.separators import cass
    from sepray.tasks import ecg
    from sepray.tracking import models
    from sepray.tracking.packaging import package_model
    from sepray.tracking.tracker import Tracker

    time = np.arange(SECONDS * RATE) / RATE
    soundfile.write(folder / "abdomen.wav", 0.5 * np.sin(2 * np.pi * 1.3 * time), RATE)
    task = replace(ecg.DEBUG, train=8, validation=8, test=8)
    signal = task.load(folder / "cache").signal
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tracker = Tracker(folder / "outbox.db", "startup", uri=uri)
    tracker.open_study("startup", {}, {})
    for seed in range(2):
        torch.manual_seed(seed)
        config = cass.Config()
        package_model(
            folder / "model",
            separator=config.build(signal),
            config=config,
            example=np.zeros((1, signal.channels, *signal.shape), np.float32),
            metadata={
                "study": "startup",
                "metric": "si_sdr",
                "sources": list(signal.sources),
                "sample_rate": signal.sample_rate,
                "task": "sepray.tasks.ecg",
                "task_config": plain(task),
                "n_fft": config.n_fft,
                "hop": config.hop,
            },
        )
        tracker.trial_started(f"final-{seed}", "final", {}, stage="finals")
        models.set_champion(MODEL, models.register(tracker, f"final-{seed}", folder / "model", MODEL), uri)
    tracker.close(60)


def cpu_seconds(arguments: Sequence[str], folder: Path) -> float:
    """Return the user and system time of Python with these arguments, run in a folder.

    Raises:
        RuntimeError: it ended with another status than 0.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors, env=_environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: exit status {process.returncode}\n{errors.read().decode()}")
    return usage.ru_utime + usage.ru_stime


def _environment() -> dict[str, str]:
    """Return this process's environment, in which sepray is found from any folder, and MLflow in that folder."""
    root = str(Path(__file__).resolve().parents[1])
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return kept | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}


def measure(commands: Mapping[str, Sequence[str]], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each command in each round; the order of the commands turns from round to round."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(rounds + 1):
        for name in list(commands)[:: -1 if round_ % 2 else 1]:
            taken = cpu_seconds(commands[name], folder)
            if round_:  # the first reads files from the disk and writes bytecode
                seconds[name].append(taken)
    return seconds


def table(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return the medians, and their ratios to the baseline's, as lines of text."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    lines = [f"{'CPU seconds':32}{'median':>8}{'least':>8}{'of the import':>15}"]
    for name, values in seconds.items():
        lines.append(f"{name:32}{medians[name]:8.2f}{min(values):8.2f}{medians[name] / medians[BASELINE]:14.2f}x")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="number of counted runs of each command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sepray-startup-") as name:
        prepare(Path(name))
        print(table(measure(COMMANDS, Path(name), options.rounds)))


if __name__ == "__main__":
    main()
