"""``sepray evaluate``, and what it shares with ``sepray compare``: the task and the separator of a model."""

from __future__ import annotations

import json as json_format
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..console import preflight
from ..errors import UsageError
from ..files import replace_file
from . import application

if TYPE_CHECKING:
    from torch import Tensor

    from ..contracts import Signal, Split, TaskConfig
    from ..scoring.tables import Scores

Task = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="TASK",
        help="Task whose items are separated: a name from `sepray list tasks`, or a module of your own.",
        help_behavior_hint="(default: the task that the model was trained on, with the same settings)",
    ),
]
SplitName = Annotated[
    Literal["train", "validation", "test"], tyro.conf.arg(help="Split of the task whose items are separated.")
]
BatchSize = Annotated[int, tyro.conf.arg(metavar="N", help="Number of items that are separated at once.")]


@application.command("evaluate")
def evaluate(
    model: application.Model,
    task: Task = None,
    split: SplitName = "test",
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    quiet: application.Switch = False,
    bss_eval: application.Switch = False,
    museval: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    batch_size: BatchSize = 64,
    tracking_uri: application.TrackingUri = None,
    cache: application.Cache = application.CACHE,
) -> None:
    """Score a model on a split of a task, source by source, beside the unprocessed mixture and the oracle bounds.

    Example: sepray evaluate models:/cass-ecg@champion --split validation --json scores.json

    Args:
        json: File for the scores as JSON: by metric and source, with the 95% bootstrap interval and the score of each
            item.
        quiet: Print no table.
        bss_eval: Score by BSS Eval v4 too (SDR, ISR, SIR, SAR; median over frames, then over items). Takes seconds an
            item; needs museval and ffmpeg.
        museval: Folder for the model's scores in museval's JSON, a file an item in SPLIT/. Turns on --bss-eval.
    """
    application.check_address(model)
    check_task(task)
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
    if json is not None:
        if json.is_dir():
            raise UsageError(f"--json {json} is a folder; give a file")
        preflight.require_writable(json.absolute().parent)
    if museval is not None:
        preflight.require_writable(museval)
    uri = application.require_models(tracking_uri, model)
    from ..tracking import models

    described = application.require_metadata(model, models.describe(model, uri))
    from ..choices import BSS_EVAL, MEASURES
    from ..console.terminal import console
    from ..loading import load_task
    from ..scoring import tables

    data = load_task(task_config(task, described), cache)
    sources = tuple(described["sources"])
    if data.signal.sources != sources:
        raise UsageError(f"{model} separates {', '.join(sources)}, but the task has {', '.join(data.signal.sources)}")
    items: Split = getattr(data, split)
    separate = separator(model, uri)
    transform = (described["n_fft"], described["hop"])
    slow: dict[str, Scores] = {}
    if bss_eval or museval is not None:  # first, because it refuses signals that it cannot measure
        slow = _bss_eval(model, separate, items, data.signal, transform, batch_size, museval and museval / split)
    systems = {model: tables.score(separate, items, batch_size=batch_size, signal=data.signal)}
    systems |= tables.references(items, *transform, signal=data.signal)
    systems = {name: scores | slow.get(name, {}) for name, scores in systems.items()}
    for metric in systems[model] if not quiet else ():
        rows = [tables.row(n, s, metric, sources, n == model) for n, s in systems.items()]
        unit = f", {MEASURES[metric].unit}" if MEASURES[metric].unit else ""
        title = f"{metric.replace('_', ' ')} on {split}{unit}"
        over = "median over frames and" if metric in BSS_EVAL else "mean over"
        caption = f"{over} {len(items)} items [95% interval]"
        console.print(tables.result_table(title, [*sources, "mean"], rows, caption, console.width))
    if json is not None:
        document = _document(model, split, data.fingerprint, systems, sources)
        replace_file(json, json_format.dumps(document, indent=1))


def _bss_eval(
    model: str,
    separate: Callable[[Tensor], Tensor],
    items: Split,
    signal: Signal,
    transform: tuple[int, int],
    batch_size: int,
    folder: Path | None,
) -> dict[str, Scores]:
    """Return the BSS Eval scores of a model, the mixture and the oracle bounds; write the model's to ``folder``."""
    from ..scoring import bss_eval as measure
    from ..scoring import evaluation, tables

    def keep(index: int, frames: evaluation.Frames) -> None:
        if folder is not None:
            measure.write(folder, f"item-{index:05d}", signal.sources, frames)

    measure.check(signal)
    found = {model: evaluation.bss_eval(lambda mixture, _: separate(mixture), items, signal, batch_size, keep)}
    for name, estimate in evaluation.reference_systems(items, *transform).items():
        found[tables.reference_title(name)] = evaluation.bss_eval(estimate, items, signal, batch_size)
    return found


def separator(model: str, uri: str | None) -> Callable[[Tensor], Tensor]:
    """Return a model as a function: ``[batch, channel, *signal]`` -> ``[batch, source, channel, *signal]``."""
    from ..tracking import models

    return models.as_function(models.load(model, uri))


def check_task(name: str | None) -> None:
    """Refuse the name of a task that does not exist, without importing a task.

    Raises:
        UnknownNameError: there is no such task.
    """
    from .. import registry

    application.add_current_folder_to_path()
    if name is not None:
        registry.check("sepray.tasks", name)


def task_config(name: str | None, described: dict[str, Any]) -> TaskConfig:
    """Return the configuration of a task.

    Args:
        name: name of the task; None for the task that the model was trained on.
        described: metadata of the model; its settings of the task count where that is the same task.
    """
    from .. import registry
    from ..spec.study import rebuilt

    application.add_current_folder_to_path()
    module = registry.find("sepray.tasks", name or described["task"]).__name__
    settings = described["task_config"] if module == described["task"] else {}
    config: TaskConfig = rebuilt("sepray.tasks", module, settings)
    return config


def _document(
    model: str, split: str, fingerprint: str, systems: dict[str, Scores], sources: tuple[str, ...]
) -> dict[str, Any]:
    """Return the content of the file that ``--json`` names."""
    from ..scoring import tables

    scores: dict[str, Any] = {}
    for system, by_metric in systems.items():
        scores[system] = {}
        for metric, values in by_metric.items():
            row = tables.row(system, by_metric, metric, sources)
            scores[system][metric] = {
                name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in row.values.items()
            } | {"items": values.tolist()}
    return {"model": model, "split": split, "data_fingerprint": fingerprint, "sources": list(sources), "scores": scores}
