"""Counts the trials that fit on the nodes of a cluster, now and as nodes come and go."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.tune.experiment import Trial
from ray.tune.search import ConcurrencyLimiter

from ..errors import UnreachableError
from .unsaved import UnsavedCallback

POLL_SECONDS = 5.0
"""Seconds between two looks at the nodes."""
STILL_SECONDS = 60.0
"""Seconds without a running trial after which a study says what it waits for."""


class ClusterError(UnreachableError):
    """The cluster does not answer, refuses this process, or has fewer CPUs or GPUs than one trial needs."""


def slots_of_cluster(needs: Mapping[str, float], concurrency: int, say: Callable[[str], None]) -> int:
    """Return how many trials run at once on the cluster that this process has joined.

    Args:
        needs: what a trial needs of each resource.
        concurrency: most trials at once; 0 for as many as fit.
        say: called with a sentence for the user where nodes have to be waited for.

    Raises:
        ClusterError: no node has room for a trial, and the study does not wait for nodes.
    """
    if fitting(needs) < 1:
        told = shortage(needs)
        if not may_come(needs):
            raise ClusterError(f"{told}: give less with --cpus-per-trial and --gpus-per-trial, or start larger nodes")
        if not concurrency:
            raise ClusterError(f"{told}: start nodes first, or give --concurrency N, which waits for them")
        say(f"{told}: the study waits for nodes to join")
    return Slots(needs, concurrency).now()


def nodes() -> list[dict[str, float]]:
    """Return the resources of each node of the cluster that is alive, by kind."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def fitting(needs: Mapping[str, float]) -> int:
    """Return how many trials fit on all nodes at once, by a trial's need of each resource; a trial is on one node."""
    return sum(fitting_into(node, needs) for node in nodes())


def fitting_into(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """Return how many trials fit into these resources, by a trial's need of each."""
    fits = [resources.get(kind, 0) / need for kind, need in needs.items() if need > 0]
    return math.floor(min(fits) + 1e-9) if fits else 0


def shortage(needs: Mapping[str, float]) -> str:
    """Return the sentence about a cluster that has no room for a trial."""
    there = nodes()
    largest = max(there, key=lambda node: tuple(node.get(kind, 0) for kind in reversed(list(needs))), default={})
    asked = " and ".join(_counted(need, kind) for kind, need in needs.items())
    has = " and ".join(_counted(largest.get(kind, 0), kind) for kind in needs)
    count = f"{len(there)} node{'' if len(there) == 1 else 's'}"
    return f"a trial needs {asked} on one node, and the largest of the cluster's {count} has {has}"


def _counted(number: float, kind: str) -> str:
    return f"{number:g} {kind}{'' if number == 1 else 's'}"


def may_come(needs: Mapping[str, float]) -> bool:
    """Say whether nodes with room for a trial may still come, although there are none.

    Where an autoscaler has said which nodes it starts, these decide. Otherwise nodes may come if the cluster has none
    of a resource that a trial needs, as when it is only a head node without CPUs.
    """
    if (started := _started_on_demand()) is not None:
        return any(fitting_into(node, needs) for node in started)
    if Path("~/ray_bootstrap_config.yaml").expanduser().exists():  # the head of `ray up`
        return True
    return any(all(node.get(kind, 0) == 0 for node in nodes()) for kind, need in needs.items() if need)


def _started_on_demand() -> list[dict[str, float]] | None:
    """Return the resources of each kind of node that an autoscaler starts; None if no autoscaler has reported."""
    with contextlib.suppress(AttributeError):  # another version of Ray
        config = ray._private.state.state.get_cluster_config()
        if config is not None and config.node_group_configs:
            return [dict(group.resources) for group in config.node_group_configs if group.max_count]
    return None


class Slots:
    """The number of trials that run at once on a cluster, and the number that Tune is given.

    Args:
        needs: what a trial needs of each resource.
        concurrency: most trials at once; 0 for as many as fit.
    """

    def __init__(self, needs: Mapping[str, float], concurrency: int) -> None:
        self.needs, self._concurrency = needs, concurrency

    def now(self) -> int:
        """Return how many trials run at once; where none fits yet, how many were asked for."""
        fits = fitting(self.needs)
        return min(fits, self._concurrency or fits) or self._concurrency

    def given(self) -> int:
        """Return how many trials Tune is given, at least one.

        Spare ones wait for a slot to become free. Where the cluster has room for more they would start at once, so
        there are none. Where nodes may come, all that were asked for wait: an autoscaler starts nodes for these.
        """
        fits, slots = fitting(self.needs), self.now()
        if self._concurrency > fits and (not fits or _started_on_demand() is not None):
            return self._concurrency
        return max(1, slots if slots < fits else slots + max(1, slots // 4))


@dataclass(frozen=True)
class Following:
    """Settings by which a study follows nodes that join and leave.

    Attributes:
        concurrency: most trials at once; 0 for as many as fit.
        say: called with a sentence for the user.
        changed: called with the new number of trials at once.
    """

    concurrency: int
    say: Callable[[str], None]
    changed: Callable[[int], None]


class Follower(UnsavedCallback):
    """Gives Tune more trials when nodes join, and fewer when they leave; says what a study waits for.

    Args:
        needs: what a trial needs of each resource.
        limiter: limits how many trials Tune has.
        following: how the study follows the nodes.
    """

    def __init__(self, needs: Mapping[str, float], limiter: ConcurrencyLimiter, following: Following) -> None:
        self._slots, self._limiter, self._following = Slots(needs, following.concurrency), limiter, following
        self._count = self._slots.now()
        self._limiter.max_concurrent = self._slots.given()
        self._polled = self._moved = time.monotonic()
        self._told = ""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Adapt the number of trials at once to the cluster's nodes, at most every ``POLL_SECONDS`` seconds."""
        now = time.monotonic()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        if any(trial.status == Trial.RUNNING for trial in trials):
            self._moved, self._told = now, ""
        elif now - self._moved >= STILL_SECONDS:
            self._tell_waiting()
        count = self._slots.now()
        self._limiter.max_concurrent = self._slots.given()
        if count != self._count:
            self._following.say(f"the cluster's nodes have changed: {count} trials at once, {self._count} before")
            self._following.changed(count)
            self._count = count

    def _tell_waiting(self) -> None:
        """Tell the user what trials wait for, in one line, once until a trial runs again."""
        if not fitting(self._slots.needs):
            told = f"{shortage(self._slots.needs)}: the study waits for a node to join"
        else:
            free, total = ray.available_resources(), ray.cluster_resources()
            kinds = self._slots.needs
            used = ", ".join(f"{total.get(k, 0) - free.get(k, 0):g} of {total.get(k, 0):g} {k}s" for k in kinds)
            told = (
                f"no trial has begun for {STILL_SECONDS:.0f} s: {used} of the cluster are in use, and the study waits "
                "for its turn. Studies that share a cluster each need --concurrency: one without it takes all, and "
                "gives nothing back before it ends"
            )
        if told != self._told:
            self._told = told
            self._following.say(told)
