import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sepray.cache import cached, content_hash


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
