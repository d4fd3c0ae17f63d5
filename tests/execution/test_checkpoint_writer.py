"""The thread that writes checkpoints: when one is due, whose failure a failure is, what is on the disk after a wait."""

import threading
from types import SimpleNamespace

import pytest
import torch

from sepray.execution import checkpoint, checkpoint_writer
from sepray.execution.checkpoint_writer import CheckpointWriter

TENSORS = {"weight": torch.arange(3.0)}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is set."""
    stands = SimpleNamespace(now=100.0)
    stands.monotonic = lambda: stands.now
    monkeypatch.setattr(checkpoint_writer, "time", stands)
    return stands


@pytest.fixture
def writer(clock):
    made = CheckpointWriter(2.5)
    yield made
    made.close()


class Gate:
    """Stands for ``checkpoint.save``: writes once it is opened."""

    def __init__(self, monkeypatch):
        self.entered, self.open = threading.Event(), threading.Event()
        self._save = checkpoint.save
        monkeypatch.setattr(checkpoint, "save", self)

    def __call__(self, *arguments):
        self.entered.set()
        assert self.open.wait(30)
        return self._save(*arguments)


def test_what_is_written_is_what_was_given(writer, tmp_path):
    writer.write(str(tmp_path), 7, TENSORS, {"history": [{}, {}]})
    writer.wait()
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    assert (saved.epoch, saved.metadata) == (7, {"history": [{}, {}]})
    assert torch.equal(saved.tensors["weight"], TENSORS["weight"])


def test_due_again_after_the_interval_from_the_start_of_the_last_write(writer, clock, tmp_path):
    due = []
    for clock.now in (100.0, 102.4, 102.5):
        due.append(writer.is_due())
    writer.write(str(tmp_path), 1, TENSORS, {})
    writer.wait()
    for clock.now in (102.5, 104.9, 105.0):
        due.append(writer.is_due())
    assert due == [False, False, True, False, False, True]


def test_interval_is_counted_anew_for_another_trial(writer, clock):
    clock.now = 110.0
    writer.restart_interval()
    clock.now = 112.0
    assert not writer.is_due()


def test_not_due_while_a_checkpoint_is_being_written(clock, monkeypatch, tmp_path):
    gate, writer = Gate(monkeypatch), CheckpointWriter(0.0)
    assert writer.is_due()
    writer.write(str(tmp_path), 1, TENSORS, {})
    assert gate.entered.wait(30)  # write() has returned, and the checkpoint is not there yet
    assert not writer.is_due()
    assert list(tmp_path.iterdir()) == []
    gate.open.set()
    writer.wait()
    assert writer.is_due()
    assert len(list(tmp_path.iterdir())) == 1
    writer.close()


def test_writes_are_one_after_another_and_in_order(writer, tmp_path):
    for epoch in (1, 2, 3):
        writer.write(str(tmp_path), epoch, TENSORS, {})
    writer.close()
    assert sorted(path.name[:12] for path in tmp_path.iterdir()) == ["epoch-000002", "epoch-000003"]


def test_failure_is_raised_once_by_whoever_waits_next(writer, tmp_path):
    (tmp_path / "file").write_text("a file where the folder should be")
    for wait in (writer.wait, lambda: writer.write(str(tmp_path / "good"), 2, TENSORS, {})):
        writer.write(str(tmp_path / "file"), 1, TENSORS, {})
        with pytest.raises(OSError, match="file"):
            wait()
        writer.wait()
    assert not (tmp_path / "good").exists()


def test_failure_can_be_taken_without_being_raised(writer, tmp_path):
    assert writer.wait_for_error() is None
    (tmp_path / "file").write_text("a file where the folder should be")
    writer.write(str(tmp_path / "file"), 1, TENSORS, {})
    assert isinstance(writer.wait_for_error(), OSError)
    assert writer.wait_for_error() is None
