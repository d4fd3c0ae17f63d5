"""Tells what a study has found: in the terminal, in the study's run, and in a note that optuna-dashboard shows."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..console.shell_commands import from_this_shell
from ..console.terminal import console
from ..contracts import TaskData
from ..errors import SeprayError
from ..scoring.tables import answer_table, result_table
from ..search import dashboard
from ..search.storage import STORAGE_FAILURES, load_study
from ..spec.study import StudySpec
from ..tracking.tracker import Tracker
from . import notes
from .final_scores import KeptResult
from .registration import Registration
from .study_commands import on_study


def show(
    spec: StudySpec,
    data: TaskData,
    result: KeptResult,
    registration: Registration,
    commands: Sequence[str],
    report: Path | None,
) -> None:
    """Print answer, settings of the champion, final table, what became of the model, and what to do next.

    Args:
        spec: description of the study.
        data: data of its task.
        result: its result.
        registration: result of registering its model.
        commands: commands that a user will want to run next.
        report: the report's page; None if there is none.
    """
    answer = notes.answer_of(result)
    title, columns, rows, caption = notes.table_words(spec, data, result)
    console.print()
    if answer is not None:
        console.print(str(answer), style="bold")
        if answer.contrasts:
            console.print(answer_table(answer, console.width))
    if settings := notes.readable(result["hyperparameters"]):
        exactly = on_study("show", spec, "--settings")
        console.print(f"Settings of the champion, {result['role']}:")
        width = max(map(len, settings)) + 2
        console.print("\n".join(f"  {name:{width}}{value}" for name, value in settings.items()))
        console.print(f"  with all digits, as a file: {exactly}", soft_wrap=True)
        console.print("".join(f"{sentence}.\n" for sentence in result.get("edges", ())))
    console.print(result_table(title, columns, rows, caption, console.width))
    console.print(registration.sentence)
    reading = [f"python -m webbrowser {_from_here(report)}"] if report else []
    here = [from_this_shell(command) for command in (*reading, *commands)]
    console.print("\nNext:\n" + "\n".join(f"  {command}" for command in here), soft_wrap=True)


def keep(
    spec: StudySpec,
    data: TaskData,
    result: KeptResult,
    registration: Registration,
    commands: Sequence[str],
    has_report: bool,
    model_version: str,
    tracker: Tracker,
) -> None:
    """Write the study's findings into its run, with the champion's scores on test, and into optuna-dashboard's note.

    Args:
        spec: description of the study.
        data: data of its task.
        result: its result.
        registration: result of registering its model.
        commands: commands that a user will want to run next.
        has_report: whether the run has the report's files.
        model_version: version of the registered model; "waiting" where the tracking server has not taken it yet, "none"
            where there is no model.
        tracker: tracker of the study.
    """
    told = registration.sentence
    _note_for_dashboard(spec, notes.describe_study(spec, data, result, told, commands, has_report=False))
    note = notes.describe_study(spec, data, result, told, commands, has_report=has_report)
    tags = {"outcome": "finished", "champion": result["role"], "model_version": model_version}
    tracker.study_finished(notes.test_metrics(spec, data, result), tags, note)


def _note_for_dashboard(spec: StudySpec, note: str) -> None:
    """Keep a note that optuna-dashboard shows; where the storage does not take it, the study is without one."""
    with contextlib.suppress(SeprayError, *STORAGE_FAILURES):
        dashboard.save_note(load_study(spec.stores.storage, spec.name), note)


def _from_here(path: Path) -> str:
    """Return a path for a command line, relative to the current folder where it lies below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
