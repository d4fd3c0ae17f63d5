"""Makes any Optuna sampler by name."""

from __future__ import annotations

import importlib
import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler

from ..errors import UsageError
from . import cmaes_state

# name -> name of the class in optuna.samplers, and the packages that it needs beside Optuna's own requirements
_SAMPLERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tpe": ("TPESampler", ()),
    "random": ("RandomSampler", ()),
    "gp": ("GPSampler", ("torch", "scipy")),
    "cmaes": ("CmaEsSampler", ("cmaes",)),
    "nsgaii": ("NSGAIISampler", ()),
    "nsgaiii": ("NSGAIIISampler", ()),
    "qmc": ("QMCSampler", ("scipy",)),
    "grid": ("GridSampler", ()),
    "bruteforce": ("BruteForceSampler", ()),
}
# Constant liar: concurrent trials get different points. TPE models each hyperparameter by itself: with the few dozen
# trials of a study that finds good settings in half the epochs that a joint model needs (benchmarks/search.py).
_DEFAULTS: dict[str, dict[str, Any]] = {"tpe": {"multivariate": False, "constant_liar": True}}
_CONTINUES_ITS_SEQUENCE = ("qmc", "grid")


def make_sampler(
    name: str,
    seed: int,
    space: Mapping[str, BaseDistribution],
    options: Mapping[str, Any] | None = None,
    existing: int = 0,
    arms: bool = False,
) -> BaseSampler:
    """Return the sampler ``name``, seeded.

    Args:
        name: one of ``tpe random gp cmaes nsgaii nsgaiii qmc grid bruteforce``, the name of a class of
            ``optuna.samplers``, or ``package.module:Class`` for a class of the user's own.
        seed: random seed of the study.
        space: search space. ``grid`` takes ``options["points"]`` (default 5) values of every number that has no step,
            equally spaced, on a logarithmic scale where the distribution is logarithmic.
        options: keyword arguments of the sampler's class; they override the defaults chosen here (TPE
            univariate, with constant liar).
        existing: number of trials that the study holds already. The sampler's seed is drawn from
            ``SeedSequence([seed, existing])``, so that a continued study does not draw its first points again. QMC and
            grid keep ``seed`` itself, because they continue a sequence whose position is in the storage.
        arms: whether trials of the study have different parameters. ``gp`` and ``cmaes`` then model those that all
            trials have, and TPE proposes the others.

    Raises:
        UsageError: the name is unknown, a package is missing, or the class does not take these options.
    """
    cmaes_state.store_state_as_json()
    short_name = {class_name: key for key, (class_name, _) in _SAMPLERS.items()}.get(name, name)
    cls = sampler_class(short_name)
    arguments = {**_DEFAULTS.get(short_name, {}), **(options or {})}
    if short_name == "grid" and "search_space" not in arguments:
        points = int(arguments.pop("points", 5))
        arguments["search_space"] = {key: grid_values(distribution, points) for key, distribution in space.items()}
    if "seed" in inspect.signature(cls).parameters:
        mixed = int(np.random.SeedSequence([seed, existing]).generate_state(1)[0])
        arguments.setdefault("seed", seed % 2**32 if short_name in _CONTINUES_ITS_SEQUENCE else mixed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if arms and short_name in ("gp", "cmaes"):
            others = optuna.samplers.TPESampler(**_DEFAULTS["tpe"], seed=arguments["seed"])
            arguments = {"independent_sampler": others, "warn_independent_sampling": False, **arguments}
        unfit = f"sampler {name!r} cannot be made with {dict(options or {})}: "
        try:
            inspect.signature(cls).bind(**arguments)
        except TypeError as error:
            raise UsageError(f"{unfit}{error}") from None
        try:
            sampler = cls(**arguments)
        except (TypeError, ValueError) as error:
            if ":" in name:
                raise
            raise UsageError(f"{unfit}{error}") from error  # a value that Optuna's own class does not take
    if not isinstance(sampler, BaseSampler):
        raise UsageError(f"sampler {name!r} is a {cls.__name__}, which is not an Optuna sampler")
    return sampler


def sampler_class(name: str) -> Any:
    """Return the class of the sampler ``name`` (see ``make_sampler``).

    Raises:
        UsageError: the name is unknown, or a package is missing.
    """
    if name in _SAMPLERS:
        class_name, packages = _SAMPLERS[name]
        if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
            raise UsageError(f"sampler {name!r} needs a package that is not installed: pip install {' '.join(missing)}")
        return getattr(optuna.samplers, class_name)
    if ":" in name:
        return _users_class(name)
    cls = getattr(optuna.samplers, name, None)
    if inspect.isclass(cls) and issubclass(cls, BaseSampler) and not inspect.isabstract(cls):
        return cls
    raise UsageError(
        f"unknown sampler {name!r}; there are: {', '.join(_SAMPLERS)}, "
        "any class of optuna.samplers, and package.module:Class"
    )


def _users_class(name: str) -> Any:
    """Return the class that ``package.module:Class`` names; errors of the module's own code pass through."""
    module, _, attribute = name.partition(":")
    refusal = f"no sampler {name!r} can be imported: "
    if not module or module.startswith(".") or not attribute:
        raise UsageError(f"{refusal}it is not of the form package.module:Class")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, but something that it imports does not
        raise UsageError(f"{refusal}{error}") from None
    if not callable(found):
        raise UsageError(f"{refusal}{module} has no class {attribute}")
    return found


def grid_values(distribution: BaseDistribution, points: int) -> Sequence[Any]:
    """Return the values of one dimension of a grid: all of a stepped or categorical one, else ``points`` of them."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        return [distribution.low + k * distribution.step for k in range(count)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.low == distribution.high:
        return [distribution.low]
    spacing = np.geomspace if distribution.log else np.linspace
    grid = spacing(distribution.low, distribution.high, points)
    if isinstance(distribution, IntDistribution):
        return sorted({round(value) for value in grid})
    # Rounding of the logarithm may leave the range.
    return [float(value) for value in np.clip(grid, distribution.low, distribution.high)]


def capacity(sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> float:
    """Return how many different points ``sampler`` can propose: those of its grid or finite space, else infinity."""
    if isinstance(sampler, optuna.samplers.GridSampler):
        return math.prod(len(axis) for axis in sampler._search_space.values())
    if isinstance(sampler, optuna.samplers.BruteForceSampler):
        return math.prod(len(_all_values(distribution)) for distribution in space.values())
    return math.inf


def _all_values(distribution: BaseDistribution) -> Sequence[Any]:
    """Return all values of a finite dimension; Optuna's search through all of them takes each whole number of a range.

    A logarithmic range of whole numbers has a step of 1.
    """
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    return grid_values(distribution, 1)
