"""Finds separators, tasks and search spaces by the name of their module. Imports nothing from sepray."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType


class UnknownNameError(ValueError):
    """No module has that name; the message lists those that there are."""


def names(package: str) -> tuple[str, ...]:
    """Return the names of the public modules of ``package`` (e.g. ``"sepray.tasks"``), sorted."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")))


def find(package: str, name: str) -> ModuleType:
    """Return the module ``package.name``, or else the user's own module ``name`` (dots allowed) that has a ``Config``.

    Raises:
        UnknownNameError: there is no such module.
    """
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


def check(package: str, name: str) -> None:
    """Refuse a name that ``find`` would not find, without importing the module (only the packages that it is in).

    Raises:
        UnknownNameError: there is no such module.
    """
    if name in names(package):
        return
    try:
        found = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):
        found = None
    if found is None:
        raise _unknown(package, name)


def fields(package: str, name: str) -> frozenset[str] | None:
    """Return the names of the fields of a module's ``Config``, read from its source without importing it.

    None where the source alone does not tell: the class inherits, or is made elsewhere.
    """
    found = importlib.util.find_spec(f"{package}.{name}" if name in names(package) else name)
    if found is None or not found.origin or not found.origin.endswith(".py"):
        return None
    for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == "Config" and not node.bases:
            targets = (part.target for part in node.body if isinstance(part, ast.AnnAssign))
            return frozenset(target.id for target in targets if isinstance(target, ast.Name))
    return None


def _unknown(package: str, name: str) -> UnknownNameError:
    kind = package.rpartition(".")[2].rstrip("s")
    return UnknownNameError(f"unknown {kind} {name!r}; there are: {', '.join(names(package))}, or a module of your own")
