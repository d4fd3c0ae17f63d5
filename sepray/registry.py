"""Finds separators, tasks and search spaces by the name of their module. Imports nothing from sepray."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UsageError


class UnknownNameError(UsageError):
    """No module has that name; the message lists those that there are."""


def names(package: str) -> tuple[str, ...]:
    """Return the names of the public modules of ``package`` (e.g. ``"sepray.tasks"``), sorted."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")))


def find(package: str, name: str) -> ModuleType:
    """Return the module ``package.name``, or else the user's own module ``name`` (dots allowed) that has a ``Config``.

    What follows a colon, the name of a configuration, does not matter here.

    Raises:
        UnknownNameError: there is no such module.
    """
    name = name.partition(":")[0]
    if name in names(package):
        return importlib.import_module(f"{package}.{name}")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, but something that it imports is not
        raise _unknown(package, name) from None
    if not hasattr(module, "Config"):
        kind = package.rpartition(".")[2].rstrip("s")
        raise UnknownNameError(f"the module {name!r} is no {kind}: it has no Config")
    return module


def config(package: str, name: str) -> Any:
    """Return a module's ``Config()``, or for ``module:name`` its named configuration: the constant ``NAME``.

    Raises:
        UnknownNameError: there is no such module, or it has no such configuration.
    """
    module, (short, colon, named) = find(package, name), name.partition(":")
    if not colon:
        return module.Config()
    known = configs(module)
    if named not in known:
        raise _unknown_config(short, named, known)
    return known[named]


def configs(module: ModuleType) -> dict[str, Any]:
    """Return a module's named configurations: its constants that are a ``Config``, by their names in small letters."""
    return {name.lower(): v for name, v in vars(module).items() if name.isupper() and type(v) is module.Config}


def check(package: str, name: str) -> None:
    """Refuse a name that ``config`` would not find, without importing the module (only the packages that it is in).

    Raises:
        UnknownNameError: there is no such module, or its source has no such configuration.
    """
    short, colon, named = name.partition(":")
    known = config_names(package, short)
    if colon and named not in known:
        raise _unknown_config(short, named, known)


def config_names(package: str, name: str) -> tuple[str, ...]:
    """Return the names of a module's named configurations, from its source, where ``Config`` or ``replace`` makes them.

    Raises:
        UnknownNameError: there is no such module.
    """
    path = _source(package, name)
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path)).body if path is not None else []
    return tuple(text for node in tree for text in _made(node))


def _source(package: str, name: str) -> Path | None:
    """Return the file of a module, None where it is no file of Python.

    Raises:
        UnknownNameError: there is no such module.
    """
    try:
        found = importlib.util.find_spec(f"{package}.{name}" if name in names(package) else name)
    except (ModuleNotFoundError, ValueError):
        found = None
    if found is None:
        raise _unknown(package, name)
    return Path(found.origin) if found.origin and found.origin.endswith(".py") else None


def _made(node: ast.stmt) -> list[str]:
    """Return the names of the configurations that a statement makes."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return []
    function = node.value.func
    called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [text.lower() for text in targets if text.isupper() and called in ("Config", "replace")]


def fields(package: str, name: str) -> frozenset[str] | None:
    """Return the names of the fields of a module's ``Config``, read from its source without importing it.

    None where the source alone does not tell: the class inherits, or is made elsewhere.
    """
    found = importlib.util.find_spec(f"{package}.{name}" if name in names(package) else name)
    if found is None or not found.origin or not found.origin.endswith(".py"):
        return None
    for node in ast.parse(Path(found.origin).read_text(encoding="utf-8"), found.origin).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config" and not node.bases:
            targets = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
            return frozenset(target.id for target in targets if isinstance(target, ast.Name))
    return None


def _unknown_config(module: str, name: str, known: Iterable[str]) -> UnknownNameError:
    there = ", ".join(f"{module}:{text}" for text in sorted(known)) or "none"
    return UnknownNameError(f"{module} has no configuration {name!r}; there are: {there}")


def _unknown(package: str, name: str) -> UnknownNameError:
    kind = package.rpartition(".")[2].rstrip("s")
    return UnknownNameError(f"unknown {kind} {name!r}; there are: {', '.join(names(package))}, or a module of your own")
