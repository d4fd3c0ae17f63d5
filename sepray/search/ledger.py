"""A study's trials in its Optuna storage: what is left to do, and every write of what has been done.

Everything here is blocking storage access, meant for one background thread, and stands being repeated: a write whose
answer was lost, or a driver killed between two writes, leaves nothing half-done that the next count does not mend.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ..identity import digest, plain
from .outcomes import Outcome
from .samplers import capacity
from .storage import Study

# Where Trial.set_constraint puts it; a Trial would draw anew when it is made for a trial that goes on.
_CONSTRAINT = "constraints:collapsed"


@dataclass(frozen=True)
class FixedTrial:
    """A point given with its seed, for a study that no sampler has a say in.

    Attributes:
        label: kept as a user attribute.
        hyperparameters: all of them; those that lie in the space become Optuna parameters too.
        seed: of the trial.
        attributes: further user attributes.
    """

    label: str
    hyperparameters: Mapping[str, Any]
    seed: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """Digest of what is trained, which is neither the label nor the further attributes."""
        return digest({"hyperparameters": self.hyperparameters, "seed": self.seed})


@dataclass
class AskedTrial:
    """A trial that is about to start or to go on.

    Attributes:
        number: in the study.
        seed: of the trial.
        folder: name of its checkpoint folder.
        hyperparameters: as they are trained.
        label: of a reference point or fixed trial; it then runs its whole budget.
        resumed: an earlier driver had asked for it.
        recorded: epochs that have an intermediate value.
        perturbations: by the scheduler (PBT), in order.
    """

    number: int
    seed: int
    folder: str
    hyperparameters: dict[str, Any]
    label: str | None
    resumed: bool
    recorded: set[int]
    perturbations: list[dict[str, Any]]


class Ledger:
    """The trials of one study.

    User attributes of a trial: ``seed``, ``checkpoint`` (folder), ``label``, ``outcome`` (the fields of ``Outcome``,
    written before the state, so that a driver killed between the two ends the trial at its next start), ``reason``,
    ``traceback``, ``perturbations``, and of a fixed trial ``hyperparameters`` and ``point``.

    Attributes:
        settled: trials whose outcome an earlier driver had written down, and their state not; ``count`` ends them.
    """

    def __init__(
        self,
        study: Study,
        space: Mapping[str, BaseDistribution],
        trials: int,
        seed: int,
        references: Mapping[str, Mapping[str, Any]],
        fixed: Sequence[FixedTrial] | None,
        folder: str,
    ) -> None:
        """Take the study as it is to be in the end; reads and writes nothing yet. Arguments as of StudySearcher."""
        self._study, self._space, self._trials, self._seed, self._folder = study, dict(space), trials, seed, folder
        self._references = {} if fixed is not None else dict(references)
        self._fixed = None if fixed is None else {trial.point: trial for trial in fixed}
        self._given: set[int] = set()
        self._leftover: deque[FrozenTrial] = deque()
        self._to_ask = 0
        self.settled: list[tuple[AskedTrial, Outcome]] = []

    @property
    def remaining(self) -> int:
        """Number of trials that ``next`` can still give, as of the last ``count`` or ``next``."""
        return len(self._leftover) + (0 if self._study.exhausted else self._to_ask)

    def count(self) -> None:
        """Find out what is left to do, and enqueue what the study must hold."""
        self._enqueue(self._all())
        trials = self._all()
        left = [t for t in trials if t.state == TrialState.RUNNING and t.number not in self._given]
        self._leftover = deque(t for t in left if "outcome" not in t.user_attrs)
        self._to_ask = sum(t.state == TrialState.WAITING for t in trials)
        if self._fixed is None:
            labelled = sum("label" in t.user_attrs for t in trials)
            most = min(self._trials, capacity(self._study.sampler, self._space) + labelled)
            self._to_ask += max(0, int(most) - len(trials))
        for ended in [t for t in left if "outcome" in t.user_attrs]:
            self._settle(ended)

    def next(self) -> AskedTrial:
        """Return the next trial to run: first those left over, then those enqueued, then the sampler's."""
        trial = self._continue(self._leftover[0]) if self._leftover else self._draw()
        self._given.add(trial.number)
        if self._leftover:
            self._leftover.popleft()
        else:
            self._to_ask -= 1
        return trial

    def report(self, number: int, epoch: int, value: float) -> None:
        """Write an intermediate value. ``Trial.report`` refuses several objectives; the storage does not."""
        self._study._storage.set_trial_intermediate_value(self._id(number), epoch, value)

    def finish(self, number: int, outcome: Outcome, traceback: str = "") -> None:
        """Write an outcome: first what was decided, last the state, so that it can be repeated from any point."""
        storage, trial_id = self._study._storage, self._id(number)
        decided = {**dataclasses.asdict(outcome), "state": outcome.state.name}
        try:
            storage.set_trial_user_attr(trial_id, "outcome", plain(decided))
            for key, value in (("reason", outcome.reason), ("traceback", traceback)):
                if value:
                    storage.set_trial_user_attr(trial_id, key, value)
            if outcome.constraint is not None:
                storage.set_trial_system_attr(trial_id, _CONSTRAINT, outcome.constraint)
            self._study.tell(number, outcome.values, state=outcome.state)
        except UpdateFinishedTrialError:
            return  # told by an attempt whose answer was lost

    def annotate(self, number: int, key: str, value: Any) -> None:
        """Write a user attribute of a trial, or once it has ended, of the study, as ``trial-<number>.<key>``."""
        try:
            self._study._storage.set_trial_user_attr(self._id(number), key, value)
        except UpdateFinishedTrialError:
            self._study.set_user_attr(f"trial-{number:05d}.{key}", value)

    def _all(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _id(self, number: int) -> int:
        return self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _enqueue(self, trials: Sequence[FrozenTrial]) -> None:
        if self._fixed is not None:
            self._enqueue_fixed(trials, self._fixed)
            return
        present = {t.user_attrs.get("label") for t in trials}
        missing = [label for label in self._references if label not in present]
        for label in missing[: max(0, self._trials - len(trials))]:
            self._study.enqueue_trial(dict(self._references[label]), user_attrs={"label": label})

    def _enqueue_fixed(self, trials: Sequence[FrozenTrial], fixed: Mapping[str, FixedTrial]) -> None:
        present = {t.user_attrs.get("point") for t in trials}
        for point, trial in fixed.items():
            if point in present:
                continue
            inside = {k: v for k, v in trial.hyperparameters.items() if contains(self._space, k, v)}
            own = {"label": trial.label, "seed": trial.seed, "point": point}
            attributes = {**trial.attributes, **own, "hyperparameters": plain(trial.hyperparameters)}
            self._study.enqueue_trial(inside, user_attrs=attributes)
        dropped = Outcome(TrialState.FAIL, None, "no longer one of the points of this study", "error")
        for left in trials:
            if not left.state.is_finished() and left.user_attrs.get("point") not in fixed:
                self._study._storage.set_trial_state_values(left._trial_id, TrialState.RUNNING)
                self.finish(left.number, dropped)

    def _settle(self, left: FrozenTrial) -> None:
        decided = dict(left.user_attrs["outcome"])
        values = None if decided["values"] is None else tuple(decided["values"])
        outcome = Outcome(**{**decided, "state": TrialState[decided["state"]], "values": values})
        self.finish(left.number, outcome)
        self.settled.append((self._asked(left.number, left.user_attrs, left.params, left), outcome))

    def _draw(self) -> AskedTrial:
        asked = self._study.ask()
        attributes = asked.user_attrs
        for name, distribution in self._dimensions(attributes).items():
            asked._suggest(name, distribution)  # as Study.ask does with fixed_distributions
        return self._asked(asked.number, attributes, asked.params, None)

    def _continue(self, left: FrozenTrial) -> AskedTrial:
        """Take up a trial that was left; one whose driver was killed while it asked is asked to its end."""
        params = left.params
        dimensions = self._dimensions(left.user_attrs)
        if dimensions.keys() - params.keys():
            asked = optuna.Trial(self._study, left._trial_id)
            for name, distribution in dimensions.items():
                asked._suggest(name, distribution)  # gives back those that are there
            params = asked.params
        return self._asked(left.number, left.user_attrs, params, left)

    def _dimensions(self, attributes: Mapping[str, Any]) -> dict[str, BaseDistribution]:
        """Return what Optuna is to record of a trial: the space, or that part of it that has a fixed trial's values."""
        given = attributes.get("hyperparameters")
        if given is None:
            return self._space
        return {k: d for k, d in self._space.items() if k in given and contains(self._space, k, given[k])}

    def _asked(
        self, number: int, attributes: Mapping[str, Any], params: Mapping[str, Any], left: FrozenTrial | None
    ) -> AskedTrial:
        """Return a trial with its seed and folder, which are written down where they are not."""
        seed = int(attributes.get("seed", np.random.SeedSequence([self._seed, number]).generate_state(1)[0]))
        folder = str(attributes.get("checkpoint", self._folder.format(number=number)))
        for key, value in (("seed", seed), ("checkpoint", folder)):
            if key not in attributes:
                self.annotate(number, key, value)
        perturbations = list(attributes.get("perturbations", ()))
        hyperparameters = attributes.get("hyperparameters", params)
        return AskedTrial(
            number=number,
            seed=seed,
            folder=folder,
            hyperparameters=dict(perturbations[-1]["hyperparameters"] if perturbations else hyperparameters),
            label=attributes.get("label"),
            resumed=left is not None,
            recorded=set(left.intermediate_values) if left is not None else set(),
            perturbations=perturbations,
        )


def contains(space: Mapping[str, BaseDistribution], name: str, value: Any) -> bool:
    """Whether ``name`` is a dimension of ``space`` and ``value`` lies in it."""
    try:
        return name in space and space[name]._contains(space[name].to_internal_repr(value))
    except (TypeError, ValueError):
        return False


def history(study: Study) -> list[tuple[int, list[tuple[int, float]]]]:
    """Return (number, [(epoch, objective)]) of every trial that has reported, for ``make_scheduler``.

    The objective is to be minimised, as in a result; values that are not finite are left out.
    """
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    curves = (
        (trial.number, [(e, sign * v) for e, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)])
        for trial in study.get_trials(deepcopy=False)
    )
    return [(number, curve) for number, curve in curves if curve]
