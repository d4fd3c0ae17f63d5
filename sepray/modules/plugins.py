"""Finds the separators and tasks that other installed packages announce as entry points.

A package with ``[project.entry-points."sepray.separators"]`` and ``echo = "lab_echo.separator"`` in its pyproject.toml
gives sepray the separator ``echo``, whose module is ``lab_echo.separator``. Tasks are in the group ``sepray.tasks``.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from . import source

_NAME = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Plugin:
    """A name that an installed package announces.

    Attributes:
        name: the name.
        module: full name of its module.
        origin: the package and its version (``lab-echo 1.0``), or all packages that announce the name.
        problem: why the name cannot be used, in one line; None if it can.
    """

    name: str
    module: str
    origin: str
    problem: str | None = None


def announced(package: str, taken: Collection[str]) -> dict[str, Plugin]:
    """Return the separators or tasks that installed packages announce, by name, without importing them.

    Args:
        package: ``"sepray.separators"`` or ``"sepray.tasks"``: the group of the entry points.
        taken: names of the modules that sepray itself has there.
    """
    claims: dict[str, list[EntryPoint]] = {}
    for point in _entry_points(package, tuple(sys.path)):
        claims.setdefault(point.name, []).append(point)
    return {name: _plugin(package, points, name in taken) for name, points in sorted(claims.items())}


@functools.lru_cache(maxsize=16)
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; the search path is an argument because they depend on it."""
    return tuple(entry_points(group=group))


def _plugin(package: str, points: list[EntryPoint], shadows: bool) -> Plugin:
    first = points[0]
    what = f"the {package.rpartition('.')[2].rstrip('s')} {first.name!r}"
    claimed = [f"{_origin(point)} ({point.value})" for point in points]
    problem = None
    if shadows or len(points) > 1:
        both = " and ".join([f"sepray ({package}.{first.name})"] * shadows + claimed)
        problem = (
            f"{what} is claimed by {both}; uninstall one of them, or give the full name of the module that you mean"
        )
    elif not _NAME.fullmatch(first.name):
        problem = f"{what} of {claimed[0]} must have a name of letters, digits and underscores"
    elif not _MODULE.fullmatch(first.value):
        problem = f"{what} of {_origin(first)} must name a module, not {first.value!r}"
    else:
        problem = _unreadable(what, first)
    return Plugin(first.name, first.value, ", ".join(_origin(point) for point in points), problem)


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


def _unreadable(what: str, point: EntryPoint) -> str | None:
    """Say why the source of a module cannot be read; None if it can."""
    try:
        source.tree(point.value)
    except ModuleNotFoundError:
        return f"{what} of {_origin(point)} is missing: there is no module {point.value}"
    except (SyntaxError, ValueError, OSError) as error:
        return f"{what} of {_origin(point)} cannot be read: {' '.join(str(error).split())}"
    return None
