"""Digests of tensors and files, and who may have noted them."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.data import digests
from sepray.data.cache import cached, content_hash, file_digest, item_digests
from sepray.errors import UsageError


def test_content_hash_is_of_names_types_shapes_bytes_and_facts() -> None:
    ramp, count = torch.arange(6.0), torch.tensor(7)
    base = content_hash({"ramp": ramp, "count": count}, {"rate": 1})
    assert base == content_hash({"count": count, "ramp": torch.arange(12.0)[:6].clone()}, {"rate": 1})
    nudged = ramp.clone()
    nudged[5] = torch.nextafter(nudged[5], torch.tensor(9.0))
    others = [
        content_hash({"ramp": ramp, "count": count}, {"rate": 2}),
        content_hash({"ramp": ramp, "counts": count}, {"rate": 1}),
        content_hash({"ramp": ramp.reshape(2, 3), "count": count}, {"rate": 1}),
        content_hash({"ramp": ramp.view(torch.int32), "count": count}, {"rate": 1}),
        content_hash({"ramp": nudged, "count": count}, {"rate": 1}),
        content_hash({"ramp": ramp}, {"rate": 1}),
    ]
    assert len({base, *others}) == 7


def test_content_hash_does_not_depend_on_strides() -> None:
    grid = torch.arange(6.0).reshape(2, 3)
    assert content_hash({"grid": grid.T}) == content_hash({"grid": grid.T.contiguous()})
    assert json.dumps(content_hash({})) == f'"{content_hash({}, None)}"'


def test_digest_of_a_file_is_remembered_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    os.utime(file, (1e9, 1e9))
    first = file_digest(tmp_path / "cache", file)
    assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of abc, FIPS 180
    with monkeypatch.context() as patch:
        patch.setattr(digests.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
        assert file_digest(tmp_path / "cache", file) == first
    file.write_bytes(b"abd")
    assert file_digest(tmp_path / "cache", file) != first


def test_digest_of_a_file_that_may_still_change_is_not_remembered(tmp_path: Path) -> None:
    file, now = tmp_path / "file", time.time_ns()
    for text in ("abc", "abd"):  # two contents of one size, written within one tick of a coarse clock
        file.write_text(text)
        os.utime(file, ns=(now, now))
        expected = hashlib.sha256(text.encode()).hexdigest()
        assert file_digest(tmp_path / "cache", file) == expected


@pytest.mark.parametrize(("age", "is_noted"), [(2_000_000_000, False), (2_000_000_001, True)])
def test_digest_is_noted_two_seconds_after_the_last_change(tmp_path, monkeypatch, age, is_noted):
    """Before, the file could change again under the same time stamp."""
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    os.utime(file, ns=(10**18, 10**18))
    monkeypatch.setattr(digests.time, "time_ns", lambda: 10**18 + age)
    file_digest(tmp_path / "cache", file)
    assert (tmp_path / "cache" / "digests").exists() is is_noted


@pytest.mark.parametrize("length", [0, 63, 65])
def test_note_of_another_length_is_no_digest(tmp_path, length):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    os.utime(file, (1e9, 1e9))
    first = file_digest(tmp_path / "cache", file)
    [note] = (tmp_path / "cache" / "digests").iterdir()
    assert note.stat().st_mode & 0o777 == 0o644 & ~_umask()
    note.write_text("0" * length)
    assert file_digest(tmp_path / "cache", file) == first
    note.write_text("0" * 64)
    assert file_digest(tmp_path / "cache", file) == "0" * 64  # this user's own is believed


def _umask() -> int:
    """Return the rights that this process gives to nobody."""
    os.umask(own := os.umask(0))
    return own


def test_note_of_a_digest_that_another_user_has_written_is_not_believed(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    os.utime(file, (1e9, 1e9))
    first = file_digest(tmp_path / "cache", file)
    [note] = (tmp_path / "cache" / "digests").iterdir()
    note.write_text("0" * 64)
    note.chmod(0o664)
    for _ in range(2):
        assert file_digest(tmp_path / "cache", file) == first
    assert note.read_text() == "0" * 64
    assert note.with_name(f"{note.name}-{os.geteuid()}").read_text() == first
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert file_digest(tmp_path / "cache", file) == first


def test_item_digests_are_of_the_bytes() -> None:
    items = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    expected = [hashlib.sha256(np.array(row, np.float32).tobytes()).hexdigest() for row in ([1, 2], [3, 4])]
    assert list(item_digests(items)) == expected


def test_array_of_numpy_is_refused_by_the_name_of_the_tensor(tmp_path: Path) -> None:
    array: object = np.zeros((2, 3), np.float32)
    told = r"must be a torch tensor \(torch.from_numpy makes one\), is numpy.ndarray float32 \[2, 3\]$"
    with pytest.raises(UsageError, match=rf"^train.sources {told}"):
        content_hash({"train/sources": array})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match=rf"^each item {told}"):
        item_digests([array])  # type: ignore[list-item]
    with pytest.raises(UsageError, match=rf"^ramp {told}"):
        cached(tmp_path, "ramps", {}, lambda: {"ramp": array})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_pipe_at_the_name_of_a_noted_digest_is_not_waited_for(tmp_path, make):
    file = tmp_path / "recording"
    file.write_text("3")
    os.utime(file, (1, 1))
    digest = file_digest(tmp_path, file)
    [note] = (tmp_path / "digests").iterdir()
    note.unlink()
    make(note)
    note.chmod(0o777)  # as another user's
    assert file_digest(tmp_path, file) == digest
