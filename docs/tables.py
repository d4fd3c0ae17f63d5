"""The tables of separators, tasks and measures, made of the modules themselves when the site is built."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

from sepray import registry, shipped
from sepray.choices import MEASURES
from sepray.spec.settings import separator_name
from sepray.spec.study import StudySpec

_CODE = re.compile(r"``?([^`]+)``?")


def fence(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """Return the table that a ``catalogue`` block names: ``separators``, ``tasks`` or ``measures``."""
    return _TABLES[source.strip()]()


def separators() -> str:
    """Return a row for each module of ``sepray.separators``; a variant has one of its own."""
    found: list[tuple[str, ModuleType]] = []
    for name in registry.names("sepray.separators"):
        full = [name, *(f"{name}:{variant}" for variant in registry.variants(f"sepray.separators.{name}"))]
        found += [(one, registry.find("sepray.separators", one)) for one in full]
    studies: dict[str, list[str]] = {name: [] for name, _ in found}
    for study in shipped.studies():
        if trained := _trained(study):
            studies[trained].append(study)
    rows = []
    for name, module in found:
        named = [f"{name}{'_' if ':' in name else ':'}{config}" for config in _constants(module)]
        rows.append((_codes([name, *named]), _sentence(module), _seen(module), _codes(studies[name])))
    return _table(("separator", "what", "training data that it sees", "studies"), rows)


def tasks() -> str:
    """Return a row for each module of ``sepray.tasks``; the signal is that of its small configuration ``DEBUG``."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for name in registry.names("sepray.tasks"):
            module = registry.find("sepray.tasks", name)
            signal = module.DEBUG.load(Path(cache)).signal
            kind = "images" if signal.sample_rate is None else "time series"
            own = (_codes([name]), _sentence(module), _sentence(module.Config), _codes(signal.sources), kind)
            rows.append(own)
    return _table(("task", "what", "data", "sources", "kind"), rows)


def measures() -> str:
    """Return a row for each measure."""
    rows = []
    for name, measure in MEASURES.items():
        better = "less" if measure.direction == "minimize" else "more"
        kind = "all" if measure.signals == "any" else measure.signals
        objective = "yes" if measure.every_epoch else "no"
        rows.append((_codes([name]), escape(measure.description, quote=False), better, measure.unit, kind, objective))
    return _table(("measure", "what", "better", "unit", "signals", "may be an objective"), rows)


_TABLES: dict[str, Callable[[], str]] = {"separators": separators, "tasks": tasks, "measures": measures}


def _constants(module: ModuleType) -> list[str]:
    own = (key.lower() for key, value in vars(module).items() if key.isupper() and type(value) is module.Config)
    return [key for key in own if key != "debug"]


def _trained(study: str) -> str:
    """Return the name of the separator that a study trains; empty for a comparison, which trains several."""
    described = importlib.import_module(f"studies.{study}").STUDY
    return separator_name(described.separator) if isinstance(described, StudySpec) else ""


def _seen(module: ModuleType) -> str:
    """Return what the separators of a module are shown of the training split."""
    from sepray.contracts import Oracle, Separator  # torch: for pages with a table only

    own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    found = [c for c in own if issubclass(c, Separator)]
    if any(issubclass(c, Oracle) for c in found):
        return "is told the true sources: a bound, never registered"
    return ", ".join(sorted({c.supervision.value for c in found}))


def _sentence(documented: Any) -> str:
    """Return the first paragraph of a docstring as HTML."""
    paragraph = " ".join((documented.__doc__ or "").strip().split("\n\n")[0].split())
    return _CODE.sub(r"<code>\1</code>", escape(paragraph, quote=False))


def _codes(names: Iterable[str]) -> str:
    """Return names as code, a line each."""
    return "<br>".join(f'<code style="white-space: nowrap">{escape(name)}</code>' for name in names)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr></thead><tbody>{cells}</tbody></table>"
