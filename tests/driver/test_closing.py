"""A study is left in one way, whatever ends it: runs are marked, Ray and the stores are closed."""

import contextlib
import signal

import pytest

from sepray.console import interruption
from sepray.driver import closing, driver
from sepray.driver.stores import StudyStores
from sepray.errors import StorageError, UsageError
from sepray.execution import cluster, private_ray
from sepray.spec.folder import lock
from sepray.tracking.outbox import OutboxError

from .conftest import DATA


def raising(error):
    def job():
        raise error

    return job


def called(tracker):
    return [name for name, _, _ in tracker.calls[-2:]]


@pytest.fixture
def opened(prepared, tracker, simulation, screen):
    return StudyStores(prepared)


def test_status_is_that_of_the_job(opened, tracker):
    assert closing.run_and_close("small", opened, lambda: 1) == 1
    assert not tracker.named("interrupted")
    lock(opened.folder, "small").close()  # it is free


@pytest.mark.parametrize("number", interruption.SIGNALS, ids=lambda number: number.name)
def test_signal_marks_runs_and_says_how_to_go_on(opened, tracker, simulation, screen, number):
    error = interruption.Interrupted(number)
    assert closing.run_and_close("small", opened, raising(error)) == 128 + number
    assert called(tracker) == ["interrupted", "close"]
    assert simulation.connections == ["end"]
    assert "small is interrupted; nothing is lost. The same command goes on" in screen.getvalue()


@pytest.mark.parametrize("error", [UsageError("no"), ValueError("a bug\nof two lines"), SystemExit(4)])
def test_error_marks_runs_and_is_raised_again(opened, tracker, simulation, error):
    with pytest.raises(type(error)):
        closing.run_and_close("small", opened, raising(error))
    assert called(tracker) == ["interrupted", "close"]
    [((note,), _)] = tracker.named("interrupted")
    assert note.startswith("Study `small` has stopped: ")
    assert "\n" not in note
    assert simulation.connections == ["end"]
    lock(opened.folder, "small").close()


def test_outbox_that_takes_nothing_hides_no_error(opened, tracker, monkeypatch):
    monkeypatch.setattr(opened.tracker, "interrupted", lambda note: raising(OutboxError("disk full"))(), raising=False)
    with pytest.raises(StorageError):
        closing.run_and_close("small", opened, raising(StorageError("the storage has failed")))
    assert tracker.calls[-1][0] == "close"


def test_ray_that_does_not_end_keeps_no_store_open(opened, tracker, screen, monkeypatch):
    monkeypatch.setattr(cluster, "disconnect", raising(RuntimeError("the raylet is gone")))
    assert closing.run_and_close("small", opened, lambda: 0) == 0
    assert tracker.calls[-1][0] == "close"
    assert "Ray has not ended as it should: the raylet is gone" in screen.getvalue()


def test_kept_ray_ends_with_the_block(screen, monkeypatch):
    ends = []

    def end():
        ends.append(private_ray._is_kept)
        raise RuntimeError("gone")

    monkeypatch.setattr(cluster, "end", end)
    with closing.one_ray():
        assert private_ray._is_kept
    assert (ends, private_ray._is_kept) == ([True], False)
    assert screen.getvalue().count("Ray has not ended as it should: gone") == 1


@pytest.mark.parametrize(
    ("job", "left"),
    [
        (lambda: 1, "disconnect"),
        (raising(interruption.Interrupted(signal.SIGTERM)), "end"),
        (raising(ValueError("a bug")), "end"),
    ],
)
def test_study_that_does_not_come_to_its_end_ends_a_kept_ray_too(opened, simulation, job, left):
    with contextlib.suppress(ValueError):
        closing.run_and_close("small", opened, job)
    assert simulation.connections == [left]


def test_handlers_are_installed_again_after_ray_has_ended(opened, monkeypatch):
    """Ray's end leaves SIGTERM to the system, and the stores are still to be closed."""
    monkeypatch.setattr(interruption, "_received", [])
    monkeypatch.setattr(cluster, "disconnect", lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    seen = []
    with interruption.installed():
        ours = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr(opened, "close", lambda: seen.append(signal.getsignal(signal.SIGTERM)) or 0)
        closing.run_and_close("small", opened, lambda: 0)
    assert seen == [ours]


def test_handlers_are_installed_again_after_ray_has_replaced_them(spec, simulation, tracker, screen, monkeypatch):
    seen = []

    class Kept:
        def __enter__(self):
            seen.append("kept")

        def __exit__(self, *error):
            seen.append(list(simulation.connections))

    monkeypatch.setattr(interruption, "installed_again", Kept)
    monkeypatch.setattr(driver, "load_task", lambda task, cache: DATA)
    monkeypatch.setattr(driver, "run_stage", lambda *given: raising(KeyboardInterrupt())())
    assert driver.run(spec) == 130
    assert seen[0] == "kept"
    assert len(seen[1]) == 1, "the connection was made meanwhile"
