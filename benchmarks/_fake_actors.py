"""Actors that are not there: Tune's controller runs as it is, on trials that end an epoch by the clock."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ray.air.execution._internal.tracked_actor import TrackedActor

_HANDLE = SimpleNamespace(get_auto_filled_metrics=SimpleNamespace(remote=lambda **given: {}))


class FakeActors:
    """Stands for Tune's ``RayActorManager``: each actor that has a slot has a result when an epoch has passed.

    Attributes:
        late: seconds that each event was handled after it was due.
        handled: number of epochs.
    """

    slots = 1
    """Actors that there is room for."""
    seconds = 1.0
    """Seconds of an epoch, in the mean."""
    result: Callable[[dict[str, Any], int], dict[str, Any]]
    """Makes the result of a trial's epoch, from its config and the number of the epoch."""
    made: FakeActors

    def __init__(self, resource_manager: object = None) -> None:
        type(self).made = self
        self._live_actors_to_ray_actors_resources: dict[TrackedActor, Any] = {}
        self._events: list[tuple[float, int, TrackedActor | None, Callable[[], None]]] = []
        self._pending: list[TrackedActor] = []
        self._order, self._ids = itertools.count(), itertools.count()
        self._configs: dict[TrackedActor, dict[str, Any]] = {}
        self._epochs: dict[TrackedActor, int] = {}
        self._random = random.Random(0)
        self.late: list[float] = []
        self.handled = 0

    @property
    def num_pending_actors(self) -> int:
        """Actors that wait for room."""
        return len(self._pending)

    @property
    def num_live_actors(self) -> int:
        """Actors that there are."""
        return len(self._live_actors_to_ray_actors_resources)

    @property
    def num_total_actors(self) -> int:
        """Actors that there are, and those that wait."""
        return len(self._live_actors_to_ray_actors_resources) + len(self._pending)

    @property
    def num_actor_tasks(self) -> int:
        """Epochs that are being trained, and what else is to come."""
        return len(self._events)

    def get_live_actors_resources(self) -> dict[str, float]:
        """Return nothing: no resources are taken."""
        return {}

    def add_actor(self, cls: object, kwargs: dict[str, Any], **given: Any) -> TrackedActor:
        """Start an actor."""
        actor = TrackedActor(next(self._ids), given["on_start"], given["on_stop"], given["on_error"])
        self._configs[actor], self._epochs[actor] = kwargs["config"], 0
        self._pending.append(actor)
        self._start()
        return actor

    def remove_actor(self, tracked_actor: TrackedActor, kill: bool = False, stop_future: object = None) -> bool:
        """End an actor, or let it not begin; say whether it had begun."""
        self.clear_actor_task_futures(tracked_actor)
        if tracked_actor in self._pending:
            self._pending.remove(tracked_actor)
            return False
        self._live_actors_to_ray_actors_resources.pop(tracked_actor, None)
        self._later(0.0, None, lambda: tracked_actor._on_stop and tracked_actor._on_stop(tracked_actor))
        self._start()
        return True

    def is_actor_started(self, tracked_actor: TrackedActor) -> bool:
        """Say whether an actor is there."""
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: TrackedActor) -> bool:
        """Say that none has failed."""
        return False

    def schedule_actor_task(
        self,
        tracked_actor: TrackedActor,
        method_name: str,
        args: tuple[Any, ...] = (),
        kwargs: Any = None,
        **given: Any,
    ) -> None:
        """Train an epoch, or do anything else at once."""
        if method_name == "train":
            seconds = self.seconds * self._random.uniform(0.7, 1.3)
            self._later(seconds, tracked_actor, lambda: self._train(tracked_actor, given["on_result"]))
            return
        if method_name == "reset":
            self._configs[tracked_actor], self._epochs[tracked_actor] = args[0], 0
        if on_result := given.get("on_result"):
            self._later(0.0, tracked_actor, lambda: on_result(tracked_actor, True))

    def clear_actor_task_futures(self, tracked_actor: TrackedActor) -> None:
        """Forget what an actor was to do."""
        self._events = [event for event in self._events if event[2] is not tracked_actor]
        heapq.heapify(self._events)

    def cleanup(self) -> None:
        """Forget all."""
        self._events = []

    def next(self, timeout: float | None = None) -> bool:
        """Handle the next event that is due within ``timeout`` seconds."""
        if not self._events:
            time.sleep(timeout or 0.0)
            return False
        wait = self._events[0][0] - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, timeout or 0.0))
            if wait > (timeout or 0.0):
                return False
        due, _, _, handle = heapq.heappop(self._events)
        self.late.append(time.monotonic() - due)
        handle()
        return True

    def _start(self) -> None:
        while self._pending and len(self._live_actors_to_ray_actors_resources) < self.slots:
            actor = self._pending.pop(0)
            self._live_actors_to_ray_actors_resources[actor] = (_HANDLE, None)
            self._later(0.0, actor, lambda actor=actor: actor._on_start(actor))  # type: ignore[misc]

    def _later(self, seconds: float, actor: TrackedActor | None, handle: Callable[[], object]) -> None:
        heapq.heappush(self._events, (time.monotonic() + seconds, next(self._order), actor, handle))  # type: ignore[misc]

    def _train(self, actor: TrackedActor, on_result: Callable[[TrackedActor, Any], None]) -> None:
        self._epochs[actor] += 1
        self.handled += 1
        epoch, now = self._epochs[actor], time.time()
        filled = {
            "training_iteration": epoch, "time_this_iter_s": self.seconds, "time_total_s": epoch * self.seconds,
            "timestamp": int(now), "pid": 1, "hostname": "node", "node_ip": "127.0.0.1",
            "iterations_since_restore": epoch,
            "time_since_restore": epoch * self.seconds, "date": "", "trial_id": "",
        }  # fmt: skip
        on_result(actor, filled | type(self).result(self._configs[actor], epoch))
