"""The question to an MLflow server whether it lets this user in, with a server that answers as one with logins does."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sepray.errors import UsageError
from sepray.tracking import access
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
        self.forbidden, self.written, self.model = set(), [], False
        own = dict.fromkeys(("do_GET", "do_POST"), lambda request: self.answer(request))
        own["log_message"] = lambda *_: None
        handler = type("Handler", (BaseHTTPRequestHandler,), own)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.http.serve_forever, args=(0.005,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request):
        parts = urlsplit(request.path)
        method, query = parts.path.removeprefix("/api/2.0/mlflow/"), parse_qs(parts.query)
        self.asked.append(method)
        if request.command == "POST":
            length = int(request.headers["Content-Length"])
            self.written.append((method, json.loads(request.rfile.read(length))))
        allowed = request.headers.get("Authorization") in (LOGIN, "Bearer t0ken")
        status, text = (self.status or (200 if allowed else 401)), self.text
        if method in self.forbidden:
            status, text = 403, "Permission denied"
        elif status == 200 and request.command == "POST":
            text = "{}"
        elif status == 200 and method == "registered-models/get":
            status, text = (200, json.dumps({"registered_model": {"name": "cass-ecg"}})) if self.model else (404, "{}")
        elif status == 200:
            name = query.get("experiment_name", query.get("experiment_id", ["none"]))[0]
            status = 200 if method == "experiments/search" or name in self.locations else 404
            own = {"experiment_id": "7"} if name == "cass-ecg" else {}
            text = json.dumps({"experiment": {"artifact_location": self.locations.get(name, ""), **own}})
        request.send_response(status)
        request.end_headers()
        request.wfile.write(text.encode())


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No login in variables or in a file."""
    for name in VARIABLES:
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server(bare):
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


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("experiments/set-experiment-tag", "experiment cass-ecg"),
        ("registered-models/set-tag", "registered model cass-ecg"),
    ],
)
def test_user_who_may_only_read_what_another_has_made_is_told_before_the_search(server, monkeypatch, method, what):
    login(monkeypatch)
    server.locations["cass-ecg"], server.model = "mlflow-artifacts:/7", True
    require_access(server.url, "cass-ecg")
    tag = {"key": "sepray", "value": "true"}
    assert server.written == [
        ("experiments/set-experiment-tag", {"experiment_id": "7", **tag}),
        ("registered-models/set-tag", {"name": "cass-ecg", **tag}),
    ]
    server.forbidden.add(method)
    with pytest.raises(UsageError) as error:
        require_access(server.url, "cass-ecg")
    assert str(error.value) == (
        f"MLflow at {server.url} lets this user read the {what}, which another user has made, and not write to it "
        "(403): ask for the permission EDIT, or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or "
        "MLFLOW_TRACKING_TOKEN)"
    )


def test_nothing_is_written_to_a_server_that_has_neither(server, monkeypatch):
    login(monkeypatch)
    require_access(server.url, "cass-ecg")
    assert server.written == []


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
    "told", ["[" * 100_000, "[]", '{"experiment": []}', '{"experiment": {"artifact_location": 5}}', "x"]
)
def test_answers_that_mlflow_never_gives_are_passed_over(told, monkeypatch):
    answer = requests.Response()
    answer.status_code, answer._content, answer._content_consumed = 200, told.encode(), True
    monkeypatch.setattr(requests, "request", lambda **_: answer)
    assert require_access("http://host", "cass-ecg") == ""


@pytest.mark.parametrize(
    ("locations", "place"),
    [
        ({"0": "s3://bucket/mlflow/0"}, "s3://bucket/mlflow"),
        ({"0": "s3://bucket/0", "cass-ecg": "s3://own/7"}, "s3://own/7"),
        ({"0": "mlflow-artifacts:/0", "cass-ecg": "mlflow-artifacts:/7"}, ""),
        ({"0": "./mlruns/0"}, ""),
        ({"0": "mlflow-artifacts://host/0"}, ""),
        ({"0": "file:///srv/mlruns/0"}, ""),
        ({"0": "http://host/0", "cass-ecg": "https://host/7"}, ""),
        ({}, ""),
    ],
)
def test_artifacts_that_the_driver_writes_itself_are_named(server, monkeypatch, locations, place):
    login(monkeypatch)
    server.locations = locations
    assert require_access(server.url, "cass-ecg") == place


class Drops:
    """An answer that comes a byte at a time and has no end."""

    status_code = 200

    def __init__(self, ended, part):
        self.ended, self.part = ended, part

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()

    def iter_content(self, _):
        while not self.ended.wait(0.001):
            yield self.part


@pytest.mark.parametrize(("part", "seconds"), [(b" ", 0.02), (b" " * (1 << 18), 60.0)])
def test_answer_without_an_end_keeps_no_study_waiting(monkeypatch, part, seconds):
    ended = threading.Event()
    monkeypatch.setattr(access, "_SECONDS", seconds)
    monkeypatch.setattr(requests, "request", lambda **_: Drops(ended, part))
    assert require_access("http://host", "cass-ecg") == ""
    if seconds == 60.0:
        assert ended.wait(60), "an answer that is too long is read no further"
    ended.set()


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "mlflow.db", "databricks"])
def test_what_is_no_server_of_mlflow_is_not_asked(uri):
    assert require_access(uri, "cass-ecg") == ""


@pytest.mark.parametrize("name", ["AUTH", "AWS_SIGV4"])
def test_login_that_a_plugin_makes_is_not_looked_at(server, monkeypatch, name):
    monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "kubernetes")
    assert require_access(server.url, "cass-ecg") == ""
    assert server.asked == []


FILE = "[mlflow]\nmlflow_tracking_username = alice\nmlflow_tracking_password = 50%(x\n"


@pytest.mark.parametrize(
    ("given", "file", "login"),
    [
        ({}, "", {}),
        ({"USERNAME": "bob"}, "", {}),
        ({"PASSWORD": "horse"}, "", {}),
        ({"USERNAME": "bob", "TOKEN": "t0ken"}, "", {"headers": {"Authorization": "Bearer t0ken"}}),
        ({"USERNAME": "bob", "PASSWORD": "horse", "TOKEN": "t0ken"}, "", {"auth": ("bob", "horse")}),
        ({}, FILE, {"auth": ("alice", "50%(x")}),
        ({"USERNAME": "bob"}, FILE, {"auth": ("bob", "50%(x")}),
        ({"TOKEN": "t0ken"}, "no file of settings", {"headers": {"Authorization": "Bearer t0ken"}}),
        ({}, "[other]\nmlflow_tracking_username = alice\n", {}),
    ],
)
def test_variables_come_before_the_file_and_a_password_before_a_token(bare, monkeypatch, tmp_path, given, file, login):
    for name, value in given.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    if file:
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(file)
    assert access._login() == login


@pytest.mark.parametrize(
    ("given", "tls"),
    [
        ({}, {"verify": True}),
        ({"INSECURE_TLS": "True"}, {"verify": False}),
        ({"INSECURE_TLS": "1", "SERVER_CERT_PATH": "ca.pem"}, {"verify": False}),
        ({"INSECURE_TLS": "no", "SERVER_CERT_PATH": "ca.pem"}, {"verify": "ca.pem"}),
        ({"CLIENT_CERT_PATH": "me.pem"}, {"verify": True, "cert": "me.pem"}),
    ],
)
def test_certificates_are_those_of_mlflows_client(bare, monkeypatch, given, tls):
    asked = []

    def request(**named):
        asked.append(named)
        raise requests.ConnectionError

    for name, value in given.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    monkeypatch.setattr(requests, "request", request)
    assert require_access("https://mlflow.example/", "cass-ecg") == ""
    address = "https://mlflow.example/api/2.0/mlflow/experiments/search"
    what = {"method": "GET", "url": address, "params": {"max_results": "1"}}
    assert asked[0] == {**what, "timeout": 5.0, "stream": True, **tls}
    assert len(asked) == 1, "a server that does not answer is asked once"


def test_certificate_that_is_not_there_keeps_no_study_waiting(bare, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "no-such.pem")
    failed = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    assert require_access("https://127.0.0.1:9/", "cass-ecg") == ""
    assert not failed
