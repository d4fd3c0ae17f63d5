"""Disk used by a study, by what its files are for."""

import pytest

from sepray.driver.saved_study import SavedStudy
from sepray.results.disk import disk_used


@pytest.fixture
def saved(tmp_path):
    def make(storage_path):
        return SavedStudy("n", "sqlite://", storage_path, {}, "ab12", {}, {})

    return make


FILES = {
    "search/trial-00000/epoch-000001-0123456789abcdef.safetensors": 1,
    "finals/trial-00000/x": 2,
    "start/x": 4,
    "ray/run/x": 8,
    "model/MLmodel": 16,
    "model/data/weights": 32,
    "report.html": 64,
    "figures/a.svg": 128,
    "audio/a.wav": 256,
    "outbox.db": 512,
    "outbox.db-wal": 1024,
    "outbox.db.files/ab/x": 2048,
    "result.json": 4096,
    "lock": 0,
    "models.txt": 8192,
}


def write(folder, files):
    for name, size in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def test_every_file_is_counted_once(tmp_path, saved):
    write(tmp_path / "n" / "ab12", FILES)
    assert disk_used(saved(str(tmp_path))) == {
        "checkpoints": 1 + 2 + 4 + 8,
        "model": 16 + 32,
        "report": 64 + 128 + 256,
        "outbox": 512 + 1024 + 2048,
        "other": 4096 + 8192,
    }


def test_checkpoints_in_an_object_store_are_counted_there(tmp_path, saved, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "bucket" / "n" / "ab12", {"search/trial-00000/x": 5})
    write(tmp_path / "sepray-results" / "n" / "ab12", {"start/x": 7, "model/MLmodel": 9})
    used = disk_used(saved(f"file://{tmp_path}/bucket"))
    assert used == {"checkpoints": 12, "model": 9, "report": 0, "outbox": 0, "other": 0}


def test_study_of_another_machine_uses_nothing_here(tmp_path, saved):
    assert set(disk_used(saved(str(tmp_path))).values()) == {0}
