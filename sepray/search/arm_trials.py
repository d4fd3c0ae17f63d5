"""The trials of a study with arms: choice of the next arm, and the parameters of an arm's trial."""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ..arms import ARM, Arm, of_settings
from .outcomes import standing
from .storage import Study


class WithinArms(BaseSampler):
    """Proposes for each trial only the parameters that its arm searches; the arm was decided before (``fixed_params``).

    The sampler sees each value as its rank among the values of its arm. So an arm that is worse than others is searched
    as well as they are, and good values of settings that several arms have are learned from all of these.

    Args:
        sampler: sampler that proposes.
        arms: arms by name.
    """

    def __init__(self, sampler: BaseSampler, arms: Mapping[str, Arm]) -> None:
        self.sampler, self._arms = sampler, arms
        self._ranked: tuple[int, _RankedStudy] | None = None  # for the trial of this number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are proposed together, without the arm and without inactive parameters."""
        arm = self._arms.get(arm_of(trial))
        space = self.sampler.infer_relative_search_space(study, trial)
        return {name: value for name, value in space.items() if arm is not None and name in arm.searched}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values of parameters that are proposed together."""
        return self.sampler.sample_relative(self._seen(study, trial), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value of any other parameter."""
        return self.sampler.sample_independent(self._seen(study, trial), trial, param_name, param_distribution)

    def _seen(self, study: optuna.Study, trial: FrozenTrial) -> _RankedStudy:
        """Return the study as the sampler sees it, which ranks its trials once for all parameters of a trial."""
        if self._ranked is None or self._ranked[0] != trial.number:
            self._ranked = trial.number, _RankedStudy(study)
        return self._ranked[1]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the sampler of a trial that is about to start."""
        self.sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler of a trial that has ended."""
        self.sampler.after_trial(study, trial, state, values)


class _RankedStudy(Study):
    """A study whose trials have ranks within their arm for values; it shares everything else with the study itself."""

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(study.__dict__)
        self._trials = ranked(study._get_trials(deepcopy=False, use_cache=True))

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def ranked(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return copies of trials with the rank of each value within its arm, from 0 to 1, in place of the value.

    The value of a complete trial is ranked among those of the arm's complete trials, and an intermediate value among
    the arm's values at the same epoch. Values that are not finite stay.
    """
    groups: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for trial in trials:
        for group, value in _values(trial):
            groups[group].append(value)
    for values in groups.values():
        values.sort()

    def rank(group: tuple[str, str, int], value: float) -> float:
        values = groups[group]
        return (bisect_left(values, value) + 0.5) / len(values) if math.isfinite(value) else value

    found = []
    for trial in trials:
        copied, arm = copy.copy(trial), arm_of(trial)
        steps = trial.intermediate_values.items()
        copied.intermediate_values = {step: rank((arm, "epoch", step), value) for step, value in steps}
        if trial.state is TrialState.COMPLETE:
            copied.values = [rank((arm, "end", index), value) for index, value in enumerate(trial.values)]
        found.append(copied)
    return found


def _values(trial: FrozenTrial) -> Iterator[tuple[tuple[str, str, int], float]]:
    """Yield the finite values of a trial, each with the group in which it is ranked: arm, kind, and epoch or objective.

    Optuna gives a trial that was stopped early its last intermediate value, which no end is compared with.
    """
    arm = arm_of(trial)
    ends = trial.values if trial.state is TrialState.COMPLETE else ()
    kinds = {"epoch": trial.intermediate_values.items(), "end": enumerate(ends)}
    for kind, pairs in kinds.items():
        yield from (((arm, kind, index), value) for index, value in pairs if math.isfinite(value))


def arm_of(trial: FrozenTrial) -> str:
    """Return the arm of a trial that has started, or that waits with its arm decided; empty if it has none."""
    return str(trial.params.get(ARM) or trial.system_attrs.get("fixed_params", {}).get(ARM, ""))


def next_arm(arms: Mapping[str, Arm], trials: Iterable[FrozenTrial]) -> str:
    """Return the arm with the fewest trials, of several the first; an arm that searches nothing gets a single trial.

    A trial that was run again counts once.
    """
    counts = Counter(map(arm_of, standing(trials)))
    going_on = [name for name, arm in arms.items() if arm.searched or not counts[name]]
    return min(going_on or arms, key=lambda name: counts[name])


def arms_without_trials(
    arms: Mapping[str, Arm], trials: Iterable[FrozenTrial], new: int, points: Iterable[Mapping[str, Any]] = ()
) -> tuple[str, ...]:
    """Return the arms that have no trial, not even after ``new`` further ones.

    Args:
        arms: arms by name.
        trials: trials that there are, in any state.
        new: number of further trials. Each is one of ``points``, and after these one of ``next_arm``.
        points: settings of reference points that have no trial yet, in order.
    """
    first = [of_settings(arms, point) for point in points][:new]
    tried = {*map(arm_of, trials), *first}
    return tuple(name for name in arms if name not in tried)[new - len(first) :]


def parameters(arms: Mapping[str, Arm], hyperparameters: Mapping[str, Any], arm: str | None = None) -> dict[str, Any]:
    """Return the Optuna parameters of a trial with these hyperparameters.

    Args:
        arms: arms by name; empty for a study without.
        hyperparameters: all hyperparameters that the trial is given.
        arm: arm of the trial, empty for a retraining that belongs to none; None: the one that has these settings.

    Returns:
        the arm, and what it searches; nothing if there is no arm.
    """
    if not arms:
        return dict(hyperparameters)
    name = of_settings(arms, hyperparameters) if arm is None else arm
    if not name:
        return {}
    return {ARM: name} | {k: v for k, v in hyperparameters.items() if k in arms[name].searched}


def dimensions(
    arms: Mapping[str, Arm], space: Mapping[str, BaseDistribution], trial: FrozenTrial
) -> Mapping[str, BaseDistribution]:
    """Return the distributions of a trial's parameters: the arm and those that it searches; without arms the space."""
    if not arms:
        return space
    name = arm_of(trial)
    if not name:  # a retraining that belongs to no arm
        return {}
    searched = {k: d for k, d in space.items() if k in arms[name].searched}
    return {ARM: CategoricalDistribution(list(arms)), **searched}
