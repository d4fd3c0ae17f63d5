import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sepray.data import cache_entry, digests
from sepray.data.cache import Plan, cached, content_hash, file_digest, item_digests, kept_files, mapped
from sepray.errors import UsageError


def _build() -> dict[str, Tensor]:
    return {"ramp": torch.arange(6.0).reshape(2, 3).T, "count": torch.tensor(7)}


def _refuse() -> dict[str, Tensor]:
    raise AssertionError("built although it is in the cache")


def _entry(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_second_call_reads_what_the_first_built(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    first = cached(folder, "ramps", {"size": 3}, _build)
    second = cached(folder, "ramps", {"size": 3}, _refuse)
    for found in (first, second):
        assert found.keys() == {"ramp", "count"}
        assert found["ramp"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert found["count"].item() == 7
    assert _entry(folder).name.startswith("ramps-")


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    cached(tmp_path, "ramps", {"size": 3, "rate": 1}, _build)
    other = cached(tmp_path, "ramps", {"size": 4, "rate": 1}, lambda: {"ramp": torch.zeros(1)})
    assert other["ramp"].tolist() == [0]
    assert cached(tmp_path, "ramps", {"rate": 1, "size": 3}, _refuse)["count"].item() == 7  # the order is no matter
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["tensor", "header", "truncated", "empty", "swapped"])
def test_damaged_entry_is_built_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    cached(tmp_path, "ramps", {}, _build)
    path = _entry(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "tensor":
        content[-1] ^= 1
    elif damage == "header":
        content[20] ^= 255
    elif damage == "truncated":
        del content[-4:]
    elif damage == "empty":
        content.clear()
    else:  # a sound file, but of another entry
        cached(tmp_path / "other", "ramps", {"size": 1}, _build)
        content = bytearray(_entry(tmp_path / "other").read_bytes())
    path.write_bytes(content)
    assert cached(tmp_path, "ramps", {}, _build)["ramp"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert f"{path} is damaged" in capsys.readouterr().err
    assert cached(tmp_path, "ramps", {}, _refuse)["count"].item() == 7


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "ramps", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_refused_before_building(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        cached(tmp_path / "file", "ramps", {}, _refuse)


def test_many_at_once_leave_one_sound_entry(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cached(tmp_path, "ramps", {}, _build)["ramp"].sum().item(), range(32)))
    assert found == [15] * 32
    assert os.listdir(tmp_path) == [_entry(tmp_path).name]
    cached(tmp_path, "ramps", {}, _refuse)


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


# Entries on the disk


def _count(out: Mapping[str, NDArray[np.float32]]) -> None:
    out["ramp"][:] = np.arange(6).reshape(2, 3)
    out["one"][:] = 1


def _planned() -> Plan:
    return Plan({"ramp": (2, 3), "one": (5,)}, _count, {"names": ["a", "b"]})


def test_labels_are_kept_and_no_part_of_the_content(tmp_path: Path) -> None:
    labelled = mapped(tmp_path, "ramps", {}, lambda: _planned()._replace(labels=("one",)))
    again = mapped(tmp_path, "ramps", {}, _not_planned)
    assert again.tensors["one"].tolist() == [1] * 5
    assert again.content == labelled.content == content_hash({"ramp": again.tensors["ramp"]})
    path = _entry(tmp_path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")  # the last label
    assert mapped(tmp_path, "ramps", {}, _planned).tensors["one"].tolist() == [1] * 5


def _not_planned() -> Plan:
    raise AssertionError("made although it is in the cache")


def test_mapped_entry_is_made_once_and_is_a_safetensors_file(tmp_path: Path) -> None:
    for plan in (_planned, _not_planned):
        entry = mapped(tmp_path / "new", "ramps", {"size": 3}, plan)
        assert entry.tensors["ramp"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert entry.tensors["one"].tolist() == [1] * 5
        assert entry.facts == {"names": ["a", "b"]}
        assert entry.content == content_hash(entry.tensors)
    assert load_file(_entry(tmp_path / "new"))["ramp"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_mapped_entry_is_no_memory_of_its_own(tmp_path: Path) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("needs /proc to see what is mapped")
    entry = mapped(tmp_path, "ramps", {}, _planned)
    address = entry.tensors["ramp"].data_ptr()
    ranges = [line.split() for line in maps.read_text().splitlines() if str(_entry(tmp_path)) in line]
    assert any(int(r[0].split("-")[0], 16) <= address < int(r[0].split("-")[1], 16) for r in ranges)


@pytest.mark.parametrize("damage", ["content", "truncated", "empty"])
def test_damaged_mapped_entry_is_made_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    mapped(tmp_path, "ramps", {}, _planned)
    path = _entry(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "content":
        content[-1] ^= 1
    del content[{"content": len(content), "truncated": -4, "empty": 0}[damage] :]
    path.write_bytes(content)
    assert mapped(tmp_path, "ramps", {}, _planned).tensors["one"].tolist() == [1] * 5
    assert f"{path} is damaged" in capsys.readouterr().err
    assert mapped(tmp_path, "ramps", {}, _not_planned).facts == {"names": ["a", "b"]}


def test_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    def fail(out: Mapping[str, NDArray[np.float32]]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mapped(tmp_path, "ramps", {}, lambda: Plan({"ramp": (3,)}, fail))
    assert list(tmp_path.iterdir()) == []


def test_entry_that_the_disk_cannot_hold_is_refused_before_it_is_filled(tmp_path: Path) -> None:
    shapes = {"ramp": (2**58,)}
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the file system
        mapped(tmp_path, "ramps", {}, lambda: Plan(shapes, lambda out: pytest.fail("filled")))
    assert list(tmp_path.iterdir()) == []


def _fill_slowly(folder: Path, log: Path, die: bool) -> None:
    def fill(out: Mapping[str, NDArray[np.float32]]) -> None:
        out["ramp"][:3] = 1
        with log.open("a") as file:
            file.write("filled ")
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1)
        out["ramp"][:] = range(6)

    found = mapped(folder, "ramps", {}, lambda: Plan({"ramp": (6,)}, fill)).tensors["ramp"].tolist()
    os._exit(0 if found == [0, 1, 2, 3, 4, 5] else 1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing of torch is used in the children
def test_of_processes_at_once_one_builds_though_another_died_half_way(tmp_path: Path) -> None:
    folder, log = tmp_path / "cache", tmp_path / "log"
    start = multiprocessing.get_context("fork").Process
    dying = start(target=_fill_slowly, args=(folder, log, True))
    dying.start()
    dying.join()
    assert dying.exitcode == -signal.SIGKILL
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".partial"]
    assert log.read_text() == "filled "
    others = [start(target=_fill_slowly, args=(folder, log, False)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert log.read_text() == "filled filled "
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]


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


def test_files_are_kept_by_content_and_refused_with_a_reason(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "abc"]
    for file, text in zip(files, ("3", "x", "3"), strict=True):
        file.write_text(text)
    read: list[str] = []

    def make(file: Path) -> Plan:
        read.append(file.name)
        text = file.read_text()
        if text == "x":
            raise UsageError("'x' is no number")
        number = int(text)
        return Plan({"ramp": (number,)}, lambda out: np.copyto(out["ramp"], np.arange(number)))

    for _ in range(2):
        kept, refused = kept_files(tmp_path / "cache", "ramp", files, {}, make, "reading")
        assert [file.name for file in kept] == ["a", "c"]
        assert all(one.tensor("ramp").tolist() == [0, 1, 2] for one in kept.values())
        assert list(refused) == [files[1]]
        assert "'x'" in refused[files[1]]
    assert read.count("b") == 2
    assert len(read) == 3  # a and c have the same content


def test_digest_of_a_file_that_may_still_change_is_not_remembered(tmp_path: Path) -> None:
    file, now = tmp_path / "file", time.time_ns()
    for text in ("abc", "abd"):  # two contents of one size, written within one tick of a coarse clock
        file.write_text(text)
        os.utime(file, ns=(now, now))
        expected = hashlib.sha256(text.encode()).hexdigest()
        assert file_digest(tmp_path / "cache", file) == expected


@pytest.mark.parametrize("margin", [-1, 1])
def test_larger_entries_are_read_whole_only_where_their_file_has_changed(tmp_path, monkeypatch, margin):
    mapped(tmp_path, "ramps", {}, _planned)
    path = _entry(tmp_path)
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(cache_entry, "_is_sound", lambda *_: pytest.fail("read whole"))
        if margin < 0:
            mapped(tmp_path, "ramps", {}, _not_planned, verified=size + margin)
        else:
            with pytest.raises(pytest.fail.Exception, match="read whole"):
                mapped(tmp_path, "ramps", {}, _not_planned, verified=size + margin)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=times)  # which hides nothing
    assert mapped(tmp_path, "ramps", {}, _planned, verified=size + margin).tensors["one"].tolist() == [1] * 5


def _reseal(path: Path, change) -> None:
    """Rewrite an entry with other values, or other facts, and digests that fit them."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["sepray"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    header["content"] = content_hash(tensors)
    path.unlink()
    save_file(tensors, path, {"sepray": json.dumps(header)})
    path.chmod(0o664)


def _other_values(header, tensors) -> None:
    tensors["ramp"][0, 0] = 99


def _other_facts(header, tensors) -> None:
    header["facts"] = {"names": ["b", "a"]}


@pytest.mark.parametrize("change", [_other_values, _other_facts])
@pytest.mark.parametrize("verified", [0, 1 << 30])
def test_entry_that_another_user_has_rewritten_is_made_again(tmp_path, capsys, monkeypatch, change, verified):
    """Its digests fit its content, so that nothing in the file itself shows it."""
    monkeypatch.delenv("SEPRAY_TRUST_CACHE", raising=False)
    mapped(tmp_path, "ramps", {}, _planned)
    _reseal(_entry(tmp_path), change)
    entry = mapped(tmp_path, "ramps", {}, _planned, verified)
    assert entry.tensors["ramp"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert entry.facts == {"names": ["a", "b"]}
    assert (
        "may be of another user's making (SEPRAY_TRUST_CACHE=1 takes it): building it again" in capsys.readouterr().err
    )
    _reseal(_entry(tmp_path), change)
    monkeypatch.setenv("SEPRAY_TRUST_CACHE", "1")
    taken = mapped(tmp_path, "ramps", {}, _not_planned, verified)
    assert (taken.tensors["ramp"][0, 0] == 99) == (change is _other_values)
    monkeypatch.delenv("SEPRAY_TRUST_CACHE")
    mapped(tmp_path, "ramps", {}, _planned, verified)  # once is not for ever
    assert "another user's" in capsys.readouterr().err


def test_entry_in_memory_that_another_user_has_rewritten_is_made_again(tmp_path, monkeypatch):
    cached(tmp_path, "ramps", {}, _build)

    def other(header, tensors):
        tensors["ramp"][0, 0] = 99

    _reseal(_entry(tmp_path), other)
    assert cached(tmp_path, "ramps", {}, _build)["ramp"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_entry_of_another_user_is_taken_where_this_user_has_made_the_same(tmp_path):
    mapped(tmp_path / "own", "ramps", {}, _planned)
    (tmp_path / "shared").mkdir()
    theirs = tmp_path / "shared" / _entry(tmp_path / "own").name
    theirs.write_bytes(_entry(tmp_path / "own").read_bytes())
    theirs.chmod(0o666)
    assert mapped(tmp_path / "shared", "ramps", {}, _not_planned).facts == {"names": ["a", "b"]}


def test_own_entry_that_is_on_no_list_is_taken(tmp_path, monkeypatch):
    """It is older than the list."""
    mapped(tmp_path / "cache", "ramps", {}, _planned)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    mapped(tmp_path / "cache", "ramps", {}, _not_planned)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "newer"))
    _entry(tmp_path / "cache").chmod(0o660)  # somebody else may have written it
    with pytest.raises(AssertionError, match="made although"):
        mapped(tmp_path / "cache", "ramps", {}, _not_planned)


def test_no_group_may_write_into_an_entry(tmp_path):
    before = os.umask(0o007)
    try:
        mapped(tmp_path / "mapped", "ramps", {}, _planned)
        cached(tmp_path / "cached", "ramps", {}, _build)
    finally:
        os.umask(before)
    assert {_entry(tmp_path / kind).stat().st_mode & 0o777 for kind in ("mapped", "cached")} == {0o640}
    assert (tmp_path / "mapped").stat().st_mode & 0o777 == 0o770


def test_link_in_the_place_of_an_entry_is_not_followed(tmp_path, capsys):
    mapped(tmp_path / "cache", "ramps", {}, _planned)
    path = _entry(tmp_path / "cache")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    mapped(tmp_path / "cache", "ramps", {}, _planned)
    assert "is a symbolic link: building it again" in capsys.readouterr().err
    assert not path.is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_link_that_takes_the_place_of_an_unfinished_entry_is_not_written_through(tmp_path):
    """Somebody who may write in the folder sees the name as soon as it is there."""
    folder, victim = tmp_path / "cache", tmp_path / "victim"
    victim.write_bytes(bytes(4096))

    def fill(out):
        [partial] = [path for path in folder.iterdir() if path.suffix == ".partial"]
        partial.unlink()
        partial.symlink_to(victim)
        out["ramp"][:] = 7

    with pytest.raises(OSError, match="was written, but cannot be read"):
        mapped(folder, "ramps", {}, lambda: Plan({"ramp": (2,)}, fill))
    assert victim.read_bytes() == bytes(4096)


def test_kept_file_that_is_changed_while_it_is_in_use_is_refused(tmp_path):
    (tmp_path / "a").write_text("3")
    plan = Plan({"ramp": (3,)}, lambda out: np.copyto(out["ramp"], np.arange(3)))
    kept, _ = kept_files(tmp_path / "cache", "ramp", [tmp_path / "a"], {}, lambda file: plan, "reading")
    [one] = kept.values()
    assert one.tensor("ramp").tolist() == [0, 1, 2]

    def other(header, tensors):
        tensors["ramp"][0] = 99

    [entry] = (tmp_path / "cache").glob("ramp-*")
    _reseal(entry, other)
    with pytest.raises(UsageError, match=r"ramp-\w+\.safetensors has been changed while it was in use: start again$"):
        one.tensor("ramp")


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


def test_a_bug_in_reading_a_file_is_no_refusal(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("3")

    def fail(file: Path) -> Plan:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        kept_files(tmp_path / "cache", "ramp", [tmp_path / "a"], {}, fail, "reading")


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


def test_links_that_somebody_has_planted_are_not_written_through(tmp_path: Path) -> None:
    """In a cache that several users share."""
    folder, victim = tmp_path / "cache", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("precious")
    plan = Plan({"ramp": (2,)}, lambda out: out["ramp"].__setitem__(slice(None), [1.0, 2.0]))
    made = mapped(folder, "ramps", {}, lambda: plan)
    [entry] = folder.iterdir()
    entry.unlink()
    for name in (f".{entry.name}.partial", f".{entry.name}.0000000000000000.partial"):
        (folder / name).symlink_to(victim)
    assert mapped(folder, "ramps", {}, lambda: plan).content == made.content
    entry.unlink()
    (folder / f".{entry.name}.lock").symlink_to(victim)
    with pytest.raises(UsageError, match=r"\.lock is a symbolic link that sepray has not made: remove it$"):
        mapped(folder, "ramps", {}, lambda: plan)
    assert victim.read_text() == "precious"


def test_name_of_an_unfinished_entry_cannot_be_foreseen(tmp_path: Path) -> None:
    names = []

    def fill(out):
        names.append([path.name for path in tmp_path.iterdir() if path.suffix == ".partial"])
        out["ramp"][:] = 0

    for _ in range(2):
        mapped(tmp_path, "ramps", {}, lambda: Plan({"ramp": (2,)}, fill))
        for path in tmp_path.iterdir():
            path.unlink()
    ([first], [second]) = names
    assert first != second
    assert len(first) == len(second)


def test_entry_of_another_key_is_not_taken_for_this_one(tmp_path: Path) -> None:
    def plan(value):
        return lambda: Plan({"ramp": (2,)}, lambda out: out["ramp"].__setitem__(slice(None), value))

    mapped(tmp_path, "ramps", {"key": 1}, plan(1.0))
    [one] = tmp_path.iterdir()
    mapped(tmp_path, "ramps", {"key": 2}, plan(2.0))
    [two] = set(tmp_path.iterdir()) - {one}
    two.write_bytes(one.read_bytes())
    assert mapped(tmp_path, "ramps", {"key": 2}, plan(2.0)).tensors["ramp"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("make", [lambda: cached, lambda: mapped])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipe_at_the_name_of_an_entry_is_not_waited_for(tmp_path, monkeypatch, capsys, make, kind):
    """Whoever may write in a shared folder could hang everybody's studies by one."""
    keep = make()
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    arguments = (_build,) if keep is cached else (_planned,)
    keep(Path("cache"), "ramps", {}, *arguments)
    path = _entry(Path("cache"))
    path.unlink()
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
        else:
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
        keep(Path("cache"), "ramps", {}, *arguments)
    assert f"{path} is not a file: building it again" in capsys.readouterr().err
    assert path.is_file()


@pytest.mark.parametrize("name", ["{}", ".{}.lock"])
def test_folder_at_the_name_of_an_entry_or_its_lock_is_refused_in_one_line(tmp_path, name):
    mapped(tmp_path, "ramps", {}, _planned)
    entry = _entry(tmp_path)
    entry.unlink()
    place = tmp_path / name.format(entry.name)
    place.mkdir()
    with pytest.raises(UsageError) as refusal:
        mapped(tmp_path, "ramps", {}, _planned)
    assert str(refusal.value) == f"{place} is a folder that sepray has not made: remove it"


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any file")
def test_lock_of_a_user_who_does_not_share_is_named_in_one_line_with_a_remedy(tmp_path):
    mapped(tmp_path / "cache", "ramps", {}, _planned)
    path = _entry(tmp_path / "cache")
    path.unlink()
    lock = path.with_name(f".{path.name}.lock")
    lock.touch(mode=0)
    with pytest.raises(UsageError) as refusal:
        mapped(tmp_path / "cache", "ramps", {}, _not_planned)
    assert str(refusal.value).startswith(f"{lock} is a lock that you may not take: ")
    assert "\n" not in str(refusal.value)
    lock.unlink()
    mapped(tmp_path / "cache", "ramps", {}, _planned)


def test_lock_that_the_operating_system_refuses_is_named_too(tmp_path, monkeypatch):
    """As for root, whom no rights of a file keep out."""
    lock = tmp_path / "lock"
    lock.touch()

    def refused(*given):
        raise PermissionError(errno.EACCES, "Permission denied", str(lock))

    monkeypatch.setattr(cache_entry.os, "open", refused)
    with (
        pytest.raises(UsageError, match="another user makes this entry without --shared; try"),
        cache_entry.locked(lock),
    ):
        pass
    lock.unlink()
    with pytest.raises(PermissionError), cache_entry.locked(lock):  # the folder is what cannot be written to
        pass


def test_what_a_dead_process_left_may_be_cleared_by_somebody_else_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: iter([tmp_path / "gone.partial"]))
    made = mapped(tmp_path, "ramps", {}, _planned)
    assert mapped(tmp_path, "ramps", {}, _not_planned).content == made.content
