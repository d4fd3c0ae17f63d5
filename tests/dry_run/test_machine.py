"""The machine: as many slots as a run has, memory of machine or container, disk."""

import math
import os
from types import SimpleNamespace

import psutil
import pytest

from sepray.dry_run import machine
from sepray.execution import cluster
from sepray.spec.parts import Resources


class FakeRay:
    """Has the CPUs that it is started with, or those of the machine, and so many GPUs."""

    def __init__(self, cpus, gpus):
        self.has = {"CPU": cpus, "GPU": gpus}
        self.started = False

    def is_initialized(self):
        return False

    def init(self, num_cpus=None, **settings):
        if num_cpus is not None:
            self.has["CPU"] = num_cpus

    def cluster_resources(self):
        return self.has


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    """No Ray is started here whose workers could be forked."""
    monkeypatch.setattr(cluster.fork_server, "is_possible", lambda: False)


@pytest.mark.parametrize("concurrency", [0, 1, 2, 3, 7, 16])
@pytest.mark.parametrize("each", [0.25, 0.3, 0.5, 1.0, 1.5, 2.0, 4.0, 9.0])
@pytest.mark.parametrize("gpus_each", [0.0, 0.25, 0.4, 1.0])
def test_slots_are_those_of_a_run(monkeypatch, concurrency, each, gpus_each):
    for cpus in (1, 2, 4, 6):
        resources = Resources(concurrency=concurrency, cpus_per_trial=each, gpus_per_trial=gpus_each)
        monkeypatch.setattr(cluster, "ray", FakeRay(cpus, 2))
        monkeypatch.setattr(cluster, "os", SimpleNamespace(environ={}, path=os.path, pathsep=os.pathsep))
        monkeypatch.setattr(cluster.processor, "cpus", lambda n=cpus: n)
        expected = cluster.connect(None, concurrency, each, gpus_each, ())
        assert machine.slots(resources, cpus, 2) == expected


def test_trial_that_does_not_fit_is_refused_as_by_a_run(monkeypatch):
    resources = Resources(gpus_per_trial=1.0)
    with pytest.raises(cluster.ClusterError) as caught:
        machine.slots(resources, 4, 0)
    monkeypatch.setattr(cluster, "ray", FakeRay(4, 0))
    monkeypatch.setattr(cluster, "os", SimpleNamespace(environ={}, path=os.path, pathsep=os.pathsep))
    monkeypatch.setattr(cluster.processor, "cpus", lambda: 4)
    with pytest.raises(cluster.ClusterError) as refused:
        cluster.connect(None, 0, 1.0, 1.0, ())
    assert str(caught.value) == str(refused.value)


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "5", (1000, 600)),
        ("500", "100", (500, 400)),
        ("900", "100", (900, 600)),  # the machine itself has no more
        ("500", "700", (500, 0)),
        ("1000", "900", (1000, 600)),
        (None, None, (1000, 600)),
    ],
)
def test_memory_is_that_of_the_container(tmp_path, monkeypatch, limit, used, expected):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    for name, text in (("memory.max", limit), ("memory.current", used)):
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=1000, available=600))
    assert machine.memory() == expected


def test_disk_is_that_of_the_folder_that_will_be_made(tmp_path):
    free = machine.free_disk(str(tmp_path / "not" / "yet"))
    assert free == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.05)
    assert not (tmp_path / "not").exists()
    assert machine.free_disk("~") > 0


def test_memory_of_this_process():
    assert math.isclose(machine.own_memory(), psutil.Process().memory_info().rss, rel_tol=0.1)


def test_gpus_are_counted_as_ray_counts_them(monkeypatch):
    monkeypatch.setattr(machine.preflight, "count_gpus", lambda: 3)
    assert machine.gpus() == 3
    monkeypatch.setattr(machine.preflight, "count_gpus", lambda: None)
    assert machine.gpus() == 0
