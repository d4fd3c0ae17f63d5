"""Arms: the alternatives that a study is about, as data. Imports neither torch nor Optuna.

An arm says which hyperparameters it fixes and which of the search space it searches::

    ARMS = {
        "no adversaries": Arm({"adversarial": 0}, ("autoencoder_learning_rate",)),
        "CASS": Arm({"adversarial": 1, "cross.*": 0.0}, ("beta", "autoencoder_learning_rate")),
        "cross {i} to {j}": Arm({"adversarial": 1, "cross.*": 0.0}, ("beta", "cross.{i}_to_{j}")),
    }

The first arm is the control, which the others are compared with. A hyperparameter that an arm neither sets nor searches
is inactive there: no trial of the arm suggests it, and it keeps the separator's default.

Templates. ``{i}`` and ``{j}`` in the name of an arm make an arm for each source, or for each ordered pair of sources.
In the settings and searched names of such an arm they mean its source or pair. Where the name does not have them they
stand for every source or pair, as in a search space. A ``*`` in a name that is set stands for any characters:
``cross.*`` sets all hyperparameters of that form that the arm neither sets nor searches by their own names.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import UsageError, nearest

ARM = "arm"
"""Name of the Optuna parameter that says which arm a trial belongs to."""


@dataclass(frozen=True)
class Arm:
    """One alternative of a study.

    Attributes:
        settings: hyperparameter -> value that it has in every trial of the arm.
        searched: names of the search space that are searched in this arm.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    searched: tuple[str, ...] = ()


def expand(
    arms: Mapping[str, Arm], sources: Sequence[str], space: Collection[str], known: Collection[str]
) -> dict[str, Arm]:
    """Return the arms of a task: names of its sources instead of templates, names of hyperparameters instead of ``*``.

    Args:
        arms: arms by name, with templates.
        sources: names of the task's sources.
        space: names of the search space, without templates.
        known: names of all hyperparameters of the separator.

    Raises:
        UsageError: an arm sets or searches an unknown name, both sets and searches a name, or gives it a value that is
            no number; two arms have the same name; the separator has a hyperparameter called ``arm``.
    """
    if arms and ARM in known:
        raise UsageError(f"a separator with a hyperparameter called {ARM!r} cannot have arms")
    found: dict[str, Arm] = {}
    for template, arm in arms.items():
        for bound in _bindings(template, sources, {}):
            name = _filled(template, bound)
            if name in found:
                raise UsageError(f"two arms are called {name!r}")
            found[name] = _expanded(name, arm, sources, bound, space, known)
    return found


def _expanded(
    name: str,
    arm: Arm,
    sources: Sequence[str],
    bound: Mapping[str, str],
    space: Collection[str],
    known: Collection[str],
) -> Arm:
    searched = tuple(dict.fromkeys(n for template in arm.searched for n in _names(template, sources, bound)))
    _refuse_unknown(f"arm {name!r} searches", searched, space, "which the search space does not have; it has")
    settings: dict[str, Any] = {}
    patterns: dict[str, Any] = {}
    for template, value in arm.settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"arm {name!r} sets {template} to {value!r}; it must be a number")
        (patterns if "*" in template else settings).update(dict.fromkeys(_names(template, sources, bound), value))
    _refuse_unknown(f"arm {name!r} sets", settings, known, "which the separator does not have; it has")
    if both := [n for n in searched if n in settings]:
        raise UsageError(f"arm {name!r} both sets and searches {', '.join(both)}")
    for pattern, value in patterns.items():
        matches = fnmatch.filter(sorted(known), pattern)
        if not matches:
            there = ", ".join(sorted(known))
            raise UsageError(f"arm {name!r} sets {pattern}, which fits no hyperparameter; there are {there}")
        settings |= {n: value for n in matches if n not in searched and n not in settings}
    return Arm(settings, searched)


def _names(template: str, sources: Sequence[str], bound: Mapping[str, str]) -> Iterator[str]:
    return iter(dict.fromkeys(_filled(template, pair) for pair in _bindings(template, sources, bound)))


def _bindings(template: str, sources: Sequence[str], bound: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield a source for each letter of a template, such that ``bound`` holds and no two letters have the same."""
    letters = [letter for letter in "ij" if f"{{{letter}}}" in template]
    taken = {source for letter, source in bound.items() if letter not in letters}
    for several in itertools.permutations(sources, len(letters)):
        binding = dict(zip(letters, several, strict=True))
        agrees = all(binding.get(letter, source) == source for letter, source in bound.items())
        if agrees and not taken & set(several):
            yield binding


def _filled(template: str, binding: Mapping[str, str]) -> str:
    for letter, source in binding.items():
        template = template.replace(f"{{{letter}}}", source)
    return template


def _refuse_unknown(what: str, names: Collection[str], known: Collection[str], why: str) -> None:
    for name in names:
        if name not in known:
            close = nearest(name, known)
            meant = f" (perhaps you meant {close})" if close else ""
            raise UsageError(f"{what} {name}{meant}, {why} {', '.join(sorted(known)) or 'none'}")


def chosen(arms: Mapping[str, Arm], names: Sequence[str]) -> dict[str, Arm]:
    """Return the arms of these names, in their own order; without names all of them.

    Raises:
        UsageError: there is no arm of a name.
    """
    refuse_unknown_arms(names, arms)
    return {name: arm for name, arm in arms.items() if not names or name in names}


def refuse_unknown_arms(names: Sequence[str], arms: Collection[str]) -> None:
    """Refuse names that no arm has; the names of arms may have templates, for which any text may stand.

    Raises:
        UsageError: there is no arm of a name.
    """
    for name in names:
        if not any(fits(arm, name) for arm in arms):
            close = nearest(name, arms)
            meant = f"perhaps you meant {close!r}; " if close else ""
            raise UsageError(f"there is no arm {name!r}; {meant}there are: {', '.join(arms) or 'none'}")


def fits(template: str, name: str) -> bool:
    """Say whether a name is a template with any text in the place of ``{i}`` and ``{j}``, or the template itself."""
    return re.fullmatch(re.sub(r"\\\{[ij]\\\}", ".+", re.escape(template)), name) is not None


def with_fixed(arms: Mapping[str, Arm], fixed: Mapping[str, Any]) -> tuple[dict[str, Arm], tuple[str, ...]]:
    """Return the arms of a study that fixes some hyperparameters, and the names of those that it leaves out.

    An arm is left out if it sets one of them to another value, or if it has become the same as an earlier arm.
    """
    found: dict[str, Arm] = {}
    left_out = []
    for name, arm in arms.items():
        changed = Arm({**arm.settings, **fixed}, tuple(n for n in arm.searched if n not in fixed))
        contradicts = any(arm.settings.get(n, value) != value for n, value in fixed.items())
        if contradicts or (fixed and changed in found.values()):
            left_out.append(name)
        else:
            found[name] = changed
    return found, tuple(left_out)


def of_settings(arms: Mapping[str, Arm], settings: Mapping[str, Any]) -> str | None:
    """Return the name of the arm that has these settings; None if there is none.

    An arm has them if they agree with all settings that the arm fixes. Of several such arms, the one that fixes most is
    returned, and of equal ones the first.
    """
    fitting = [n for n, arm in arms.items() if all(n in settings and settings[n] == v for n, v in arm.settings.items())]
    return max(fitting, key=lambda name: len(arms[name].settings), default=None)


def hyperparameters(arm: Arm, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all hyperparameters that a trial of an arm is given: those that it searches, then those that it sets."""
    return {name: values[name] for name in arm.searched if name in values} | dict(arm.settings)


def plain(arms: Mapping[str, Arm]) -> dict[str, Any]:
    """Return arms as JSON values."""
    return {name: {"settings": dict(arm.settings), "searched": list(arm.searched)} for name, arm in arms.items()}


def restored(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Arm]:
    """Return the arms that ``plain`` described."""
    return {name: Arm(dict(value["settings"]), tuple(value["searched"])) for name, value in values.items()}


def without_trials(names: Sequence[str], trials: int) -> str:
    """Return a sentence about the arms that a search of so many trials does not reach; empty where it reaches all."""
    if not names:
        return ""
    arms = "The arm" if len(names) == 1 else "The arms"
    return f"{arms} {', '.join(names)} would get no trial of {trials}: give --trials {trials + len(names)} or more."
