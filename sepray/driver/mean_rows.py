"""Rows of the final table that are in no pair: means over the champion's retrainings, and over published settings'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..spec.published_settings import own_epochs, row_title
from ..spec.study import StudySpec
from .champion import Champion
from .finished_trials import Finished
from .pairs import Compared


@dataclass(frozen=True)
class MeanRow:
    """A row of the final table.

    Attributes:
        title: its name, without the number of seeds.
        members: its trainings, on the seeds of the retrainings.
        label: name of the published settings that it is of; empty for the champion's.
    """

    title: str
    members: Sequence[Finished]
    label: str = ""


def rows(
    spec: StudySpec,
    finals: Iterable[Finished],
    champion: Champion,
    systems: Compared,
    references: Mapping[str, str],
) -> list[MeanRow]:
    """Return the rows of a study: the champion's where it is in no pair, and then the published settings'.

    Args:
        spec: description of the study.
        finals: finished retrainings.
        champion: settings and training that were chosen on validation.
        systems: retrainings that are compared in pairs, which have rows of their own.
        references: name of published settings -> role of the retrainings that have them; where it is empty, no
            published settings were trained again, and the study has no rows of means either.
    """
    if not references:
        return []
    by_role: dict[str, list[Finished]] = {}
    for trial in finals:
        by_role.setdefault(str(trial.attributes.get("role")), []).append(trial)
    there = {t.number for system in (*systems.systems, *systems.best) for t in system.members.values()}
    own = by_role.get(champion.role, [])
    found = [MeanRow(champion.role, own)] if len(own) > 1 and champion.member.number not in there else []
    budget = spec.budget
    for label, role in references.items():
        epochs = own_epochs(label, budget.reference_budget, spec.reference_epochs) or budget.max_epochs
        title = row_title(label, epochs, spec.reference_epochs.get(label))
        found += [MeanRow(title, by_role[role], label)] if role in by_role else []
    return found
