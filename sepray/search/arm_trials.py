"""The trials of a study with arms: which arm is next, and which parameters a trial of an arm has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ..arms import ARM, Arm, of_settings


class WithinArms(BaseSampler):
    """Proposes for each trial only what its arm searches; which arm that is was decided before (``fixed_params``).

    Args:
        sampler: sampler that proposes.
        arms: arms by name.
    """

    def __init__(self, sampler: BaseSampler, arms: Mapping[str, Arm]) -> None:
        self.sampler, self._arms = sampler, arms

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are proposed together, without the arm itself and what is inactive in it."""
        arm = self._arms.get(arm_of(trial))
        space = self.sampler.infer_relative_search_space(study, trial)
        return {name: value for name, value in space.items() if arm is not None and name in arm.searched}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values of parameters that are proposed together."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value of any other parameter."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the sampler of a trial that is about to start."""
        self.sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the sampler of a trial that has ended."""
        self.sampler.after_trial(study, trial, state, values)


def arm_of(trial: FrozenTrial) -> str:
    """Return the arm of a trial that has started, or that waits with its arm decided; empty if it has none."""
    return str(trial.params.get(ARM) or trial.system_attrs.get("fixed_params", {}).get(ARM, ""))


def next_arm(arms: Mapping[str, Arm], trials: Iterable[FrozenTrial]) -> str:
    """Return the arm with the fewest trials, of several the first; an arm that searches nothing gets a single trial."""
    counts = Counter(map(arm_of, trials))
    going_on = [name for name, arm in arms.items() if arm.searched or not counts[name]]
    return min(going_on or arms, key=lambda name: counts[name])


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
    """Return the distributions of a trial's parameters: the arm and what it searches, or without arms the space."""
    if not arms:
        return space
    name = arm_of(trial)
    if not name:  # a retraining that belongs to no arm
        return {}
    searched = {k: d for k, d in space.items() if k in arms[name].searched}
    return {ARM: CategoricalDistribution(list(arms)), **searched}
