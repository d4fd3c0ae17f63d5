"""Imports between the packages of sepray go one way only: ``ALLOWED`` is the table of ARCHITECTURE.md ("Arrows").

Each file is parsed once. Imports inside functions and under TYPE_CHECKING count. What import-linter can say (layers,
protected packages, no cycles) is in pyproject.toml; ``test_contracts_of_import_linter_hold`` runs it.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from docs import diagram
from sepray.tracking import sources

ROOT = Path(__file__).parents[1]
FOLDERS = ("sepray", "studies", "search_spaces")
# Open to every package; among themselves they import no one else.
VOCABULARY = frozenset(
    {
        "contracts",
        "choices",
        "errors",
        "identity",
        "registry",
        "module_names",
        "loading",
        "arms",
        "separator_checks",
        "signal_checks",
        "task_checks",
        "processor",
        "fault",
        "secrecy",
        "secret_forms",
        "plain_text",
        "shapes",
        "shipped",
        "disk",
        "modules",
    }
)
# Package or root module of sepray -> what it may import, beside the vocabulary and itself. A name with a dot allows one
# module of a package. What has no line here may import nothing, and so may the vocabulary.
ALLOWED: dict[str, frozenset[str]] = {
    # of sepray: what it offers, for type checkers alone (test_api.py has the rest), and how scripts show errors
    "__init__": frozenset({"study", "results", "models", "console.exit_status"}),
    "__main__": frozenset({"cli"}),
    "study": frozenset({"results", "driver", "dry_run", "spec", "execution.cluster", "console"}),
    "results": frozenset(
        {"driver", "report", "spec", "execution", "search", "tracking", "models", "scoring", "console"}
    ),
    "dry_run": frozenset({"driver", "spec", "execution", "search", "training", "console"}),
    "driver": frozenset({"report", "spec", "execution", "search", "tracking", "scoring", "training", "console"}),
    "report": frozenset(
        {"spec", "scoring", "execution.checkpoint", "execution.weights", "search.outcomes", "signals", "console"}
    ),
    "models": frozenset({"tracking", "scoring", "signals", "console"}),
    "spec": frozenset({"search.samplers", "scoring.metrics", "console"}),
    "execution": frozenset({"training", "scoring"}),
    "training": frozenset({"signals"}),
    "scoring": frozenset({"signals"}),
    "separators": frozenset({"networks", "signals"}),
    "tasks": frozenset({"data", "signals"}),
}
# The front doors: study, and all that study may reach.
BELOW_STUDY = frozenset(
    {
        "study",
        "results",
        "models",
        "dry_run",
        "driver",
        "report",
        "spec",
        "execution",
        "search",
        "tracking",
        "scoring",
        "training",
    }
)
BELOW_STUDY |= {"signals", "console"}
ALLOWED |= {"cli": BELOW_STUDY, "comparison": BELOW_STUDY}
ALLOWED["tables"] = frozenset({"comparison", "driver", "report", "results", "scoring", "signals", "spec", "console"})
# Third-party libraries that belong to some packages alone, and those that a package must do without.
OWNERS = {"mlflow": {"tracking"}}
BANNED = {
    "execution": {"optuna", "mlflow"},
    "search": {"torch", "mlflow"},
    "training": {"ray", "optuna", "mlflow"},
}
STUDIES_MAY_IMPORT = ("sepray.study", "sepray.comparison", "sepray.tables", "search_spaces")
VOCABULARY_OF_STUDIES = ("sepray.arms",)
LONGEST_STUDY, LONGEST_TABLE = 40, 44  # lines; a table has the paper's figures too
CONTROL_FLOW = (ast.If, ast.For, ast.While, ast.Try, ast.FunctionDef, ast.Lambda, ast.comprehension, ast.ClassDef)


@dataclass(frozen=True)
class Import:
    """One imported name: absolute, ``a.b.name`` for ``from a.b import name``."""

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


@functools.cache
def files() -> tuple[File, ...]:
    """Return every source file, parsed once for all tests of this module."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
            tree = ast.parse(text)
            imports = tuple(_imports(tree, ".".join(name.parent.parts)))
            found.append(File(str(name), tree, len(text.splitlines()), imports))
    return tuple(found)


def _imports(tree: ast.Module, package: str) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, False)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(node.lineno, f"{module}.{alias.name}", node.level > 0)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function, module = ast.unparse(node.func), node.args[0].value
            if function.rpartition(".")[2] in ("__import__", "import_module") and isinstance(module, str):
                yield Import(node.lineno, module, False)


def inside(folder: str, *packages: str) -> list[File]:
    """Return the files of a top folder, or of some of its packages."""
    prefix = tuple(f"{folder}/{package}" for package in packages) or (f"{folder}/",)
    return [f for f in files() if f.path.startswith(prefix) and (not packages or f.package in packages)]


def is_below(name: str, module: str) -> bool:
    """Say whether a name is the module, or in it."""
    return f"{name}.".startswith(f"{module}.")


def may_import(package: str, name: str) -> bool:
    """Say whether files of a package of sepray may import ``sepray.x.y``; of other projects, anything."""
    if not is_below(name, "sepray"):
        return name.split(".")[0] not in ("studies", "tests", "search_spaces", "benchmarks", "examples")
    target = name.split(".")[1:2]
    if not target:  # sepray itself reaches every package
        return False
    if target[0] == "__version__" or target[0] == package or (target[0] in VOCABULARY):
        return True
    return any(is_below(name, f"sepray.{allowed}") for allowed in ALLOWED.get(package, ()))


def violations(package_files: list[File]) -> list[str]:
    """Return the imports that the table does not allow, as ``file:line imports name``."""
    return [
        f"{file.path}:{found.line} imports {found.name}"
        for file in package_files
        for found in file.imports
        if not may_import(file.package, found.name)
    ]


# Of names alone: whoever collects this test needs no file parsed.
PACKAGES = sorted({path.relative_to(ROOT).with_suffix("").parts[1] for path in (ROOT / "sepray").rglob("*.py")})


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_the_table_allows(package):
    assert violations(inside("sepray", package)) == []


def test_table_names_only_what_is_there():
    named = set(ALLOWED) | VOCABULARY | set().union(*ALLOWED.values())
    for name in named:
        path = ROOT / "sepray" / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_front_doors_may_import_what_study_reaches():
    reached, waiting = set(), ["study"]
    while waiting:
        name = waiting.pop().partition(".")[0]
        if name not in reached:
            reached.add(name)
            waiting += ALLOWED.get(name, ())
    assert reached == BELOW_STUDY


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("loose_module", "sepray.signals.stft"),
        ("scoring", "sepray.tracking.models"),
        ("report", "sepray.execution.cluster"),
        ("separators", "tests.simulation"),
        ("search", "benchmarks.many"),
        ("search", "sepray"),
        ("search", "sepray.load_model"),
    ],
)
def test_what_the_table_does_not_allow_is_found(package, name):
    """Also: what the table does not know may import nothing."""
    file = File(f"sepray/{package}/x.py", ast.Module([], []), 1, (Import(3, name, False),))
    assert violations([file]) == [f"sepray/{package}/x.py:3 imports {name}"]


def test_imports_are_found_wherever_they_are():
    text = "import a.b\nfrom ..x import y\nif TYPE_CHECKING:\n  from . import z\ndef f():\n  from ...c.d import e\n"
    text += "__import__('f.g')\nimportlib.import_module('h')\nimportlib.import_module(name)\n"
    found = sorted(_imports(ast.parse(text), "sepray.p.q"), key=lambda i: i.line)
    names = ["a.b", "sepray.p.x.y", "sepray.p.q.z", "sepray.c.d.e", "f.g", "h"]
    assert [(i.name, i.relative) for i in found] == [(n, n.startswith("sepray")) for n in names]


def test_contracts_of_import_linter_hold(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_separators_and_tasks_import_no_other_of_their_kind():
    found = [
        f"{file.path}:{i.line} imports {i.name}"
        for file in inside("sepray", "separators", "tasks")
        for i in file.imports
        if is_below(i.name, f"sepray.{file.package}")
    ]
    assert found == []


def test_what_a_registered_model_ships_imports_relatively():
    """The copy in a model lies under another package name."""
    shipped = inside("sepray", "separators", "networks", "signals", "contracts", "errors", "choices", "tasks", "data")
    found = [f"{f.path}:{i.line}" for f in shipped for i in f.imports if is_below(i.name, "sepray") and not i.relative]
    assert found == []


def test_libraries_are_imported_only_by_the_packages_that_own_them():
    found = [
        f"{file.path}:{i.line} imports {i.name}"
        for file in files()
        for i in file.imports
        for library in (i.name.partition(".")[0],)
        if file.package not in OWNERS.get(library, {file.package}) or library in BANNED.get(file.package, ())
    ]
    assert found == []


def test_packages_have_a_docstring_and_no_imports():
    """sepray's own has the version and the public API, and may import nothing of sepray when it is imported."""
    for file in files():
        if file.path.endswith("__init__.py"):
            assert ast.get_docstring(file.tree), file.path
            body = file.tree.body[1:]
            if file.path == "sepray/__init__.py":
                imported = [n for node in body if isinstance(node, ast.Import | ast.ImportFrom) for n in node.names]
                assert [n.name for n in imported] == ["annotations", "importlib", "TYPE_CHECKING", "Any"]
            else:
                assert not body, file.path


@pytest.mark.parametrize("file", inside("studies"), ids=lambda f: f.path)
def test_study_is_short_and_imports_only_the_front_doors(file):
    ours = [i.name for i in file.imports if i.name.split(".")[0] in FOLDERS]
    doors = STUDIES_MAY_IMPORT + VOCABULARY_OF_STUDIES
    assert [name for name in ours if not any(is_below(name, door) for door in doors)] == []
    assert file.lines <= (LONGEST_TABLE if file.package == "tables" else LONGEST_STUDY)


@pytest.mark.parametrize("file", inside("search_spaces"), ids=lambda f: f.path)
def test_search_space_is_data(file):
    assert {i.name for i in file.imports if i.name.split(".")[0] != "optuna"} <= {"sepray.arms.Arm"}
    assert not [node for node in ast.walk(file.tree) if isinstance(node, CONTROL_FLOW)]


def test_registered_model_ships_only_what_its_separator_needs():
    found = set(sources.collect("sepray.separators.cass", "sepray.tracking.loader"))
    networks = {f"networks.{name}" for name in ("checks", "cross_adversarial", "levels", "normalisation", "residual")}
    networks |= {f"networks.{name}" for name in ("adversaries", "spectral_norm")}
    tracking = {"tracking.loader", "tracking.served"}
    signals = {f"signals.{name}" for name in ("stft", "template", "template_input")}
    needed = (
        {"separators.cass", "contracts", "errors", "secrecy", "secret_forms", "processor"}
        | networks
        | tracking
        | signals
    )
    assert found == {f"sepray.{name}" for name in needed}


REFUSED = """
import sys
from sepray.errors import UsageError
from sepray.study import StudySpec, run
try:
    run(StudySpec(name="x", separator="no_such_separator", task="chords", space={}))
except UsageError as error:
    assert "no_such_separator" in str(error), error
    print(sorted({"torch", "ray", "mlflow"} & set(sys.modules)))
"""


def test_bad_input_is_refused_before_torch_ray_and_mlflow_are_imported(tmp_path):
    done = subprocess.run([sys.executable, "-c", REFUSED], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.stdout.strip() == "[]", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_architecture_page_has_the_same_table():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = page.partition("| package | may import, beside the vocabulary |")[2].partition("\n\n")[0].splitlines()[2:]
    told: dict[str, set[str]] = {}
    for packages, targets in (row.strip("| ").split(" | ") for row in rows):
        names = set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", targets))) - {"nothing"}
        told |= dict.fromkeys(packages.split(", "), names)
    told |= {key: set(ALLOWED[key]) for key in ("cli", "comparison")}  # "study and everything that it may import"
    assert told.pop("studies") == {name.rpartition(".")[2] for name in STUDIES_MAY_IMPORT}
    held = {package: {target.partition(".")[0] for target in targets} for package, targets in ALLOWED.items()}
    del held["__init__"], held["__main__"]  # said in a sentence
    assert {package: names for package, names in told.items() if names} == held


def imported_packages() -> dict[str, set[str]]:
    """Package -> the packages that it imports, without the vocabulary and the console, which all may import."""
    found: dict[str, set[str]] = {}
    drawn = ({f.package for f in files()} | {"study"}) - VOCABULARY - {"console", "__init__", "__main__"}
    for file in files():
        package = file.package if file.path.startswith("sepray/") else file.path.partition("/")[0]
        targets = {name.split(".")[1] for name in (f"{i.name}." for i in file.imports) if name.startswith("sepray.")}
        if package in drawn | {"studies"}:
            found.setdefault(package, set()).update((targets & drawn) - {package})
    return found


def reachable(package: str, arrows: dict[str, set[str]]) -> set[str]:
    direct = arrows.get(package, set())
    return direct.union(*(reachable(target, arrows) for target in direct))


def test_picture_of_the_packages_has_every_arrow_that_does_not_follow_from_others():
    arrows = imported_packages()
    needed = {
        (package, target)
        for package, targets in arrows.items()
        for target in targets
        if not any(target in reachable(other, arrows) for other in targets - {target})
    }
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    drawn = diagram.parse(page.split("```mermaid\n")[1].split("```")[0])[1]
    assert set(drawn) == needed


@pytest.mark.parametrize("package", ["driver", "search", "execution", "tracking"])
def test_architecture_page_says_what_each_module_of_a_large_package_is_for(package):
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told = page.partition(f"### Inside `{package}/`\n")[2].partition("\n#")[0]
    modules = {Path(file.path).stem for file in inside("sepray", package)} - {"__init__"}
    assert modules - set(re.findall(r"`(\w+)`", told)) == set()
