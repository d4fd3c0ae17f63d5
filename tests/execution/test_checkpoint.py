"""Checkpoints survive damage, keep few files, and give back what was put in."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
import torch
from pyarrow import fs

from sepray.execution import checkpoint

STRANGE = [{"number": "3"}, {"history": 1}, {"history": [1]}, {"members": {}}, {"seconds": "x"}, {"identity": 1}]


def with_header(header: bytes) -> bytes:
    """A file of safetensors without tensors, whose header may be none."""
    return len(header).to_bytes(8, "little") + header


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3), value), "step": torch.tensor(7), "half": torch.ones(2, dtype=torch.bfloat16)}


@pytest.fixture(params=["path", "uri"])
def folder(request, tmp_path):
    return str(tmp_path / "c") if request.param == "path" else f"file://{tmp_path}/c"


def test_returns_the_newest_as_it_was_saved(folder):
    assert checkpoint.newest(folder) is None
    checkpoint.save(folder, 3, tensors(1.5), {"history": [{}, {}], "note": "ü"})
    checkpoint.save(folder, 12, tensors(-2.0), {"history": [{}, {}, {}]})
    saved = checkpoint.newest(folder)
    assert saved is not None
    assert saved.epoch == 12
    assert saved.metadata == {"history": [{}, {}, {}]}
    for name, expected in tensors(-2.0).items():
        assert torch.equal(saved.tensors[name], expected)


def test_uri_is_the_folder_of_its_path(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    name = checkpoint.save(f"file://{tmp_path}/c/", 1, tensors(1.0), {})
    assert [path.name for path in (tmp_path / "c").iterdir()] == [name]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    saved = checkpoint.newest(str(tmp_path / "c"))
    assert saved is not None
    assert saved.epoch == 1


def test_relative_path_is_a_folder_of_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = checkpoint.save("runs/c", 1, tensors(1.0), {})
    assert [path.name for path in (tmp_path / "runs" / "c").iterdir()] == [name]


def test_file_system_that_is_not_the_local_one_gets_and_gives_the_same(tmp_path, monkeypatch):
    """``SubTreeFileSystem`` stands for an object store."""
    (tmp_path / "bucket").mkdir()
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(checkpoint, "open_location", lambda folder: (store, folder.removeprefix("s3://")))
    for epoch in (1, 2, 3):
        name = checkpoint.save("s3://bucket", epoch, tensors(float(epoch)), {"epoch": epoch})
    assert name in os.listdir(tmp_path / "bucket")
    assert len(os.listdir(tmp_path / "bucket")) == 2
    saved = checkpoint.newest("s3://bucket")
    assert saved is not None
    assert (saved.epoch, saved.metadata) == (3, {"epoch": 3})


@pytest.mark.parametrize("later", [0, 1])
def test_of_two_checkpoints_of_one_epoch_the_one_written_later_is_the_newest(tmp_path, later):
    """After a trial went back, say. Names end in a digest, so both orders are tried: one of them is not the names'."""
    names = [checkpoint.save(str(tmp_path), 5, tensors(value), {}) for value in (1.0, 2.0)]
    for index, name in enumerate(names):
        os.utime(tmp_path / name, (1000 + (index == later), 1000 + (index == later)))
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    assert saved.tensors["weight"][0, 0].item() == (1.0, 2.0)[later]
    checkpoint.save(str(tmp_path), 6, tensors(3.0), {})
    assert names[later] in os.listdir(tmp_path), "the older of the two is the one to go"
    assert names[1 - later] not in os.listdir(tmp_path)


def test_epoch_counts_before_the_time_of_writing(tmp_path):
    name = checkpoint.save(str(tmp_path), 7, tensors(7.0), {})
    os.utime(tmp_path / name, (1000, 1000))
    checkpoint.save(str(tmp_path), 6, tensors(6.0), {})
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    assert saved.epoch == 7


def test_epochs_are_compared_as_numbers(tmp_path):
    for epoch in (999_999, 1_000_000):
        checkpoint.save(str(tmp_path), epoch, tensors(1.0), {})
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    assert saved.epoch == 1_000_000


def test_file_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_old_one_goes(tmp_path, monkeypatch):
    checkpoint.save(str(tmp_path), 1, tensors(1.0), {}, keep=1)
    [old] = os.listdir(tmp_path)
    events = []
    sync, rename = os.fsync, os.replace

    def synced(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(source, target, **options):
        events.append("rename")
        assert Path(target).parent == tmp_path
        assert old in os.listdir(tmp_path)
        rename(source, target, **options)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    name = checkpoint.save(str(tmp_path), 2, tensors(2.0), {}, keep=1)
    assert events == ["file", "rename", "folder"]
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_keeps_as_many_as_asked_for_and_always_the_one_just_written(tmp_path, keep):
    for epoch in (5, 6, 7, 8):
        checkpoint.save(str(tmp_path), epoch, tensors(1.0), {}, keep=keep)
    name = checkpoint.save(str(tmp_path), 1, tensors(1.0), {}, keep=keep)
    kept = sorted(int(n.split("-")[1]) for n in os.listdir(tmp_path))
    assert kept == [1, *range(9 - keep, 9)]
    assert name in os.listdir(tmp_path)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_one_is_skipped_for_the_one_before(tmp_path, damage):
    checkpoint.save(str(tmp_path), 1, tensors(1.0), {})
    path = tmp_path / checkpoint.save(str(tmp_path), 2, tensors(2.0), {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"truncate": bytes(content[:-9]), "flip": bytes(content), "empty": b""}[damage])
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    assert (saved.epoch, saved.tensors["weight"][0, 0].item()) == (1, 1.0)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", *map(with_header, (b"{", b"[]", b"[" * 10**5, b"\xff")), (2**62).to_bytes(8, "little") + b"{"]
    + [with_header(json.dumps({"__metadata__": {"json": text}}).encode()) for text in ("[]", "[" * 10**5, "{")]
    + [with_header(json.dumps({"__metadata__": {"json": json.dumps(of)}}).encode()) for of in STRANGE],
)
def test_one_that_sepray_has_not_written_is_skipped_whatever_its_digest(tmp_path, content):
    """Whoever may write to the folder or bucket can put a file there, and give it the name of its content."""
    checkpoint.save(str(tmp_path), 1, tensors(1.0), {})
    (tmp_path / f"epoch-000002-{hashlib.sha256(content).hexdigest()[:16]}.safetensors").write_bytes(content)
    saved = checkpoint.newest(str(tmp_path), checkpoint.of_trial(3, 4))
    assert saved is not None
    assert saved.epoch == 1


def test_what_is_no_file_is_skipped_and_not_waited_for(tmp_path):
    name = "epoch-{:06d}-0000000000000000.safetensors"
    checkpoint.save(str(tmp_path), 1, tensors(1.0), {})
    os.mkfifo(tmp_path / name.format(2))
    (tmp_path / name.format(3)).symlink_to("/dev/zero")
    (tmp_path / name.format(4)).mkdir()
    with pytest.raises(OSError, match="it is no file"):
        checkpoint._read(fs.LocalFileSystem(), str(tmp_path / name.format(2)))
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    assert saved.epoch == 1
    assert checkpoint.tensor_bytes(str(tmp_path)) == 36


def test_keeps_two_and_leaves_nothing_half_written(tmp_path):
    (tmp_path / ".epoch-000009-0000000000000000.safetensors.1").write_bytes(b"torn")
    for epoch in range(1, 6):
        checkpoint.save(str(tmp_path), epoch, tensors(float(epoch)), {})
    kept = sorted(n for n in os.listdir(tmp_path) if not n.startswith("."))
    assert [int(n.split("-")[1]) for n in kept] == [4, 5]


def test_tensors_are_counted_and_dropped_and_the_metadata_stays(folder, tmp_path):
    assert checkpoint.tensor_bytes(folder) == 0
    checkpoint.keep_metadata(folder)
    assert not (tmp_path / "c").exists()
    size = 6 * 4 + 8 + 2 * 2  # of tensors(): float32, int64, bfloat16
    checkpoint.save(folder, 3, tensors(1.5), {"history": [{}], "members": [{}]})
    assert checkpoint.tensor_bytes(folder) == size
    checkpoint.save(folder, 12, tensors(2.5), {"history": [{}, {}], "members": [{}], "number": 7})
    assert checkpoint.tensor_bytes(folder) == 2 * size
    checkpoint.keep_metadata(folder, without=("members", "absent"))
    assert checkpoint.tensor_bytes(folder) == 0
    saved = checkpoint.newest(folder)
    assert (saved.epoch, saved.tensors, saved.metadata) == (12, {}, {"history": [{}, {}], "number": 7})
    [left] = (tmp_path / "c").iterdir()
    checkpoint.keep_metadata(folder)  # again, as after a kill
    assert list((tmp_path / "c").iterdir()) == [left]


def test_damaged_checkpoints_alone_are_left_as_they_are(folder, tmp_path):
    name = checkpoint.save(folder, 3, tensors(1.5), {"history": [{}]})
    (tmp_path / "c" / name).write_bytes(b"torn")
    checkpoint.keep_metadata(folder)
    assert (tmp_path / "c" / name).read_bytes() == b"torn"
    assert checkpoint.tensor_bytes(folder) == 0


def test_damaged_newest_goes_with_the_tensors_of_the_one_before(folder, tmp_path):
    checkpoint.save(folder, 3, tensors(1.5), {"history": [{}]})
    name = checkpoint.save(folder, 4, tensors(2.5), {"history": [{}, {}]})
    with (tmp_path / "c" / name).open("r+b") as file:
        file.truncate(100)
    checkpoint.keep_metadata(folder)
    assert checkpoint.newest(folder).metadata == {"history": [{}]}
    assert len(list((tmp_path / "c").iterdir())) == 1
