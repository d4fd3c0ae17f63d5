"""``sepray evaluate``, and the flags that it shares with ``sepray compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..choices import BSS_EVAL, MEASURES, measure_words
from ..errors import UsageError
from ..modules import own_modules
from . import application

if TYPE_CHECKING:
    from ..models.evaluation import Evaluation

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
    model: application.ModelArgument,
    task: Task = None,
    split: SplitName = "test",
    json: application.Json = False,
    quiet: application.Switch = False,
    bss_eval: application.Switch = False,
    museval: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    recordings: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    pictures: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("evaluated"),
    rate: Annotated[float | None, tyro.conf.arg(metavar="HZ", help_behavior_hint="")] = None,
    batch_size: BatchSize = 64,
    tracking_uri: application.TrackingUri = None,
    cache: application.Cache = application.CACHE,
    trust_model_code: application.TrustModelCode = False,
    shared: application.Shared = False,
) -> None:
    """Score a model on a split of a task, source by source, beside the unprocessed mixture and the oracle bounds.

    Example: sepray evaluate models:/cass-ecg@champion --split validation --json > scores.json

    Args:
        quiet: Print no table.
        bss_eval: Also score by BSS Eval v4 (SDR, ISR, SIR, SAR; median over frames, then over items). It takes seconds
            for each item, and needs museval and ffmpeg.
        museval: Folder for the model's scores in museval's JSON, in the subfolder SPLIT, one file for each track or
            item. Turns on --bss-eval.
        recordings: Folder of real recordings whose heart rates or beats are known (rates.csv, NAME.SOURCE.csv, WFDB
            annotations). The model is scored on these instead of a task. Beside it stand two simple methods:
            subtraction of the maternal template, and FastICA.
        pictures: With --recordings: folder for a picture of each recording.
        rate: With --recordings: sampling rate in Hz of files that do not say it.
    """
    check_flags(model, batch_size=batch_size)
    if recordings is not None:
        if task is not None or bss_eval or museval is not None:
            raise UsageError("--recordings has no true sources: leave out --task, --bss-eval and --museval")
        _evaluate_recordings(model, recordings, pictures, rate, json, quiet, tracking_uri, trust_model_code)
        return
    if rate is not None:
        raise UsageError("--rate goes with --recordings only")
    from ..models import evaluation
    from ..tracking import trust

    with trust.consent(trust_model_code):
        scores = evaluation.evaluate(
            model,
            task,
            split,
            bss_eval=bss_eval,
            museval=museval,
            batch_size=batch_size,
            tracking_uri=tracking_uri,
            cache=cache,
        )
    if json:
        application.print_json(scores.document)
    elif not quiet:
        _print(scores)


def _evaluate_recordings(
    model: str,
    folder: Path,
    pictures: Path,
    rate: float | None,
    json: bool,
    quiet: bool,
    tracking_uri: str | None,
    trust_model_code: bool,
) -> None:
    from ..models import real_recordings
    from ..tracking import trust

    with trust.consent(trust_model_code):
        found = real_recordings.evaluate_recordings(
            model, folder, pictures=pictures, rate=rate, tracking_uri=tracking_uri
        )
    if json:
        application.print_json(found.document)
    elif not quiet:
        from ..console.terminal import console
        from .real_table import real_table

        for result in found.records:
            console.print(real_table(result, found.model))
        if found.left_out:
            console.print(f"Without rates or beats, not scored: {', '.join(found.left_out)}", soft_wrap=True)
        for reason in found.refused.values():
            console.print(f"Not scored: {reason}", soft_wrap=True)
        for note in found.notes:
            console.print(f"Note: {note}.", soft_wrap=True)
        console.print(f"Pictures: {pictures}", soft_wrap=True)


def check_flags(*models: str, batch_size: int) -> None:
    """Refuse texts that are no address of a model, and an empty batch; let tasks be found in the current folder.

    Raises:
        UsageError: a text is no address of a model, or ``batch_size`` is below 1.
    """
    from ..models.address import check_address

    for address in models:
        check_address(address)
    if batch_size < 1:
        raise UsageError(f"--batch-size must be at least 1, not {batch_size}")
    own_modules.add_current_folder()


def _print(scores: Evaluation) -> None:
    """Print a table for each measure."""
    from ..console.terminal import console
    from ..scoring import tables
    from ..scoring.units import TRACKS, sample_words

    for metric, rows in scores.rows.items():
        unit = f", {MEASURES[metric].unit}" if MEASURES[metric].unit else ""
        title = f"{measure_words(metric)} on {scores.split}{unit}"
        over = "median over frames and" if metric in BSS_EVAL else "mean over"
        told = scores.units.plain() if scores.units is not None and scores.units.told else None
        sample, interval = sample_words(told, scores.item_count, TRACKS if scores.tracks else "items")
        caption = f"{over} {sample} [{interval if told else '95% interval'}]"
        console.print(tables.result_table(title, [*scores.sources, "mean"], rows, caption, console.width))
    if scores.seen:
        console.print(scores.seen, soft_wrap=True, markup=False)
