"""infra/Dockerfile, its list of files, and the lock of what it installs."""

import re
import subprocess
import tomllib

import pytest

from .conftest import INFRA, ROOT, program

DOCKERFILE = (INFRA / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
COPIES = [line.split()[1:] for line in INSTRUCTIONS if line.startswith("COPY ")]


def pins(name):
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(re.match(r"([\w.-]+)==([^ ]+)", line).groups() for line in lines if re.match(r"[\w.-]+==", line))


def test_hadolint_has_nothing_to_say():
    done = subprocess.run([program("hadolint"), str(INFRA / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_copied_exists_and_is_let_through():
    sources = [source for *sources, _target in COPIES for source in sources]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    lines = (INFRA / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"  # nothing else reaches the image: no results, no secrets, no history
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(sources)


def test_the_image_installs_from_hashes_and_runs_as_a_user():
    installs = [line for line in INSTRUCTIONS if "pip install" in line]
    assert len(installs) == 2
    for command in " && ".join(installs).removeprefix("RUN ").split("&&"):
        assert ("--require-hashes" in command) != ("--no-deps" in command), command
    assert [line for line in INSTRUCTIONS if line.startswith("USER")] == ["USER 1000:1000"]
    assert "useradd --uid 1000 " in DOCKERFILE


def test_its_python_is_the_one_of_the_lock():
    base = re.search(r"^FROM python:(\d+\.\d+)-slim", DOCKERFILE, re.MULTILINE)
    locked = re.search(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
    assert base
    assert locked
    assert base[1] == locked[1]


@pytest.mark.parametrize("name", ["cluster", "test-cluster"])
def test_the_lock_has_hashes_no_index_and_the_versions_of_the_others(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")
    common = pins(name).keys() & pins("test").keys()
    assert {"ray", "mlflow", "sqlalchemy"} <= common
    assert {n: pins(name)[n] for n in common} == {n: pins("test")[n] for n in common}


def test_the_extra_is_locked():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["cluster"]
    wanted = {re.match(r"[\w.-]+", requirement)[0] for requirement in extra}
    assert {"ray", "psycopg", "boto3"} <= wanted <= pins("cluster").keys()
    listed = (ROOT / "requirements" / "cluster.in").read_text()
    assert all(re.split(r"[><=]", requirement)[0] in listed.splitlines() for requirement in extra)
    assert pins("cluster").items() <= pins("test-cluster").items()
