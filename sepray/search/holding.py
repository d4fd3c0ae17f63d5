"""Finds out who holds a study, by the entries of its lease in an Optuna storage, and whether that owner still lives.

An entry is an empty study that is named ``<study>/lease/<generation>`` (``lease``).
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.storages import BaseStorage

from ..errors import UsageError
from .owner import Owner, Surroundings, is_time
from .storage import STORAGE_FAILURES

ENDED_SECONDS = 45.0
"""Seconds of waiting without a new heartbeat after which an owner on another machine counts as ended."""
LAST_OWNER = "owner"
"""User attribute of a study with the ``Owner`` that wrote to it last, its folder, its checkpoints and its version."""
OWNER, BEAT = "owner", "heartbeat"
"""User attributes of an entry."""
_GENERATION = re.compile("[1-9][0-9]{0,17}")  # at most MOST_GENERATIONS
_POLL_SECONDS = 1.0
_FIRST_POLL_SECONDS = 0.05  # between looks at an entry that is being filled in
_BEGINNING_SECONDS = 1.0  # a driver that takes a lease says within this time who it is


class HeldError(UsageError):
    """Another driver owns the study; the message says who, since when, and how to take it over."""


@dataclass(frozen=True)
class LeaseEntry:
    """An entry of a lease, as it was read."""

    generation: int
    study_id: int
    owner: Owner | None  # None: its driver has not written it yet, or others have written something else
    beat: Any  # its heartbeat, of any value: it is compared, and if it has a time, that is shown

    @property
    def state(self) -> tuple[Any, ...]:
        """Value that changes with the owner and with each of its heartbeats."""
        return self.owner and self.owner.token, self.beat


def entries(storage: BaseStorage, name: str) -> dict[int, LeaseEntry]:
    """Return the entries of a study's lease by generation."""
    prefix, found = f"{name}/lease/", {}
    for study in storage.get_all_studies():
        number = study.study_name.removeprefix(prefix)
        if number != study.study_name and _GENERATION.fullmatch(number):
            told = study.user_attrs
            owner = Owner.restored(told.get(OWNER))
            found[int(number)] = LeaseEntry(int(number), study._study_id, owner, told.get(BEAT))
    return found


def last_owner(storage: BaseStorage, name: str) -> Owner | None:
    """Return who wrote to a study last; None for a study that does not exist, or that nobody has owned."""
    with contextlib.suppress(KeyError):  # there is no such study yet
        return Owner.restored(storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(LAST_OWNER))
    return None


def watch(
    storage: BaseStorage, name: str, holder: LeaseEntry, here: Surroundings, say: Callable[[str], None]
) -> LeaseEntry | None:
    """Return an owner's entry, as read last, once the owner has ended; None if the owner has released the study.

    Raises:
        HeldError: the owner is alive.
    """
    begun, told = here.monotonic(), False
    deadline, until = begun + ENDED_SECONDS, time.strftime("%H:%M:%S", time.localtime(here.now() + ENDED_SECONDS))
    while here.monotonic() < deadline:
        exists = here.exists(holder.owner) if holder.owner else None
        if exists:
            raise HeldError(in_words(name, holder, here))
        if exists is False:
            return holder
        if not told and (holder.owner or here.monotonic() - begun >= _BEGINNING_SECONDS):
            told = True
            of_whom = f"a heartbeat of {holder.owner}" if holder.owner else "a driver that has not said who it is"
            say(f"{name}: waiting up to {ENDED_SECONDS:.0f} s, until {until}, for {of_whom}")
        here.sleep(_POLL_SECONDS if holder.owner else _FIRST_POLL_SECONDS)
        now = entries(storage, name).get(holder.generation)
        if now is None:
            return None
        if (holder.owner or holder.beat is not None) and now.state != holder.state:
            raise HeldError(in_words(name, now, here))
        holder = now
    return holder


def has_ended(holder: LeaseEntry, here: Surroundings) -> bool:
    """Say whether the process of an entry's owner is known to have ended, because it was one of this machine."""
    return holder.owner is not None and here.exists(holder.owner) is False


def in_words(name: str, entry: LeaseEntry, here: Surroundings) -> str:
    """Return who holds a study, since when, and when it has given a sign of life, as a message."""
    if entry.owner is None:
        return f"{name} is being started by another driver"
    now = here.now()
    beat = entry.beat
    when = beat[1] if isinstance(beat, list | tuple) and len(beat) == 2 and is_time(beat[1]) else entry.owner.since
    return (
        f"{name} is held by {entry.owner}, since {entry.owner.since_in_words(now)} "
        f"(heartbeat {max(0.0, now - when):.0f} s ago)"
    )


def delete(storage: BaseStorage, study_id: int) -> None:
    """Delete an entry, unless another driver has deleted it or does so at this moment."""
    try:
        storage.delete_study(study_id)
    except KeyError:
        return
    except STORAGE_FAILURES:
        with contextlib.suppress(KeyError):
            storage.get_study_user_attrs(study_id)
            raise
