"""Parts of studies and comparisons: budget, search, resources and stores, each a group of command-line flags."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Self

import tyro

from .. import secrecy
from ..disk.shared_copies import is_uri
from . import published_settings
from .field_types import FieldError, require_known, require_parts, require_types

DEFAULT_STORAGE = "sqlite:///optuna.db"
DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
_SEEDS = 3
_LEVEL = 0.05  # of a claim


def default_storage() -> str:
    """Return the Optuna storage of studies for which none is given: SEPRAY_STORAGE, or a file of this folder.

    An address in the environment is in no process list, job's entrypoint or shell history.
    """
    return os.environ.get("SEPRAY_STORAGE") or DEFAULT_STORAGE


@dataclass(frozen=True)
class Budget:
    """Amount of training."""

    trials: int = 24
    """Total number of trials of the search, among them the published settings that it tries first."""
    max_epochs: int = 20
    """Epochs of a trial that is not stopped early."""
    seeds_per_trial: int = 1
    """Separators trained per trial, each from a seed of its own; the trial's value is their mean."""
    finalists: int = 2
    """Number of best settings that are trained again after the search. A study with arms trains the best of each arm
    instead."""
    final_seeds: int = 0
    """Number of new random seeds on which each finalist, or arm, is trained again. 0: three, or in a study with arms as
    many as a claim at the 5% level needs."""
    reference_budget: str = published_settings.STUDY
    """Training of the published settings for their rows of the final table. study: as long as a
    trial, and the search tries them too. published: for the epochs of their paper. none: they are not trained and have
    no rows."""

    def __post_init__(self) -> None:
        """Refuse values of a wrong type or out of range."""
        require_types(self)
        _at_least(self, trials=0, max_epochs=1, seeds_per_trial=1, finalists=1, final_seeds=0)
        published_settings.check_budget(self.reference_budget)

    def seeds(self, arms: int = 0, objectives: int = 1) -> int:
        """Return the number of new seeds of each retraining.

        Where none is given it is 3. With arms it is the least with which an exact sign-flip test of every arm against
        the control, by each objective, can fall below 0.05 after Holm. The test's p-value cannot be less than
        ``2 / 2 ** seeds``.

        Args:
            arms: number of arms of the study.
            objectives: number of its objectives.
        """
        if self.final_seeds or arms < 2:
            return self.final_seeds or _SEEDS
        return next(n for n in itertools.count(1) if 2 / 2**n * (arms - 1) * objectives < _LEVEL)


@dataclass(frozen=True)
class Search:
    """Choice of the settings that are tried, and of the trials that are stopped early."""

    sampler: str = "tpe"
    """Optuna sampler: tpe, random, gp, cmaes, nsgaii, qmc, ... or the name of any sampler class."""
    scheduler: str = "asha"
    """Ray Tune scheduler that stops trials early: asha, hyperband, median, none, or pbt."""
    grace_period: int = 0
    """Epochs before a trial may be stopped early. 0: a twentieth of --max-epochs (with median and pbt, a tenth)."""
    reduction_factor: float = 3.0
    """With asha and hyperband: at each comparison of trials (rung) one in this many goes on."""
    deterministic: bool = False
    """Make the same trials from one seed, number of trials at once and kind of machine, however long each takes."""
    retry_failed: bool = False
    """Run trials again, under new numbers, that failed because of a disk, a store, a worker or a node."""
    only_arms: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: all)")] = ()
    """Names of the study's arms that are studied, such as "CASS"."""

    def __post_init__(self) -> None:
        """Refuse values of a wrong type or out of range."""
        require_types(self)
        _at_least(self, grace_period=0)
        _finite(self, "reduction_factor")
        if not self.reduction_factor > 1:
            raise FieldError("reduction_factor", f"must be more than 1, not {self.reduction_factor:g}")
        if self.deterministic and self.scheduler in ("hyperband", "pbt"):
            raise FieldError(
                "deterministic",
                f"takes asha, median or none, not {self.scheduler}, which compares trials that run together",
            )

    def grace(self, max_epochs: int) -> int:
        """Return the epochs before a trial may be stopped, or with PBT perturbed.

        Where none are given, for ASHA they are a twentieth of a full training, at least 1: on recorded learning curves
        a later first comparison costs more epochs than it saves (``benchmarks/search.py``). For others it is a tenth.
        """
        return self.grace_period or max(1, max_epochs // (20 if self.scheduler == "asha" else 10))


@dataclass(frozen=True)
class Resources:
    """Machines that trials run on, and the CPUs and GPUs of a trial."""

    concurrency: int = 0
    """Number of trials at once; 0 for as many as the CPUs (or GPUs) allow."""
    cpus_per_trial: float = 1.0
    """CPUs of a trial, and threads of its worker; trials with a fraction share a CPU."""
    gpus_per_trial: float = 0.0
    """GPUs of a trial; trials with a fraction share a GPU."""
    device: Annotated[
        str, tyro.conf.arg(metavar="DEVICE", help_behavior_hint="(default: cuda where a trial has a GPU, else cpu)")
    ] = ""
    """Device that trials train on, in torch's words: cpu, cuda (AMD's GPUs too) or mps (Apple's, untried)."""
    epoch_timeout: float = 0.0
    """Seconds that an epoch may take. After that, the epoch's worker is ended, and another worker goes on with the
    trial from the last checkpoint. 0: without limit."""
    address: Annotated[
        str | None,
        tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="(default: $RAY_ADDRESS, else a Ray of its own)"),
    ] = None
    """Ray cluster: auto, host:port or ray://host:port; local for a Ray of the study's own."""

    def __post_init__(self) -> None:
        """Refuse values of a wrong type or out of range."""
        require_types(self)
        secrecy.remember_secrets(self.address)
        _at_least(self, concurrency=0)
        _finite(self, "cpus_per_trial", "gpus_per_trial", "epoch_timeout")
        if not self.cpus_per_trial > 0:
            raise FieldError("cpus_per_trial", f"must be more than 0, not {self.cpus_per_trial:g}")
        if not self.epoch_timeout >= 0:
            raise FieldError("epoch_timeout", f"must not be negative, not {self.epoch_timeout:g}")
        if not self.gpus_per_trial >= 0:
            raise FieldError("gpus_per_trial", f"must not be negative, not {self.gpus_per_trial:g}")
        if self.device == "cuda" and not self.gpus_per_trial:
            raise FieldError("device", "cuda needs a share of a GPU for each trial: give --gpus-per-trial 1")
        if self.device in ("cpu", "mps") and self.gpus_per_trial:
            raise FieldError(
                "device", f"{self.device} does not use the GPUs of --gpus-per-trial {self.gpus_per_trial:g}"
            )
        if self.device and not re.fullmatch("[a-z]+", self.device):
            raise FieldError("device", f"must be a kind of device such as cuda or mps, not {self.device!r}")

    @property
    def trial_device(self) -> str:
        """Device that trials train on, in torch's words."""
        return self.device or ("cuda" if self.gpus_per_trial else "cpu")

    @property
    def cluster_address(self) -> str:
        """Address of the Ray cluster, from the flag or RAY_ADDRESS; empty for a Ray of this process's own.

        ``local`` is Ray's word for the latter. Ray itself takes RAY_ADDRESS where it is told ``auto``.
        """
        environment = os.environ.get("RAY_ADDRESS", "")
        address = self.address or environment
        return "" if address == "local" or (address, environment) == ("auto", "local") else address


@dataclass(frozen=True)
class Stores:
    """Stores of trials, runs, models, checkpoints and data."""

    storage: Annotated[
        str, tyro.conf.arg(help_behavior_hint="(default: $SEPRAY_STORAGE, else sqlite:///optuna.db)")
    ] = field(default_factory=lambda: default_storage())
    """Optuna storage: the URL of a database, journal:///path, or grpc://host:port of a proxy."""
    tracking_uri: str = field(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI))
    """MLflow tracking server or database; MLFLOW_TRACKING_URI sets it too."""
    storage_path: str = "sepray-results"
    """Folder, shared file system or object store (URI) for checkpoints; reports are in its subfolder NAME."""
    cache: Annotated[str | Path, tyro.conf.arg(metavar="FOLDER|URI")] = Path("~/.cache/sepray")
    """Folder or object store (URI) for generated and decoded data. With an object store, each machine keeps copies in a
    folder of its own."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints of a trial. A crash costs this much training and one epoch at most."""
    shared: bool = False
    """Let your group read and write the study's databases, checkpoints, cache and report. Without it only you can."""

    def __post_init__(self) -> None:
        """Refuse values of a wrong type or out of range."""
        require_types(self)
        secrecy.remember_secrets(self.storage, self.storage_path, self.tracking_uri, str(self.cache))
        if isinstance(self.cache, Path) and re.match(r"[A-Za-z][\w+.-]+:/", str(self.cache)):
            raise FieldError("cache", f"is a URI: give it as a text, because a path has one slash of two: {self.cache}")
        if not is_uri(self.cache):
            object.__setattr__(self, "cache", Path(self.cache))
        _finite(self, "checkpoint_seconds")
        if not self.checkpoint_seconds > 0:
            raise FieldError("checkpoint_seconds", f"must be more than 0, not {self.checkpoint_seconds:g}")


# The names of a part's flags have no prefix: --trials, not --budget.trials.
BudgetFlags = Annotated[Budget, tyro.conf.arg(name="")]
SearchFlags = Annotated[Search, tyro.conf.arg(name="")]
ResourcesFlags = Annotated[Resources, tyro.conf.arg(name="")]
StoresFlags = Annotated[Stores, tyro.conf.arg(name="")]

PARTS = ("budget", "search", "resources", "stores")


def merged(
    owner: type, budget: Budget, search: Search, resources: Resources, stores: Stores, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parts by name, with some of their fields changed.

    Args:
        owner: class of the description, for the names that a refusal lists.
        budget: the description's part ``budget``.
        search: the description's part ``search``.
        resources: the description's part ``resources``.
        stores: the description's part ``stores``.
        changes: name of a field of any part -> its value, e.g. ``{"trials": 6}``.

    Raises:
        UnknownFieldError: no part has a field of that name.
        UsageError: a value has a wrong type or is out of range.
    """
    parts: dict[str, Any] = dict(zip(PARTS, (budget, search, resources, stores), strict=True))
    require_parts(parts, {"budget": Budget, "search": Search, "resources": Resources, "stores": Stores})
    require_known(changes, field_names(owner))
    owners = {f.name: name for name, part in parts.items() for f in fields(part)}
    return {
        name: replace(part, **{key: value for key, value in changes.items() if owners[key] == name})
        for name, part in parts.items()
    }


class Changeable:
    """Base of studies and comparisons, whose fields and those of their parts can be changed alike."""

    def changed(self, **fields: Any) -> Self:
        """Return a copy with other values of some fields, those of the parts among them: ``changed(trials=6)``."""
        return replace(self, **fields)  # type: ignore[type-var] # both are dataclasses


def field_names(owner: type) -> list[str]:
    """Return the names that a study or comparison takes: its own fields, then those of its parts."""
    return [f.name for kind in (owner, Budget, Search, Resources, Stores) for f in fields(kind)]


def flat(owner: Any) -> dict[str, Any]:
    """Return the fields of all parts of a study or comparison in one dictionary, as their flags are."""
    return {f.name: getattr(part, f.name) for part in (getattr(owner, name) for name in PARTS) for f in fields(part)}


def _at_least(part: Any, **least: int) -> None:
    for name, value in least.items():
        if getattr(part, name) < value:
            raise FieldError(name, f"must be at least {value}, not {getattr(part, name)}")


def _finite(part: Any, *names: str) -> None:
    for name in names:
        if math.isinf(getattr(part, name)):
            raise FieldError(name, f"must be finite, not {getattr(part, name)}")
