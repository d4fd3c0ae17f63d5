"""Files in folders and object stores (``file://`` stands for one): found, sized, removed, and refused in one line."""

from types import SimpleNamespace

import pytest
from pyarrow import fs

from sepray.disk import file_systems
from sepray.disk.file_systems import StoredFile, files, folders, reachable, remove
from sepray.errors import UnreachableError, UsageError


@pytest.fixture(params=["path", "uri"])
def location(request, tmp_path):
    """The folder ``a`` as a path and as a URI, with two files and an empty folder."""
    (tmp_path / "a" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a" / "empty").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "a" / "deep" / "er" / "y").write_bytes(b"12345")
    return str(tmp_path / "a") if request.param == "path" else f"file://{tmp_path}/a"


def test_files_and_folders_are_found(location, tmp_path):
    modified = {name: (tmp_path / "a" / name).stat().st_mtime for name in ("deep/er/y", "x")}
    assert files(location) == [
        StoredFile("deep/er/y", 5, pytest.approx(modified["deep/er/y"], abs=1e-3)),
        StoredFile("x", 3, pytest.approx(modified["x"], abs=1e-3)),
    ]
    assert folders(location) == ["deep", "empty"]
    assert files(f"{location}/") == files(location)


def test_what_is_not_there_is_empty_and_needs_no_removal(location):
    assert files(f"{location}/none") == folders(f"{location}/none") == []
    remove(f"{location}/none")


def test_files_and_folders_are_removed(location, tmp_path):
    remove(f"{location}/x")
    remove(f"{location}/deep")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["empty"]
    remove(location)
    assert list(tmp_path.iterdir()) == []


def test_store_that_is_not_a_local_one_is_cleaned_through_its_file_system(tmp_path, monkeypatch):
    (tmp_path / "bucket" / "deep").mkdir(parents=True)
    (tmp_path / "bucket" / "x").touch()
    store = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(file_systems, "open_location", lambda location: (store, location.removeprefix("s3://")))
    remove("s3://bucket/x")
    remove("s3://bucket/deep")
    assert list((tmp_path / "bucket").iterdir()) == []


def test_size_and_time_that_a_store_does_not_tell_are_0(monkeypatch):
    untold = SimpleNamespace(path="bucket/a/x", type=fs.FileType.File, size=None, mtime_ns=None)
    told = SimpleNamespace(path="bucket/a/b/y", type=fs.FileType.File, size=7, mtime_ns=2_500_000_000)
    inner = SimpleNamespace(path="bucket/a/b", type=fs.FileType.Directory)
    store = SimpleNamespace(get_file_info=lambda selector: [untold, inner, told])
    monkeypatch.setattr(file_systems, "open_location", lambda location: (store, "bucket/a"))
    assert files("s3://bucket/a") == [StoredFile("b/y", 7, 2.5), StoredFile("x", 0, 0.0)]


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


def test_bucket_that_takes_a_file_passes_and_keeps_none(s3):
    file_systems.require_location("s3://studies/sepray", "--storage-path")
    # Arrow keeps the folder, as an empty object.
    assert [(o["Key"], o["Size"]) for o in s3.list_objects_v2(Bucket="studies")["Contents"]] == [("sepray/", 0)]


def test_bucket_that_is_not_there_is_refused_by_its_name(s3):
    with pytest.raises(UsageError) as failure:
        file_systems.require_location("s3://stud1es/sepray", "--storage-path")
    assert str(failure.value) == (
        "s3://stud1es/sepray: there is no bucket stud1es; create it, or give another --storage-path"
    )


class Refusing:
    """A store that refuses every file, in the words of Arrow."""

    def __init__(self, told):
        self.told = told

    def open_output_stream(self, path):
        raise OSError(self.told)


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        (
            "When initiating: AWS Error ACCESS_DENIED during PutObject: denied",
            UnreachableError,
            "refuses this user: set",
        ),
        ("AWS Error UNKNOWN (HTTP status 403) during x", UnreachableError, "refuses this user: set AWS_SHARED_CREDE"),
        ("AWS Error INVALID_ACCESS_KEY_ID", UnreachableError, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, to keys"),
        (
            "AWS Error NO_SUCH_BUCKET during x",
            UsageError,
            "there is no bucket studies; create it, or give another --st",
        ),
        (
            "AWS Error NETWORK_CONNECTION\nmore",
            UnreachableError,
            "cannot be used: AWS Error NETWORK_CONNECTION; check --s",
        ),
    ],
)
def test_store_that_refuses_says_what_to_set(monkeypatch, told, kind, message):
    monkeypatch.setattr(file_systems, "open_location", lambda location: (Refusing(told), "studies/x"))
    with pytest.raises(kind) as failure:
        file_systems.require_location("s3://studies/x", "--storage-path")
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)
    file_systems.require_location("sepray-results", "--storage-path")  # of this machine


def test_links_are_not_followed(location, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "thesis").write_text("mine")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "private")
    (tmp_path / "a" / "file").symlink_to(tmp_path / "private" / "thesis")
    assert [file.name for file in files(location)] == ["deep/er/y", "x"]
    assert folders(location) == ["deep", "empty"]
    with pytest.raises(UsageError, match=r"a/link is a link"):
        remove(f"{location}/link/thesis", location)
    remove(f"{location}/link", location)
    remove(location)
    assert (tmp_path / "private" / "thesis").read_text() == "mine"
