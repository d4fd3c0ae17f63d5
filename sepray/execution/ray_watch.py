"""Notices that the Ray which this process has started is dead, before Ray itself ends the process for it."""

from __future__ import annotations

import time
from typing import Any

import ray

from .unsaved import UnsavedCallback

_VITAL = ("gcs_server", "raylet")


class RayDiedError(BaseException):
    """Raised in Tune's loop when Ray has died. It is no Exception: Tune would clean up after one, and wait for Ray."""


class RayWatch(UnsavedCallback):
    """Notices within seconds that a process of the Ray that this process has started is dead.

    Ray itself tries for a minute and then ends the driver from C++, where nothing can be flushed any more.
    """

    def __init__(self) -> None:
        self._polled = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look whether Ray lives, at most once a second.

        Raises:
            RayDiedError: one of its vital processes has ended.
        """
        if time.monotonic() - self._polled >= 1.0:
            self._polled = time.monotonic()
            if dead := dead_processes():
                raise RayDiedError(f"Ray has died ({', '.join(dead)}); the same command goes on")


def dead_processes() -> list[str]:
    """Return the names of those vital processes of the Ray started by this process that have ended by themselves."""
    try:
        node = ray._private.worker._global_node
        ended = [str(name) for name, _ in node.dead_processes()]
    except AttributeError:  # a Ray of others, or one that keeps its processes elsewhere
        return []
    return [name for name in ended if name in _VITAL]
