"""infra/mlflow: the entrypoint, its configuration, the TLS proxy, and a server that is really started."""

import base64
import configparser
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import INFRA, documents, program

ENTRYPOINT = INFRA / "mlflow" / "entrypoint.sh"
SETTINGS = {
    "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg://me@host/mlflow?application_name=a&sslmode=require",
    "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.org",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "a long password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "random",
    "MLFLOW_AUTH_TEMPLATE": str(INFRA / "mlflow" / "auth.ini"),
}


def start(tmp_path, settings):
    """Run the entrypoint with a program `mlflow` that prints its arguments and its configuration."""
    (tmp_path / "mlflow").write_text(
        '#!/bin/sh\nprintf "%s\\n" "$*"\nls -l "$MLFLOW_AUTH_CONFIG_PATH"\ncat "$MLFLOW_AUTH_CONFIG_PATH"\n'
    )
    (tmp_path / "mlflow").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), **settings}
    return subprocess.run([ENTRYPOINT], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", [name for name in SETTINGS if not name.endswith("TEMPLATE")])
def test_what_is_missing_is_named(tmp_path, name):
    done = start(tmp_path, {k: v for k, v in SETTINGS.items() if k != name})
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"mlflow-server: set {name}\n")


@pytest.mark.parametrize(
    ("uri", "password"),
    [
        (SETTINGS["MLFLOW_BACKEND_STORE_URI"], SETTINGS["MLFLOW_AUTH_ADMIN_PASSWORD"]),
        ("postgresql+psycopg://me:a%25b&\\c%40d@host/mlflow", "100%% a=b;&\\#: \"'$x`"),
    ],
)
def test_users_lie_in_the_database_of_the_runs_and_no_secret_in_the_command(tmp_path, uri, password):
    changes = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_AUTH_ADMIN_PASSWORD": password, "MLFLOW_PORT": "5001"}
    done = start(tmp_path, SETTINGS | changes)
    command, listing, *lines = done.stdout.splitlines()
    assert command == "server --app-name basic-auth --workers 2 --host 127.0.0.1 --port 5001"
    assert listing.startswith("-rw-------")
    configuration = configparser.ConfigParser()
    configuration.read_string("\n".join(lines))
    assert configuration["mlflow"]["database_uri"] == uri
    assert configuration["mlflow"]["default_permission"] == "READ"
    assert configuration["mlflow"]["admin_password"] == password
    assert "@MLFLOW" not in done.stdout


def test_a_template_of_ones_own_need_not_name_the_password(tmp_path):
    (tmp_path / "own.ini").write_text("[mlflow]\ndatabase_uri = @MLFLOW_BACKEND_STORE_URI@\nadmin_username = me\n")
    done = start(tmp_path, SETTINGS | {"MLFLOW_AUTH_TEMPLATE": str(tmp_path / "own.ini")})
    lines = ["[mlflow]", f"database_uri = {SETTINGS['MLFLOW_BACKEND_STORE_URI']}", "admin_username = me"]
    assert done.stdout.splitlines()[2:] == lines


def proxy(settings):
    """Return the configuration of nginx with its variables filled in, as nginx's image does it."""
    template = (INFRA / "mlflow" / "tls.conf.template").read_text()
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: settings[found[1]], template)


def certificate(tmp_path):
    program("openssl")
    subprocess.run([INFRA / "make-secrets.sh", tmp_path / "secrets"], check=True, capture_output=True)
    return tmp_path / "secrets" / "tls.crt", tmp_path / "secrets" / "tls.key"


def nginx(tmp_path, settings):
    """Return a command that runs nginx with the proxy's configuration in a folder of the test."""
    folders = "".join(f"{n}_temp_path {tmp_path}/{n};\n" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off;\n{folders}{proxy(settings)} }}\n"
    )
    user = f"user {'root' if os.getuid() == 0 else 'nobody'};"
    return [program("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-g", user, "-e", "stderr"]


def test_the_compose_file_sets_the_variables_of_the_proxy(tmp_path):
    (compose,) = documents(INFRA / "compose.yaml")
    settings = compose["services"]["tls"]["environment"]
    text = proxy(settings)
    assert "listen 443 ssl;" in text
    assert "proxy_pass http://mlflow:5000;" in text
    assert set(re.findall(r"\$\{([A-Z_]+)\}", (INFRA / "mlflow" / "tls.conf.template").read_text())) == settings.keys()


def test_nginx_takes_the_configuration_of_the_proxy(tmp_path):
    cert, key = certificate(tmp_path)
    settings = {"TLS_LISTEN": "127.0.0.1:5443", "TLS_CERTIFICATE": str(cert), "TLS_KEY": str(key)}
    done = subprocess.run(
        [*nginx(tmp_path, settings | {"MLFLOW_UPSTREAM": "127.0.0.1:5000"}), "-t"], capture_output=True
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def running(command, environment=None):
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def status(url, login=None, context=None, host=None):
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_a_server_with_logins_behind_tls(tmp_path):
    pytest.importorskip("flask_wtf", reason="pip install --require-hashes -r requirements/cluster.txt")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, tls = (s.getsockname()[1] for s in sockets)
    for s in sockets:
        s.close()
    cert, key = certificate(tmp_path)
    settings = {
        **SETTINGS,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "artifacts"),
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port},localhost:{tls}",
        "MLFLOW_PORT": str(port),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    names = {"TLS_LISTEN": f"127.0.0.1:{tls}", "TLS_CERTIFICATE": str(cert), "TLS_KEY": str(key)}
    page = "api/2.0/mlflow/experiments/search?max_results=1"
    trusted = ssl.create_default_context(cafile=str(cert))
    with (
        running([str(ENTRYPOINT)], settings) as server,
        running(nginx(tmp_path, names | {"MLFLOW_UPSTREAM": f"127.0.0.1:{port}"})),
    ):
        for _ in range(300):
            assert server.poll() is None, "the server ended"
            try:
                if status(f"http://127.0.0.1:{port}/health") == 200:
                    break
            except OSError:
                time.sleep(1)
        for url, context in ((f"http://127.0.0.1:{port}", None), (f"https://localhost:{tls}", trusted)):
            assert status(f"{url}/{page}", context=context) == 401
            assert status(f"{url}/{page}", "admin:wrong password", context) == 401
            assert status(f"{url}/{page}", "admin:a long password", context) == 200
        assert status(f"http://127.0.0.1:{port}/{page}", "admin:a long password", host="evil.example.org") == 403
