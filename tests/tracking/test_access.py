"""Whether an MLflow server lets this user in, asked of a server that answers as one with logins does."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from sepray.errors import UsageError
from sepray.tracking.access import require_access

LOGIN = "Basic " + base64.b64encode(b"alice:correct horse").decode()
VARIABLES = (
    "USERNAME",
    "PASSWORD",
    "TOKEN",
    "AUTH",
    "AWS_SIGV4",
    "INSECURE_TLS",
    "SERVER_CERT_PATH",
    "CLIENT_CERT_PATH",
)


class Server:
    """Answers alice, and those with the token; ``status`` and ``text`` are the answer to all instead."""

    def __init__(self):
        self.status, self.text, self.locations, self.asked = 0, "", {"0": "mlflow-artifacts:/0"}, []
        own = {"do_GET": lambda request: self.answer(request), "log_message": lambda *_: None}
        handler = type("Handler", (BaseHTTPRequestHandler,), own)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request):
        parts = urlsplit(request.path)
        method, query = parts.path.removeprefix("/api/2.0/mlflow/"), parse_qs(parts.query)
        self.asked.append(method)
        allowed = request.headers.get("Authorization") in (LOGIN, "Bearer t0ken")
        status, text = (self.status or (200 if allowed else 401)), self.text
        if status == 200:
            name = query.get("experiment_name", query.get("experiment_id", ["none"]))[0]
            status = 200 if method == "experiments/search" or name in self.locations else 404
            text = json.dumps({"experiment": {"artifact_location": self.locations.get(name, "")}})
        request.send_response(status)
        request.end_headers()
        request.wfile.write(text.encode())


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    stands = Server()
    yield stands
    stands.http.shutdown()


def login(monkeypatch, password="correct horse"):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def refusal(url):
    with pytest.raises(UsageError) as failure:
        require_access(url, "cass-ecg")
    assert "\n" not in str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize("password", [None, "wrong horse"])
def test_user_that_the_server_does_not_know_is_told_what_to_set(server, monkeypatch, password):
    if password:
        login(monkeypatch, password)
    told = f"MLflow at {server.url} refuses this user (401): set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert refusal(server.url).startswith(told)
    assert server.asked == ["experiments/search"]


@pytest.mark.parametrize("way", ["variables", "token", "file", "address"])
def test_user_is_let_in_as_mlflows_client_would_be(server, monkeypatch, tmp_path, way):
    url = server.url
    if way == "variables":
        login(monkeypatch)
    elif way == "token":
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    elif way == "file":
        (tmp_path / ".mlflow").mkdir()
        text = "[mlflow]\nmlflow_tracking_username = alice\nmlflow_tracking_password = correct horse\n"
        (tmp_path / ".mlflow" / "credentials").write_text(text)
    else:
        url = url.replace("://", "://alice:correct%20horse@")
    assert require_access(url, "cass-ecg") == ""


def test_password_of_the_address_is_not_shown(server):
    told = refusal(server.url.replace("://", "://alice:hunter22@"))
    assert "hunter22" not in told
    assert "alice:***@127.0.0.1" in told


def test_name_that_the_server_does_not_answer_to_is_told_from_a_missing_permission(server):
    server.status, server.text = 403, "Invalid Host header - possible DNS rebinding attack detected"
    assert "does not answer to this name (403): start it with --allowed-hosts 'HOST:PORT'" in refusal(server.url)
    server.text = "Permission denied"
    assert "forbids this user to experiments/search (403): ask for that" in refusal(server.url)


@pytest.mark.parametrize("status", [404, 500, 503])
def test_server_in_trouble_refuses_no_study(server, status):
    server.status = status
    assert require_access(server.url, "cass-ecg") == ""


def test_server_that_does_not_answer_refuses_no_study(server):
    server.http.shutdown()
    server.http.server_close()
    assert require_access(server.url, "cass-ecg") == ""


@pytest.mark.parametrize(
    ("locations", "place"),
    [
        ({"0": "s3://bucket/mlflow/0"}, "s3://bucket/mlflow"),
        ({"0": "s3://bucket/0", "cass-ecg": "s3://own/7"}, "s3://own/7"),
        ({"0": "mlflow-artifacts:/0", "cass-ecg": "mlflow-artifacts:/7"}, ""),
        ({"0": "./mlruns/0"}, ""),
        ({}, ""),
    ],
)
def test_artifacts_that_the_driver_writes_itself_are_named(server, monkeypatch, locations, place):
    login(monkeypatch)
    server.locations = locations
    assert require_access(server.url, "cass-ecg") == place


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "mlflow.db", "databricks"])
def test_what_is_no_server_of_mlflow_is_not_asked(uri):
    assert require_access(uri, "cass-ecg") == ""


def test_login_that_a_plugin_makes_is_not_looked_at(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "kubernetes")
    assert require_access(server.url, "cass-ecg") == ""
    assert server.asked == []
