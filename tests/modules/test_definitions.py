"""A module that only a storage names is imported where it does nothing but define something, and is the user's own."""

import importlib.util
import itertools
import os
import sys
from pathlib import Path

import pytest

from sepray import registry
from sepray.disk import private_list
from sepray.modules import definitions, own_modules
from tests.lab_echo import write
from tests.test_registry import NOT_NAMED, TASK

EXAMPLES = Path(registry.__file__).parents[1] / "examples"
KEPT = Path(__file__).parents[1] / "kept"
_numbers = itertools.count()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, whose modules can be imported."""
    monkeypatch.delenv(own_modules.TRUSTED, raising=False)
    folder = tmp_path / "here"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def put(folder: Path, text: str, name: str = "") -> str:
    """Write a module that only this user may write, and return its name."""
    name = name or f"beside_{os.getpid()}_{next(_numbers)}"
    path = folder / f"{name.replace('.', '/')}.py"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.write_text(text)
    path.chmod(0o644)
    return name


def refused(module: str) -> None:
    with pytest.raises(registry.UnknownNameError, match=NOT_NAMED.format(module.replace(".", "[./]"))):
        registry.restored("sepray.tasks", module, {})
    assert module not in sys.modules


def test_file_beside_the_command_is_imported(here):
    """Thus studies go on whose start was before commands were remembered."""
    assert registry.restored("sepray.tasks", put(here, TASK), {}).seed == 0


@pytest.mark.parametrize(
    ("file", "method"),
    [
        (KEPT / "kept_task.py", "load"),
        (EXAMPLES / "own_task" / "csv_columns.py", "load"),
        (EXAMPLES / "own_separator" / "adversarial_filters.py", "build"),
    ],
)
def test_modules_as_users_write_them_only_define(here, file, method):
    name = put(here, file.read_text())
    assert definitions.only_defines(name, "Config", method, here)


HARMLESS = """
from __future__ import annotations
import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar
import torch
from torch import nn
if TYPE_CHECKING:
    from pathlib import Path
SIZES: dict[str, tuple[int, ...] | None] = {"a": (1, -2), "b": None}
KIND = torch.float32

@dataclass(frozen=True, slots=True)
class Config:
    names: list[str] = field(default_factory=list)
    limit: ClassVar[float] = 2 * 3.5
    def load(self, cache: Path, *, kind=torch.float32, sizes=SIZES):
        return open("anything")
    @property
    def both(self): return self.names * 2

class Net(nn.Module):
    def __init__(self, config: Config = None):
        super().__init__()
    @torch.no_grad()
    def forward(self, x): return x

DEBUG = Config(names=("x",))
WIDE = replace(DEBUG, names=())
"""


def test_what_a_module_may_have(here):
    assert definitions.only_defines(put(here, HARMLESS), "Config", "load", here)


RUNS = [
    "print(1)",
    "for _ in range(3): print(1)",
    "if True: print(1)",
    "if TYPE_CHECKING: print(1)",
    'if __name__ == "__main__": pass\nelse: print(1)',
    'def f(): ...\nif __name__ == "__main__": pass\nelif f(): pass',
    "def f(): ...\nX = f()",
    "def f(): ...\nX: int = f()",
    "def f(): ...\nX = [f() for _ in (1,)]",
    "def f(): ...\nX = {'a': (1, f())}",
    "def f(): ...\nX = f'{f()}'",
    "import os\nX = os.system('true')",
    "import os\nX: os.system('true') = 1",
    "import os\ndef f(x=os.system('true')): ...",
    "import os\ndef f(*, x=os.system('true')): ...",
    "import os\ndef f(x: os.system('true')): ...",
    "import os\ndef f(*x: os.system('true')): ...",
    "import os\ndef f() -> os.system('true'): ...",
    "def f(g): ...\n@f\ndef g(): ...",
    "import os\n@os.system\ndef g(): ...",
    "def f(g): ...\n@f\nclass A: ...",
    "class M(type):\n    def __new__(*_): ...\nclass A(metaclass=M): ...",
    "def f(): ...\nclass A(f()): ...",
    "class A:\n    print(1)",
    "def f(): ...\nclass A:\n    x = f()",
    "class A:\n    def __init_subclass__(cls): print(1)\nclass B(A): ...",
    "class A:\n    def __set_name__(self, *_): print(1)",
    "class A:\n    def __class_getitem__(cls, x): print(1)\nX: A[1] = 1",
    "from os import system as __getattr__",
    "from os import *",
    "def __getattr__(name): print(1)",
    "__name__ = '__main__'",
    "def dataclass(**_): ...\n@dataclass(frozen=True)\nclass A: ...",
    "dataclass = print",
    "from .dataclasses import dataclass\n@dataclass\nclass A: ...",
    "def property(f): print(1)\nclass A:\n    @property\n    def x(self): ...",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    def __post_init__(self): print(1)\nX = A()",
    "class A:\n    def __init__(self): print(1)\nX = A()",
    *(
        f"from dataclasses import dataclass\nfrom os import system\n@dataclass\nclass A:\n    x: int = 1\n"
        f"    @property\n    def y(self): ...\n    def __post_init__(self):\n        {check}\nX = A()"
        for check in (
            "if system('true'): raise ValueError",
            "if self.x: raise system('true')",
            "if self.y: raise ValueError",
            "if self.x: raise ValueError(f'{self.y}')",
            "if self.x: print(1)",
            "if self.x: raise ValueError\n        else: print(1)",
            "if self.x.y: raise ValueError",
        )
    ),
    "from dataclasses import dataclass, field\ndef f(): ...\n@dataclass\nclass A:\n    x: int = field("
    "default_factory=f)\nX = A()",
    "class A:\n    @property\n    def x(self): ...\nX = Config()\nY = X.x",
    "X = Config()\nY = X[0]",
    "X = Config()\nY = X + 1",
    "X = Config()\nX.y = 1",
    "from enum import Enum\nclass A(Enum):\n    B = 1\n    def __init__(self, x): print(1)",
    "X = (lambda: 1)()",
    "X = [*Config()]",
    "assert print(1)",
    "try: print(1)\nfinally: pass",
    "with open('x'): pass",
    "X = 1\nX += 1",
    "del Config",
    "raise SystemExit",
]


@pytest.mark.parametrize("text", RUNS)
def test_module_that_runs_something_is_not_imported(here, text):
    refused(put(here, f"{TASK}\n{text}\n"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("def load", "def build"),
        lambda text: text.replace("class Config", "class Configuration").replace("Config()", "Configuration()"),
        lambda text: text + "class\n",
        lambda text: text + "\0",
    ],
)
def test_module_that_is_no_task_is_not_imported(here, change):
    refused(put(here, change(TASK)))


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_file_that_others_may_write_is_not_imported(here, mode):
    """Whoever shares the folder and the database could have any code run."""
    name = put(here, TASK)
    (here / f"{name}.py").chmod(mode)
    refused(name)
    (here / f"{name}.py").chmod(0o644)
    assert registry.restored("sepray.tasks", name, {}).seed == 0


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_file_in_a_folder_that_others_may_write_into_is_not_imported(here, mode):
    name = put(here, TASK)
    here.chmod(mode)
    refused(name)


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_folders_above_count_too(here, mode):
    name = put(here, TASK)
    here.parent.chmod(mode)
    refused(name)


def test_folder_for_temporary_files_above_does_not_count(here):
    name = put(here, TASK)
    here.parent.chmod(0o1777)
    assert registry.restored("sepray.tasks", name, {}).seed == 0


def test_file_of_another_user_is_not_imported(here, monkeypatch):
    name, other = put(here, TASK), put(here, TASK)
    owner = os.stat(here / f"{name}.py").st_ino
    is_own = private_list.is_own
    monkeypatch.setattr(private_list, "is_own", lambda found: found.st_ino != owner and is_own(found))
    refused(name)
    assert registry.restored("sepray.tasks", other, {}).seed == 0


@pytest.mark.parametrize("writable", ["file", "folder"])
def test_what_python_has_compiled_counts_as_the_source_does(here, writable):
    """Python runs it in the place of a source whose time and size it has."""
    name = put(here, TASK)
    compiled = Path(importlib.util.cache_from_source(str(here / f"{name}.py")))
    compiled.parent.mkdir(mode=0o755)
    compiled.write_bytes(b"")
    (compiled if writable == "file" else compiled.parent).chmod(0o777)
    refused(name)


@pytest.mark.parametrize("imported", ["import {0}", "from {0} import x", "def f():\n    from {0} import x"])
@pytest.mark.parametrize("fault", ["runs", "writable"])
def test_imports_from_the_folder_are_held_to_the_same(here, imported, fault):
    beside = put(here, "x = 1\n" + ("print(x)\n" if fault == "runs" else ""))
    if fault == "writable":
        (here / f"{beside}.py").chmod(0o666)
    name = put(here, imported.format(beside) + "\n" + TASK)
    refused(name)
    put(here, "x = 1\n", beside)
    assert registry.restored("sepray.tasks", name, {}).seed == 0


@pytest.mark.parametrize("text", ["print(1)\n", "from .more import x\n"])
def test_package_of_a_module_is_held_to_the_same(here, text):
    package = put(here, "", f"lab_{os.getpid()}_{next(_numbers)}.more").partition(".")[0]
    module = put(here, TASK, f"{package}.task")
    put(here, text, f"{package}.__init__")
    put(here, "print(1)\n", f"{package}.more")
    refused(module)
    put(here, "x = 1\n", f"{package}.more")
    put(here, "from .more import x\n", f"{package}.__init__")
    assert registry.restored("sepray.tasks", module, {}).seed == 0


def test_links_and_compiled_modules_that_lead_elsewhere_are_not_imported(here, tmp_path):
    elsewhere = put(tmp_path, TASK)
    name = f"{elsewhere}_link"
    (here / f"{name}.py").symlink_to(tmp_path / f"{elsewhere}.py")
    refused(name)
    write(here, {f"{elsewhere}_c.so": ""})
    refused(put(here, f"import {elsewhere}_c\n{TASK}"))
    put(here, TASK, "dataclasses")  # a file in the place of a library whose decorators are known
    refused(put(here, TASK))
