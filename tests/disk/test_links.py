"""Links below a folder are refused, and nothing is deleted through one; the folder itself may be a link."""

import errno
import os
import stat

import pytest

from sepray.disk import links
from sepray.errors import UsageError
from sepray.search.storage import connect
from sepray.tracking.environment import resolve_uri


@pytest.fixture
def top(tmp_path):
    """A folder of studies behind a link of its user's, and a private folder beside it."""
    (tmp_path / "private" / "deep").mkdir(parents=True)
    (tmp_path / "private" / "thesis").write_text("mine")
    (tmp_path / "disk" / "study" / "uid").mkdir(parents=True)
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    return tmp_path / "results"


def test_path_below_a_link_of_the_users_is_taken(top):
    assert links.refuse(top / "study" / "uid" / "none", top) == top / "study" / "uid" / "none"


@pytest.mark.parametrize("place", ["other", "study/uid/figures"])
def test_links_below_are_refused(top, place):
    (top / place).symlink_to(top.parent / "private")
    for path in (top / place, top / place / "thesis"):
        with pytest.raises(UsageError, match=rf"^{top / place} is a link, which sepray has not made"):
            links.refuse(path, top)


@pytest.mark.parametrize("path", ["../private", "study/../../private", "."])
def test_what_is_not_below_is_refused(top, path):
    with pytest.raises(UsageError, match="is not below"):
        links.remove(top / path, top)
    assert (top.parent / "private" / "thesis").read_text() == "mine"


def test_links_are_deleted_and_what_they_lead_to_stays(top):
    (top / "study" / "uid" / "in").symlink_to(top.parent / "private")
    (top / "study" / "out").symlink_to(top.parent / "private")
    for path in ("study/uid", "study/out", "study/none", "none/deep"):
        links.remove(top / path, top)
    assert list((top / "study").iterdir()) == []
    assert (top.parent / "private" / "thesis").read_text() == "mine"
    (top / "file").touch()
    links.remove(top / "file", top)
    assert [path.name for path in top.iterdir()] == ["study"]


def test_nothing_is_deleted_behind_a_link(top, monkeypatch):
    (top / "other").symlink_to(top.parent / "private")
    with pytest.raises(UsageError, match=r"other is a link"):
        links.remove(top / "other" / "deep", top)
    monkeypatch.setattr(links, "refuse", lambda path, top: path)  # the link was put there after the look
    with pytest.raises(UsageError, match=r"other is a link"):
        links.remove(top / "other" / "deep", top)
    assert sorted(os.listdir(top.parent / "private")) == ["deep", "thesis"]


def test_files_below_are_no_links(top):
    (top / "study" / "x").touch()
    (top / "study" / "y").symlink_to(top.parent / "private" / "thesis")
    (top / "study" / "z").symlink_to(top.parent / "private")
    assert list(links.files_below(top)) == [top / "study" / "x"]
    assert links.any_below(top / "study")
    assert links.any_below(top)
    assert not links.any_below(top / "study" / "uid")
    assert not links.any_below(top / "none")


def test_folder_above_is_the_highest_at_most(tmp_path):
    assert links.ancestor(tmp_path / "a" / "b", 2) == tmp_path
    assert str(links.ancestor(tmp_path, 99)) == "/"


def test_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "b" / "report.html"
    links.write(path, tmp_path, b"old")
    links.write(path, tmp_path, b"new")
    assert path.read_bytes() == b"new"
    monkeypatch.setattr(links.os, "fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        links.write(path, tmp_path, b"newer")
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [("report.html", b"new")]


def test_a_link_that_comes_after_the_look_is_not_written_through(tmp_path, monkeypatch):
    """A folder that gives way to a link between the look and the opening, or between the opening and the rename."""
    (tmp_path / "private").mkdir()
    study = tmp_path / "study"
    study.mkdir()

    def swapped():
        study.rename(tmp_path / "away")
        study.symlink_to("private")

    with monkeypatch.context() as patch:
        looked = links.refuse
        patch.setattr(links, "refuse", lambda path, top: (looked(path, top), swapped()))
        with pytest.raises(UsageError, match="is a link"):
            links.write(study / "report.html", tmp_path, b"theirs")
    study.unlink()
    (tmp_path / "away").rename(study)
    synced = os.fsync
    monkeypatch.setattr(links.os, "fsync", lambda descriptor: (synced(descriptor), study.is_symlink() or swapped()))
    links.write(study / "report.html", tmp_path, b"mine")
    assert list((tmp_path / "private").iterdir()) == []
    assert (tmp_path / "away" / "report.html").read_bytes() == b"mine"


@pytest.fixture
def of_another(monkeypatch):
    """Makes a link that another user has made."""

    def made(link, target):
        link.symlink_to(target)
        if own := os.geteuid():
            monkeypatch.setattr(os, "geteuid", lambda: own + 1)
        else:
            os.lchown(link, 65534, -1)

    return made


def test_link_of_another_user_in_the_place_of_a_database_is_refused(tmp_path, of_another):
    victim = tmp_path / "victim"
    victim.mkdir()
    own = tmp_path / "own.db"
    own.symlink_to(victim / "own.db")
    assert links.refuse_of_others(own) == own
    assert links.refuse_of_others(tmp_path / "none.db") == tmp_path / "none.db"
    of_another(tmp_path / "optuna.db", victim / "other.db")
    place = tmp_path / "optuna.db"
    for refused in (
        lambda: links.refuse_of_others(place),
        lambda: connect(f"sqlite:///{place}"),
        lambda: connect(f"journal://{place}"),
        lambda: resolve_uri("sqlite:///optuna.db", tmp_path),
        lambda: resolve_uri(str(place)),
    ):
        with pytest.raises(UsageError, match=r"optuna\.db is a link, which sepray has not made"):
            refused()
    assert not list(victim.iterdir())


@pytest.mark.parametrize(("number", "passes"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_disk_that_cannot_sync_folders_is_written_to_and_one_that_fails_is_told(tmp_path, monkeypatch, number, passes):
    synced = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        synced(descriptor)

    monkeypatch.setattr(links.os, "fsync", fsync)
    path = tmp_path / "report.html"
    if passes:
        links.write(path, tmp_path, b"new")
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(OSError, match=os.strerror(number)) as failure:
            links.write(path, tmp_path, b"new")
        assert (failure.value.errno, failure.value.filename) == (number, str(path))


@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
def test_pipe_in_the_place_of_a_database_or_beside_it_is_not_waited_for(tmp_path, end):
    place = tmp_path / "optuna.db"
    if end:
        place.touch()
    os.mkfifo(f"{place}{end}")
    for refused in (
        lambda: connect(f"sqlite:///{place}"),
        lambda: connect(f"journal://{place}"),
        lambda: resolve_uri(str(place)),
    ):
        with pytest.raises(UsageError, match=rf"optuna\.db{end} is no file of a database: remove it"):
            refused()


def test_interruption_just_after_the_rename_stays_one(tmp_path, monkeypatch):
    replace = os.replace

    def interrupted(*given, **named):
        replace(*given, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(links.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        links.write(tmp_path / "a" / "b.txt", tmp_path, b"new")
    assert [path.read_bytes() for path in (tmp_path / "a").iterdir()] == [b"new"]
