"""Finds separators and tasks by the name of their module, and configurations by ``module:name``.

A module ``a_b`` of sepray that says ``VARIANT_OF = "a"`` is a *variant* of the module ``a``, in a file of its own
because it shares little code with it: its ``Config()`` is the configuration ``a:b``, its constant ``NAME`` is
``a:b_name``. Everything that is stored knows a variant by the name ``a`` and the value ``b`` of the field ``variant``
(``home``, ``restored``).
So ``sepray/separators/cass_published.py`` holds ``cass:published`` and ``cass:published_small``.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UsageError

_OWN = "sepray."
_VARIANT = re.compile(r'^VARIANT_OF = "(\w+)"$', re.MULTILINE)


class UnknownNameError(UsageError):
    """No module or configuration has that name; the message lists those that exist."""


def names(package: str) -> tuple[str, ...]:
    """Return the names of the public modules of ``package`` (e.g. ``"sepray.tasks"``) without variants, sorted."""
    modules = _modules(package)
    return tuple(name for name in modules if _base(package, name) == name)


def variants(module: str) -> dict[str, str]:
    """Return the variants of a module of sepray: name (``published``) -> full name of the variant's module."""
    package, _, name = module.rpartition(".")
    if not package.startswith(_OWN):
        return {}
    modules = _modules(package)
    others = (other for other in modules if other != name and _base(package, other) == name)
    return {other.removeprefix(f"{name}_"): f"{package}.{other}" for other in others}


def home(module: str) -> str:
    """Return the full name under which a module's configurations are stored: a variant's is that of its base module."""
    package, _, name = module.rpartition(".")
    return f"{package}.{_base(package, name)}" if package.startswith(_OWN) else module


def find(package: str, name: str) -> ModuleType:
    """Return the module ``package.name``, or else the user's own module ``name`` (dots allowed) that has a ``Config``.

    After a colon ``name`` may have the name of a configuration; where a variant has it, that module is returned.

    Raises:
        UnknownNameError: there is no such module.
    """
    short, _, _ = name.partition(":")
    return importlib.import_module(module_name(package, name)) if short in names(package) else _users(package, short)


def module_name(package: str, name: str) -> str:
    """Return the full name of the module that ``find`` would return, without importing it; it may not exist.

    Where ``name`` has the name of a configuration after a colon, and a variant has it, this is the variant's module.
    """
    short, _, named = name.partition(":")
    if short not in names(package):
        return short
    module = f"{package}.{short}"
    return next((variant for text, variant in variants(module).items() if _belongs(named, text)), module)


def assigns(module: str, constant: str) -> bool:
    """Say whether the source of a module has a constant of that name; False where there is no source."""
    try:
        path = _file(module)
    except (ModuleNotFoundError, ValueError):
        return False
    targets: list[ast.expr] = []
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body if path is not None else ():
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets += node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == constant for target in targets)


def _users(package: str, name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, but something that it imports does not
        raise _unknown(package, name) from None
    if not hasattr(module, "Config"):
        raise UnknownNameError(f"the module {name!r} is no {_kind(package)}: it has no Config")
    return module


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
    """Refuse a name that ``config`` would not find, without importing the module (only the packages that it is in).

    Raises:
        UnknownNameError: there is no such module, or its source has no such configuration.
    """
    short, colon, named = name.partition(":")
    known = config_names(package, short)
    if colon and named not in known:
        raise _unknown_config(short, named, known)


def config_names(package: str, name: str) -> tuple[str, ...]:
    """Return the names that ``configs`` would return, from the sources, where ``Config`` or ``replace`` makes them.

    Raises:
        UnknownNameError: there is no such module.
    """
    found = list(_constants_in(_source(package, name)))
    for variant, path in variants(f"{package}.{name}").items() if name in names(package) else ():
        found += [variant, *(f"{variant}_{inner}" for inner in _constants_in(_file(path)))]
    return tuple(found)


def _constants_in(path: Path | None) -> Iterable[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path)).body if path is not None else []
    return (text for node in tree for text in _assigned(node))


def _source(package: str, name: str) -> Path | None:
    """Return the source file of a module, None where it has none (a compiled module).

    Raises:
        UnknownNameError: there is no such module.
    """
    try:
        return _file(f"{package}.{name}" if name in names(package) else name)
    except (ModuleNotFoundError, ValueError):
        raise _unknown(package, name) from None


def _file(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def _assigned(node: ast.stmt) -> list[str]:
    """Return the names of the configurations that a statement makes."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return []
    function = node.value.func
    called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [text.lower() for text in targets if text.isupper() and called in ("Config", "replace")]


def fields(package: str, name: str) -> frozenset[str] | None:
    """Return the names of the fields of the ``Config`` of ``module`` or ``module:name``, without importing it.

    None where the source alone does not tell: the class inherits, or is made elsewhere.
    """
    short, _, named = name.partition(":")
    path = _source(package, short)
    for variant, module in variants(f"{package}.{short}").items() if short in names(package) else ():
        path = _file(module) if _belongs(named, variant) else path
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body if path is not None else ():
        if isinstance(node, ast.ClassDef) and node.name == "Config" and not node.bases:
            annotated = (part for part in node.body if isinstance(part, ast.AnnAssign))
            own = (part.target for part in annotated if "ClassVar" not in ast.unparse(part.annotation))
            return frozenset(target.id for target in own if isinstance(target, ast.Name))
    return None


def restored(package: str, module: str, values: Mapping[str, Any]) -> Any:
    """Return the ``Config`` from the values that ``identity.plain`` gave, sequences being tuples again.

    Args:
        package: of sepray, e.g. ``"sepray.separators"``.
        module: ``home`` of the configuration's module.
        values: those of the fields, and of ``FORMER_FIELDS``, of which ``variant`` names the variant.

    Raises:
        UnknownNameError: there is no such module.
    """
    base = find(package, module)
    kind = find(package, variants(base.__name__).get(str(values.get("variant")), module)).Config
    return kind(**{name: value for name, value in values.items() if name not in getattr(kind, "FORMER_FIELDS", ())})


def _modules(package: str) -> list[str]:
    """Return the names of the public modules of a package, variants among them, sorted."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


@functools.cache
def _base(package: str, name: str) -> str:
    """Return the module that ``name`` declares to be a variant of, from its source; itself if it declares none."""
    if "_" not in name or not package.startswith(_OWN):
        return name
    path = Path(importlib.import_module(package).__path__[0]) / f"{name}.py"
    declared = _VARIANT.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return declared[1] if declared and name.startswith(f"{declared[1]}_") else name


def _belongs(config: str, variant: str) -> bool:
    return config == variant or config.startswith(f"{variant}_")


def _kind(package: str) -> str:
    return package.rpartition(".")[2].rstrip("s")


def _unknown_config(module: str, name: str, known: Iterable[str]) -> UnknownNameError:
    choices = ", ".join(f"{module}:{text}" for text in sorted(known)) or "none"
    return UnknownNameError(f"{module} has no configuration {name!r}; there are: {choices}")


def _unknown(package: str, name: str) -> UnknownNameError:
    choices = ", ".join(names(package))
    return UnknownNameError(f"unknown {_kind(package)} {name!r}; there are: {choices}, or a module of your own")
