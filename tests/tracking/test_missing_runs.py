import math
import re
from dataclasses import replace

import pytest

from sepray.errors import UnreachableError
from sepray.tracking.connection import import_mlflow
from sepray.tracking.missing_runs import ExpectedRun, queue_everything, reconcile
from sepray.tracking.outbox import BusyError, Outbox, RunKey

EXPECTED = [
    ExpectedRun("", "study", "FINISHED", 1, 9, {"trials": 2}, {"outcome": "finished"}),
    ExpectedRun(
        "0", "trial 0", "FINISHED", 2, 5, {"beta": 0.5}, {"outcome": "complete"}, {1: {"l": 0.5}, 2: {"l": 0.25}}
    ),
    ExpectedRun("1", "trial 1", "FAILED", 3, 7, {"beta": 0.1}, {"outcome": "failed"}, {1: {"l": math.inf}}, {1: 6}),
]


def agree(folder, uri, expected=EXPECTED, experiment="sepray"):
    return reconcile(folder / "outbox.db", "s", expected, uri=uri, experiment=experiment, wait=0.0)


def check(read):
    found = read()
    assert found.labels == ["", "0", "1"]
    assert {label: run.info.status for label, run in found.runs.items()} == {
        "": "FINISHED",
        "0": "FINISHED",
        "1": "FAILED",
    }
    assert {label: run.info.end_time for label, run in found.runs.items()} == {"": 9, "0": 5, "1": 7}
    assert found.runs["0"].data.tags["outcome"] == "complete"
    assert found.runs["1"].data.params == {"beta": "0.1"}
    assert found.history("0", "l") == [(1, 0.5, 5), (2, 0.25, 5)]
    ((step, value, time),) = found.history("1", "l")
    assert (step, math.isnan(value), time) == (1, True, 6)


def nothing(done):
    return not (done.created or done.corrected or done.completed or done.delivered)


def test_every_expected_run_is_created_once(folder, uri, read):
    done = agree(folder, uri)
    assert done.created == ["", "0", "1"]
    check(read)
    assert nothing(agree(folder, uri))
    check(read)
    known = Outbox(folder / "outbox.db")
    ids = known.run_ids("s")
    known.close()
    (folder / "outbox.db").unlink()  # lost, or another machine
    assert nothing(agree(folder, uri))
    check(read)
    found = Outbox(folder / "outbox.db")
    assert found.run_ids("s") == ids  # a model can be logged into its run
    assert sorted(ids) == ["", "0", "1"]
    found.close()


def test_new_database_is_told_all_at_once_with_what_waits(folder, outbox, delivery, read):
    for label in ("", "0"):
        outbox.save_run(RunKey("s", label), "gone", "7", "FINISHED")
    outbox.put(RunKey("s", "0"), "log", {"metrics": [["extra", 3.0, 2, 5]]})
    told = [replace(EXPECTED[0], epochs={0: {"best": 0.5}}, times_ms={0: 5}), *EXPECTED[1:]]
    queue_everything(folder / "outbox.db", "s", "sepray", told)
    assert delivery.deliver(100) == (9, None)
    assert outbox.rejected() == []
    found = read()
    assert {label: (run.info.status, run.info.end_time) for label, run in found.runs.items()} == {
        "": ("RUNNING", None),
        "0": ("FINISHED", 5),
        "1": ("FAILED", 7),
    }
    assert found.history("", "best") == [(0, 0.5, 5)]
    assert found.history("0", "l") == [(1, 0.5, 5), (2, 0.25, 5)]
    assert found.history("0", "extra") == [(2, 3.0, 5)]
    assert found.runs["1"].data.params == {"beta": "0.1"}


def test_what_waits_is_delivered_and_what_is_missing_is_added(folder, uri, outbox, delivery, read):
    outbox.put(RunKey("s"), "run", {"name": "study", "experiment": "sepray", "start": 1, "tags": {}})
    outbox.put(RunKey("s", "0"), "run", {"name": "trial 0", "start": 2, "tags": {"outcome": "running"}})
    delivery.deliver(100)
    outbox.put(RunKey("s", "0"), "log", {"metrics": [["l", 0.25, 2, 5]], "params": {"beta": "0.5"}})
    done = agree(folder, uri)
    assert done.delivered == 1
    assert done.created == ["1"]
    assert done.corrected == ["", "0"]
    # trials and outcome of the study, epoch 1 and outcome of trial 0; beta and epoch 1 of trial 1
    assert done.completed == 2 + 2 + 2
    check(read)
    assert nothing(agree(folder, uri))
    check(read)


def test_what_was_refused_for_want_of_a_run_is_delivered_once_the_run_exists(folder, uri, outbox, delivery, read):
    outbox.put(RunKey("s", "1"), "log", {"metrics": [["l", math.nan, 1, 6], ["extra", 1.0, 1, 6]]})
    outbox.put(RunKey("s", "1"), "log", {"metrics": [["b" * 300, 1.0, 1, 6]]})
    delivery.deliver(100)
    assert len(outbox.rejected()) == 2
    for _ in range(2):
        done = agree(folder, uri)
        assert [r.body for r in done.rejected] == [{"metrics": [["b" * 300, 1.0, 1, 6]]}]
        check(read)
        assert read().history("1", "extra") == [(1, 1.0, 6)]


def test_a_deleted_trial_stays_deleted_and_one_that_is_gone_is_made_again(folder, uri, client, read):
    agree(folder, uri)
    client.delete_run(read().runs["0"].info.run_id)
    done = agree(folder, uri)
    assert done.deleted == ["0"]
    assert nothing(done)
    assert read().labels == ["", "1"]
    client.delete_tag(read().runs["1"].info.run_id, "sepray.study")  # as good as gone: nothing finds it
    box = Outbox(folder / "outbox.db")
    box.forget_runs()
    box.close()
    assert agree(folder, uri).created == ["1"]


def test_runs_follow_what_is_expected_of_them(folder, uri, read):
    agree(folder, uri)
    longer = replace(EXPECTED[1], epochs={**EXPECTED[1].epochs, 3: {"l": 0.125}}, tags={"outcome": "pruned"})
    done = agree(folder, uri, [EXPECTED[0], longer, EXPECTED[2]])
    assert (done.created, done.corrected, done.completed) == ([], [], 2)
    assert read().history("0", "l") == [(1, 0.5, 5), (2, 0.25, 5), (3, 0.125, 5)]
    assert read().runs["0"].data.tags["outcome"] == "pruned"


def test_names_tags_and_data_are_added_and_what_a_user_changed_stays(folder, uri, client, read):
    """A study of an older version is like this, or one whose database was thrown away."""
    agree(folder, uri)
    data = {"name": "ecg", "digest": "abc", "source": "{}", "profile": "{}", "context": "training"}
    added = {"former_name": "trial 0", "inherited": {"mlflow.user": "me", "beta": "old"}, "dataset": data}
    wanted = [EXPECTED[0], replace(EXPECTED[1], name="000 · 0.25", **added), replace(EXPECTED[2], name="new", **added)]
    client.set_tag(read().runs["0"].info.run_id, "beta", "mine")
    client.update_run(read().runs["1"].info.run_id, name="my favourite")
    done = agree(folder, uri, wanted)
    assert done.completed == 1 + 1 + 1 + 2 + 1  # name, user and data of trial 0; user, beta and data of trial 1
    runs = read().runs
    assert [runs[label].info.run_name for label in ("", "0", "1")] == ["study", "000 · 0.25", "my favourite"]
    assert [runs[label].data.tags["mlflow.user"] for label in ("0", "1")] == ["me", "me"]
    assert [runs[label].data.tags["beta"] for label in ("0", "1")] == ["mine", "old"]
    assert [[d.dataset.digest for d in runs[label].inputs.dataset_inputs] for label in ("0", "1")] == [["abc"]] * 2
    assert nothing(agree(folder, uri, wanted))


def test_it_says_so_when_the_server_is_down_or_the_study_runs(folder, uri, outbox):
    with pytest.raises(UnreachableError, match=r"^MLflow at http://me:\*\*\*@127.0.0.1:9 does not take it: Connection"):
        agree(folder, "http://me:pw@127.0.0.1:9")
    with outbox.exclusive(), pytest.raises(BusyError, match="is the study running"):
        agree(folder, uri)


def test_the_experiment_is_the_one_that_is_asked_for(folder, uri, client):
    assert agree(folder, uri, experiment="lab").created == ["", "0", "1"]
    assert nothing(agree(folder, uri, experiment="lab"))
    (experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
    assert experiment.name == "lab"
    assert len(client.search_runs([experiment.experiment_id])) == 3


def test_an_epoch_without_a_time_has_that_of_the_end_or_else_of_the_start(folder, uri, read):
    ended = ExpectedRun("0", "trial 0", "FINISHED", 2, 5, epochs={1: {"l": 0.5}, 2: {"l": 0.25}}, times_ms={2: 4})
    running = ExpectedRun("1", "trial 1", "RUNNING", 3, epochs={1: {"l": 0.5}})
    agree(folder, uri, [EXPECTED[0], ended, running])
    assert sorted(read().history("0", "l")) == [(1, 0.5, 5), (2, 0.25, 4)]
    assert read().history("1", "l") == [(1, 0.5, 3)]
    assert read().runs["1"].info.status == "RUNNING"


def test_more_runs_than_a_page_of_the_search_are_all_known(folder, uri, client, monkeypatch):
    agree(folder, uri)
    search = type(client).search_runs
    monkeypatch.setattr(type(client), "search_runs", lambda self, *a, **k: search(self, *a, **k | {"max_results": 1}))
    assert nothing(agree(folder, uri))


def test_a_request_that_is_refused_is_told_in_one_line(folder, uri, monkeypatch):
    def refuse(*_, **__):
        raise import_mlflow().MlflowException.invalid_parameter_value("Invalid filter: token=hunter2")

    agree(folder, uri)
    monkeypatch.setattr("mlflow.MlflowClient.search_runs", refuse)
    with pytest.raises(UnreachableError, match=re.escape(f"MLflow at {uri} refuses it: Invalid filter: token=***")):
        agree(folder, uri)


def test_of_several_runs_of_a_trial_the_oldest_counts_where_the_outbox_knows_none(folder, uri, client, read):
    agree(folder, uri)
    first = read().runs["0"].info
    tags = {"sepray.study": "s", "sepray.trial": "0"}
    for start in (9000, 1):
        client.create_run(first.experiment_id, start_time=start, tags=tags)
    (folder / "outbox.db").unlink()
    agree(folder, uri)
    known = Outbox(folder / "outbox.db")
    chosen = client.get_run(known.run_ids("s")["0"]).info
    known.close()
    assert (chosen.start_time, first.start_time) == (1, 2)
