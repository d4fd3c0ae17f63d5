"""Says whether a kept result is stale: of another champion, or of other retrainings or measures than the study has.

A result is stale after an extension, for instance, or where a retraining has finished since. Then the test split is
scored again.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..contracts import Signal
from ..spec.study import StudySpec
from . import pairs
from .champion import Champion
from .final_scores import KeptResult
from .mean_rows import MeanRow


def is_stale(
    result: KeptResult,
    spec: StudySpec,
    signal: Signal,
    champion: Champion,
    systems: pairs.Compared,
    rows: Sequence[MeanRow],
) -> bool:
    """Say whether a kept result is of another champion, or has other rows than the final table is to have.

    Args:
        result: what an earlier start has kept.
        spec: description of the study.
        signal: what its task says of the signals.
        champion: settings and training that are chosen now.
        systems: retrainings that are compared in pairs now.
        rows: further rows of means over retrainings.
    """
    is_other = result["member"] != champion.member.number
    return is_other or _lacks_pairs(result, spec, signal, systems) or _lacks_rows(result, rows)


def _lacks_pairs(result: KeptResult, spec: StudySpec, signal: Signal, systems: pairs.Compared) -> bool:
    """Say whether a result lacks retrainings that have finished, or measures that are objectives, or has others.

    A result of an older version may lack all pairs, or the best of each arm.
    """
    finished = {trial.number for system in systems.systems for trial in system.members.values()}
    if "pairs" not in result:
        return False
    if "best_of_arms" in result:
        best = {trial.number for system in systems.best for trial in system.members.values()}
        if set(result["best_of_arms"]) != best:
            return True
    wanted = {objective.measure for objective in spec.objectives(signal)}
    there = pairs.measures(result["pairs"], result["metric"])
    return pairs.numbers(result["pairs"]) != finished or (bool(finished) and not wanted <= there)


def _lacks_rows(result: KeptResult, rows: Sequence[MeanRow]) -> bool:
    """Say whether a result lacks retrainings of published settings that have finished, or has others."""
    there = set(result.get("references", ()))
    return there != {t.number for row in rows if row.label for t in row.members}
