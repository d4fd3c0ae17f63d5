"""A study that is ready to run: its description, its task's data, and everything that follows from the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from torch import Tensor

from .. import identity
from ..arms import Arm, chosen, expand, hyperparameters, of_settings, plain, with_fixed
from ..choices import Objective
from ..contracts import Separator, Signal, TaskData
from ..disk import mapping
from ..disk.shared_copies import local_folder
from ..errors import UsageError
from ..loading import build_separator
from ..scoring.beat_scores import with_beats
from ..separator_checks import full_name
from ..spec import choosing, published_settings
from ..spec.named_fields import with_python_numbers
from ..spec.settings import SettingsError
from ..spec.study import StudySpec, key
from ..task_checks import silence
from ..training import views
from . import code, initial_weights, warm_start
from .known_names import refuse_unknown
from .warm_start import WarmStart

Hyperparameters = Mapping[str, Any]
"""Hyperparameter -> value."""

SAMPLES = "samples"
"""Key of the fingerprint that says where unpaired samples are from; studies begun before version 0.3 lack it."""
RETRAINS_REFERENCES = "retrains references"
"""User attribute of a study whose published settings are trained on the seeds of the retrainings."""
FIXED = "fixed settings"
"""Name of the only trial's settings where a study fixes every hyperparameter."""


@dataclass(frozen=True)
class PreparedStudy:
    """A study before its first trial. Templates in names of hyperparameters are replaced by the sources' names.

    Attributes:
        spec: description of the study.
        data: data of its task.
        separator: an untrained separator of the study's configuration, for its supervision and its hyperparameters.
        objectives: values that the search optimises.
        space: search space, hyperparameter -> distribution.
        reference_points: settings that are tried first, by name: those of the study's file, then the published ones
            (with the reference budget ``study``).
        references: published settings that have rows of the final table, by name, and are trained for these.
        left_out: names of published settings, controls and arms that are not tried, because the study fixes a
            hyperparameter that they have at another value, or because no arm has them.
        controls: changes to the best settings, by name.
        arms: alternatives that the study is about, by name, the control first; empty for a study without.
        warm_start: separator whose estimates training begins with; None for separators that need none.
        weights: trained model whose weights every training begins with; None for random ones.
        fingerprint: everything that must be equal for two runs of a command to be the same study.
    """

    spec: StudySpec
    data: TaskData
    separator: Separator
    objectives: tuple[Objective, ...]
    space: Mapping[str, BaseDistribution]
    reference_points: Mapping[str, Hyperparameters]
    references: Mapping[str, Hyperparameters]
    left_out: tuple[str, ...]
    controls: Mapping[str, Hyperparameters]
    arms: Mapping[str, Arm]
    warm_start: WarmStart | None
    weights: initial_weights.InitialWeights | None
    fingerprint: Mapping[str, Any]

    @property
    def signal(self) -> Signal:
        """Signal of the task."""
        return self.data.signal

    @cached_property
    def code(self) -> Mapping[str, str]:
        """Digest of the file of each module that trainings of this study run, by the module's name."""
        return code.files(self.spec.separator)

    @cached_property
    def is_large(self) -> bool:
        """Say whether the items are too large to be copied: trials then map them from files of the cache."""
        train, validation = self.data.train, self.data.validation
        given = (train.mixture, train.sources, train.observed, validation.mixture, validation.sources)
        return mapping.is_large(tensor for tensor in given if tensor is not None)

    @cached_property
    def train(self) -> Mapping[str, Tensor]:
        """Training view by name, ``[item, ...]`` each (``views.view``), the same in all stages; in files if large."""
        split, kind, generator = self.data.train, self.separator, torch.Generator().manual_seed(self.spec.seed)
        if not self.is_large:
            return views.view(split, kind.supervision, generator, kind.paired_fraction)
        files = mapping.scratch(local_folder(self.spec.stores.cache))
        seen = views.view(split, kind.supervision, generator, kind.paired_fraction, files.new)
        return {name: files.kept(tensor) for name, tensor in seen.items()}

    @cached_property
    def validation(self) -> Mapping[str, Tensor]:
        """``mixture``, ``sources`` and perhaps ``beats`` of validation, as in ``Split``; large ones lie in files."""
        split = with_beats(self.data.validation, self.data.signal)
        shown = {"mixture": split.mixture, "sources": split.sources}
        shown |= {"beats": split.beats} if split.beats is not None else {}
        if not self.is_large:
            return shown
        files = mapping.scratch(local_folder(self.spec.stores.cache))
        return {name: files.kept(tensor) for name, tensor in shown.items()}

    def ranges(self, arm: str = "") -> Mapping[str, BaseDistribution]:
        """Return the distributions that a trial of an arm, or of a study without arms, is searched in."""
        if not self.arms:
            return {name: d for name, d in self.space.items() if not d.single()}
        return {name: self.space[name] for name in self.arms[arm].searched} if arm in self.arms else {}

    @property
    def warning(self) -> str:
        """Sentences on oddities of the study; empty if there are none."""
        return " ".join(text for text in (self._fixed_warning, self._samples_warning, silence(self.data)) if text)

    @property
    def _samples_warning(self) -> str:
        """Return a warning if unpaired samples are of the recordings in the mixtures; else an empty text."""
        data, kind = self.data, self.separator
        told = views.sharing(data.train, kind.supervision, data.unit_names, self.spec.seed, kind.paired_fraction)
        return f"{told[0].upper()}{told[1:]}." if told else ""

    @property
    def _fixed_warning(self) -> str:
        if self.spec.fixed_settings and all(distribution.single() for distribution in self.space.values()):
            return (
                "The fixed settings leave nothing to search: they are trained as they are. To try them first and then "
                "search, give --first-settings (first_settings) instead."
            )
        return ""

    @property
    def final_seeds(self) -> int:
        """Number of new seeds of each retraining."""
        return self.spec.budget.seeds(len(self.arms), len(self.objectives))

    def reference_epochs(self, label: str) -> int | None:
        """Return for how many epochs published settings are trained for the table; None: for as many as trials are."""
        own = published_settings.own_epochs(label, self.spec.budget.reference_budget, self.spec.reference_epochs)
        return None if own == self.spec.budget.max_epochs else own

    def as_begun(self, attributes: Mapping[str, Any]) -> PreparedStudy:
        """Return the study without rows for published settings where an older version has begun it without them.

        It ends with the retrainings that it was begun with, unless ``--reference-budget published`` asks for more.

        Args:
            attributes: user attributes of its Optuna study; empty for one that does not exist yet.
        """
        is_older = "uid" in attributes and RETRAINS_REFERENCES not in attributes
        asked = self.spec.budget.reference_budget == published_settings.PUBLISHED
        return replace(self, references={}) if is_older and not asked else self


def prepare(spec: StudySpec, data: TaskData, before: PreparedStudy | None = None) -> PreparedStudy:
    """Return the study, ready to run.

    Args:
        spec: description of the study.
        data: data of its task.
        before: the same study, prepared before its data were there; its models are taken, and not loaded again.

    Raises:
        UsageError: an objective that the task does not have, a rule that does not fit the objectives, or a setting that
            the separator does not have, or that cannot be stored.
        UnreachableError: the registry with the model of --start does not answer.
    """
    refuse_unstorable(spec)
    signal = data.signal
    separator = build_separator(spec.separator, signal)
    fixed = identity.expand(spec.fixed_settings, signal.sources)
    searched = identity.expand(spec.space, signal.sources)
    space = searched | {k: CategoricalDistribution([v]) for k, v in fixed.items()}
    # What a published setting does not name, such as a weight that depends on the sources, has its default.
    defaults = with_python_numbers({k: v for k, v in separator.hyperparameters().items() if k in searched})
    points = {name: identity.expand(point, signal.sources) for name, point in spec.first_settings.items()}
    points |= {n: {**defaults, **identity.expand(p, signal.sources)} for n, p in spec.reference_points.items()}
    controls = {name: identity.expand(changes, signal.sources) for name, changes in spec.controls.items()}
    refuse_unknown(spec, separator.hyperparameters(), signal.sources)
    _refuse_values(fixed, searched)
    arms = expand(spec.arms, signal.sources, searched, separator.hyperparameters())
    arms, other_arms = with_fixed(chosen(arms, spec.search.only_arms), fixed)
    if spec.arms and not arms:
        raise UsageError(
            f"the fixed settings leave none of the study's arms: {', '.join(other_arms)}; settings that shall only be "
            "tried first, before a search, are given by --first-settings (first_settings)"
        )
    left_out = tuple(
        name for name, given in {**points, **controls}.items() if any(given.get(k, v) != v for k, v in fixed.items())
    )
    points = {name: {**point, **fixed} for name, point in points.items() if name not in left_out}
    controls = {name: changes for name, changes in controls.items() if name not in left_out}
    if arms:
        space = {k: v for k, v in searched.items() if any(k in arm.searched for arm in arms.values())}
        given, points = points, _points_of_arms(arms, points, separator.hyperparameters())
        left_out += (*(name for name in given if name not in points), *other_arms)
        if not space:
            points, spec = {}, spec.changed(trials=len(arms))
    elif fixed and all(distribution.single() for distribution in space.values()):
        points = dict(list(points.items())[:1]) or {FIXED: fixed}
        spec = spec.changed(trials=1)
    rows, tried = _references(spec, points, space)
    objectives = spec.objectives(signal)
    choosing.weights_of(spec.choose, objectives)
    if before is not None and before.signal == signal:
        warm, weights = before.warm_start, before.weights
    else:
        warm = warm_start.find(spec.separator, signal, separator.supervision, spec.stores.tracking_uri)
        weights = initial_weights.find(spec.start, separator, spec.stores.tracking_uri)
    fingerprint: dict[str, Any] = {
        "objectives": {objective.key: objective.direction for objective in objectives},
        "max_epochs": spec.budget.max_epochs,
        "seeds_per_trial": spec.budget.seeds_per_trial,
        "search space": space,
        "task": {"name": key(spec.task), "data": data.fingerprint},
        "separator": {"name": key(spec.separator), "config": identity.without_secrets(spec.separator)},
    }
    if weights:
        fingerprint["weights"] = weights.digest
    if signal.template:  # the same data, but networks get a further input
        fingerprint["task"]["template"] = True
    fingerprint |= ({"start": warm.identity} if warm else {}) | ({"arms": plain(arms)} if arms else {})
    if views.divides(data.train, separator.supervision):  # samples were once the mixtures' own sources
        fingerprint[SAMPLES] = "in none of the mixtures"
    return PreparedStudy(
        spec, data, separator, objectives, space, tried, rows, left_out, controls, arms, warm, weights, fingerprint
    )


def refuse_unstorable(spec: StudySpec) -> None:
    """Refuse settings of separator and task that a study cannot store, and so not compare with those of a later start.

    Raises:
        UsageError: a field has a value of such a type; the message names both.
    """
    for config in (spec.separator, spec.task):
        for field in dataclasses.fields(config) if dataclasses.is_dataclass(config) else ():
            try:
                identity.plain(getattr(config, field.name))
            except TypeError as error:
                raise UsageError(
                    f"{full_name(type(config))}.{field.name} must be a value that a study can store (numbers, texts, "
                    f"lists, dicts, paths, dataclasses of these): {error}"
                ) from None


def _references(
    spec: StudySpec, points: Mapping[str, Hyperparameters], space: Mapping[str, BaseDistribution]
) -> tuple[dict[str, Hyperparameters], dict[str, Hyperparameters]]:
    """Return the published settings that have rows of the final table, and the settings that the search tries first.

    Published settings that set nothing are those of every trial, so they have no row of their own. Where nothing is
    searched, the first settings are all that is trained.
    """
    budget = spec.budget.reference_budget
    published = {n: point for n, point in points.items() if n in spec.reference_points and point}
    rows = {} if budget == published_settings.NONE else published
    if budget == published_settings.STUDY or all(distribution.single() for distribution in space.values()):
        return rows, dict(points)
    return rows, {name: point for name, point in points.items() if name not in published}


def _points_of_arms(
    arms: Mapping[str, Arm], points: Mapping[str, Hyperparameters], defaults: Hyperparameters
) -> dict[str, dict[str, Any]]:
    """Return the points that some arm has, with the arm's settings and without parameters inactive in the arm."""
    found = {}
    for name, point in points.items():
        arm = of_settings(arms, {**defaults, **point})
        if arm is not None:
            found[name] = hyperparameters(arms[arm], point)
    return found


def _refuse_values(fixed: Hyperparameters, space: Mapping[str, BaseDistribution]) -> None:
    """Refuse a fixed value that is no number, unless the search space has it among its choices."""
    for name, value in fixed.items():
        distribution = space.get(name)
        choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
        if value not in choices and (isinstance(value, bool) or not isinstance(value, int | float)):
            one_of = f"one of {', '.join(map(str, choices))}, or a number" if choices else "a number"
            raise SettingsError("fixed_settings", f"has {name} = {value!r}; it must be {one_of}")
