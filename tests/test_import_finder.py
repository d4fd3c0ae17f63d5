"""Each way to import a module is seen, so that the rules of ``test_architecture`` hold for it."""

import ast

import pytest

from .import_finder import AT_RUN_TIME, PASSED_ON, imports


def found(text: str) -> list[tuple[str, bool]]:
    return [(i.name, i.relative) for i in sorted(imports(ast.parse(text), "sepray.p.q"), key=lambda i: i.line)]


def test_imports_are_found_wherever_they_are():
    text = "import a.b\nfrom ..x import y\nif TYPE_CHECKING:\n  from . import z\ndef f():\n  from ...c.d import e\n"
    names = ["a.b", "sepray.p.x.y", "sepray.p.q.z", "sepray.c.d.e"]
    assert found(text) == [(name, name.startswith("sepray")) for name in names]


@pytest.mark.parametrize(
    ("call", "name", "relative"),
    [
        ("importlib.import_module('sepray.x')", "sepray.x", False),
        ("import_module(name='sepray.x')", "sepray.x", False),
        ("il.import_module('sepray.x')", "sepray.x", False),
        ("import_module('..x.y', __package__)", "sepray.p.x.y", True),
        ("import_module(package=__package__, name='...x')", "sepray.x", True),
        ("import_module('.x', 'sepray.r')", "sepray.r.x", False),
        ("import_module(f'{__package__}.x')", "sepray.p.q.x", True),
        ("import_module(__package__ + '.x')", "sepray.p.q.x", True),
        ("import_module('sepray.' 'x' + '.y')", "sepray.x.y", False),
        ("__import__('sepray.x')", "sepray.x", False),
        ("__import__(name='sepray.x')", "sepray.x", False),
        ("__import__('x', globals(), locals(), ['y'], 3)", "sepray.x.y", True),
        ("__import__('x', globals(), level=2, fromlist=('y',))", "sepray.p.x.y", True),
        ("builtins.__import__('sepray', fromlist=['x'])", "sepray.x", False),
        ("import_module(name)", AT_RUN_TIME, False),
        ("import_module(f'sepray.{name}')", AT_RUN_TIME, False),
        ("import_module('.x', __spec__.parent)", AT_RUN_TIME, False),
        ("import_module(*names)", AT_RUN_TIME, False),
        ("import_module(**names)", AT_RUN_TIME, False),
        ("__import__(name)", AT_RUN_TIME, False),
        ("__import__('x', level=level)", AT_RUN_TIME, False),
        ("load = importlib.import_module", PASSED_ON, False),
        ("partial(import_module, 'sepray.x')", PASSED_ON, False),
        ("load = __import__", PASSED_ON, False),
        ("getattr(importlib, 'import_module')('sepray.x')", PASSED_ON, False),
        ("vars(builtins)['__import__']('sepray.x')", PASSED_ON, False),
    ],
)
def test_functions_that_import_are_seen(call, name, relative):
    assert found(call) == [(name, relative)]


@pytest.mark.parametrize("line", ["from importlib import import_module as im", "from builtins import __import__ as im"])
def test_function_that_imports_may_have_no_other_name(line):
    assert found(line)[1:] == [(PASSED_ON, False)]
