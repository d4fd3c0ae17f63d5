"""Bombs keep within twice the memory of honest data of the size that they promise, and are refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .bombs import BOMBS, HONEST

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    """Return the results of all files, each read under its limits in a process of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    folder = tmp_path_factory.mktemp("bombs")
    command = [sys.executable, "-m", "tests.hostile.bombs", str(folder)]
    result = subprocess.run(command, cwd=ROOT, env=os.environ | threads, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_one_line_that_names_them(outcomes, name):
    outcome = outcomes[name]
    assert outcome.startswith("refused: ")
    assert "/" + BOMBS[name].name in outcome
    assert "\n" not in outcome
    assert len(outcome) < 400
    for word in ("Memory", "allocate"):  # the limit is not what refuses it
        assert word not in outcome


@pytest.mark.parametrize("name", HONEST)
def test_large_recordings_are_read_a_block_at_a_time(outcomes, name):
    assert outcomes[name] == "read"
