"""Mutants of a Python module: small changes of its source that change what it does.

Left out, since no test should notice them: docstrings, type hints, ``__all__``, ``if TYPE_CHECKING``,
``if __name__ == "__main__"``, assertions (``strict=`` among them), log calls, what an error says (the arguments of
``raise``), the inside of f-strings, strings outside comparisons, colours, widths and places in drawings, and what is
equivalent by construction: ``encoding=`` (UTF-8 is the default here), ``markup=`` (the console has none), ``deepcopy=``
(of records that are only read), ``daemon=`` and ``name=`` of threads, ``help=``, ``stacklevel=``, ``flush=``, keywords
of decorators, and the decorators that only remember (``cache``, ``lru_cache``) or only declare (``abstractmethod``,
``overload``, ``override``).
"""

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "is not": "is"}
COMPARISONS |= {"in": "not in", "not in": "in"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "*", "**": "*", "&": "|", "|": "&"}
OPPOSITES = {"min": "max", "amin": "amax", "argmin": "argmax", "minimum": "maximum", "any": "all", "floor": "ceil"}
OPPOSITES |= {opposite: name for name, opposite in OPPOSITES.items()}
TOKENS: dict[type, str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/",
    ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**", ast.BitAnd: "&", ast.BitOr: "|",
}  # fmt: skip
EQUIVALENT_KEYWORDS = {"encoding", "daemon", "help", "stacklevel", "flush", "markup", "deepcopy", "strict"}
COSMETIC_KEYWORDS = {"color", "ecolor", "edgecolor", "facecolor", "linewidth", "elinewidth", "linestyle", "capsize"}
COSMETIC_KEYWORDS |= {"marker", "markersize", "fontsize", "zorder", "ha", "va", "loc", "ncols", "figsize"}
COSMETIC_KEYWORDS |= {"whiskerprops", "capprops", "medianprops", "xytext", "textcoords", "bbox", "borderaxespad"}
COSMETIC_KEYWORDS |= {"handletextpad", "columnspacing"}
EQUIVALENT_DECORATORS = {"cache", "lru_cache", "abstractmethod", "overload", "override"}
LAYOUT = {"new", "inset_axes"}  # the first argument is a size or a place: a figure's height, a box
ELSEWHERE = {(ast.Call, "keywords"), (ast.Raise, "exc"), (ast.Raise, "cause")}  # fields that are not walked through
LOGS = re.compile(r"(^|\.)(_?logger|_?logging|warnings)\.")


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: file, relative to the root of the tree.
        line: first line that changes, from 1.
        kind: name of the mutation.
        start: offset in the file's bytes where the change begins.
        end: offset in the file's bytes where what is replaced ends.
        text: what replaces it.
    """

    path: str
    line: int
    kind: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """Return the source of the module with the change made."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def change(self, source: bytes) -> tuple[list[str], list[str]]:
        """Return the lines that change, before and after."""
        first = source.rfind(b"\n", 0, self.start) + 1
        last = source.find(b"\n", self.end)
        last = len(source) if last < 0 else last
        after = source[first : self.start] + self.text.encode() + source[self.end : last]
        return source[first:last].decode().splitlines(), after.decode().splitlines()

    def key(self, source: bytes) -> str:
        """Return the change in one line, without its line number: it stays the same when the file grows above it."""
        before, after = (" ".join(line.strip() for line in lines) for lines in self.change(source))
        return f"{self.path}: {before} -> {after}"


def mutants(path: str, source: bytes) -> list[Mutant]:
    """Return every mutant of a module, in the order of its source."""
    return sorted(set(_Finder(path, source).all()))


def draw(population: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """Draw mutants without replacement, the same ones for the same seed and population.

    Each package gets its share by its number of mutants (largest remainders), and at least one while ``size`` allows.
    """
    packages: dict[str, list[Mutant]] = {}
    for mutant in sorted(population):
        packages.setdefault(package(mutant.path), []).append(mutant)
    size = min(size, len(population))
    count = dict.fromkeys(sorted(packages, key=lambda name: -len(packages[name]))[:size], 1)
    while sum(count.values()) < size:
        # The package that is furthest below its share is next.
        free = [name for name in count if count[name] < len(packages[name])]
        name = max(free, key=lambda name: (size * len(packages[name]) / len(population) - count[name], name))
        count[name] += 1
    return sorted(m for name, n in count.items() for m in random.Random(f"{seed} {name}").sample(packages[name], n))


def package(path: str) -> str:
    """Return the package that a module belongs to; modules beside the packages form one, ``sepray``."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else parts[0]


def reach(source: bytes, line: int) -> tuple[range, set[str]]:
    """Return the lines of the statement that holds a line, and the names that it binds where it runs at import.

    A statement with a body (``if``, ``for``) is its head alone; a function or class that is defined at import is the
    whole, with its decorators. The names are those of the variable, attribute, function or class; the set is empty
    inside functions.
    """
    best, names = range(line, line + 1), set[str]()

    def walk(node: ast.AST, inside: bool) -> None:
        nonlocal best, names
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                first = min([child.lineno, *(each.lineno for each in getattr(child, "decorator_list", ()))])
                body = getattr(child, "body", None)
                last = max(body[0].lineno - 1, child.lineno) if body else child.end_lineno
                if first <= line <= last:
                    names = set() if inside else _bound(child)
                    best = range(first, (child.end_lineno if names else last) + 1)
            walk(child, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    walk(ast.parse(source), False)
    return best, names


def _bound(statement: ast.stmt) -> set[str]:
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    names = {node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)}
    return names | ({statement.name} if hasattr(statement, "name") else set())


class _Finder:
    """Walks a module's syntax tree."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path = path
        self.source = source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def all(self) -> Iterator[Mutant]:
        yield from self._visit(ast.parse(self.source))

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.lines[node.lineno - 1] + node.col_offset, self.lines[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt | ast.keyword) -> str:
        start, end = self._span(node)
        return self.source[start:end].decode()

    def _mutant(self, kind: str, start: int, end: int, text: str) -> Mutant:
        return Mutant(self.path, self.source.count(b"\n", 0, start) + 1, kind, start, end, text)

    def _replace(self, kind: str, node: ast.expr | ast.stmt, text: str) -> Mutant:
        return self._mutant(kind, *self._span(node), text)

    def _token(self, kind: str, left: ast.expr, operator: ast.AST, right: ast.expr, table: dict) -> Iterator[Mutant]:
        """Exchange an operator, which lies between its operands, perhaps beside brackets."""
        token = TOKENS.get(type(operator))
        start, end = self._span(left)[1], self._span(right)[0]
        between = self.source[start:end]
        if token in table and (match := re.search(rb"\s+".join(re.escape(w.encode()) for w in token.split()), between)):
            yield self._mutant(kind, start + match.start(), start + match.end(), table[token])

    def _visit(self, node: ast.AST) -> Iterator[Mutant]:
        if _left_out(node, self):
            return
        yield from getattr(self, f"_{type(node).__name__.lower()}", _nothing)(node)
        for name, value in ast.iter_fields(node):
            if (type(node), name) in ELSEWHERE or name in ("annotation", "returns", "decorator_list"):
                continue
            if name == "args" and isinstance(node, ast.Call) and _called(node.func) in LAYOUT:
                value = value[1:]
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._visit(child)

    # --- one method a kind of node

    def _compare(self, node: ast.Compare) -> Iterator[Mutant]:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, node.comparators, strict=False):
            yield from self._token("comparison", left, operator, right, COMPARISONS)
        for operand in operands:
            for part in operand.elts if isinstance(operand, ast.Tuple | ast.List | ast.Set) else [operand]:
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.lineno == part.end_lineno:
                    yield self._replace("string", part, repr(part.value + "XX"))

    def _binop(self, node: ast.BinOp) -> Iterator[Mutant]:
        if not any(_is_string(side) or _is_type(side) for side in (node.left, node.right)):
            yield from self._token("arithmetic", node.left, node.op, node.right, ARITHMETIC)

    def _augassign(self, node: ast.AugAssign) -> Iterator[Mutant]:
        if not _is_string(node.value):
            yield from self._token("arithmetic", node.target, node.op, node.value, ARITHMETIC)

    def _unaryop(self, node: ast.UnaryOp) -> Iterator[Mutant]:
        start = self._span(node)[0]
        if isinstance(node.op, ast.USub):
            yield self._mutant("arithmetic", start, start + 1, "")
        elif isinstance(node.op, ast.Not):
            yield self._mutant("not", start, start + len("not "), "")

    def _boolop(self, node: ast.BoolOp) -> Iterator[Mutant]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            start = self._span(left)[1]
            if match := re.search(rf"\b{old}\b".encode(), self.source[start : self._span(right)[0]]):
                yield self._mutant("and/or", start + match.start(), start + match.end(), new)

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        value = node.value
        if isinstance(value, bool):
            yield self._replace("constant", node, repr(not value))
        elif isinstance(value, int):
            yield self._replace("constant", node, repr(value + 1))
        elif isinstance(value, float):
            yield self._replace("constant", node, repr(2 * value) if value else "1.0")

    def _condition(self, node: ast.If | ast.While | ast.IfExp) -> Iterator[Mutant]:
        """Invert a condition that has no operator of its own to change."""
        if isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
            yield self._replace("not", node.test, f"not {self._text(node.test)}")

    _if = _while = _ifexp = _condition

    def _comprehension(self, node: ast.comprehension) -> Iterator[Mutant]:
        for test in node.ifs:
            if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                yield self._replace("not", test, f"not {self._text(test)}")

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        arguments = sorted([*node.args, *node.keywords], key=lambda each: (each.lineno, each.col_offset))
        thread = "Thread" in self._text(node.func)
        for index, argument in enumerate(arguments):
            if not isinstance(argument, ast.keyword):
                continue
            if argument.arg not in EQUIVALENT_KEYWORDS | COSMETIC_KEYWORDS and not (thread and argument.arg == "name"):
                start, end = self._span(argument)
                if index + 1 < len(arguments):  # with the comma behind it
                    end = self._span(arguments[index + 1])[0]
                elif index:  # with the comma before it
                    start = self.source.rfind(b",", 0, start)
                yield self._mutant("keyword", start, end, "")
                yield from self._visit(argument.value)
        yield from self._opposite(node.func)

    def _opposite(self, function: ast.expr) -> Iterator[Mutant]:
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)
        if name in OPPOSITES:
            end = self._span(function)[1]
            yield self._mutant("min/max", end - len(name), end, OPPOSITES[name])

    def _return(self, node: ast.Return) -> Iterator[Mutant]:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield self._replace("return", node.value, "None")

    def _expr(self, node: ast.Expr) -> Iterator[Mutant]:
        if isinstance(node.value, ast.Call):
            yield self._replace("statement", node, "pass")

    def _raise(self, node: ast.Raise) -> Iterator[Mutant]:
        yield self._replace("raise", node, "pass")

    def _continue(self, node: ast.Continue) -> Iterator[Mutant]:
        yield self._replace("continue", node, "break")

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Iterator[Mutant]:
        for decorator in node.decorator_list:
            name = re.split(r"[(.]", self._text(decorator.func if isinstance(decorator, ast.Call) else decorator))[-1]
            if name not in EQUIVALENT_DECORATORS:
                start, end = self._span(decorator)
                yield self._mutant("decorator", self.source.rfind(b"@", 0, start), end, "")

    _functiondef = _asyncfunctiondef = _classdef = _decorated


def _nothing(node: ast.AST) -> Iterator[Mutant]:
    return iter(())


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_type(node: ast.expr) -> bool:
    """Return whether an operand of ``|`` is a type, by its name, or None."""
    name = _called(node) or ""
    return (name[:1].isupper() and not name.isupper()) or (isinstance(node, ast.Constant) and node.value is None)


def _left_out(node: ast.AST, finder: _Finder) -> bool:
    """Return whether a node, with all that it holds, is nothing that a test should notice."""
    match node:
        case ast.JoinedStr() | ast.Assert():
            return True
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring, or ``...``
        case ast.Call(func=function):
            return bool(LOGS.search(finder._text(function) + ".")) or _called(function) in ("cast", "TypeVar")
        case ast.Expr(value=ast.Call(func=function)):
            return bool(LOGS.search(finder._text(function)))
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name == "__all__"
        case ast.If(test=test):
            return "TYPE_CHECKING" in finder._text(test) or "__main__" in finder._text(test)
    return False


def _called(function: ast.expr) -> str | None:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)
