"""What a comparison of separators is: every field can be set on the command line."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tyro

from .. import registry
from ..choices import OBJECTIVES
from ..console.arguments import refused_in_one_line
from ..errors import UsageError
from ..spec.study import DEFAULT_TRACKING_URI, StudySpec

Spaces = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]]
"""Separator -> (what a study may vary, the published settings by name), as its file in search_spaces has them."""


@dataclass(frozen=True)
class Comparison:
    """Separators on one task, with equal budgets and several seeds, in one table with intervals and tests.

    Each separator is a study of its own, named NAME-SEPARATOR: in Optuna, in MLflow, with a registered model. Running
    the same command again goes on where it stopped.
    """

    name: str = "comparison"
    """Name of the comparison, and what the names of its studies begin with."""
    separators: tuple[str, ...] = ()
    """Names from sepray.separators or modules of your own; default: all that take the task's signal. NAME:CONFIGURATION
    is one of its named configurations (ssgan:lou), NAME:SETTING one of its published settings, NAME the first one."""
    task: str = "notes_and_bursts"
    """Name from sepray.tasks, or a module of your own."""
    settings: tuple[str, ...] = ()
    """Given settings: SEPARATOR.FIELD=VALUE for a field of its Config or a hyperparameter, which is then fixed, in a
    search too; task.FIELD=VALUE for the task. Values of a tuple are separated by commas."""
    reference: str = ""
    """Separator that the others are tested against; default: the best on the test split, by the first measure."""
    measures: tuple[str, ...] = ("si_sdr", "relative_l2")
    """Columns of the table; the first one ranks the separators."""
    trials: int = 0
    """Trials of the search that each separator gets first; 0: its published settings alone."""
    max_epochs: int = 20
    """Budget of every training, in epochs."""
    final_seeds: int = 3
    """Seeds on which each separator is trained for the table."""
    finalists: int = 1
    """Best configurations of a search that are trained on all seeds; the best of them on validation is compared."""
    objective: tuple[str, ...] = ("relative_l2",)
    """Validation metrics that searches optimise, and by which a separator's model is chosen."""
    concurrency: int = 0
    """Trials at once; 0 for as many as the CPUs (or GPUs) carry."""
    cpus_per_trial: float = 1.0
    """CPUs, and so threads, of a trial; a fraction shares one."""
    gpus_per_trial: float = 0.0
    """GPUs of a trial; a fraction shares one."""
    seed: int = 0
    """Seed of samplers and trials, the same for all separators."""
    sampler: str = "tpe"
    """Optuna sampler of the searches."""
    scheduler: str = "asha"
    """Who stops trials of a search early: asha, hyperband, median, none, or pbt."""
    storage: str = "sqlite:///optuna.db"
    """Optuna storage: the URL of a database, or journal:///path."""
    tracking_uri: str = field(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI))
    """MLflow tracking server or database; MLFLOW_TRACKING_URI sets it too."""
    storage_path: str = "sepray-results"
    """Folder, shared file system or object store (URI) for checkpoints; the tables lie in NAME/ there."""
    address: str | None = None
    """Ray cluster: auto, host:port or ray://host:port. Without it Ray runs in this process."""
    cache: Path = Path("~/.cache/sepray")
    """Folder where generated and decoded data is kept."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.trials < 0:
            raise UsageError(f"--trials must be at least 0, not {self.trials}")
        if not self.measures or len(set(self.measures)) < len(self.measures) or set(self.measures) - set(OBJECTIVES):
            given = " ".join(self.measures)
            raise UsageError(f"--measures must be of {', '.join(OBJECTIVES)}, each once, not {given!r}")
        if len(set(self.separators)) < len(self.separators):
            raise UsageError(f"--separators must name each once, not {' '.join(self.separators)!r}")
        known = {split(s)[0].rpartition(".")[2] for s in self.separators}
        for setting in self.settings:
            target = assignment(setting)[0]
            if target not in (*(known or registry.names("sepray.separators")), "task"):
                raise UsageError(f"--settings {setting!r}: {target!r} is neither one of the separators nor task")
        if self.separators and self.reference and self.reference not in self.separators:
            raise UsageError(f"--reference {self.reference!r} is not among the separators {', '.join(self.separators)}")

    def check(self) -> None:
        """Refuse names that there are none of, without importing what they name.

        Raises:
            UsageError: a value out of range, an unknown scheduler or measure.
            ValueError: an unknown separator, task or sampler.
        """
        for name in self.separators:
            registry.check("sepray.separators", split(name)[0])
        self.first_study().check()

    def first_study(self) -> StudySpec:
        """Return a study as all of them will be, whose separator nobody has looked at yet."""
        name = split(self.separators[0])[0] if self.separators else registry.names("sepray.separators")[0]
        return self.study(self.name, name, self.task, {}, {})

    def study(
        self,
        name: str,
        separator: Any,
        task: Any,
        space: Mapping[str, Any],
        points: Mapping[str, Mapping[str, Any]],
    ) -> StudySpec:
        """Return the study of a separator; what is not given here is as in the comparison."""
        own = ("name", "separator", "task", "space", "reference_points")
        mine = {f.name for f in fields(self)}
        shared = {f.name: getattr(self, f.name) for f in fields(StudySpec) if f.name in mine and f.name not in own}
        # Without a search, or with nothing to search, one trial is the settings themselves.
        shared["trials"] = self.trials if self.trials and not all(d.single() for d in space.values()) else 1
        given = {"name": name, "separator": separator, "task": task, "space": space, "reference_points": points}
        return StudySpec(**given, **shared)

    def given(self, target: str) -> dict[str, str]:
        """Return the settings of a separator, or of ``task``: field -> value as it was typed; the last one counts."""
        found = (assignment(setting) for setting in self.settings)
        return {name: value for owner, name, value in found if owner == target}


def split(separator: str) -> tuple[str, str]:
    """Return the name of a separator and that of the published setting, if any: ``NAME:SETTING``."""
    name, _, setting = separator.partition(":")
    return name, setting


def assignment(setting: str) -> tuple[str, str, str]:
    """Return owner, field and value of ``OWNER.FIELD=VALUE``.

    The first dot ends the owner's name, so that hyperparameters may have dots (``cass.cross.a_to_b=0.1``); a module of
    one's own in a package is named by its last part.

    Raises:
        UsageError: it has not that form.
    """
    owner, dot, rest = setting.partition(".")
    name, equals, value = rest.partition("=")
    if not (owner and dot and name and equals and value):
        raise UsageError(f"--settings {setting!r} has not the form SEPARATOR.FIELD=VALUE or task.FIELD=VALUE")
    return owner, name, value


def configured(config: Any, given: Mapping[str, str], owner: str) -> Any:
    """Return a Config with these fields changed, whose values are read as its own types.

    Raises:
        UsageError: a value that a field does not take.
        ValueError: the Config refuses it.
    """
    arguments: list[str] = []
    for name, value in given.items():
        arguments += [f"--{name.replace('_', '-')}", *value.split(",")]
    if not arguments:
        return config
    try:
        with refused_in_one_line():
            return tyro.cli(type(config), default=config, args=arguments, prog=owner)
    except UsageError as error:
        raise UsageError(f"--settings of {owner}: {error}") from None


def parse(comparison: Comparison, arguments: Sequence[str] | None = None) -> Comparison:
    """Return the comparison with the command line's changes.

    Raises:
        UsageError: a flag that there is none of, or a value that it does not take.
    """
    description = inspect.cleandoc(Comparison.__doc__ or "")
    with refused_in_one_line():
        return tyro.cli(Comparison, default=comparison, args=arguments, description=description)
