"""Finds separators and tasks by the name of their module, and configurations by ``module:name``.

A module ``a_b`` of sepray that says ``VARIANT_OF = "a"`` is a *variant* of the module ``a``. It has a file of its own
because the two share little code. Its ``Config()`` is the configuration ``a:b``, and its constant ``NAME`` is
``a:b_name``. So ``sepray/separators/cass_published.py`` holds ``cass:published`` and ``cass:published_small``.

A stored configuration of a variant names the module ``a``, and has ``b`` in the field ``variant`` (``stored_module``,
``restored``). A variant with a constant ``STORED_AS`` has that value there instead, so that it can be renamed.

A name is looked for in sepray itself, then among those that installed packages announce (``plugins``), then as a module
that can be imported, such as a file in the current folder.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from . import shapes
from .disk import private_list
from .errors import UsageError, proposal
from .modules import definitions, own_modules, plugins, source
from .modules.plugins import Plugin

_METHODS = {"sepray.separators": "build", "sepray.tasks": "load"}
_VARIANT = re.compile(r'^VARIANT_OF = "(\w+)"$', re.MULTILINE)
_STORED_AS = re.compile(r'^STORED_AS = "(\w+)"$', re.MULTILINE)


class UnknownNameError(UsageError):
    """No module or configuration has that name; the message lists those that exist."""


class MisfitError(TypeError):
    """Stored values do not fit the fields of a ``Config``; the message names the first one that is wrong."""


def names(package: str) -> tuple[str, ...]:
    """Return the names that can be used for ``package`` (e.g. ``"sepray.tasks"``), sorted.

    These are its public modules without variants, and what installed packages announce.
    """
    announced = {name for name, plugin in announced_modules(package).items() if plugin.problem is None}
    return tuple(sorted(announced.union(_shipped(package))))


def _shipped(package: str) -> list[str]:
    modules = _modules(package)
    return [name for name in modules if _base(package, name) == name]


def announced_modules(package: str) -> dict[str, Plugin]:
    """Return the plug-ins that installed packages announce for a package of sepray, by name; some cannot be used."""
    return plugins.announced(package, _modules(package))


def variants(module: str) -> dict[str, str]:
    """Return the variants of a module of sepray: name (``published``) -> full name of the variant's module."""
    package, _, name = module.rpartition(".")
    if package not in _METHODS:
        return {}
    modules = _modules(package)
    others = (other for other in modules if other != name and _base(package, other) == name)
    return {other.removeprefix(f"{name}_"): f"{package}.{other}" for other in others}


def stored_variants(module: str) -> dict[str, str]:
    """Return the variants of a module of sepray: value of ``variant`` in what is stored -> name (``published``)."""
    found = {}
    for name, path in variants(module).items():
        declared = _STORED_AS.search(_text(path))
        found[declared[1] if declared else name] = name
    return found


def stored_module(module: str) -> str:
    """Return the full name under which a module's configurations are stored: a variant's is that of its base module."""
    package, _, name = module.rpartition(".")
    return f"{package}.{_base(package, name)}" if package in _METHODS else module


def find(package: str, name: str) -> ModuleType:
    """Return the module that a name stands for: sepray's, an announced one, or else the user's own (dots allowed).

    ``name`` may end with a colon and the name of a configuration. If a variant has that configuration, the variant's
    module is returned.

    Raises:
        UnknownNameError: there is no such module, it has no ``Config``, or two packages claim the name.
    """
    path = module_name(package, name)
    if not path or path.startswith("."):
        raise _unknown(package, path)
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise  # the module exists, but something that it imports does not
        raise _unknown(package, path) from None
    if not hasattr(module, "Config"):
        raise UnknownNameError(f"the module {path!r} is no {_kind(package)}: it has no Config")
    return module


def module_name(package: str, name: str) -> str:
    """Return the full name of the module that ``find`` would return, without importing it; it may not exist.

    Raises:
        UnknownNameError: an installed package announces the name, and it cannot be used.
    """
    short, _, named = name.partition(":")
    plugin = announced_modules(package).get(short)
    if plugin is not None:
        if plugin.problem is not None:
            raise UnknownNameError(plugin.problem)
        return plugin.module
    if short not in _shipped(package):
        return short
    module = f"{package}.{short}"
    return next((variant for text, variant in variants(module).items() if _belongs(named, text)), module)


def key(module: str) -> str:
    """Return the short name of the module of a ``Config``: the name that its package announces, or else the last part.

    A variant has the name of its base module.
    """
    plugin = plugin_of(module)
    return plugin.name if plugin is not None else stored_module(module).rpartition(".")[2]


def plugin_of(module: str) -> Plugin | None:
    """Return the announced plug-in whose ``Config`` is defined in a module; None if there is none."""
    for package in ("sepray.separators", "sepray.tasks"):
        for plugin in announced_modules(package).values():
            if plugin.problem is None and module in (plugin.module, _defining(plugin.module)):
                return plugin
    return None


def _defining(module: str) -> str | None:
    """Return the module that defines a module's ``Config``: another module, if ``Config`` is imported."""
    found = source.definition(module, "Config")
    return found[0] if found is not None else None


def config(package: str, name: str) -> Any:
    """Return a module's ``Config()``, or for ``module:name`` its named configuration.

    Raises:
        UnknownNameError: there is no such module, or it has no such configuration.
    """
    short, colon, named = name.partition(":")
    module = find(package, short)
    if not colon:
        return module.Config()
    known = configs(module)
    if named not in known:
        raise _unknown_config(short, named, known)
    return known[named]


def configs(module: ModuleType) -> dict[str, Any]:
    """Return a module's named configurations and those of its variants, by name.

    A named configuration is a constant that is a ``Config``; its name is that of the constant in small letters.
    """
    known = _constants(module)
    for name, path in variants(module.__name__).items():
        variant = importlib.import_module(path)
        known |= {name: variant.Config()} | {f"{name}_{inner}": v for inner, v in _constants(variant).items()}
    return known


def _constants(module: ModuleType) -> dict[str, Any]:
    return {name.lower(): v for name, v in vars(module).items() if name.isupper() and type(v) is module.Config}


def check(package: str, name: str) -> None:
    """Refuse a name that ``config`` would not find, without importing the module or the packages that it is in.

    Raises:
        UnknownNameError: there is no such module, its name cannot be used, or its source has no such configuration.
    """
    short, colon, named = name.partition(":")
    known = config_names(package, short)
    if colon and named not in known:
        raise _unknown_config(short, named, known)


def config_names(package: str, name: str) -> tuple[str, ...]:
    """Return the names that ``configs`` would return, read from the sources.

    Only constants are found that a call of ``Config`` or ``replace`` makes.

    Raises:
        UnknownNameError: there is no such module, or its name cannot be used.
    """
    module = _existing(package, name)
    found = _constants_in(module)
    for variant, path in variants(module).items():
        found += [variant, *(f"{variant}_{inner}" for inner in _constants_in(path))]
    return tuple(found)


def _existing(package: str, name: str) -> str:
    """Return the full name of a module, which exists.

    Raises:
        UnknownNameError: there is no such module, or its name cannot be used.
    """
    module = module_name(package, name)
    try:
        source.file(module)
    except (ModuleNotFoundError, ValueError):
        raise _unknown(package, module) from None
    return module


def _constants_in(module: str) -> list[str]:
    """Return the names of the configurations that the source of a module makes, or imports from its own package."""
    found = []
    for node in source.tree(module).body:
        if isinstance(node, ast.ImportFrom):
            constants = [alias.asname or alias.name for alias in node.names if (alias.asname or alias.name).isupper()]
            found += [name for name in constants if _makes_config(source.definition(module, name))]
        elif _makes_config((module, node)):
            found += [name for name in source.assigned(node)[0] if name.isupper()]
    return [name.lower() for name in found]


def _makes_config(found: source.Found | None) -> bool:
    """Say whether a statement assigns what ``Config`` or ``replace`` returns."""
    value = source.assigned(found[1])[1] if found is not None else None
    if not isinstance(value, ast.Call):
        return False
    function = value.func
    return (function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")) in ("Config", "replace")


def fields(package: str, name: str) -> frozenset[str] | None:
    """Return the names of the fields of the ``Config`` of ``module`` or ``module:name``, without importing it.

    None if the source alone does not tell (``source.fields``).

    Raises:
        UnknownNameError: there is no such module, or its name cannot be used.
    """
    return source.fields(_existing(package, name), "Config")


def restored(package: str, module: str, values: Mapping[str, Any]) -> Any:
    """Return the ``Config`` from the values that ``identity.plain`` gave; lists become tuples again.

    Args:
        package: package of sepray that holds the module, e.g. ``"sepray.separators"``.
        module: ``stored_module`` of the configuration's module.
        values: values by field. ``variant`` selects the variant. Fields in the class's ``FORMER_FIELDS`` are left out.
            A field in its ``LATER_FIELDS`` that has no value gets the one there, which keeps the behaviour of the
            version that stored the values.

    Raises:
        UnknownNameError: there is no such module (the message says which package to install), or only the storage
            names it (``require_named``).
        MisfitError: the ``Config`` has no such field, a field without a default has no value, or the ``Config`` refuses
            a value that is not of its field's type. Other errors of its own code pass through.
    """
    top = module.partition(".")[0]
    if not package.startswith(f"{top}.") and top not in sys.modules and importlib.util.find_spec(top) is None:
        raise UnknownNameError(
            f"the {_kind(package)} is {module}, but {top} cannot be imported: install the package that has it, or "
            "start where its file lies"
        )
    require_named(package, module)
    base = find(package, module)
    variant = stored_variants(base.__name__).get(str(values.get("variant")))
    kind = (base if variant is None else importlib.import_module(variants(base.__name__)[variant])).Config
    own = {name: value for name, value in values.items() if name not in getattr(kind, "FORMER_FIELDS", ())}
    own = {**getattr(kind, "LATER_FIELDS", {}), **own}
    try:
        inspect.signature(kind).bind(**own)
    except TypeError as error:
        raise MisfitError(str(error)) from None
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in own.items()})
    except UsageError:
        raise
    except Exception as error:
        if wrong := _misfit(kind, own):
            raise MisfitError(wrong) from error
        raise


def _misfit(kind: Any, values: Mapping[str, Any]) -> str:
    """Return the error of the first stored value that does not have the form of its field's type; empty if all have."""
    with contextlib.suppress(Exception):  # annotations that cannot be resolved say nothing
        for name, hint in typing.get_type_hints(kind).items():
            with contextlib.suppress(TypeError):  # shapes knows no form of that type
                if name in values and not shapes.fits(values[name], hint):
                    return f"{name} is {values[name]!r:.80}"
    return ""


def require_named(package: str, module: str) -> None:
    """Refuse a module that a storage names and this user does not know.

    Otherwise everybody who may write to the storage could have any module imported here. These may be imported:

    - modules of sepray, and those that installed packages announce;
    - modules that a command of this user has named, where they lay then (``own_modules``);
    - a separator or task that this process has imported already;
    - a file in the current folder that only defines one, and that nobody else can have written (``definitions``).

    Raises:
        UnknownNameError: this user does not know the module.
    """
    path, method = module_name(package, module), _METHODS[package]
    parent, _, short = path.rpartition(".")
    announced = [plugin.module for plugin in announced_modules(package).values() if plugin.problem is None]
    if (parent == package and short in _modules(package)) or path in [*announced, *map(_defining, announced)]:
        return
    if own_modules.is_known(path, formerly=private_list.is_named("module", path)):
        return
    loaded = getattr(sys.modules.get(path), "Config", None)
    if dataclasses.is_dataclass(loaded) and callable(getattr(loaded, method, None)):
        return
    if path not in sys.modules and definitions.only_defines(path, "Config", method, Path.cwd().resolve()):
        return
    raise UnknownNameError(
        f"the storage names the {_kind(package)} {module}, which no command of yours has named here, so it is not "
        f"imported. If you trust it, set {own_modules.how_to_trust(path)}"
    )


def _modules(package: str) -> list[str]:
    """Return the names of the public modules of a package, variants among them, sorted."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


@functools.cache
def _base(package: str, name: str) -> str:
    """Return the module that ``name`` declares to be a variant of, from its source; itself if it declares none."""
    if "_" not in name or package not in _METHODS:
        return name
    declared = _VARIANT.search(_text(f"{package}.{name}"))
    return declared[1] if declared and name.startswith(f"{declared[1]}_") else name


@functools.cache
def _text(module: str) -> str:
    """Return the source of a module of a package of sepray, empty if it is no single file."""
    package, _, name = module.rpartition(".")
    path = Path(importlib.import_module(package).__path__[0]) / f"{name}.py"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _belongs(config: str, variant: str) -> bool:
    return config == variant or config.startswith(f"{variant}_")


def _kind(package: str) -> str:
    return package.rpartition(".")[2].rstrip("s")


def _unknown_config(module: str, name: str, known: Iterable[str]) -> UnknownNameError:
    there = sorted(known)
    choices = ", ".join(f"{module}:{text}" for text in there) or "none"
    return UnknownNameError(f"{module} has no configuration {name!r}; {proposal(name, there)}there are: {choices}")


def _unknown(package: str, name: str) -> UnknownNameError:
    known = names(package)
    what = f"unknown {_kind(package)} {name!r}"
    base = _base(package, name) if name in _modules(package) else name
    meant = proposal(name, known) if base == name else f"it is named {base}:{name.removeprefix(f'{base}_')}; "
    return UnknownNameError(
        f"{what}; {meant}there are: {', '.join(known)}, or a module of your own{own_modules.hint()}"
    )
