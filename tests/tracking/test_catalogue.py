"""The list of registered models, from MLflow's own database."""

import datetime
import time

import pytest

from sepray.tracking import catalogue
from sepray.tracking.connection import import_mlflow

from .scaled import package


@pytest.fixture
def kathmandu(monkeypatch):
    """Local time is 5:45 ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield datetime.timedelta(hours=5, minutes=45)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def runs(client):
    """The run of a study, and that of one of its retrainings."""
    study = client.create_run("0")
    return study.info.run_id, client.create_run("0", tags={"mlflow.parentRunId": study.info.run_id}).info.run_id


def test_every_version_is_listed_with_what_it_was_packaged_with(
    tmp_path, uri, client, runs, separator, unchecked, kathmandu
):
    package(tmp_path / "model", separator, metric="si_sdr", sources=["maternal", "fetal"])
    for name in ("cass", "Alpha"):
        client.create_registered_model(name)
    for source in (str(tmp_path / "model"), str(tmp_path / "nowhere")):
        client.create_model_version("cass", source, runs[1])
    for alias in ("champion", "a"):
        client.set_registered_model_alias("cass", alias, "1")
    client.create_model_version("Alpha", str(tmp_path / "model"))
    client.log_metric(runs[0], "test/si_sdr", 7.5)
    client.set_tag(runs[0], "model_version", "1")
    mlflow = import_mlflow()
    before = mlflow.get_tracking_uri()

    listed = catalogue.registered(uri)

    assert mlflow.get_tracking_uri() == before
    assert [(m.name, m.version, m.aliases) for m in listed] == [
        ("Alpha", "1", ()),
        ("cass", "2", ()),
        ("cass", "1", ("a", "champion")),
    ]
    described = [{k: v for k, v in m.described.items() if k != "digest"} for m in listed]
    packaged = {"metric": "si_sdr", "sources": ["maternal", "fetal"]}
    assert described == [packaged, {}, packaged]
    assert [m.score for m in listed] == [None, None, 7.5]
    made = client.get_model_version("cass", "1").creation_timestamp
    utc = datetime.datetime.fromtimestamp(made / 1000, datetime.UTC).replace(tzinfo=None)
    assert listed[2].registered == utc + kathmandu


def test_a_description_that_is_none_is_told_by_no_traceback_and_takes_no_time(tmp_path, uri, client):
    """Whoever registers a model writes its MLmodel, which MLflow would read as it is."""
    levels = "\n".join(f"  a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10))
    bomb = f"flavors: {{python_function: {{x: y}}}}\nmetadata:\n  digest: x\n  a0: &a0 {{x: y}}\n{levels}\n"
    client.create_registered_model("cass")
    for number, text in enumerate(("flavors: []", "[", "\0", bomb)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "MLmodel").write_text(text)
        client.create_model_version("cass", str(tmp_path / str(number)))
    assert [model.described for model in catalogue.registered(uri)] == [{}] * 4


def test_store_of_a_cloud_that_fails_in_its_own_way_costs_the_description_alone(monkeypatch):
    class CloudError(Exception):
        pass

    def refuse(artifact_uri):
        raise CloudError("no credentials")

    monkeypatch.setattr(import_mlflow().artifacts, "download_artifacts", refuse)
    assert catalogue._described("models:/cass/1") == {}


@pytest.mark.parametrize(
    ("metric", "version", "score"),
    [("test/si_sdr", "1", 7.5), ("test/mean/si_sdr", "1", 7.5), ("test/sdr", "1", None), ("test/si_sdr", "2", None)],
)
def test_a_score_is_that_of_this_version_in_the_studys_run(client, runs, metric, version, score):
    client.log_metric(runs[0], metric, 7.5)
    client.log_metric(runs[1], metric, 1.0)
    client.set_tag(runs[0], "model_version", version)
    client.create_registered_model("cass")
    created = client.create_model_version("cass", "somewhere", runs[1])
    assert catalogue._score(client, created, "si_sdr") == score


def test_a_run_that_is_gone_for_good_costs_the_score_alone(client, runs):
    client.create_registered_model("cass")
    created = client.create_model_version("cass", "somewhere", runs[1])
    client._tracking_client.store._hard_delete_run(runs[0])
    assert catalogue._score(client, created, "si_sdr") is None


def test_all_pages_of_a_search_are_read():
    class Page(list):
        token = ""

    asked = []

    def search(page_token, **arguments):
        asked.append((page_token, arguments))
        page = Page([len(asked)] * 2)
        page.token = {1: "second", 2: "third"}.get(len(asked), "")
        return page

    assert catalogue.all_found(search, filter_string="x") == [1, 1, 2, 2, 3, 3]
    assert asked == [(token, {"filter_string": "x"}) for token in (None, "second", "third")]


@pytest.mark.parametrize("when", [10**400, 10**18, -(10**18), float("nan"), None, "x"])
def test_a_time_that_cannot_be_is_none(when):
    assert catalogue._moment(when) == datetime.datetime.fromtimestamp(0)
    assert catalogue._moment(86_400_000) == datetime.datetime.fromtimestamp(86400)
