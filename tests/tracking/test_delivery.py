import contextlib
import math
import shutil
import sqlite3

import pytest

from sepray.tracking.calls import UnavailableError, reason_of
from sepray.tracking.connection import connect, import_mlflow
from sepray.tracking.delivery import ATTEMPTS, Delivery
from sepray.tracking.outbox import Outbox, RunKey

from .conftest import Reader

STUDY, TRIAL = RunKey("s"), RunKey("s", "0")
DATASET = {"name": "ecg", "digest": "abc", "source": "{}", "profile": "{}", "context": "training"}


def begin(outbox, label="", name="cass-ecg", **tags):
    where = {} if label else {"experiment": "sepray"}
    outbox.put(RunKey("s", label), "run", {"name": name, "start": 1000, "tags": tags, **where})


def epoch(outbox, step, value, label="0", key="loss"):
    outbox.put(RunKey("s", label), "log", {"metrics": [[key, value, step, 1000 + step]]})


def end(outbox, label="0", status="FINISHED", at=9000, **tags):
    outbox.put(RunKey("s", label), "log", {"tags": tags})
    outbox.put(RunKey("s", label), "status", {"status": status, "end": at})


def small_study(outbox):
    begin(outbox, outcome="running")
    outbox.put(STUDY, "log", {"params": {"trials": "2"}})
    for label in ("0", "final-1/seed-0"):
        begin(outbox, label, f"trial {label}", outcome="running")
        outbox.put(RunKey("s", label), "log", {"params": {"beta": "0.1"}})
        for step in range(3):
            epoch(outbox, step, step / 4, label)
        outbox.put_text(RunKey("s", label), "notes/traceback.txt", "deep down")
        outbox.put(RunKey("s", label), "name", {"name": f"{label} stopped"})
        outbox.put(RunKey("s", label), "dataset", DATASET)
        end(outbox, label, outcome="pruned")
    outbox.put(STUDY, "dataset", DATASET)
    end(outbox, "", outcome="finished")


def check_small_study(read, study="s"):
    found = read(study)
    assert found.labels == ["", "0", "final-1/seed-0"]
    parent = found.runs[""]
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "cass-ecg")
    assert parent.data.params == {"trials": "2"}
    for run in found.runs.values():
        assert [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs] == [("ecg", "abc")]
    for label in ("0", "final-1/seed-0"):
        run = found.runs[label]
        assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1000, 9000)
        assert run.info.run_name == f"{label} stopped"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["outcome"] == "pruned"
        assert run.data.params == {"beta": "0.1"}
        assert found.history(label, "loss") == [(0, 0.0, 1000), (1, 0.25, 1001), (2, 0.5, 1002)]
        listed = found.client.list_artifacts(run.info.run_id, "notes")
        assert [(a.path, a.file_size) for a in listed] == [("notes/traceback.txt", 9)]


def test_a_study_arrives_with_its_nested_trials(outbox, delivery, read):
    small_study(outbox)
    waiting = outbox.pending()
    assert delivery.deliver(2000) == (waiting, None)
    assert outbox.pending() == 0
    check_small_study(read)


class Dying:
    """A client that dies at its n-th call, before or after the server has done what was asked."""

    def __init__(self, client, n, after):
        self.client, self.left, self.after = client, n, after

    def __getattr__(self, name):
        call = getattr(self.client, name)

        def counted(*arguments, **named):
            self.left -= 1
            if self.left == 0 and not self.after:
                raise SystemExit("killed")
            result = call(*arguments, **named)
            if self.left == 0:
                raise SystemExit("killed")
            return result

        return counted


DEATHS = [(n, True) for n in range(1, 23)] + [(n, False) for n in (1, 4, 8, 22)]


class Under:
    """An outbox that puts every operation under another study and experiment, so that tests can share a database."""

    def __init__(self, outbox, study):
        self.outbox, self.study = outbox, study

    def put(self, key, kind, body):
        where = {"experiment": self.study} if "experiment" in body else {}
        self.outbox.put(RunKey(self.study, key.label), kind, {**body, **where})

    def put_text(self, key, name, text):
        self.outbox.put_text(RunKey(self.study, key.label), name, text)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, empty_database):
    """Address of a database that several tests share: connecting to a new one takes longer than they do."""
    path = tmp_path_factory.mktemp("shared") / "mlflow.db"
    shutil.copyfile(empty_database, path)
    return f"sqlite:///{path}"


@pytest.mark.parametrize(("n", "after"), DEATHS)
def test_a_death_at_any_call_leaves_no_gap_and_no_duplicate(shared, tmp_path, n, after):
    client, study = connect(shared), f"dies-{n}-{after}"
    outbox = Outbox(tmp_path / "outbox.db")
    small_study(Under(outbox, study))
    first = Delivery(outbox, shared)
    first._client = dying = Dying(client, n, after)
    with pytest.raises(SystemExit):
        first.deliver(2000)
    assert dying.left == 0
    outbox.close()
    again = Outbox(outbox.path)  # as a new process opens it
    assert Delivery(again, shared).deliver(2000)[1] is None
    assert again.pending() == 0
    again.close()
    check_small_study(lambda study: Reader(client, study, study), study)


def test_the_calls_of_a_small_study_are_as_many_as_the_test_above_kills(outbox, uri, client, read):
    small_study(outbox)
    delivery = Delivery(outbox, uri)
    delivery._client = counting = Dying(client, 0, False)
    delivery.deliver(2000)
    assert -counting.left == 22


def test_a_study_that_is_delivered_twice_appears_once(outbox, delivery, read):
    for _ in range(2):
        small_study(outbox)
        delivery.deliver(2000)
    check_small_study(read)


def test_a_lost_outbox_finds_the_runs_by_their_tags(outbox, delivery, folder, uri, read):
    small_study(outbox)
    delivery.deliver(2000)
    fresh = Outbox(folder / "other.db")
    small_study(fresh)
    assert Delivery(fresh, uri).deliver(2000)[1] is None
    fresh.close()
    check_small_study(read)


def test_runs_that_another_outbox_has_created_meanwhile_are_found(outbox, delivery, folder, uri, read):
    """A study that went on from another folder and comes back has no run twice, and later ones cost no search each."""
    begin(outbox)
    delivery.deliver(100)
    elsewhere = Outbox(folder / "elsewhere.db")
    begin(elsewhere)
    for box, labels in ((elsewhere, "01"), (outbox, "0123")):
        for label in labels:
            begin(box, label, f"trial {label}")
            epoch(box, 1, 0.5, label)
    Delivery(elsewhere, uri).deliver(100)
    elsewhere.close()
    later = Delivery(outbox, uri)
    searches = []
    find = later.runs._find_runs
    later.runs._find_runs = lambda *given: searches.append(given) or find(*given)
    later.deliver(100)
    found = read("s")
    assert found.labels == ["", "0", "1", "2", "3"]
    assert len(searches) == 1


def test_epochs_of_a_run_share_requests(outbox, uri, client, read):
    begin(outbox)
    begin(outbox, "0")
    for step in range(1000):
        epoch(outbox, step, step / 4)
    delivery = Delivery(outbox, uri)
    delivery._client = counting = Batches(client)
    delivery.deliver(2000)
    assert counting.sizes == [(800, 0, 0), (200, 0, 0)]
    assert len(read().history("0", "loss")) == 1000


class Batches:
    """A client that notes how many metrics, parameters and tags each request logs."""

    def __init__(self, client):
        self.client, self.sizes = client, []

    def __getattr__(self, name):
        return getattr(self.client, name)

    def log_batch(self, *arguments, **named):
        self.sizes.append(tuple(len(named[kind]) for kind in ("metrics", "params", "tags")))
        return self.client.log_batch(*arguments, **named)


@pytest.mark.parametrize(
    ("entries", "sizes"),
    [
        ({"params": 100, "tags": 100}, [(0, 100, 100)]),
        ({"params": 101}, [(0, 100, 0), (0, 1, 0)]),
        ({"tags": 101}, [(0, 0, 100), (0, 0, 1)]),
        ({"params": 250, "tags": 101}, [(0, 100, 100), (0, 100, 1), (0, 50, 0)]),
    ],
)
def test_requests_are_as_large_as_mlflow_allows(outbox, uri, client, read, entries, sizes):
    begin(outbox)
    delivery = Delivery(outbox, uri)
    delivery.deliver(2000)
    body = {kind: {f"{kind}{i}": str(i) for i in range(count)} for kind, count in entries.items()}
    outbox.put(STUDY, "log", body)
    delivery._client = counting = Batches(client)
    assert delivery.deliver(2000) == (1, None)
    assert counting.sizes == sizes
    data = read().runs[""].data
    assert data.params == body.get("params", {})
    assert {k: v for k, v in data.tags.items() if k.startswith("tags")} == body.get("tags", {})


def test_a_run_may_begin_with_more_tags_than_a_request_takes(outbox, delivery, read):
    tags = {f"tag{i}": str(i) for i in range(150)}
    begin(outbox, **tags)
    assert delivery.deliver(2000) == (1, None)
    assert {k: v for k, v in read().runs[""].data.tags.items() if k.startswith("tag")} == tags


def test_files_become_artifacts(outbox, delivery, read, tmp_path):
    begin(outbox)
    begin(outbox, "0")
    (tmp_path / "a.txt").write_text("first")
    outbox.put_file(STUDY, "report.html", tmp_path / "a.txt")
    outbox.put_file(TRIAL, "figures/deep/plot.txt", tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("second")
    outbox.put_text(TRIAL, "traceback.txt", "é" * 100_001)  # too long for the outbox itself
    assert delivery.deliver(2000) == (5, None)
    runs, client = read().runs, read().client

    def content(label, name):
        folder = client.download_artifacts(runs[label].info.run_id, name, str(tmp_path))
        with open(folder, encoding="utf-8") as file:
            return file.read()

    assert content("", "report.html") == "first"
    assert content("0", "figures/deep/plot.txt") == "first"
    assert content("0", "traceback.txt") == "é" * 100_001
    assert [a.path for a in client.list_artifacts(runs[""].info.run_id)] == ["report.html"]
    assert not list(outbox.files.iterdir())


def test_files_are_not_written_to_a_folder_that_a_database_only_names(outbox, delivery, read, tmp_path):
    """Whoever may write to a shared database could so have files of who delivers overwritten."""
    begin(outbox)
    delivery.deliver(2000)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "report.html").write_text("mine")
    database = read().client.tracking_uri.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update runs set artifact_uri = ?", (str(tmp_path / "thesis"),))
    outbox.put_text(STUDY, "report.html", "theirs")
    end(outbox, "")
    assert delivery.deliver(2000)[1] is None
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("update runs set artifact_uri = 'http://elsewhere/api/2.0/mlflow-artifacts/artifacts/0'")
    outbox.put_text(STUDY, "report.html", "theirs")
    assert delivery.deliver(2000)[1] is None
    folder, machine = outbox.rejected()
    assert f"its files would go to {tmp_path}/thesis, which is not below its experiment's folder" in folder.reason
    assert "which is not the host of MLflow's address, and would get its login" in machine.reason
    assert (tmp_path / "thesis" / "report.html").read_text() == "mine"
    assert read().runs[""].info.status == "FINISHED"


def test_a_copy_that_is_lost_is_refused_and_holds_up_nothing(outbox, delivery, read, tmp_path):
    begin(outbox)
    (tmp_path / "a.txt").write_text("")
    outbox.put_file(STUDY, "a.txt", tmp_path / "a.txt")
    shutil.rmtree(outbox.files)
    end(outbox, "")
    assert delivery.deliver(2000) == (4, None)
    assert [(r.kind, r.body["name"]) for r in outbox.rejected()] == [("artifact", "a.txt")]
    assert read().runs[""].info.status == "FINISHED"


def test_a_dataset_arrives_whole(outbox, delivery, read):
    begin(outbox)
    body = {"name": "ecg", "digest": "abc", "source": '{"task": "ecg"}', "profile": '{"n": 3}', "context": "training"}
    outbox.put(STUDY, "dataset", body)
    delivery.deliver(2000)
    (given,) = read().runs[""].inputs.dataset_inputs
    assert {name: getattr(given.dataset, name) for name in ("name", "digest", "source", "profile")} == {
        name: body[name] for name in ("name", "digest", "source", "profile")
    }
    assert given.dataset.source_type == "code"
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]


def test_an_interrupted_trial_goes_on_in_the_same_run(outbox, delivery, client, read):
    begin(outbox)
    begin(outbox, "0", outcome="running")
    epoch(outbox, 0, 0.5)
    end(outbox, "0", "KILLED", outcome="interrupted")
    delivery.deliver(2000)
    run = read().runs["0"]
    assert (run.info.status, run.data.tags["outcome"]) == ("KILLED", "interrupted")
    begin(outbox)
    begin(outbox, "0", outcome="running")
    epoch(outbox, 1, 0.25)
    delivery.deliver(2000)
    same = read().runs["0"]
    assert (same.info.run_id, same.info.status) == (run.info.run_id, "RUNNING")
    assert same.data.tags["outcome"] == "running"
    assert [step for step, _, _ in read().history("0", "loss")] == [0, 1]
    assert read().labels == ["", "0"]


BAD = "b" * 300  # longer than a name may be


def test_only_what_is_refused_is_set_aside(outbox, delivery, read):
    begin(outbox)
    begin(outbox, "0")
    outbox.put(TRIAL, "log", {"metrics": [["good", 1.0, 0, 1], [BAD, 2.0, 0, 1], ["also good", 3.0, 0, 1]]})
    outbox.put(TRIAL, "log", {"params": {"p": "1", "": "2"}, "tags": {"t": "3"}})
    begin(outbox, "1")
    end(outbox, "1")
    assert delivery.deliver(2000)[1] is None
    assert outbox.pending() == 0
    run = read().runs["0"]
    assert run.data.metrics == {"good": 1.0, "also good": 3.0}
    assert run.data.params == {"p": "1"}
    assert run.data.tags["t"] == "3"
    assert read().runs["1"].info.status == "FINISHED"
    refused = outbox.rejected()
    assert [r.body for r in refused] == [{"metrics": [[BAD, 2.0, 0, 1]]}, {"params": {"": "2"}}]
    assert all(r.reason for r in refused)


def test_names_that_mlflow_does_not_take_are_mapped(outbox, delivery, read):
    """Names of sources are the user's; what is refused for another reason keeps its own name in the outbox."""
    begin(outbox)
    begin(outbox, "0")
    long = f"{BAD}(2)"
    outbox.put(TRIAL, "log", {"metrics": [["validation/guitar (solo)/si_sdr", 1.0, 0, 1], [long, 1.0, 0, 1]]})
    outbox.put(TRIAL, "log", {"params": {"cross.a+b_to_..": "1"}, "tags": {"who?": "3"}})
    assert delivery.deliver(2000)[1] is None
    run = read().runs["0"]
    assert run.data.metrics == {"validation/guitar _x28_solo_x29_/si_sdr": 1.0}
    assert run.data.params == {"cross.a_x2b_b_to_..": "1"}
    assert run.data.tags["who_x3f_"] == "3"
    assert [r.body for r in outbox.rejected()] == [{"metrics": [[long, 1.0, 0, 1]]}]


def test_a_parameter_that_changes_keeps_its_value_and_becomes_a_tag(outbox, delivery, read):
    begin(outbox)
    outbox.put(STUDY, "log", {"params": {"trials": "40", "seed": "1"}})
    delivery.deliver(2000)
    outbox.put(STUDY, "log", {"params": {"trials": "100", "seed": "1"}})
    delivery.deliver(2000)
    run = read().runs[""]
    assert run.data.params == {"trials": "40", "seed": "1"}
    assert run.data.tags["param.trials"] == "100"
    assert outbox.rejected() == []


def test_runs_are_found_again_where_the_database_has_moved(outbox, delivery, folder, read):
    """The outbox forgets the ids when the address changes; a model can be logged into its run all the same."""
    small_study(outbox)
    delivery.deliver(2000)
    known = outbox.run_ids("s")
    (folder / "elsewhere").mkdir()
    shutil.copyfile(folder / "mlflow.db", folder / "elsewhere" / "mlflow.db")
    begin(outbox)
    assert Delivery(outbox, f"sqlite:///{folder}/elsewhere/mlflow.db").deliver(2000) == (1, None)
    assert outbox.run_ids("s") == known
    assert sorted(known) == ["", "0", "final-1/seed-0"]


def test_numbers_that_are_none_do_not_multiply(outbox, delivery, read):
    begin(outbox)
    begin(outbox, "0")
    for _ in range(2):
        epoch(outbox, 0, math.nan)
        delivery.deliver(2000)
    rows = read().history("0", "loss")
    assert len(rows) == 1
    assert math.isnan(rows[0][1])


def test_a_trial_that_the_user_deleted_stays_deleted_and_the_study_is_restored(outbox, delivery, client, read):
    begin(outbox)
    begin(outbox, "0")
    begin(outbox, "1")
    delivery.deliver(2000)
    runs = read().runs
    client.delete_run(runs["0"].info.run_id)
    client.delete_run(runs[""].info.run_id)
    begin(outbox)
    epoch(outbox, 0, 0.5, "0")
    epoch(outbox, 1, 0.5, "0")
    epoch(outbox, 0, 0.5, "1")
    assert delivery.deliver(2000)[1] is None
    assert outbox.pending() == 0
    assert read().labels == ["", "1"]
    assert {r.key.label for r in outbox.rejected()} == {"0"}
    assert "deleted" in outbox.rejected()[0].reason


def test_a_database_that_was_thrown_away_is_filled_again(outbox, delivery, folder, empty_database, read):
    begin(outbox)
    begin(outbox, "0")
    delivery.deliver(2000)
    shutil.copyfile(empty_database, folder / "new.db")
    begin(outbox)
    begin(outbox, "0", "again")
    moved = Delivery(outbox, f"sqlite:///{folder / 'new.db'}")
    assert moved.deliver(2000) == (2, None)
    new = connect(f"sqlite:///{folder / 'new.db'}")
    runs = new.search_runs([new.get_experiment_by_name("sepray").experiment_id])
    assert sorted(r.info.run_name for r in runs) == ["again", "cass-ecg"]
    assert outbox.rejected() == []


class Poisoned:
    """A client whose server always fails over one run, though it answers."""

    def __init__(self, client, name):
        self.client, self.name = client, name

    def __getattr__(self, name):
        return getattr(self.client, name)

    def create_run(self, *arguments, **named):
        if named["run_name"] == self.name:
            raise RuntimeError("internal error")
        return self.client.create_run(*arguments, **named)


def test_a_run_that_always_fails_is_set_aside_after_a_while_and_holds_up_nobody(outbox, uri, client, read):
    begin(outbox)
    begin(outbox, "0", "poison")
    begin(outbox, "1", "sound")
    delivery = Delivery(outbox, uri)
    delivery._client = Poisoned(client, "poison")
    assert delivery.deliver(2000) == (2, "internal error")
    assert read().labels == ["", "1"]
    for _ in range(6):
        assert delivery.deliver(2000) == (0, "internal error")
    assert outbox.rejected() == []
    assert delivery.deliver(2000)[0] == 1
    assert [(r.key.label, r.reason) for r in outbox.rejected()] == [("0", "internal error")]


class Down:
    """A client of a server that is there, and answers every request with an internal error."""

    def __getattr__(self, name):
        def fail(*arguments, **named):
            raise import_mlflow().MlflowException(f"{name}: internal error")

        return fail


def test_an_outage_is_never_taken_for_a_bad_run(outbox, uri, client, read):
    begin(outbox)
    begin(outbox, "0")
    delivery = Delivery(outbox, uri)
    delivery._client = Down()
    for _ in range(ATTEMPTS + 1):
        with pytest.raises(UnavailableError, match="internal error"):
            delivery.deliver(2000)
    assert outbox.rejected() == []
    assert outbox.pending() == 2
    delivery._client = client
    assert delivery.deliver(2000) == (2, None)
    assert read().labels == ["", "0"]


def test_a_refused_login_waits(outbox, uri):
    begin(outbox)
    delivery = Delivery(outbox, uri)
    delivery._client = Down()
    delivery._client.get_experiment_by_name = lambda name: refuse("PERMISSION_DENIED")
    delivery._client.search_experiments = lambda **_: []  # it answers, so that only the code can tell
    for _ in range(ATTEMPTS + 1):
        with pytest.raises(UnavailableError, match="no"):
            delivery.deliver(2000)
    assert outbox.rejected() == []


def refuse(code):
    from mlflow.protos import databricks_pb2

    raise import_mlflow().MlflowException("no", error_code=getattr(databricks_pb2, code))


def test_a_reason_is_one_short_line_without_secrets():
    assert reason_of(ValueError("http://me:pw@h\nsecond line")) == "http://me:***@h"
    assert reason_of(ValueError("")) == "ValueError"
    assert reason_of(ValueError("x" * 1000)) == "x" * 500
    missing = ModuleNotFoundError("No module named 'boto3'", name="boto3")  # the server gave an address in S3
    assert reason_of(missing) == "No module named 'boto3'; pip install 'sepray[cluster]'"
    asked = "API request to http://h failed with exception HTTPConnectionPool(host='h'): "
    for text, reason in (
        ("NewConnectionError('[Errno 111] Connection refused')", "Connection refused"),
        ("Read timed out. (read timeout=5)", "timed out"),
        ("ResponseError('too many 500 error responses')", "too many 500 error responses"),
        ("what else", f"{asked}what else"),
    ):
        assert reason_of(ValueError(asked + text)) == reason


def test_trials_wait_while_their_study_cannot_be_created(outbox, uri, client, read):
    begin(outbox, "", "poison")
    begin(outbox, "0", "sound")
    delivery = Delivery(outbox, uri)
    delivery._client = Poisoned(client, "poison")
    assert delivery.deliver(2000) == (0, "internal error")
    assert outbox.pending() == 2
    delivery._client = client
    assert delivery.deliver(2000) == (2, None)
    assert read().labels == ["", "0"]
    assert outbox.rejected() == []


def test_of_several_runs_of_a_trial_the_oldest_counts(outbox, delivery, client):
    begin(outbox)
    delivery.deliver(2000)
    parent = outbox.run(STUDY)
    tags = {"sepray.study": "s", "sepray.trial": "0"}
    times = (3000, 1000, 2000)
    made = {t: client.create_run(parent.experiment_id, start_time=t, tags=tags).info.run_id for t in times}
    outbox.forget_runs()
    begin(outbox)
    epoch(outbox, 0, 0.5)
    assert delivery.deliver(2000) == (2, None)
    assert outbox.run(TRIAL).run_id == made[1000]
    assert client.get_run(made[1000]).data.metrics == {"loss": 0.5}


def test_epochs_that_another_outbox_has_told_are_not_told_again(folder, uri, outbox, delivery, read):
    """A trial that began again in another folder, without its checkpoints, trains and reports its epochs once more."""
    first, second = RunKey("s"), RunKey("s", "0")

    def told(box, epochs, time):
        box.put(first, "run", {"name": "study", "experiment": "sepray", "start": 1, "tags": {}})
        box.put(second, "run", {"name": "trial 0", "start": 2, "tags": {}})
        box.put(second, "log", {"metrics": [["l", 1 / n, n, time + n] for n in epochs]})

    told(outbox, [1, 2], 10)
    delivery.deliver(100)
    other = Outbox(folder / "other.db")
    told(other, [1, 2, 3], 20)
    later = Delivery(other, uri)
    later.deliver(100)
    other.put(second, "log", {"metrics": [["l", 0.25, 4, 24], ["m", 0.5, 4, 24]]})
    later.deliver(100)
    other.close()
    found = read()
    assert found.labels == ["", "0"]
    assert found.history("0", "l") == [(1, 1.0, 11), (2, 0.5, 12), (3, 1 / 3, 23), (4, 0.25, 24)]
    assert found.history("0", "m") == [(4, 0.5, 24)]
