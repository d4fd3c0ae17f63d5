"""Trains a trial of a study again, outside the study, and compares the two curves epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from optuna.trial import FrozenTrial

from ..choices import guide_loss
from ..console.shell_commands import from_this_shell
from ..driver import code, final_scores, runs
from ..driver.prepared import PreparedStudy, prepare
from ..driver.saved_study import SavedStudy
from ..driver.stage import WARM_START, trial_parameters
from ..errors import UsageError
from ..execution.conditions import conditions, differences, set_deterministic
from ..execution.devices import require_here
from ..execution.items import tensors
from ..execution.members import Members
from ..execution.trainable import TrialContext
from ..loading import load_task
from ..tracking import models


@dataclass(frozen=True)
class Epoch:
    """The value of an epoch in the first and in the second training.

    Attributes:
        number: number of the epoch, from 1.
        recorded: value in the Optuna storage: the objective, or ``choices.guide_loss`` of several.
        repeated: value in the second training.
    """

    number: int
    recorded: float
    repeated: float

    @property
    def identical(self) -> bool:
        """Say whether both values are equal to the last bit."""
        return self.recorded == self.repeated


@dataclass(frozen=True)
class Reproduction:
    """A trial that was trained again.

    Attributes:
        trial: name of the trial, e.g. ``trial 19`` or ``final 3``.
        epochs: the epochs that were compared, in order.
        changes: differences to the first training: ``name: then -> now``, and modules that have changed; those of a
            worker that went on with the training have the epoch.
        conditions_known: whether the trial has its conditions of training; trials of older versions do not.
    """

    trial: str
    epochs: tuple[Epoch, ...]
    changes: tuple[str, ...]
    conditions_known: bool

    @property
    def identical(self) -> bool:
        """Say whether every epoch is equal to the last bit."""
        return all(epoch.identical for epoch in self.epochs)

    @property
    def sentence(self) -> str:
        """The result in words."""
        count = f"{len(self.epochs)} epochs" if len(self.epochs) > 1 else "1 epoch"
        if self.identical:
            return f"{self.trial}: identical over {count}"
        first = next(epoch for epoch in self.epochs if not epoch.identical)
        last = self.epochs[-1]
        gap = abs(last.repeated - last.recorded)
        where = f"{self.trial}: departs at epoch {first.number} by {abs(first.repeated - first.recorded):.2g}"
        return where + (f", and by {gap:.2g} at epoch {last.number}" if last is not first else "")

    @property
    def explanation(self) -> str:
        """Possible reasons for a difference between the trainings, in words; empty if they are identical."""
        if self.identical:
            return ""
        if self.changes:
            return "What differs: " + "; ".join(self.changes)
        if not self.conditions_known:
            return "The trial was trained by an older version, which did not store the machine and the versions."
        return (
            "The machine, the versions, the code and the data are those of the first training: the separator or the "
            "task draws random numbers of its own, or runs operations that are not deterministic."
        )


def reproduce(
    found: SavedStudy,
    cache: str | Path,
    stage: str,
    number: int,
    epochs: int | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Reproduction:
    """Train a trial again in this process and compare it with the study's stored values. The study is not changed.

    Args:
        found: the study, from its stores.
        cache: folder or URI for generated and decoded data.
        stage: ``"search"`` or ``"finals"``.
        number: number of the trial in its stage.
        epochs: number of epochs to compare; None for all that the trial has reported.
        on_epoch: called with each epoch as soon as it is compared.

    Raises:
        UsageError: there is no such trial, it has reported no epoch, its settings changed while it was trained (PBT),
            its data cannot be loaded, or this machine lacks the device that it was trained on.
        training.finite.NonFiniteLossError: the loss is not finite, in an epoch in which it was finite before.
    """
    trained = repetition(found, cache, stage, number)
    compared = []
    stored = sorted(trained.trial.intermediate_values.items())[:epochs]
    for epoch, value in stored:
        compared.append(Epoch(epoch, value, _value(trained.context, trained.epoch())))
        on_epoch(compared[-1])
    attributes = trained.trial.user_attrs
    then: Mapping[str, str] = attributes.get("conditions", {})
    now = conditions(trained.context.threads, trained.context.device) | dict(trained.context.origin)
    changes = _changes(then, now, trained.prepared, found)
    for epoch, _ in stored[1:]:
        # The trial has lost its worker, or its study was interrupted, and it went on from a checkpoint.
        later = _changes(attributes.get(f"conditions.{epoch}", {}), now, trained.prepared, found)
        changes += [f"{line} (from epoch {epoch} on)" for line in later if line not in changes]
    return Reproduction(trained.name, tuple(compared), tuple(changes), bool(then))


@dataclass(frozen=True)
class Repetition:
    """A trial that is trained again in this process, as its worker trained it.

    Attributes:
        name: name of the trial as messages show it.
        trial: the trial as the study's storage has it.
        prepared: the trial's study.
        context: settings and data that the trial shares with the study's other trials.
        members: its separators, untrained at first.
        validation: the validation split.
    """

    name: str
    trial: FrozenTrial
    prepared: PreparedStudy
    context: TrialContext
    members: Members
    validation: Mapping[str, torch.Tensor]

    def epoch(self) -> dict[str, float]:
        """Train one epoch, and return the result that the trial reports."""
        return self.members.epoch(self.validation, self.context.evaluation_batch)


def repetition(found: SavedStudy, cache: str | Path, stage: str, number: int) -> Repetition:
    """Return the repetition of a trial before its first epoch.

    Sets the number of threads and the determinism of this process to those of the trial.

    Args:
        found: the study, from its stores.
        cache: folder or URI for generated and decoded data.
        stage: ``"search"`` or ``"finals"``.
        number: number of the trial in its stage.

    Raises:
        UsageError: there is no such trial, it has reported no epoch, its settings changed while it was trained (PBT),
            its data cannot be loaded, or this machine lacks the device that it was trained on.
    """
    trials = found.trials(stage)
    name = f"{runs.STAGES[stage]} {number}"
    if not 0 <= number < len(trials):
        raise UsageError(f"{found.name} has no {name}; it has {len(trials)}, counted from 0")
    trial = trials[number]
    if not trial.intermediate_values:
        raise UsageError(f"{name} has reported no epoch that could be compared")
    if "perturbations" in trial.user_attrs:
        raise UsageError(f"{name} was given the weights of other trials by pbt, so it cannot be trained by itself")
    spec = found.spec(cache, with_space=False)
    require_here(spec.resources.trial_device, f"repeating {name}")
    prepared = prepare(spec, load_task(spec.task, cache))
    return Repetition(name, trial, prepared, *_trained_as(stage, prepared, found, trial))


def champion(found: SavedStudy) -> tuple[str, int]:
    """Return stage and number of the training that gave a study's model its weights.

    Raises:
        UsageError: the study has no champion.
    """
    result = final_scores.load_result(found.folder)
    if result is None:
        raise UsageError(f"{found.name} has no champion; name a trial: --trial 0")
    return "finals", int(result["member"])


@dataclass(frozen=True)
class Origin:
    """The training that gave a packaged model its weights.

    Attributes:
        model: address of the model.
        study: name of the study.
        trial: label of the training, ``final-3``.
        seed: its random seed.
        hyperparameters: its settings.
        storage: Optuna storage of the study as it was when the model was packaged, without a password.
    """

    model: str
    study: str
    trial: str
    seed: int
    hyperparameters: Mapping[str, Any]
    storage: str

    @property
    def number(self) -> int:
        """Number of the training among the study's retrainings."""
        return int(self.trial.rpartition("-")[2])


def origin(model: str, tracking_uri: str | None) -> Origin:
    """Return the training that gave a model its weights.

    Args:
        model: address of the model, or a folder with it.
        tracking_uri: MLflow tracking server or database.

    Raises:
        UsageError: there is no such model, or its metadata do not name its training.
        UnreachableError: the server does not answer.
    """
    told = models.describe(model, tracking_uri)
    if "study" not in told:
        raise UsageError(f"{model} was not made by a study, so there is no training to repeat")
    study = str(told["study"])
    command = from_this_shell(f"sepray reproduce {study}")
    if "trial" not in told:
        raise UsageError(
            f"{model} does not name its training, because an older version packaged it; name the training yourself: "
            f"{command} (its champion), or {command} --trial final-0"
        )
    return Origin(model, study, told["trial"], told["seed"], told["hyperparameters"], told["storage"])


def require_same(found: SavedStudy, model: Origin) -> None:
    """Refuse a study whose training of that label is not the model's: another study may have the same name.

    Raises:
        UsageError: the study has no such training, or one with another seed or other settings.
    """
    trials = found.trials("finals")
    trial = trials[model.number] if model.number < len(trials) else None
    same = trial is not None and trial.user_attrs.get("seed") == model.seed
    if trial is None or not same or runs.settings(trial) != dict(model.hyperparameters):
        raise UsageError(
            f"{model.trial} of the study {model.study} here is not the training of {model.model}: this is another "
            f"study of that name; the model's study was in {model.storage}"
        )


def _trained_as(
    stage: str, prepared: PreparedStudy, found: SavedStudy, trial: FrozenTrial
) -> tuple[TrialContext, Members, dict[str, torch.Tensor]]:
    """Return the context, the untrained members and the validation split of a trial, as its worker had them."""
    count = prepared.spec.budget.seeds_per_trial if stage == "search" else 1
    seed = trial.user_attrs["seed"]
    has_own_warm_start = WARM_START in trial.user_attrs.get("conditions", {})
    seeds = [seed] if has_own_warm_start else []
    parameters: dict[str, Any] = trial_parameters(stage, count, prepared, found.checkpoints, seeds)
    train = parameters["train"] | ({"start": parameters["warm_starts"][seed][0]} if has_own_warm_start else {})
    context: TrialContext = parameters["context"]
    torch.set_num_threads(context.threads)
    set_deterministic(context.deterministic)
    members = Members(
        context.separator,
        context.signal,
        seed=seed,
        count=context.members,
        train=tensors(train, context.device),
        hyperparameters=runs.settings(trial),
        device=context.device,
        augmentation=context.augmentation,
        weights=parameters.get("weights"),
    )
    validation = tensors(parameters["validation"], context.device, copied=True)
    return context, members, validation


def _value(context: TrialContext, means: Mapping[str, float]) -> float:
    """Return the intermediate value of an epoch, computed as the searcher does."""
    objectives = context.objectives
    if len(objectives) == 1:
        return means[objectives[0].key]
    return guide_loss(objectives, means)


def _changes(then: Mapping[str, str], now: Mapping[str, str], prepared: PreparedStudy, found: SavedStudy) -> list[str]:
    """Return the differences to the first training; changed modules are named if the study has their digests."""
    lines = differences(then, now)
    if then.get("algorithms") == "any":
        lines.append("a GPU's sums come in another order every time, unless the study was run with --deterministic")
    if then.get("code") == now["code"] or "code" not in then:
        return lines
    stored = found.studies["search"].user_attrs.get(f"code.{then['code']}")
    if stored is not None:
        modules = ", ".join(code.changed(stored, prepared.code))
        lines = [f"code: {modules}" if line.startswith("code:") else line for line in lines]
    return lines
