"""What a study is: every field can be set on the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .. import identity, registry
from ..choices import BLIND_SAMPLERS, BSS_EVAL, MEASURES, OBJECTIVES, SCHEDULERS
from ..errors import UsageError

if TYPE_CHECKING:
    from ..choices import Objective
    from ..contracts import Signal

# Given by the study's file, not by a flag; tyro must not look inside.
_Given = Annotated[
    Mapping[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="",
        instance_from_str=lambda texts: {},
        is_instance=lambda value: isinstance(value, Mapping),
        str_from_instance=lambda value: [""],
    ),
    tyro.conf.Suppress,
]

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


class _Named:
    """A field that takes a Config, or the name of a module that has one (``module:name`` for one that it names).

    The module is imported when the field is first looked at.

    So that what else is wrong with a command can be said before torch is imported, which takes seconds.
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, instance: Any, value: Any) -> None:
        if type(value).__module__ == "__main__":
            raise UsageError(f"put the Config of the {self.name} into a file of its own: models and workers import it")
        instance.__dict__[self.name] = value

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError(self.name)  # so it has no default
        value = instance.__dict__[self.name]
        if isinstance(value, str):
            value = instance.__dict__[self.name] = registry.config(self.package, value)
        return value


_OBJECTIVES = f"{', '.join(OBJECTIVES)}; alone, as <source>/<metric> or as <metric>:each"


@dataclass(frozen=True)
class StudySpec:
    """A hyperparameter study: a separator on a task, what to vary, and how to search.

    Running the same command again goes on where it stopped, or extends the study where --trials is larger.
    """

    name: str
    """Name of the study: in the Optuna storage, as the MLflow experiment's parent run, and of its folder."""
    separator: Any = _Named("sepray.separators")
    """Configuration of the separator: a name from sepray.separators (cass, or cass:published for a configuration that
    it names), a module of your own, or a Config."""
    task: Any = _Named("sepray.tasks")
    """Configuration of the task: a name from sepray.tasks, a module of your own, or a Config."""
    space: _Given  # type: ignore[misc] # the two above have no default: their descriptors give none
    """What varies: hyperparameter -> Optuna distribution. ``{i}``, ``{j}`` stand for every ordered pair of sources."""
    reference_points: _Given = field(default_factory=dict)
    """Published settings by name, tried first and never stopped early."""
    controls: _Given = field(default_factory=dict)
    """Changes to the best settings, by name, that are retrained beside it for the final table."""
    trials: int = 24
    """Trials that the study shall have in the end, the reference points among them."""
    max_epochs: int = 20
    """Budget of a trial, in epochs."""
    concurrency: int = 0
    """Trials at once; 0 for as many as the CPUs (or GPUs) carry."""
    cpus_per_trial: float = 1.0
    """CPUs, and so threads, of a trial; a fraction shares one."""
    gpus_per_trial: float = 0.0
    """GPUs of a trial; a fraction shares one."""
    seed: int = 0
    """Seed of the sampler and of all trials."""
    seeds_per_trial: int = 1
    """Separators trained per trial, each from a seed of its own; the trial's value is their mean."""
    sampler: str = "tpe"
    """Optuna sampler: tpe, random, gp, cmaes, nsgaii, qmc, ... or the name of any sampler class."""
    scheduler: str = "asha"
    """Who stops trials early: asha, hyperband, median, none, or pbt."""
    grace_period: int = 2
    """Epochs before a trial may be stopped early."""
    reduction_factor: float = 3.0
    """Of asha and hyperband: one trial in this many goes on at each rung."""
    objective: tuple[str, ...] = ("relative_l2",)
    """Validation metrics to optimise: relative_l2 (mean over sources), fetal/relative_l2 (one source), or
    relative_l2:each (an objective per source; the result is a Pareto front)."""
    finalists: int = 2
    """Best configurations that are trained again after the search."""
    final_seeds: int = 3
    """Seeds on which each of them is trained again."""
    storage: str = "sqlite:///optuna.db"
    """Optuna storage: the URL of a database, or journal:///path."""
    tracking_uri: str = field(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI))
    """MLflow tracking server or database; MLFLOW_TRACKING_URI sets it too."""
    storage_path: str = "sepray-results"
    """Folder, shared file system or object store (URI) for checkpoints."""
    address: str | None = None
    """Ray cluster: auto, host:port or ray://host:port. Without it Ray runs in this process."""
    cache: Path = Path("~/.cache/sepray")
    """Folder where generated and decoded data is kept."""
    checkpoint_seconds: float = 10.0
    """At most this much training of a trial is lost in a crash, and one epoch."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        at_least = {"trials": 1, "max_epochs": 1, "concurrency": 0, "seeds_per_trial": 1, "grace_period": 1}
        at_least |= {"finalists": 1, "final_seeds": 1, "seed": 0}
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, not {getattr(self, name)}")
        for name in ("cpus_per_trial", "checkpoint_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name.replace('_', '-')} must be more than 0, not {getattr(self, name):g}")
        if not 0 <= self.gpus_per_trial < float("inf"):
            raise UsageError(f"--gpus-per-trial must not be negative, not {self.gpus_per_trial:g}")
        if not self.reduction_factor > 1:
            raise UsageError(f"--reduction-factor must be more than 1, not {self.reduction_factor:g}")
        if not self.objective or len(set(self.objective)) < len(self.objective):
            given = " ".join(self.objective)
            raise UsageError(f"--objective must name one metric or more, each once, not {given!r}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise UsageError(f"--name must be of letters, digits, dots, dashes and underscores, not {self.name!r}")

    def check(self) -> None:
        """Refuse names that there are none of, and what does not go together, without importing much.

        Raises:
            UsageError: an unknown scheduler, a measure that there is none of or that is too slow, or pbt with a sampler
                that it would mislead.
            ValueError: an unknown separator, task or sampler.
        """
        from ..search.samplers import find  # Optuna

        for name, package in (("separator", "sepray.separators"), ("task", "sepray.tasks")):
            if isinstance(self.__dict__[name], str):
                registry.check(package, self.__dict__[name])
        find(self.sampler)
        if self.scheduler not in SCHEDULERS:
            raise UsageError(f"unknown scheduler {self.scheduler!r}; there are: {', '.join(SCHEDULERS)}")
        if self.scheduler == "pbt" and self.sampler not in BLIND_SAMPLERS:
            raise UsageError(
                f"pbt changes hyperparameters while they are trained, which would mislead the sampler "
                f"{self.sampler!r}; use one of {', '.join(BLIND_SAMPLERS)}, or another scheduler"
            )
        for text in self.objective:
            metric = text.partition(":")[0].rpartition("/")[2]
            if metric in BSS_EVAL:
                raise UsageError(
                    f"{metric} (BSS Eval) takes seconds an item, too long for every epoch: search by si_sdr, and see "
                    "`sepray evaluate --bss-eval`"
                )
            if metric not in OBJECTIVES or text.partition(":")[2] not in ("", "each"):
                raise UsageError(f"unknown objective {text!r}; there are {_OBJECTIVES}")

    @property
    def model_name(self) -> str:
        """Name under which models are registered: ``<separator>-<task>``."""
        return "-".join(key(config).replace("_", "-") for config in (self.separator, self.task))

    def objectives(self, signal: Signal) -> tuple[Objective, ...]:
        """Return what is optimised.

        Raises:
            UsageError: an unknown metric or source, or a metric that is not defined for it.
        """
        from ..choices import Objective
        from ..scoring import metrics

        found: list[Objective] = []
        for text in self.objective:
            name, _, each = text.partition(":")
            source, _, metric = name.rpartition("/")
            known = metric in OBJECTIVES and each in ("", "each")
            if not known or (source and (each or source not in signal.sources)):
                sources = ", ".join(signal.sources)
                raise UsageError(f"unknown objective {text!r}; there are {_OBJECTIVES}; sources: {sources}")
            if why := metrics.unfit(metric, signal, source):
                raise UsageError(f"objective {text!r}: {why}")
            measured = [s for s in signal.sources if not metrics.unfit(metric, signal, s)]
            keys = [f"{s}/{metric}" for s in measured] if each else [name]
            found += [Objective(f"validation/{k}", MEASURES[metric].direction) for k in keys]
        return tuple(found)

    def modules(self) -> list[str]:
        """Return the names of the modules whose code workers need."""
        return ["sepray", type(self.separator).__module__, type(self.task).__module__]

    @property
    def metric(self) -> str:
        """The metric of the final table: the first objective's."""
        return self.objective[0].partition(":")[0].rpartition("/")[2]

    def plain(self) -> dict[str, Any]:
        """Return all but the search space as JSON values, from which ``restored`` makes the study again."""
        given = ("space", "reference_points", "controls", "cache")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in given}
        for part in ("separator", "task"):
            values[part] = {"module": type(values[part]).__module__, "config": identity.plain(values[part])}
        return values | {"storage": "", "tracking_uri": "", "objective": list(self.objective)}

    @classmethod
    def restored(cls, values: Mapping[str, Any], **changes: Any) -> StudySpec:
        """Return the study that ``plain`` described, without its search space; addresses are in ``changes``."""
        parts = {p: rebuilt(f"sepray.{p}s", values[p]["module"], values[p]["config"]) for p in ("separator", "task")}
        return cls(**{**values, **parts, "objective": tuple(values["objective"]), "space": {}, **changes})


def rebuilt(package: str, module: str, settings: Mapping[str, Any]) -> Any:
    """Return a ``Config`` from its JSON form, which has lists where a configuration has tuples."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return registry.find(package, module).Config(**values)


def key(config: Any) -> str:
    """Return the name of a configuration's module, which is the key of a separator or a task."""
    return type(config).__module__.rpartition(".")[2]
