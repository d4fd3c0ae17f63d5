"""Commands in the files of infra/: that they exist, and take the options that are given to them."""

import ast
import configparser
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .conftest import INFRA, ROOT, documents, program

SCRIPTS = sorted(path for path in INFRA.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!"))
TEXTS = {
    str(path.relative_to(INFRA)): re.sub(r"\\\n\s*", "", path.read_text())
    for path in sorted(INFRA.rglob("*"))
    if path.is_file() and path.suffix in (".sh", ".sbatch", ".service", ".yaml", ".py") and "secrets" not in path.parts
}


@pytest.mark.parametrize(
    "path", [p for p in SCRIPTS if "python" not in p.read_text().splitlines()[0]], ids=lambda p: p.name
)
def test_shellcheck_has_nothing_to_say(path):
    done = subprocess.run(
        [program("shellcheck"), "--severity=warning", "--shell=bash", str(path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_scripts_can_be_executed():
    assert {path.name for path in SCRIPTS} >= {"smoke.sh", "make-secrets.sh", "with-secrets.sh", "entrypoint.sh"}
    for path in SCRIPTS:
        assert path.stat().st_mode & 0o100 or path.suffix == ".sbatch", path


def ray_commands():
    """Return (file, command, options) of every `ray ...` in infra/."""
    (compose,) = documents(INFRA / "compose.yaml")
    for name, service in compose["services"].items():
        for line in (service.get("command"), service.get("healthcheck", {}).get("test", [])[1:]):
            if line and line[0] == "ray":
                yield name, line[1], [part.split("=")[0] for part in line if part.startswith("--")]
    for name, text in TEXTS.items():
        if name != "compose.yaml":
            text = text.replace(">-\n    ray", "ray").replace("\n    --", " --")
            for found in re.finditer(r"\bray (start|stop|health-check)\b([^\n`]*)", text):
                yield name, found[1], re.findall(r"(?<=\s)--[\w-]+", found[2])


def source(package, *parts):
    """Return the source of a module of a package that is installed; importing it takes seconds."""
    (folder,) = importlib.util.find_spec(package).submodule_search_locations
    return Path(folder, *parts).read_text(encoding="utf-8")


def ray_options():
    """Return the options that each command of Ray takes, by the names of the functions."""
    for function in ast.parse(source("ray", "scripts", "scripts.py")).body:
        if isinstance(function, ast.FunctionDef):
            options = [d.args for d in function.decorator_list if isinstance(d, ast.Call) and d.args]
            names = [a.value for arguments in options for a in arguments if isinstance(a, ast.Constant)]
            yield function.name, {part for name in names for part in str(name).split("/")}


def test_ray_takes_the_options():
    seen, known = set(), dict(ray_options())
    assert {"--head", "--block", "--temp-dir"} <= known["start"]
    for place, command, options in ray_commands():
        assert set(options) <= known[command.replace("-", "")], place
        seen.add(place.split("/")[0])
    assert seen >= {"ray-head", "ray-worker", "slurm", "systemd", "ray", "smoke.sh", "smoke"}


def test_mlflow_takes_options_and_variables_of_the_entrypoint():
    command = source("mlflow", "cli", "__init__.py") + source("mlflow", "utils", "cli_args.py")
    given = set(re.findall(r"(--[\w-]+)", TEXTS["mlflow/entrypoint.sh"].split("\nmlflow server")[1]))
    assert len(given) == 4
    assert all(f'"{option}"' in command for option in given)
    for name in ("BACKEND_STORE_URI", "ARTIFACTS_DESTINATION", "SERVER_ALLOWED_HOSTS"):
        assert f'envvar="MLFLOW_{name}"' in command
        assert f"MLFLOW_{name}" in TEXTS["mlflow/entrypoint.sh"]
    variables = source("mlflow", "environment_variables.py")
    for name in ("FLASK_SERVER_SECRET_KEY", "AUTH_CONFIG_PATH", "SERVER_ENABLE_JOB_EXECUTION"):
        assert f'"MLFLOW_{name}"' in variables
        assert f"MLFLOW_{name}" in TEXTS["mlflow/entrypoint.sh"]


def test_mlflow_reads_the_keys_of_its_configuration():
    """The password too: a variable has it only from MLflow 3.16.1 on."""
    keys = configparser.ConfigParser(interpolation=None)
    keys.read(INFRA / "mlflow" / "auth.ini")
    needed = keys["mlflow"].keys() - {"auth_cache_ttl_seconds"}  # makes newer versions faster; older ones pass over it
    assert {"database_uri", "admin_username", "admin_password"} <= needed
    read = source("mlflow", "server", "auth", "config.py")
    assert all(f'"{key}"' in read for key in needed)


def test_servers_with_logins_are_of_a_version_without_a_default_password():
    """The page on clusters gives MLflow's own command, and up to 3.16.0 its password would be `password1234`."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (server,) = (Requirement(text) for text in extras["cluster"] if text.startswith("mlflow"))
    assert server.extras == {"auth"}
    assert not server.specifier.contains("3.16.0")
    assert server.specifier.contains("3.16.1")


def test_sepray_takes_the_flags_that_the_files_give_to_studies():
    from sepray.spec.parts import Resources, Stores

    known = {f"--{name.replace('_', '-')}" for part in (Resources, Stores) for name in part.__dataclass_fields__}
    lines = list(re.findall(r"sepray run .*(?:\n +--.*)*", "\n".join(TEXTS.values())))
    flags = [flag for line in lines for flag in re.findall(r"(?<=\s)--[\w-]+", line)]
    assert len(lines) >= 4
    assert set(flags) <= known
    assert {"--address", "--storage"} <= set(flags)


def test_programs_that_the_image_starts_are_in_it():
    (compose,) = documents(INFRA / "compose.yaml")
    locked = (ROOT / "requirements" / "run.txt").read_text() + (ROOT / "requirements" / "cluster.txt").read_text()
    packages = {"ray": "ray", "optuna-dashboard": "optuna-dashboard"}
    copied = set(re.findall(r"/usr/local/bin/([\w-]+)", (INFRA / "Dockerfile").read_text()))
    for name, service in compose["services"].items():
        if service["image"] == "${SEPRAY_IMAGE}":
            first = service["command"][0]
            assert first in copied or re.search(rf"^{packages[first]}==", locked, re.MULTILINE), name


def test_the_cluster_page_gives_options_that_exist():
    page = re.sub(r"\\\n\s*", "", (ROOT / "docs" / "pages" / "cluster.md").read_text())
    known = dict(ray_options())
    starts = re.findall(r"^(ray start .*?)(?:  |$)", page, re.MULTILINE)
    assert len(starts) == 2
    for line in starts:
        assert set(re.findall(r"--[\w-]+", line)) <= known["start"], line
    (server,) = re.findall(r"^mlflow server .*", page, re.MULTILINE)
    command = source("mlflow", "cli", "__init__.py") + source("mlflow", "utils", "cli_args.py")
    assert all(f'"{option}"' in command for option in re.findall(r"--[\w-]+", server)), server
    jobs = source("ray", "dashboard", "modules", "job", "cli.py")
    (job,) = re.findall(r"^ray job submit (.*?) -- ", page, re.MULTILINE)
    assert all(f'"{option}"' in jobs for option in re.findall(r"--[\w-]+", job)), job
    named = set(re.findall(r"`([\w./-]+)`", page.split("## Files for your cluster")[1].split("Containers on one")[0]))
    assert all((INFRA / name).exists() for name in named - {"infra/"} if "/" in name or "." in name), named
