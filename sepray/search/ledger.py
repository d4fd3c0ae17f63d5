"""The trials of a study in its Optuna storage: counts those that are left, hands out trials, writes how they went.

Every method blocks on the storage, so one background thread calls them all. Every write may be repeated: after an
answer that was lost, or a driver killed between two writes, the next ``count`` completes what is half done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .. import fault
from ..arms import ARM, Arm, hyperparameters
from ..identity import digest, plain
from ..secrecy import mask
from .arm_trials import WithinArms, arm_of, dimensions, next_arm, parameters
from .outcomes import Outcome, decide, replaced, standing
from .samplers import capacity
from .storage import Study

# System attribute that optuna.Trial.set_constraint writes. It is written directly, because making an optuna.Trial for a
# trial that exists lets the sampler draw again.
_CONSTRAINT = "constraints:collapsed"
STOPPED = "stopped"


@dataclass(frozen=True)
class FixedTrial:
    """A trial whose hyperparameters and seed are given, for a study without a sampler.

    Attributes:
        label: name of the trial, kept as a user attribute.
        hyperparameters: all that differ from the separator's defaults; those in the search space become Optuna
            parameters too.
        seed: random seed of the trial.
        attributes: further user attributes.
    """

    label: str
    hyperparameters: Mapping[str, Any]
    seed: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """Digest of the arm and of all that decides the training.

        Hyperparameters and seed decide the training, and ``epochs`` and ``code`` where ``attributes`` have them.
        """
        own = {name: self.attributes[name] for name in (ARM, "epochs", "code") if self.attributes.get(name)}
        return digest({"hyperparameters": self.hyperparameters, "seed": self.seed, **own})


@dataclass
class AskedTrial:
    """A trial that is about to start or to go on.

    Attributes:
        number: Optuna number of the trial.
        seed: random seed of the trial.
        folder: name of its checkpoint folder.
        hyperparameters: hyperparameters to train with.
        label: name of a reference point or fixed trial, which is never stopped early; else None.
        resumed: whether an earlier driver has asked Optuna for it.
        stored_epochs: epochs whose intermediate value is in the storage.
        perturbations: changes by the scheduler (PBT), in order.
        arm: arm of the study that it belongs to; empty if there are none.
        epochs: epochs of a fixed trial that has a budget of its own; None: those of the study.
    """

    number: int
    seed: int
    folder: str
    hyperparameters: dict[str, Any]
    label: str | None
    resumed: bool
    stored_epochs: set[int]
    perturbations: list[dict[str, Any]]
    arm: str = ""
    epochs: int | None = None


class Ledger:
    """The trials of one study.

    The arm of a trial is its parameter ``arm``. Its user attributes are:

    - ``seed``, ``label``, ``reason``, ``traceback``, ``perturbations``;
    - ``checkpoint``: name of its folder, for people to read;
    - ``outcome``: the fields of ``Outcome``, written before the state: where a driver is killed between the two, the
      next one ends the trial;
    - ``stopped``: epoch after which a deterministic study stops the trial, written before that epoch's value: where
      both are there and no outcome is, the next driver ends the trial;
    - ``hyperparameters`` of a fixed trial, or of one of an arm: all that it was given, searched (and so Optuna
      parameters) or not;
    - ``point`` of a fixed trial: see ``FixedTrial``;
    - ``retry_of``: number of the trial in whose place it is run.

    Attributes:
        ended_late: trials whose end an earlier driver has decided and not concluded, as of the last ``count``;
            ``finish`` is still to be called for each.
        sampler_for: makes the sampler that proposes the trial of a number; None: the study's own proposes all of them.
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
        arms: Mapping[str, Arm] | None = None,
        retry_failed: bool = False,
        again: Collection[int] = (),
    ) -> None:
        """Keep the arguments, which are those of ``StudySearcher``; nothing is read or written yet."""
        self._study, self._space, self._trials, self._seed, self._folder = study, dict(space), trials, seed, folder
        self._references = {} if fixed is not None else dict(references)
        self._fixed = None if fixed is None else {trial.point: trial for trial in fixed}
        self._handed_out: set[int] = set()  # numbers
        self._unfinished: deque[FrozenTrial] = deque()  # trials of earlier drivers
        self._new_trials = 0  # number of trials that Optuna is still to be asked for
        self._arms = dict(arms or {})
        self._again, self._retry_failed = set(again), retry_failed
        self._retried: set[int] | None = None  # numbers of trials that are run again; None: not looked for yet
        if self._arms and not isinstance(study.sampler, WithinArms):
            study.sampler = WithinArms(study.sampler, self._arms)
        self.ended_late: list[tuple[AskedTrial, Outcome]] = []
        self.sampler_for: Callable[[int], BaseSampler] | None = None

    @property
    def remaining(self) -> int:
        """Number of trials that ``next`` can still return, as of the last ``count`` or ``next``."""
        return len(self._unfinished) + (0 if self._study.exhausted else self._new_trials)

    def count(self) -> None:
        """Count the trials that are left; enqueue missing points or fixed trials, end trials with an outcome."""
        self._enqueue(self._all_trials())
        trials = self._all_trials()
        counted = standing(trials)
        running = [t for t in trials if t.state == TrialState.RUNNING and t.number not in self._handed_out]
        self._unfinished = deque(t for t in running if not _has_ended(t))
        self._new_trials = sum(t.state == TrialState.WAITING for t in trials)
        if self._fixed is None:
            labelled = sum("label" in t.user_attrs for t in counted)
            most = min(self._trials, capacity(self._study.sampler, self._space) + labelled)
            self._new_trials += max(0, int(most) - len(counted))
        self.ended_late = [self._ended_late(t) for t in running if _has_ended(t)]

    def past(self) -> list[tuple[int, int, bool]]:
        """Return number, virtual time, and whether it has ended, of every trial that was asked for, in order."""
        trials = (trial for trial in self._all_trials() if trial.state != TrialState.WAITING)
        return [(t.number, virtual_time(len(t.intermediate_values), t.state), t.state.is_finished()) for t in trials]

    def next(self) -> AskedTrial:
        """Return the next trial to run: first unfinished ones, then enqueued ones, then the sampler's."""
        trial = self._resume(self._unfinished[0]) if self._unfinished else self._ask()
        self._handed_out.add(trial.number)
        if self._unfinished:
            self._unfinished.popleft()
        else:
            self._new_trials -= 1
        return trial

    def report(self, number: int, epoch: int, value: float) -> None:
        """Write an intermediate value, past ``Trial.report``, which refuses studies of several objectives."""
        self._study._storage.set_trial_intermediate_value(self._trial_id(number), epoch, value)

    def write_outcome(self, number: int, outcome: Outcome, traceback: str = "") -> None:
        """Write an outcome as a user attribute: from now on the trial is trained no more, however the driver ends.

        ``conclude`` follows once MLflow, the terminal and whoever clears checkpoints have been told.
        """
        storage, trial_id = self._study._storage, self._trial_id(number)
        outcome, traceback = dataclasses.replace(outcome, reason=mask(outcome.reason)), mask(traceback)
        attribute = {**dataclasses.asdict(outcome), "state": outcome.state.name}
        if not outcome.refused:
            del attribute["refused"]  # older versions do not know it
        try:
            storage.set_trial_user_attr(trial_id, "outcome", plain(attribute))
            for key, value in (("reason", outcome.reason), ("traceback", traceback)):
                if value:
                    storage.set_trial_user_attr(trial_id, key, value)
            if outcome.constraint is not None:
                storage.set_trial_system_attr(trial_id, _CONSTRAINT, outcome.constraint)
        except UpdateFinishedTrialError:
            return  # an attempt whose answer was lost has written it

    def conclude(self, number: int, outcome: Outcome) -> None:
        """Write the state of a trial whose outcome is written; may be repeated."""
        with contextlib.suppress(UpdateFinishedTrialError):  # an attempt whose answer was lost has written it
            self._study.tell(number, outcome.values, state=outcome.state, skip_if_finished=True)

    def finish(self, number: int, outcome: Outcome, traceback: str = "") -> None:
        """Write an outcome and the state; may be repeated from any point, also where the outcome is there in part."""
        self.write_outcome(number, outcome, traceback)
        self.conclude(number, outcome)

    def annotate(self, number: int, key: str, value: Any) -> None:
        """Write a user attribute of a trial; of the study, as ``trial-<number>.<key>``, once the trial has ended."""
        try:
            self._study._storage.set_trial_user_attr(self._trial_id(number), key, value)
        except UpdateFinishedTrialError:
            self._study.set_user_attr(f"trial-{number:05d}.{key}", value)

    def _all_trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial_id(self, number: int) -> int:
        return self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)

    def _enqueue(self, trials: Sequence[FrozenTrial]) -> None:
        if self._fixed is not None:
            self._enqueue_fixed(trials, self._fixed)
            return
        for old in self._to_retry(trials):
            kept = ("label", "seed", "hyperparameters")
            own = {name: old.user_attrs[name] for name in kept if name in old.user_attrs}
            self._study.enqueue_trial(old.params, user_attrs={**own, "retry_of": old.number})
        labels = {t.user_attrs.get("label") for t in trials}
        missing = [label for label in self._references if label not in labels]
        for label in missing[: max(0, self._trials - len(standing(trials)))]:
            self._study.enqueue_trial(parameters(self._arms, self._references[label]), user_attrs={"label": label})

    def _to_retry(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials of earlier drivers that are to run again and that no later trial has replaced."""
        if self._retried is None:
            failed = (t.number for t in trials if self._retry_failed and failed_by_environment(t))
            self._retried = self._again.union(failed)
        left = self._retried - replaced(trials)
        return [t for t in trials if t.number in left]

    def _enqueue_fixed(self, trials: Sequence[FrozenTrial], fixed: Mapping[str, FixedTrial]) -> None:
        retried = {t.user_attrs.get("point"): t.number for t in self._to_retry(trials)}
        points = {t.user_attrs.get("point") for t in trials if t.user_attrs.get("point") not in retried}
        for point, trial in fixed.items():
            if point in points:
                continue
            params = parameters(self._arms, trial.hyperparameters, str(trial.attributes.get(ARM, "")))
            params = {k: v for k, v in params.items() if k == ARM or contains(self._space, k, v)}
            own: dict[str, Any] = {"label": trial.label, "seed": trial.seed, "point": point}
            own |= {"retry_of": retried[point]} if point in retried else {}
            attributes = {**trial.attributes, **own, "hyperparameters": plain(trial.hyperparameters)}
            self._study.enqueue_trial(params, user_attrs=attributes)
        dropped = Outcome(TrialState.FAIL, None, "no longer one of the points of this study", "error")
        for old in trials:
            if not old.state.is_finished() and old.user_attrs.get("point") not in fixed:
                self._study._storage.set_trial_state_values(old._trial_id, TrialState.RUNNING)
                self._study._storage.set_trial_user_attr(old._trial_id, "point", "")  # wanted again, perhaps
                if "seed" not in old.user_attrs or old.state is TrialState.WAITING:
                    self.finish(old.number, dropped)  # no listener has heard of the trial
                elif "outcome" not in old.user_attrs:
                    self.write_outcome(old.number, dropped)  # ``count`` then ends the trial as one that ended late

    def _ended_late(self, trial: FrozenTrial) -> tuple[AskedTrial, Outcome]:
        attribute = dict(trial.user_attrs.get("outcome", {}))
        if attribute:
            values = None if attribute["values"] is None else tuple(attribute["values"])
            outcome = Outcome(**{**attribute, "state": TrialState[attribute["state"]], "values": values})
        else:
            outcome = decide({"epoch": trial.user_attrs[STOPPED]}, False, ())
        return self._asked_trial(trial.number, trial.user_attrs, trial.params, trial), outcome

    def _ask(self) -> AskedTrial:
        if self._arms and self._fixed is None:
            trials = self._all_trials()
            if not any(t.state is TrialState.WAITING for t in trials):
                self._study.enqueue_trial({ARM: next_arm(self._arms, trials)})
        if self.sampler_for is not None:
            trials = self._all_trials()
            self._renew_sampler(min((t.number for t in trials if t.state is TrialState.WAITING), default=len(trials)))
        asked = self._study.ask()
        for name, distribution in self._dimensions(asked._cached_frozen_trial).items():
            asked._suggest(name, distribution)  # as Study.ask does with fixed_distributions
        return self._asked_trial(asked.number, asked.user_attrs, asked.params, None)

    def _renew_sampler(self, number: int) -> None:
        """Give the study the sampler that proposes the trial of this number, if there is one."""
        if self.sampler_for is not None:
            sampler = self.sampler_for(number)
            self._study.sampler = WithinArms(sampler, self._arms) if self._arms else sampler

    def _resume(self, trial: FrozenTrial) -> AskedTrial:
        """Return an unfinished trial, with the parameters that its driver was killed before asking for."""
        params = trial.params
        dimensions = self._dimensions(trial)
        if dimensions.keys() - params.keys():
            self._renew_sampler(trial.number)
            asked = optuna.Trial(self._study, trial._trial_id)
            for name, distribution in dimensions.items():
                asked._suggest(name, distribution)  # returns the stored value where there is one
            params = asked.params
        return self._asked_trial(trial.number, trial.user_attrs, params, trial)

    def _dimensions(self, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return Optuna's parameters of a trial: the whole space, or those that its arm searches, the arm first.

        A fixed trial has only the parameters whose ranges its values lie in.
        """
        space = dimensions(self._arms, self._space, trial)
        if "point" not in trial.user_attrs:
            return dict(space)
        fixed = trial.user_attrs["hyperparameters"]
        return {k: d for k, d in space.items() if k == ARM or (k in fixed and contains(space, k, fixed[k]))}

    def _asked_trial(
        self, number: int, attributes: Mapping[str, Any], params: Mapping[str, Any], unfinished: FrozenTrial | None
    ) -> AskedTrial:
        """Return a trial with its seed and folder, after writing those that are not in the storage yet."""
        seed = int(attributes.get("seed", np.random.SeedSequence([self._seed, number]).generate_state(1)[0]))
        folder = self._folder.format(number=number)  # never the stored one: others may write to the storage
        arm = str(params.get(ARM, ""))
        given = hyperparameters(self._arms[arm], params) if arm else dict(params)
        own = {"hyperparameters": plain(given)} if arm else {}
        for key, value in (("seed", seed), ("checkpoint", folder), *own.items()):
            if key not in attributes:
                self.annotate(number, key, value)
        perturbations = list(attributes.get("perturbations", ()))
        given = attributes.get("hyperparameters", given)
        return AskedTrial(
            number=number,
            seed=seed,
            folder=folder,
            hyperparameters=dict(perturbations[-1]["hyperparameters"] if perturbations else given),
            label=attributes.get("label"),
            resumed=unfinished is not None,
            stored_epochs=set(unfinished.intermediate_values) if unfinished is not None else set(),
            perturbations=perturbations,
            arm=arm,
            epochs=attributes.get("epochs"),
        )


def _has_ended(trial: FrozenTrial) -> bool:
    """Say whether an earlier driver has decided how a running trial ends."""
    stopped, epochs = trial.user_attrs.get(STOPPED), trial.intermediate_values
    return "outcome" in trial.user_attrs or (stopped is not None and stopped == max(epochs, default=0))


def virtual_time(epochs: int, state: TrialState) -> int:
    """Return the time that a trial of so many epochs takes on the virtual clock; a failure takes one epoch more."""
    return epochs + (state == TrialState.FAIL)


def contains(space: Mapping[str, BaseDistribution], name: str, value: Any) -> bool:
    """Return whether ``name`` is a dimension of ``space`` and ``value`` lies in it."""
    try:
        return name in space and space[name]._contains(space[name].to_internal_repr(value))
    except (TypeError, ValueError):
        return False


def failed_by_environment(trial: FrozenTrial) -> bool:
    """Say whether a trial failed by a store or the executor, and not by its own code."""
    attributes = trial.user_attrs
    failed = trial.state is TrialState.FAIL and "outcome" in attributes
    return failed and fault.of_environment(attributes["outcome"], str(attributes.get("traceback", "")))


def settings(trial: FrozenTrial) -> dict[str, Any]:
    """Return the hyperparameters that a trial was trained with; where PBT changed them, the last ones."""
    changes = trial.user_attrs.get("perturbations")
    if changes:
        return dict(changes[-1]["hyperparameters"])
    params = {name: value for name, value in trial.params.items() if name != ARM}
    return dict(trial.user_attrs.get("hyperparameters", params))


def arms_by_number(study: Study) -> dict[int, str]:
    """Return the arm of every trial that has one, by the trial's number."""
    return {trial.number: arm for trial in study.get_trials(deepcopy=False) if (arm := arm_of(trial))}


def history(study: Study) -> list[tuple[int, list[tuple[int, float]]]]:
    """Return number and curve ``[(epoch, objective)]`` of every trial that has reported, for ``make_scheduler``.

    The objective is to be minimised, as in a result; values that are not finite are left out.
    """
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    curves = (
        (trial.number, [(e, sign * v) for e, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)])
        for trial in study.get_trials(deepcopy=False)
    )
    return [(number, curve) for number, curve in curves if curve]
