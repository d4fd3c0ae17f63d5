"""``sepray explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .. import processor
from ..errors import UsageError
from . import application
from .confirmation import Yes, is_confirmed

if TYPE_CHECKING:
    from ..results.explaining import PathOptions, PathTraining
    from ..scoring.explanation import Explanation
    from ..spec.study import StudySpec

_Number = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="N", help_behavior_hint="(default: as many as the retrainings have, for at most 60 trainings)"
    ),
]
_Epochs = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the study's)")]
_Origin = Annotated[
    str | None,
    tyro.conf.arg(name="from", metavar="NAME", help_behavior_hint="(default: the best published ones on validation)"),
]
_Order = Literal["auto", "greedy", "importance", "given"]


@application.command("explain")
def explain(
    study: application.StudyArgument,
    origin: _Origin = None,
    order: _Order = "auto",
    seeds: _Number = None,
    epochs: _Epochs = None,
    json: application.Json = False,
    yes: Yes = False,
) -> int:
    """Show how much each setting of a study's champion contributes to its gain over the published settings.

    On the way from the published settings to the champion's, one setting changes at a time. Every step is trained on
    the seeds of the retrainings and compared on validation. The command says how much it will train, and asks. After an
    interruption the same command goes on. If all steps are trained already, they are only shown.

    Example: sepray explain cass-ecg

    Args:
        origin: Name of the published settings to begin with, or control for the best settings of the control arm.
        order: How the next setting is chosen. greedy: all settings that are left are tried, and the best one is taken.
            importance: the one that mattered most in the search. given: the next one of the search space. auto: greedy
            for up to five settings, importance for more.
        seeds: Number of seeds on which each step is trained.
        epochs: Epochs of each training.
    """
    for flag, number, least in (("seeds", seeds, 2), ("epochs", epochs, 1)):
        if number is not None and number < least:
            raise UsageError(f"--{flag} must be at least {least}, not {number}")
    study.require()
    from ..results import document
    from ..results.explaining import PathOptions

    options = PathOptions(origin or "", "" if order == "auto" else order, seeds or 0, epochs or 0)
    path = _path(study, options, yes)
    if isinstance(path, int):
        if json and not path:
            application.print_json({"study": study.name, "explained": False})
        return path
    if json:
        application.print_json({"study": study.name, "explained": True, **document.path(path)})
    else:
        print_path(path)
    return 0


def _path(study: application.StudyFlags, options: PathOptions, yes: bool) -> Explanation | int:
    """Return a study's ablation path, trained first if none meets the options; the exit status if there is no path."""
    from ..driver import tracking_address
    from ..results.explaining import PathTraining
    from ..results.study_result import load_study
    from ..scoring.explanation import of_result

    address, _ = tracking_address.of_study(study.tracking_uri, study.name, study.storage, study.storage_path)
    result = load_study(study.name, study.storage, study.storage_path, address, study.cache)
    path = of_result(result.result)
    if path is not None and options.is_met_by(path):
        return path
    return _trained(result.spec, PathTraining(result, options), yes)


def _trained(spec: StudySpec, training: PathTraining, yes: bool) -> Explanation | int:
    """Say what will be trained, ask, and train it; return the path, or the exit status if nothing is trained."""
    from ..console import interruption
    from ..console.exit_status import how_to_go_on
    from ..console.terminal import console

    if training.left:
        if spec.resources.cluster_address.startswith("ray://"):
            raise UsageError(f"the study ran on {spec.resources.cluster_address}: explain it on the cluster's head")
        for line in _announcement(spec, training):
            console.print(line)
        if not is_confirmed(yes, "Train them?", "nothing is trained"):
            console.print("nothing is trained")
            return 0
    try:
        return training.train()
    except KeyboardInterrupt as error:
        console.print(f"\nthe path is interrupted; nothing is lost. {how_to_go_on()}", soft_wrap=True)
        return interruption.status_of(error)


def _announcement(spec: StudySpec, training: PathTraining) -> list[str]:
    from ..console.terminal import duration
    from ..dry_run import machine
    from ..plain_text import plural

    count, seeds = len(training.names), len(training.seeds)
    names = ", ".join(training.names)
    lines = [
        f"From {training.beginning.name} to the champion's settings, {plural(count, 'setting')} must change: {names}."
    ]
    how = {
        "greedy": "Each step tries all changes that are left",
        "importance": "The settings change by their importance in the search",
        "given": "The settings change in the order of the search space",
    }[training.order]
    most = "at most " if training.order == "greedy" and count > 1 else ""
    left, length = plural(training.left, "training"), plural(training.epochs, "epoch")
    told = f"{how}, on {seeds} seeds: {most}{left} of {length} left"
    if training.seconds is not None:
        own = spec.resources
        gpus = machine.gpus() if own.gpus_per_trial else 0
        slots = own.concurrency or 1 if own.cluster_address else machine.slots(own, processor.cpus(), gpus)
        took = f"{slots} at once, about {duration(training.seconds)} each"
        told += f", about {duration(training.left * training.seconds / slots)} ({took})"
    return [*lines, f"{told}."]


def print_path(path: Explanation) -> None:
    """Print an ablation path: its sentence, and the table of its steps."""
    from ..console.terminal import console
    from ..scoring import explanation_words
    from ..scoring.tables import path_table  # torch

    console.print(explanation_words.sentence(path), style="bold")
    console.print(path_table(path, console.width))
