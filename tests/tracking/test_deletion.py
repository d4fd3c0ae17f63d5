"""A study's runs and models in MLflow are found by its tag and deleted; those of other studies are not."""

import pytest

from sepray.errors import UnreachableError
from sepray.tracking.connection import import_mlflow
from sepray.tracking.deletion import ModelVersion, TrackedStudy, delete_runs, delete_versions, tracked


@pytest.fixture
def studies(client):
    """Runs of the studies ``a`` and ``b``, in two experiments; each has a version of the model ``m``."""
    other = client.create_experiment("other")
    runs = {}
    for study, experiment in (("a", "0"), ("b", other)):
        tags = {"sepray.study": study}
        parent = client.create_run(experiment, tags=tags).info.run_id
        children = [client.create_run(experiment, tags=tags | {"mlflow.parentRunId": parent}) for _ in range(2)]
        runs[study] = [*(child.info.run_id for child in children), parent]
    client.create_registered_model("m")
    for study in ("b", "a", "a"):
        client.create_model_version("m", "somewhere", runs[study][0], tags={"sepray.study": study})
    for alias in ("champion", "best"):
        client.set_registered_model_alias("m", alias, "3")
    return runs


def test_runs_and_versions_of_one_study_are_found(studies, uri):
    found = tracked("a", uri)
    assert found.runs[-1] == studies["a"][-1]  # the study's own, which children name, is the last
    assert set(found.runs) == set(studies["a"])
    assert found.versions == (ModelVersion("m", "2", ()), ModelVersion("m", "3", ("best", "champion")))
    assert tracked("b", uri).versions == (ModelVersion("m", "1", ()),)
    assert tracked("it's none", uri) == TrackedStudy((), ())


def test_versions_are_in_the_order_of_their_numbers(client, studies, uri):
    for _ in range(8):
        client.create_model_version("m", "somewhere", studies["a"][0], tags={"sepray.study": "a"})
    assert [version.version for version in tracked("a", uri).versions] == [str(n) for n in range(2, 12)]


def test_deleted_runs_can_be_restored_and_others_stay(studies, uri, client):
    delete_runs(studies["a"], uri)
    assert [client.get_run(run).info.lifecycle_stage for run in studies["a"]] == ["deleted"] * 3
    assert [client.get_run(run).info.lifecycle_stage for run in studies["b"]] == ["active"] * 3
    assert tracked("a", uri).runs == ()
    client.restore_run(studies["a"][0])
    assert tracked("a", uri).runs == (studies["a"][0],)


def test_deleted_versions_are_gone_and_others_stay(studies, uri, client):
    delete_versions(tracked("a", uri).versions, uri)
    assert [str(version.version) for version in client.search_model_versions("name = 'm'")] == ["1"]
    assert tracked("a", uri).versions == ()


def test_logged_model_goes_with_the_last_version_that_is_made_of_it(studies, uri, client, monkeypatch, request):
    # MLflow looks for the logged model where the process, and not the client, is told to.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    import_mlflow().set_tracking_uri(uri)
    request.addfinalizer(lambda: import_mlflow().set_tracking_uri(None))
    model = client.create_logged_model("0", "model", studies["a"][0])
    source = f"models:/{model.model_id}"
    for name, study in (("first", "a"), ("copy", "b")):
        client.create_registered_model(name)
        tags = {"sepray.study": study}
        client.create_model_version(name, source, studies["a"][0], tags=tags, model_id=model.model_id)

    def is_there():
        return model.model_id in [m.model_id for m in client.search_logged_models(["0"])]

    delete_versions([ModelVersion("first", "1", ())], uri)
    assert is_there()
    delete_versions([ModelVersion("copy", "1", ())], uri)
    assert not is_there()


def test_server_that_does_not_answer_is_said():
    for ask in (
        lambda uri: tracked("a", uri),
        lambda uri: delete_runs(["x"], uri),
        lambda uri: delete_versions([], uri),
    ):
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 does not answer"):
            ask("http://127.0.0.1:9")
