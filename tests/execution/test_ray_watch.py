"""A dead process of the own Ray is noticed a second after the last look at the earliest."""

from types import SimpleNamespace

import pytest

from sepray.execution import ray_watch


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(ray_watch.time, "monotonic", lambda: now.seconds)
    return now


def node(monkeypatch, *names):
    dead = SimpleNamespace(dead_processes=lambda: [(name, None) for name in names])
    monkeypatch.setattr(ray_watch.ray._private.worker, "_global_node", dead)


def test_only_vital_processes_count(monkeypatch):
    node(monkeypatch, "log_monitor", "raylet", "dashboard", "gcs_server")
    assert ray_watch.dead_processes() == ["raylet", "gcs_server"]


def test_ray_of_others_is_not_watched(monkeypatch):
    monkeypatch.setattr(ray_watch.ray._private.worker, "_global_node", None)
    assert ray_watch.dead_processes() == []


def test_it_looks_once_a_second(monkeypatch, clock):
    node(monkeypatch, "raylet")
    watch = ray_watch.RayWatch()
    clock.seconds += 0.99
    watch.on_step_end(1, [])
    clock.seconds += 0.01
    with pytest.raises(ray_watch.RayDiedError, match=r"^Ray has died \(raylet\); the same command goes on$"):
        watch.on_step_end(2, [])
    watch.on_step_end(3, [])  # the second has begun again
    assert watch.__getstate__() == {}
