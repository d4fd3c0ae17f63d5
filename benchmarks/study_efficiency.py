"""Measures the share of a machine's time that a study trains in: plain PyTorch loops, the stock stack, and sepray.

    python benchmarks/study_efficiency.py --rounds 3 --json study_efficiency.json

Three contenders do the same work, one after another in every round, each in a process and a folder of its own:

- plain: one process for each slot, which takes settings from a queue and trains in a hand-written loop;
- stock: Ray Tune with its own OptunaSearch (SQLite) and MLflowLoggerCallback (SQLite), and the same loop;
- sepray: the search of a study, with its searcher, checkpoints and tracking.

The work is a network of three convolutions (`_workload.py`) trained for ``--epochs`` epochs and scored on a validation
split after each; no trial is stopped early, all keep their final weights on disk. The number of steps is set once, by
training in all slots at the same time, so that a trial takes the seconds that were asked for; 0 asks for trials of one
epoch without any training. Every worker measures its own epochs, and from them come these figures for each contender:

- efficiency: seconds in epochs (steps and validation; not building networks and optimizers), divided by slots times
  the seconds from the start of the first epoch of the study to the end of the last one;
- of plain: trials per second between those two moments, relative to plain in the same round. It shows what efficiency
  does not: work beside the trials that takes the processor from them and makes their epochs longer;
- with start: seconds in epochs, divided by slots times the seconds from the start of the process to its end;
- start: seconds from the start of the process to the start of the first epoch;
- trial: seconds from the end of the first trials (two for each slot) to the end of the last, divided by the number of
  trials between the two: the cost of an empty trial in the steady state.

The epochs of sepray and stock are read from the MLflow database that they leave: an epoch that is not tracked does not
count.

Measured in two rounds (``--rounds 2 --trials 6 16 10``) on two shared cores of an AMD EPYC, at a load of 0.9 before and
1.4 to 2.1 during them. "Of plain" rests on few trials, and a slot is empty during the last one:

    trials of   10 s                          1 s                           0 s
                efficiency     of plain       efficiency     of plain       trial
    plain       0.989, 0.991   1              0.958, 0.931   1              0.015 s, 0.015 s
    stock       0.640, 0.653   0.644, 0.629   0.168, 0.162   0.162, 0.152   3.00 s, 3.12 s
    sepray      0.985, 0.990   1.045, 0.982   0.897, 0.930   0.728, 0.871   0.062 s, 0.027 s
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _contenders import CONTENDERS, Epoch, Work
from rich import box
from rich.console import Console
from rich.table import Table

CALIBRATION_STEPS = 10
TARGETS = {10.0: 0.95, 1.0: 0.85}
"""Least efficiency of sepray, by the seconds of a trial."""
EMPTY_TARGET = 1 / 20
"""Highest cost of sepray's empty trial, as a share of the stock stack's."""
TIME_LIMIT = 1800.0
"""Seconds after which a contender is killed."""
COLUMNS = {"efficiency": ".3f", "of_plain": ".3f", "with_start": ".3f", "start": ".1f", "trial": ".3f"}
console = Console(highlight=False)


@dataclass(frozen=True)
class Run:
    """Figures of one run of a contender; the module's docstring defines those that are not listed here.

    Attributes:
        round: number of the round, from 0.
        contender: name of the contender.
        seconds: time that a trial was asked to take.
        load: load average of the machine in the minute before.
    """

    round: int
    contender: str
    seconds: float
    load: float
    efficiency: float
    of_plain: float
    with_start: float
    start: float
    trial: float


def main() -> None:
    """Measure, print a table, and write JSON."""
    options = _options()
    slots = options.slots or len(os.sched_getaffinity(0))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="study-efficiency-") as folder:
        step = _step_seconds(Path(folder), slots)
        console.print(f"{slots} slots, a step takes {1000 * step:.1f} ms, load {os.getloadavg()[0]:.1f}")
        for round_ in range(options.rounds):
            for seconds, trials in zip(options.seconds, options.trials, strict=True):
                epochs = options.epochs if seconds else 1
                work = Work(trials, epochs, round(seconds / epochs / step), slots)
                runs += _round(round_, seconds, work, options.contenders, Path(folder))
    _show(runs)
    if options.json:
        result = {"slots": slots, "step_seconds": step, "options": vars(options), "runs": [asdict(r) for r in runs]}
        options.json.write_text(json.dumps(result, indent=1, default=str))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="number of times that every contender runs")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 1.0, 0.0], help="durations of a trial")
    parser.add_argument("--trials", type=int, nargs="+", default=[8, 40, 40], help="trials of a run, for each duration")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of a trial; an empty trial has one")
    parser.add_argument("--slots", type=int, default=0, help="trials at once; default: one for each processor")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, help="file that all figures are written to")
    options = parser.parse_args()
    if len(options.trials) != len(options.seconds):
        parser.error(f"--trials needs {len(options.seconds)} numbers, one for each of --seconds")
    return options


def _round(round_: int, seconds: float, work: Work, contenders: Sequence[str], folder: Path) -> list[Run]:
    """Let all contenders do the same work, one after another."""
    runs: list[Run] = []
    plain = float("nan")
    for name in contenders:
        load = os.getloadavg()[0]
        began = time.time()
        epochs = _perform(name, work, folder)
        ended = time.time()
        if len(epochs) != work.trials * work.epochs:
            raise SystemExit(f"{name} has recorded {len(epochs)} epochs of {work.trials * work.epochs}")
        first, last = min(end - spent for _, end, spent in epochs), max(end for _, end, _ in epochs)
        trained = sum(spent for *_, spent in epochs)
        rate = work.trials / (last - first)
        plain = rate if name == "plain" else plain
        run = Run(
            round=round_,
            contender=name,
            seconds=seconds,
            load=load,
            efficiency=trained / (work.slots * (last - first)),
            of_plain=rate / plain,
            with_start=trained / (work.slots * (ended - began)),
            start=first - began,
            trial=_steady(work, epochs),
        )
        console.print(f"round {round_ + 1}, {seconds:g} s, {name}: " + "  ".join(_texts([run])) + f"  load {load:.1f}")
        runs.append(run)
    return runs


def _steady(work: Work, epochs: Sequence[Epoch]) -> float:
    """Return the mean seconds between the ends of two trials, once all slots are in use."""
    ends: dict[str, float] = {}
    for trial, ended, _ in epochs:
        ends[trial] = max(ended, ends.get(trial, 0.0))
    later = sorted(ends.values())[2 * work.slots - 1 :]
    return (later[-1] - later[0]) / (len(later) - 1) if len(later) > 1 else float("nan")


def _step_seconds(folder: Path, slots: int) -> float:
    """Return the seconds of a step while all slots train and little else runs."""
    epochs = _perform("calibrate", Work(0, 0, CALIBRATION_STEPS, slots), folder)
    return statistics.quantiles([spent for *_, spent in epochs], n=4)[0] / CALIBRATION_STEPS


def _perform(name: str, work: Work, folder: Path) -> list[Epoch]:
    """Run a contender in a process and a folder of its own; where it fails to end, kill it with all its children."""
    own = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
    ours = ("MLFLOW", "RAY", "TUNE", "OMP", "MKL", "OPENBLAS", "SEPRAY")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("_contenders.py")), name, json.dumps(asdict(work))]
    with (own / "output.txt").open("w") as output:
        process = subprocess.Popen(
            command, cwd=own, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(TIME_LIMIT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status:
        raise SystemExit(f"{name} ended with {status}: {(own / 'output.txt').read_text()[-4000:]}")
    return [(trial, ended, spent) for trial, ended, spent in json.loads((own / "epochs.json").read_text())]


def _texts(runs: Sequence[Run]) -> list[str]:
    """Return the median of each figure, and its smallest and largest value where there are several."""
    texts = []
    for name, form in COLUMNS.items():
        values = [getattr(run, name) for run in runs]
        text = f"{statistics.median(values):{form}}"
        texts.append(f"{text} ({min(values):{form}}-{max(values):{form}})" if len(values) > 1 else text)
    return texts


def _show(runs: Sequence[Run]) -> None:
    table = Table("trial of", "contender", *(name.replace("_", " ") for name in COLUMNS), box=box.SIMPLE)
    verdicts = []
    for seconds in dict.fromkeys(run.seconds for run in runs):
        of = {name: [r for r in runs if (r.seconds, r.contender) == (seconds, name)] for name in CONTENDERS}
        for name, own in of.items():
            if own:
                table.add_row(f"{seconds:g} s", name, *_texts(own))
        if seconds in TARGETS and of["sepray"]:
            reached = statistics.median(run.efficiency for run in of["sepray"])
            verdicts.append(_verdict(f"efficiency with trials of {seconds:g} s", reached, ">=", TARGETS[seconds]))
        if not seconds and of["sepray"] and of["stock"]:
            costs = [own.trial / stock.trial for own, stock in zip(of["sepray"], of["stock"], strict=True)]
            verdicts.append(_verdict("an empty trial, of stock", statistics.median(costs), "<=", EMPTY_TARGET))
    console.print(table)
    console.print("seconds, or shares; median (least-most)")
    for verdict in verdicts:
        console.print(verdict)


def _verdict(what: str, value: float, relation: str, target: float) -> str:
    met = value >= target if relation == ">=" else value <= target
    return f"{'met' if met else 'MISSED'}: {what} {value:.3f}, to be {relation} {target:g}"


if __name__ == "__main__":
    main()
