import http.server
import json
import math
import os
import re
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sepray.contracts import Signal
from sepray.errors import SeprayError, UnreachableError
from sepray.tracking import models, stored_forms
from sepray.tracking.connection import import_mlflow
from sepray.tracking.delivery import Delivery
from sepray.tracking.outbox import Outbox, RunKey
from sepray.tracking.packaged_model import ModelError

from .scaled import EXPECTED, MIXTURES, package

SCORED = models.Scored({"test/si_sdr": 3.0}, "ecg", "ab" * 32)


class Tracked:
    """A study with one retraining whose operations are delivered only when it is flushed."""

    study = "study-1"

    def __init__(self, folder, uri):
        self.uri, self.outbox = uri, Outbox(folder / "box.db")
        self.delivery, self.flushed = Delivery(self.outbox, uri), 0
        self.outbox.put(RunKey(self.study), "run", {"name": "s", "experiment": "sepray", "start": 1, "tags": {}})
        self.outbox.put(RunKey(self.study, "final-2"), "run", {"name": "f", "start": 1, "tags": {}})

    def pending(self):
        return self.outbox.pending()

    def run_ids(self):
        return self.outbox.run_ids(self.study)

    def flush(self, timeout):
        self.flushed += 1
        self.delivery.deliver(100)


@pytest.fixture
def tracked(folder, uri):
    tracked = Tracked(folder, uri)
    yield tracked
    tracked.outbox.close()


def test_a_model_is_registered_once_and_becomes_champion(
    folder, uri, tracked, client, separator, unchecked, monkeypatch
):
    uri = tracked.uri
    package(folder / "model", separator, sources=["maternal", "fetal"], sample_rate=128.0)
    tracked.outbox.put(RunKey("study-1", "final-2"), "log", {"params": {"beta": "0.5"}})
    assert models.incumbent("cass-ecg", uri) is None
    with monkeypatch.context() as killed:  # the upload is never finished, no version made
        killed.setattr("mlflow.MlflowClient.finalize_logged_model", lambda *a: None)
        killed.setattr("mlflow.MlflowClient.create_model_version", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            models.register(tracked, "final-2", folder / "model", "cass-ecg")
    for _ in range(2):
        assert models.register(tracked, "final-2", folder / "model", "cass-ecg", description="best") == "1"
    run_id = tracked.run_ids()["final-2"]
    models.set_champion("cass-ecg", "1", uri)
    assert models.incumbent("cass-ecg", uri) == "1"
    assert len(client.search_model_versions("name = 'cass-ecg'")) == 1
    assert client.get_model_version("cass-ecg", "1").tags["sepray.study"] == "study-1"
    run = client.get_run(run_id)
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert (logged.source_run_id, str(logged.status), logged.params) == (run_id, "READY", {"beta": "0.5"})
    described = models.describe("models:/cass-ecg@champion", uri)
    assert (described["sources"], described["sample_rate"]) == (["maternal", "fetal"], 128.0)
    assert described["run_id"] == run_id
    estimates = models.load("models:/cass-ecg/1", uri).predict(MIXTURES)
    np.testing.assert_allclose(estimates, EXPECTED, rtol=1e-6)


def test_registering_waits_until_the_runs_own_operations_are_delivered(
    folder, tracked, client, separator, unchecked, tmp_path
):
    package(folder / "model", separator)
    tracked.flush(1.0)
    tracked.outbox.put(RunKey("study-1", "final-2"), "log", {"params": {"beta": "0.5"}})
    models.register(tracked, "final-2", folder / "model", "cass", tags={"kind": "final"}, description="best")
    assert tracked.flushed == 2
    (logged,) = client.search_logged_models(["1"])
    assert logged.params == {"beta": "0.5"}
    version = client.get_model_version("cass", "1")
    assert (version.description, version.tags["kind"]) == ("best", "final")
    assert version.run_id == logged.source_run_id == tracked.run_ids()["final-2"]


def test_operations_of_other_runs_are_not_waited_for(folder, tracked, separator, unchecked):
    package(folder / "model", separator)
    tracked.flush(1.0)
    tracked.outbox.put(RunKey("study-1", "3"), "log", {"params": {"beta": "0.5"}})
    assert models.register(tracked, "final-2", folder / "model", "cass") == "1"
    assert tracked.flushed == 1


@pytest.mark.parametrize("known", [True, False])
def test_registering_gives_up_where_the_run_is_not_delivered(folder, tracked, known, monkeypatch):
    if known:
        tracked.flush(1.0)
        tracked.outbox.put(RunKey("study-1", "final-2"), "log", {"params": {"beta": "0.5"}})
    seconds = iter(range(100))
    monkeypatch.setattr(models, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(tracked, "flush", lambda timeout: None)
    line = f"MLflow at {tracked.uri} has not taken the run 'final-2' in 20 s"
    with pytest.raises(UnreachableError, match=re.escape(line)):
        models.register(tracked, "final-2", folder / "model", "cass", patience=20.0)
    assert next(seconds) == 22


def test_run_that_is_gone_from_mlflow_is_not_waited_for(folder, tracked):
    tracked.flush(1.0)
    tracked.outbox.forget_runs("study-1")
    with pytest.raises(ModelError, match=r"mlflow\.db has no run 'final-2' of the study any more$"):
        models.register(tracked, "final-2", folder / "model", "cass")


def test_another_model_of_the_same_run_is_another_version(folder, tracked, client, separator, unchecked):
    package(folder / "a", separator)
    assert models.register(tracked, "final-2", folder / "a", "cass") == "1"
    with torch.no_grad():
        separator[0].gain += 1
    package(folder / "b", separator)
    assert models.register(tracked, "final-2", folder / "b", "cass") == "2"
    assert models.register(tracked, "final-2", folder / "a", "cass") == "1"
    models.set_champion("cass", "1", tracked.uri)
    models.set_champion("cass", "2", tracked.uri)
    assert models.incumbent("cass", tracked.uri) == "2"


def test_same_model_of_another_retraining_is_the_same_version(folder, tracked, client, separator, unchecked):
    """The second stands for the first, which lost its checkpoints; if the first's run is deleted, it is a version."""
    package(folder / "model", separator)
    tracked.outbox.put(RunKey("study-1", "final-7"), "run", {"name": "g", "start": 1, "tags": {}})
    assert models.register(tracked, "final-2", folder / "model", "cass") == "1"
    for _ in range(2):
        assert models.register(tracked, "final-7", folder / "model", "cass", scored=SCORED) == "1"
    assert len(client.search_logged_models(["1"])) == 1
    first = tracked.run_ids()["final-2"]
    assert client.get_run(first).data.metrics == {"test/si_sdr": 3.0}
    tracked.study = "study-2"
    for label, name in (("", "s"), ("final-2", "f")):
        body = {"name": name, "experiment": "sepray", "start": 1, "tags": {}}
        tracked.outbox.put(RunKey("study-2", label), "run", body)
    assert models.register(tracked, "final-2", folder / "model", "cass") == "2", "of another study"
    tracked.study = "study-1"
    client.delete_run(first)
    assert models.register(tracked, "final-7", folder / "model", "cass") == "3"


def test_files_that_were_deleted_are_uploaded_again(folder, uri, tracked, client, separator, unchecked):
    package(folder / "model", separator)
    assert models.register(tracked, "final-2", folder / "model", "cass") == "1"
    models.set_champion("cass", "1", uri)
    assert models.has_files("cass", "1", uri)
    shutil.rmtree(folder / "mlruns")
    assert not models.has_files("cass", "1", uri)
    assert models.register(tracked, "final-2", folder / "model", "cass") == "1"
    assert models.has_files("cass", "1", uri)
    np.testing.assert_allclose(models.load("models:/cass@champion", uri).predict(MIXTURES), EXPECTED, rtol=1e-6)


def test_descriptions_are_those_of_the_last_time(folder, tracked, client, separator, unchecked):
    """A study that goes on may have another answer; its version, and the champion's model, say the newest one."""
    package(folder / "model", separator)
    for description in ("first", "second", ""):
        version = models.register(tracked, "final-2", folder / "model", "cass", description=description)
        models.set_champion("cass", version, tracked.uri, description)
    assert client.get_model_version("cass", "1").description == "second"
    assert client.get_registered_model("cass").description == "second"
    (logged,) = client.search_logged_models(["1"])
    assert logged.tags["mlflow.note.content"] == "second"


def test_logged_model_knows_its_versions_its_scores_and_their_data_once(folder, tracked, client, separator, unchecked):
    package(folder / "model", separator)
    tracked.outbox.put(RunKey("study-1", "final-2"), "log", {"tags": {"mlflow.user": "me", "platform": "Linux"}})
    scored = models.Scored({"test/l2": 0.25, "test/mother/l2": math.nan}, "ecg", "ab" * 32)
    for name in ("cass", "cass", "other"):
        models.register(tracked, "final-2", folder / "model", name, scored=scored)
    (logged,) = client.search_logged_models(["1"])
    versions = [{"name": "cass", "version": "1"}, {"name": "other", "version": "1"}]
    assert [{**v, "version": str(v["version"])} for v in json.loads(logged.tags["mlflow.modelVersions"])] == versions
    assert (logged.tags["mlflow.user"], "platform" in logged.tags) == ("me", False)
    found = {m.key: (m.value, m.dataset_name, m.dataset_digest, m.run_id) for m in logged.metrics}
    run = client.get_run(tracked.run_ids()["final-2"])
    assert found["test/l2"] == (0.25, "ecg", "ab" * 18, run.info.run_id)
    assert len(logged.metrics) == 1
    assert run.data.metrics["test/l2"] == 0.25
    assert len(client.get_metric_history(run.info.run_id, "test/l2")) == 1
    models.register(tracked, "final-2", folder / "model", "cass", scored=scored._replace(metrics={"test/l2": 0.125}))
    assert client.get_run(run.info.run_id).data.metrics["test/l2"] == 0.125


def test_files_that_the_artifact_store_does_not_take_are_an_outage(folder, tracked, separator, unchecked, monkeypatch):
    class NoCredentialsError(Exception):
        """The error that a cloud's library raises."""

    def refuse(*_):
        raise NoCredentialsError("Unable to locate credentials")

    package(folder / "model", separator)
    monkeypatch.setattr("mlflow.MlflowClient.log_model_artifacts", refuse)
    with pytest.raises(UnreachableError, match=r"^the artifact store does not take the model: Unable to locate"):
        models.register(tracked, "final-2", folder / "model", "cass")


def line_of(kind, call, *arguments):
    with pytest.raises(SeprayError) as error:
        call(*arguments)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


def test_errors_are_one_line_without_secrets(tmp_path, uri):
    line = line_of(UnreachableError, models.incumbent, "x", "http://me:pw@127.0.0.1:9")
    assert line == "MLflow at http://me:***@127.0.0.1:9 does not answer: Connection refused"
    line = line_of(models.ModelError, models.load, "models:/nope@champion", uri)
    assert line == f"MLflow at {uri}: Registered Model with name=nope not found"
    line = line_of(models.ModelError, models.load, str(tmp_path / "nowhere"))
    assert line.startswith(f"{tmp_path}/nowhere is neither a models:/ address nor a folder with a packaged model")


def test_an_address_that_cannot_be_used_is_said_to_be_one(tmp_path):
    line = line_of(UnreachableError, models.incumbent, "x", "htp://me:pw@host")
    assert line.startswith("MLflow at htp://me:***@host cannot be used: Model registry functionality is unavailable")
    (tmp_path / "text.db").write_text("no database" * 100)
    line = line_of(UnreachableError, models.incumbent, "x", f"sqlite:///{tmp_path}/text.db")
    assert line.startswith(
        f"MLflow at sqlite:///{tmp_path}/text.db cannot be used: (sqlite3.DatabaseError) file is not"
    )


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "refuses the login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (403, "refuses the login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (500, "does not answer: too many 500 error responses"),
    ],
)
def test_a_server_that_refuses_the_login_is_said_to_do_so(status, why):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert line_of(UnreachableError, models.incumbent, "x", address) == f"MLflow at {address} {why}"
        server.shutdown()
        thread.join()


def truncate(folder):
    weights = folder / "data" / "separator" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (truncate, "its files are not those that were packaged"),
        (lambda folder: (folder / "data" / "separator" / "separator.json").write_text("{"), "its files are not those "),
        (lambda folder: (folder / "data" / "separator" / "separator.json").unlink(), "its files are not those that "),
        (lambda folder: (folder / "MLmodel").write_text("run_id: x"), ""),
    ],
)
def test_a_damaged_model_is_refused_in_one_line(tmp_path, separator, unchecked, damage, why):
    package(tmp_path / "model", separator)
    damage(tmp_path / "model")
    line = line_of(models.ModelError, models.load, str(tmp_path / "model"))
    assert line.startswith(f"{tmp_path}/model cannot be loaded: {why}")
    assert len(line) > len(f"{tmp_path}/model cannot be loaded: {why}")


def test_a_model_of_another_maker_is_refused(tmp_path, separator, unchecked):
    package(tmp_path / "model", separator)
    path = tmp_path / "model" / "MLmodel"
    path.write_text(path.read_text().replace("  digest: ", "  checksum: "))
    line = line_of(models.ModelError, models.describe, str(tmp_path / "model"))
    assert line == f"{tmp_path}/model is a model of MLflow, but not one that sepray packaged"


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (
            ModuleNotFoundError("No module named 'boto3'", name="boto3"),
            models.ModelError,
            "models:/m/1 cannot be downloaded: it needs the module boto3, which is not installed; "
            "pip install 'sepray[cluster]'",
        ),
        (ConnectionResetError("reset"), UnreachableError, "models:/m/1 cannot be downloaded: reset"),
        (PermissionError(13, "denied", "/x"), models.ModelError, "models:/m/1 cannot be downloaded: [Errno 13] denied"),
    ],
)
def test_what_downloading_lacks_here_is_told_from_an_outage(uri, monkeypatch, error, kind, line):
    def fail(artifact_uri):
        raise error

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    assert line_of(kind, models.load, "models:/m/1", uri).startswith(line)


def test_the_address_that_the_user_gave_mlflow_is_restored(uri, client):
    mlflow = import_mlflow()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://users.own")
    try:
        with models.connected(uri):
            assert mlflow.get_tracking_uri() == uri
        assert mlflow.get_tracking_uri() == "http://users.own"
        with pytest.raises(models.ModelError):
            models.load("models:/nope/1", uri)
        assert mlflow.get_tracking_uri() == "http://users.own"
    finally:
        mlflow.set_tracking_uri(before)


def test_two_threads_have_the_server_that_each_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "connect", lambda address: address)
    mlflow, own, theirs = import_mlflow(), f"sqlite:///{tmp_path}/own.db", f"sqlite:///{tmp_path}/theirs.db"
    before, seen, found = mlflow.get_tracking_uri(), threading.Event(), []

    def other():
        with models.connected(theirs) as client:
            seen.wait(5)
            found.extend([client, mlflow.get_tracking_uri(), mlflow.get_registry_uri()])

    thread = threading.Thread(target=other)
    with models.connected(own) as client:
        thread.start()
        thread.join(0.05)
        mine = [client, mlflow.get_tracking_uri(), mlflow.get_registry_uri()]
        seen.set()
    thread.join()
    assert (mine, found) == ([own] * 3, [theirs] * 3)
    assert mlflow.get_tracking_uri() == before


@pytest.mark.parametrize("given", [None, "sqlite:///elsewhere.db"])
def test_registry_is_where_the_runs_are_whatever_the_environment_says(
    folder, tracked, uri, separator, unchecked, monkeypatch, given
):
    """MLFLOW_REGISTRY_URI is read nowhere: a model and its run belong together."""
    monkeypatch.chdir(folder)
    if given:
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", given)
    package(folder / "model", separator)
    version = models.register(tracked, "final-2", folder / "model", "cass-ecg")
    models.set_champion("cass-ecg", version, uri)
    monkeypatch.setattr(models, "model_folder", lambda *_: None)  # as for a server: MLflow itself finds the files
    assert models.describe("models:/cass-ecg@champion", uri)["run_id"] == tracked.run_ids()["final-2"]
    assert models.incumbent("cass-ecg", uri) == version
    assert not (folder / "elsewhere.db").exists()
    assert os.environ.get("MLFLOW_REGISTRY_URI") == given


def test_first_request_is_given_up_soon_and_later_ones_have_a_minute(uri, monkeypatch):
    names = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    waits = []

    def note():
        waits.append(tuple(os.environ.get(name) for name in names))

    monkeypatch.setattr(models, "connect", lambda address: note() or "client")
    with models.connected(uri) as client:
        note()
    note()
    assert client == "client"
    assert waits == [("5", "0"), ("60", "2"), (None, None)]


def test_mixture_of_another_shape_is_refused_before_the_model_sees_it():
    signal = Signal(("a",), 2, (5,), 128.0)
    separation = SimpleNamespace(signal=signal, predict=lambda mixture, params: mixture[:, None] / 2)
    loaded = models.PackagedModel(Path(), {}, None, separation)
    separate = models.as_function(loaded)
    assert separate(torch.ones(3, 2, 5)).tolist() == torch.full((3, 1, 2, 5), 0.5).tolist()
    for shape in ((3, 1, 5), (3, 2), (3, 2, 5, 1)):
        refusal = f"takes mixtures [batch, channel, time] of 2 channels, not {list(shape)}"
        with pytest.raises(models.ModelError, match=re.escape(refusal)):
            separate(torch.ones(shape))


@pytest.mark.parametrize("is_there_after", [True, False])
def test_model_that_another_study_registers_at_the_same_moment_is_used(is_there_after):
    from mlflow.exceptions import MlflowException

    answers = [[], ["the model"] if is_there_after else []]

    class Client:
        def search_registered_models(self, wanted):
            return answers.pop(0)

        def create_registered_model(self, name):
            raise MlflowException("Registered Model (name=cass-ecg) already exists.")

    if is_there_after:
        models._create(Client(), "cass-ecg")
    else:
        with pytest.raises(MlflowException):
            models._create(Client(), "cass-ecg")
    assert answers == []


def test_names_are_quoted_for_mlflow():
    assert stored_forms.quoted("anna's model") == "'anna''s model'"


def test_code_of_a_registered_model_is_said_to_be_its_runs_users(tmp_path, client, uri, monkeypatch):
    """For code that is not installed here, the run's user is named; nobody else is asked."""
    run = client.create_run("0", tags={"mlflow.user": "eve"})
    told = []
    monkeypatch.setattr(models, "_folder", lambda model, uri: tmp_path)
    monkeypatch.setattr(models, "load_folder", lambda folder, name, author: told.append(author(run.info.run_id)))
    models.load("models:/filters/3", uri)
    assert told == ["logged by eve"]
    assert models._author(None, uri) == "of no run"
    assert models._author("0" * 32, uri) == "logged by nobody that MLflow knows"
