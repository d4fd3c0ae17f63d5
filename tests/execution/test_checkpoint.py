"""Checkpoints survive damage, keep few files, and give back what was put in."""

import os

import pytest
import torch

from sepray.execution import checkpoint


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3), value), "step": torch.tensor(7), "half": torch.ones(2, dtype=torch.bfloat16)}


@pytest.fixture(params=["path", "uri"])
def folder(request, tmp_path):
    return str(tmp_path / "c") if request.param == "path" else f"file://{tmp_path}/c"


def test_returns_the_newest_as_it_was_saved(folder):
    assert checkpoint.newest(folder) is None
    checkpoint.save(folder, 3, tensors(1.5), {"history": [1, 2], "note": "ü"})
    checkpoint.save(folder, 12, tensors(-2.0), {"history": [1, 2, 3]})
    found = checkpoint.newest(folder)
    assert found is not None
    assert found.epoch == 12
    assert found.metadata == {"history": [1, 2, 3]}
    for name, expected in tensors(-2.0).items():
        assert torch.equal(found.tensors[name], expected)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_one_is_skipped_for_the_one_before(tmp_path, damage):
    checkpoint.save(str(tmp_path), 1, tensors(1.0), {})
    path = tmp_path / checkpoint.save(str(tmp_path), 2, tensors(2.0), {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"truncate": bytes(content[:-9]), "flip": bytes(content), "empty": b""}[damage])
    found = checkpoint.newest(str(tmp_path))
    assert found is not None
    assert (found.epoch, found.tensors["weight"][0, 0].item()) == (1, 1.0)


def test_keeps_two_and_leaves_nothing_half_written(tmp_path):
    (tmp_path / ".epoch-000009-0000000000000000.safetensors.1").write_bytes(b"torn")
    for epoch in range(1, 6):
        checkpoint.save(str(tmp_path), epoch, tensors(float(epoch)), {})
    kept = sorted(n for n in os.listdir(tmp_path) if not n.startswith("."))
    assert [int(n.split("-")[1]) for n in kept] == [4, 5]


def test_remove(folder):
    checkpoint.save(folder, 1, tensors(1.0), {})
    checkpoint.remove(folder)
    checkpoint.remove(folder)
    assert checkpoint.newest(folder) is None
