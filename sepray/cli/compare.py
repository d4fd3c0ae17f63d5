"""``sepray compare``."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..choices import MEASURES
from ..errors import UsageError
from . import application
from .evaluate import BatchSize, SplitName, Task, check_task, separator, task_config

if TYPE_CHECKING:
    from ..scoring.statistics import SystemComparison


@application.command("compare")
def compare(
    model: application.Model,
    other: application.Model,
    task: Task = None,
    split: SplitName = "test",
    metric: Annotated[
        str | None,
        tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the measure that the first model was chosen by)"),
    ] = None,
    json: application.Json = False,
    batch_size: BatchSize = 64,
    tracking_uri: application.TrackingUri = None,
    cache: application.Cache = application.CACHE,
) -> None:
    """Compare two models on the same items: which separates better, by how much, and how certain that is.

    Without --task, the items are of the task that the first model was trained on.

    Example: sepray compare models:/cass-ecg/2 models:/cass-ecg/1 --metric si_sdr

    Args:
        metric: Measure to compare by, as the mean over sources.
    """
    for address in (model, other):
        application.check_address(address)
    check_task(task)
    if metric is not None and metric not in MEASURES:
        raise UsageError(f"unknown metric {metric!r}; there are: {', '.join(MEASURES)}")
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
    uri = application.require_models(tracking_uri, model, other)
    from ..tracking import models

    first, second = (application.require_metadata(m, models.describe(m, uri)) for m in (model, other))
    from ..loading import load_task
    from ..scoring import metrics, statistics, tables

    if first["sources"] != second["sources"]:
        both = f"{', '.join(first['sources'])} and {', '.join(second['sources'])}"
        raise UsageError(f"{model} and {other} separate different sources: {both}")
    metric = metric or str(first["metric"])
    data = load_task(task_config(task, first), cache)
    if list(data.signal.sources) != list(first["sources"]):
        both = f"{', '.join(first['sources'])}, but the task has {', '.join(data.signal.sources)}"
        raise UsageError(f"{model} separates {both}")
    if why := metrics.unfit(metric, data.signal):
        raise UsageError(f"--metric {metric}: {why}")
    items = getattr(data, split)
    scores = [
        tables.item_scores(metric, separator(address, uri), items, data.signal, batch_size)
        for address in (model, other)
    ]
    result = statistics.compare_systems((model, other), scores[0], scores[1], metric)
    print(json_format.dumps(_document(result, split)) if json else _text(result, split))


def _document(result: SystemComparison, split: str) -> dict[str, Any]:
    """Return the result as it is printed with ``--json``."""
    return {
        "metric": result.metric,
        "unit": MEASURES[result.metric].unit,
        "direction": MEASURES[result.metric].direction,
        "split": split,
        "items": result.items,
        "means": dict(zip(result.names, result.means, strict=True)),
        "difference": result.bootstrap.difference,
        "interval": [result.bootstrap.low, result.bootstrap.high],
        "p_bootstrap": result.bootstrap.p_value,
        "p_wilcoxon": result.p_wilcoxon,
        "rank_biserial": result.rank_biserial,
        "wins": result.wins,
        "conclusion": result.conclusion,
    }


def _text(result: SystemComparison, split: str) -> str:
    measure, bootstrap = MEASURES[result.metric], result.bootstrap
    unit = f" {measure.unit}" if measure.unit else ""
    (first, second), (mean, other_mean) = result.names, result.means
    return (
        f"{result.metric.replace('_', ' ')} on {result.items} {split} items: {first} {mean:.4f}{unit}, "
        f"{second} {other_mean:.4f}{unit}\n"
        f"difference {bootstrap.difference:+.4f}{unit} [{bootstrap.low:+.4f}, {bootstrap.high:+.4f}] "
        f"(paired bootstrap, 95%), p {_p(bootstrap.p_value)}; Wilcoxon p {_p(result.p_wilcoxon)}\n"
        f"effect size: rank-biserial {result.rank_biserial:+.2f}; {first} is the better one on {result.wins} of "
        f"{result.items} items\n"
        f"{result.conclusion}"
    )


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
