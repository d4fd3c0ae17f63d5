"""The thread that calls the storage: order, repetition, and the end of patience."""

import threading

import optuna
import pytest
import sqlalchemy.exc

from sepray.errors import StorageError
from sepray.search import background
from sepray.search.background import BackgroundThread

from ..simulation import Controller
from .studies import SPACE, fail_at, report, result_of, searcher_of, states, study_at, take, value


@pytest.mark.parametrize("after", [False, True])
def test_a_storage_that_fails_now_and_then_loses_nothing(url, monkeypatch, after):
    study = study_at(url)
    fail_at(study, monkeypatch, "create_new_trial", {1, 3}, after)
    fail_at(study, monkeypatch, "set_trial_param", {2, 5, 6}, after)
    fail_at(study, monkeypatch, "set_trial_intermediate_value", {1, 2, 9}, after)
    fail_at(study, monkeypatch, "set_trial_user_attr", {1, 4, 7}, after)
    fail_at(study, monkeypatch, "set_trial_state_values", {1, 3}, after)
    searcher = searcher_of(study, trials=4)
    Controller(searcher, report).run()
    searcher.close()
    assert states(study) == {"COMPLETE": 4}
    for trial in study.get_trials():
        assert trial.intermediate_values == {e: value(trial.number, e) for e in (1, 2, 3, 4)}
        assert trial.params.keys() == SPACE.keys()


def test_a_storage_that_stays_away_ends_the_study_in_one_line(url, monkeypatch):
    study = study_at(url)
    searcher = searcher_of(study, trials=4, patience=0.2)
    take(searcher, "0")
    fail_at(study, monkeypatch, "set_trial_intermediate_value", range(1, 1000))
    searcher.on_trial_result("0", result_of(0, 1))
    searcher._background._thread.join(10)
    expected = (
        "the storage has failed for 0.2 s, so the study stops: database is locked (it is locked by another program, "
        "such as a backup or an open shell; end that first); the same command goes on once it works again"
    )
    for call in (lambda: searcher.suggest("1"), searcher.close, searcher.flush):
        with pytest.raises(StorageError) as failure:
            call()
        assert str(failure.value) == expected
    searcher.on_trial_complete("0", result_of(0, 2))  # Tune must be able to clean up


# -- the thread alone ------------------------------------------------------------------------------------------------


class Clock:
    """Goes on where somebody sleeps, and only then."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    goes = Clock()
    monkeypatch.setattr(background, "time", goes)
    return goes


def idle_thread(patience=120.0):
    thread = BackgroundThread(lambda: None, lambda: False, patience)
    thread.start()
    return thread


class Flaky:
    """An operation that fails ``times`` times."""

    def __init__(self, times, error=None):
        self.times, self.calls = times, 0
        self.error = error or sqlalchemy.exc.OperationalError("INSERT", {}, Exception("database is locked"))

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error


def test_pauses_double_up_to_five_seconds_until_patience_is_at_its_end(clock):
    """The first seven pauses take 6.35 s; 22 of 5 s follow, and after 116.35 s another one would exceed 120 s."""
    thread, operation = idle_thread(), Flaky(1000)
    thread.put(operation)
    thread._thread.join()
    assert clock.pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2] + [5.0] * 22)
    assert operation.calls == 30
    with pytest.raises(
        StorageError, match=r"the storage has failed for 120 s, .*: database is locked \(.*\); the same command"
    ):
        thread.raise_error()


def test_every_operation_has_the_whole_patience_and_begins_with_short_pauses(clock):
    thread, operations = idle_thread(patience=1.0), [Flaky(3), Flaky(2), Flaky(4)]
    for operation in operations:
        thread.put(operation)
    thread.close()
    thread.raise_error()
    assert [operation.calls for operation in operations] == [4, 3, 5]
    assert clock.pauses == pytest.approx([0.05, 0.1, 0.2, 0.05, 0.1, 0.05, 0.1, 0.2, 0.4])


def test_without_patience_nothing_is_repeated(clock):
    thread, operation = idle_thread(patience=0.0), Flaky(1)
    thread.put(operation)
    thread.close()
    assert (operation.calls, clock.pauses) == (1, [])
    with pytest.raises(StorageError):
        thread.raise_error()


@pytest.mark.parametrize(
    "error",
    [
        sqlalchemy.exc.InterfaceError("SELECT", {}, Exception("gone")),
        optuna.exceptions.StorageInternalError(),
        OSError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failures_of_the_storage_are_repeated(clock, error):
    thread, operation = idle_thread(), Flaky(2, error)
    thread.put(operation)
    thread.close()
    thread.raise_error()
    assert operation.calls == 3


def test_bug_is_not_repeated_and_is_raised_as_it_is(clock):
    thread, operation, later = idle_thread(), Flaky(1, KeyError("width")), Flaky(0)
    thread.put(operation)
    thread.put(later)
    thread._thread.join()
    with pytest.raises(KeyError, match="width"):
        thread.raise_error()
    assert (operation.calls, later.calls, clock.pauses) == (1, 0, [])


def test_password_in_a_failure_is_not_shown(clock):
    error = sqlalchemy.exc.OperationalError("SELECT", {}, Exception("no route to postgresql://anna:secret@host/db"))
    thread = idle_thread(patience=0.0)
    thread.put(Flaky(1, error))
    thread.close()
    with pytest.raises(StorageError) as failure:
        thread.raise_error()
    assert "no route to" in str(failure.value)
    assert "secret" not in str(failure.value)


def test_operations_are_performed_in_order_and_before_any_refill():
    done, ready = [], []
    entered, gate = threading.Event(), threading.Event()

    def refill():
        entered.set()
        assert gate.wait(30)
        ready.append(len(done))

    thread = BackgroundThread(refill, lambda: len(ready) < 2, 1.0)
    thread.start()
    assert entered.wait(30)  # the first refill is under way, when three operations are queued
    for number in (1, 2, 3):
        thread.put(lambda number=number: done.append(number))
    assert not thread.flush(0.01)
    gate.set()
    assert thread.flush(30)
    assert done == [1, 2, 3]
    assert thread.wait(lambda: len(ready) == 2, 30)
    assert ready == [0, 3]
    thread.close()


def test_close_performs_what_is_queued_and_refills_no_more():
    done, entered, gate = [], threading.Event(), threading.Event()
    thread = BackgroundThread(lambda: done.append("refill"), lambda: gate.is_set(), 1.0)
    thread.start()

    def slow():
        entered.set()
        assert gate.wait(30)
        done.append("slow")

    thread.put(slow)
    thread.put(lambda: done.append("last"))
    assert entered.wait(30)
    closing = threading.Thread(target=thread.close)
    closing.start()
    with thread.changed:
        assert thread.changed.wait_for(lambda: thread._closing, 30)
    gate.set()
    closing.join()
    assert done == ["slow", "last"]


def test_nobody_waits_for_a_thread_that_an_error_has_ended(clock):
    thread = idle_thread(patience=0.0)
    thread.put(Flaky(1))
    assert not thread.wait(lambda: False, None)
    assert not thread.flush(None), "what failed is still queued"
