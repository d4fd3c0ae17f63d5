"""Chooses the champion among the retrainings of a study. Only validation decides; nothing here reads the test split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .finished_trials import Finished
from .retrainings import Retraining


@dataclass(frozen=True)
class Champion:
    """The settings that won, and the trained separator that stands for them.

    Attributes:
        role: role of its retrainings.
        value: mean validation value over its seeds, less is better.
        member: the retraining with the best validation value, which is the one that is registered.
    """

    role: str
    value: float
    member: Finished


def choose_champion(trials: Iterable[Finished], roles: Iterable[str]) -> Champion | None:
    """Return the role with the least mean ``Finished.value`` among those with the most finished seeds.

    A mean over fewer seeds, because training on the others failed, is no match for one over all of them.

    Args:
        trials: finished retrainings.
        roles: roles that may win.

    Returns:
        The champion; None if no retraining of these roles has finished.
    """
    members: dict[str, list[Finished]] = defaultdict(list)
    for trial in trials:
        members[trial.attributes.get("role", "")].append(trial)
    found = {role: members[role] for role in set(roles) if role in members}
    if not found:
        return None
    most = max(len(group) for group in found.values())
    means = {role: float(np.mean([t.value for t in group])) for role, group in found.items() if len(group) == most}
    role = min(means, key=lambda name: (means[name], name))
    return Champion(role, means[role], best_member(found[role]))


def best_member(trials: Sequence[Finished]) -> Finished:
    """Return the trial with the best validation value, the earlier one of equals."""
    return min(trials, key=lambda t: (t.value, t.number))


def may_win(plan: Iterable[Retraining]) -> list[str]:
    """Return the roles whose trainings may become the model: all but those of published settings alone."""
    return list(dict.fromkeys(each.role for each in plan if not each.reference))
