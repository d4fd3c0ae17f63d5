"""Finds search spaces by the name of their separator, and the studies that come with sepray by their own names.

The repository has the folders ``search_spaces/`` and ``studies/`` at its top; a wheel installs them as the packages
``sepray.search_spaces`` and ``sepray.studies``. Files are looked for beside sepray's own, or in the current folder. So
a package ``search_spaces`` of somebody else is never taken for them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from . import registry
from .arms import Arm
from .errors import UsageError, proposal
from .modules import own_modules, source

_HERE = Path(__file__).parent
_STUDY = re.compile(r"^STUDY\b.*=", re.MULTILINE)


@dataclass(frozen=True)
class SearchSpace:
    """Search space of a separator, and its published settings; the names are those of ``StudySpec``'s fields.

    Attributes:
        space: hyperparameter -> Optuna distribution (``SPACE`` of the file).
        reference_points: published settings by name (``PAPER``).
        reference_epochs: name of published settings -> epochs that their paper trains them for (``PAPER_EPOCHS``); a
            name is left out if the paper is silent.
        controls: changes to the best settings by name, trained beside them for the final table (``CONTROLS``).
        arms: alternatives that a study compares, by name, the control first (``ARMS``).
    """

    space: Mapping[str, Any]
    reference_points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arms: Mapping[str, Arm] = field(default_factory=dict)
    reference_epochs: Mapping[str, int] = field(default_factory=dict)


def search_space(separator: Any) -> SearchSpace | None:
    """Return the published search space of a separator, None if it has none.

    A separator of sepray has the file ``search_spaces/NAME.py`` of sepray; a variant (``cass:published``) has that of
    its own module (``cass_published``). Any other has ``search_spaces/NAME.py`` in the current folder, or else the
    constants ``SPACE``, ``PAPER``, ``CONTROLS``, ``ARMS`` and ``PAPER_EPOCHS`` in its own module. That module is
    imported only if its source has a ``SPACE``.

    Args:
        separator: a name as ``registry.config`` takes it, or a ``Config``. The result is None for an unknown name.

    Raises:
        UsageError: the file has no ``SPACE``, or others may have put it into the current folder.
    """
    if isinstance(separator, str):
        module = registry.module_name("sepray.separators", separator)
    else:
        module = type(separator).__module__
    package, _, name = module.rpartition(".")
    if package == "sepray.separators":
        return _read(_folder("search_spaces") / f"{name}.py")
    plugin = registry.plugin_of(module)
    if plugin is not None:
        name, module = plugin.name, plugin.module
    file = Path("search_spaces") / f"{name}.py"
    if file.is_file():
        own_modules.require_own_file(file)
    own = _read(file)
    if own is None and source.definition(module, "SPACE") is not None:
        return _space(importlib.import_module(module))
    return own


def search_spaces() -> dict[str, SearchSpace]:
    """Return the search spaces that come with sepray: name of the separator's module -> search space, sorted."""
    files = sorted(path for path in _folder("search_spaces").glob("*.py") if path.stem != "__init__")
    return {path.stem: _space(_module(path)) for path in files}


def studies() -> dict[str, Path]:
    """Return the studies that come with sepray: name (``cass_alpha_sweep``) -> file, which has a ``STUDY``; sorted."""
    files = sorted(_folder("studies").glob("*.py"))
    return {path.stem: path for path in files if _STUDY.search(path.read_text(encoding="utf-8"))}


def study(name: str) -> Path:
    """Return the file of a study that comes with sepray.

    Raises:
        UnknownNameError: there is no such study.
    """
    known = studies()
    if name not in known:
        meant = proposal(name, known)
        raise registry.UnknownNameError(f"unknown study {name!r}; {meant}there are: {', '.join(known)}")
    return known[name]


def _folder(name: str) -> Path:
    """Return a folder of the repository: in an installation it lies inside sepray, in a clone beside it."""
    inside = _HERE / name
    return inside if inside.is_dir() else _HERE.parent / name


def _read(path: Path) -> SearchSpace | None:
    return _space(_module(path)) if path.is_file() else None


def _module(path: Path) -> ModuleType:
    """Run a file as a module, and leave it out of ``sys.modules``: another package may have its name there."""
    spec = importlib.util.spec_from_file_location(f"search_spaces.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _space(module: ModuleType) -> SearchSpace:
    values = vars(module)
    if "SPACE" not in values:
        raise UsageError(f"{module.__file__} is no search space: it has no SPACE")
    found = (values.get(name, {}) for name in ("PAPER", "CONTROLS", "ARMS", "PAPER_EPOCHS"))
    return SearchSpace(values["SPACE"], *found)
