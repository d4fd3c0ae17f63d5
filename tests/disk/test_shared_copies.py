"""Copies of a cache's files at a URI: sent and fetched whole, some bytes at a time, or not at all."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyarrow import fs

from sepray.disk import file_systems, shared_copies
from sepray.disk.shared_copies import SharedCopy, is_uri, local_folder, make_private, named_folder, of, opened
from sepray.errors import UnreachableError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder for this machine's copies, and no cache that is opened yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shared_copies, "_remotes", {})
    return tmp_path / "home" / "sepray"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The folder of a store at which files are half there while they are written, as ``s3://bucket``."""
    (tmp_path / "bucket" / "x").mkdir(parents=True)
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(file_systems, "open_location", lambda place: (system, "bucket/x"))
    return tmp_path / "bucket"


@pytest.fixture
def small(monkeypatch):
    """Pieces of few bytes, so that a short file takes many."""
    monkeypatch.setattr(shared_copies, "_PIECE_BYTES", 3)
    monkeypatch.setattr(shared_copies, "_UNSENT_BYTES", 6)


def test_caches_that_are_uris():
    assert is_uri("s3://bucket/x")
    assert is_uri("file:///mnt/x")
    assert not is_uri("a/b")
    assert not is_uri("a://b/c"[1:])
    assert not is_uri(Path("s3://bucket/x"))


def test_folder_of_a_cache_on_this_machine(home, monkeypatch):
    assert local_folder("~/x") == local_folder(Path("~/x")) == Path.home() / "x"
    folder = local_folder("s3://bucket/x")
    assert folder.parent == home
    assert folder.name.startswith("s3-")
    assert local_folder("s3://key:secret@bucket/x/") == folder  # a new key is no new cache
    assert local_folder("s3://bucket/y") != folder
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert local_folder("s3://bucket/x") == Path.home() / ".cache" / "sepray" / folder.name
    assert named_folder("s3://bucket/x") == Path("~/.cache/sepray") / folder.name  # which a message shows


def test_folder_is_private_whatever_the_umask(store):
    before = os.umask(0)
    try:
        folder = opened("s3://bucket/x")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="is not this user's own: remove it"):
        make_private(folder)
    (folder.parent / "link").symlink_to(folder.parent)
    with pytest.raises(UsageError, match="link is not this user's own"):
        make_private(folder.parent / "link")


def test_folder_of_another_user_or_open_to_a_group_is_refused(store, monkeypatch):
    folder = opened("s3://bucket/x")
    folder.chmod(0o720)
    with pytest.raises(UsageError, match="is not this user's own: remove it"):
        make_private(folder)
    folder.chmod(0o700)
    make_private(folder)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="is not this user's own: remove it"):
        make_private(folder)


def test_messages_show_no_secret_of_a_copys_path(store):
    copy = shared_copies.at("S3://bucket/x", "bucket/x/password=hunter22/data.bin")
    assert copy.shown == "S3://bucket/x/password=***"
    assert named_folder("S3://bucket/x").name.startswith("s3-")


def test_address_with_one_slash_is_no_folder():
    for cache in ("s3:/bucket/x", "gs:/bucket"):
        with pytest.raises(UsageError, match=rf"^{cache}: the address of an object store begins with {cache[:2]}://$"):
            local_folder(cache)
    assert local_folder("c:/data") == Path("c:/data")
    assert local_folder(Path("s3:/x")) == Path("s3:/x")


def test_only_files_of_an_opened_cache_have_copies(store, tmp_path):
    assert of(tmp_path / "x") is None
    folder = opened("s3://key:hidden@bucket/x")
    assert of(tmp_path / "x") is None
    assert of(folder / "deep" / "x").shown == "s3://bucket/x/deep/x"
    assert opened(tmp_path) == tmp_path


def test_bucket_is_asked_once(store, monkeypatch):
    asked = []
    monkeypatch.setattr(file_systems, "require_location", lambda *given: asked.append(given))
    assert opened("s3://bucket/x") == opened("s3://bucket/x")
    assert asked == [("s3://bucket/x", "--cache")]


def test_store_that_refuses_is_refused_with_what_to_set(store, home, monkeypatch):
    def refuses(path):
        raise OSError("AWS Error ACCESS_DENIED during PutObject")

    system = SimpleNamespace(open_output_stream=refuses)
    monkeypatch.setattr(file_systems, "open_location", lambda place: (system, "bucket/x"))
    with pytest.raises(UnreachableError, match=r"^s3://bucket/x refuses this user: set AWS_SHARED_CREDENTIALS_FILE"):
        opened("s3://bucket/x")
    assert not home.exists()
    with pytest.raises(UnreachableError):  # it is asked again
        opened("s3://bucket/x")


def test_pyarrow_without_stores_is_refused_with_what_to_install(monkeypatch):
    def cannot(uri):
        raise NotImplementedError("Got S3 URI but Arrow compiled without S3 support")

    monkeypatch.setattr(file_systems.fs, "FileSystem", SimpleNamespace(from_uri=cannot))
    with pytest.raises(UsageError, match=r"^s3://bucket/x: .* pip install 'sepray\[cluster\]' in an environment"):
        opened("s3://bucket/x")


@pytest.mark.parametrize("size", [0, 2, 3, 10, 12])
def test_file_is_sent_and_fetched_in_pieces(store, small, tmp_path, size):
    content = bytes(range(size))
    (tmp_path / "x").write_bytes(content)
    copy = of(opened("s3://bucket/x") / "deep" / "x")
    assert copy.size() is None
    copy.keep(tmp_path / "x")
    assert [path.name for path in (store / "x" / "deep").iterdir()] == ["x"]
    assert (copy.size(), copy.read(1, 4)) == (size, content[1:5])
    with open(tmp_path / "y", "w+b") as file:
        copy.fetch(file)
        assert file.read() == content
    if size > 8:
        with open(tmp_path / "y", "w+b") as file:
            copy.fetch(file, 2, 5)
            assert file.read() == content[2:7]


def test_copy_that_is_shorter_than_what_is_asked_for(store, small, tmp_path):
    (store / "y").write_bytes(b"123")
    copy = SharedCopy(fs.LocalFileSystem(), str(store / "y"), "s3://bucket/y")
    with open(tmp_path / "y", "w+b") as file, pytest.raises(OSError, match="s3://bucket/y ends too early"):
        copy.fetch(file, 0, 7)


@pytest.mark.parametrize("kind", ["s3", "local"])
def test_file_that_cannot_be_sent_whole_leaves_nothing(tmp_path, small, kind):
    """Arrow's streams publish what they have when they are closed, also by an error."""
    objects, flushed = {"old": b"old"}, []

    class Stream(io.BytesIO):
        def __init__(self, path):
            super().__init__()
            self.path = path

        def write(self, piece):
            if piece == b"678":
                raise KeyboardInterrupt
            return super().write(piece)

        def flush(self):
            flushed.append(self.tell())

        def close(self):
            if not self.closed:
                objects[self.path] = self.getvalue()
            super().close()

    store = SimpleNamespace(
        type_name=kind,
        create_dir=lambda path, recursive: None,
        open_output_stream=Stream,
        move=lambda a, b: objects.update({b: objects.pop(a)}),
        delete_file=objects.__delitem__,
    )
    copy = SharedCopy(store, "bucket/x", "s3://bucket/x")
    (tmp_path / "x").write_bytes(b"0123456789")
    with pytest.raises(KeyboardInterrupt):
        copy.keep(tmp_path / "x")
    assert objects == {"old": b"old"}
    assert flushed == [6]
    (tmp_path / "x").write_bytes(b"0123")
    copy.keep(tmp_path / "x")
    assert objects == {"old": b"old", "bucket/x": b"0123"}


def test_file_goes_to_a_bucket_and_comes_back(s3, tmp_path):
    content = os.urandom(1 << 20) * 12  # more than a part of an upload
    (tmp_path / "x").write_bytes(content)
    copy = of(opened("s3://studies/data/") / "x")
    assert copy.size() is None
    copy.keep(tmp_path / "x")
    copy.keep(tmp_path / "x")  # replaced
    assert (copy.size(), copy.shown) == (len(content), "s3://studies/data/x")
    assert copy.read(len(content) - 3, 9) == content[-3:]
    with open(tmp_path / "y", "w+b") as file:
        copy.fetch(file)
        assert file.read() == content
    objects = s3.list_objects_v2(Bucket="studies")["Contents"]
    assert {o["Key"]: o["Size"] for o in objects} == {"data/": 0, "data/x": len(content)}


def test_bucket_that_is_not_there_is_refused_before_anything_is_made(s3, home):
    with pytest.raises(
        UsageError, match=r"^s3://stud1es/x: there is no bucket stud1es; create it, or give another --c"
    ):
        opened("s3://stud1es/x")
    assert not home.exists()
