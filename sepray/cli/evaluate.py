"""``sepray evaluate``."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..console import preflight
from ..errors import UsageError
from ..scoring import tables
from . import application

if TYPE_CHECKING:
    from torch import Tensor

    from ..contracts import Signal, Split, TaskConfig
    from ..scoring.tables import Scores


@application.command("evaluate")
def evaluate(
    model: application.Model,
    task: str | None = None,
    split: Literal["train", "validation", "test"] = "test",
    json: Path | None = None,
    quiet: bool = False,
    bss_eval: bool = False,
    museval: Path | None = None,
    batch_size: int = 64,
    tracking_uri: str | None = None,
    cache: Path = application.CACHE,
) -> None:
    """Score a registered model on a task's split, per source, beside the unprocessed mixture and the oracle bounds.

    Example: sepray evaluate models:/cass-ecg@champion --split validation --json scores.json

    Args:
        model: address of the model, e.g. models:/cass-ecg@champion.
        task: name of the task, or a module of your own; default: the one that the model was trained on, as configured.
        split: which split to score.
        json: file to write the scores to: per metric and source, with the 95% bootstrap interval and each item's score.
        quiet: print no table.
        bss_eval: score by BSS Eval v4 too (SDR, ISR, SIR, SAR; median over frames, then items), which takes seconds an
            item; needs museval and ffmpeg.
        museval: folder for museval's JSON of the model's scores, a file an item in SPLIT/; with this, --bss-eval is on.
        batch_size: items separated at once.
        tracking_uri: of MLflow; default: MLFLOW_TRACKING_URI, or mlflow.db in this folder.
        cache: folder where generated and decoded data is kept.
    """
    application.model(model)
    check_task(task)
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
    if json is not None:
        preflight.require_writable(json.absolute().parent)
    if museval is not None:
        preflight.require_writable(museval)
    uri = application.registry(tracking_uri, model)
    from ..tracking import models

    described = models.describe(model, uri)
    from ..choices import BSS_EVAL, MEASURES
    from ..console.terminal import console
    from ..scoring.tables import result_table

    data = task_config(task, described).load(cache.expanduser())
    sources = tuple(described["sources"])
    if data.signal.sources != sources:
        raise UsageError(f"{model} separates {', '.join(sources)}, but the task has {', '.join(data.signal.sources)}")
    items: Split = getattr(data, split)
    separate = separator(model, uri)
    transform = (described["n_fft"], described["hop"])
    slow: dict[str, Scores] = {}
    if bss_eval or museval is not None:  # first: it refuses what it cannot measure
        slow = _bss_eval(model, separate, items, data.signal, transform, batch_size, museval and museval / split)
    systems = {model: tables.score(separate, items, batch_size=batch_size, signal=data.signal)}
    systems |= tables.references(items, *transform, signal=data.signal)
    systems = {name: scores | slow.get(name, {}) for name, scores in systems.items()}
    for metric in systems[model] if not quiet else ():
        rows = [tables.row(n, s, metric, sources, n == model) for n, s in systems.items()]
        unit = f", {MEASURES[metric].unit}" if MEASURES[metric].unit else ""
        title = f"{metric.replace('_', ' ')} on {split}{unit}"
        over = "median over frames and" if metric in BSS_EVAL else "mean over"
        console.print(
            result_table(title, [*sources, "mean"], rows, f"{over} {len(items)} items [95% interval]", console.width)
        )
    if json is not None:
        document = _document(model, split, data.fingerprint, systems, sources)
        application.write_text(json, json_format.dumps(document, indent=1))


def _bss_eval(
    model: str,
    separate: Callable[[Tensor], Tensor],
    items: Split,
    signal: Signal,
    transform: tuple[int, int],
    batch_size: int,
    folder: Path | None,
) -> dict[str, Scores]:
    """Return the scores by BSS Eval of a model and of what it is compared with; the model's go to ``folder`` too."""
    from ..scoring import bss_eval as measure
    from ..scoring import evaluation

    def keep(index: int, frames: evaluation.Frames) -> None:
        if folder is not None:
            measure.write(folder, f"item-{index:05d}", signal.sources, frames)

    measure.check(signal)
    found = {model: evaluation.bss_eval(lambda mixture, _: separate(mixture), items, signal, batch_size, keep)}
    for name, estimate in evaluation.reference_systems(items, *transform).items():
        found[tables.reference_title(name)] = evaluation.bss_eval(estimate, items, signal, batch_size)
    return found


def separator(model: str, uri: str | None) -> Callable[[Tensor], Tensor]:
    """Return a model as a function of ``[batch, channel, *signal]``."""
    import numpy as np
    import torch

    from ..tracking import models

    loaded = models.load(model, uri)

    def separate(mixture: Tensor) -> Tensor:
        return torch.from_numpy(np.array(loaded.predict(mixture.numpy())))

    return separate


def check_task(name: str | None) -> None:
    """Refuse the name of a task that there is none of, without importing any.

    Raises:
        UnknownNameError: there is none.
    """
    from .. import registry

    application.own_modules()
    if name is not None:
        registry.check("sepray.tasks", name)


def task_config(name: str | None, described: dict[str, Any]) -> TaskConfig:
    """Return a task's configuration: the one that a model was trained on, where it is that task."""
    from .. import registry
    from ..spec.study import rebuilt

    application.own_modules()
    module = registry.find("sepray.tasks", name or described["task"]).__name__
    settings = described["task_config"] if module == described["task"] else {}
    config: TaskConfig = rebuilt("sepray.tasks", module, settings)
    return config


def _document(
    model: str, split: str, fingerprint: str, systems: dict[str, Scores], sources: tuple[str, ...]
) -> dict[str, Any]:

    scores: dict[str, Any] = {}
    for system, by_metric in systems.items():
        scores[system] = {}
        for metric, values in by_metric.items():
            row = tables.row(system, by_metric, metric, sources)
            scores[system][metric] = {
                name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in row.values.items()
            } | {"items": values.tolist()}
    return {"model": model, "split": split, "data_fingerprint": fingerprint, "sources": list(sources), "scores": scores}
