"""The imports between the project's modules point one way (ARCHITECTURE.md, "Arrows")."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEAVES = {"contracts", "registry", "identity", "metrics", "losses", "networks", "spectral", "checkpoint", "terminal"}
LEAVES |= {"cluster", "scheduling", "cache", "samplers", "ecgsyn", "folder"}
LEAVES |= {"arguments", "choices", "errors", "mask_networks", "overlap", "places", "recordings"}
LEAVES |= {"images", "physiology", "unet", "wasserstein"}
LEAVES |= {"decoding", "instruments", "mixing"}
LEAVES |= {"generators", "waveform_networks"}
LEAVES |= {"oracles", "variational", "augmentation"}
FOR_ALL = {"choices", "contracts", "errors"}  # names, contracts and errors, which import nothing from sepray
ALLOWED = {
    "training": {"contracts", "augmentation"},
    "evaluation": {"contracts", "metrics", "oracles", "spectral"},
    "projection": {"tracking"},
    "spec": {"arguments", "identity", "registry", "metrics", "samplers", "trainable"},
    "trainable": {"contracts", "training", "checkpoint", "metrics"},
    "searcher": LEAVES,
    "tracking": {"contracts"},
    "selection": {"contracts", "checkpoint", "metrics", "evaluation", "terminal", "trainable"},
    "starting": {"checkpoint", "identity", "places", "registry", "terminal", "tracking", "training"},
    "stores": {"errors", "searcher", "tracking"},
    "report": {"contracts", "metrics", "spectral", "checkpoint", "terminal", "selection", "spec"},
    "comparison": LEAVES | {"study", "spec", "selection", "evaluation", "report", "stores", "tracking", "training"},
    "separators": LEAVES,
    "tasks": LEAVES,
}
ONLY = {"mlflow": {"tracking"}}
BANNED = {"trainable": {"optuna", "mlflow"}, "searcher": {"torch", "mlflow"}, "training": {"ray", "optuna", "mlflow"}}


def imports(path: Path, package: str) -> set[str]:
    """Absolute names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def modules() -> dict[str, tuple[str, set[str]]]:
    """Path -> (first name below sepray, imports)."""
    found = {}
    for path in sorted((ROOT / "sepray").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[str(path.relative_to(ROOT))] = (parts[1], imports(path, ".".join(parts[:-1])))
    return found


def inside(names: set[str]) -> set[str]:
    """First names below sepray of what is imported from it."""
    return {name.split(".")[1] for name in names if name.startswith("sepray.")}


@pytest.mark.parametrize("path", modules())
def test_module_imports_only_what_its_arrows_allow(path):
    own, names = modules()[path]
    used = inside(names) & {p.stem if p.is_file() else p.name for p in (ROOT / "sepray").iterdir()}
    if own in LEAVES:
        assert used - {own} <= (set() if own in FOR_ALL else FOR_ALL)
    elif own in ALLOWED:
        assert used - {own} <= ALLOWED[own] | FOR_ALL
    if own in ("separators", "tasks"):
        others = {n for n in names if n.startswith(f"sepray.{own}.")}
        assert not others, f"{path} imports another of its kind"
    for library, owners in ONLY.items():
        if own not in owners:
            assert not any(n == library or n.startswith(f"{library}.") for n in names)
    for library in BANNED.get(own, ()):
        assert not any(n == library or n.startswith(f"{library}.") for n in names)


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.py")), ids=lambda p: p.name)
def test_studies_import_spaces_and_the_study_only(path):
    used = {n for n in imports(path, "studies") if n.split(".")[0] in ("sepray", "search_spaces", "studies")}
    assert all(n.startswith(("search_spaces", "sepray.study")) for n in used)
    assert len(path.read_text().splitlines()) <= 40


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.py")), ids=lambda p: p.name)
def test_search_spaces_are_data(path):
    assert not any(n.split(".")[0] in ("sepray", "studies", "torch", "ray") for n in imports(path, "search_spaces"))
    flow = (ast.If, ast.For, ast.While, ast.FunctionDef, ast.Lambda, ast.comprehension)
    assert not any(isinstance(node, flow) for node in ast.walk(ast.parse(path.read_text())))
