"""Large items are mapped by workers: the same training, no memory of their own, fetched once by a node without them."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray
import torch
from pyarrow import fs

from sepray import fault
from sepray.disk import file_systems, mapping, shared_copies
from sepray.disk.mapping import FileSlice, Scratch, slice_of
from sepray.execution import items
from sepray.execution.items import Served, handed, served, tensors

from . import bench as bench_module
from .bench import TRAIN, VALIDATION, run, values


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files for tensors of any size, all of which are large."""
    monkeypatch.setattr(mapping, "LARGE_BYTES", 0)
    monkeypatch.setattr(mapping, "_COPIED_BYTES", 0)
    return Scratch(tmp_path / "cache")


def placed(files, view):
    return {name: handed(files.kept(torch.tensor(array)), large=True) for name, array in view.items()}


def test_large_items_are_handed_over_by_their_place_and_others_as_they_are(files):
    kept = files.kept(torch.arange(6.0))
    assert isinstance(handed(kept, large=True), FileSlice)
    assert isinstance(handed(kept, large=False), np.ndarray)
    in_memory = handed(torch.arange(6.0), large=True)
    np.testing.assert_array_equal(in_memory, np.arange(6.0))


def test_training_on_mapped_items_is_the_same_to_the_bit(bench, files, monkeypatch):
    expected = [values(result) for result in run(bench(number=0, seed=5))]
    monkeypatch.setattr(bench_module, "TRAIN", placed(files, TRAIN))
    monkeypatch.setattr(bench_module, "VALIDATION", placed(files, VALIDATION))
    assert [values(result) for result in run(bench(number=1, seed=5))] == expected


def test_what_a_separator_writes_to_mapped_items_is_seen_by_nobody_else(files):
    view = placed(files, VALIDATION)
    first, second = (tensors(view, "cpu", copied=True) for _ in range(2))
    first["mixture"].fill_(9)
    np.testing.assert_array_equal(second["mixture"], VALIDATION["mixture"])
    np.testing.assert_array_equal(tensors(view, "cpu")["mixture"], VALIDATION["mixture"])


WORKER = """
import json, pickle, sys
import torch
from sepray.execution import items

def private():
    with open("/proc/self/smaps_rollup") as lines:
        found = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith("kB\\n")}
    return {"private": found["Anonymous:"], "all": found["Rss:"]}

view = pickle.load(sys.stdin.buffer)
before = private()
data = items.tensors(view, "cpu", copied=sys.argv[1] == "copied")
total = 0.0
for index in torch.randperm(len(data["mixture"])).split(4):
    total += float(data["mixture"][index].sum())
after = private()
print(json.dumps({"total": total, **{name: 1024 * (after[name] - before[name]) for name in before}}))
"""


@pytest.mark.parametrize("copied", [pytest.param("copied", marks=pytest.mark.slow), "shown"])
def test_worker_has_no_memory_of_its_own_for_mapped_items(files, copied):
    import pickle

    size = 64 << 20
    mixture = files.new((64, size // 64 // 4))
    mixture.fill_(0.5)
    view = {"mixture": handed(files.kept(mixture), large=True)}
    command = [sys.executable, "-c", WORKER, copied]
    done = subprocess.run(command, input=pickle.dumps(view), stdout=subprocess.PIPE, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert found["total"] == size // 4 * 0.5
    assert found["private"] < size / 4  # 4 MB of a batch, and what torch begins
    assert found["all"] > size * 0.9  # it did see them


class Elsewhere:
    """The actor of the driver's node, asked directly; says what it was asked for."""

    def __init__(self, places, monkeypatch) -> None:
        self.asked = []
        source = items._Source(places)
        self.fail = 0

        def read(place, start, count):
            self.asked.append((start, count))
            return lambda: source.read(place, start, count)

        def get(reference):
            if self.fail:
                self.fail -= 1
                raise ray.exceptions.ObjectLostError("ab", "", "")
            return reference()

        self.read = SimpleNamespace(remote=read)
        self.digest = SimpleNamespace(remote=lambda place: lambda: source.digest(place))
        monkeypatch.setattr(items.ray, "get", get)


@pytest.fixture
def node(files, tmp_path, monkeypatch):
    """A node that does not see the driver's files, and what is served to it: 5000 bytes."""
    place = handed(files.kept(torch.arange(1250, dtype=torch.float32).reshape(50, 25)), large=True)
    source = Elsewhere([place], monkeypatch)
    mapped = mapping.opened
    hidden = str(tmp_path / "cache")

    def opened(asked):
        return None if asked.path.startswith(hidden) and not source.asked_here else mapped(asked)

    source.asked_here = False

    def read(*arguments):
        source.asked_here = True
        try:
            return original(*arguments)
        finally:
            source.asked_here = False

    original = items._Source._bytes
    monkeypatch.setattr(items._Source, "_bytes", lambda self, *arguments: read(self, *arguments))
    monkeypatch.setattr(items.mapping, "opened", opened)
    monkeypatch.setattr(items, "PIECE_BYTES", 2000)
    monkeypatch.setattr(items, "_held", {})
    return SimpleNamespace(source=source, given=Served(place, source, str(tmp_path / "node")), folder=tmp_path / "node")


def fetched(node):
    return sorted(path.name for path in (node.folder / f"fetched-{os.geteuid()}").iterdir() if path.name != "lock")


def test_node_without_the_file_fetches_it_once_and_in_pieces(node, monkeypatch):
    synced = []
    monkeypatch.setattr("sepray.disk.files.sync_folder", lambda folder: synced.append((folder, len(fetched(node)))))
    for _ in range(2):
        found = tensors({"mixture": node.given}, "cpu")["mixture"]
        assert torch.equal(found, torch.arange(1250, dtype=torch.float32).reshape(50, 25))
    assert node.source.asked == [(0, 2000), (2000, 2000), (4000, 2000)]
    assert len(fetched(node)) == 1
    assert synced == [(node.folder / f"fetched-{os.geteuid()}", 1)]  # after it has its name
    assert oct((node.folder / f"fetched-{os.geteuid()}").stat().st_mode & 0o777) == "0o700"


@pytest.fixture
def bucket(node, tmp_path, monkeypatch):
    """Serve slices with a shared copy of the driver's file at a store; return the copy's path there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(file_systems, "open_location", lambda place: (system, "bucket"))
    copy = tmp_path / "bucket" / "x"
    copy.parent.mkdir()
    copy.write_bytes(Path(node.given.file_slice.path).read_bytes())
    node.given = replace(node.given, cache="s3://bucket", copy="bucket/x")
    return copy


def test_node_fetches_from_the_store_of_the_cache(node, bucket):
    found = tensors({"mixture": node.given}, "cpu")["mixture"]
    assert torch.equal(found, torch.arange(1250, dtype=torch.float32).reshape(50, 25))
    assert node.source.asked == []
    cache = shared_copies.local_folder("s3://bucket")
    assert [oct(folder.stat().st_mode & 0o777) for folder in (cache, *cache.iterdir())] == ["0o700", "0o700"]
    part = replace(node.given.file_slice, offset=4 * 25, shape=(3, 25))
    node.source.digest.remote = lambda place: lambda: hashlib.sha256(bucket.read_bytes()[100:400]).hexdigest()
    found = tensors({"mixture": replace(node.given, file_slice=part)}, "cpu")["mixture"]
    assert torch.equal(found, torch.arange(25, 100, dtype=torch.float32).reshape(3, 25))
    assert node.source.asked == []


@pytest.mark.parametrize("damage", ["other", "short", "gone", "refused"])
def test_what_does_not_come_from_the_store_as_the_driver_has_it_comes_from_the_driver(
    node, bucket, damage, monkeypatch
):
    content = bucket.read_bytes()
    bucket.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage == "other" else content[:-1])
    if damage == "gone":
        bucket.unlink()
    if damage == "refused":
        monkeypatch.setattr(
            file_systems, "open_location", lambda place: (_ for _ in ()).throw(OSError("AWS Error 403"))
        )
    found = tensors({"mixture": node.given}, "cpu")["mixture"]
    assert torch.equal(found, torch.arange(1250, dtype=torch.float32).reshape(50, 25))
    assert node.source.asked == [(0, 2000), (2000, 2000), (4000, 2000)]


def test_copy_at_the_store_is_told_where_it_is_whole(files, tmp_path, monkeypatch):
    place = handed(files.kept(torch.arange(6.0)), large=True)
    assert items._copy_of(place) == ""
    remote = shared_copies._Remote("s3", fs.LocalFileSystem(), str(tmp_path / "bucket"))
    monkeypatch.setattr(shared_copies, "_remotes", {tmp_path / "cache": remote})
    assert items._copy_of(place) == ""
    copy = tmp_path / "bucket" / Path(place.path).relative_to(tmp_path / "cache")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(bytes(23))
    assert items._copy_of(place) == ""
    copy.write_bytes(bytes(24))
    assert items._copy_of(place) == str(copy)


def test_piece_that_was_lost_is_asked_for_again(node):
    node.source.fail = 2
    found = tensors({"mixture": node.given}, "cpu")["mixture"]
    assert found[49, 24] == 1249
    node.source.fail = 3
    for path in (node.folder / f"fetched-{os.geteuid()}").iterdir():
        path.unlink()
    with pytest.raises(OSError, match=r"^the items cannot be fetched from the driver's node: .*ab"):
        tensors({"mixture": node.given}, "cpu")
    assert fetched(node) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ray.exceptions.RayActorError(), "The actor "),
        (
            ray.exceptions.RayTaskError("read", "a\ntraceback", ValueError("the items in x have been removed")),
            "the items",
        ),
    ],
)
def test_driver_that_hands_nothing_over_ends_the_study_and_not_the_trial(node, bench, monkeypatch, error, told):
    def get(reference):
        raise error

    monkeypatch.setattr(items.ray, "get", get)
    monkeypatch.setattr(bench_module, "TRAIN", {"mixture": node.given})
    [result] = run(bench())
    assert result["outcome"] == fault.UNPREPARED
    assert f"the items cannot be fetched from the driver's node: {told}" in result["reason"]


def test_items_of_other_studies_give_way_unless_they_are_used(node):
    tensors({"mixture": node.given}, "cpu")
    [own] = fetched(node)
    folder = node.folder / f"fetched-{os.geteuid()}"
    (folder / "left").write_bytes(b"of a study that has ended")
    (folder / "left.partial").write_bytes(b"of a process that was killed")
    given = node.given.file_slice
    other = Served(FileSlice(given.path, 8, (2,), "<f4", given.identity), node.source, "")
    node.source.read.remote = lambda place, start, count: lambda: np.zeros(8, np.uint8)
    tensors({"mixture": Served(other.file_slice, node.source, node.given.cache)}, "cpu")
    assert own in fetched(node)
    assert len(fetched(node)) == 2  # in use, and the new one


def test_folder_of_somebody_else_is_refused(node):
    folder = node.folder / f"fetched-{os.geteuid()}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(ValueError, match="not this user's own: remove it"):
        tensors({"mixture": node.given}, "cpu")


def test_source_reads_nothing_but_its_study(node):
    other = FileSlice("/etc/passwd", 0, (4,), "|u1", mapping._identity(os.stat("/etc/passwd")))
    with pytest.raises(ValueError, match="changed or removed"):
        items._Source([node.given.file_slice]).read(other, 0, 4)
    with pytest.raises(ValueError, match="changed or removed"):
        items._Source([node.given.file_slice]).digest(other)


def test_items_that_are_gone_end_the_study_and_not_the_trial(bench, files, monkeypatch):
    view = placed(files, TRAIN)
    monkeypatch.setattr(bench_module, "TRAIN", view)
    for place in view.values():
        os.unlink(place.path)
    [result] = run(bench())
    assert result["outcome"] == fault.UNPREPARED
    assert "have been changed or removed" in result["reason"]


def test_study_of_small_items_or_one_machine_serves_nothing(files):
    small = {"train": TRAIN, "validation": VALIDATION, "context": 1}
    with served(small, "", on_cluster=True) as given:
        assert given == small
    placed_ = {"train": placed(files, TRAIN), "validation": VALIDATION}
    with served(placed_, "", on_cluster=False) as given:
        assert given == placed_


def test_gpu_without_room_leaves_large_items_on_the_cpu(files, monkeypatch):
    view = placed(files, TRAIN)
    size = sum(place.nbytes for place in view.values())
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2 * size - 1, 10 * size))
    assert {tensor.device.type for tensor in tensors(view, "cuda").values()} == {"cpu"}
    monkeypatch.setattr(items, "without_copy", lambda array, device: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2 * size, 10 * size))
    assert set(tensors(view, "cuda").values()) == {"cuda"}


def test_place_of_a_study_is_the_same_in_every_stage(files):
    kept = files.kept(torch.arange(10.0))
    assert handed(kept, True) == handed(kept, True) == slice_of(kept)
