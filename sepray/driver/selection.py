"""Chooses which trials are trained again after a search, and which of the retrainings becomes the champion.

Only validation results decide; nothing here reads the test split.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from ..arms import ARM, Arm, hyperparameters, of_settings
from ..search.ledger import FixedTrial, replaced
from ..search.outcomes import is_feasible
from ..spec import choosing
from ..spec.choosing import Rule
from . import runs
from .prepared import PreparedStudy

SAME_SETTINGS, BEST_OF_ARM = "same settings", "best of arm"
"""How a retraining of a study with arms is compared: with the other arms at the same settings, or as the arm's best."""


@dataclass(frozen=True)
class Finished:
    """A trial that ran its whole budget, as Optuna has it.

    Attributes:
        number: number of the trial.
        label: name of a reference point or a retraining; None for a trial that the sampler proposed.
        hyperparameters: settings that it was trained with.
        value: the objective on validation, with the sign turned where more is better, so that less is better; with
            several objectives the one value that the study's rule makes of them (``choosing.Rule.loss``).
        folder: folder or URI of its checkpoints.
        attributes: all user attributes of the trial.
        arm: arm of the study that it belongs to; empty where there are none.
        losses: each objective on validation, the sign turned where more is better.
    """

    number: int
    label: str | None
    hyperparameters: Mapping[str, Any]
    value: float
    folder: str
    attributes: Mapping[str, Any]
    arm: str = ""
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Retraining:
    """A training on one of the final seeds.

    Attributes:
        label: name of the training, e.g. ``"trial 3 seed 1"``.
        role: name that all seeds of the same settings share, e.g. ``"trial 3"``.
        hyperparameters: settings to train with.
        seed: random seed of the training.
        arm: arm that it stands for; empty where there are none.
        pairing: ``SAME_SETTINGS`` or ``BEST_OF_ARM``; empty where there are no arms.
        base: number of the trial whose settings it has; None where there are no arms.
        reference: name of the published settings that it is of, which no model is made of; empty for all others.
        epochs: epochs that it is trained for; None: those of the study.
    """

    label: str
    role: str
    hyperparameters: dict[str, Any]
    seed: int
    arm: str = ""
    pairing: str = ""
    base: int | None = None
    reference: str = ""
    epochs: int | None = None

    def fixed(self) -> FixedTrial:
        """Return the trial of the stage of retrainings."""
        compared = {ARM: self.arm, "pairing": self.pairing, "base": self.base} if self.arm else {}
        compared |= {"reference": self.reference} if self.reference else {}
        compared |= {"epochs": self.epochs} if self.epochs else {}
        return FixedTrial(self.label, self.hyperparameters, self.seed, {"role": self.role, **compared})


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


def rule_of(prepared: PreparedStudy, searched: Iterable[FrozenTrial]) -> Rule:
    """Return the rule that turns the objectives of a study's trials into one number.

    Args:
        prepared: the study.
        searched: Optuna's trials of its search, in any state.
    """
    objectives = prepared.objectives
    losses = [[o.sign * v for o, v in zip(objectives, t.values, strict=True)] for t in searched if is_feasible(t)]
    return choosing.rule(prepared.spec.choose, objectives, np.array(losses, dtype=np.float64))


def finished(trials: Iterable[FrozenTrial], rule: Rule, folder_of: Callable[[int], str]) -> list[Finished]:
    """Return the trials that ran their whole budget and violated no constraint, without those that were run again.

    Args:
        trials: Optuna's trials of a stage, in any state.
        rule: what the study makes of the objectives.
        folder_of: function from the number of a trial to the folder or URI of its checkpoints.
    """
    trials = list(trials)
    others = replaced(trials)
    return [
        Finished(
            number=trial.number,
            label=trial.user_attrs.get("label"),
            hyperparameters=runs.settings(trial),
            value=rule.loss(trial.values),
            folder=folder_of(trial.number),
            attributes=trial.user_attrs,
            arm=trial.params.get(ARM, ""),
            losses=rule.losses(trial.values),
        )
        for trial in trials
        if is_feasible(trial) and trial.number not in others
    ]


def finalists(trials: Iterable[Finished], count: int) -> list[Finished]:
    """Return the best ``count`` trials, best first; of trials with the same settings only the best one.

    With several objectives those of the Pareto front come first, in the order of the study's rule.
    """
    best: dict[str, Finished] = {}
    for trial in sorted(trials, key=lambda t: (t.value, t.number)):
        best.setdefault(json.dumps(dict(trial.hyperparameters), sort_keys=True), trial)
    ordered = list(best.values())
    if ordered and len(ordered[0].losses) > 1:
        ranks = choosing.ranks(np.array([trial.losses for trial in ordered]), count)
        ordered = [ordered[k] for k in np.argsort(ranks, kind="stable")]
    return ordered[:count]


def retrainings(
    chosen: Sequence[Finished], controls: Mapping[str, Mapping[str, Any]], seeds: int, study_seed: int
) -> list[Retraining]:
    """Return all retrainings: of every finalist, and of every control at the settings of the best finalist.

    All of them are trained on the same new seeds, none of which the search has used. A control that changes nothing is
    left out.

    Args:
        chosen: the finalists, best first.
        controls: changes to the settings, by name.
        seeds: number of seeds.
        study_seed: seed of the study, which the new seeds are drawn from.
    """
    if not chosen:
        return []
    drawn = new_seeds(seeds, study_seed)
    roles = {f"trial {trial.number}": dict(trial.hyperparameters) for trial in chosen}
    best = chosen[0]
    for name, changes in controls.items():
        settings = {**best.hyperparameters, **changes}
        if settings != dict(best.hyperparameters):
            roles[f"{name} at the settings of trial {best.number}"] = settings
    return [
        Retraining(f"{role} seed {k}", role, settings, seed)
        for role, settings in roles.items()
        for k, seed in enumerate(drawn, 1)
    ]


def arm_retrainings(
    searched: Iterable[Finished], arms: Mapping[str, Arm], seeds: int, study_seed: int
) -> list[Retraining]:
    """Return the retrainings of a study with arms, all on the same new seeds: pairs, and the best of each arm.

    The pairs share one set of settings, of which every arm uses the hyperparameters that it searches. They have the
    values of the best trial; one that this trial does not search has its value in the best trial that searches it. So
    with the same seed, and with it the same initial weights, order of items and batches, two trainings of a pair differ
    in nothing but the arm. An arm whose own best trial has these settings is not trained at them twice. An arm that
    searches a hyperparameter which no finished trial has is left out.

    Args:
        searched: finished trials of the search.
        arms: arms by name.
        seeds: number of seeds.
        study_seed: seed of the study, which the new seeds are drawn from.
    """
    ranked = sorted(searched, key=lambda t: (t.value, t.number))
    if not ranked:
        return []
    best, shared = ranked[0], dict[str, Any]()
    for trial in ranked:
        shared = {**{name: trial.hyperparameters[name] for name in arms[trial.arm].searched}, **shared}
    plan: list[tuple[str, str, str, Finished, dict[str, Any]]] = []
    for name, arm in arms.items():
        own = next((t for t in ranked if t.arm == name), None)
        at_best = {k: shared[k] for k in arm.searched if k in shared}
        if len(at_best) == len(arm.searched):
            same = f"{name} at the settings of trial {best.number}"
            role = f"trial {best.number} (best of {name})" if own is best else same
            plan.append((role, name, SAME_SETTINGS, best, hyperparameters(arm, at_best)))
        if own is not None and dict(own.hyperparameters) != hyperparameters(arm, at_best):
            role = f"trial {own.number} (best of {name})"
            plan.append((role, name, BEST_OF_ARM, own, dict(own.hyperparameters)))
    plan.sort(key=lambda each: each[2] != SAME_SETTINGS)
    return [
        Retraining(f"{role} seed {k}", role, settings, seed, arm_name, pairing, base.number)
        for role, arm_name, pairing, base, settings in plan
        for k, seed in enumerate(new_seeds(seeds, study_seed), 1)
    ]


def plan(prepared: PreparedStudy, searched: Sequence[Finished]) -> list[Retraining]:
    """Return all retrainings of a study whose search is done; with several arms pairs, else the finalists.

    Published settings follow, on the same seeds; where others have these settings already, they are not trained twice.

    Args:
        prepared: the study.
        searched: finished trials of the search.
    """
    own = _plan(prepared, searched)
    return own + reference_retrainings(prepared, own) if own else own


def reference_retrainings(prepared: PreparedStudy, own: Sequence[Retraining]) -> list[Retraining]:
    """Return the retrainings of published settings that are not among the others.

    Args:
        prepared: the study.
        own: all other retrainings.
    """
    seeds = new_seeds(prepared.final_seeds, prepared.spec.seed)
    found = []
    for label, point in prepared.references.items():
        arm, settings = reference_settings(prepared, point)
        epochs = prepared.reference_epochs(label)
        if epochs is None and any(each.hyperparameters == settings and each.arm == arm for each in own):
            continue
        found += [
            Retraining(f"{label} seed {k}", label, settings, seed, arm, reference=label, epochs=epochs)
            for k, seed in enumerate(seeds, 1)
        ]
    return found


def reference_settings(prepared: PreparedStudy, point: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the arm that published settings belong to, empty where there are none, and what they are trained with."""
    arm = of_settings(prepared.arms, {**prepared.separator.hyperparameters(), **point}) if prepared.arms else None
    return (arm, hyperparameters(prepared.arms[arm], point)) if arm else ("", dict(point))


def reference_roles(prepared: PreparedStudy, plan: Sequence[Retraining]) -> dict[str, str]:
    """Return the role of the retrainings that have each of the published settings, by the settings' name."""
    found = {}
    for label, point in prepared.references.items():
        arm, settings = reference_settings(prepared, point)
        same = (r for r in plan if r.reference == label or (r.hyperparameters == settings and r.arm == arm))
        fitting = [r.role for r in same if r.epochs == prepared.reference_epochs(label)]
        if fitting:
            found[label] = fitting[0]
    return found


def may_win(plan: Iterable[Retraining]) -> list[str]:
    """Return the roles that a model may be made of: all but those of published settings alone."""
    return list(dict.fromkeys(each.role for each in plan if not each.reference))


def _plan(prepared: PreparedStudy, searched: Sequence[Finished]) -> list[Retraining]:
    seeds, study_seed = prepared.final_seeds, prepared.spec.seed
    if len(prepared.arms) < 2:
        chosen = finalists(searched, prepared.spec.budget.finalists)
        return retrainings(chosen, prepared.controls, seeds, study_seed)
    with_controls = retrainings(finalists(searched, 1), prepared.controls, seeds, study_seed)
    controls = [each for each in with_controls if " at the settings of " in each.role]
    return arm_retrainings(searched, prepared.arms, seeds, study_seed) + controls


def most_retrainings(prepared: PreparedStudy) -> int:
    """Return the largest number of retrainings that a study can have, for use before its search is done."""
    return len(most_epochs(prepared))


def most_epochs(prepared: PreparedStudy) -> list[int]:
    """Return the epochs of each retraining, in their order, for the largest number that a study can have."""
    budget, arms = prepared.spec.budget, len(prepared.arms)
    # With arms: all of them at the best settings, and all but the best one at their own.
    roles = 2 * arms - 1 if arms > 1 else min(budget.finalists, budget.trials)
    each = [budget.max_epochs] * (roles + len(prepared.controls))
    each += [prepared.reference_epochs(label) or budget.max_epochs for label in prepared.references]
    return [epochs for epochs in each for _ in range(prepared.final_seeds)]


def new_seeds(count: int, study_seed: int) -> list[int]:
    """Return the seeds of all retrainings, which no trial of the search has; more seeds begin with the same ones."""
    return [int(s) for s in np.random.SeedSequence([study_seed, 0x5EED]).generate_state(count)]


def champion(trials: Iterable[Finished], roles: Iterable[str]) -> Champion | None:
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
