"""Two real drivers of one study, several studies at once in an empty folder, and a folder that was moved or copied."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from optuna.trial import TrialState

from .conftest import Laboratory, opened
from .test_interruption import SLOW, assert_everything_once, is_halfway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
QUICK = ("--trials", "2", "--max-epochs", "2", "--final-seeds", "1", "--concurrency", "1")


def contents(folder):
    """All files with their sizes and times, and the rows of both databases."""
    files = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    files = {path: stat for path, stat in files.items() if ".db" not in path.name and "__pycache__" not in path.parts}
    rows = []
    for name in ("optuna.db", "mlflow.db"):
        connection = sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)
        rows.append(list(connection.iterdump()))
        connection.close()
    return files, rows


def test_second_driver_is_refused_and_takes_over_where_it_is_told_to(laboratory):
    first = laboratory.start(*SLOW)
    laboratory.wait(lambda: is_halfway(laboratory), first)
    refused = laboratory.run(*SLOW, "--trials", "9", status=2)
    assert re.search(
        rf"lab: lab is held by .* on .*, process {first.pid}, since .* \(heartbeat \d+ s ago\); --take-over", refused
    )
    printed = laboratory.run(*SLOW, "--take-over", timeout=300)
    stopped, _ = first.communicate(timeout=60)
    assert first.returncode == 2, stopped
    assert re.search(r"lab: .* has taken the study over at \d\d:\d\d; this driver has stopped", stopped)
    assert "Traceback" not in stopped
    assert laboratory.champion(printed)
    assert_everything_once(laboratory, trials=4, epochs=5)
    assert [t.state for t in laboratory.trials()] == [TrialState.COMPLETE] * 4


def test_studies_that_start_at_once_in_an_empty_folder_all_work(laboratory):
    names = "one other"
    command = [sys.executable, "study.py", *QUICK, "--name"]
    done = subprocess.run(
        ["xargs", "-n", "1", "-P", "8", *command],
        input=names,
        cwd=laboratory.folder,
        env=laboratory.environment,
        text=True,
        capture_output=True,
        timeout=350,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    for name in names.split():
        assert [t.state for t in laboratory.trials(name)] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_folder_that_was_moved_or_copied_goes_on_and_leaves_the_original_alone(laboratory, tmp_path_factory, how):
    laboratory.run(*QUICK)
    there = tmp_path_factory.mktemp("there") / "renamed"
    before = contents(laboratory.folder)
    if how == "moved":
        os.rename(laboratory.folder, there)
    else:
        shutil.copytree(laboratory.folder, there)
    with opened(Laboratory(there, {})) as elsewhere:
        model = "models:/my-separator-my-task@champion"
        assert "over 40 items" in elsewhere.sepray("evaluate", model).stdout
        elsewhere.run(*QUICK, "--trials", "3")
        assert_everything_once(elsewhere, trials=3, epochs=2)
        assert "shape (3, 2, 1, 50)" in elsewhere.load_elsewhere(model)
    if how == "moved":
        assert not laboratory.folder.exists()
    else:
        assert contents(laboratory.folder) == before


def test_changed_separator_is_named_and_goes_on_where_that_is_allowed(laboratory):
    laboratory.run(*QUICK)
    file = laboratory.folder / "my_separator.py"
    file.write_text(file.read_text().replace("taps // 2", "taps // 2 + 0"))
    refused = laboratory.run(*QUICK, "--trials", "3", status=2)
    assert "lab: my_separator.py has changed since the last start of lab: undo that" in refused
    laboratory.run(*QUICK, "--trials", "3", "--allow-changed-code")
    tags = laboratory.query(
        "select t.value, c.value from tags t left join tags c on c.run_uuid = t.run_uuid and c.key = 'changed_code' "
        "join tags s on s.run_uuid = t.run_uuid and s.key = 'stage' and s.value = 'search' where t.key = 'trial'"
    )
    assert sorted(tags) == [("0", None), ("1", None), ("2", "my_separator")]
