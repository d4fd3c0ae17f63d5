"""One driver at a time in a study's folder."""

import os
import subprocess
import sys

import pytest

from sepray.errors import UsageError
from sepray.spec import folder


def test_folder_is_beside_the_work_where_checkpoints_are_remote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder.study_folder("s3://bucket/x", "n", "ab12") == tmp_path / "sepray-results" / "n" / "ab12"
    assert folder.study_folder("out", "n", "ab12") == tmp_path / "out" / "n" / "ab12"
    assert (tmp_path / "out" / "n" / "ab12").is_dir()


def test_trial_has_a_folder_in_that_of_its_stage():
    assert folder.trial_folder("/results/small/12ab", "search", 7) == "/results/small/12ab/search/trial-00007"
    assert folder.trial_folder("s3://bucket/small", "finals", 123456) == "s3://bucket/small/finals/trial-123456"


def test_second_driver_is_refused_until_the_first_is_dead(tmp_path):
    script = (
        "import sys, time, pathlib; from sepray.spec import folder; f = folder.lock(pathlib.Path(sys.argv[1]), 'n')\n"
    )
    script += "print('locked', flush=True); time.sleep(60)"
    first = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "locked\n"
    with pytest.raises(folder.RunningError, match="n is running already"):
        folder.lock(tmp_path, "n")
    first.kill()
    first.wait()
    first.stdout.close()
    folder.lock(tmp_path, "n").close()


def test_lock_is_seen_without_taking_or_making_one(tmp_path):
    assert not folder.is_locked(tmp_path / "none")
    assert not folder.is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    held = folder.lock(tmp_path, "n")
    assert folder.is_locked(tmp_path)
    assert folder.is_locked(tmp_path)  # the first look has not taken it
    held.close()
    assert not folder.is_locked(tmp_path)
    folder.lock(tmp_path, "n").close()


def test_what_is_no_lock_is_not_waited_for(tmp_path):
    """A member of the group may put a pipe there, or a link."""
    os.mkfifo(tmp_path / "lock")
    assert not folder.is_locked(tmp_path)
    assert folder.folder_id(tmp_path) == ""
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").symlink_to("/dev/zero")
    assert not folder.is_locked(tmp_path)
    assert folder.folder_id(tmp_path) == ""


def test_root_is_the_storage_path_where_that_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder.local_root("out") == tmp_path / "out"
    assert folder.local_root("s3://bucket/x") == tmp_path / "sepray-results"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uid", ["../../x", "ab12/..", "..", "", "AB12", "ab12\n", 7.5, None, "a" * 65])
def test_id_that_would_lead_out_of_the_folder_of_studies_is_refused(uid):
    """Whoever may write to a shared storage chooses it; files are written and removed below it."""
    with pytest.raises(UsageError, match="which is none of sepray's: who changed it"):
        folder.checked_uid(uid)
    assert folder.checked_uid("0a1b2c3d") == "0a1b2c3d"


@pytest.mark.parametrize(("name", "can_be"), [("small-1.b_2", True), ("../up", False), ("a/b", False), ("", False)])
def test_name_that_would_lead_out_of_the_folder_of_studies_is_none(name, can_be):
    assert folder.is_name(name) is can_be


def test_identity_of_a_folder_is_what_its_lock_begins_with(tmp_path):
    (tmp_path / "lock").write_bytes(b"ab12\xff\n" + 200 * b" ")
    assert folder.folder_id(tmp_path) == "ab12\ufffd"
    (tmp_path / "lock").write_bytes(150 * b"a")
    assert folder.folder_id(tmp_path) == 100 * "a"
