import contextlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sepray.data.cache import Plan, cached, content_hash, kept_files, mapped
from sepray.errors import UsageError

from .entries import build, entry_of, not_planned, planned, refuse, reseal


def test_second_call_reads_what_the_first_built(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    first = cached(folder, "ramps", {"size": 3}, build)
    second = cached(folder, "ramps", {"size": 3}, refuse)
    for found in (first, second):
        assert found.keys() == {"ramp", "count"}
        assert found["ramp"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert found["count"].item() == 7
    assert entry_of(folder).name.startswith("ramps-")


def test_others_may_read_an_entry_and_nobody_but_its_maker_may_write_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cached(tmp_path, "ramps", {}, build)
    finally:
        os.umask(before)
    [entry] = tmp_path.glob("*.safetensors")
    assert entry.stat().st_mode & 0o777 == 0o644


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    cached(tmp_path, "ramps", {"size": 3, "rate": 1}, build)
    other = cached(tmp_path, "ramps", {"size": 4, "rate": 1}, lambda: {"ramp": torch.zeros(1)})
    assert other["ramp"].tolist() == [0]
    assert cached(tmp_path, "ramps", {"rate": 1, "size": 3}, refuse)["count"].item() == 7  # the order is no matter
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["tensor", "header", "truncated", "empty", "swapped"])
def test_damaged_entry_is_built_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    cached(tmp_path, "ramps", {}, build)
    path = entry_of(tmp_path)
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
        cached(tmp_path / "other", "ramps", {"size": 1}, build)
        content = bytearray(entry_of(tmp_path / "other").read_bytes())
    path.write_bytes(content)
    assert cached(tmp_path, "ramps", {}, build)["ramp"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert f"{path} is damaged" in capsys.readouterr().err
    assert cached(tmp_path, "ramps", {}, refuse)["count"].item() == 7


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, Tensor]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "ramps", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_refused_before_building(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        cached(tmp_path / "file", "ramps", {}, refuse)


def test_many_at_once_leave_one_sound_entry(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cached(tmp_path, "ramps", {}, build)["ramp"].sum().item(), range(32)))
    assert found == [15] * 32
    assert os.listdir(tmp_path) == [entry_of(tmp_path).name]
    cached(tmp_path, "ramps", {}, refuse)


# Entries on the disk


def test_mapped_entry_is_made_once_and_is_a_safetensors_file(tmp_path: Path) -> None:
    for plan in (planned, not_planned):
        entry = mapped(tmp_path / "new", "ramps", {"size": 3}, plan)
        assert entry.tensors["ramp"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert entry.tensors["one"].tolist() == [1] * 5
        assert entry.facts == {"names": ["a", "b"]}
        assert entry.content == content_hash(entry.tensors)
    assert load_file(entry_of(tmp_path / "new"))["ramp"].tolist() == [[0, 1, 2], [3, 4, 5]]


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


def test_kept_file_that_is_changed_while_it_is_in_use_is_refused(tmp_path):
    (tmp_path / "a").write_text("3")
    plan = Plan({"ramp": (3,)}, lambda out: np.copyto(out["ramp"], np.arange(3)))
    kept, _ = kept_files(tmp_path / "cache", "ramp", [tmp_path / "a"], {}, lambda file: plan, "reading")
    [one] = kept.values()
    assert one.tensor("ramp").tolist() == [0, 1, 2]

    def other(header, tensors):
        tensors["ramp"][0] = 99

    [entry] = (tmp_path / "cache").glob("ramp-*")
    reseal(entry, other)
    with pytest.raises(UsageError, match=r"ramp-\w+\.safetensors has been changed while it was in use: start again$"):
        one.tensor("ramp")


def test_a_bug_in_reading_a_file_is_no_refusal(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("3")

    def fail(file: Path) -> Plan:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        kept_files(tmp_path / "cache", "ramp", [tmp_path / "a"], {}, fail, "reading")


def test_links_that_somebody_has_planted_are_not_written_through(tmp_path: Path) -> None:
    """The cache is one that several users share."""
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


@pytest.mark.parametrize("make", [lambda: cached, lambda: mapped])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipe_at_the_name_of_an_entry_is_not_waited_for(tmp_path, monkeypatch, capsys, make, kind):
    """Whoever may write in a shared folder could hang everybody's studies by one."""
    keep = make()
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    arguments = (build,) if keep is cached else (planned,)
    keep(Path("cache"), "ramps", {}, *arguments)
    path = entry_of(Path("cache"))
    path.unlink()
    with contextlib.ExitStack() as stack:
        if kind == "pipe":
            os.mkfifo(path)
        else:
            stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
        keep(Path("cache"), "ramps", {}, *arguments)
    assert f"{path} is not a file: building it again" in capsys.readouterr().err
    assert path.is_file()


def test_what_a_dead_process_left_may_be_cleared_by_somebody_else_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: iter([tmp_path / "gone.partial"]))
    made = mapped(tmp_path, "ramps", {}, planned)
    assert mapped(tmp_path, "ramps", {}, not_planned).content == made.content
