import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from sepray.disk import files
from sepray.tracking.outbox import LARGEST_INLINE_TEXT, BusyError, KnownRun, Outbox, OutboxError, Rejected, RunKey

KEY = RunKey("s", "7")


@pytest.fixture
def box(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


def test_operations_come_back_in_order_and_leave_when_acknowledged(box):
    for i in range(5):
        box.put(RunKey("s", str(i % 2)), "log", {"i": i})
    taken = box.take(10)
    assert [(o.key.label, o.body["i"]) for o in taken] == [("0", 0), ("1", 1), ("0", 2), ("1", 3), ("0", 4)]
    box.acknowledge(taken[:2])
    assert [o.body["i"] for o in box.take(2)] == [2, 3]
    assert box.pending() == 3
    assert box.pending(RunKey("s", "0")) == 2


def test_what_was_put_survives_a_process_that_is_killed(tmp_path):
    script = (
        "import os, pathlib, signal, sys; from sepray.tracking.outbox import *;"
        "b = Outbox(pathlib.Path(sys.argv[1]));"
        "[b.put(RunKey('s', '1'), 'log', {'i': i}) for i in range(100)];"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path / "outbox.db")], timeout=50)
    assert died.returncode == -9
    box = Outbox(tmp_path / "outbox.db")
    assert [o.body["i"] for o in box.take(1000)] == list(range(100))
    box.close()


def test_what_is_put_once_is_put_once_whoever_puts_it_until_the_runs_are_forgotten(tmp_path):
    for value in (1.0, 2.0):  # a second process, which trained the epoch again at another time
        box = Outbox(tmp_path / "outbox.db")
        box.put_once(KEY, "log", {"value": value}, "epoch 3")
        box.put_once(RunKey("s", "8"), "log", {"value": value}, "epoch 3")
        box.close()
    box = Outbox(tmp_path / "outbox.db")
    taken = box.take(10)
    assert [(o.key.label, o.body["value"]) for o in taken] == [("7", 1.0), ("8", 1.0)]
    box.acknowledge(taken)
    box.put_once(KEY, "log", {"value": 3.0}, "epoch 3")
    assert box.pending() == 0
    box.forget_runs("s")
    box.put_once(KEY, "log", {"value": 4.0}, "epoch 3")
    assert [o.body["value"] for o in box.take(10)] == [4.0]
    box.close()


def test_a_refused_operation_is_kept_with_its_reason_and_can_be_queued_again(box):
    box.put(KEY, "log", {"a": 1})
    box.put(KEY, "log", {"a": 2})
    taken = box.take(10)
    box.acknowledge(taken, [Rejected(KEY, "log", {"a": 2}, "because")])
    assert box.pending() == 0
    assert box.rejected() == [Rejected(KEY, "log", {"a": 2}, "because")]
    assert box.retry_rejected() == 1
    assert box.rejected() == []
    assert [o.body for o in box.take(10)] == [{"a": 2}]


def test_a_copied_file_outlives_its_original_and_leaves_when_acknowledged(box, tmp_path):
    (tmp_path / "plot.txt").write_text("drawn")
    box.put_file(KEY, "figures/plot.txt", tmp_path / "plot.txt")
    (tmp_path / "plot.txt").unlink()
    (operation,) = box.take(10)
    copy = box.files / operation.body["file"]
    assert copy.read_text() == "drawn"
    box.acknowledge([operation])
    assert not copy.parent.exists()


def test_a_copy_that_is_not_appended_is_not_kept(box, tmp_path, monkeypatch):
    """On a full disk the operation is tried again each second."""
    (tmp_path / "plot.txt").write_text("drawn")

    def refuse(*_):
        raise OutboxError("the disk is full")

    monkeypatch.setattr(box, "put", refuse)
    for put, content in ((box.put_file, tmp_path / "plot.txt"), (box.put_text, "x" * (LARGEST_INLINE_TEXT + 1))):
        with pytest.raises(OutboxError):
            put(KEY, "a.txt", content)
    assert not list(box.files.iterdir())


def test_a_text_with_half_a_character_is_kept_with_its_code(box):
    box.put_text(KEY, "a.txt", "\udcff" * (LARGEST_INLINE_TEXT + 1))
    (operation,) = box.take(10)
    assert (box.files / operation.body["file"]).read_text().startswith("\\udcff\\udcff")


@pytest.mark.parametrize(("length", "files"), [(LARGEST_INLINE_TEXT, 0), (LARGEST_INLINE_TEXT + 1, 1)])
def test_a_long_text_lies_in_a_file_of_its_own_until_it_is_acknowledged(box, length, files):
    box.put_text(KEY, "deep/a.txt", "é" * length)
    (operation,) = box.take(10)
    written = [p for p in box.files.rglob("*") if p.is_file()] if box.files.exists() else []
    assert len(written) == files
    text = written[0].read_text(encoding="utf-8") if files else operation.body["text"]
    assert (operation.kind, operation.body["name"], text) == ("artifact", "deep/a.txt", "é" * length)
    box.acknowledge([operation])
    assert not [p for p in written if p.exists()]


def test_the_file_of_a_refused_artifact_stays(box, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    box.put_file(KEY, "a.txt", tmp_path / "a.txt")
    box.put_file(KEY, "b.txt", tmp_path / "a.txt")
    first, second = box.take(10)
    box.acknowledge([first, second], [Rejected(KEY, "artifact", second.body, "because")])
    assert [(box.files / o.body["file"]).exists() for o in (first, second)] == [False, True]


@pytest.mark.parametrize("damage", ["no database" * 100, None])
def test_an_outbox_that_cannot_be_opened_is_named(tmp_path, damage):
    path = tmp_path / "outbox.db"
    path.write_text(damage) if damage else path.mkdir()
    reason = "file is not a database" if damage else "unable to open database file"
    with pytest.raises(OutboxError) as error:
        Outbox(path)
    assert str(error.value).startswith(f"the outbox {path}: {reason} (")
    assert ("move it away; a new one is made" in str(error.value)) is bool(damage)


def test_a_disk_that_fills_up_is_the_users_and_a_closed_outbox_our_own_mistake(tmp_path):
    box = Outbox(tmp_path / "outbox.db")
    box._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(OutboxError, match=r"the outbox .*: database or disk is full"):
        box.put(KEY, "log", {"text": "x" * 1_000_000})
    box.close()
    with pytest.raises(sqlite3.ProgrammingError):
        box.put(KEY, "log", {})


def test_only_one_process_delivers(box):
    other = Outbox(box.path)
    with box.exclusive(), pytest.raises(BusyError, match="is the study running"), other.exclusive():
        pass
    with other.exclusive():
        pass
    other.close()


def test_run_ids_are_forgotten_when_the_address_changes(box):
    box.set_target("http://a")
    box.begin_creation(KEY)
    assert box.run(KEY).run_id is None
    box.save_run(KEY, "r1", "0", "RUNNING")
    box.set_target("http://a")
    assert box.run_ids("s") == {"7": "r1"}
    box.set_target("http://b")
    assert box.run(KEY) is None


@pytest.mark.parametrize(
    ("database", "is_known"),
    [("moved/mlflow.db", True), ("moved/deep/mlflow.db", False), ("mlflow.db", False)],
)
def test_database_that_was_moved_together_with_the_outbox_is_the_same(tmp_path, database, is_known):
    box = Outbox(tmp_path / "project/results/outbox.db")
    box.set_target(f"sqlite:///{tmp_path}/project/mlflow.db")
    box.put_once(RunKey("s", "0"), "log", {}, "epoch 1")
    box.save_run(RunKey("s"), "run", "0", "RUNNING")
    box.close()
    (tmp_path / "project").rename(tmp_path / "moved")
    moved = Outbox(tmp_path / "moved/results/outbox.db")
    moved.set_target(f"sqlite:///{tmp_path}/{database}")
    assert moved.run_ids("s") == ({"": "run"} if is_known else {})
    moved.put_once(RunKey("s", "0"), "log", {}, "epoch 1")
    assert moved.pending() == (1 if is_known else 2)
    moved.close()


def test_the_note_that_a_run_may_exist_is_on_disk(box):
    box.begin_creation(KEY)
    assert os.path.getsize(f"{box.path}-wal") > 0
    other = Outbox(box.path)
    assert other.run(KEY) == KnownRun(run_id=None, experiment_id=None, status=None)
    other.close()


def test_file_waits_for_writers_and_never_syncs_where_the_driver_appends(box):
    settings = {name: box._query(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "busy_timeout")}
    assert settings == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30_000}
    assert box._query("PRAGMA wal_autocheckpoint") == [(0,)]
    box.put(KEY, "log", {"text": "x" * 100_000})
    before = box.path.stat().st_size
    box.checkpoint()
    assert box.path.stat().st_size > before + 90_000


def test_folder_of_the_outbox_is_made(tmp_path):
    for _ in range(2):
        box = Outbox(tmp_path / "a" / "b" / "outbox.db")
        box.put(KEY, "log", {})
        box.close()
    assert not (tmp_path / "a" / "b" / "outbox.db.files").exists()  # made for the first file


def test_outbox_may_be_used_from_other_threads(box):
    threads = [threading.Thread(target=box.put, args=(KEY, "log", {"i": i})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(o.body["i"] for o in box.take(100)) == list(range(20))


def test_change_that_fails_is_undone_as_a_whole(box):
    with pytest.raises(TypeError, match="not JSON serializable"):
        box.put_once(KEY, "log", {"value": object()}, "epoch 3")
    box.put_once(KEY, "log", {"value": 1}, "epoch 3")
    assert [o.body for o in box.take(10)] == [{"value": 1}]


def test_runs_of_one_study_or_of_all_are_forgotten(box):
    for study in ("s", "t", "u"):
        box.save_run(RunKey(study, "1"), f"run of {study}", "0", "RUNNING")
        box.put_once(RunKey(study, "1"), "log", {"first": study}, "epoch 1")
    box.forget_runs("s")
    assert [box.run_ids(study) for study in ("s", "t")] == [{}, {"1": "run of t"}]
    for study in ("s", "t", "u"):
        box.put_once(RunKey(study, "1"), "log", {"again": study}, "epoch 1")
    assert [o.body for o in box.take(10)][3:] == [{"again": "s"}]
    box.forget_runs()
    assert [box.run_ids(study) for study in ("s", "t", "u")] == [{}, {}, {}]


def test_runs_without_an_id_are_begun_and_not_known(box):
    box.begin_creation(KEY)
    box.begin_creation(KEY)
    assert box.run_ids("s") == {}
    box.save_run(KEY, "r1", "4", "FINISHED")
    box.begin_creation(KEY)  # changes nothing of a run that is known
    assert box.run(KEY) == KnownRun("r1", "4", "FINISHED")
    assert box.run(RunKey("t", "7")) is None


class Clock:
    """Goes on where somebody sleeps."""

    def __init__(self):
        self.now = 5.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("timeout", [0.0, 1.0])
def test_another_process_that_delivers_is_waited_for_so_long(box, monkeypatch, timeout):
    other, clock = Outbox(box.path), Clock()
    monkeypatch.setattr(files, "time", clock)
    with box.exclusive(), pytest.raises(BusyError, match="another process delivers from "), other.exclusive(timeout):
        pass
    assert timeout <= clock.now - 5.0 <= timeout + 0.1
    other.close()


def test_trigger_or_pipe_in_an_outbox_that_a_group_writes_to_is_refused(tmp_path):
    path = tmp_path / "outbox.db"
    Outbox(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON operations BEGIN DELETE FROM operations; END")
        connection.commit()
    with pytest.raises(OutboxError, match=r"outbox\.db has a trigger in the place of, or on, the table operations, "):
        Outbox(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OutboxError, match=r"outbox\.db is no file of a database"):
        Outbox(path)
