"""Makes the contenders of a comparison: separators and their settings, without those that refuse the signal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from .. import registry
from ..contracts import Oracle, Separator, Signal
from ..errors import SeprayError, UsageError, one_line, proposal
from ..fault import is_bad_input
from ..identity import expand
from ..scoring import metrics
from ..spec import published_settings
from ..training.trainer import build
from . import separators_flag
from .separators_flag import WARM_START, NamedSeparator
from .separators_flag import slug as slug
from .spec import Comparison, Spaces, configured

DEFAULTS = "defaults"
"""Name of a separator's own hyperparameters (``hyperparameters()``), and of its ``Config()`` without changes."""


@dataclass(frozen=True)
class Contender:
    """A separator that takes part in a comparison.

    Attributes:
        key: name of the separator in the comparison; it ends its study's name, and ``--reference`` takes it.
        system: title of its row in the table.
        config: configuration of the separator.
        space: search space of its study, with the sources' names; without a search each distribution has one value.
        points: settings that are tried first, by name.
        parameters: number of trained weights, those of critics included.
        supervision: what the separator may see of the training split.
        what: what stands behind a name that the user gave it, in words; empty where it has none.
        epochs: epochs of its trainings; None: those of the comparison.
        published_epochs: epochs that its paper trains its settings for; 0: the paper is silent; None: its settings are
            searched, or its own.
        learns: whether anything of it is trained.
        paired_fraction: share of the training items that it sees with their sources, where it sees only some so.
    """

    key: str
    system: str
    config: Any
    space: Mapping[str, BaseDistribution]
    points: Mapping[str, Mapping[str, Any]]
    parameters: int
    supervision: str
    what: str = ""
    epochs: int | None = None
    published_epochs: int | None = None
    learns: bool = True
    paired_fraction: float = 0.0


@dataclass(frozen=True)
class LeftOut:
    """A separator that has no figures in the table.

    Attributes:
        system: title of its row.
        reason: why it has none, in one line.
        bug: error that is shown with its traceback, unless the user can put it right (a full disk); None for a refusal,
            or where its study has shown the error.
        in_trials: whether its trials ended in a bug, which its study has shown.
    """

    system: str
    reason: str
    bug: Exception | None = field(default=None, compare=False)
    in_trials: bool = field(default=False, compare=False)

    @property
    def has_bug(self) -> bool:
        """Say whether a bug, and not an error that the user can put right, has left the separator without figures."""
        return self.in_trials or (self.bug is not None and not is_bad_input(self.bug))


class _RefusalError(Exception):
    """A separator refuses the signal of the task."""


def contenders(comparison: Comparison, spaces: Spaces, signal: Signal) -> tuple[list[Contender], list[LeftOut]]:
    """Return the separators that take part, and those that are left out.

    Raises:
        UsageError: no separator takes part, two are the same, or a given setting does not exist.
        Exception: no separator takes part, and this is a bug in the code of one.
    """
    for measure in comparison.measures:
        if why := metrics.unfit(measure, signal):
            raise UsageError(f"--measures {measure}: {why}")
    found: list[Contender] = []
    refused: list[LeftOut] = []
    asked = {separators_flag.read(each).separator for each in comparison.separators}
    for entry in comparison.entries():
        name = entry.name or entry.words
        try:
            found.append(contender(entry, comparison, spaces, signal))
        except _RefusalError as error:
            if asked and entry.separator not in asked:  # a baseline, which nobody has named
                continue
            refused.append(LeftOut(name, one_line(error)))
        except UsageError:
            raise
        except Exception as error:  # a bug in one separator's code does not stop the comparison of the others
            reason = f"{type(error).__name__}: {one_line(error)}"
            refused.append(LeftOut(name, reason, error))
    if not found:
        if bug := next((left.bug for left in refused if left.bug), None):
            raise bug
        reasons = "; ".join(f"{r.system}: {r.reason}" for r in refused)
        raise UsageError(f"no separator takes the signal of {comparison.task}: {reasons}")
    keys = [c.key for c in found]
    if twice := sorted({k for k in keys if keys.count(k) > 1}):
        raise UsageError(f"--separators names {', '.join(twice)} twice")
    if comparison.reference and comparison.reference not in (*keys, *comparison.separators):
        raise UsageError(f"--reference {comparison.reference!r} takes no part; there are: {', '.join(keys)}")
    return found, refused


def contender(entry: NamedSeparator, comparison: Comparison, spaces: Spaces, signal: Signal) -> Contender:
    """Return a separator with its settings: the published ones or else its defaults, changed by what was given.

    Args:
        entry: one of ``--separators``.
        comparison: the comparison.
        spaces: search space and published settings by separator.
        signal: signal of the task.

    Raises:
        UsageError: there is no such published setting, field or hyperparameter.
    """
    module, short = registry.find("sepray.separators", entry.separator), entry.short
    configuration, setting, spaced = _configuration(module, entry)
    own = {**comparison.given(short), **entry.settings, **(comparison.given(entry.name) if entry.name else {})}
    names = [f.name for f in fields(configuration)]
    given = _with_warm_start(_canonical(own, names), configuration)
    structure = {name: value for name, value in given.items() if name in names}
    config = configured(configuration, structure, short)
    try:
        separator = build(config, signal, comparison.seed)
    except SeprayError as error:
        raise _RefusalError(str(error)) from error
    if isinstance(separator, Oracle):
        raise _RefusalError("it is a bound and no method; every table has rows of the oracles")
    defaults = separator.hyperparameters()
    space, published, budgets = _published(module, spaced, spaces, signal)
    label, point = _setting(short, setting, published)
    others = _canonical({k: v for k, v in given.items() if k not in structure}, defaults)
    fixed = {k: _number(short, k, v, defaults) for k, v in others.items()}
    first = {**(defaults if not published else point), **fixed}
    points = {label: first}
    searched = bool(comparison.budget.trials and space)
    of_paper = None if searched or fixed or label not in published or not point else budgets.get(label, 0)
    whole = comparison.budget.reference_budget == published_settings.PUBLISHED
    epochs = of_paper or None if whole else None
    if searched:
        first |= {k: defaults[k] for k in space if k in defaults and k not in first}  # what the paper leaves open
        if not setting:
            points |= {other: {**values, **fixed} for other, values in published.items()}
        space |= {k: CategoricalDistribution([v]) for k, v in fixed.items()}
    else:
        # The settings are part of the study's fingerprint, so that other settings are another study.
        space = {k: CategoricalDistribution([v]) for k, v in first.items()}
    changed = ", ".join(f"{k} {v}" for k, v in given.items())
    # Without a search the title names the published setting, unless the setting has the name of the method.
    same = _letters(label) in (_letters(short), DEFAULTS)
    trained = epochs or comparison.budget.max_epochs
    less = published_settings.trained_words(trained, of_paper) if of_paper and trained < of_paper else ""
    told = "; ".join(part for part in ("" if same or searched else label, changed, less) if part)
    title = f"{short}:{entry.wanted}" if entry.wanted and not setting else short
    described = f"{title} ({told})" if told else title
    return Contender(
        key=entry.key,
        system=(f"{entry.name} ({less})" if less else entry.name) if entry.name else described,
        config=config,
        space=space,
        points=points,
        parameters=_size(separator),
        supervision=separator.supervision.value,
        what=described if entry.name else "",
        epochs=epochs,
        published_epochs=of_paper,
        learns=separator.learns,
        paired_fraction=separator.paired_fraction,
    )


def _configuration(module: ModuleType, entry: NamedSeparator) -> tuple[Any, str, str]:
    """Return the configuration of an entry, the published setting that it names, and the name of its search space.

    NAME:CONFIGURATION has the search space of that name, or else of what the name begins with. NAME alone, or with a
    published setting, has the published sizes: the configuration ``paper`` where there is one.
    """
    known, short = registry.configs(module), entry.short
    if entry.wanted in known:
        return known[entry.wanted], "", f"{short}_{entry.wanted}"
    if entry.wanted == DEFAULTS:
        return module.Config(), "", short
    return known.get("paper") or module.Config(), entry.wanted, short


def _canonical(given: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Return given settings by the names of the fields; a user may write these as flags, such as ``batch-size``."""
    fitting = {k: k.replace("-", "_") for k in given}
    return {fitting[k] if k not in names and fitting[k] in names else k: value for k, value in given.items()}


def _with_warm_start(given: Mapping[str, str], configuration: Any) -> dict[str, str]:
    """Return given settings, those of the warm start (``start.FIELD``) written behind the warm start's name."""
    own = {k: v for k, v in given.items() if not k.startswith(f"{WARM_START}.")}
    start = [f"{k.partition('.')[2]}={v}" for k, v in given.items() if k not in own]
    if start and hasattr(configuration, WARM_START):
        own[WARM_START] = " ".join([own.get(WARM_START, getattr(configuration, WARM_START)), *start])
    elif start:
        own |= {k: v for k, v in given.items() if k.startswith(f"{WARM_START}.")}
    return own


def _published(
    module: ModuleType, name: str, spaces: Spaces, signal: Signal
) -> tuple[dict[str, BaseDistribution], dict[str, dict[str, Any]], Mapping[str, int]]:
    """Return search space, published settings, and the epochs that papers train these for.

    A user's own module may have ``SPACE`` and ``PAPER`` itself. A comparison has no arms. So a hyperparameter that the
    published settings have, and the search space has not, is searched among the values that they give it.
    """
    short = module.__name__.rpartition(".")[2]
    while name and name not in spaces and name != short:  # an announced name may differ from its module's
        name = name.rpartition("_")[0]
    own = getattr(module, "PAPER", {})  # a configuration of that name, or published settings
    space, points, *budgets = spaces.get(name, (getattr(module, "SPACE", {}), own if isinstance(own, Mapping) else {}))
    expanded = {label: expand(point, signal.sources) for label, point in points.items()}
    values: dict[str, list[Any]] = defaultdict(list)
    for key, value in (pair for point in expanded.values() for pair in point.items()):
        values[key] += [value] * (value not in values[key])
    searched = expand(space, signal.sources)
    fixed = {k: CategoricalDistribution(v) for k, v in values.items() if k not in searched}
    return fixed | searched, expanded, budgets[0] if budgets else {}


def _setting(name: str, wanted: str, published: Mapping[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the published setting ``wanted``, its name and its values.

    By default it is the one that is called like the separator, or else the first. Without published settings it is the
    separator's defaults.
    """
    if not wanted:
        like = [(label, point) for label, point in published.items() if _letters(label) == _letters(name)]
        return next(iter([*like, *published.items()]), (DEFAULTS, {}))
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
    """Return the number of weights; of a method without gradients, the number of values in its state's arrays."""
    weights = sum(p.numel() for p in separator.parameters())
    return weights or sum(tensor.numel() for tensor in separator.state_dict().values() if tensor.ndim)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def task_config(comparison: Comparison) -> Any:
    """Return the task's configuration with the settings that the comparison gives it (``--settings task.NAME=VALUE``).

    Raises:
        UsageError: there is no such task, it has no field of a name, or a value cannot be one of its field's.
    """
    config = registry.config("sepray.tasks", comparison.task)
    known = [f.name for f in fields(config)]
    given = _canonical(comparison.given("task"), known)
    if unknown := sorted(set(given) - set(known)):
        meant = proposal(unknown[0], known)
        names = ", ".join(unknown)
        raise UsageError(f"--settings: the task {comparison.task} has no {names}; {meant}it has {', '.join(known)}")
    return configured(config, given, "task")
