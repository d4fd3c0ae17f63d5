"""Runs a comparison and publishes its table: in its folder, in a run in MLflow, and in the terminal."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from .. import identity
from ..console import interruption
from ..console.exit_status import BUG, format_error
from ..console.terminal import console
from ..console.waiting import wait_for
from ..contracts import TaskData
from ..errors import mask
from ..loading import load_task
from ..spec.folder import study_folder, write
from ..spec.parts import flat
from ..spec.permissions import Permissions
from ..spec.study import key
from ..tracking.environment import environment_tags
from ..tracking.tracker import Tracker
from . import figure, formats, imported, table
from .contenders import LeftOut, contenders, slug, task_config
from .running import ComparisonFigures, run_all
from .spec import Comparison, Spaces


@dataclass(frozen=True)
class ComparisonResult:
    """The result of a comparison.

    Attributes:
        comparison: the comparison, as it was asked for.
        status: its exit status: 0 done, 1 no separator has figures, 3 one has none because of a bug, that of a signal
            where one has ended a study.
        data: data of its task.
        of_separators: their figures; None where a signal has ended it.
        table: its table; None where no separator has figures.
    """

    comparison: Comparison
    status: int
    data: TaskData
    of_separators: ComparisonFigures | None = None
    table: table.ComparisonTable | None = None


def run(comparison: Comparison, spaces: Spaces, permitted: Permissions | None = None) -> int:
    """Run all studies and publish the table; return the exit status, as ``result`` has it."""
    return result(comparison, spaces, permitted).status


def result(comparison: Comparison, spaces: Spaces, permitted: Permissions | None = None) -> ComparisonResult:
    """Run all studies, publish the table, and return it with what it was made of.

    Args:
        comparison: the comparison.
        spaces: search spaces of its separators.
        permitted: what the user allows the studies; default: nothing.
    """
    task, budget = task_config(comparison), comparison.budget
    wait_for(f"{comparison.name}: loading the data of {comparison.task}; data that the cache lacks are made first")
    data = load_task(task, comparison.stores.cache)
    others = imported.read(comparison.museval_results, data)
    taking_part, refused = contenders(comparison, spaces, data.signal)
    console.print(
        f"comparison {comparison.name}: {', '.join(c.system for c in taking_part)} on {comparison.task}; each "
        f"{budget.max_epochs} epochs, {budget.seeds()} seeds, {budget.trials or 'no'} trials of a search before",
        soft_wrap=True,
        markup=False,
    )
    for left in refused:
        console.print(f"  left out {left.system}: {left.reason}", soft_wrap=True, markup=False)
    try:
        of_separators = run_all(comparison, task, data, taking_part, permitted)
    except KeyboardInterrupt as error:
        return ComparisonResult(comparison, interruption.status_of(error), data)
    of_separators.left_out += refused
    for left in of_separators.left_out:
        if left.bug:
            console.print(format_error(left.system, left.bug), soft_wrap=True, markup=False)
    has_bug = any(left.has_bug for left in of_separators.left_out)
    if not of_separators.entries:
        reasons = "; ".join(f"{left.system}: {left.reason}" for left in of_separators.left_out)
        console.print(f"\nno separator has figures: {reasons}", soft_wrap=True, markup=False)
        return ComparisonResult(comparison, BUG if has_bug else 1, data, of_separators)
    found = table.build(comparison, data, of_separators, others)
    publish(comparison, task, data, of_separators, found)
    if len(of_separators.left_out) > len(refused):
        console.print("The same command tries the separators without figures again.")
    return ComparisonResult(comparison, BUG if has_bug else 0, data, of_separators, found)


def publish(
    comparison: Comparison, task: object, data: TaskData, of_separators: ComparisonFigures, found: table.ComparisonTable
) -> Path:
    """Write tables and figures to the comparison's folder, its MLflow run and the terminal; return the folder."""
    # Known by its studies: after the storage was deleted, the same name is another comparison.
    uid = identity.digest({e.contender.key: e.uid for e in of_separators.entries})[:8]
    folder = study_folder(comparison.stores.storage_path, comparison.name, uid)
    files = {
        "table.md": formats.markdown(found).encode(),
        "table.tex": formats.latex(found).encode(),
        "table.csv": formats.comma_separated(found).encode(),
        "scores.csv": formats.scores(found, list(data.signal.sources)).encode(),
    }
    files |= {f"figures/{p.name}": p.content for p in figure.pictures(found)}
    files |= {f"failures/{slug(left.system)}.txt": _trace(left).encode() for left in of_separators.left_out if left.bug}
    for name, content in files.items():
        write(folder, name, content)
    _track(comparison, task, data, of_separators, found, folder, list(files))
    console.print()
    for part in formats.terminal(found):
        console.print(part)
    console.print(
        f"\nTables (Markdown, LaTeX, CSV), scores of every item and figures: {folder}", soft_wrap=True, markup=False
    )
    return folder


def _trace(left: LeftOut) -> str:
    """Return the whole traceback of a bug, without secrets."""
    return mask("".join(traceback.format_exception(left.bug)))


def _track(
    comparison: Comparison,
    task: object,
    data: TaskData,
    of_separators: ComparisonFigures,
    found: table.ComparisonTable,
    folder: Path,
    files: list[str],
) -> None:
    """Write the comparison's MLflow run, which holds the tables and names the studies; a later start writes to it."""
    tracker = Tracker(
        folder / "outbox.db",
        f"{comparison.name}-{folder.name}",
        uri=comparison.stores.tracking_uri,
        experiment=f"comparison-{key(task).replace('_', '-')}",
    )
    fields = flat(comparison)
    params = {name: fields[name] for name in ("trials", "max_epochs", "sampler", "scheduler")}
    params |= {
        "final_seeds": comparison.budget.seeds(),
        "seed": comparison.seed,
        "task": key(task),
        "objective": " ".join(comparison.objective),
        "settings": " ".join(comparison.settings),
    }
    params |= {f"task.{k}": v for k, v in identity.without_secrets(task).items()}
    params["separators"] = " ".join(e.contender.key for e in of_separators.entries)
    tags = {"stage": "comparison", "data_fingerprint": data.fingerprint, "reference": found.reference}
    tags |= {f"study.{e.contender.key}": f"{comparison.name}-{e.contender.key}" for e in of_separators.entries}
    tracker.open_study(comparison.name, params, environment_tags() | tags)
    described = {"config": identity.without_secrets(task), "sources": list(data.signal.sources)}
    tracker.log_dataset(key(task), data.fingerprint, described, "comparison")
    for name in files:
        tracker.log_file("", name, folder / name)
    metrics = {
        f"test/{row.key}/{measure}": row.cells[measure, table.MEAN].mean
        for row in found.rows
        for measure in found.measures
        if (measure, table.MEAN) in row.cells
    }
    studies = "\n".join(
        f"- {e.contender.system}: study `{comparison.name}-{e.contender.key}`" for e in of_separators.entries
    )
    note = f"{formats.markdown(found)}\nEach separator is a study of its own:\n\n{studies}\n"
    tracker.study_finished(metrics, {"outcome": "finished"}, note)
    if left := tracker.close(timeout=20):
        console.print(
            f"{left} updates wait for the tracking server {mask(comparison.stores.tracking_uri)}; "
            f"the same command delivers them"
        )
