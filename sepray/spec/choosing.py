"""Rules by which the champion of several objectives is chosen, as the flag ``--choose`` names them.

Objectives of different units have no common mean. So the finalists are trials of the Pareto front, which no other trial
beats in every objective. A rule that the user names says which of these trials is best:

- ``knee``: the trial furthest from the plane through the ends of the front, towards the better side (Das 1999, "On
  characterizing the knee of the Pareto curve", Structural Optimization 18). With every objective on a scale from 0, its
  best value on the front, to 1, its worst there, that is the trial with the least sum.
- ``weights W ...``: the least sum on the same scale with a weight for each objective, in their order.
- the name of an objective, such as ``fetal/si_sdr``: the trial that is best in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..choices import Objective
from ..errors import UsageError

KNEE, WEIGHTS = "knee", "weights"
_THERE = f"{KNEE}, {WEIGHTS} with a number for each objective, or the name of an objective"

Losses = NDArray[np.float64]
"""Values of objectives, the sign turned where more is better, so that less is better: ``[trial, objective]``."""


@dataclass(frozen=True)
class Rule:
    """Turns a trial's values into the one number by which it is chosen; less is better.

    Attributes:
        objectives: objectives of the study.
        choose: what ``--choose`` was given.
        weights: weight of each objective.
        best: loss of each objective that counts as 0.
        range: difference of losses that counts as 1.
    """

    objectives: tuple[Objective, ...]
    choose: tuple[str, ...]
    weights: tuple[float, ...]
    best: tuple[float, ...]
    range: tuple[float, ...]

    def losses(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return values of the objectives, the sign turned where more is better."""
        return tuple(o.sign * float(value) for o, value in zip(self.objectives, values, strict=True))

    def loss(self, values: Sequence[float]) -> float:
        """Return the number that a trial with these values is chosen by; with one objective that is its loss."""
        terms = zip(self.weights, self.losses(values), self.best, self.range, strict=True)
        return sum(weight * (loss - best) / width for weight, loss, best, width in terms if weight)

    @property
    def measured(self) -> Objective | None:
        """The one objective that decides, whose loss is ``loss``; None where several do."""
        return self.objectives[self.weights.index(1.0)] if _single(self.weights) else None


def check(choose: Sequence[str]) -> None:
    """Refuse texts that cannot be a rule, whatever the objectives are.

    Raises:
        UsageError: there is no such rule, or a weight is no number from 0 on.
    """
    if not choose:
        raise UsageError(f"--choose needs a value: {_THERE}")
    if choose[0] == WEIGHTS:
        _weights(choose)
    elif len(choose) > 1:
        raise UsageError(f"--choose {' '.join(choose)}: there are {_THERE}")


def rule(choose: Sequence[str], objectives: Sequence[Objective], losses: Losses) -> Rule:
    """Return the rule by which trials of a study are chosen.

    Args:
        choose: what ``--choose`` was given.
        objectives: objectives of the study.
        losses: losses of the finished trials of the search, ``[trial, objective]``; the ends of their front make the
            scale. An objective that is equal in all trials does not count.

    Raises:
        UsageError: no objective has this name, or there is not one weight for each objective.
    """
    weights, count = weights_of(choose, objectives), len(objectives)
    if not len(losses):
        weights = (1.0, *(0.0,) * (count - 1))
    if _single(weights):
        return Rule(tuple(objectives), tuple(choose), weights, (0.0,) * count, (1.0,) * count)
    front = losses[ranks(losses, 1) == 0]
    # Where the front has a single value of an objective, all trials make the objective's scale.
    widths = np.where(np.ptp(front, axis=0) > 0, np.ptp(front, axis=0), np.ptp(losses, axis=0))
    counted = np.array(weights) * (widths > 0)
    if not counted.any():  # without any scale values of different units cannot be added: the first decides
        counted[0] = 1.0
    widths = np.where(widths > 0, widths, 1.0)
    scales = (tuple(each.tolist()) for each in (counted, front.min(0), widths))
    return Rule(tuple(objectives), tuple(choose), *scales)


def weights_of(choose: Sequence[str], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Return the weight of each objective; a rule that names an objective has 1 for it and 0 for the others.

    Raises:
        UsageError: no objective has this name, or there is not one weight for each objective.
    """
    check(choose)
    count = len(objectives)
    if count == 1:
        return (1.0,)
    if choose[0] == KNEE:
        return (1.0 / count,) * count
    names = [o.name for o in objectives]
    if choose[0] == WEIGHTS:
        weights = _weights(choose)
        if len(weights) != count:
            needed = f"{count} objectives need {count} weights: {', '.join(names)}"
            raise UsageError(f"--choose {' '.join(choose)}: {needed}")
        return tuple(weight / sum(weights) for weight in weights)
    name = choose[0].removeprefix("validation/").removesuffix(":min").removesuffix(":max")
    if name not in names:
        raise UsageError(f"--choose {choose[0]}: there are {_THERE}: {', '.join(names)}")
    return tuple(float(other == name) for other in names)


def ranks(losses: Losses, count: int) -> NDArray[np.int64]:
    """Return for each trial the front that it is on: 0 for the Pareto front, 1 for that of the trials without it, ...

    A trial is beaten by one that is at least as good in every objective and better in one.

    Args:
        losses: ``[trial, objective]``.
        count: number of trials that are wanted. Once the fronts hold so many, all other trials share one number.
    """
    found, level = np.full(len(losses), -1), 0
    while (left := np.flatnonzero(found < 0)).size and len(losses) - left.size < count:
        own = losses[left]
        beaten = [((own <= loss).all(1) & (own < loss).any(1)).any() for loss in own]
        found[left[~np.array(beaten)]] = level
        level += 1
    return np.where(found < 0, level, found)


def words(choose: Sequence[str], objectives: Sequence[Objective]) -> str:
    """Return in a sentence how the champion of several objectives is chosen; empty with one objective."""
    if len(objectives) == 1:
        return ""
    scale = "on a scale from the best to the worst value on the front"
    if choose[0] == KNEE:
        what = f"the knee of this front: the least sum of the objectives, each {scale}"
    elif choose[0] == WEIGHTS:
        weights = zip(choose[1:], objectives, strict=False)
        told = ", ".join(f"{weight} for {objective.words}" for weight, objective in weights)
        what = f"the least weighted sum of the objectives ({told}), each {scale}"
    else:
        named = dict(zip(weights_of(choose, objectives), objectives, strict=True))[1.0]
        what = f"the best in {named.words} on this front"
    return f"Validation chooses {what} (--choose {' '.join(choose)})."


def _single(weights: Sequence[float]) -> bool:
    return max(weights) == 1.0


def _weights(choose: Sequence[str]) -> tuple[float, ...]:
    try:
        weights = tuple(map(float, choose[1:]))
    except ValueError as error:
        raise UsageError(f"--choose {' '.join(choose)}: weights are numbers ({error})") from None
    if not weights or not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
        raise UsageError(f"--choose {' '.join(choose)}: weights are numbers from 0 on, one of them above 0")
    return weights
