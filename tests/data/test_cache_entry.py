"""One entry of the cache: written whole, refused where it is damaged or may be another user's, and locked."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from numpy.typing import NDArray

from sepray.data import cache_entry
from sepray.data.cache import Plan, cached, content_hash, mapped
from sepray.errors import UsageError

from .entries import build, entry_of, not_planned, planned, reseal


def test_labels_are_kept_and_no_part_of_the_content(tmp_path: Path) -> None:
    labelled = mapped(tmp_path, "ramps", {}, lambda: planned()._replace(labels=("one",)))
    again = mapped(tmp_path, "ramps", {}, not_planned)
    assert again.tensors["one"].tolist() == [1] * 5
    assert again.content == labelled.content == content_hash({"ramp": again.tensors["ramp"]})
    path = entry_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")  # the last label
    assert mapped(tmp_path, "ramps", {}, planned).tensors["one"].tolist() == [1] * 5


def test_mapped_entry_is_no_memory_of_its_own(tmp_path: Path) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("needs /proc to see what is mapped")
    entry = mapped(tmp_path, "ramps", {}, planned)
    address = entry.tensors["ramp"].data_ptr()
    ranges = [line.split() for line in maps.read_text().splitlines() if str(entry_of(tmp_path)) in line]
    assert any(int(r[0].split("-")[0], 16) <= address < int(r[0].split("-")[1], 16) for r in ranges)


@pytest.mark.parametrize("damage", ["content", "truncated", "empty"])
def test_damaged_mapped_entry_is_made_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    mapped(tmp_path, "ramps", {}, planned)
    path = entry_of(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "content":
        content[-1] ^= 1
    del content[{"content": len(content), "truncated": -4, "empty": 0}[damage] :]
    path.write_bytes(content)
    assert mapped(tmp_path, "ramps", {}, planned).tensors["one"].tolist() == [1] * 5
    assert f"{path} is damaged" in capsys.readouterr().err
    assert mapped(tmp_path, "ramps", {}, not_planned).facts == {"names": ["a", "b"]}


def test_folder_is_synced_after_an_entry_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, copy = tmp_path / "entry", tmp_path / "copy"
    seen: list[tuple[Path, set[str]]] = []
    monkeypatch.setattr("sepray.disk.files.sync_folder", lambda to: seen.append((to, set(os.listdir(to)))))
    cache_entry.write(path, "key", planned())

    def fill(file: IO[bytes]) -> None:
        file.write(path.read_bytes())
        file.flush()

    assert cache_entry.receive(copy, "key", fill)
    assert seen == [(tmp_path, {"entry"}), (tmp_path, {"entry", "copy"})]


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


@pytest.mark.parametrize("margin", [-1, 1])
def test_larger_entries_are_read_whole_only_where_their_file_has_changed(tmp_path, monkeypatch, margin):
    mapped(tmp_path, "ramps", {}, planned)
    path = entry_of(tmp_path)
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(cache_entry, "_is_sound", lambda *_: pytest.fail("read whole"))
        if margin < 0:
            mapped(tmp_path, "ramps", {}, not_planned, verified=size + margin)
        else:
            with pytest.raises(pytest.fail.Exception, match="read whole"):
                mapped(tmp_path, "ramps", {}, not_planned, verified=size + margin)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=times)  # which hides nothing
    assert mapped(tmp_path, "ramps", {}, planned, verified=size + margin).tensors["one"].tolist() == [1] * 5


def _other_values(header, tensors) -> None:
    tensors["ramp"][0, 0] = 99


def _other_facts(header, tensors) -> None:
    header["facts"] = {"names": ["b", "a"]}


@pytest.mark.parametrize("change", [_other_values, _other_facts])
@pytest.mark.parametrize("verified", [0, 1 << 30])
def test_entry_that_another_user_has_rewritten_is_made_again(tmp_path, capsys, monkeypatch, change, verified):
    """The entry's digests fit its content, so that nothing in the file itself shows the change."""
    monkeypatch.delenv("SEPRAY_TRUST_CACHE", raising=False)
    mapped(tmp_path, "ramps", {}, planned)
    reseal(entry_of(tmp_path), change)
    entry = mapped(tmp_path, "ramps", {}, planned, verified)
    assert entry.tensors["ramp"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert entry.facts == {"names": ["a", "b"]}
    told = "may have been made by another user (SEPRAY_TRUST_CACHE=1 takes it): building it again"
    assert told in capsys.readouterr().err
    reseal(entry_of(tmp_path), change)
    monkeypatch.setenv("SEPRAY_TRUST_CACHE", "1")
    taken = mapped(tmp_path, "ramps", {}, not_planned, verified)
    assert (taken.tensors["ramp"][0, 0] == 99) == (change is _other_values)
    monkeypatch.delenv("SEPRAY_TRUST_CACHE")
    mapped(tmp_path, "ramps", {}, planned, verified)  # once is not for ever
    assert "may have been made by another user" in capsys.readouterr().err


def test_entry_in_memory_that_another_user_has_rewritten_is_made_again(tmp_path, monkeypatch):
    cached(tmp_path, "ramps", {}, build)

    def other(header, tensors):
        tensors["ramp"][0, 0] = 99

    reseal(entry_of(tmp_path), other)
    assert cached(tmp_path, "ramps", {}, build)["ramp"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_entry_of_another_user_is_taken_where_this_user_has_made_the_same(tmp_path):
    mapped(tmp_path / "own", "ramps", {}, planned)
    (tmp_path / "shared").mkdir()
    theirs = tmp_path / "shared" / entry_of(tmp_path / "own").name
    theirs.write_bytes(entry_of(tmp_path / "own").read_bytes())
    theirs.chmod(0o666)
    assert mapped(tmp_path / "shared", "ramps", {}, not_planned).facts == {"names": ["a", "b"]}


def test_own_entry_that_is_on_no_list_is_taken(tmp_path, monkeypatch):
    """The entry is older than the list."""
    mapped(tmp_path / "cache", "ramps", {}, planned)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    mapped(tmp_path / "cache", "ramps", {}, not_planned)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "newer"))
    entry_of(tmp_path / "cache").chmod(0o660)  # somebody else may have written it
    with pytest.raises(AssertionError, match="made although"):
        mapped(tmp_path / "cache", "ramps", {}, not_planned)


def test_no_group_may_write_into_an_entry(tmp_path):
    before = os.umask(0o007)
    try:
        mapped(tmp_path / "mapped", "ramps", {}, planned)
        cached(tmp_path / "cached", "ramps", {}, build)
    finally:
        os.umask(before)
    assert {entry_of(tmp_path / kind).stat().st_mode & 0o777 for kind in ("mapped", "cached")} == {0o640}
    assert (tmp_path / "mapped").stat().st_mode & 0o777 == 0o770


def test_link_in_the_place_of_an_entry_is_not_followed(tmp_path, capsys):
    mapped(tmp_path / "cache", "ramps", {}, planned)
    path = entry_of(tmp_path / "cache")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    mapped(tmp_path / "cache", "ramps", {}, planned)
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


@pytest.mark.parametrize("name", ["{}", ".{}.lock"])
def test_folder_at_the_name_of_an_entry_or_its_lock_is_refused_in_one_line(tmp_path, name):
    mapped(tmp_path, "ramps", {}, planned)
    entry = entry_of(tmp_path)
    entry.unlink()
    place = tmp_path / name.format(entry.name)
    place.mkdir()
    with pytest.raises(UsageError) as refusal:
        mapped(tmp_path, "ramps", {}, planned)
    assert str(refusal.value) == f"{place} is a folder that sepray has not made: remove it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any file")
def test_lock_of_a_user_who_does_not_share_is_named_in_one_line_with_a_remedy(tmp_path):
    mapped(tmp_path / "cache", "ramps", {}, planned)
    path = entry_of(tmp_path / "cache")
    path.unlink()
    lock = path.with_name(f".{path.name}.lock")
    lock.touch(mode=0)
    with pytest.raises(UsageError) as refusal:
        mapped(tmp_path / "cache", "ramps", {}, not_planned)
    assert str(refusal.value).startswith(f"{lock} is a lock that you may not take: ")
    assert "\n" not in str(refusal.value)
    lock.unlink()
    mapped(tmp_path / "cache", "ramps", {}, planned)


def test_lock_that_the_operating_system_refuses_is_named_too(tmp_path, monkeypatch):
    """The user is like root, whom no rights of a file keep out."""
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
