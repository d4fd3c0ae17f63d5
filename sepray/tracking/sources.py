"""Finds the source files that a separator needs and copies them under another package name."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from ..errors import UsageError

OWN = "sepray"


class PackagingError(UsageError):
    """The separator cannot be packaged; the message says why."""


def collect(*modules: str) -> dict[str, Path]:
    """Return (module name -> file) of modules and of all that they import from sepray or the user's own files.

    Raises:
        PackagingError: a module is the started script, or has no file.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _file(name)
        if path is None:
            raise PackagingError(
                f"module {name!r} has no source file to package; put the separator in a file of its own"
            )
        found[name] = path
        for _, module, _ in _imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py"):
            if _local(module):
                waiting.append(module)
    return found


def copy(found: dict[str, Path], folder: Path) -> str:
    """Write the files as a package of their own into ``folder``; return its name.

    Its name carries a digest of its content, so that models of different code live in one process. The
    user's own modules go to the sub-package ``user``. Imports inside are rewritten to the copy.
    """
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + found[name].read_bytes() + b"\0")
    package = f"{OWN}_model_{digest.hexdigest()[:12]}"
    for name, path in found.items():
        target = folder / Path(*_moved(name, package).split("."))
        target = target / "__init__.py" if path.name == "__init__.py" else target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = _rewrite(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", package)
        target.write_text(text, encoding="utf-8")
    for directory in [p for p in (folder / package).rglob("*") if p.is_dir()] + [folder / package]:
        (directory / "__init__.py").touch()
    return package


def moved(name: str) -> str:
    """Return where a module lies inside the copied package, e.g. ``separators.cass``."""
    return _moved(name, "").lstrip(".")


def requirements(found: dict[str, Path], *always: str) -> list[str]:
    """Return the pinned distributions that the files import, and those named in ``always``."""
    distributions = importlib.metadata.packages_distributions()
    names = set(always)
    for name, path in found.items():
        for _, module, _ in _imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py"):
            top = module.partition(".")[0]
            if not _local(module) and top not in sys.stdlib_module_names:
                names.update(distributions.get(top, [])[:1])
    # A local version (torch 2.11.0+cpu) names a build that package indexes do not have.
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in sorted(names)]


def _moved(name: str, package: str) -> str:
    if name == OWN or name.startswith(f"{OWN}."):
        return package + name[len(OWN) :]
    return f"{package}.user.{name}"


def _file(name: str) -> Path | None:
    if name == "__main__":
        return None
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None)
    if origin is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec and spec.has_location else None
    path = Path(origin) if origin else None
    return path if path and path.suffix == ".py" else None


def _local(name: str) -> bool:
    """Say whether a module is sepray's or the user's own, and no installed library."""
    if name.partition(".")[0] == OWN:
        return True
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    path = _file(name)
    return path is not None and not {"site-packages", "dist-packages"} & set(path.parts)


def _imports(text: str, name: str, is_package: bool) -> list[tuple[ast.stmt, str, bool]]:
    """Return (statement, module that it needs, whether a name of it is imported) for each import."""
    found: list[tuple[ast.stmt, str, bool]] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node, alias.name, False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, is_package)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append((node, inner if _local(base) and _file(inner) else base, True))
    return found


def _base(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    """Return the absolute name of the module after ``from``."""
    if not node.level:
        return node.module or ""
    parts = name.split(".") + (["__init__"] if is_package else [])
    return ".".join([*parts[: len(parts) - node.level], *([node.module] if node.module else [])])


def _rewrite(text: str, name: str, is_package: bool, package: str) -> str:
    """Turn absolute imports of copied modules into imports of the copy; relative ones hold as they are."""
    lines = text.splitlines(keepends=True)
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    for node in sorted(nodes, key=lambda n: n.lineno, reverse=True):
        new = _absolute(node, package)
        if new is None or node.end_lineno is None:
            continue
        first, last = lines[node.lineno - 1], lines[node.end_lineno - 1]
        before = first.encode()[: node.col_offset].decode()
        after = last.encode()[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = [before + new + after]
    return "".join(lines)


def _absolute(node: ast.Import | ast.ImportFrom, package: str) -> str | None:
    """Return the statement for the copy; None where it can stay."""
    if isinstance(node, ast.ImportFrom):
        if node.level or not _local(node.module or ""):
            return None
        names = ", ".join(f"{a.name} as {a.asname}" if a.asname else a.name for a in node.names)
        return f"from {_moved(node.module or '', package)} import {names}"
    if not any(_local(alias.name) for alias in node.names):
        return None
    parts = []
    for alias in node.names:
        if not _local(alias.name):
            parts.append(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))
        elif alias.asname:
            parts.append(f"import {_moved(alias.name, package)} as {alias.asname}")
        else:  # "import a.b" binds "a"
            top = alias.name.partition(".")[0]
            parts.append(f"import {_moved(alias.name, package)}; import {_moved(top, package)} as {top}")
    return "; ".join(parts)
