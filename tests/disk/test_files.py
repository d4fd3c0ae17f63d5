"""Files are replaced whole or not at all."""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from sepray.disk import files
from sepray.disk.files import replace_file
from sepray.errors import UsageError


@pytest.mark.parametrize(("content", "written"), [("größer\n", "größer\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_content_is_written_into_a_folder_that_is_made(tmp_path: Path, content, written):
    path = tmp_path / "new" / "folder" / "file"
    replace_file(path, content)
    assert path.read_bytes() == written
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_file_and_folder_are_synced_in_the_right_order(tmp_path: Path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    replace_file(tmp_path / "file", "text")
    assert calls == ["file", "rename", "folder"]


def test_failure_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_need_not_be_durable_is_not_synced_but_whole(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("synced"))
    replace_file(tmp_path / "new" / "file", "text", durable=False)
    assert [(p.name, p.read_text()) for p in (tmp_path / "new").iterdir()] == [("file", "text")]


def test_folder_takes_the_place_of_another_synced_with_all_that_is_in_it(tmp_path, monkeypatch):
    made, place, synced = tmp_path / "made", tmp_path / "model", []
    (made / "code").mkdir(parents=True)
    (made / "code" / "a.py").write_text("a")
    (made / "MLmodel").write_text("new")
    place.mkdir()
    (place / "old").write_text("old")
    sync = os.fsync

    def fsync(descriptor):
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.replace_folder(place, made)
    assert sorted(p.name for p in place.rglob("*")) == ["MLmodel", "a.py", "code"]
    own = [path.relative_to(made) for path in synced if path.is_relative_to(made)]
    assert set(map(str, own)) == {"MLmodel", "code", "code/a.py", "."}
    assert synced[-1] == tmp_path  # the folder that has the name, after the rename


def test_no_folder_behind_a_link_that_came_meanwhile_gives_way(tmp_path):
    """A model takes seconds to make, in which a member of the group may put a link in the place of its study."""
    made = tmp_path / "study" / ".model-x" / "model"
    made.mkdir(parents=True)
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "thesis").touch()
    (tmp_path / "study").rename(tmp_path / "away")
    (tmp_path / "study").symlink_to("mine")
    with pytest.raises(FileNotFoundError):
        files.replace_folder(tmp_path / "study" / "model", made)
    assert (tmp_path / "mine" / "model" / "thesis").exists()


def test_durable_rename_syncs_the_folder_after_it(tmp_path, monkeypatch):
    (tmp_path / "made").write_text("new")
    seen = []
    monkeypatch.setattr(files, "sync_folder", lambda folder: seen.append((folder, sorted(os.listdir(folder)))))
    files.rename_durably(tmp_path / "made", tmp_path / "file")
    assert seen == [(tmp_path, ["file"])]


def test_a_new_file_never_opens_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "0" * count)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".a.0000.partial").symlink_to(victim)
    with pytest.raises(FileExistsError), files.file_beside(tmp_path / "a", suffix=".partial"):
        pass
    assert victim.read_text() == "precious"


def test_a_new_file_is_gone_unless_it_was_renamed_and_has_the_mode(tmp_path):
    before = os.umask(0)
    try:
        with files.file_beside(tmp_path / "a", 0o640, ".partial") as (temporary, file):
            assert (temporary.parent, temporary.suffix) == (tmp_path, ".partial")
            file.write(b"abc")
            file.seek(1)
            assert file.read() == b"bc"
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o640
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_made_folder_is_whole_synced_and_made_once(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def fsync(descriptor):
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def fail(made):
        (made / "a").write_text("a")
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "cache" / "folder"
    with pytest.raises(KeyboardInterrupt):
        files.make_folder(folder, fail)
    assert list(folder.parent.iterdir()) == []
    files.make_folder(folder, lambda made: (made / "a").write_text("a"))
    assert [path.name for path in synced] == ["a", "made", "cache"]
    files.make_folder(folder, lambda made: pytest.fail("made again"))
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("a", "a")]
    assert list(folder.parent.iterdir()) == [folder]


def test_folder_that_another_process_makes_first_stays(tmp_path):
    folder = tmp_path / "folder"

    def fill(made):
        folder.mkdir()
        (folder / "first").touch()
        (made / "second").touch()

    files.make_folder(folder, fill)
    assert [path.name for path in folder.iterdir()] == ["first"]


def test_folder_that_cannot_be_renamed_is_no_folder_that_is_there(tmp_path):
    with pytest.raises(NotADirectoryError):
        files.make_folder(tmp_path / "folder", lambda made: (tmp_path / "folder").touch())
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_files_are_moved_into_a_folder_over_their_names_alone(tmp_path):
    made, folder = tmp_path / "made", tmp_path / "folder"
    for place in (made, folder):
        place.mkdir()
        (place / "a").write_text(place.name)
    (folder / "b").write_text("other")
    files.move_files(made, folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "made", "b": "other"}
    assert list(made.iterdir()) == []


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_disk_that_cannot_sync_a_folder_is_used_all_the_same(tmp_path, monkeypatch, number, raised):
    def fsync(descriptor):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="no") if raised else contextlib.nullcontext():
        files.sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": [1]}', {"a": [1]}), ("", None), ('{"a": ', None), ("[" * 10**5, None), (None, None)]
)
def test_json_that_cannot_be_read_is_absent(tmp_path, text, value):
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text)
    assert files.read_json(path) == value


@pytest.mark.parametrize("kind", ["pipe", "device", "link", "holes", "folder"])
def test_what_sepray_has_not_put_there_is_no_json_and_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "result.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "holes":
        with path.open("wb") as file:
            file.truncate(10**13)
    else:
        (tmp_path / "a").write_text("{}")
        path.symlink_to("/dev/zero" if kind == "device" else "a")
    with contextlib.nullcontext() if kind == "holes" else pytest.raises(OSError, match="result"):
        files.open_regular(path).close()
    assert files.read_json(path) is None
    if kind == "pipe":
        with pytest.raises(OSError, match="it is no file"):
            files.open_lock(path)


def test_links_that_lead_out_of_a_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("SEPRAY_FOLLOW_LINKS", raising=False)
    data, outside = tmp_path / "data", tmp_path / "outside"
    for folder in (data, outside):
        folder.mkdir()
        (folder / "a.wav").write_text("")
    (data / "inside.wav").symlink_to(data / "a.wav")
    (tmp_path / "named").symlink_to(data)  # by the user
    files.refuse_links([data / "a.wav", data / "inside.wav"], data)
    files.refuse_links([tmp_path / "named" / "a.wav"], tmp_path / "named")
    (data / "file.wav").symlink_to(outside / "a.wav")
    (data / "folder").symlink_to(outside)
    for path in (data / "file.wav", data / "folder" / "a.wav", data / ".." / "outside" / "a.wav"):
        with pytest.raises(UsageError, match=rf"^{path} is a link that leads out of {data}; copy what it leads to, or"):
            files.refuse_links([data / "a.wav", path], data)
    monkeypatch.setenv("SEPRAY_FOLLOW_LINKS", "1")
    files.refuse_links([data / "file.wav"], data)


def test_a_begun_file_has_the_rights_that_the_umask_leaves_and_an_old_one_keeps_its(tmp_path):
    with files.kept_private(shared=True):
        files.create_for_sqlite(tmp_path / "a.db")
    assert (tmp_path / "a.db").stat().st_mode & 0o777 == 0o660
    (tmp_path / "a.db").write_text("old")
    with files.kept_private(shared=False):
        files.create_for_sqlite(tmp_path / "a.db")
        files.create_for_sqlite(tmp_path / "none" / "b.db")  # SQLite will say why
    assert (tmp_path / "a.db").read_text() == "old"
    assert (tmp_path / "a.db").stat().st_mode & 0o777 == 0o660
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    files.create_for_sqlite(tmp_path / "link")
    assert not (tmp_path / "theirs").exists()


def test_lock_that_another_holds_for_ever_is_not_waited_for_for_ever(tmp_path):
    """Everybody who may look into a folder can hold its lock."""
    held = os.open(tmp_path, os.O_RDONLY)
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        with files.locked(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(held, fcntl.LOCK_EX)
        for patience in (0.0, 0.05):
            with files.locked(tmp_path, patience):
                pass
    finally:
        os.close(held)
        os.close(other)


@pytest.mark.parametrize(("patience", "is_taken"), [(0.0, False), (0.9, False), (1.1, True)])
def test_lock_is_taken_where_its_holder_lets_go_within_the_patience(tmp_path, monkeypatch, patience, is_taken):
    held, slept = files.open_lock(tmp_path / "lock"), []
    assert files.take_lock(held, 0.0)

    def sleep(seconds):
        slept.append(seconds)
        if sum(slept) > 1.0:
            held.close()

    clock = SimpleNamespace(monotonic=lambda: 7.0 + sum(slept), sleep=sleep)
    monkeypatch.setattr(files, "time", clock)
    with files.open_lock(tmp_path / "lock") as other:
        assert files.take_lock(other, patience) is is_taken
    assert sum(slept) == pytest.approx(min(patience, 1.02), abs=0.021)
    held.close()


def test_file_system_without_locks_is_an_error_for_files_and_none_for_folders(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with files.open_lock(tmp_path / "lock") as file, pytest.raises(OSError, match="No locks available"):
        files.take_lock(file, 1.0)
    with files.locked(tmp_path):
        pass


def test_whole_numbers_of_json_are_no_longer_than_any(tmp_path):
    (tmp_path / "a.json").write_text(f"[{'9' * 30}, -{'9' * 29}]")
    assert files.read_json(tmp_path / "a.json") == [10**30 - 1, 1 - 10**29]
    (tmp_path / "a.json").write_text(f"[{'9' * 31}]")
    assert files.read_json(tmp_path / "a.json") is None


def test_folder_is_made_beside_its_place_so_that_it_can_be_renamed(tmp_path: Path):
    seen = []
    files.make_folder(tmp_path / "new" / "folder", lambda made: seen.append(made))
    [made] = seen
    assert made.parent.parent == tmp_path / "new"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["folder"]
