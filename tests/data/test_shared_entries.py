"""Entries of a cache at a URI: made by one machine, fetched by others, and trusted no more than those of other users.

A machine is a folder for its own copies, and a list of what its user has made.
"""

from pathlib import Path

import pytest
import torch
from pyarrow import fs

from sepray.data import shared_entries
from sepray.data.cache import Plan, cached, kept_files, mapped
from sepray.disk import file_systems, shared_copies

from .entries import build, not_planned, planned, refuse, reseal

URI = "s3://bucket/cache"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The folder of the store."""
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(file_systems, "open_location", lambda place: (system, "bucket/cache"))
    (tmp_path / "bucket" / "cache").mkdir(parents=True)
    return tmp_path / "bucket" / "cache"


@pytest.fixture
def on(tmp_path, monkeypatch, bucket):
    """A function that returns the folder of the cache on a machine, whose user is ``me`` unless said otherwise."""

    def machine(name: str, user: str = "me") -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / user))
        monkeypatch.setattr(shared_copies, "_remotes", {})
        monkeypatch.setattr(shared_entries, "_offered", set())
        return shared_copies.opened(URI)

    return machine


@pytest.fixture
def told(capsys):
    """A function that returns what was told since it was last called."""
    return lambda: capsys.readouterr().err


MAKERS = {
    "cached": (lambda folder: cached(folder, "x", {"size": 3}, build), lambda f: cached(f, "x", {"size": 3}, refuse)),
    "mapped": (
        lambda folder: mapped(folder, "x", {"size": 3}, planned).tensors,
        lambda folder: mapped(folder, "x", {"size": 3}, not_planned).tensors,
    ),
}


@pytest.fixture(params=MAKERS)
def make(request):
    """A function that makes an entry."""
    return MAKERS[request.param][0]


@pytest.fixture
def find(make):
    """A function that fails where the entry of ``make`` has to be made again."""
    return next(find for maker, find in MAKERS.values() if maker is make)


def equal(found, expected) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_one_machine_makes_what_the_others_fetch(on, bucket, make, find, told):
    first = on("one")
    made = make(first)
    [copy] = bucket.iterdir()
    second = on("two")
    assert equal(find(second), made)
    [entry] = second.iterdir()
    assert entry.read_bytes() == copy.read_bytes() == (first / copy.name).read_bytes()
    assert entry.stat().st_mode & 0o777 == 0o644
    copy.unlink()
    assert equal(find(second), made)  # its own
    assert told() == ""


def test_entry_without_tensors_is_fetched(on):
    assert cached(on("one"), "x", {"size": 0}, dict) == {}
    assert cached(on("two"), "x", {"size": 0}, refuse) == {}


def test_what_another_user_has_made_is_made_again(on, bucket, make, find, told, monkeypatch):
    monkeypatch.delenv("SEPRAY_TRUST_CACHE", raising=False)
    make(on("one", "other"))
    [copy] = bucket.iterdir()
    with pytest.raises(AssertionError, match="although it is in the cache"):
        find(on("two"))
    assert told() == (
        f"{URI}/{copy.name} may have been made by another user (SEPRAY_TRUST_CACHE=1 takes it): building it again\n"
    )
    assert not list(shared_copies.local_folder(URI).iterdir())
    monkeypatch.setenv("SEPRAY_TRUST_CACHE", "1")
    find(on("two"))
    monkeypatch.delenv("SEPRAY_TRUST_CACHE")
    with pytest.raises(AssertionError):  # the file is this user's now, and what is in it is not
        find(on("two"))
    assert "may have been made by another user" in told()
    make(on("two"))
    find(on("three"))  # fetched: it is this user's
    assert sum("may have been made by another user" in line for line in set(told().splitlines())) == 2


def test_forged_values_with_fitting_digests_are_made_again(on, bucket, make, find, told):
    make(on("one"))
    [copy] = bucket.iterdir()
    reseal(copy, lambda header, tensors: tensors["ramp"].add_(1))
    with pytest.raises(AssertionError):
        find(on("two"))
    assert "may have been made by another user" in told()


@pytest.mark.parametrize("damage", ["tensor", "header", "truncated", "longer", "empty", "short", "swapped"])
def test_damaged_copy_is_made_again_and_replaced(on, bucket, make, find, told, damage):
    sound = make(on("one"))
    [copy] = bucket.iterdir()
    content = bytearray(copy.read_bytes())
    whole = bytes(content)
    if damage == "tensor":
        content[-1] ^= 1
    elif damage == "header":
        content[20] ^= 255
    elif damage == "truncated":  # a part of an upload
        del content[-4:]
    elif damage == "longer":
        content += b"1234"
    elif damage == "empty":
        content.clear()
    elif damage == "short":
        content[:] = b"12"
    else:  # a sound one, but of another key
        cached(on("one"), "y", {}, build)
        [other] = set(bucket.iterdir()) - {copy}
        content[:] = other.read_bytes()
        other.unlink()
    copy.write_bytes(content)
    folder = on("two")
    assert equal(make(folder), sound)
    assert told() == f"{URI}/{copy.name} is damaged: building it again\n"
    assert copy.read_bytes() == whole
    assert [path.name for path in bucket.iterdir()] == [path.name for path in folder.iterdir()] == [copy.name]
    find(on("three"))


def test_copy_that_is_missing_is_made_from_this_machines_own(on, bucket, make, find):
    folder = on("one")
    make(folder)
    [copy] = bucket.iterdir()
    copy.write_bytes(copy.read_bytes()[:-1])
    find(folder)  # of this process, which has looked
    assert copy.stat().st_size + 1 == (folder / copy.name).stat().st_size
    find(on("one"))
    assert copy.read_bytes() == (folder / copy.name).read_bytes()


def test_two_machines_that_make_the_same_end_with_one_good_copy(on, bucket, find):
    def meanwhile() -> Plan:
        mapped(on("two"), "x", {"size": 3}, planned)
        return planned()

    first = on("one")
    mapped(first, "x", {"size": 3}, meanwhile)
    assert len(list(bucket.iterdir())) == 1
    mapped(on("three"), "x", {"size": 3}, not_planned)


def test_store_that_fails_is_told_and_ends_nothing(on, bucket, make, find, told, monkeypatch):
    folder = on("one")

    class Failing:
        type_name = "s3"

        def get_file_info(self, path):
            raise OSError("AWS Error NETWORK_CONNECTION\nmore")

        def open_output_stream(self, path):
            raise OSError("AWS Error SLOW_DOWN")

        def delete_file(self, path):
            raise OSError("AWS Error SLOW_DOWN")

    failing = shared_copies._Remote("s3", Failing(), "bucket/cache")
    monkeypatch.setitem(shared_copies._remotes, folder, failing)
    assert make(folder)["ramp"].shape[0] in (2, 3)
    [entry] = folder.iterdir()
    assert told().splitlines() == [
        f"{URI}/{entry.name} cannot be fetched (AWS Error NETWORK_CONNECTION): building it again",
        f"{URI}/{entry.name} cannot be written (AWS Error SLOW_DOWN): other machines make it themselves",
    ]
    find(folder)
    assert told() == ""
    on("one")
    find(folder)
    assert [path.name for path in bucket.iterdir()] == [entry.name]


def test_transfers_of_large_entries_are_told(on, bucket, make, find, told, monkeypatch):
    monkeypatch.setattr(shared_entries, "_TOLD_BYTES", 10)
    make(on("one"))
    [copy] = bucket.iterdir()
    assert told() == f"copying {copy.name} (0.0 GB) to {URI}/{copy.name}\n"
    find(on("two"))
    assert told() == f"fetching {URI}/{copy.name} (0.0 GB)\n"


def test_decoded_recordings_are_a_machines_own(on, bucket, tmp_path):
    (tmp_path / "recording").write_bytes(b"12")
    kept, _ = kept_files(on("one"), "sound", [tmp_path / "recording"], {}, lambda file: planned(), "decoding")
    assert len(kept) == 1
    assert not list(bucket.iterdir())
