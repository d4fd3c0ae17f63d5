"""Knows the user's own modules: those that commands have named, their files, and the folder that they are found in.

A name alone says little: another person's folder may have a module of that name.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from ..disk import private_list
from ..errors import UsageError
from ..plain_text import in_one_line
from . import definitions, source

TRUSTED = "SEPRAY_TRUST_MODULES"
"""Environment variable with modules, separated by commas, that may be imported when a storage or a model names them.

An installed module or one of the user's own is given by its name, any other by the path of its file."""
_INSTALLED = "installed"
_METADATA = (".dist-info", "egg-info")  # egg-info may also be within a folder x.egg


def remember(module: str) -> None:
    """Remember that a command of this user has named a module, and the file that it lies in now.

    Args:
        module: its full name.
    """
    if location := _location(module):
        private_list.remember_named("module-at", f"{module}\n{location}")


def is_known(module: str, formerly: bool = False) -> bool:
    """Say whether this user has named a module, in a command or in ``TRUSTED``, and it still lies where it lay then.

    Args:
        module: its full name.
        formerly: whether an older version has remembered its name, without its location. Then files that nobody else
            can have written are taken for the module.
    """
    location = _location(module)
    if location is None:
        return False
    given = _given()
    if any(os.path.isabs(each) and Path(each).resolve() == Path(location) for each in given):
        return True
    if location == _INSTALLED:
        return module in given or formerly or _was_named(module, location)
    if module in given or _was_named(module, location):
        return _is_own(module, Path(location))
    return formerly and definitions.are_own(module, _root(module, Path(location)))


def how_to_trust(module: str) -> str:
    """Return the setting with which ``is_known`` accepts a module: ``VARIABLE=value``."""
    location = _location(module)
    of_others = location not in (None, _INSTALLED) and not _is_own(module, Path(location or ""))
    return f"{TRUSTED}={location if of_others else module}"


def add_current_folder() -> None:
    """Let modules be imported from the current folder, after installed packages, if the folder is this user's alone.

    The folder is left out if others may put files there. It is also left out if it announces modules (entry points), as
    an installed package does: torch and MLflow import whatever a folder of the search path announces. In an archive
    that was unpacked there that may be anything.
    """
    here = os.getcwd()
    if here not in sys.path and (_why_not(Path(here)) is None or _is_trusted(Path(here))):
        sys.path.append(here)


def add_named_folder(folder: Path) -> None:
    """Let modules be imported from the folder of a file that the user has named, after installed packages.

    The folder may belong to anybody; it is left out if it announces modules, as the current folder is.
    """
    if str(folder) not in sys.path and _announcing(folder) is None:
        sys.path.append(str(folder))


def require_own_file(path: Path) -> None:
    """Refuse to run a file of the current folder if modules would not be imported from there either.

    Args:
        path: the file, relative to the current folder.

    Raises:
        UsageError: others may have put it there, and the user has not named it in ``TRUSTED``.
    """
    here, file = Path.cwd(), path.absolute()
    if {"", str(here)} & set(sys.path):
        return
    given = [Path(each).resolve() for each in _given() if os.path.isabs(each)]
    inside = [file, *(folder for folder in file.parents if here in folder.parents)]
    if file.resolve() in given or (_why_not(here) is None and _are_of_user(inside)):
        return
    why = _why_not(here) or "others may have put it there"
    raise UsageError(f"{path} is not run: {why}. If you trust it, set {TRUSTED}={file.resolve()}")


def hint() -> str:
    """Return the part of a message that says why the current folder is not searched; empty if it is searched."""
    try:
        why = None if {"", os.getcwd()} & set(sys.path) else _why_not(Path.cwd())
    except OSError:  # the folder is gone
        return ""
    return "" if why is None else f" ({why}; if you trust its modules, set PYTHONPATH=.)"


def _given() -> list[str]:
    """Return the modules that ``TRUSTED`` names."""
    return [each.strip() for each in os.environ.get(TRUSTED, "").split(",") if each.strip()]


def _why_not(folder: Path) -> str | None:
    """Return why no modules are imported from a folder that the user has not chosen; None if they may be."""
    if not _are_of_user([folder]):
        return "others may put files into this folder"
    announcing = _announcing(folder)
    return announcing and f"{in_one_line(announcing)} here announces modules to libraries, which import them"


def _announcing(folder: Path) -> str | None:
    """Return the name of metadata in a folder that announce entry points; None if there are none."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.lower().endswith(_METADATA))
    except OSError:  # libraries cannot list the folder either
        return None
    return next((name for name in names if (folder / name / "entry_points.txt").exists()), None)


def _was_named(module: str, location: str) -> bool:
    return private_list.is_named("module-at", f"{module}\n{location}")


def _is_trusted(folder: Path) -> bool:
    paths = (Path(each) for each in _given() if os.path.isabs(each))
    return folder.resolve() in {above for path in paths for above in path.resolve().parents}


def _location(module: str) -> str | None:
    """Return the file that a module is read from, with links resolved; ``_INSTALLED`` if it is installed, or None."""
    try:
        origin = source.origin(module)
    except (ModuleNotFoundError, ValueError):
        return None
    if origin is None or not os.path.isabs(origin):  # built-in, or of a kind that has no file
        return None
    path = Path(origin).resolve()
    return _INSTALLED if definitions.is_installed(path) else str(path)


def _root(module: str, file: Path) -> Path:
    """Return the folder on the search path that a module's file was found from."""
    return file.parents[module.count(".") + (file.name == "__init__.py")]


def _is_own(module: str, file: Path) -> bool:
    """Say whether a module's file, and its folders up to the one on the search path, are this user's."""
    root = _root(module, file)
    return _are_of_user([file, *(folder for folder in file.parents if folder == root or root in folder.parents)])


def _are_of_user(paths: Iterable[Path]) -> bool:
    """Say whether files and folders belong to this user or root, and not everybody may write to them.

    Their group may write to them, because the owner has allowed that.
    """
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return False
    return all(each.st_uid in (os.geteuid(), 0) and not each.st_mode & stat.S_IWOTH for each in found)
