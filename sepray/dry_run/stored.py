"""Reads from the stores how far a study is, and refuses a study that a run would refuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial

from ..driver import finished_trials, retraining_plan
from ..driver.prepared import PreparedStudy
from ..driver.stage import ENDED
from ..errors import UsageError
from ..search.arm_trials import arms_without_trials
from ..search.ledger import Ledger
from ..search.samplers import make_sampler
from ..search.searcher import StudySearcher
from ..search.storage import Study, load_study, open_study
from ..spec import folder
from ..spec.study import StudySpec


@dataclass(frozen=True)
class StudyProgress:
    """Progress of a study: its trials and retrainings that have ended, and those that are left.

    Attributes:
        found: whether the storage has it.
        asked: number of trials that its last start asked for; 0 for a new study.
        ended: number of trials of its search that have ended, with or without success.
        left: number of trials of its search that are still to be run or finished.
        points_left: names of the reference points that are still to be run or finished.
        retrained: number of its retrainings that have ended, with or without success.
        retrainings_left: number of retrainings that are still to be run; the largest possible number while the search
            is not done.
        retrainings: number of all retrainings; the largest possible number while the search is not done.
        arms_without_trials: names of the arms that no trial is left for, because the study has more arms than trials.
    """

    found: bool
    asked: int
    ended: int
    left: int
    points_left: tuple[str, ...]
    retrained: int
    retrainings_left: int
    retrainings: int
    arms_without_trials: tuple[str, ...] = ()

    @property
    def trials(self) -> int:
        """Number of trials that the search has in the end."""
        return self.ended + self.left


def attributes_of(spec: StudySpec) -> dict[str, Any]:
    """Return the user attributes of a study's search in its storage; empty where there is none."""
    with contextlib.suppress(UsageError):
        return dict(load_study(spec.stores.storage, spec.name).user_attrs)
    return {}


def progress(prepared: PreparedStudy) -> StudyProgress:
    """Return how far a study is, from its Optuna storage.

    Raises:
        FingerprintMismatchError: the storage holds another study of this name.
        RunningError: another process on this machine runs the study.
        StorageError: the storage cannot be opened.
        UsageError: the sampler or the scheduler cannot be made, or a reference point is outside the search space.
    """
    spec = prepared.spec
    stored: optuna.Study | None = None
    with contextlib.suppress(UsageError):  # there is none
        stored = load_study(spec.stores.storage, spec.name)
    if stored is not None:
        stored = _open(prepared, spec.stores.storage)
        _refuse_running(prepared, folder.checked_uid(stored.user_attrs["uid"]) if "uid" in stored.user_attrs else "")
    # Counted in a copy in memory, because counting enqueues what is missing.
    copy = _open(prepared, InMemoryStorage())
    _refuse_points_outside(prepared, copy)
    copy.add_trials(stored.get_trials(deepcopy=False) if stored is not None else ())
    points = prepared.reference_points
    ledger = Ledger(
        copy, prepared.space, spec.budget.trials, spec.seed, points, None, folder.TRIAL_FOLDER, prepared.arms
    )
    ledger.count()
    trials = copy.get_trials(deepcopy=False)
    ended = [trial for trial in trials if trial.state in ENDED]
    labelled = {trial.user_attrs.get("label") for trial in trials if trial.state not in ENDED}
    left = ledger.remaining
    retrained = _ended_retrainings(prepared) if stored is not None else []
    total, missing = _retrainings(prepared, ended, left, retrained)
    return StudyProgress(
        found=stored is not None,
        asked=int(stored.user_attrs.get("spec", {}).get("trials", 0)) if stored is not None else 0,
        ended=len(ended),
        left=left,
        points_left=tuple(name for name in points if name in labelled),
        retrained=len(retrained),
        retrainings_left=missing,
        retrainings=total,
        arms_without_trials=arms_without_trials(prepared.arms, trials, left - (len(trials) - len(ended))),
    )


def _open(prepared: PreparedStudy, storage: str | InMemoryStorage) -> Study:
    """Open the study as a run does, so that the same studies are refused."""
    spec = prepared.spec

    def sampler(existing: int) -> BaseSampler:
        arms = bool(prepared.arms)
        return make_sampler(spec.search.sampler, spec.seed, prepared.space, existing=existing, arms=arms)

    directions = [objective.direction for objective in prepared.objectives]
    return open_study(storage, spec.name, directions, prepared.fingerprint, sampler)


def _refuse_points_outside(prepared: PreparedStudy, empty: Study) -> None:
    """Make a searcher without trials, because that refuses reference points outside the search space."""
    keys = [objective.key for objective in prepared.objectives]
    points = prepared.reference_points
    seed, arms = prepared.spec.seed, prepared.arms
    StudySearcher(empty, prepared.space, keys, 0, seed, reference_points=points, fixed=(), arms=arms).close()


def _refuse_running(prepared: PreparedStudy, uid: str) -> None:
    stores, name = prepared.spec.stores, prepared.spec.name
    local_folder = folder.local_root(stores.storage_path) / name / uid
    if uid and (local_folder / "lock").exists():  # nothing is made
        folder.lock(local_folder, name).close()


def _ended_retrainings(prepared: PreparedStudy) -> list[FrozenTrial]:
    with contextlib.suppress(UsageError):
        study = load_study(prepared.spec.stores.storage, f"{prepared.spec.name}/finals")
        return study.get_trials(deepcopy=False, states=ENDED)
    return []


def _retrainings(
    prepared: PreparedStudy, searched: Iterable[FrozenTrial], left: int, retrained: list[FrozenTrial]
) -> tuple[int, int]:
    """Return the number of all retrainings and of those that are left.

    While the search is not done, these are the largest numbers that are possible.
    """
    if left:
        most = retraining_plan.most_retrainings(prepared)
        return most, most
    searched = list(searched)
    finished = finished_trials.finished(searched, finished_trials.rule_of(prepared, searched), lambda number: "")
    points = {retraining.fixed().point for retraining in retraining_plan.plan(prepared, finished)}
    missing = points - {trial.user_attrs.get("point") for trial in retrained}
    return len(points), len(missing)
