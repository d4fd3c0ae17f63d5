"""Imports between the packages of sepray go one way only: ``ALLOWED`` is the table of ARCHITECTURE.md ("Arrows").

Each file is parsed once. Imports inside functions and under TYPE_CHECKING count. What import-linter can say (layers,
protected packages, no cycles) is in pyproject.toml; ``test_contracts_of_import_linter_hold`` runs it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from docs import diagram
from sepray.tracking import sources

from .import_finder import AT_RUN_TIME, FOLDERS, PASSED_ON, ROOT, File, Import, files, inside, is_below, planted

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
# Large library, or a part of one -> the packages and modules that may import it. Every other file does without.
RAY = frozenset({"execution", "console.preflight"})
OWNERS: dict[str, frozenset[str]] = {
    "mlflow": frozenset({"tracking"}),
    "ray": RAY,
    "ray.tune": RAY | {"search.searcher", "search.in_order", "dry_run.schedule"},
    "optuna": frozenset({"search", "driver", "dry_run", "spec", "report", "results", "comparison", "cli", "identity"})
    | {"studies", "search_spaces"},
    "torch": frozenset({"separators", "networks", "signals", "tasks", "data", "scoring", "training", "execution"})
    | {"tracking", "driver", "dry_run", "report", "results", "models", "comparison.running", "cli.doctor"}
    | {"tables.iterations", "tables.figures", "contracts", "disk.mapping", "task_checks", "separator_checks"},
}
# Modules that import what is named at run time: separators, tasks, commands, and the modules of models and of users.
IMPORT_AT_RUN_TIME = frozenset({"__init__", "cli.main", "registry", "shipped", "search.samplers"})
IMPORT_AT_RUN_TIME |= {f"tracking.{name}" for name in ("loader", "packaged_model", "pretrained")}
IMPORT_AT_RUN_TIME |= {"tracking.load_alone", "tracking.separate_alone"}
IMPORT_AT_RUN_TIME |= {"execution.fork_server", "execution.worker_code"}
STUDIES_MAY_IMPORT = ("sepray.study", "sepray.comparison", "sepray.tables", "search_spaces")
VOCABULARY_OF_STUDIES = ("sepray.arms",)
LONGEST_STUDY, LONGEST_TABLE = 40, 44  # lines; a table has the paper's figures too
CONTROL_FLOW = (ast.If, ast.For, ast.While, ast.Try, ast.FunctionDef, ast.Lambda, ast.comprehension, ast.ClassDef)


def may_import(package: str, name: str) -> bool:
    """Say whether files of a package of sepray may import ``sepray.x.y``; of other projects, anything."""
    if not is_below(name, "sepray"):
        return name.split(".")[0] not in ("studies", "tests", "search_spaces", "benchmarks", "examples", PASSED_ON)
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
        if not (file.is_in(*IMPORT_AT_RUN_TIME) if found.name == AT_RUN_TIME else may_import(file.package, found.name))
    ]


# Of names alone: whoever collects this test needs no file parsed.
PACKAGES = sorted({path.relative_to(ROOT).with_suffix("").parts[1] for path in (ROOT / "sepray").rglob("*.py")})


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_the_table_allows(package):
    assert violations(inside("sepray", package)) == []


def test_table_names_only_what_is_there():
    named = set(ALLOWED) | VOCABULARY | IMPORT_AT_RUN_TIME | set().union(*ALLOWED.values(), *OWNERS.values())
    for name in named - set(FOLDERS):
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


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("execution/x.py", "importlib.import_module('..tracking.models', __package__)", "sepray.tracking.models"),
        ("networks/x.py", "import_module(name='sepray.tracking.models')", "sepray.tracking.models"),
        ("training/x.py", "from importlib import import_module as im; im('sepray.tracking.models')", PASSED_ON),
        ("separators/x.py", "import_module(name)", AT_RUN_TIME),
    ],
)
def test_no_way_to_import_passes_the_table_by(path, text, name):
    assert violations([planted(path, text)]) == [f"sepray/{path}:1 imports {name}"]


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


def taken_from_others(source_files: Iterable[File]) -> list[str]:
    """Return the imports of large libraries in files that do not own them, as ``file:line imports name``."""
    return [
        f"{file.path}:{i.line} imports {i.name}"
        for file in source_files
        for i in file.imports
        if i.name.partition(".")[0] in OWNERS
        and not any(is_below(i.name, library) and file.is_in(*owners) for library, owners in OWNERS.items())
    ]


def test_libraries_are_imported_only_by_the_packages_that_own_them():
    assert taken_from_others(files()) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("separators/kam.py", "import ray, optuna"),
        ("scoring/units.py", "import ray, optuna"),
        ("search/ledger.py", "import ray"),
        ("search/searcher.py", "import ray; from ray import remote"),
        ("search/ledger.py", "from torch import Tensor; import mlflow"),
        ("execution/items.py", "import optuna.trial; import_module('mlflow')"),
        ("training/trainer.py", "import ray.tune, optuna, mlflow"),
        ("networks/masking.py", "from optuna import Trial; from mlflow import log_metric; __import__('ray')"),
        ("loose_module.py", "import torch, optuna, ray, mlflow"),
    ],
)
def test_library_of_another_package_is_found(path, text):
    file = planted(path, text)
    assert len(taken_from_others([file])) == len(file.imports) > 0


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
    ours = [i.name for i in file.imports if i.name.split(".")[0] in FOLDERS or i.name in (AT_RUN_TIME, PASSED_ON)]
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


def test_architecture_page_has_the_same_owners():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = page.partition("| library | who may import it |")[2].partition("\n\n")[0].splitlines()[2:]
    told = {library: set(re.findall(r"[\w.]+", owners)) for library, owners in (row.split("|")[1:3] for row in rows)}
    assert told == {f" {library} ": set(owners) for library, owners in OWNERS.items()}


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
