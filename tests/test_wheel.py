"""The content of the wheel; sepray works where nothing else of the repository is."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import sepray

ROOT = Path(__file__).parents[1]
SOURCES = (
    "sepray",
    "search_spaces",
    "studies",
    "tests",
    "benchmarks",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
)
# A study of seconds.
SMALL = {
    "trials": 2,
    "max-epochs": 1,
    "finalists": 1,
    "final-seeds": 1,
    "concurrency": 1,
    "task.train": 8,
    "task.validation": 4,
    "task.test": 4,
    "task.item-samples": 248,
    "task.train-recordings": 2,
    "task.validation-recordings": 1,
    "task.test-recordings": 1,
    "task.recording-seconds": 7,
    "separator.width": 4,
    "separator.depth": 1,
    "separator.discriminator-width": 4,
    "separator.discriminator-stages": 1,
    "separator.precision": "float32",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built of a copy of the repository, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__", "kept"))
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, folder / "source", cwd=folder)
    [path] = folder.glob("*.whl")
    return path


def run(*command: object, cwd: Path, timeout: float = 120) -> str:
    """Run a command without the environment of these tests; return what it printed."""
    left_out = ("PYTHON", "MLFLOW", "RAY", "VIRTUAL_ENV", "COVERAGE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environment |= {"HOME": str(cwd), "COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def empty_environment(folder: Path) -> Path:
    """Make a virtual environment with nothing in it; return its folder of executables."""
    venv.create(folder)
    return folder / "bin"


def install(executables: Path, *arguments: object, timeout: float = 120) -> None:
    """Run ``pip install`` for a virtual environment."""
    python = executables / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        *arguments,
        cwd=python.parent,
        timeout=timeout,
    )


def metadata(wheel: Path) -> Message:
    [name] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(zipfile.ZipFile(wheel).read(name).decode())


def test_wheel_holds_sepray_with_search_spaces_and_studies_and_nothing_else(wheel):
    packages = {path.relative_to(ROOT) for path in (ROOT / "sepray").rglob("*.py")}
    for folder in ("search_spaces", "studies"):
        packages |= {Path("sepray") / path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
    assert Path("sepray/search_spaces/cass.py") in packages
    assert Path("sepray/studies/cass_alpha_sweep.py") in packages
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    models = {path.relative_to(ROOT) for path in (ROOT / "sepray" / "pretrained").rglob("*") if path.is_file()}
    assert Path("sepray/pretrained/ecg/separator/weights.safetensors") in models
    expected = packages | models | {Path("sepray/py.typed")}
    assert {name for name in names if not name.parts[0].endswith(".dist-info")} == expected
    assert {name.name for name in names} >= {"LICENSE", "METADATA", "entry_points.txt"}


def test_metadata_say_who_made_it_and_what_it_is(wheel):
    said = metadata(wheel)
    assert (said["Name"], said["Author"], said["License-Expression"]) == ("sepray", "The sepray authors", "Apache-2.0")
    assert said["Requires-Python"] == ">=3.11"
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(said.get_all("Classifier"))
    assert "source separation" in said["Keywords"].split(",")
    assert "torch>=2.9" in said.get_all("Requires-Dist")
    assert "\n# sepray\n" in said.get_payload()


def test_one_version_everywhere(wheel, tmp_path, capsys):
    from sepray.cli.main import main
    from sepray.tracking.environment import environment_tags

    assert metadata(wheel)["Version"] == sepray.__version__
    assert environment_tags(folder=tmp_path)["version.sepray"] == sepray.__version__
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sepray {sepray.__version__}\n"
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changed = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", changed, re.MULTILINE)
    assert newest is not None
    assert newest[1] == sepray.__version__
    assert f"\nversion: {newest[1]}\n" in cited
    assert f'\ndate-released: "{newest[2]}"\n' in cited


@pytest.mark.parametrize("arguments", [["--version"], ["list", "tasks", "--json"]])
def test_python_m_sepray_is_the_command(arguments, tmp_path, capsys):
    from sepray.cli.main import main

    with pytest.raises(SystemExit):
        main(arguments)
    expected = capsys.readouterr().out
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sepray", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.returncode) == (expected, 0)


def check_installed(executables: Path, folder: Path) -> None:
    """Check that what comes with sepray is found in an empty folder, and that the command knows the studies."""
    where = "import sepray, sepray.search_spaces.cass as c; print(sepray.__file__, c.__file__)"
    package, space = map(Path, run(executables / "python", "-c", where, cwd=folder).split())
    assert package.is_relative_to(executables.parent)
    assert space == package.parent / "search_spaces" / "cass.py"
    find = "import importlib.util as u; print(u.find_spec('search_spaces'), u.find_spec('studies'))"
    assert run(executables / "python", "-c", find, cwd=folder) == "None None\n"
    assert run(executables / "sepray", "--version", cwd=folder) == f"sepray {sepray.__version__}\n"
    assert "cass-ecg" in run(executables / "sepray", "run", "cass_alpha_sweep", "--help", cwd=folder)
    (folder / "abdomen.csv").write_text("".join(f"{k / 250:.3f},{k % 200 == 0:d}\n" for k in range(1000)))
    run(executables / "sepray", "separate", "pretrained:ecg", "abdomen.csv", "--no-picture", cwd=folder)
    assert {path.name for path in folder.glob("abdomen*.csv")} | {
        path.name for path in (folder / "separated").glob("*.csv")
    } >= {"abdomen.csv", "abdomen.maternal.csv", "abdomen.fetal.csv"}


def check_study(executables: Path, folder: Path) -> None:
    """Run a study that comes with sepray in an empty folder, and use what it has made."""
    flags = [part for name, value in SMALL.items() for part in (f"--{name}", value)]
    printed = run(executables / "sepray", "run", "cass_alpha_sweep", *flags, cwd=folder, timeout=300)
    assert "sepray evaluate models:/cass-ecg@champion" in printed
    model, shipped = json.loads(run(executables / "sepray", "list", "models", "--json", cwd=folder))
    assert shipped["model"] == "pretrained:ecg"
    assert (model["model"], model["alias"]) == ("models:/cass-ecg/1", ["champion"])
    [study] = json.loads(run(executables / "sepray", "list", "studies", "--json", cwd=folder))
    assert (study["study"], study["trials"], study["complete"]) == ("cass-ecg", 2, 2)
    [report] = (folder / "sepray-results" / "cass-ecg").glob("*/report.html")
    assert "cass-ecg" in report.read_text(encoding="utf-8")


@pytest.mark.slow  # its files: test_wheel_holds_sepray_with_search_spaces_and_studies_and_nothing_else
@pytest.mark.timeout(180)  # it installs, and separates with torch
def test_installed_wheel_brings_search_spaces_and_studies(wheel, tmp_path):
    """The environment sees the libraries of this one, but not the sepray that is installed in it."""
    executables = empty_environment(tmp_path / "environment")
    [packages] = executables.parent.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    install(executables, "--no-deps", "--no-index", wheel)
    (tmp_path / "empty").mkdir()
    check_installed(executables, tmp_path / "empty")


@pytest.mark.slow
@pytest.mark.timeout(3600)  # minutes of downloads and copies
def test_wheel_with_the_locked_dependencies_runs_a_study_outside_the_clone(wheel, tmp_path):
    executables = empty_environment(tmp_path / "environment")
    for name in ("build", "run"):
        locked = ROOT / "requirements" / f"{name}.txt"
        install(executables, "--require-hashes", "--no-build-isolation", "-r", locked, timeout=3000)
    install(executables, "--no-deps", "--no-index", wheel)
    (tmp_path / "empty").mkdir()
    check_installed(executables, tmp_path / "empty")
    check_study(executables, tmp_path / "empty")
