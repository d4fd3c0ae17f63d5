"""Operations that the outbox cannot take wait in memory, in order."""

import sqlite3

import pytest

from sepray.tracking import buffer as module
from sepray.tracking.buffer import Buffer
from sepray.tracking.outbox import Outbox, OutboxError, RunKey
from sepray.tracking.tracker import Tracker


class Disk:
    """Takes numbers while it is not full."""

    def __init__(self):
        self.full, self.taken, self.attempts = False, [], 0

    def put(self, number):
        def operation():
            self.attempts += 1
            if self.full:
                raise OutboxError("the outbox box.db: database or disk is full")
            self.taken.append(number)

        return operation


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    stands = Clock()
    monkeypatch.setattr(module, "time", stands)
    return stands


def test_operations_wait_in_order_and_are_tried_again_after_a_moment(clock):
    told, disk = [], Disk()
    buffer = Buffer(told.append)
    buffer.perform(disk.put(1))
    disk.full = True
    for number in (2, 3, 4):
        buffer.perform(disk.put(number))
    assert (disk.taken, disk.attempts, len(buffer)) == ([1], 2, 3)  # not with every one while the disk is full
    clock.now += module.RETRY_SECONDS
    buffer.perform(disk.put(5))
    assert (disk.attempts, len(buffer)) == (3, 4)
    disk.full = False
    assert buffer.empty() == 0
    assert disk.taken == [1, 2, 3, 4, 5]
    assert told == ["the outbox box.db: database or disk is full"]


def test_mistake_of_ours_is_raised(clock):
    def mistake():
        raise KeyError("x")

    buffer, done = Buffer(print), []
    with pytest.raises(KeyError):
        buffer.perform(mistake)
    buffer.perform(lambda: done.append(1))  # which it does not block
    assert (done, len(buffer)) == ([1], 0)


def test_file_that_is_replaced_while_it_waits_blocks_nothing(tmp_path, clock):
    (tmp_path / "figure.svg").write_text("drawn")
    box, key = Outbox(tmp_path / "box.db"), RunKey("s")
    buffer, whole = Buffer(print), box._database
    box._database = Full(whole)
    buffer.perform(lambda: box.put(key, "name", {"name": "a"}))
    buffer.perform(lambda: box.put_file(key, "figure.svg", tmp_path / "figure.svg"))
    buffer.perform(lambda: box.put(key, "name", {"name": "b"}))
    (tmp_path / "figure.svg").unlink()
    box._database = whole
    assert buffer.empty() == 0
    assert [operation.body for operation in box.take(9)] == [{"name": "a"}, {"name": "b"}]
    assert not box.files.exists()


def test_tracker_whose_disk_is_full_raises_nothing_and_tells_all_later(tmp_path, monkeypatch):
    monkeypatch.setattr("sepray.tracking.tracker.Sender", Quiet)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    told = []
    tracker = Tracker(tmp_path / "box.db", "s", uri="http://host", on_outbox_trouble=told.append)
    execute = tracker.outbox._database
    tracker.outbox._database = Full(execute)
    (tmp_path / "report.html").write_text("page")
    tracker.open_study("study", {"a": 1}, {})
    tracker.trial_started(0, "first", {}, {})
    tracker.trial_epoch(0, {"m": 1.0}, 1, 5)
    tracker.log_file(0, "report.html", tmp_path / "report.html")
    tracker.study_metrics({"m": 1.0}, 0, 5, known=True)
    assert tracker.pending() == 6
    assert len(told) == 1
    assert "disk is full" in told[0]
    tracker.outbox._database = execute
    tracker.trial_finished(0, "FINISHED")
    assert [o.kind for o in tracker.outbox.take(99)] == ["run", "log", "run", "log", "artifact", "log", "status"]
    assert tracker.close() == 7


class Quiet:
    """A sender that delivers nothing."""

    def __init__(self, *_, **__):
        pass

    def send(self, command):
        pass

    wait = send


class Full:
    """A connection whose disk is full for whatever writes."""

    def __init__(self, connection):
        self._connection = connection

    def execute(self, statement, *given):
        if statement.startswith(("INSERT", "BEGIN")):
            raise module.OutboxError("the outbox box.db: database or disk is full")
        return self._connection.execute(statement, *given)

    def close(self):
        self._connection.close()


def test_commit_that_fails_leaves_no_transaction_open(tmp_path):
    box = Outbox(tmp_path / "box.db")
    connection = box._database

    class FailsOnce:
        failed = False

        def execute(self, statement, *given):
            if statement == "COMMIT" and not self.failed:
                self.failed = True
                raise sqlite3.OperationalError("database or disk is full")
            return connection.execute(statement, *given)

    box._database = FailsOnce()
    with pytest.raises(OutboxError, match="disk is full"):
        box.put_once(RunKey("s"), "log", {}, "epoch 1")
    box.put_once(RunKey("s"), "log", {}, "epoch 1")
    box._database = connection
    assert box.pending() == 1
    box.close()
