"""The state of CMA-ES in the Optuna storage as JSON: Optuna would keep a pickle, which may run code when it is read.

Whoever may write to a shared storage could so run code as everybody who goes on with the study.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
from optuna.samplers import _cmaes

from ..errors import StorageError

_OPTIMIZERS = ("CMA", "SepCMA", "CMAwM")  # classes of the package cmaes
_ARRAY, _OPTIMIZER, _RANDOM, _TUPLE = "array", "optimizer", "random", "tuple"


def dumps(optimizer: Any) -> bytes:
    """Return an optimizer of the package cmaes as JSON.

    Raises:
        TypeError: the optimizer holds a value of a type that JSON cannot hold here.
    """
    return json.dumps(_plain(optimizer)).encode()


def loads(content: bytes) -> Any:
    """Return the optimizer that ``dumps`` was given, with a new random state, which Optuna seeds.

    Raises:
        StorageError: ``content`` is something else, such as a pickle.
    """
    try:
        optimizer = _built(json.loads(content))
        if type(optimizer).__name__ not in _OPTIMIZERS:
            raise TypeError("no optimizer")
        return optimizer
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise StorageError(
            "the state of CMA-ES in the storage is none that this sepray writes (a pickle of Optuna's, which could run "
            "code, is not read): begin the study under another --name, or go on with --sampler tpe"
        ) from error


def store_state_as_json() -> None:
    """Let Optuna's CMA-ES keep its state as JSON from now on."""
    _cmaes.pickle = _JSON  # type: ignore[attr-defined, assignment]


class _Codec:
    """Stands for the module ``pickle``: the functions that Optuna calls."""

    dumps = staticmethod(dumps)
    loads = staticmethod(loads)


_JSON = _Codec()


def _plain(value: Any) -> Any:
    """Return the JSON form of a value."""
    if isinstance(value, np.ndarray):
        return {_ARRAY: value.tolist(), "shape": value.shape, "dtype": value.dtype.str}
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.random.RandomState):
        return {_RANDOM: None}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(part) for part in value]}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    kind = type(value).__name__
    if kind in _OPTIMIZERS:
        state = value.__getstate__() if hasattr(type(value), "__setstate__") else vars(value)
        return {_OPTIMIZER: kind, "state": {name: _plain(part) for name, part in state.items()}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{kind} has no JSON form")


def _built(value: Any) -> Any:
    """Return a value from its JSON form."""
    if isinstance(value, list):
        return [_built(part) for part in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        kind = np.dtype(value["dtype"])
        if kind.hasobject:
            raise ValueError("an array of objects")
        return np.array(value[_ARRAY], kind).reshape(value["shape"])
    if _TUPLE in value:
        return tuple(_built(part) for part in value[_TUPLE])
    if _RANDOM in value:
        return np.random.RandomState()
    if value[_OPTIMIZER] not in _OPTIMIZERS:
        raise ValueError(f"no optimizer {value[_OPTIMIZER]}")
    cmaes = importlib.import_module("cmaes")

    kind = getattr(cmaes, value[_OPTIMIZER])
    optimizer = kind.__new__(kind)
    state = {str(name): _built(part) for name, part in value["state"].items()}
    if hasattr(kind, "__setstate__"):
        optimizer.__setstate__(state)
    else:
        vars(optimizer).update(state)
    return optimizer
