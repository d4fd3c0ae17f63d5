"""Files that commands write are their user's alone, or the group's where that was asked for."""

import os
import stat
from pathlib import Path

import optuna
import pytest
import soundfile

from sepray.cli import application
from sepray.disk.files import kept_private
from sepray.search.storage import connect
from sepray.spec.folder import study_folder
from sepray.tracking.outbox import Outbox, RunKey

from .conftest import slow_wave


@pytest.fixture(autouse=True)
def _open_umask():
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022  # of what runs afterwards in this process


def modes(folder: Path) -> dict[str, set[int]]:
    """Return the modes of files and folders below a folder, of those that were not there before."""
    found: dict[str, set[int]] = {"files": set(), "folders": set()}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        found["folders" if stat.S_ISDIR(mode) else "files"].add(stat.S_IMODE(mode))
    return found


@pytest.mark.parametrize(("mode", "mask"), [(0o700, 0o077), (0o755, 0o077), (0o770, 0o007), (0o775, 0o007)])
def test_what_is_written_beside_a_study_is_as_its_folder(tmp_path, mode, mask):
    (tmp_path / "study").mkdir(mode=0o700)
    (tmp_path / "study").chmod(mode)
    (tmp_path / "link").symlink_to("study")
    before = os.umask(0o077)
    try:
        application.share_like(tmp_path / "study")
        assert os.umask(0o077) == mask
        for name in ("nothing", "link"):
            application.share_like(tmp_path / name)
            assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)


@pytest.mark.timeout(180)
def test_report_of_a_shared_study_is_the_groups(tmp_path, run, study):
    study()
    folder = study_folder("sepray-results", "small", "12ab")
    folder.chmod(0o770)
    run("report", "small", "--cache", tmp_path / "cache", "--tracking-uri", "http://127.0.0.1:9")
    assert (folder / "report.html").is_file()
    assert modes(folder)["files"] == {0o660}
    assert modes(folder)["folders"] <= {0o770}
    assert modes(tmp_path / "cache")["files"] == {0o640}


@pytest.mark.timeout(180)
def test_reconcile_leaves_what_nobody_else_reads(tmp_path, run, study):
    study().set_user_attr("told", None)
    run("reconcile", "small", "--cache", tmp_path / "cache", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db")
    assert stat.S_IMODE((tmp_path / "mlflow.db").stat().st_mode) == 0o600
    assert modes(tmp_path / "sepray-results") == {"files": {0o600}, "folders": {0o700}}


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("flags", "file", "folder"), [((), 0o600, 0o700), (("--shared",), 0o660, 0o770)])
def test_separated_recordings_are_private_or_the_groups(tmp_path, run, models, flags, file, folder):
    soundfile.write("belly.wav", slow_wave(128, 8).T, 128)
    run("separate", models.half, "belly.wav", "-o", "deep/out", *flags)
    assert modes(tmp_path / "deep") == {"files": {file}, "folders": {folder}}
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == folder


@pytest.mark.parametrize(("shared", "file"), [(False, 0o600), (True, 0o660)])
def test_databases_of_a_shared_study_are_the_groups(tmp_path, shared, file):
    with kept_private(shared):
        optuna.create_study(storage=connect(f"sqlite:///{tmp_path}/optuna.db"))
        outbox = Outbox(tmp_path / "outbox.db")
        outbox.put(RunKey("s"), "name", {"name": "n"})
        assert modes(tmp_path) == {"files": {file}, "folders": set()}  # with the logs that SQLite keeps beside
        outbox.close()
