"""Compares two models on the same items: which separates better, by how much, and how certain that is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..choices import MEASURES
from ..errors import UsageError
from .items import CACHE, check_items, on_tensors, seen_by, task_data
from .model import Address, Model, check_model, loaded

if TYPE_CHECKING:
    from ..contracts import TaskConfig
    from ..scoring.statistics import SystemComparison


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison:
    """Two models on the same items, by one measure; differences are first minus second.

    Attributes:
        split: name of the split.
        scores: scores ``[item]`` of the first and of the second model, each the mean over sources.
        result: statistics of the comparison.
        seen: a sentence for each model that may have learned from these items.
    """

    split: str
    scores: tuple[NDArray[np.float64], NDArray[np.float64]]
    result: SystemComparison
    seen: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ModelComparison({self.conclusion!r})"

    @property
    def names(self) -> tuple[str, str]:
        """Addresses of the first and the second model."""
        return self.result.names

    @property
    def metric(self) -> str:
        """Name of the measure."""
        return self.result.metric

    @property
    def unit(self) -> str:
        """Unit of the measure; empty if it has none."""
        return MEASURES[self.metric].unit

    @property
    def direction(self) -> str:
        """Direction of better scores: ``minimize`` or ``maximize``."""
        return MEASURES[self.metric].direction

    @property
    def items(self) -> int:
        """Number of items."""
        return self.result.items

    @property
    def means(self) -> tuple[float, float]:
        """Mean scores of the first and the second model."""
        return self.result.means

    @property
    def difference(self) -> float:
        """Mean difference over items."""
        return self.result.paired.difference

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the difference's 95% interval over the units (recordings, pieces ...) that items were cut from."""
        return self.result.paired.low, self.result.paired.high

    @property
    def p_sign_flips(self) -> float:
        """Two-sided p-value of the sign-flip test over recordings."""
        return self.result.paired.p_value

    @property
    def cut_from(self) -> str:
        """Units that the items were cut from: ``15 x 15 recordings``; ``6 items`` if the task names no units."""
        return self.result.units.words

    @property
    def p_wilcoxon(self) -> float:
        """Two-sided p-value of Wilcoxon's signed-rank test over recordings."""
        return self.result.p_wilcoxon

    @property
    def rank_biserial(self) -> float:
        """Effect size, -1 to 1: 1 if the first model's score is the larger one on every recording."""
        return self.result.rank_biserial

    @property
    def wins(self) -> int:
        """Number of items on which the first model is the better one."""
        return self.result.wins

    @property
    def better(self) -> str | None:
        """Address of the better model; None unless both tests show a difference, of the same sign."""
        return self.result.better

    @property
    def conclusion(self) -> str:
        """The result in one sentence."""
        return self.result.conclusion

    @property
    def document(self) -> dict[str, Any]:
        """JSON document that ``sepray compare --json`` prints."""
        return {
            "metric": self.metric,
            "unit": self.unit,
            "direction": self.direction,
            "split": self.split,
            "items": self.items,
            "means": dict(zip(self.names, self.means, strict=True)),
            "difference": self.difference,
            "interval": list(self.interval),
            "cut_from": self.cut_from,
            "p_sign_flips": self.p_sign_flips,
            "p_wilcoxon": self.p_wilcoxon,
            "rank_biserial": self.rank_biserial,
            "wins": self.wins,
            "conclusion": self.conclusion,
            "seen": list(self.seen),
        }


def compare(
    model: Address | Model,
    other: Address | Model,
    task: str | TaskConfig | None = None,
    split: str = "test",
    metric: str | None = None,
    *,
    batch_size: int = 64,
    device: str = "auto",
    tracking_uri: str | None = None,
    cache: str | os.PathLike[str] = CACHE,
) -> ModelComparison:
    """Compare two models on the same items: which separates better, by how much, and how certain that is.

    Example::

        result = sepray.compare("models:/cass-ecg/2", "models:/cass-ecg/1", metric="si_sdr")
        result.difference, result.interval  # mean difference in dB, and its 95% interval
        print(result.conclusion)

    Args:
        model: address of a model (see ``load_model``), or a loaded one.
        other: the model that it is compared with.
        task: name of a task or a module of your own, or a ``Config``; None: the task that ``model`` was trained on.
        split: ``train``, ``validation`` or ``test``.
        metric: measure to compare by, as the mean over sources; None: the one that ``model`` was chosen by.
        batch_size: number of items that are separated at once.
        device: device of models that are loaded here, as for ``load_model``.
        tracking_uri: MLflow of models that are loaded here, as for ``load_model``.
        cache: folder or URI for generated and decoded data.

    Raises:
        UsageError: there is no such model, task, split or metric; models or task differ in their sources; the metric
            does not fit the task, or is not given and ``model`` does not have one.
        UnreachableError: the tracking server does not answer.
    """
    check_items(task, split, batch_size)
    if metric is not None and metric not in MEASURES:
        raise UsageError(f"unknown metric {metric!r}; there are: {', '.join(MEASURES)}")
    for given in (model, other):
        check_model(given, device)
    first, second = (loaded(given, tracking_uri, device) for given in (model, other))
    if first.sources != second.sources:
        both = f"{', '.join(first.sources)} and {', '.join(second.sources)}"
        raise UsageError(f"{first.name} and {second.name} separate different sources: {both}")
    from ..scoring import metrics, statistics, tables
    from ..scoring.units import Units

    measure = metric or first.metadata.get("metric")
    if measure is None:
        raise UsageError(f"{first.name} does not say which metric it was chosen by: give --metric, in Python metric=")
    data = task_data(first, task, cache)
    if why := metrics.unfit(measure, data.signal):
        raise UsageError(f"metric {measure}: {why}")
    items = data.scored(split)
    one, two = (
        tables.item_scores(measure, on_tensors(system), items, data.signal, batch_size) for system in (first, second)
    )
    units = Units.of_split(items, data.unit_names)
    result = statistics.compare_systems((first.name, second.name), one, two, measure, units)
    seen = [seen_by(system, data.fingerprint, split) for system in (first, second)]
    return ModelComparison(split, (one, two), result, tuple(filter(None, seen)))
