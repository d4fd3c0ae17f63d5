"""``sepray list``."""

from __future__ import annotations

import json as json_format
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro

from . import application

Row = dict[str, Any]
Kind = Literal["models", "studies", "tasks", "separators"]


@application.command("list")
def list_(
    what: Annotated[Kind, tyro.conf.Positional, tyro.conf.arg(help_behavior_hint="")],
    json: application.Json = False,
    storage: application.Storage = application.STORAGE,
    tracking_uri: application.TrackingUri = None,
) -> None:
    """List registered models, the studies of a storage, or the available tasks and separators.

    Example: sepray list models

    Args:
        what: models (versions, aliases, sources, rate, metric, score), studies (trials by state, best value),
            tasks (with the data they need) or separators (with the training signals they need).
    """
    rows = _LISTS[what](storage, tracking_uri)
    if json:
        print(json_format.dumps(rows))
        return
    if not rows:
        print(f"there are no {what} yet")
        return
    from rich import box
    from rich.table import Table

    from ..console.terminal import console

    table = Table(box=box.SIMPLE)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console.print(table)


def _models(storage: str, tracking_uri: str | None) -> list[Row]:
    uri = application.require_tracking(tracking_uri)
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
    ]


def _studies(storage: str, tracking_uri: str | None) -> list[Row]:
    application.require_storage(storage)
    import optuna

    from ..search.storage import connect

    opened = connect(storage)
    rows = []
    for summary in sorted(optuna.get_all_study_summaries(opened), key=lambda s: str(s.study_name)):
        if "fingerprint" not in summary.user_attrs or summary.study_name.endswith("/finals"):
            continue
        study = optuna.load_study(study_name=summary.study_name, storage=opened)
        trials = study.get_trials(deepcopy=False)
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
                "separator": fingerprint.get("separator", {}).get("name"),
                "task": fingerprint.get("task", {}).get("name"),
                "trials": len(trials),
                **{name: states[name] for name in ("complete", "pruned", "fail", "running")},
                "objective": [o.removeprefix("validation/") for o in objectives],
                "best": best,
            }
        )
    return rows


def _tasks(storage: str, tracking_uri: str | None) -> list[Row]:
    from .. import registry

    rows = []
    for name in registry.names("sepray.tasks"):
        module = registry.find("sepray.tasks", name)
        rows.append({"task": name, "what": _sentence(module), "needs": _sentence(module.Config)})
    return rows


def _separators(storage: str, tracking_uri: str | None) -> list[Row]:
    from .. import registry
    from ..contracts import Separator

    rows = []
    for name in registry.names("sepray.separators"):
        module = registry.find("sepray.separators", name)
        classes = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Separator)]
        own = [c for c in classes if c.__module__ == module.__name__]
        seen = sorted({c.supervision.value for c in own})
        named = [f"{name}:{config}" for config in registry.configs(module) if not config.endswith("debug")]
        rows.append({"separator": name, "what": _sentence(module), "needs": ", ".join(seen), "configurations": named})
    return rows


_LISTS: dict[Kind, Callable[[str, str | None], list[Row]]] = {
    "models": _models,
    "studies": _studies,
    "tasks": _tasks,
    "separators": _separators,
}


def _sentence(documented: Any) -> str:
    """Return the first paragraph of a docstring."""
    return " ".join((documented.__doc__ or "").strip().split("\n\n")[0].split())


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
