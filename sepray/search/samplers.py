"""Makes any Optuna sampler by name. Imports nothing from sepray."""

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

# name -> class in optuna.samplers, and the packages beyond Optuna's own that it imports
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
# Multivariate TPE models the weights of the losses together; constant_liar keeps concurrent trials apart.
_DEFAULTS: dict[str, dict[str, Any]] = {"tpe": {"multivariate": True, "constant_liar": True}}
_CONTINUES_ITS_SEQUENCE = ("qmc", "grid")


def make_sampler(
    name: str,
    seed: int,
    space: Mapping[str, BaseDistribution],
    options: Mapping[str, Any] | None = None,
    existing: int = 0,
) -> BaseSampler:
    """Return the sampler ``name``, seeded.

    Args:
        name: one of ``tpe random gp cmaes nsgaii nsgaiii qmc grid bruteforce``, the name of a class of
            ``optuna.samplers``, or ``package.module:Class`` of the user's own.
        seed: of the study.
        space: what is searched; ``grid`` is laid over it, with ``options["points"]`` (default 5) values of every
            number that has no step, equally spaced, on the logarithm where the distribution is logarithmic.
        options: keyword arguments of the sampler's class, over the defaults chosen here (TPE multivariate with
            constant liar).
        existing: number of trials that the study holds already. The sampler's seed is drawn from
            ``SeedSequence([seed, existing])``, so that a continued study does not draw its first points again; QMC
            and grid keep ``seed`` itself, because they go on in their own sequence, which the storage remembers.

    Raises:
        ValueError: the name is unknown, a package is missing, or the class does not take these options.
    """
    short = {target: key for key, (target, _) in _SAMPLERS.items()}.get(name, name)
    kind = find(short)
    given = {**_DEFAULTS.get(short, {}), **(options or {})}
    parameters = inspect.signature(kind).parameters
    if short == "grid" and "search_space" not in given:
        points = int(given.pop("points", 5))
        given["search_space"] = {key: values(distribution, points) for key, distribution in space.items()}
    if "seed" in parameters:
        mixed = int(np.random.SeedSequence([seed, existing]).generate_state(1)[0])
        given.setdefault("seed", seed % 2**32 if short in _CONTINUES_ITS_SEQUENCE else mixed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = kind(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sampler {name!r} cannot be made with {dict(options or {})}: {error}") from error
    if not isinstance(sampler, BaseSampler):
        raise ValueError(f"sampler {name!r} is a {kind.__name__}, which is not an Optuna sampler")
    return sampler


def find(name: str) -> Any:
    """Return the class of the sampler ``name`` (see ``make_sampler``).

    Raises:
        ValueError: the name is unknown, or a package is missing.
    """
    if name in _SAMPLERS:
        target, packages = _SAMPLERS[name]
        if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
            raise ValueError(f"sampler {name!r} needs a package that is not installed: pip install {' '.join(missing)}")
        return getattr(optuna.samplers, target)
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"no sampler {name!r} can be imported: {error}") from error
    found = getattr(optuna.samplers, name, None)
    if inspect.isclass(found) and issubclass(found, BaseSampler) and not inspect.isabstract(found):
        return found
    raise ValueError(
        f"unknown sampler {name!r}; there are: {', '.join(_SAMPLERS)}, "
        "any class of optuna.samplers, and package.module:Class"
    )


def values(distribution: BaseDistribution, points: int) -> Sequence[Any]:
    """Return the values of one dimension of a grid: all that a stepped or categorical one has, else ``points``."""
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
    # rounding of the logarithm must not leave the range
    return [float(value) for value in np.clip(grid, distribution.low, distribution.high)]


def capacity(sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> float:
    """Return how many different points ``sampler`` can propose: those of a grid or a finite space, else infinity."""
    if isinstance(sampler, optuna.samplers.GridSampler):
        return math.prod(len(axis) for axis in sampler._search_space.values())
    if isinstance(sampler, optuna.samplers.BruteForceSampler):
        return math.prod(len(values(distribution, 1)) for distribution in space.values())
    return math.inf
