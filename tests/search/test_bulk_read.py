"""The fast read of a study gives what Optuna's own gives."""

import datetime
import sqlite3
import time

import optuna
import pytest
from optuna.trial import TrialState

from sepray.search import bulk_read
from sepray.search.bulk_read import BulkReadStorage
from sepray.search.samplers import make_sampler
from sepray.search.storage import open_study

from .studies import SPACE, study_at


def test_the_fast_read_gives_what_optunas_own_gives(url):
    for name, directions in (("one", ["minimize"]), ("two", ["minimize", "maximize"])):
        study = open_study(url, name, directions, {}, make_sampler("random", 0, SPACE))
        for number in range(6):
            trial = study.ask(SPACE)
            trial.set_user_attr("nested", {"a": [number, None]})
            for step, seen in enumerate((0.5, float("inf"), float("-inf"), float("nan"))):
                study._storage.set_trial_intermediate_value(trial._trial_id, 3 - step, seen)
            trial.set_constraint("collapsed", -1.0)
            values = None if number == 1 else [float("inf"), 1.0 * number][: len(directions)]
            if number < 4:
                study.tell(trial, values, state=TrialState.COMPLETE if values else TrialState.FAIL)
        study.enqueue_trial({"alpha": 0.1})
    theirs = optuna.storages.RDBStorage(url)
    for name in ("one", "two"):
        study_id = theirs.get_study_id_from_name(name)
        ours = BulkReadStorage(url).get_all_trials(study_id)
        expected = theirs.get_all_trials(study_id)
        for trial in (*ours, *expected):
            trial.intermediate_values = dict(sorted(trial.intermediate_values.items()))
        assert repr(ours) == repr(expected)  # as text, for nan is not equal to itself
        assert [t.distributions for t in ours] == [t.distributions for t in expected]
        assert len(ours) == 7
        for trial in expected:
            one = BulkReadStorage(url).get_trial(trial._trial_id)
            one.intermediate_values = dict(sorted(one.intermediate_values.items()))
            assert repr(one) == repr(trial)
        some = BulkReadStorage(url)._get_trials(study_id, None, {expected[0]._trial_id, 99}, expected[4]._trial_id)
        assert [t.number for t in some] == [0, 5, 6]
        assert repr(some[0].params) == repr(expected[0].params)
        last = BulkReadStorage(url)._get_trials(study_id, None, set(), expected[-1]._trial_id)
        assert last == []


def test_attributes_of_a_study_are_those_that_optuna_reads(url):
    study = study_at(url)
    ours = BulkReadStorage(url)
    assert ours.get_study_user_attrs(study._study_id) == study.user_attrs
    study.set_user_attr("nested", {"a": [1, None]})
    assert ours.get_study_user_attrs(study._study_id)["nested"] == {"a": [1, None]}
    for read in (ours.get_study_user_attrs, ours.get_trial):
        with pytest.raises(KeyError):
            read(99)
    empty = ours.create_new_study([optuna.study.StudyDirection.MINIMIZE], "empty")
    assert ours.get_study_user_attrs(empty) == {}


def test_more_unfinished_trials_than_a_database_takes_parameters(url):
    study = study_at(url)
    kept = study.ask(SPACE)._trial_id
    many = BulkReadStorage(url)._get_trials(study._study_id, None, {kept, *range(10**6, 10**6 + 40_000)}, 2 * 10**6)
    assert [trial._trial_id for trial in many] == [kept]


def test_trial_that_ends_while_it_is_read_is_not_taken_for_one_without_values(url, monkeypatch):
    """A cache keeps what has ended as it is: so the state is read before what comes with it."""
    study = study_at(url)
    asked = study.ask(SPACE)
    reader = BulkReadStorage(url)
    queries = bulk_read._queries

    def ends_meanwhile(whole):
        monkeypatch.undo()
        study.tell(asked, 0.5)
        return queries(whole)

    monkeypatch.setattr(bulk_read, "_queries", ends_meanwhile)
    [found] = reader.get_all_trials(study._study_id)
    assert (found.state, found.values) == (TrialState.RUNNING, [0.5])
    assert reader.get_trial(asked._trial_id).values == [0.5]


@pytest.fixture
def time_zone(request, monkeypatch):
    """Sets the process's time zone, which a conversion to local time must use."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("time_zone", "hours"),
    [("UTC0", 0.0), ("EAST-5:30", 5.5), ("WEST+8", -8.0)],  # in POSIX's notation west counts as positive
    indirect=["time_zone"],
)
def test_times_are_local_ones_in_any_time_zone(url, tmp_path, time_zone, hours):
    study = study_at(url)
    study.tell(study.ask(), 1.0)
    study.ask()
    begun, ended = datetime.datetime(2025, 1, 15, 22, 40, 7), datetime.datetime(2025, 1, 16, 1, 2, 3)
    with sqlite3.connect(tmp_path / "optuna.db") as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(trials)")]
        start, complete = (
            next(c for c in columns if c.startswith(f"datetime_{what}")) for what in ("start", "complete")
        )
        query = f"UPDATE trials SET {start} = ?, {complete} = ? WHERE number = 0"
        connection.execute(query, (str(begun), str(ended)))
    connection.close()
    theirs, ours = optuna.storages.RDBStorage(url), BulkReadStorage(url)
    study_id = theirs.get_study_id_from_name("s")
    shift = datetime.timedelta(hours=hours)
    first, second = ours.get_all_trials(study_id)
    assert (first.datetime_start, first.datetime_complete) == (begun + shift, ended + shift)
    assert second.datetime_complete is None
    for mine, other in zip((first, second), theirs.get_all_trials(study_id), strict=True):
        assert (mine.datetime_start, mine.datetime_complete) == (other.datetime_start, other.datetime_complete)


def test_what_another_process_adds_later_is_read_too(url):
    """After the first read Optuna's cache asks for what is new or unfinished."""
    study = study_at(url)
    running = study.ask(SPACE)
    study.tell(study.ask(SPACE), 1.0)
    reader = open_study(url, "s", ["minimize"], {}, make_sampler("random", 0, SPACE))
    assert [trial.number for trial in reader.get_trials()] == [0, 1]
    study.tell(running, 0.5)
    study.ask(SPACE)
    trials = reader.get_trials()
    assert [(trial.number, trial.state.name, trial.values) for trial in trials] == [
        (0, "COMPLETE", [0.5]),
        (1, "COMPLETE", [1.0]),
        (2, "RUNNING", None),
    ]
    assert trials[2].params.keys() == SPACE.keys()


def test_trials_of_some_states_are_read_as_optuna_reads_them(url):
    study = study_at(url)
    study.tell(study.ask(SPACE), 1.0)
    study.ask(SPACE)
    ours = BulkReadStorage(url)
    study_id = ours.get_study_id_from_name("s")
    for state, numbers in ((TrialState.COMPLETE, [0]), (TrialState.RUNNING, [1]), (TrialState.FAIL, [])):
        assert [trial.number for trial in ours.get_all_trials(study_id, states=(state,))] == numbers


def test_study_without_trials_is_read(url):
    study = study_at(url)
    assert study.get_trials() == []
    assert BulkReadStorage(url).get_all_trials(study._study_id) == []
