"""Commands import only what they need: Ray takes 1385 modules and 150 MB, MLflow more CPU time than torch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from sepray.cli.main import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    status = end.code or 0
with open(sys.argv[1], "w") as file:
    large = ("ray", "torch", "mlflow", "optuna", "matplotlib", "scipy", "pandas", "torchaudio")
    json.dump([status, [m for m in large if m in sys.modules]], file)
"""


def test_a_model_that_comes_with_sepray_needs_torch_alone(tmp_path):
    (tmp_path / "wave.csv").write_text("".join(f"{k % 7}\n" for k in range(300)))
    none = SimpleNamespace(half=tmp_path / "half")
    arguments = ["separate", "pretrained:ecg", "wave.csv", "--rate", "250", "--no-picture"]
    assert imported(tmp_path, none, *arguments) == {"torch"}


def imported(folder, models, *arguments):
    """Run a command in a process of its own; return its status, and which of the large packages it imported."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(models.half).parent}", "HOME": str(folder)}
    command = [sys.executable, "-c", PROGRAM, folder / "imported.json", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (folder / "imported.json").exists(), done.stderr
    status, packages = json.loads((folder / "imported.json").read_text())
    assert status == 0, done.stderr
    return set(packages)


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("evaluate {half} --cache cache --quiet", {"torch"}),
        ("compare {half} {most} --cache cache", {"torch", "scipy"}),
        pytest.param("separate {half} wave.csv --rate 200", {"torch", "matplotlib"}, marks=pytest.mark.slow),
        pytest.param("separate {half} wave.csv --rate 200 --no-picture", {"torch"}, marks=pytest.mark.slow),
        ("separate {half} . -o out --rate 200 --no-picture", {"torch"}),
    ],
)
def test_command_on_models_imports_only_what_it_needs(command, needed, models, tmp_path):
    (tmp_path / "wave.csv").write_text("".join(f"{k % 7}\n" for k in range(300)))
    arguments = command.format(half=models.half, most=models.most).split()
    assert imported(tmp_path, models, *arguments) == needed


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        pytest.param("report small --cache cache", {"torch", "optuna", "matplotlib"}, marks=pytest.mark.slow),
        pytest.param("list studies", {"optuna"}, marks=pytest.mark.slow),
        ("list tasks", set()),
        ("list separators", set()),
        ("list models", set()),
    ],
)
def test_command_runs_without_ray(command, needed, models, study, tmp_path):
    from sepray.tracking.connection import connect

    study()
    if command.startswith("list models"):
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    packages = imported(tmp_path, models, *command.split())
    assert "ray" not in packages
    assert needed <= packages  # it did run


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        pytest.param("show small", {"optuna"}, marks=pytest.mark.slow),
        ("show small --json", {"optuna", "pandas"}),
        ("clean --dry-run", {"optuna"}),
        ("delete small --yes", {"optuna"}),
    ],
)
def test_command_on_a_stored_study_imports_no_torch(command, needed, study, tmp_path):
    study()
    none = SimpleNamespace(half=tmp_path / "half")
    assert imported(tmp_path, none, *command.split()) == needed


@pytest.mark.parametrize("arguments", [["--help"], ["separate", "--help"], ["--tyro-print-completion", "bash"]])
def test_help_imports_nothing_large(arguments, models, tmp_path):
    assert imported(tmp_path, models, *arguments) == set()
