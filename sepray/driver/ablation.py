"""The ablation path between two configurations: where it begins, which settings change, and in which order.

Nothing is trained here: ``walk`` yields the points whose values it needs, and is sent them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arms import ARM, Arm, hyperparameters
from ..errors import UsageError, nearest
from ..scoring.explanation import Change, Values
from ..spec.published_settings import trained_words
from .finished_trials import Finished
from .prepared import PreparedStudy
from .retrainings import finalists

GREEDY = "greedy"
CONTROL = "control"


@dataclass(frozen=True)
class Point:
    """A configuration on a path.

    Attributes:
        name: its name in a sentence.
        hyperparameters: settings that it is trained with.
        arm: arm of the study that it belongs to; empty if there are none.
    """

    name: str
    hyperparameters: Mapping[str, Any]
    arm: str = ""


Path = tuple[Values, list[tuple[Change, Values]]]
"""Values of the first point, and each change with the values after it; lower is better."""


class Ablation:
    """The settings that two configurations differ in, and the configurations between them.

    With arms, the settings are the arm itself and the hyperparameters that both arms search. A change of the arm brings
    what that arm sets and what it alone searches, so no setting is changed where it has no effect. Without arms, every
    hyperparameter is a setting; where a configuration leaves it out, it has the separator's default.

    Args:
        beginning: configuration that the path begins with.
        target: configuration that it leads to.
        arms: arms of the study by name; not used unless each of the two configurations belongs to one.
        defaults: hyperparameters of the separator with their defaults.

    Attributes:
        names: names of the settings that differ, the arm first, then in the order of the arm or the target.
    """

    def __init__(self, beginning: Point, target: Point, arms: Mapping[str, Arm], defaults: Mapping[str, Any]) -> None:
        self.beginning, self.target = beginning, target
        self._arms = arms if beginning.arm in arms and target.arm in arms else {}
        self._defaults = defaults
        if self._arms:
            searched = (self._arms[beginning.arm].searched, self._arms[target.arm].searched)
            shared = [name for name in searched[1] if name in searched[0]]
        else:
            shared = list({**target.hyperparameters, **beginning.hyperparameters})
        self.names: tuple[str, ...] = (ARM,) * bool(self._arms and beginning.arm != target.arm)
        self.names += tuple(name for name in shared if self._value(beginning, name) != self._value(target, name))

    def point(self, changed: Collection[str]) -> Point:
        """Return the configuration with the target's values of these settings, and the beginning's of all others."""
        named = {name: self._value(self.target if name in changed else self.beginning, name) for name in self.names}
        title = f"step {len(changed)}: {list(changed)[-1]}" if changed else "start"
        if not self._arms:
            return Point(title, {**self._filled(self.beginning), **named})
        end = self.target if ARM in changed else self.beginning
        arm = self._arms[end.arm]
        values = {name: named.get(name, self._value(end, name)) for name in arm.searched}
        return Point(title, hyperparameters(arm, values), end.arm)

    def change(self, before: Collection[str], name: str) -> Change:
        """Return the change of a setting, and of others with it, after those that have changed before."""
        old, new = self.point(before), self.point([*before, name])
        if name != ARM:
            return Change(name, self._value(old, name), self._value(new, name), {})
        # What an arm neither sets nor searches is not active in it: it has no value there that a reader should see.
        brought = {
            each: (old.hyperparameters.get(each), value)
            for each, value in new.hyperparameters.items()
            if old.hyperparameters.get(each) != value
        }
        return Change(ARM, old.arm, new.arm, brought)

    def _value(self, point: Point, name: str) -> Any:
        return point.hyperparameters.get(name, self._defaults.get(name))

    def _filled(self, point: Point) -> dict[str, Any]:
        names = {**self.target.hyperparameters, **self.beginning.hyperparameters}
        return {name: self._value(point, name) for name in names}


def origin_names(prepared: PreparedStudy, searched: Iterable[Finished]) -> list[str]:
    """Return the names of the settings that a path can begin with: published settings that ran whole, and the control.

    Args:
        prepared: the study.
        searched: finished trials of the search.
    """
    return [*_published(prepared, searched), *[CONTROL] * bool(prepared.arms or prepared.controls)]


def find_origin(
    wanted: str, prepared: PreparedStudy, searched: Sequence[Finished], champion: Point
) -> tuple[str, Point]:
    """Return the name and the settings with which a path begins.

    Args:
        wanted: name of published settings, or ``control``: the best settings of the control arm, or without arms the
            champion's with the first control's changes. Empty: the published settings that are best on validation, or
            without any the control.
        prepared: the study.
        searched: finished trials of the search.
        champion: the champion's settings.

    Raises:
        UsageError: the study has nothing of the kind.
    """
    name, published = prepared.spec.name, _published(prepared, searched)
    if wanted == CONTROL or (not wanted and not published):
        return CONTROL, _control(prepared, searched, champion)
    if wanted and wanted not in published:
        close = nearest(wanted, published)
        meant = f" (perhaps you meant {close!r})" if close else ""
        there = ", ".join(map(repr, origin_names(prepared, searched))) or "none"
        raise UsageError(f"{name} has no finished published settings {wanted!r}{meant}; a path can begin with: {there}")
    label = wanted or min(published, key=lambda label: published[label].value)
    spec, beginning = prepared.spec, published[label]
    epochs = spec.reference_epochs.get(label, 0)
    less = f" ({trained_words(spec.budget.max_epochs, epochs)})" if epochs > spec.budget.max_epochs else ""
    return label, Point(f"the published settings {label!r}{less}", beginning.hyperparameters, beginning.arm)


def _published(prepared: PreparedStudy, searched: Iterable[Finished]) -> dict[str, Finished]:
    return {t.label: t for t in searched if t.label and t.label not in prepared.spec.first_settings}


def _control(prepared: PreparedStudy, searched: Iterable[Finished], champion: Point) -> Point:
    if prepared.arms:
        arm = next(iter(prepared.arms))
        own = finalists((trial for trial in searched if trial.arm == arm), 1)
        if not own:
            raise UsageError(f"no trial of the control arm {arm!r} has run its whole budget")
        return Point(f"the best settings of {arm!r}", own[0].hyperparameters, arm)
    for name, changes in prepared.controls.items():
        return Point(f"the settings of the control {name!r}", {**champion.hyperparameters, **changes})
    raise UsageError(
        f"{prepared.spec.name} has neither finished published settings nor arms nor controls: there is nothing that "
        "the champion's settings could be compared with"
    )


def walk(ablation: Ablation, names: Sequence[str], greedy: bool) -> Generator[list[Point], Sequence[Values], Path]:
    """Yield the points whose values are needed next, be sent these values in the same order, and return the path.

    Args:
        ablation: what differs; at least one setting.
        names: its settings, in the order in which they change; a greedy path keeps that order among equal changes.
        greedy: whether each step is the best of all changes that are left: the one with the most seeds that have
            finished, and among those the one with the lowest mean.
    """
    if not greedy:
        first, *rest = yield [ablation.point(names[:k]) for k in range(len(names) + 1)]
        return first, [(ablation.change(names[:k], name), rest[k]) for k, name in enumerate(names)]
    left, changed, steps = list(names), list[str](), list[tuple[Change, Values]]()
    beginning: list[Values] = []
    while left:
        tried = [ablation.point([*changed, name]) for name in left]
        found = list((yield tried if beginning else [ablation.point(()), *tried]))
        beginning = beginning or [found.pop(0)]
        best = min(range(len(left)), key=lambda k: (-len(found[k]), _mean(found[k])))
        name = left.pop(best)
        steps.append((ablation.change(changed, name), found[best]))
        changed.append(name)
    return beginning[0], steps


def points(count: int, greedy: bool) -> int:
    """Return the number of configurations of a path of so many steps, both ends included."""
    return 1 + (count * (count + 1) // 2 if greedy else count)


def _mean(values: Values) -> float:
    return sum(values.values()) / len(values) if values else math.inf
