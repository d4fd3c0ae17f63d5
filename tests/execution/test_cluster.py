"""What of the cluster needs no cluster: threads, the CPUs of a Ray of one's own, the code that is shipped."""

import math
import os
import sys

import pytest

from sepray.execution import cluster
from sepray.execution.cluster import threads

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.mark.parametrize(("cpus", "count"), [(0.25, 1), (1.0, 1), (1.9, 1), (2.0, 2), (6.5, 6), (0.0, 1)])
def test_trial_has_as_many_threads_as_whole_cpus_and_at_least_one(cpus, count):
    assert threads(cpus) == count


@pytest.fixture
def started(monkeypatch):
    """The arguments with which a Ray of this process's own was started."""
    calls = []
    for name in (*THREADS, *cluster._ALLOCATOR):
        monkeypatch.setenv(name, "64")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr(cluster.ray, "init", lambda *args, **options: calls.append(options))
    return calls


@pytest.mark.parametrize(
    ("concurrency", "cpus", "expected"),
    [(3, 1.0, 3), (3, 0.5, 2), (2, 4.0, 8), (1, 0.25, 1), (5, 0.0, None)],
)
def test_ray_of_ones_own_has_the_cpus_of_as_many_trials(started, concurrency, cpus, expected):
    cluster._start(concurrency, cpus, 0.0)
    [options] = started
    assert options["num_cpus"] == (expected if cpus else 1)
    assert options["include_dashboard"] is False
    assert {os.environ[name] for name in THREADS} == {str(threads(cpus))}
    assert os.environ["MALLOC_TRIM_THRESHOLD_"] == str(2**28)
    assert os.environ["MALLOC_MMAP_THRESHOLD_"] == "64"  # the user's own


def test_ray_of_ones_own_fills_the_cpus_that_this_process_may_use(started, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for cpus, expected in ((1.0, 6), (0.5, 6), (4.0, 4), (16.0, 16)):
        cluster._start(0, cpus, 0.0)
        assert started[-1]["num_cpus"] == expected == math.ceil(max(1, 6 // cpus) * cpus)


def test_error_is_told_by_its_first_line():
    assert cluster._first_line(ConnectionError("\nno answer\nTraceback ...")) == "no answer"
    assert cluster._first_line(TimeoutError()) == "TimeoutError"


def test_code_of_the_study_is_shipped_once_a_package(monkeypatch, tmp_path):
    (tmp_path / "cluster_lab.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    shipped = cluster._shipped(["sepray", "sepray.separators.cass", "cluster_lab", "__main__"])
    paths = shipped["py_modules"]
    assert shipped["env_vars"].keys() == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert paths == [str(tmp_path / "cluster_lab.py"), os.path.dirname(sys.modules["sepray"].__file__)]
