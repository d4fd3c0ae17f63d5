"""Checks a user's module before it is imported: it must only define things, and nobody else may have written it.

A row in a database may name a module. It may be imported only if importing it does nothing but define a separator or a
task. That is decided from its source, and from those of the modules that it imports from the same folder: decorators,
defaults, annotations, calls and the hooks of classes run while a module is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import stat
import sysconfig
from collections.abc import Container, Set
from pathlib import Path

from ..disk import private_list
from . import source

_DECORATORS = {
    "dataclasses.dataclass",
    "functools.cached_property",
    "functools.cache",
    "functools.lru_cache",
    "torch.no_grad",
    "torch.inference_mode",
    "typing.override",
    "abc.abstractmethod",
}
_INSTALLED = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_INSTALLED |= {path.resolve() for path in _INSTALLED} | {Path(__file__).resolve().parents[1]}  # and sepray itself
_BUILTINS = {"property", "staticmethod", "classmethod"}
_FACTORIES = {"list", "dict", "set", "tuple"}
_LIBRARIES = {name.partition(".")[0] for name in _DECORATORS}
# Special methods that a module may define: only instances call them, and none of the allowed statements does.
_METHODS = {"__init__", "__post_init__", "__call__", "__len__", "__iter__", "__getitem__", "__repr__", "__str__"}
_ASSIGNED = {"__all__", "__slots__"}
_FUNCTIONS = {"len", "isinstance", "min", "max", "abs", "ValueError", "TypeError"}
_CHECKS = (
    *(ast.Expr, ast.If, ast.Raise, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Call, ast.JoinedStr),
    *(ast.FormattedValue, ast.Constant, ast.Attribute, ast.Name, ast.Tuple, ast.Load),
    *(ast.boolop, ast.unaryop, ast.operator, ast.cmpop),
)
_TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def is_installed(path: Path) -> bool:
    """Say whether a file, its links resolved, lies where Python and its packages are installed."""
    return bool(_INSTALLED & set(path.parents))


def are_own(module: str, folder: Path) -> bool:
    """Say whether nobody else can have written a module, nor the modules that it imports from the same folder.

    Args:
        module: full name of the module.
        folder: folder that the module's file must be in, with links resolved.
    """
    try:
        files = _files(module, folder)
        return module in files and all(_is_own(file, folder) for file in files.values())
    except (ModuleNotFoundError, SyntaxError, ValueError, OSError):
        return False


def only_defines(module: str, name: str, method: str, folder: Path) -> bool:
    """Say whether a module of this user's own only defines things, among them a class with a certain method.

    This holds for the module and for all that it imports from below the folder. Nobody else can have written these
    files, their compiled forms, or the folders that they are in. Importing them runs no more than definitions.

    Args:
        module: full name of the module.
        name: name of the class.
        method: name of its method.
        folder: folder that the module's file must be in, with links resolved.
    """
    try:
        files = _files(module, folder)
        path = source.file(module)
        own = {name.partition(".")[0] for name in files}
        if path is None or path not in files.values() or own & _LIBRARIES:
            return False
        if not all(_is_own(file, folder) for file in files.values()):
            return False
        trees = {found: source.tree(found) for found in files}
    except (ModuleNotFoundError, SyntaxError, ValueError, OSError):
        return False
    classes = [node for node in trees[module].body if isinstance(node, ast.ClassDef) and node.name == name]
    has_method = any(isinstance(part, ast.FunctionDef) and part.name == method for own in classes for part in own.body)
    return has_method and all(_Module(tree, own).is_harmless() for tree in trees.values())


def _files(module: str, folder: Path) -> dict[str, Path]:
    """Return the source files below a folder that importing a module runs, by the names of their modules.

    Raises:
        ValueError: one of them is a link that leads elsewhere, or is no Python source.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            each = ".".join(parts[:count])
            if each in found:
                continue
            try:
                at = Path(source.origin(each) or "")
            except (ModuleNotFoundError, ValueError):
                break  # a name in a module, or nothing that could be imported
            above = {*at.parents, *at.resolve().parents}
            if str(at) in ("built-in", "frozen") or folder not in above or above & _INSTALLED:
                continue
            if at.suffix != ".py" or folder not in at.resolve().parents:
                raise ValueError(f"{at} is no source file below {folder}")
            found[each] = at
            waiting += source.imports(each)
    return found


def _is_own(file: Path, folder: Path) -> bool:
    """Say whether nobody else can write or replace a file and its compiled form, or the folders above them."""
    compiled = Path(importlib.util.cache_from_source(str(file)))
    for path in {file, file.resolve(), compiled, compiled.resolve()}:
        for at in (path, *path.parents):
            if not at.exists() and at in (compiled, compiled.parent):
                continue
            found = at.stat()
            # A folder above with the sticky bit, as /tmp has, will do: nobody can replace another user's files there.
            is_sticky = found.st_mode & stat.S_ISVTX and at in folder.parents and found.st_uid in (os.geteuid(), 0)
            if not (is_sticky or private_list.is_own(found)):
                return False
    return True


class _Module:
    """The statements of a module that run when it is imported."""

    def __init__(self, tree: ast.Module, own: Set[str]) -> None:
        """Read a module; ``own`` are the top-level names of all modules that are the user's."""
        self._body, self._own = tree.body, own
        self._imported: dict[str, str] = {}  # name in the module -> full name of what it imports
        self._bound: set[str] = set()  # names that anything but an import binds
        self._plain: set[str] = set()  # dataclasses that can be made without running code of the module
        for node in ast.walk(tree):
            self._bind(node)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and self._is_plain(node):
                self._plain.add(node.name)

    def is_harmless(self) -> bool:
        """Say whether importing the module runs no function but a few well-known ones of libraries."""
        return all(self._defines(node) for node in self._body)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                self._import(alias.asname or first, alias.name if alias.asname else first)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                self._import(alias.asname or alias.name, f"{base}.{alias.name}")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._bound.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self._bound.add(node.id)
        elif isinstance(node, ast.Global):
            self._bound.update(node.names)

    def _import(self, name: str, full: str) -> None:
        if self._imported.setdefault(name, full) != full:
            self._bound.add(name)

    def _is_plain(self, node: ast.ClassDef) -> bool:
        methods = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
        decorators = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
        is_dataclass = [self._full(each) for each in decorators] == ["dataclasses.dataclass"]
        checks = methods.get("__post_init__")
        has_hooks = "__init__" in methods or (checks is not None and not self._only_checks(checks, methods))
        return is_dataclass and not node.bases and not node.keywords and not has_hooks

    def _only_checks(self, function: ast.stmt, methods: Container[str]) -> bool:
        """Say whether a method of a dataclass compares fields and raises errors, and nothing else."""
        body = function.body if isinstance(function, ast.FunctionDef) else [function]
        is_refusal = all(
            (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.If) and not node.orelse and [type(part) for part in node.body] == [ast.Raise])
            for node in body
        )
        inner = [each for node in body for each in ast.walk(node)]
        called = [each.func for each in inner if isinstance(each, ast.Call)]
        fields = [each for each in inner if isinstance(each, ast.Attribute)]
        return (
            is_refusal
            and all(isinstance(each, _CHECKS) for each in inner)
            and all(self._is_known_function(each) for each in called)
            and all(isinstance(each.value, ast.Name) and each.value.id == "self" for each in fields)
            and not any(each.attr in methods or _is_special(each.attr) for each in fields)
        )

    def _is_known_function(self, node: ast.expr) -> bool:
        is_builtin = isinstance(node, ast.Name) and node.id in _FUNCTIONS - self._names()
        return is_builtin or self._full(node) == "sepray.errors.UsageError"

    def _defines(self, node: ast.stmt, in_class: bool = False) -> bool:
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)  # a docstring
        if isinstance(node, ast.Pass):
            return True
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
            return not in_class and not any(_is_special(name) or name == "*" for name in names)
        if isinstance(node, ast.If):
            test = ast.unparse(node.test)
            body = [] if test == "__name__ == '__main__'" else node.body
            is_known = not body or test in _TYPE_CHECKING
            return is_known and not in_class and all(self._defines(part) for part in (*body, *node.orelse))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            defaults = [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            annotations = [node.returns, *(each.annotation for each in every if each is not None)]
            return (
                (node.name in _METHODS or not _is_special(node.name))
                and all(self._is_decorator(each) for each in node.decorator_list)
                and all(self._is_value(each) for each in defaults)
                and all(self._is_annotation(each) for each in annotations if each is not None)
            )
        if isinstance(node, ast.ClassDef):
            return (
                not _is_special(node.name)
                and not node.keywords
                and all(self._is_decorator(each) for each in node.decorator_list)
                and all(self._is_annotation(each) and not self._full(each).startswith("enum.") for each in node.bases)
                and all(self._defines(part, in_class=True) for part in node.body)
            )
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_named = all(isinstance(t, ast.Name) and (t.id in _ASSIGNED or not _is_special(t.id)) for t in targets)
            is_made = not in_class and self._is_made(node.value)
            is_annotated = not isinstance(node, ast.AnnAssign) or self._is_annotation(node.annotation)
            return is_named and is_annotated and (is_made or node.value is None or self._is_value(node.value))
        return False

    def _is_decorator(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name) and node.id in _BUILTINS:
            return node.id not in self._bound and node.id not in self._imported
        if isinstance(node, ast.Call):
            return self._full(node.func) in _DECORATORS and self._are_values(node)
        return self._full(node) in _DECORATORS

    def _is_made(self, node: ast.expr | None) -> bool:
        """Say whether an expression calls a plain dataclass of the module, or ``dataclasses.replace``."""
        if not isinstance(node, ast.Call) or not self._are_values(node):
            return False
        own = isinstance(node.func, ast.Name) and node.func.id in self._plain and node.func.id not in self._imported
        return own or self._full(node.func) == "dataclasses.replace"

    def _is_value(self, node: ast.expr) -> bool:
        """Say whether an expression consists of constants and names, or is a field of a dataclass."""
        if isinstance(node, ast.Call):
            factories = [each.value for each in node.keywords if each.arg == "default_factory"]
            is_known = all(isinstance(f, ast.Name) and f.id in _FACTORIES - self._names() for f in factories)
            return self._full(node.func) == "dataclasses.field" and is_known and self._are_values(node)
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return all(map(self._is_value, node.elts))
        if isinstance(node, ast.Dict):
            return all(key is not None and self._is_value(key) for key in node.keys) and all(
                map(self._is_value, node.values)
            )
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.operand, ast.Constant)
        if isinstance(node, ast.BinOp):
            return all(isinstance(part, ast.Constant) for part in (node.left, node.right))
        return isinstance(node, ast.Constant | ast.Name) or self._full(node) != ""

    def _are_values(self, node: ast.Call) -> bool:
        values = [*node.args, *(each.value for each in node.keywords)]
        return all(each.arg for each in node.keywords) and all(map(self._is_value, values))

    def _is_annotation(self, node: ast.expr) -> bool:
        """Say whether an expression consists of names, brackets and bars, as types do."""
        if isinstance(node, ast.Subscript):
            return self._is_annotation(node.value) and self._is_annotation(node.slice)
        if isinstance(node, ast.BinOp):
            return isinstance(node.op, ast.BitOr) and self._is_annotation(node.left) and self._is_annotation(node.right)
        if isinstance(node, ast.Tuple | ast.List):
            return all(map(self._is_annotation, node.elts))
        return isinstance(node, ast.Constant | ast.Name) or self._full(node) != ""

    def _full(self, node: ast.expr) -> str:
        """Return the full name of what an expression names; empty unless only the import of a library binds it."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts, node = [node.attr, *parts], node.value
        if not isinstance(node, ast.Name) or node.id in self._bound or node.id not in self._imported:
            return ""
        full = self._imported[node.id]
        is_own = full.startswith(".") or full.partition(".")[0] in self._own
        return "" if is_own else ".".join([full, *parts])

    def _names(self) -> set[str]:
        return self._bound | set(self._imported)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
