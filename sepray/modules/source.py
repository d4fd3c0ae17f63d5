"""Reads the source of a module without importing the module or the packages that it lies in."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

Found = tuple[str, ast.stmt]
"""Full name of a module, and a statement in it."""


def file(module: str) -> Path | None:
    """Return the source file of a module, None if it has none (it is compiled, or a folder without ``__init__``).

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    origin_file = origin(module)
    return Path(origin_file) if origin_file and origin_file.endswith(".py") else None


def origin(module: str) -> str | None:
    """Return the file that a module is read from; None for a folder without ``__init__``, or if it is not known.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    locations: Sequence[str] | None = None
    origin_file: str | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        try:
            spec = _spec(name, locations)
        except KeyError:  # Python looks for the parent of a folder without __init__ among the imported modules
            locations = [str(f) for f in (Path(each, parts[count - 1]) for each in locations or ()) if f.is_dir()]
            origin_file = None
            continue
        if spec is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        locations, origin_file = list(spec.submodule_search_locations or ()), spec.origin
    return origin_file


def _spec(name: str, locations: Sequence[str] | None) -> ModuleSpec | None:
    found = (finder.find_spec(name, locations) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for spec in found if spec is not None), None)


def tree(module: str) -> ast.Module:
    """Return the parsed source of a module, empty if it has none.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    path = file(module)
    return _parsed(path, path.stat().st_mtime_ns) if path is not None else ast.Module([], [])


@functools.lru_cache(maxsize=256)
def _parsed(path: Path, changed: int) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        if getattr(error, "filename", None) == str(path):
            raise
        # For a zero byte Python raises an error that names no file.
        raise SyntaxError(str(error), (str(path), 1, None, None)) from None


def assigned(node: ast.stmt) -> tuple[list[str], ast.expr | None]:
    """Return the names that a statement gives a value to, and that value."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)], node.value
    return [], None


def sentence(documented: ast.Module | ast.ClassDef) -> str:
    """Return the first paragraph of a docstring in one line; empty if there is none."""
    return " ".join((ast.get_docstring(documented) or "").strip().split("\n\n")[0].split())


def definition(module: str, name: str) -> Found | None:
    """Return the statement that defines ``name`` (dots allowed) for a module, and the module that the statement is in.

    Imports are followed within sepray and the module's own top-level package. None if the name is not defined there, or
    if a source on the way has errors, which show when it is imported.
    """
    return _definition(module, name, frozenset())


def fields(module: str, name: str) -> frozenset[str] | None:
    """Return the names of the fields of a dataclass, with those that it inherits.

    None if the sources do not tell: the class, or one that it inherits from, is not defined in sepray or in the
    module's own top-level package.
    """
    return _fields(definition(module, name), frozenset())


def _fields(found: Found | None, inheriting: frozenset[ast.stmt]) -> frozenset[str] | None:
    if found is None:
        return None
    module, node = found
    if not isinstance(node, ast.ClassDef) or node in inheriting:
        return None
    annotated = (part for part in node.body if isinstance(part, ast.AnnAssign))
    own = (part.target for part in annotated if "ClassVar" not in ast.unparse(part.annotation))
    names = frozenset(target.id for target in own if isinstance(target, ast.Name))
    for base in node.bases:
        inherited = _fields(definition(module, ast.unparse(base)), inheriting | {node})
        if inherited is None:
            return None
        names |= inherited
    return names


def imports(module: str) -> list[str]:
    """Return the full names of all that a module's source imports, anywhere in it; some may be no modules.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    found = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")]
    return found


def _definition(module: str, name: str, seen: frozenset[Found | tuple[str, str]]) -> Found | None:
    if (module, name) in seen:
        return None
    first, _, rest = name.partition(".")
    try:
        body = tree(module).body
    except (ModuleNotFoundError, SyntaxError, ValueError):
        return None
    for node in reversed(body):
        if not rest and (getattr(node, "name", None) == first or first in assigned(node)[0]):
            return module, node
        for target, inner in _imported(node, module, name):
            if target.partition(".")[0] in ("sepray", module.partition(".")[0]):
                found = _definition(target, inner, seen | {(module, name)})
                if found is not None:
                    return found
    return None


def _imported(node: ast.stmt, module: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield each (module, name in it) that ``name`` may stand for after an import statement."""
    first, _, rest = name.partition(".")
    if isinstance(node, ast.Import):
        for alias in node.names:
            known = alias.asname or alias.name
            if name.startswith(f"{known}."):
                yield alias.name, name[len(known) + 1 :]
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, module)
        for alias in node.names:
            if first == (alias.asname or alias.name):
                yield base, f"{alias.name}.{rest}".rstrip(".")
                if rest:
                    yield f"{base}.{alias.name}", rest
            elif alias.name == "*":
                yield base, name


def _base(node: ast.ImportFrom, module: str) -> str:
    """Return the absolute name of the module after ``from``."""
    if not node.level:
        return node.module or ""
    path = file(module)
    parts = module.split(".") + (["__init__"] if path is not None and path.name == "__init__.py" else [])
    return ".".join([*parts[: len(parts) - node.level], *([node.module] if node.module else [])])
