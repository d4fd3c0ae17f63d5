"""A module's source is read without running anything."""

import ast
import sys

import pytest

from sepray.modules import source
from tests.lab_echo import write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


FILES = {
    "src_a/__init__.py": "raise MemoryError\nfrom .inner import Last as First, LIMIT\n",
    "src_a/inner/__init__.py": "from ..leaf import *\nfrom .. import leaf as twig\nimport src_a.leaf as branch\n",
    "src_a/leaf.py": """
import src_a.plain.deep
class Last: pass
LIMIT: int = 7
TWICE = 1
TWICE = 2
def function(): pass
""",
    "src_a/plain/deep.py": "X = Y = 3\n",
    "src_a/near.py": "from .leaf import LIMIT as NEAR\n",
    "src_a/round.py": "from .about import Z\n",
    "src_a/about.py": "from .round import Z\n",
    "src_a/outside.py": "from src_b import B\nfrom sepray.errors import UsageError\nfrom missing.thing import C\n",
    "src_b.py": "B = 1\n",
    "src_torn.py": "A = 1\nclass\n",
    "src_bare/only.py": "",
    "src_compiled.abi3.so": "",
}


def test_file_of_a_module_is_found_without_running_its_package(folder):
    write(folder, FILES)
    before = set(sys.modules)
    assert source.file("src_a") == folder / "src_a/__init__.py"
    assert source.file("src_a.inner") == folder / "src_a/inner/__init__.py"
    assert source.file("src_a.leaf") == folder / "src_a/leaf.py"
    assert source.file("src_a.plain.deep") == folder / "src_a/plain/deep.py"  # plain has no __init__.py
    assert source.file("src_a.plain") is None
    assert source.file("src_bare.only") == folder / "src_bare/only.py"
    assert source.file("src_bare") is None
    assert source.file("src_compiled") is None
    assert source.file("sys") is None
    assert not [name for name in set(sys.modules) - before if name.startswith("src_")]


@pytest.mark.parametrize(
    "name", ["src_none", "src_a.none", "src_a.leaf.none", "src_a.plain.none", "src_bare.none", "src_b.none", "a..b"]
)
def test_missing_modules_are_missing(folder, name):
    write(folder, FILES)
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"):
        source.file(name)


def test_module_without_source_says_nothing(folder):
    write(folder, FILES)
    assert source.tree("src_compiled").body == []


def test_changed_source_is_read_again(folder):
    import os

    write(folder, {"src_c.py": "A = 1"})
    assert source.definition("src_c", "B") is None
    write(folder, {"src_c.py": "B = 1"})
    os.utime(folder / "src_c.py", (1, 1))
    assert source.definition("src_c", "B") is not None


@pytest.mark.parametrize(
    ("module", "name", "found", "text"),
    [
        ("src_a", "First", "src_a.leaf", "class Last:\n    pass"),
        ("src_a", "LIMIT", "src_a.leaf", "LIMIT: int = 7"),
        ("src_a.leaf", "TWICE", "src_a.leaf", "TWICE = 2"),
        ("src_a.leaf", "function", "src_a.leaf", "def function():\n    pass"),
        ("src_a.near", "NEAR", "src_a.leaf", "LIMIT: int = 7"),
        ("src_a.inner", "Last", "src_a.leaf", "class Last:\n    pass"),
        ("src_a.inner", "twig.Last", "src_a.leaf", "class Last:\n    pass"),
        ("src_a.inner", "branch.LIMIT", "src_a.leaf", "LIMIT: int = 7"),
        ("src_a.leaf", "src_a.plain.deep.Y", "src_a.plain.deep", "X = Y = 3"),
        ("src_b", "B", "src_b", "B = 1"),
    ],
)
def test_definitions_are_found_where_they_are(folder, module, name, found, text):
    write(folder, FILES)
    where, node = source.definition(module, name)
    assert (where, ast.unparse(node)) == (found, text)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("src_a", "Last"),  # it has another name there
        ("src_a.round", "Z"),  # the two modules import it from one another
        ("src_a.outside", "B"),  # of another project
        ("src_a.outside", "C"),
        ("src_a.inner", "twig"),  # a module is no definition
        ("src_none", "B"),
        ("src_b", "B.c"),
        ("src_torn", "A"),
    ],
)
def test_what_is_not_defined_is_not_found(folder, module, name):
    write(folder, FILES)
    assert source.definition(module, name) is None


def test_definitions_of_sepray_are_found_from_everywhere(folder):
    write(folder, FILES)
    where, node = source.definition("src_a.outside", "UsageError")
    assert (where, node.name) == ("sepray.errors", "UsageError")


FIELDS = """
from typing import ClassVar
from src_a.leaf import Last
import src_b
class Base:
    size: int = 1
    KIND: ClassVar[str] = "x"
    def f(self): ...
class Config(Base):
    rate: float = 1.0
class Both(Last, Config):
    more: int = 0
class Foreign(src_b.B):
    rate: float = 1.0
class Nothing(Gone): pass
class Itself(Itself): pass
class Listed(list[int]): pass
"""


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *(("Base", {"size"}), ("Config", {"size", "rate"}), ("Both", {"size", "rate", "more"})),
        *((name, None) for name in ("Foreign", "Nothing", "Itself", "Listed", "KIND", "none")),
    ],
)
def test_fields_of_a_dataclass_are_its_own_and_those_that_it_inherits(folder, name, fields):
    write(folder, {**FILES, "src_a/fields.py": FIELDS})
    assert source.fields("src_a.fields", name) == fields


def test_sentence_is_the_first_paragraph_in_one_line():
    assert source.sentence(ast.parse('"""\n  One\n  two.\n\n  Three.\n"""')) == "One two."
    assert source.sentence(ast.parse("x = 1")) == ""


def test_assigned_names_and_values():
    names, value = source.assigned(ast.parse("a = b = c.d = 4").body[0])
    assert (names, value.value) == (["a", "b"], 4)
    assert source.assigned(ast.parse("a: int").body[0]) == (["a"], None)
    assert source.assigned(ast.parse("print(1)").body[0]) == ([], None)
