"""Finds the source files that a separator needs, and copies them and its data files under another package name."""

from __future__ import annotations

import ast
import codecs
import csv
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import UsageError

OWN = "sepray"
_INSTALLED = {"site-packages", "dist-packages"}
_CODE = {".py", ".pyi", ".pyc", ".so", ".pyd", ".dylib", ".dll"}
_CODING = re.compile(r"^([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+", re.ASCII)  # names an encoding (PEP 263)
_UNREADABLE = (SyntaxError, ValueError, LookupError)  # raised for a file that Python could not read as a module either


class PackagingError(UsageError):
    """The separator cannot be packaged; the message says why."""


def collect(*modules: str) -> dict[str, Path]:
    """Return the modules that travel with a model, as module name -> file: the given ones and those that they import.

    Modules of sepray travel, modules of the same top-level packages or installed distributions as ``modules``, and
    modules outside site-packages, which are the user's own. The ``__init__.py`` of the user's packages travel too,
    because Python runs them. All other modules are those of installed libraries. A file with errors, which nothing can
    import, travels as it is.

    Raises:
        PackagingError: a module is the started script, or has no Python source file.
    """
    if without := [name for name in modules if _file(name) is None]:
        raise PackagingError(
            f"module {without[0]!r} has no source file to package; put the separator in a file of its own"
        )
    own = _own_top_levels(modules)
    files: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in files or path is None:  # the module has no source file; if it is needed, ``load_check`` will fail
            continue
        files[name] = path
        if not _is_of(name, {OWN}):
            waiting += _packages_around(name)
        waiting += [module for module in _imports(path, name, own) if _travels(module, own)]
    return files


def copy(files: Mapping[str, Path], folder: Path) -> str:
    """Write the files as a package of their own into ``folder``; return the package's name.

    Its name has a digest of its content, so that one process can hold models with different code. The user's own
    modules go to the sub-package ``user``, with the data files of installed packages. Imports of copied modules are
    rewritten to import the copies.
    """
    digest = hashlib.sha256()
    data = package_data(files)
    for name, path in sorted([*files.items(), *((str(name), path) for name, path in data.items())]):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    package = f"{OWN}_model_{digest.hexdigest()[:12]}"
    own = top_levels(files)
    for name, path in files.items():
        target = folder / Path(*_name_in_copy(name, package).split("."))
        target = target / "__init__.py" if path.name == "__init__.py" else target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(rewritten(path, own, package))
    for directory in [p for p in (folder / package).rglob("*") if p.is_dir()] + [folder / package]:
        (directory / "__init__.py").touch()
    for inner, path in data.items():
        target = folder / package / "user" / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return package


def package_data(files: Iterable[str]) -> dict[Path, Path]:
    """Return the data files that installers put into the packages of the user's modules: path in the package -> file.

    Only files that an installed distribution lists are taken. Beside modules that are not installed anything may lie.
    """
    tops = top_levels(files) - {OWN}
    found: dict[Path, Path] = {}
    for name in sorted(_distributions(tops)):
        for path in _listed(importlib.metadata.distribution(name)) or ():
            file = Path(str(path.locate()))
            is_code = path.suffix in _CODE or path.name == "py.typed"
            if path.parts[0] in tops and len(path.parts) > 1 and not is_code and file.is_file():
                found[Path(path)] = file
    return found


def rewritten(path: Path, own: Iterable[str], package: str) -> bytes:
    """Return a source file as it is in a copied package: UTF-8, and its absolute imports lead to other copied files.

    A file with errors is copied as it is.

    Args:
        path: the source file.
        own: top-level names whose modules are copied.
        package: name of the copied package.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return _rewrite(_text(path), own, package).encode()
    except _UNREADABLE:
        return path.read_bytes()


def name_in_copy(name: str) -> str:
    """Return the name of a module inside the copied package, e.g. ``separators.cass``."""
    return _name_in_copy(name, "").lstrip(".")


def top_levels(files: Iterable[str]) -> frozenset[str]:
    """Return the top-level names of collected modules, ``sepray`` among them."""
    return frozenset({OWN, *(_top(name) for name in files)})


def requirements(files: Mapping[str, Path], *always: str) -> list[str]:
    """Return the pinned distributions that the files import, and those named in ``always``."""
    distributions = _providers()
    own = top_levels(files)
    names = set(always)
    for name, path in files.items():
        for module in _imports(path, name, own):
            if not _travels(module, own) and _top(module) not in sys.stdlib_module_names:
                found = distributions.get(_top(module), [])
                names.update([_top(module)] if _top(module) in found else found[:1])  # mlflow-tracing has mlflow too
    # A local version (torch 2.11.0+cpu) names a build that package indexes do not have.
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in sorted(names)]


def _own_top_levels(modules: Iterable[str]) -> frozenset[str]:
    """Return the top-level names of modules, and all others that the same distributions install."""
    tops = top_levels(modules)
    distributions = _distributions(tops - {OWN})
    return tops | {top for top, names in _providers().items() if distributions & set(names)}


def _distributions(tops: Iterable[str]) -> set[str]:
    """Return the names of the installed distributions that provide top-level packages."""
    return {name for top in tops for name in _providers().get(top, ())}


def _providers() -> Mapping[str, list[str]]:
    """Return top-level package -> names of the installed distributions that provide it.

    ``importlib.metadata.packages_distributions`` reads all of them at every call, which takes seconds of CPU. Here a
    folder of ``sys.path`` is read again only after it has changed.
    """
    providers: dict[str, list[str]] = {}
    for folder in sys.path:
        for name, tops in _provided_in(folder, _changed(folder)):
            for top in tops:
                providers.setdefault(top, []).append(name)
    return providers


@functools.cache
def _provided_in(folder: str, changed: int) -> list[tuple[str, set[str]]]:
    """Return the distributions installed in a folder, each with its name and the top-level packages that it provides.

    A distribution is left out if it names no packages and its list of files is malformed, as after an installation that
    was broken off.
    """
    found = []
    for distribution in importlib.metadata.distributions(path=[folder]):
        tops = set((distribution.read_text("top_level.txt") or "").split())
        if not tops:
            files = _listed(distribution)
            if files is None:
                continue
            tops = {path.parts[0].partition(".")[0] for path in files if path.suffix in _CODE - {".pyc"}}
        found.append((distribution.metadata["Name"], tops))
    return found


def _listed(distribution: importlib.metadata.Distribution) -> list[importlib.metadata.PackagePath] | None:
    """Return the files that an installed distribution lists; None if the list is malformed."""
    try:
        return [path for path in distribution.files or () if path.parts]
    except (TypeError, ValueError, csv.Error):  # raised by csv and importlib.metadata, which check no row
        return None


def _changed(folder: str) -> int:
    """Return the time (ns) at which an entry was last added to a folder or removed; 0 if there is no such folder."""
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_of(name: str, tops: Iterable[str]) -> bool:
    return _top(name) in tops


def _packages_around(name: str) -> list[str]:
    """Return the packages that a module lies in, e.g. ``a`` and ``a.b`` for ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _name_in_copy(name: str, package: str) -> str:
    if _is_of(name, {OWN}):
        return package + name[len(OWN) :]
    return f"{package}.user.{name}"


def _file(name: str) -> Path | None:
    """Return the Python file of a module; None for the started script, a compiled module, or no module."""
    if name == "__main__":
        return None
    origin: str | None = getattr(sys.modules.get(name), "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec and spec.has_location else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _is_namespace(name: str) -> bool:
    """Say whether a name is a package without ``__init__.py`` that no library has."""
    if _top_is_installed(_top(name)):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is None and spec.submodule_search_locations is not None


def _travels(name: str, own: Iterable[str]) -> bool:
    """Say whether a module is sepray's or the user's own, and not an installed library.

    Args:
        name: absolute name of the module.
        own: top-level names whose modules all travel.
    """
    if _is_of(name, own):
        return True
    if _top(name) in sys.stdlib_module_names or _top_is_installed(_top(name)):
        return False
    path = _file(name)
    return path is not None and not is_installed(path)


def _top_is_installed(top: str) -> bool:
    """Say whether a top-level package lies where installers put libraries.

    Callers ask this before they look for a module: to find one, Python imports the packages around it, which takes
    seconds for a large library.
    """
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    locations = list(spec.submodule_search_locations or ()) or (
        [spec.origin] if spec.has_location and spec.origin else []
    )
    return bool(locations) and all(
        is_installed(Path(location)) or _holds_wheels(Path(location).parent) for location in locations
    )


@functools.cache
def _holds_wheels(folder: Path) -> bool:
    """Say whether wheels were unpacked into a folder, as ``pip install --target`` does."""
    return any(folder.glob("*.dist-info"))


def is_installed(path: Path) -> bool:
    """Say whether a path lies where installers put libraries."""
    return bool(_INSTALLED & set(path.parts))


def _imports(path: Path, name: str, own: Iterable[str]) -> list[str]:
    """Return the absolute names of the modules that the file of the module ``name`` imports, anywhere in it."""
    modules: list[str] = []
    for node in _statements_of(path):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        else:
            base = _base(node, name, path.name == "__init__.py")
            modules += [_imported(base, alias.name, own) for alias in node.names]
    return modules


def _statements_of(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Return the import statements of a source file; none if it has errors."""
    try:
        return _import_statements(_text(path))
    except _UNREADABLE:
        return ()


def _text(path: Path) -> str:
    """Return the text of a source file, in the encoding that its first two lines name; they name UTF-8 afterwards.

    Raises:
        OSError, SyntaxError, ValueError, LookupError: it cannot be read, or is not in that encoding.
    """
    with path.open("rb") as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
    text = path.read_text(encoding=encoding)
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return text
    lines = text.split("\n")
    return "\n".join([*(_CODING.sub(r"\1utf-8", line) for line in lines[:2]), *lines[2:]])


@functools.lru_cache(maxsize=1024)
def _import_statements(text: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Return the import statements anywhere in a source file's text; results are kept, as texts are read repeatedly."""
    return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom))


def _imported(base: str, name: str, own: Iterable[str]) -> str:
    """Return the module that ``from base import name`` needs: ``base.name`` if that is a module of the user's."""
    inner = f"{base}.{name}"
    users = (_travels(base, own) or _is_namespace(base)) and _travels(inner, own) and _file(inner) is not None
    return inner if users else base


def _base(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    """Return the absolute name of the module after ``from``."""
    if not node.level:
        return node.module or ""
    parts = name.split(".") + (["__init__"] if is_package else [])
    return ".".join([*parts[: len(parts) - node.level], *([node.module] if node.module else [])])


def _rewrite(text: str, own: Iterable[str], package: str) -> str:
    """Turn absolute imports of copied modules into imports of the copies; relative imports stay as they are."""
    lines = text.split("\n")  # the lines that the parser counts: splitlines would also split at form feeds
    for node in sorted(_import_statements(text), key=lambda n: (n.lineno, n.col_offset), reverse=True):
        statement = _statement_in_copy(node, own, package)
        if statement is None or node.end_lineno is None:
            continue
        first, last = lines[node.lineno - 1], lines[node.end_lineno - 1]
        before = first.encode()[: node.col_offset].decode()
        after = last.encode()[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = [before + statement + after]
    return "\n".join(lines)


def _statement_in_copy(node: ast.Import | ast.ImportFrom, own: Iterable[str], package: str) -> str | None:
    """Return an import statement as it is in the copy; None if it can stay as it is."""
    if isinstance(node, ast.ImportFrom):
        if node.level or not _is_of(node.module or "", own):
            return None
        names = ", ".join(f"{a.name} as {a.asname}" if a.asname else a.name for a in node.names)
        return f"from {_name_in_copy(node.module or '', package)} import {names}"
    if not any(_is_of(alias.name, own) for alias in node.names):
        return None
    parts = []
    for alias in node.names:
        moved = _name_in_copy(alias.name, package)
        if not _is_of(alias.name, own):
            parts.append(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))
        elif alias.asname:
            parts.append(f"import {moved} as {alias.asname}")
        else:  # "import a.b" binds "a"
            top = _top(alias.name)
            parts.append(f"import {moved}; import {_name_in_copy(top, package)} as {top}")
    return "; ".join(parts)
