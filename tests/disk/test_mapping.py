"""Tensors that lie in files: their places, the same values elsewhere, and files for those that lie in none."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.data import cache
from sepray.disk import mapping
from sepray.disk.mapping import FileSlice, Scratch, opened, slice_of


@pytest.fixture
def entry(tmp_path):
    """An entry of the cache with two tensors, mapped from its file."""

    def fill(out):
        out["a"][:] = np.arange(6000).reshape(6, 1000)
        out["b"][:] = -np.arange(4000).reshape(4, 1000)

    plan = cache.Plan({"a": (6, 1000), "b": (4, 1000)}, fill)
    return cache.mapped(tmp_path / "cache", "entry", {"key": 1}, lambda: plan).tensors


def test_tensors_of_the_cache_lie_in_their_file(entry, tmp_path):
    places = {name: slice_of(tensor) for name, tensor in entry.items()}
    assert {os.path.dirname(place.path) for place in places.values()} == {str(tmp_path / "cache")}
    assert places["b"].offset - places["a"].offset == 6000 * 4
    for name, place in places.items():
        assert (place.shape, place.dtype, place.nbytes) == (tuple(entry[name].shape), "<f4", 4 * entry[name].numel())
        np.testing.assert_array_equal(opened(place), entry[name])


def test_items_of_a_tensor_lie_further_on_in_the_file(entry):
    part = slice_of(entry["a"][2:5])
    assert (part.offset, part.shape) == (slice_of(entry["a"]).offset + 2 * 4000, (3, 1000))
    np.testing.assert_array_equal(opened(part), np.arange(2000, 5000).reshape(3, 1000))


def test_what_is_in_memory_or_out_of_order_has_no_place(entry):
    assert slice_of(torch.zeros(5)) is None
    assert slice_of(entry["a"][:, ::2]) is None
    assert slice_of(entry["a"].T) is None
    assert slice_of(entry["a"][[0, 1]]) is None
    assert slice_of(torch.empty(3, device="meta")) is None
    assert slice_of(entry["a"][:0]) is None


def test_tensor_that_was_written_to_differs_from_its_file(entry):
    before = slice_of(entry["a"])
    entry["a"].mul_(2)
    assert slice_of(entry["a"]) is None
    assert opened(before)[5, 999] == 5999


def test_writing_to_what_was_opened_changes_nothing_else(entry):
    array = opened(slice_of(entry["a"]))
    array[:] = 7
    assert slice_of(torch.from_numpy(array)) is None
    assert opened(slice_of(entry["a"]))[0, 3] == 3


def test_file_that_is_gone_or_another_is_not_opened(entry, tmp_path):
    place = slice_of(entry["a"])
    content = Path(place.path).read_bytes()
    os.unlink(place.path)
    assert slice_of(entry["a"]) is None
    assert opened(place) is None
    Path(place.path).write_bytes(content)
    assert opened(place) is None


@pytest.mark.parametrize("field", range(3))
def test_place_belongs_to_one_state_of_its_file(entry, field):
    place = slice_of(entry["a"])
    identity = list(place.identity)
    identity[field] += 1
    assert opened(FileSlice(place.path, place.offset, place.shape, place.dtype, tuple(identity))) is None


def test_what_lies_in_no_file_gets_one(tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "_COPIED_BYTES", 100)
    scratch = Scratch(tmp_path / "new" / "cache")
    values = torch.arange(300, dtype=torch.float64).reshape(100, 3)
    kept = scratch.kept(values)
    assert torch.equal(kept, values)
    place = slice_of(kept)
    assert place.path.startswith(str(tmp_path / "new" / "cache" / "sepray-items-"))
    assert place == slice_of(scratch.kept(kept))  # not once more
    small = torch.zeros(2)
    assert scratch.kept(small) is small


def test_what_was_filled_in_a_new_file_is_kept_as_it_is(tmp_path):
    scratch = Scratch(tmp_path)
    made = scratch.new((3, 2))
    made.copy_(torch.arange(6.0).reshape(3, 2))
    kept = scratch.kept(made)
    assert torch.equal(kept, torch.arange(6.0).reshape(3, 2))
    assert slice_of(kept).path == slice_of(made).path


def test_tensor_of_the_cache_is_kept_where_it_is(entry, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "_COPIED_BYTES", 0)
    kept = Scratch(tmp_path).kept(entry["a"][1:])
    assert slice_of(kept) == slice_of(entry["a"][1:])


def test_full_disk_is_an_error_and_no_signal(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapping.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Scratch(tmp_path).new((10,))


@pytest.mark.parametrize("at_once", [1, 24, 100, 10**6])
def test_items_are_copied_in_any_portions(at_once):
    items = torch.arange(33.0).reshape(11, 3)
    index = torch.tensor([4, 0, 10, 4, 7])
    to = torch.empty(5, 3)
    mapping.copy_items(to, items, index, at_once)
    assert torch.equal(to, items[index])


def test_large_is_more_than_the_limit(monkeypatch):
    monkeypatch.setattr(mapping, "LARGE_BYTES", 48)
    assert not mapping.is_large([torch.zeros(4), torch.zeros(8)])
    assert mapping.is_large([torch.zeros(4), torch.zeros(9)])


def test_a_folder_of_scratch_goes_with_its_process(tmp_path, monkeypatch):
    at_exit = []
    monkeypatch.setattr(mapping.atexit, "register", lambda *call: at_exit.append(call))
    made = Scratch(tmp_path).new((2,))
    [(remove, folder)] = at_exit
    assert Path(slice_of(made).path) == Path(folder) / "0"
    remove(folder)
    assert list(tmp_path.iterdir()) == []
