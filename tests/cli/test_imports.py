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
large = ("ray", "torch", "mlflow", "optuna", "matplotlib", "scipy", "pandas", "torchaudio")
found = []
for command in sys.argv[2:]:
    status = 0
    try:
        main(command.split())
    except SystemExit as end:
        status = end.code or 0
    found.append([status, [m for m in large if m in sys.modules]])
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


def imported(folder, models, *commands):
    """Run commands in a process of their own; return which of the large packages it had imported after each."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{Path(models.half).parent}", "HOME": str(folder)}
    command = [sys.executable, "-c", PROGRAM, folder / "imported.json", *commands]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (folder / "imported.json").exists(), done.stderr
    found = json.loads((folder / "imported.json").read_text())
    assert {status for status, _ in found} == {0}, done.stderr
    return [set(packages) for _, packages in found]


def test_commands_on_models_import_only_what_they_need(models, tmp_path):
    (tmp_path / "wave.csv").write_text("".join(f"{k % 7}\n" for k in range(300)))
    commands = [
        f"separate {models.half} wave.csv -o out --rate 200 --no-picture",
        f"evaluate {models.half} --cache cache --quiet",
        "separate pretrained:ecg wave.csv --rate 250 --no-picture",
        f"compare {models.half} {models.most} --cache cache",
        f"separate {models.half} wave.csv --rate 200",
    ]
    own, evaluation, shipped, comparison, picture = imported(tmp_path, models, *commands)
    assert own == evaluation == {"torch"}
    assert shipped == {"torch", "scipy"}  # for the running median that pops of an electrode are told by
    assert comparison == {"torch", "scipy"}
    assert picture >= {"torch", "scipy", "matplotlib"}
    assert not picture & {"ray", "mlflow", "optuna"}


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        pytest.param("report small --cache cache", {"torch", "optuna", "matplotlib"}, marks=pytest.mark.slow),
        pytest.param("list studies", {"optuna"}, marks=pytest.mark.slow),
        ("list tasks", set()),
        ("list separators", set()),
        pytest.param("list models", set(), marks=pytest.mark.slow),
    ],
)
def test_command_runs_without_ray(command, needed, models, study, tmp_path):
    from sepray.tracking.connection import connect

    study()
    if command.startswith("list models"):
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    [packages] = imported(tmp_path, models, command)
    assert "ray" not in packages
    assert needed <= packages  # it did run


def test_commands_on_a_stored_study_import_no_torch(study, tmp_path):
    study()
    none = SimpleNamespace(half=tmp_path / "half")
    commands = ["show small", "clean --dry-run", "show small --json", "delete small --yes"]
    optuna, tables = {"optuna"}, {"optuna", "pandas"}
    assert imported(tmp_path, none, *commands) == [optuna, optuna, tables, tables]


def test_help_imports_nothing_large(models, tmp_path):
    commands = ["--help", "separate --help", "--tyro-print-completion bash"]
    assert imported(tmp_path, models, *commands) == [set()] * 3
