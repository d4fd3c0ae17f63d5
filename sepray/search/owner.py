"""The owner of a study: a user's process on a machine, which may have ended."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import psutil

MOST_GENERATIONS = 10**18 - 1
"""Largest number of owners of a study; a greater one cannot be from sepray."""
_MOST_PROCESSES = 2**32
_LATEST = 2.0**38  # seconds since 1970: thousands of years, which every calendar can say


def is_time(value: Any) -> bool:
    """Say whether a stored value is a time, in seconds since 1970, that can be shown as a date."""
    return _is_within(value, _LATEST)


def _is_within(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


@dataclass(frozen=True)
class Owner:
    """A process that owns a study, or owned it.

    Attributes:
        generation: counts the owners of the study, from 1.
        token: random text that no other owner has.
        user: name of the user who started the process; empty if the system knows none.
        host: name of the machine.
        machine: identity of the running system that process numbers belong to: this boot, this container.
        process: number of the process.
        started: start of the process, in the system's own unit; tells it from a later one with the same number.
        since: when it became the owner, in seconds since 1970 by its own clock.
    """

    generation: int
    token: str
    user: str
    host: str
    machine: str
    process: int
    started: str
    since: float

    @classmethod
    def restored(cls, values: Any) -> Owner | None:
        """Return the owner that ``plain`` described; None for any other value, as others may write."""
        names = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping) or not names <= values.keys():
            return None
        numbers = {"generation": MOST_GENERATIONS, "process": _MOST_PROCESSES}
        are_whole = all(isinstance(values[name], int) and _is_within(values[name], numbers[name]) for name in numbers)
        are_texts = all(isinstance(values[name], str) for name in names - numbers.keys() - {"since"})
        if not (are_whole and are_texts and is_time(values["since"])):
            return None
        return cls(**{name: values[name] for name in names})

    def plain(self) -> dict[str, Any]:
        """Return the owner as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the owner in words: ``alice on host-a, process 123``."""
        return f"{self.user or 'somebody'} on {self.host}, process {self.process}"

    def since_in_words(self, now: float) -> str:
        """Return when it became the owner: ``14:02``, with the date where that is more than half a day ago."""
        own = time.localtime(self.since)
        return time.strftime("%H:%M" if abs(now - self.since) < 43200 else "%Y-%m-%d %H:%M", own)


@dataclass(frozen=True)
class Surroundings:
    """The process that asks for a study, its machine and its clocks; tests give others.

    Attributes:
        user: name of the user.
        host: name of the machine.
        machine: see ``Owner``.
        process: number of the process.
        started: see ``Owner``.
        start_of: returns the start of a process of this machine by its number; empty if there is none.
        now: returns seconds since 1970.
        monotonic: returns seconds that only grow.
        sleep: waits for some seconds.
    """

    user: str
    host: str
    machine: str
    process: int
    started: str
    start_of: Callable[[int], str] = field(repr=False)
    now: Callable[[], float] = field(default=time.time, repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    @classmethod
    def here(cls) -> Surroundings:
        """Return the surroundings of this process."""
        user = ""
        with contextlib.suppress(KeyError, OSError):  # a container that is run under a bare number
            user = getpass.getuser()
        return cls(user, platform.node(), _machine(), os.getpid(), start_of(os.getpid()), start_of)

    def exists(self, owner: Owner) -> bool | None:
        """Say whether the process of an owner exists; None if it would be on another machine."""
        if owner.machine != self.machine:
            return None
        return bool(owner.started) and self.start_of(owner.process) == owner.started


def start_of(process: int) -> str:
    """Return the start of a process of this machine, in the system's own unit; empty if there is no such process."""
    with contextlib.suppress(OSError, IndexError):
        # After the name in parentheses, which may hold spaces: the state, and 19 fields later the start.
        state, *others = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else others[18]
    try:
        found = psutil.Process(process)
        return "" if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.0f}"
    except psutil.Error:
        return ""


def _machine() -> str:
    """Return the identity of the system whose process numbers this process sees: host, boot, and container."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
