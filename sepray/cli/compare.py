"""``sepray compare``."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..choices import BSS_EVAL, MEASURES
from ..errors import UsageError
from ..scoring import tables
from . import application
from .evaluate import check_task, separator, task_config

if TYPE_CHECKING:
    from torch import Tensor

    from ..contracts import Signal, Split
    from ..scoring.evaluation import PairedComparison


@application.command("compare")
def compare(
    model: application.Model,
    other: application.Model,
    task: str | None = None,
    split: Literal["train", "validation", "test"] = "test",
    metric: str | None = None,
    json: bool = False,
    batch_size: int = 64,
    tracking_uri: str | None = None,
    cache: Path = application.CACHE,
) -> None:
    """Say which of two models separates better: on the same items, with how much certainty, and by how much.

    Example: sepray compare models:/cass-ecg/2 models:/cass-ecg/1 --metric si_sdr

    Args:
        model: address of a model, e.g. models:/cass-ecg@champion.
        other: address of the one that it is compared with.
        task: name of the task, or a module of your own; default: the one that the first was trained on, as configured.
        split: whose items are separated.
        metric: to compare by, the mean over sources; default: the one that the first model was chosen by.
        json: print JSON.
        batch_size: items separated at once.
        tracking_uri: of MLflow; default: MLFLOW_TRACKING_URI, or mlflow.db in this folder.
        cache: folder where generated and decoded data is kept.
    """
    for address in (model, other):
        application.model(address)
    check_task(task)
    if metric is not None and metric not in MEASURES:
        raise UsageError(f"unknown metric {metric!r}; there are: {', '.join(MEASURES)}")
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
    uri = application.registry(tracking_uri, model, other)
    from ..tracking import models

    first, second = models.describe(model, uri), models.describe(other, uri)
    from ..scoring import evaluation, metrics

    if first["sources"] != second["sources"]:
        differ = f"{', '.join(first['sources'])} and {', '.join(second['sources'])}"
        raise UsageError(f"{model} and {other} separate different sources: {differ}")
    metric = metric or str(first["metric"])
    data = task_config(task, first).load(cache.expanduser())
    items = getattr(data, split)
    if why := metrics.unfit(metric, data.signal):
        raise UsageError(f"--metric {metric}: {why}")
    scores = [_scores(metric, separator(m, uri), items, data.signal, batch_size) for m in (model, other)]
    if metric in BSS_EVAL:  # which silent items have none of
        there = ~np.isnan(scores[0]) & ~np.isnan(scores[1])
        scores = [one[there] for one in scores]
    found = evaluation.paired_bootstrap(scores[0], scores[1], MEASURES[metric].direction)
    wilcoxon, effect = _ranks(scores[0] - scores[1])
    gains = (scores[0] - scores[1]) * (-1 if MEASURES[metric].direction == "minimize" else 1)
    wins = int(np.count_nonzero(gains > 0))
    known: dict[str, Any] = {
        "metric": metric,
        "unit": MEASURES[metric].unit,
        "direction": MEASURES[metric].direction,
        "split": split,
        "items": len(scores[0]),
        "means": {model: float(scores[0].mean()), other: float(scores[1].mean())},
        "difference": found.difference,
        "interval": [found.low, found.high],
        "p_bootstrap": found.p_value,
        "p_wilcoxon": wilcoxon,
        "rank_biserial": effect,
        "wins": wins,
    }
    sentence = conclusion(model, other, known, found)
    if json:
        print(json_format.dumps(known | {"conclusion": sentence}))
        return
    unit = f" {known['unit']}" if known["unit"] else ""
    print(
        f"{metric.replace('_', ' ')} on {len(scores[0])} {split} items: {model} {scores[0].mean():.4f}{unit}, "
        f"{other} {scores[1].mean():.4f}{unit}\n"
        f"difference {found.difference:+.4f}{unit} [{found.low:+.4f}, {found.high:+.4f}] (paired bootstrap, 95%), "
        f"p {_p(found.p_value)}; Wilcoxon p {_p(wilcoxon)}\n"
        f"effect size: rank-biserial {effect:+.2f}; {model} is the better one on {wins} of {len(scores[0])} items\n"
        f"{sentence}"
    )


def _scores(
    metric: str, separate: Callable[[Tensor], Tensor], items: Split, signal: Signal, batch_size: int
) -> NDArray[np.float64]:
    """Return the score of each item, the mean over the sources that it is defined for."""
    from ..scoring import evaluation

    if metric in BSS_EVAL:
        found = evaluation.bss_eval(lambda mixture, _: separate(mixture), items, signal, batch_size)
    else:
        found = tables.score(separate, items, batch_size=batch_size, signal=signal)
    return tables.over_sources(metric, found[metric])


def conclusion(model: str, other: str, known: dict[str, Any], found: PairedComparison) -> str:
    """Return one sentence for a reader who does not know the tests."""
    metric, items = known["metric"].replace("_", " "), known["items"]
    if found.difference == 0 and found.low == found.high:
        return f"Conclusion: {model} and {other} do the same by {metric}."
    sure = found.p_value < 0.05 and known["p_wilcoxon"] < 0.05
    if not sure or found.difference * known["rank_biserial"] < 0:
        return f"Conclusion: by {metric}, these {items} items do not show that either model is better."
    gain = -found.difference if known["direction"] == "minimize" else found.difference
    better, worse = (model, other) if gain > 0 else (other, model)
    size = abs(known["rank_biserial"])
    effect = "a large" if size >= 0.5 else "a medium" if size >= 0.3 else "a small"
    return f"Conclusion: {better} separates better than {worse} by {metric}, {effect} effect."


def _ranks(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return Wilcoxon's signed-rank p-value, and the matched-pairs rank-biserial correlation (Kerby 2014).

    The correlation is 1 where every difference is positive, and -1 where every one is negative.
    """
    from scipy.stats import rankdata, wilcoxon

    differences = differences[differences != 0]
    if not differences.size:
        return 1.0, 0.0
    ranks = rankdata(np.abs(differences))
    effect = float((ranks * np.sign(differences)).sum() / ranks.sum())
    return float(wilcoxon(differences).pvalue), effect


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
