"""The source files, with their imports: also those that ``importlib.import_module`` and ``__import__`` make."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("sepray", "studies", "search_spaces")
FUNCTIONS = ("import_module", "__import__")
AT_RUN_TIME = "a module whose name is made at run time"
PASSED_ON = "import_module or __import__ under another name"


@dataclass(frozen=True)
class Import:
    """One imported name: absolute, ``a.b.name`` for ``from a.b import name``; or ``AT_RUN_TIME`` or ``PASSED_ON``."""

    line: int
    name: str
    relative: bool


@dataclass(frozen=True)
class File:
    """A source file, parsed."""

    path: str
    tree: ast.Module
    lines: int
    imports: tuple[Import, ...]

    @property
    def package(self) -> str:
        """First name below its top folder, e.g. ``separators`` or ``study``."""
        return Path(self.path).with_suffix("").parts[1]

    def is_in(self, *owners: str) -> bool:
        """Say whether the file is in one of the packages or modules of sepray, or in one of the other top folders."""
        module = ".".join(Path(self.path).with_suffix("").parts)
        return any(is_below(module, f"sepray.{owner}") or is_below(module, owner) for owner in owners)


@functools.cache
def files() -> tuple[File, ...]:
    """Return every source file, parsed once for all tests of a module."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
            tree = ast.parse(text)
            found_imports = tuple(imports(tree, ".".join(name.parent.parts)))
            found.append(File(str(name), tree, len(text.splitlines()), found_imports))
    return tuple(found)


def inside(folder: str, *packages: str) -> list[File]:
    """Return the files of a top folder, or of some of its packages."""
    prefix = tuple(f"{folder}/{package}" for package in packages) or (f"{folder}/",)
    return [f for f in files() if f.path.startswith(prefix) and (not packages or f.package in packages)]


def is_below(name: str, module: str) -> bool:
    """Say whether a name is the module, or in it."""
    return f"{name}.".startswith(f"{module}.")


def planted(path: str, text: str) -> File:
    """Return a file of sepray that has this text."""
    package = ".".join(("sepray", *Path(path).parent.parts))
    return File(f"sepray/{path}", ast.Module([], []), 1, tuple(imports(ast.parse(text), package)))


def imports(tree: ast.Module, package: str) -> Iterator[Import]:
    """Yield the imports of a parsed file of a package (``sepray.x``), wherever in the file they are.

    A function that imports is seen where it is called by its own name, however that is reached (``il.import_module``).
    Whatever else is done with it (``as``, an assignment, ``getattr``) is yielded as ``PASSED_ON``.
    """
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, False)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(node.lineno, _joined(package, node.level, node.module or "", alias.name), node.level > 0)
                if alias.name in FUNCTIONS and alias.asname:
                    yield Import(node.lineno, PASSED_ON, False)
        elif isinstance(node, ast.Call) and _mentioned(node.func) == "import_module":
            yield _by_import_module(node, package)
        elif isinstance(node, ast.Call) and _mentioned(node.func) == "__import__":
            yield from _by_dunder_import(node, package)
        elif isinstance(node, ast.expr) and id(node) not in called and _mentioned(node) in FUNCTIONS:
            yield Import(node.lineno, PASSED_ON, False)


def _mentioned(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _joined(package: str, level: int, *names: str) -> str:
    """Return the absolute name: ``level`` dots before ``names``, in a file of ``package``."""
    parts = package.split(".")
    return ".".join(name for name in (*(parts[: len(parts) - level + 1] if level else ()), *names) if name)


def _argument(node: ast.Call, position: int, keyword: str) -> ast.expr | None:
    if len(node.args) > position:
        return node.args[position]
    return next((given.value for given in node.keywords if given.arg == keyword), None)


def _text(node: ast.expr | None, package: str) -> str | None:
    """Return the text that an expression of literals and ``__package__`` has, None of any other."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return package if node.id == "__package__" else None
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, package)
    if isinstance(node, ast.JoinedStr):
        parts = [_text(value, package) for value in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [_text(node.left, package), _text(node.right, package)]
    else:
        return None
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _has_package(node: ast.expr | None) -> bool:
    return node is not None and any(isinstance(n, ast.Name) and n.id == "__package__" for n in ast.walk(node))


def _by_import_module(node: ast.Call, package: str) -> Import:
    given = _argument(node, 0, "name")
    name = _text(given, package)
    if name is None:
        return Import(node.lineno, AT_RUN_TIME, False)
    dots = len(name) - len(name.lstrip("."))
    anchor = _argument(node, 1, "package")
    base = package if anchor is None else _text(anchor, package)
    if dots and base is None:
        return Import(node.lineno, AT_RUN_TIME, False)
    relative = _has_package(given) or (dots > 0 and (anchor is None or _has_package(anchor)))
    return Import(node.lineno, _joined(base or "", dots, name[dots:]), relative)


def _by_dunder_import(node: ast.Call, package: str) -> Iterator[Import]:
    given, level = _argument(node, 0, "name"), _argument(node, 4, "level") or ast.Constant(0)
    name = _text(given, package)
    if name is None or not (isinstance(level, ast.Constant) and isinstance(level.value, int)):
        yield Import(node.lineno, AT_RUN_TIME, False)
        return
    wanted = _argument(node, 3, "fromlist")
    listed = wanted.elts if isinstance(wanted, ast.Tuple | ast.List) else ()
    relative = level.value > 0 or _has_package(given)
    for member in [_text(element, package) or "" for element in listed] or [""]:
        yield Import(node.lineno, _joined(package, level.value, name, member), relative)
