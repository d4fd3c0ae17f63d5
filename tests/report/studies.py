"""Studies that the tests of the report share: Optuna records, task data, a finished study."""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from sepray.choices import Objective
from sepray.contracts import Separator, Signal, Split, TaskData
from sepray.execution import checkpoint
from sepray.report.study_results import StudyResults
from sepray.scoring import evaluation
from sepray.separators import cass
from sepray.spec.study import StudySpec
from sepray.tasks import ecg
from sepray.training.trainer import build

SPACE = {
    "adversarial": CategoricalDistribution([1, 0]),
    "cross.low_to_high": FloatDistribution(0.0, 1.0),
    "cross.high_to_low": FloatDistribution(0.0, 1.0),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
}
ONE = (Objective("validation/relative_l2", "minimize"),)
EACH = (Objective("validation/low/relative_l2", "minimize"), Objective("validation/high/relative_l2", "minimize"))
SIGNAL = Signal(("low", "high"), 1, (256,), 64.0)
START = datetime.datetime(2026, 1, 1)


def data(signal: Signal = SIGNAL, items_: int = 5) -> TaskData:
    generator = torch.Generator().manual_seed(0)

    def split() -> Split:
        sources = torch.rand(items_, len(signal.sources), signal.channels, *signal.shape, generator=generator)
        return Split(sources.sum(1), sources)

    return TaskData(signal, split(), split(), split(), "ab" * 32)


def spec(**fields) -> StudySpec:
    given = {"name": "small", "separator": cass.DEBUG, "task": ecg.DEBUG, "space": {}, "max_epochs": 4}
    return StudySpec(**given | fields)


def trial(
    number: int, curve: list[float], tag: str = "complete", values=None, params=None, distributions=None, **attrs
):
    """An Optuna record that ended with ``tag``; its values are the end of its curve unless they are given."""
    state = {"complete": "COMPLETE", "collapsed": "COMPLETE", "pruned": "PRUNED"}.get(tag, "FAIL")
    state = "RUNNING" if tag == "running" else state
    drawn = np.random.default_rng(number)
    given = params or {
        "adversarial": 1,
        "cross.low_to_high": float(drawn.random()),
        "cross.high_to_low": float(drawn.random()),
        "learning_rate": float(10 ** drawn.uniform(-4, -1)),
    }
    outcome = {} if tag == "running" else {"outcome": {"tag": tag, "reason": attrs.get("reason", "")}}
    made = create_trial(
        state=TrialState[state],
        values=(values or [curve[-1]]) if state == "COMPLETE" else None,
        params=given,
        distributions=distributions or {k: SPACE[k] for k in given},
        user_attrs={"seed": 1, **attrs, **outcome},
        intermediate_values=dict(enumerate(curve, 1)),
        system_attrs={"constraints": [1.0]} if tag == "collapsed" else {},
    )
    made.number = number
    made.datetime_start = START
    made.datetime_complete = None if tag == "running" else START + datetime.timedelta(seconds=150)
    if tag == "collapsed":
        made.system_attrs = {"constraints:collapsed": 1.0}
    return made


def searched() -> list:
    """Nine trials, of every outcome; number 7 is the best."""
    return [
        trial(0, [1.0, 0.95, 0.92, 0.9], label="published", params=None),
        trial(1, [0.8, 0.7, 0.65, 0.6]),
        trial(2, [1.1, 1.05], "pruned"),
        trial(3, [0.9, 0.6, 0.5, 0.405]),
        trial(4, [0.9], "diverged", reason="relative_l2 is nan at epoch 2"),
        trial(5, [0.7, 0.6, 0.5, 0.45]),
        trial(6, [0.99], "pruned"),
        trial(7, [0.8, 0.5, 0.41, 0.4]),
        trial(8, [0.1, 0.1, 0.1, 0.1], "collapsed"),
    ]


def study_results(tmp_path: Path, trials, objectives=ONE, **fields) -> StudyResults:
    given = {"spec": spec(), "finals": [], "folder": tmp_path, "checkpoints": str(tmp_path)}
    return StudyResults(objectives=objectives, trials=trials, **given | fields)


def finished_study(tmp_path: Path) -> StudyResults:
    """A study at its end: the champion is final 0, a CASS of five test items."""
    task, place = data(), tmp_path / "finals" / "trial-00000"
    separator = build(cass.DEBUG, SIGNAL, seed=3)
    history = [
        {"epoch": e, "validation/low/relative_l2": 1 / e, "validation/high/relative_l2": 2 / e} for e in range(1, 5)
    ]
    weights = {f"0/separator.{name}": tensor for name, tensor in separator.state_dict().items()}
    checkpoint.save(str(place), 4, weights, {"history": history, "members": []})
    scores = evaluation.score_split(separator.eval().separate, task.test)["relative_l2"]
    rows = [("champion (trial 7)", 0.30), ("plain at the settings of trial 7", 0.25), ("paper: published", 0.9)]
    rows += [("unprocessed mixture", 2.0), ("oracle: mixture phase", 0.5), ("oracle: ideal ratio mask", 0.2)]
    result = {
        "member": 0,
        "role": "trial 7",
        "metric": "relative_l2",
        "validation": 0.4,
        "hyperparameters": {},
        "scores": {"relative_l2": scores.tolist()},
        "rows": [
            {"system": s, "bold": k == 0, "values": dict.fromkeys(("low", "high", "mean"), (v, v - 0.01, v + 0.01))}
            for k, (s, v) in enumerate(rows)
        ],
    }
    finals = [trial(k, [0.5, v], role="trial 7") for k, v in enumerate((0.40, 0.42))]
    finals += [trial(k, [0.5, v], role="plain at the settings of trial 7") for k, v in ((2, 0.41), (3, 0.45))]
    registration = {"sentence": "Registered as cass-ecg version 3.", "commands": ["mlflow ui", "sepray evaluate <it>"]}
    return study_results(tmp_path, searched(), data=task, finals=finals, result=result, registration=registration)


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r'src="data:[^"]*"', "", html))


@dataclass(frozen=True)
class Shares:
    """Gives every source an equal share of the mixture."""

    batch_size: int = 2
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal):
        return SharesSeparator(signal)


class SharesSeparator(Separator):
    def __init__(self, signal):
        super().__init__(signal)
        self.register_buffer("one", torch.ones(1))

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        return torch.stack([mixture / len(self.signal.sources)] * len(self.signal.sources), 1)


def points(axes) -> dict[str, list[tuple[float, ...]]]:
    """Label of every group of dots -> where they are."""
    return {c.get_label(): [tuple(map(float, at)) for at in c.get_offsets()] for c in axes.collections}


def lines(axes) -> dict[str, list[tuple[float, ...]]]:
    """Label of every line -> its corners."""
    return {line.get_label(): [tuple(map(float, at)) for at in line.get_xydata()] for line in axes.lines}
