"""infra/compose.yaml: its form, and that everything it refers to exists."""

import re
import subprocess
from urllib.parse import urlsplit

import pytest

from .conftest import INFRA, documents, environment, program, secret_files

PATH = INFRA / "compose.yaml"
(COMPOSE,) = documents(PATH)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "${SEPRAY_IMAGE}"}


def variables(service):
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def port(mapping):
    """Return address, port on this machine and port inside of ``address:outside:inside``."""
    return tuple(mapping.rsplit(":", 2))


def test_it_is_a_compose_file():
    checker = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(PATH)]
    done = subprocess.run(checker, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_there_are_the_services_of_a_cluster():
    wanted = {"postgres", "s3", "mlflow", "ray-head", "ray-worker", "optuna-dashboard", "tls"}
    assert wanted <= SERVICES.keys()
    assert not any("minio" in service["image"] for service in SERVICES.values())  # no longer maintained


def test_every_variable_has_a_value_in_the_example_and_is_used():
    used = set(re.findall(r"\$\{(\w+)\}", PATH.read_text()))
    assert used == environment(INFRA / ".env.example").keys()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_exists(name):
    service = SERVICES[name]
    assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
    assert set(service.get("depends_on", {})) <= SERVICES.keys()
    for other, condition in service.get("depends_on", {}).items():
        checked = condition["condition"] == "service_healthy"
        assert not checked or "healthcheck" in SERVICES[other], f"{other} is never healthy"
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (INFRA / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
    mounted = {f"/run/secrets/{secret}" for secret in service.get("secrets", ())}
    read = set(re.findall(r"/run/secrets/\w+", str(service.get("environment")) + str(service.get("command"))))
    assert read == mounted  # what is mounted is read, and the other way round


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_on_this_machine_alone(name):
    defaults = environment(INFRA / ".env.example")
    for mapping in SERVICES[name].get("ports", ()):
        address, _outside, _inside = port(re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], mapping))
        assert address == "127.0.0.1", mapping


def test_ports_of_this_machine_differ():
    taken = [port(mapping)[1] for service in SERVICES.values() for mapping in service.get("ports", ())]
    defaults = environment(INFRA / ".env.example")
    numbers = [defaults[name.strip("${}")] for name in taken]
    assert len(set(numbers)) == len(numbers) == 6


@pytest.mark.parametrize("name", SERVICES)
def test_what_runs_on_is_checked(name):
    assert ("healthcheck" in SERVICES[name]) == (name not in ("buckets", "tls"))  # one ends, one is only a proxy


@pytest.mark.parametrize("name", OURS)
def test_secrets_of_our_services_come_as_files(name):
    for variable, value in variables(OURS[name]).items():
        secret = re.search(r"PASSWORD|SECRET|TOKEN|CREDENTIALS", variable)
        assert not secret or value.startswith("/run/secrets/"), variable
        assert not variable.endswith("_FILE") or variable in secret_files() | {"AWS_SHARED_CREDENTIALS_FILE"}, variable
        url = urlsplit(value) if "://" in value else None
        assert url is None or url.password is None, variable


def test_workers_have_no_password_of_the_database_or_of_mlflow():
    assert set(SERVICES["ray-worker"]["secrets"]) == {"s3_credentials", "ray_token"}


def test_addresses_inside_are_services_and_their_ports():
    listens = {"postgres": 5432, "s3": 8333, "mlflow": 5000, "ray-head": 6379}
    for name, service in SERVICES.items():
        texts = [*variables(service).values(), *map(str, service.get("command", ()))]
        for text in texts:
            for host, number in re.findall(r"(?:://(?:\w+@)?|--address=|^)([a-z][\w-]*):(\d+)\b", text):
                assert listens.get(host) == int(number), f"{name}: {text}"
    defaults = environment(INFRA / ".env.example")
    assert "mlflow:5000" in defaults["MLFLOW_ALLOWED_HOSTS"].split(",")
    assert SERVICES["ray-head"]["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"


def test_ray_asks_for_a_token():
    for name in ("ray-head", "ray-worker"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert SERVICES[name]["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"


def test_the_databases_of_the_addresses_are_made():
    script = (INFRA / "postgres" / "create-databases.sh").read_text()
    made = set(re.search(r"for database in (.*); do", script)[1].split())
    used = set(re.findall(r"postgresql\+psycopg://sepray@postgres/(\w+)", PATH.read_text()))
    assert used == made == {"optuna", "mlflow"}


def test_buckets_of_the_addresses_are_made():
    made = set(SERVICES["buckets"]["command"][1:])
    assert set(re.findall(r"s3://(\w+)/", PATH.read_text())) == made
