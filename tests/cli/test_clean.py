"""``sepray clean``: of which studies, what it says, asks and leaves alone; what is needless is in ``tests/results``."""

import os
import time

import pytest

from sepray.execution import checkpoint
from sepray.spec.folder import lock, study_folder

WEIGHTS = "weights of 1 trial that nobody needs any more (their curves are kept)"


def trial(kept, study, number=1):
    [folder] = (kept / study).iterdir()
    return f"{folder}/search/trial-{number:05d}"


def test_all_studies_of_a_storage_are_cleaned(run, kept, terminal):
    answers, asked = terminal
    answers.append("y")
    size = checkpoint.tensor_bytes(trial(kept, "finished"))
    history = checkpoint.newest(trial(kept, "finished")).metadata["history"]
    lines = run("clean").splitlines()
    words = f"{size / 1024:.1f} KiB"
    # "published" has but the published settings, and "halfway" goes on.
    assert lines == [f"finished: {WEIGHTS}, {words}", f"{words} are freed"]
    assert len(asked) == 1
    left = checkpoint.newest(trial(kept, "finished"))
    assert (left.tensors, left.metadata["history"]) == ({}, history)
    assert run("clean", "--yes") == "there is nothing to delete\n"
    assert checkpoint.newest(trial(kept, "halfway")).tensors


def test_dry_run_says_the_same_and_deletes_nothing(run, kept):
    said = run("clean", "--dry-run").splitlines()
    assert checkpoint.tensor_bytes(trial(kept, "finished")) > 0
    done = run("clean", "--yes").splitlines()
    assert said[:-1] == done[:-1]
    assert said[-1] == done[-1].replace("are freed", "would be freed")


@pytest.mark.parametrize("answer", ["n", ""])
def test_other_answers_delete_nothing(run, kept, terminal, answer):
    terminal[0].append(answer)
    assert run("clean").splitlines()[-1] == "nothing is deleted"
    assert checkpoint.tensor_bytes(trial(kept, "finished")) > 0


def test_without_a_terminal_and_without_yes_it_refuses(run, kept):
    assert run("clean", status=2) == (
        "sepray: nothing is deleted without an answer: run it in a terminal, or give --yes\n"
    )
    assert checkpoint.tensor_bytes(trial(kept, "finished")) > 0


def test_one_study_by_its_name(run, kept):
    assert run("clean", "halfway", "--yes") == "there is nothing to delete\n"
    assert checkpoint.tensor_bytes(trial(kept, "finished")) > 0
    assert WEIGHTS in run("clean", "finished", "--yes")
    assert run("clean", "none", "--yes", status=2).startswith("sepray: no study 'none' in sqlite:///optuna.db; there")


def test_running_study_is_left_alone(run, kept):
    [folder] = (kept / "finished").iterdir()
    message = "finished is running already, in another process on this machine"
    with lock(folder, "finished"):
        assert run("clean", "--yes") == f"left alone: {message}\nthere is nothing to delete\n"
        assert run("clean", "finished", "--yes", status=2) == f"sepray: {message}\n"
    assert checkpoint.tensor_bytes(trial(kept, "finished")) > 0


def test_folders_of_no_study_are_named_and_deleted_only_where_that_is_asked_for(run, kept):
    gone = study_folder("sepray-results", "gone", "0a1b2c3d")
    (gone / "lock").write_text("12345")
    [line] = run("clean", "--yes").splitlines()[:1]
    assert line == ("left alone: 1 folder of a study that this storage does not have, 5 B (--orphans deletes them)")
    assert gone.exists()
    lines = run("clean", "--orphans", "--yes").splitlines()
    assert lines == [
        "1 folder of a study that this storage does not have, 5 B",
        f"  {gone}, 5 B",
        "5 B are freed",
    ]
    assert not gone.exists()
    assert sorted(path.name for path in kept.iterdir()) == ["finished", "halfway", "published"]
    assert run("clean", "finished", "--orphans", "--yes", status=2).startswith("sepray: --orphans deletes folders")


def test_old_entries_of_the_cache(run, study, tmp_path):
    study()
    (tmp_path / "cache").mkdir()
    old, new = (tmp_path / "cache" / f"ecg-{digit * 16}.safetensors" for digit in "01")
    for path in (old, new):
        path.write_bytes(b"xyz")
    os.utime(old, (time.time() - 5 * 86400,) * 2)
    given = ["clean", "--yes", "--cache", tmp_path / "cache"]
    assert run(*given) == "there is nothing to delete\n"
    assert run(*given, "--cache-data", "6") == "there is nothing to delete\n"
    assert run(*given, "--cache-data", "4") == "1 entry of the data cache, 3 B\n3 B are freed\n"
    assert (old.exists(), new.exists()) == (False, True)
    assert run(*given, "--cache-data", "0").startswith("1 entry")
    assert run(*given, "--cache-data", "-1", status=2) == "sepray: --cache-data must be at least 0, not -1\n"
    assert run(*given, "--cache-data", "nan", status=2) == "sepray: --cache-data must be at least 0, not nan\n"


def test_stores_are_those_that_were_given(run, study, tmp_path):
    study("sqlite:///there.db")
    folder = study_folder("there", "small", "12ab")
    study_folder("there", "gone", "0a1b2c3d").joinpath("lock").touch()
    (folder / "ray").mkdir()
    (folder / "ray" / "x").write_bytes(b"xy")
    printed = run("clean", "--yes", "--storage", "sqlite:///there.db", "--storage-path", "there")
    assert printed.splitlines() == [
        "left alone: 1 folder of a study that this storage does not have, 0 B (--orphans deletes them)",
        "small: 1 leftover of killed processes, 2 B",
        "2 B are freed",
    ]
    assert not (folder / "ray").exists()
