"""Who takes part in a comparison: which separators, with which settings, and which of them refuse the signal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from .. import registry
from ..console.terminal import one_line
from ..contracts import Oracle, Separator, Signal
from ..errors import UsageError
from ..identity import expand
from ..scoring import metrics
from ..spec.study import key
from ..training.trainer import build
from .spec import Comparison, Spaces, configured, split


@dataclass(frozen=True)
class Contender:
    """A separator that takes part.

    Attributes:
        key: ends the name of its study, and is how ``--reference`` knows it.
        system: what its row is called.
        config: of the separator.
        space: what its study varies, templates filled in; without a search each distribution has one value.
        points: settings that are tried first, by name.
        parameters: numbers that are trained, those of critics included.
        supervision: what it sees of the training split.
    """

    key: str
    system: str
    config: Any
    space: Mapping[str, BaseDistribution]
    points: Mapping[str, Mapping[str, Any]]
    parameters: int
    supervision: str


@dataclass(frozen=True)
class LeftOut:
    """A separator that has no figures, and why."""

    system: str
    reason: str


def contenders(comparison: Comparison, spaces: Spaces, signal: Signal) -> tuple[list[Contender], list[LeftOut]]:
    """Return who takes part, and who refuses the signal.

    Raises:
        UsageError: none takes part, two are the same, or a setting that there is none of.
    """
    for measure in comparison.measures:
        if why := metrics.unfit(measure, signal):
            raise UsageError(f"--measures {measure}: {why}")
    found: list[Contender] = []
    refused: list[LeftOut] = []
    for name in comparison.separators or registry.names("sepray.separators"):
        try:
            found.append(contender(name, comparison, spaces, signal))
        except UsageError:
            raise
        except Exception as error:  # a separator's constructor is the user's code
            refused.append(LeftOut(name, one_line(error)))
    if not found:
        reasons = "; ".join(f"{r.system}: {r.reason}" for r in refused)
        raise UsageError(f"no separator takes the signal of {comparison.task}: {reasons}")
    keys = [c.key for c in found]
    if twice := sorted({k for k in keys if keys.count(k) > 1}):
        raise UsageError(f"--separators names {', '.join(twice)} twice")
    if comparison.reference and comparison.reference not in (*keys, *comparison.separators):
        raise UsageError(f"--reference {comparison.reference!r} takes no part; there are: {', '.join(keys)}")
    return found, refused


def contender(named: str, comparison: Comparison, spaces: Spaces, signal: Signal) -> Contender:
    """Return a separator with its settings: the published ones or else its defaults, and over them what was given.

    Raises:
        UsageError: there is no such published setting, field or hyperparameter.
        ValueError: the separator refuses the signal.
    """
    name, wanted = split(named)
    module = registry.find("sepray.separators", name)
    short = name.rpartition(".")[2]
    # NAME:CONFIGURATION is a separator of its own, with the search space of its name, or of what that begins with.
    configuration, setting = registry.configs(module).get(wanted), wanted
    title, spaced = short, short
    if configuration is not None:
        title, spaced, setting = f"{short}:{wanted}", f"{short}_{wanted}", ""
    given = comparison.given(short)
    structure = {f.name for f in fields(module.Config)} & set(given)
    config = configured(configuration or module.Config(), {k: v for k, v in given.items() if k in structure}, short)
    separator = build(config, signal, comparison.seed)
    if isinstance(separator, Oracle):
        raise ValueError("a bound and no method; the oracles are rows of every table")
    defaults = separator.hyperparameters()
    space, published = _published(module, spaced, spaces, signal)
    label, point = _setting(short, setting, published)
    fixed = {k: _number(short, k, v, defaults) for k, v in given.items() if k not in structure}
    first = {**(defaults if not published else point), **fixed}
    points = {label: first}
    searched = bool(comparison.budget.trials and space)
    if searched:
        if not setting:
            points |= {other: {**values, **fixed} for other, values in published.items()}
        space |= {k: CategoricalDistribution([v]) for k, v in fixed.items()}
    else:
        # What is compared is in the study's fingerprint, so that other settings are another study.
        space = {k: CategoricalDistribution([v]) for k, v in first.items()}
    changed = ", ".join(f"{k} {v}" for k, v in given.items())
    # Without a search the row says which setting it is, unless that bears the method's own name.
    same = _letters(label) in (_letters(short), "defaults")
    told = "; ".join(part for part in ("" if same or searched else label, changed) if part)
    return Contender(
        key=slug(f"{short}-{wanted}" if wanted else short),
        system=f"{title} ({told})" if told else title,
        config=config,
        space=space,
        points=points,
        parameters=_size(separator),
        supervision=separator.supervision.value,
    )


def _published(
    module: ModuleType, name: str, spaces: Spaces, signal: Signal
) -> tuple[dict[str, BaseDistribution], dict[str, dict[str, Any]]]:
    """Return search space and published settings; a module of one's own may have SPACE and PAPER itself."""
    short = module.__name__.rpartition(".")[2]
    while name not in spaces and name != short:
        name = name.rpartition("_")[0]
    space, points = spaces.get(name, (getattr(module, "SPACE", {}), getattr(module, "PAPER", {})))
    return expand(space, signal.sources), {label: expand(point, signal.sources) for label, point in points.items()}


def _setting(name: str, wanted: str, published: Mapping[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the published setting that is wanted, or the first one; without any, the defaults."""
    if not wanted:
        return next(iter(published.items()), ("defaults", {}))
    for label, point in published.items():
        if label.lower() == wanted.lower():
            return label, point
    there = ", ".join(published) or "none"
    raise UsageError(f"{name} has no published setting {wanted!r}; there are: {there}")


def _number(name: str, field: str, value: str, defaults: Mapping[str, float]) -> float:
    if field not in defaults:
        there = ", ".join(sorted(defaults)) or "none"
        raise UsageError(f"--settings: {name} has no {field!r} in its Config, nor among its hyperparameters: {there}")
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"--settings: {name}.{field} must be a number, not {value!r}") from None


def _size(separator: Separator) -> int:
    """Return the number of weights or, of a method without gradients, of what it fits: its state but for scalars."""
    weights = sum(p.numel() for p in separator.parameters())
    return weights or sum(tensor.numel() for tensor in separator.state_dict().values() if tensor.ndim)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def slug(text: str) -> str:
    """Return a text as the names of studies and metrics may have it."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")


def task_config(comparison: Comparison) -> Any:
    """Return the task's configuration with what was given for it."""
    module = registry.find("sepray.tasks", comparison.task)
    given = comparison.given("task")
    if unknown := sorted(set(given) - {f.name for f in fields(module.Config)}):
        there = ", ".join(f.name for f in fields(module.Config))
        raise UsageError(f"--settings: the task {comparison.task} has no {', '.join(unknown)}; it has {there}")
    config = configured(module.Config(), given, "task")
    assert key(config) == comparison.task.rpartition(".")[2]
    return config
