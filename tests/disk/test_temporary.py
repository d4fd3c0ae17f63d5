"""Folders for a while: those of processes that were killed go with the next start, and nothing else does."""

import errno
import fcntl
import importlib
import os
import signal
import subprocess
import sys

import pytest

from sepray.contracts import Signal
from sepray.disk import temporary
from sepray.errors import UsageError

HOLDER = """
import sys, time
from sepray.contracts import Signal
from sepray.disk import temporary
from sepray.errors import UsageError
path = temporary.make(temporary.RAY, sys.argv[1])
open(path + "/token", "w").close()
print(path, flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a folder, and the folder."""
    pipes = {"stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "tmp")], **pipes)
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def _parent(tmp_path):
    (tmp_path / "tmp").mkdir()


def test_folder_of_a_killed_process_goes_with_the_next_start(tmp_path, holder):
    process, left = holder
    parent = str(tmp_path / "tmp")
    first = temporary.make("sepray-model-", parent)
    assert sorted(os.listdir(parent)) == sorted(os.path.basename(path) for path in (left, first))  # it is still held
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("x")
    os.makedirs(f"{left}/session/logs")
    os.symlink(victim, f"{left}/session/link")
    os.symlink(victim, f"{left}/link")
    process.send_signal(signal.SIGKILL)
    process.wait()
    second = temporary.make(temporary.RAY, parent)
    assert sorted(os.listdir(parent)) == sorted(os.path.basename(path) for path in (first, second))
    assert (victim / "precious").read_text() == "x"
    assert os.stat(second).st_mode & 0o777 == 0o700
    for path in (first, second):
        temporary.remove(path)
    assert os.listdir(parent) == []


def test_links_and_other_folders_stay(tmp_path):
    parent, victim = tmp_path / "tmp", tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("x")
    (parent / "sepray.abcdefgh").symlink_to(victim)
    for name in ("sepray.abcdefghi", "sepray-abcdefgh", "another.abcdefgh"):
        (parent / name).mkdir()
    (parent / "sepray.abcdefg1").write_text("a file")
    before = sorted(os.listdir(parent))
    for end in (
        ".abcdef12",
        "-model-abcdefgh",
        "-separate-a_cdefgh",
        "-dry-run-abcdefgh",
        "-items-abcdefgh",
        "-compiled-abcdefgh",
    ):
        (parent / f"sepray{end}").mkdir()  # what killed processes have left
    with temporary.folder("sepray-separate-") as path:
        assert os.path.dirname(path) == os.environ.get("TMPDIR", "/tmp")
    temporary.remove(temporary.make(temporary.RAY, str(parent)))
    assert sorted(os.listdir(parent)) == before
    assert (victim / "precious").read_text() == "x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_folder_of_another_user_stays(tmp_path):
    theirs = tmp_path / "tmp" / "sepray.abcdefgh"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    temporary.remove(temporary.make(temporary.RAY, str(tmp_path / "tmp")))
    assert theirs.is_dir()


@pytest.mark.parametrize("there", ["nothing", "own", "file", "link", "writable by all", "no name"])
def test_what_torch_compiles_is_kept_where_nobody_else_writes(tmp_path, monkeypatch, there):
    """A file of that name, which anybody may make, kept torch's optimizers from being imported."""
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary.getpass, "getuser", lambda: "me\\lab")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr(temporary.atexit, "register", lambda *_: None)
    place = tmp_path / "torchinductor_me_lab"
    if there == "file":
        place.touch()
    elif there == "link":
        place.symlink_to(tmp_path / "tmp")
    elif there == "no name":
        monkeypatch.setattr(temporary.getpass, "getuser", lambda: {}["uid"])
    elif there != "nothing":
        place.mkdir()
        place.chmod(0o700 if there == "own" else 0o777)
    temporary.keep_compiled_private()
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if there in ("nothing", "own"):
        assert (given, place.stat().st_mode & 0o777) == ("", 0o700)
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "chosen")
        place.rmdir()
        temporary.keep_compiled_private()
        assert (os.environ["TORCHINDUCTOR_CACHE_DIR"], place.exists()) == ("chosen", False)
    else:
        assert os.path.basename(given).startswith("sepray-compiled-")
        assert os.stat(given).st_mode & 0o777 == 0o700
        temporary.keep_compiled_private()
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == given
        temporary.remove(given)


def test_folder_that_another_machine_holds_stays(tmp_path):
    """This process sees only the lock of the other machine's file."""
    parent = str(tmp_path / "tmp")
    theirs = tmp_path / "tmp" / "sepray-items-abcdefgh"
    theirs.mkdir()
    with (theirs / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        own = temporary.make("sepray-items-", parent, shared=True)
        assert theirs.is_dir()
        with open(f"{own}/.lock", "r+") as ours, pytest.raises(BlockingIOError):
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
    temporary.remove(temporary.make("sepray-items-", parent))
    assert os.listdir(parent) == [os.path.basename(own)]
    temporary.remove(own)


def test_folder_that_another_machine_removes_at_once_is_made_again(tmp_path, monkeypatch):
    locked, removed = temporary._locked, []

    def lock(path):
        descriptor = locked(path)
        if not removed:
            os.rmdir(path)
            removed.append(path)
        return descriptor

    monkeypatch.setattr(temporary, "_locked", lock)
    own = temporary.make("sepray-items-", str(tmp_path), shared=True)
    assert own not in removed
    assert os.listdir(own) == [".lock"]
    assert removed[0] not in temporary._held
    temporary.remove(own)


def test_disk_without_locks_has_folders_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(temporary.fcntl, "flock", refuse)
    path = temporary.make("sepray-items-", str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(["tmp", os.path.basename(path)])
    temporary.remove(path)
    assert os.listdir(tmp_path) == ["tmp"]


@pytest.mark.parametrize("module", ["training.trainer", "loading"])
def test_before_a_separator_is_built_what_torch_compiles_has_its_place(monkeypatch, module):
    from sepray.separators import constant_mask

    builder, told = importlib.import_module(f"sepray.{module}"), []
    monkeypatch.setattr(builder, "keep_compiled_private", lambda: told.append("place"))
    monkeypatch.setattr(constant_mask.Config, "build", lambda *_: told.append("built"))
    signal = Signal(("a", "b"), 1, (8,), 8.0)
    if module == "loading":
        with pytest.raises(UsageError):  # what was built is none
            builder.build_separator(constant_mask.Config(), signal)
    else:
        builder.build(constant_mask.Config(), signal, 0)
    assert told == ["place", "built"]
