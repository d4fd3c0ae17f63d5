"""infra/systemd: units and their environment files."""

import re
import subprocess
import sys

import pytest

from .conftest import INFRA, environment, program, secret_files

UNITS = sorted((INFRA / "systemd").glob("*.service"))


def values(unit, key):
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def settings(unit):
    (file,) = values(unit, "EnvironmentFile")
    assert file.startswith("/etc/sepray/")
    return environment(INFRA / "systemd" / f"{file.removeprefix('/etc/sepray/')}.example")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit, tmp_path):
    verify = program("systemd-analyze")
    # Its programs are looked for where the unit says, so here they lie elsewhere.
    text = (
        unit.read_text().replace("/opt/sepray/.venv/bin/ray", sys.executable).replace("/opt/sepray/infra", str(INFRA))
    )
    (tmp_path / unit.name).write_text(text)
    done = subprocess.run([verify, "verify", "--man=no", tmp_path / unit.name], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_variables_of_the_command_are_in_the_environment_file(unit):
    (command,) = values(unit, "ExecStart")
    assert set(re.findall(r"\$\{(\w+)\}", command)) <= settings(unit).keys()
    assert unit.stem == "sepray-mlflow" or re.match(r"/opt/sepray/\.venv/bin/ray start .*--block", command)
    assert values(unit, "User") == ["sepray"]
    assert values(unit, "WorkingDirectory") == [f"/var/lib/{values(unit, 'StateDirectory')[0]}"]


def test_there_are_a_head_a_worker_and_mlflow():
    assert [unit.stem for unit in UNITS] == ["sepray-mlflow", "sepray-ray-head", "sepray-ray-worker"]


def test_the_environment_of_mlflow_has_what_its_entrypoint_asks_for():
    script = (INFRA / "mlflow" / "entrypoint.sh").read_text()
    needed = re.search(r"for name in (.*?); do", script, re.DOTALL)[1].replace("\\", "").split()
    given = settings(INFRA / "systemd" / "sepray-mlflow.service")
    assert all(name in given or f"{name}_FILE" in given for name in needed)
    assert {name for name in given if name.endswith("_FILE")} <= secret_files() | {"AWS_SHARED_CREDENTIALS_FILE"}
    (command,) = values(INFRA / "systemd" / "sepray-mlflow.service", "ExecStart")
    paths = [part.replace("/opt/sepray/infra", str(INFRA)) for part in command.split()]
    assert paths == [str(INFRA / "with-secrets.sh"), str(INFRA / "mlflow" / "entrypoint.sh")]


def test_ray_asks_for_a_token_from_a_file():
    given = settings(INFRA / "systemd" / "sepray-ray-worker.service")
    assert given["RAY_AUTH_MODE"] == "token"
    assert given["RAY_AUTH_TOKEN_PATH"].startswith("/etc/sepray/")
