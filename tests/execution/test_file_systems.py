"""Files in folders and object stores (``file://`` stands for one): found, sized, removed, and refused in one line."""

import pytest
from pyarrow import fs

from sepray.errors import UnreachableError, UsageError
from sepray.execution import file_systems
from sepray.execution.file_systems import StoredFile, files, folders, reachable, remove


@pytest.fixture(params=["path", "uri"])
def place(request, tmp_path):
    """The folder ``a`` as a path and as a URI, with two files and an empty folder."""
    (tmp_path / "a" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a" / "empty").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "a" / "deep" / "er" / "y").write_bytes(b"12345")
    return str(tmp_path / "a") if request.param == "path" else f"file://{tmp_path}/a"


def test_files_and_folders_are_found(place, tmp_path):
    modified = {name: (tmp_path / "a" / name).stat().st_mtime for name in ("deep/er/y", "x")}
    assert files(place) == [
        StoredFile("deep/er/y", 5, pytest.approx(modified["deep/er/y"], abs=1e-3)),
        StoredFile("x", 3, pytest.approx(modified["x"], abs=1e-3)),
    ]
    assert folders(place) == ["deep", "empty"]
    assert files(f"{place}/") == files(place)


def test_what_is_not_there_is_empty_and_needs_no_removal(place):
    assert files(f"{place}/none") == folders(f"{place}/none") == []
    remove(f"{place}/none")


def test_files_and_folders_are_removed(place, tmp_path):
    remove(f"{place}/x")
    remove(f"{place}/deep")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["empty"]
    remove(place)
    assert list(tmp_path.iterdir()) == []


def test_store_that_is_not_a_local_one_is_cleaned_through_its_file_system(tmp_path, monkeypatch):
    (tmp_path / "bucket" / "deep").mkdir(parents=True)
    (tmp_path / "bucket" / "x").touch()
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(file_systems, "open_place", lambda place: (store, place.removeprefix("s3://")))
    remove("s3://bucket/x")
    remove("s3://bucket/deep")
    assert list((tmp_path / "bucket").iterdir()) == []


def test_store_that_does_not_answer_is_refused_in_one_line_without_secrets():
    with pytest.raises(UnreachableError) as refused, reachable("s3://key:secret@bucket/x"):
        raise OSError("AWS Error NETWORK_CONNECTION for s3://key:secret@bucket\nmore")
    assert str(refused.value) == (
        "s3://key:***@bucket/x cannot be used: AWS Error NETWORK_CONNECTION for s3://key:***@bucket"
    )
    with pytest.raises(UsageError, match=r"^foo://bucket cannot be used: Unrecognized filesystem type in URI: foo"):
        files("foo://bucket")


def test_errors_of_a_local_folder_and_our_own_pass():
    with pytest.raises(PermissionError), reachable("/folder"):
        raise PermissionError("no")
    with pytest.raises(UsageError, match=r"^as it was$"), reachable("s3://bucket"):
        raise UsageError("as it was")
