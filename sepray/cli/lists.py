"""The lists that ``sepray list`` prints. Imports no tyro, whose import takes longer than reading the sources."""

from __future__ import annotations

import os
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ..choices import MEASURES
from ..console.exit_status import format_error
from ..console.json_output import print_json
from ..console.output import say
from ..errors import StorageError
from .available import SEPRAY, Available, available

_STATES = {"complete": "complete", "pruned": "stopped_early", "fail": "failed", "running": "running"}
ListRow = dict[str, Any]
Kind = Literal["models", "studies", "tasks", "separators", "measures"]


def show(what: Kind, json: bool, storage: str, tracking_uri: str | None) -> None:
    """Print a list as JSON or as a table; in a terminal that is too narrow for the table, as blocks.

    Raises:
        SeprayError: the storage, or the tracking server or database, cannot be read.
    """
    rows = _LISTS[what](storage, tracking_uri)
    if json:
        print_json(rows)
        return
    if not rows:
        print(f"there are no {what} yet")
        return
    from rich import box
    from rich.table import Table

    from ..console.terminal import console

    columns = [name for name in rows[0] if name != "from" or any(row["from"] != SEPRAY for row in rows)]
    table = Table(box=box.SIMPLE)
    for column in columns:
        longest = _longest_word(rows, column)
        narrow = longest if column == "configurations" else None  # one per line, to leave room for the sentences
        table.add_column(column.replace("_", " "), overflow="fold", min_width=longest, max_width=narrow)
    for row in rows:
        table.add_row(*(_shown(row[column]) for column in columns))
    needed = console.measure(table, options=console.options.update(max_width=10_000)).minimum
    if console.is_terminal and needed > console.width:
        _print_blocks(rows, columns)
    else:
        console.print(table)


def _longest_word(rows: list[ListRow], column: str) -> int:
    """Return the width that a column needs to break no word."""
    return max(len(word) for row in rows for word in [*_shown(row[column]).split(), column.partition("_")[0]])


def _print_blocks(rows: list[ListRow], columns: list[str]) -> None:
    """Print a block for each row; a table would have to break names, which nobody could copy."""
    from ..console.terminal import console

    first, *others = columns
    label = max(12, *map(len, others))
    room = max(20, console.width - label - 3)
    for row in rows:
        console.print(_shown(row[first]), style="bold", soft_wrap=True)
        for column in others:
            lines = textwrap.wrap(_shown(row[column]), room, break_long_words=False, break_on_hyphens=False)
            told = f"\n{' ' * (label + 3)}".join(lines)
            console.print(f"  {column.replace('_', ' '):{label}} {told}", soft_wrap=True)


def _models(storage: str, tracking_uri: str | None) -> list[ListRow]:
    """Return the models of the registry, if there is one, and those that come with sepray."""
    from ..models.address import require_tracking
    from ..tracking import pretrained

    shipped = [_pretrained(pretrained.PREFIX + name) for name in pretrained.names()]
    if not tracking_uri and not os.environ.get("MLFLOW_TRACKING_URI") and not Path("mlflow.db").exists():
        return shipped
    uri = require_tracking(tracking_uri)
    from ..tracking import catalogue

    return [
        {
            "model": f"models:/{model.name}/{model.version}",
            "alias": list(model.aliases),
            "sources": model.described.get("sources", []),
            "rate_hz": model.described.get("sample_rate"),
            "metric": model.described.get("metric"),
            "on_test": model.score,
            "study": model.described.get("study"),
            "registered": model.registered.strftime("%Y-%m-%d %H:%M"),
        }
        for model in catalogue.registered(uri)
    ] + shipped


def _pretrained(address: str) -> ListRow:
    from ..tracking import pretrained

    described = pretrained.describe(address)
    return {
        "model": address,
        "alias": [],
        "sources": described["sources"],
        "rate_hz": described["sample_rate"],
        "metric": described["metric"],
        "on_test": described["on_test"],
        "study": described["study"],
        "registered": "with sepray",
    }


def _studies(storage: str, tracking_uri: str | None) -> list[ListRow]:
    from .application import require_storage

    require_storage(storage)
    from ..search.storage import load_study, summaries

    rows = []
    for summary in summaries(storage):
        if "fingerprint" not in summary.user_attrs or "/" in str(summary.study_name):  # retrainings, ablation paths
            continue
        try:
            study = load_study(storage, summary.study_name)
            trials = study.get_trials(deepcopy=False)
        except StorageError as error:  # the other studies are listed all the same
            say(format_error("sepray", error), file=sys.stderr)
            continue
        states = Counter(t.state.name.lower() for t in trials)
        sound = [t for t in trials if t.state.name == "COMPLETE" and all(v <= 0 for v in t.constraints.values())]
        fingerprint = summary.user_attrs["fingerprint"]
        objectives = list(fingerprint["objectives"])
        best: Any = f"{len(study.best_trials)} on the Pareto front" if len(objectives) > 1 and sound else None
        if len(objectives) == 1 and sound:
            pick: Callable[..., Any] = min if study.direction.name == "MINIMIZE" else max
            best = pick(t.values[0] for t in sound)
        rows.append(
            {
                "study": summary.study_name,
                "separator": _name(summary.user_attrs, "separator"),
                "task": _name(summary.user_attrs, "task"),
                "trials": len(trials),
                **{name: states[state] for state, name in _STATES.items()},
                "objective": [o.removeprefix("validation/") for o in objectives],
                "best": best,
            }
        )
    return rows


def _name(stored: Mapping[str, Any], part: str) -> Any:
    """Return the name of a study's separator or task, a variant's with its colon; None if none is stored.

    Args:
        stored: user attributes of the study.
        part: ``separator`` or ``task``.
    """
    from .. import module_names
    from ..search import stored_values

    found = stored["fingerprint"].get(part)
    name = found.get("name") if isinstance(found, Mapping) else None
    if not isinstance(name, str) or not stored_values.is_description(stored.get("spec")):  # of an older version
        return name
    described = stored["spec"][part]
    variant = module_names.variant_of_stored(described["module"], described["config"])
    return f"{name}:{variant}" if variant else name


def _tasks(storage: str, tracking_uri: str | None) -> list[ListRow]:
    return [
        {
            "task": task.name,
            "what": task.what,
            "needs": task.config,
            "configurations": _configurations(task),
            "from": task.origin,
        }
        for task in available("sepray.tasks")
    ]


def _separators(storage: str, tracking_uri: str | None) -> list[ListRow]:
    return [
        {
            "separator": separator.name,
            "what": separator.what,
            "needs": ", ".join(separator.supervisions),
            "configurations": _configurations(separator),
            "from": separator.origin,
        }
        for separator in available("sepray.separators")
    ]


def _measures(storage: str, tracking_uri: str | None) -> list[ListRow]:
    return [
        {
            "measure": name,
            "what": measure.description,
            "better": "less" if measure.direction == "minimize" else "more",
            "unit": measure.unit or None,
            "for": f"{measure.signals} signals" if measure.signals == "any" else measure.signals,
            "objective": "yes" if measure.every_epoch else "no",
        }
        for name, measure in MEASURES.items()
    ]


def _configurations(of: Available) -> list[str]:
    return [f"{of.name}:{name}" for name in of.configurations if not name.endswith("debug")]


_LISTS: dict[Kind, Callable[[str, str | None], list[ListRow]]] = {
    "models": _models,
    "studies": _studies,
    "tasks": _tasks,
    "separators": _separators,
    "measures": _measures,
}


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
