"""The folder of results: names that fit, and nothing left of what was not written."""

import os
from pathlib import Path

import pytest

from sepray.errors import UsageError
from sepray.models.results_folder import check_names, temporary_folder_beside


def test_longest_name_decides_in_bytes(tmp_path):
    most = os.pathconf(tmp_path, "PC_NAME_MAX")
    fits = tmp_path / ("é" * (most // 2))
    check_names([tmp_path / "short", fits], "wave.wav")
    long = tmp_path / f"{fits.name}é"
    with pytest.raises(UsageError) as refused:
        check_names([fits, long, tmp_path / "short"], "wave.wav")
    assert str(refused.value) == (
        f"wave.wav has too long a name: a result would be called {long.name!r}, {2 * (most // 2 + 1)} bytes where "
        f"{most} are possible; rename the recording"
    )


def test_folder_that_does_not_exist_says_nothing(tmp_path):
    check_names([tmp_path / "none" / ("x" * 999)], "wave.wav")


def test_temporary_folder_lies_in_the_target_and_empty_folders_go(tmp_path):
    target = tmp_path / "a" / "b"
    with temporary_folder_beside(target) as folder:
        assert folder.parent == target
        assert folder.name.startswith(".sepray-")
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_or_there_stays(tmp_path):
    (tmp_path / "there").mkdir()
    with temporary_folder_beside(tmp_path / "there" / "new") as folder:
        (folder / "part").touch()
        (folder / "part").rename(folder.parent / "whole")
    with temporary_folder_beside(tmp_path / "there"):
        pass
    assert [p.relative_to(tmp_path) for p in sorted(tmp_path.rglob("*"))] == [
        Path("there"),
        Path("there/new"),
        Path("there/new/whole"),
    ]


def test_an_error_leaves_nothing_either(tmp_path):
    with pytest.raises(KeyError), temporary_folder_beside(tmp_path / "a"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
