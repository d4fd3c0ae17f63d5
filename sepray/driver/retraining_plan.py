"""All retrainings of a study: their plan once the search is done, and before that their largest number."""

from __future__ import annotations

from collections.abc import Sequence

from .finished_trials import Finished
from .prepared import PreparedStudy
from .published_retrainings import reference_retrainings
from .retrainings import Retraining, arm_retrainings, finalist_retrainings, finalists


def plan(prepared: PreparedStudy, searched: Sequence[Finished]) -> list[Retraining]:
    """Return all retrainings of a study whose search is done: with several arms their pairs, else the finalists.

    Published settings follow, on the same seeds; where another retraining has these settings, they are not trained
    twice.

    Args:
        prepared: the study.
        searched: finished trials of the search.
    """
    own = _plan(prepared, searched)
    return own + reference_retrainings(prepared, own) if own else own


def _plan(prepared: PreparedStudy, searched: Sequence[Finished]) -> list[Retraining]:
    seeds, study_seed = prepared.final_seeds, prepared.spec.seed
    if len(prepared.arms) < 2:
        chosen = finalists(searched, prepared.spec.budget.finalists)
        return finalist_retrainings(chosen, prepared.controls, seeds, study_seed)
    with_controls = finalist_retrainings(finalists(searched, 1), prepared.controls, seeds, study_seed)
    controls = [each for each in with_controls if " at the settings of " in each.role]
    return arm_retrainings(searched, prepared.arms, seeds, study_seed) + controls


def most_retrainings(prepared: PreparedStudy) -> int:
    """Return the largest number of retrainings that a study can have, for use before its search is done."""
    return len(most_epochs(prepared))


def most_epochs(prepared: PreparedStudy) -> list[int]:
    """Return the epochs of each retraining, in their order, for the largest number that a study can have."""
    budget, arms = prepared.spec.budget, len(prepared.arms)
    # With arms: all arms at the best settings, and all but the best arm at their own best settings.
    roles = 2 * arms - 1 if arms > 1 else min(budget.finalists, budget.trials)
    each = [budget.max_epochs] * (roles + len(prepared.controls))
    each += [prepared.reference_epochs(label) or budget.max_epochs for label in prepared.references]
    return [epochs for epochs in each for _ in range(prepared.final_seeds)]
