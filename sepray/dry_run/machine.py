"""Finds out how many trials this machine runs at once, and how much memory and disk it has."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import psutil

from ..console import preflight
from ..execution.cluster import ClusterError
from ..spec.parts import Resources

_CGROUP = Path("/sys/fs/cgroup")


def slots(resources: Resources, cpus: int, gpus: int) -> int:
    """Return how many trials a Ray that is started on this machine runs at once, as ``cluster.connect`` would.

    Args:
        resources: resources of the study.
        cpus: CPUs of the machine.
        gpus: GPUs of the machine.

    Raises:
        ClusterError: not one trial fits.
    """
    wanted, each = resources.concurrency, resources.cpus_per_trial
    started = max(1, math.ceil((wanted or max(1, math.floor(cpus / each))) * each))
    fits = [started / each]
    if resources.gpus_per_trial:
        fits.append(gpus / resources.gpus_per_trial)
    capacity = math.floor(min(fits) + 1e-9)
    if capacity < 1:
        raise ClusterError(
            f"a trial asks for {each:g} CPUs and {resources.gpus_per_trial:g} GPUs, but there are {started:g} CPUs and "
            f"{gpus:g} GPUs"
        )
    return min(capacity, wanted or capacity)


def gpus() -> int:
    """Return the number of GPUs that this process may use."""
    return preflight.count_gpus() or 0


def memory() -> tuple[int, int]:
    """Return the memory of this machine or container, and the available part of it, in bytes."""
    machine = psutil.virtual_memory()
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is None or used is None or limit >= machine.total:
        return int(machine.total), int(machine.available)
    return limit, min(int(machine.available), max(0, limit - used))


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is no such file or another text."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def free_disk(folder: str) -> int:
    """Return the free bytes of the disk on which a folder lies or will be made."""
    path = Path(folder).expanduser().absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def own_memory() -> int:
    """Return the memory of this process in bytes."""
    return int(psutil.Process().memory_info().rss)
