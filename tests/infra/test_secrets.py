"""make-secrets.sh and with-secrets.sh."""

import configparser
import json
import os
import subprocess

import pytest

from .conftest import INFRA, documents, secret_files


def made(folder):
    subprocess.run([INFRA / "make-secrets.sh", folder], check=True, capture_output=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_are_random_and_what_exists_stays(tmp_path):
    first, other = made(tmp_path / "a"), made(tmp_path / "b")
    for name in ("postgres_password", "mlflow_password", "mlflow_key", "ray_token", "s3_credentials"):
        assert first[name] != other[name], name
        assert len(first[name]) >= 48, name
    assert len(set(first.values())) == len(first)
    assert made(tmp_path / "a") == first
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_both_sides_of_the_object_store_have_the_same_key(tmp_path):
    files = made(tmp_path)
    client = configparser.ConfigParser()
    client.read_string(files["s3_credentials"])
    (server,) = json.loads(files["s3_identities.json"])["identities"][0]["credentials"]
    assert server["accessKey"] == client["default"]["aws_access_key_id"]
    assert server["secretKey"] == client["default"]["aws_secret_access_key"]


def test_every_secret_of_the_compose_file_is_made(tmp_path):
    (compose,) = documents(INFRA / "compose.yaml")
    files = made(tmp_path)
    wanted = {secret["file"].removeprefix("./secrets/") for secret in compose["secrets"].values()}
    assert wanted - files.keys() <= {"tls.crt", "tls.key"}  # these need openssl
    assert files.keys() <= wanted


def run(environment, *command):
    base = {"PATH": os.environ["PATH"]}
    return subprocess.run([INFRA / "with-secrets.sh", *command], env=base | environment, capture_output=True, text=True)


@pytest.mark.parametrize("variable", sorted(secret_files()))
def test_a_secret_comes_from_its_file(tmp_path, variable):
    (tmp_path / "secret").write_text('it\'s $a "secret"\n')
    done = run({variable: str(tmp_path / "secret")}, "printenv", variable.removesuffix("_FILE"))
    assert (done.returncode, done.stdout) == (0, 'it\'s $a "secret"\n')


def test_without_files_the_command_runs_as_it_is():
    done = run({"PGPASSWORD": "own"}, "sh", "-c", 'echo "$PGPASSWORD$MLFLOW_TRACKING_PASSWORD"; exit 7')
    assert (done.returncode, done.stdout) == (7, "own\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    done = run({"PGPASSWORD_FILE": f"{tmp_path}/none"}, "touch", f"{tmp_path}/ran")
    assert (done.returncode, done.stderr) == (2, f"with-secrets: PGPASSWORD_FILE={tmp_path}/none cannot be read\n")
    assert not (tmp_path / "ran").exists()
