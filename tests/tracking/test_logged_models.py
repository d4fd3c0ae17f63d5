"""MLflow's logged model of a packaged model, beside the registry, with an MLflow of the test's own."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from sepray.errors import UnreachableError
from sepray.tracking import logged_models
from sepray.tracking.logged_models import DIGEST_TAG, Scored, describe, has_files, log, log_scores
from sepray.tracking.packaged_model import DIGEST, ModelError
from sepray.tracking.stored_forms import NOTE, as_key, digest

NOW = 1_700_000_000_123
SCORED = Scored({"test/relative_l2": 0.25, "test/si_sdr": 5.0}, "ecg", "abc")


class Mlflow:
    """One run, its logged models and what was asked for, in memory."""

    def __init__(self):
        self.tags, self.metrics, self.logged, self.outputs, self.files = {}, [], [], [], []
        self.sent, self.batches, self.finalised, self.failure = [], [], [], None
        self.place, self.tracking_uri = "/artifacts", "sqlite:////mlflow.db"
        data = SimpleNamespace(tags={"mlflow.user": "eve", "sepray.study": "s"}, params={"beta": "0.1"})
        self.run = SimpleNamespace(info=SimpleNamespace(experiment_id="7"), data=data, outputs=None)

    def get_run(self, run_id):
        assert run_id == "run"
        return self.run

    def get_experiment(self, experiment):
        assert experiment == "7"
        return SimpleNamespace(artifact_location=self.place)

    def get_logged_model(self, model_id):
        return SimpleNamespace(tags=self.tags, metrics=self.metrics, creation_timestamp=1000)

    def set_logged_model_tags(self, model_id, tags):
        self.sent.append((model_id, dict(tags)))
        self.tags |= tags

    def log_batch(self, run_id, metrics):
        self.batches.append((run_id, [(m.key, m.value, m.timestamp, m.model_id, m.dataset_digest) for m in metrics]))

    def search_logged_models(self, experiments, filter_string):
        assert experiments == ["7"]
        wanted = filter_string.rpartition("'")[0].rpartition("'")[2]
        assert filter_string == f"tags.`{DIGEST_TAG}` = '{wanted}'"
        return [model for model in self.logged if model.digest == wanted]

    def create_logged_model(self, experiment, name, run_id, **given):
        model = SimpleNamespace(model_id=f"m-{len(self.logged)}", status="PENDING", source_run_id=run_id)
        model.digest, model.given = given["tags"][DIGEST_TAG], {"experiment": experiment, "name": name, **given}
        model.artifact_location = "/artifacts/m"
        self.logged.append(model)
        return model

    def list_logged_model_artifacts(self, model_id):
        if self.failure is not None:
            raise self.failure
        return [SimpleNamespace(path=path) for path in self.files]

    def log_model_artifacts(self, model_id, folder):
        if self.failure is not None:
            raise self.failure
        self.files = sorted(path.name for path in Path(folder).rglob("*"))
        self.described = (Path(folder) / "MLmodel").read_text()

    def finalize_logged_model(self, model_id, status):
        self.finalised.append((model_id, status))
        self.logged[-1].status = status

    def log_outputs(self, run_id, outputs):
        self.outputs += [(run_id, output.model_id, output.step) for output in outputs]
        self.run.outputs = SimpleNamespace(model_outputs=outputs)


@pytest.fixture
def mlflow():
    return Mlflow()


@pytest.fixture
def folder(tmp_path):
    from mlflow.models import Model

    model = Model(metadata={DIGEST: "d1"})
    model.save(str(tmp_path / "MLmodel"))
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "__pycache__" / "a.pyc").touch()
    (tmp_path / "code" / "a.py").touch()
    return tmp_path


def test_a_model_is_not_written_to_a_folder_that_is_not_its_experiments(mlflow, folder):
    mlflow.place = "/others"
    with pytest.raises(
        ModelError, match="files are not sent: its files would go to /artifacts/m, which is not below its"
    ):
        log(mlflow, "run", folder, "cass-ecg")
    assert (mlflow.files, mlflow.finalised) == ([], [])


def test_a_model_is_uploaded_once_into_its_run(mlflow, folder):
    assert log(mlflow, "run", folder, "cass-ecg") == "m-0"
    [model] = mlflow.logged
    assert model.given["experiment"] == "7"
    assert (model.given["name"], model.given["model_type"]) == ("cass-ecg", "separator")
    assert model.given["params"] == {"beta": "0.1"}
    assert model.given["tags"][DIGEST_TAG] == "d1"
    assert mlflow.files == ["MLmodel", "a.py", "code"]
    assert "model_id: m-0" in mlflow.described
    assert "run_id: run" in mlflow.described
    assert "artifact_path: /artifacts/m" in mlflow.described
    assert mlflow.finalised == [("m-0", "READY")]
    assert mlflow.outputs == [("run", "m-0", 0)]
    mlflow.described = ""
    assert log(mlflow, "run", folder, "cass-ecg") == "m-0"
    assert (mlflow.described, len(mlflow.logged), len(mlflow.outputs), len(mlflow.finalised)) == ("", 1, 1, 1)


def test_files_that_are_gone_and_an_upload_that_was_cut_off_are_repeated(mlflow, folder):
    log(mlflow, "run", folder, "cass-ecg")
    mlflow.files, mlflow.described = [], ""
    assert log(mlflow, "run", folder, "cass-ecg") == "m-0"
    assert mlflow.described
    assert mlflow.finalised == [("m-0", "READY")]
    mlflow.logged[0].status, mlflow.described = "PENDING", ""
    assert log(mlflow, "run", folder, "cass-ecg") == "m-0"
    assert mlflow.described
    assert mlflow.finalised == [("m-0", "READY")] * 2


def test_model_of_another_run_is_another_one(mlflow, folder):
    log(mlflow, "run", folder, "cass-ecg")
    mlflow.logged[0].source_run_id = "other"
    assert log(mlflow, "run", folder, "cass-ecg") == "m-1"


def test_files_are_there_where_the_model_says_so(mlflow):
    assert not has_files(mlflow, "m")
    mlflow.files = ["code"]
    assert not has_files(mlflow, "m")
    mlflow.files = ["code", "MLmodel"]
    assert has_files(mlflow, "m")


def test_an_artifact_store_that_fails_is_an_outage(mlflow, folder):
    mlflow.failure = OSError("no bucket")
    with pytest.raises(UnreachableError, match=r"^the artifact store does not answer: no bucket$"):
        has_files(mlflow, "m")
    with pytest.raises(UnreachableError, match=r"^the artifact store does not take the model: no bucket$"):
        log(mlflow, "run", folder, "cass-ecg")
    mlflow.failure = UnreachableError("told already")
    with pytest.raises(UnreachableError, match=r"^told already$"):
        has_files(mlflow, "m")
    with pytest.raises(UnreachableError, match=r"^told already$"):
        log(mlflow, "run", folder, "cass-ecg")


def metric(name, value, timestamp=1000, of="abc"):
    return SimpleNamespace(key=as_key(name), value=value, timestamp=timestamp, dataset_digest=digest(of))


def test_scores_have_the_models_time_and_their_data(mlflow):
    log_scores(mlflow, "run", "m", SCORED)
    expected = [(as_key(name), value, 1000, "m", digest("abc")) for name, value in SCORED.metrics.items()]
    assert mlflow.batches == [("run", expected)]


def test_scores_that_are_logged_already_are_not_repeated_and_changed_ones_are_of_now(mlflow, monkeypatch):
    monkeypatch.setattr(logged_models, "now", lambda: NOW)
    mlflow.metrics = [
        metric("test/relative_l2", 0.25, 2000),
        metric("test/relative_l2", 0.5, 1000),
        metric("test/si_sdr", 4.0),
    ]
    log_scores(mlflow, "run", "m", SCORED)
    assert mlflow.batches == [("run", [(as_key("test/si_sdr"), 5.0, NOW, "m", digest("abc"))])]
    mlflow.metrics[2] = metric("test/si_sdr", 5.0)
    log_scores(mlflow, "run", "m", SCORED)
    assert len(mlflow.batches) == 1


def test_scores_on_other_data_do_not_count_and_what_is_not_finite_is_left_out(mlflow):
    mlflow.metrics = [metric("test/si_sdr", 5.0, of="other")]
    log_scores(mlflow, "run", "m", SCORED._replace(metrics={"test/si_sdr": 5.0, "x": math.nan, "y": math.inf}))
    assert mlflow.batches == [("run", [(as_key("test/si_sdr"), 5.0, 1000, "m", digest("abc"))])]


def test_a_models_page_lists_its_versions_once_and_its_last_description(mlflow):
    describe(mlflow, "m", "cass-ecg", "3", "first")
    versions = [{"name": "cass-ecg", "version": "3"}]
    assert mlflow.sent == [("m", {NOTE: "first", "mlflow.modelVersions": json.dumps(versions)})]
    describe(mlflow, "m", "cass-ecg", "3", "first")
    describe(mlflow, "m", "cass-ecg", "3", "")
    assert len(mlflow.sent) == 1
    describe(mlflow, "m", "cass-ecg", "3", "second")
    assert mlflow.sent[1:] == [("m", {NOTE: "second"})]
    describe(mlflow, "m", "cass-ecg", "4", "second")
    assert json.loads(mlflow.sent[2][1]["mlflow.modelVersions"]) == [*versions, {"name": "cass-ecg", "version": "4"}]
    assert NOTE not in mlflow.sent[2][1]
    mlflow.tags["mlflow.modelVersions"] = json.dumps([{"name": "cass-ecg", "version": 5}])  # as servers write it
    describe(mlflow, "m", "cass-ecg", "5", "second")
    assert len(mlflow.sent) == 3


MIXED = '[{"name": "m", "version": "3"}, 5]'  # a version, and what is none


class Client:
    """Keeps the tags of one logged model."""

    def __init__(self, tags):
        self.tags = tags

    def get_logged_model(self, model_id):
        return SimpleNamespace(tags=dict(self.tags))

    def set_logged_model_tags(self, model_id, tags):
        self.tags |= tags


@pytest.mark.parametrize(
    "kept", [None, "", "nonsense", "[" * 100_000, "5", "{}", "[5]", '[{"name": "m"}]', "null", MIXED]
)
def test_what_others_have_written_gives_way_to_the_version(kept):
    client = Client({} if kept is None else {"mlflow.modelVersions": kept})
    logged_models.describe(client, "id", "m", "3", "a note")
    assert json.loads(client.tags["mlflow.modelVersions"]) == [{"name": "m", "version": "3"}]
    assert client.tags["mlflow.note.content"] == "a note"


def test_versions_that_are_listed_stay():
    listed = [{"name": "m", "version": 2}]
    client = Client({"mlflow.modelVersions": json.dumps(listed)})
    for _ in range(2):
        logged_models.describe(client, "id", "m", "3", "")
    assert json.loads(client.tags["mlflow.modelVersions"]) == [*listed, {"name": "m", "version": "3"}]
    assert client.tags.keys() == {"mlflow.modelVersions"}
