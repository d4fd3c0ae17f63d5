"""The lease of a study: one driver at a time owns it, whatever folders, machines and containers share its storage.

A lease is a record in the Optuna storage: an empty study that is named ``<study>/lease/<generation>``. Optuna's user
attributes are last-write-wins, but the name of a study is unique in every storage (databases, journals, memory, gRPC),
so of many drivers that ask for the same generation exactly one creates its record. The owner of the greatest generation
deletes the records of smaller ones, and an owner whose own record is gone has lost the study. In the end it deletes its
own record, so that no such study is left for a dashboard to show.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from ..errors import SeprayError, UsageError
from .owner import Owner, Surroundings
from .storage import STORAGE_FAILURES, _storage_errors, connect

BEAT_SECONDS = 10.0
"""Seconds between the heartbeats of an owner."""
ENDED_SECONDS = 45.0
"""An owner on another machine counts as ended when its heartbeat has not changed for so many seconds of a waiting."""
LAST_OWNER = "owner"
"""User attribute of a study with the ``Owner`` that wrote to it last, and the identity of its outbox."""
TAKE_OVER = "--take-over"
_OWNER, _BEAT = "owner", "heartbeat"
_POLL_SECONDS = 1.0
_FIRST_POLL_SECONDS = 0.05  # while a record is being filled in
_BEGINNING_SECONDS = 1.0  # in which a driver that takes a lease has said who it is
_SETTLE_SECONDS = 2.0  # in which a write that had been checked before a take-over by force arrives


class HeldError(UsageError):
    """Another driver owns the study; the message says who, since when, and how to take it over."""


class LostError(SeprayError):
    """Another driver has taken the study over; the message says who."""


@dataclass(frozen=True)
class _Record:
    """What a lease's record held when it was read."""

    generation: int
    study_id: int
    owner: Owner | None  # None: its driver has not written it yet
    beat: Any  # of any value: only whether it changes is looked at, and when its owner wrote it

    @property
    def state(self) -> tuple[Any, ...]:
        return self.owner and self.owner.token, self.beat


class Lease:
    """The lease of a study, which this process has taken (``take``). Any thread may call its methods.

    Attributes:
        owner: this process as the owner.
    """

    def __init__(self, storage: BaseStorage, name: str, study_id: int, owner: Owner, here: Surroundings) -> None:
        self.owner = owner
        self._storage, self._name, self._study_id, self._here = storage, name, study_id, here
        self._lost: LostError | None = None
        self._interrupts = False
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._beats = 0
        self._thread = threading.Thread(target=self._beat_on, name="lease", daemon=True)

    @property
    def is_lost(self) -> bool:
        """Whether another driver is known to have taken the study over."""
        return self._lost is not None

    def check(self) -> None:
        """Ask the storage whether this process still owns the study.

        Raises:
            LostError: it does not.
        """
        if self._lost is None:
            with contextlib.suppress(KeyError):  # there is no such record
                written = self._storage.get_study_user_attrs(self._study_id).get(_OWNER, {})
                if written.get("token") == self.owner.token:
                    return
            self._lost = self._loss()
        raise self._lost

    def beat(self) -> None:
        """Write a heartbeat.

        Raises:
            LostError: another driver has taken the study over.
        """
        self.check()
        self._beats += 1
        with contextlib.suppress(KeyError):  # taken over since the check, which the next one notices
            self._storage.set_study_user_attr(self._study_id, _BEAT, [self._beats, self._here.now()])

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Interrupt the main thread when the lease is lost inside the block, and raise what ends the block as that.

        The interruption is that of Ctrl-C. Where the process was started with Ctrl-C ignored (``nohup``, ``command &``
        in a script), the next write, or the next trial that is asked for, ends the block.

        Raises:
            LostError: another driver has taken the study over.
        """
        in_main_thread = threading.current_thread() is threading.main_thread()
        with self._lock:
            self._interrupts = in_main_thread
        try:
            yield
        except BaseException as error:
            if self._lost is not None:
                raise self._lost from error
            raise
        finally:
            with self._lock:
                self._interrupts = False

    def start(self) -> None:
        """Start the thread that writes heartbeats."""
        self._thread.start()

    def release(self) -> None:
        """Give the study free; nothing is written where it was lost. What fails leaves a record without heartbeat."""
        self._ending.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        with contextlib.suppress(SeprayError, *STORAGE_FAILURES):
            self.check()
            _delete(self._storage, self._study_id)

    def _beat_on(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            try:
                self.beat()
            except LostError:
                with self._lock:
                    if self._interrupts:
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            except Exception:  # of the storage: the driver's own writes say it, and a later beat is as good
                continue

    def _loss(self) -> LostError:
        if self._ending.is_set():
            return LostError("this driver has given the study free")
        records = _records(self._storage, self._name)
        later = [records[generation] for generation in sorted(records) if generation > self.owner.generation]
        owner = later[-1].owner if later else _last_owner(self._storage, self._name)
        if owner is None or owner.token == self.owner.token:
            who = "another driver has taken the study over"
        else:
            who = f"{owner} has taken the study over at {owner.since_in_words(self._here.now())}"
        return LostError(f"{who}; this driver has stopped, and writes nothing more. Its trials go on there")


def take(
    storage: BaseStorage,
    name: str,
    *,
    force: bool = False,
    here: Surroundings | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Lease:
    """Take the lease of a study, which need not exist yet; its heartbeats have begun when this returns.

    The process of an owner on this machine is looked for. That of another is watched for ``ENDED_SECONDS``, so that no
    two clocks are compared.

    Args:
        storage: Optuna storage of the study, for the lease alone.
        name: name of the study.
        force: whether to take it from an owner that has not ended.
        here: this process; tests give another one.
        say: called with what is being waited for.

    Raises:
        HeldError: another driver owns the study.
        Exception: of the storage.
    """
    here = here or Surroundings.here()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    while True:
        records = _records(storage, name)
        holder = records[max(records)] if records else None
        if holder is not None and not force:
            holder = _watch(storage, name, holder, here, say)
        last = _last_owner(storage, name)
        generation = max([0, *records] + ([last.generation] if last else [])) + 1
        lease = _create(storage, name, generation, here)
        if lease is None:
            force = False  # somebody else was faster, and has a right to it
            continue
        try:
            if _is_greatest(storage, name, lease, holder, force):
                if force and holder is not None and not _has_ended(holder, here):
                    here.sleep(_SETTLE_SECONDS)
                lease.beat()
                lease.start()
                return lease
        except BaseException:
            with contextlib.suppress(*STORAGE_FAILURES):
                _delete(storage, lease._study_id)
            raise
        _delete(storage, lease._study_id)
        force = False


def take_at(url: str, name: str, force: bool, say: Callable[[str], None], remedy: str = "") -> Lease:
    """Take the lease of a study in the storage at a URL, as ``take`` does.

    Args:
        url: URL of the storage.
        name: name of the study.
        force: as for ``take``.
        say: as for ``take``.
        remedy: what the message adds where another driver owns the study.

    Raises:
        HeldError: another driver owns the study.
        StorageError: the storage cannot be opened or written.
    """
    storage = connect(url)
    try:
        with _storage_errors(url):
            return take(storage, name, force=force, say=say)
    except HeldError as error:
        raise HeldError(f"{error}{remedy}") from None


@contextlib.contextmanager
def held(url: str, name: str) -> Iterator[None]:
    """Own a study for a block that is no driver: nobody runs it meanwhile.

    Raises:
        HeldError: a driver owns the study.
        StorageError: the storage cannot be opened or written.
    """
    lease = take_at(url, name, False, lambda text: None)
    try:
        yield
    finally:
        lease.release()


def holder_of(storage: BaseStorage, name: str) -> Owner | None:
    """Return the owner of a study's lease, alive or not; None where nobody has taken it."""
    records = _records(storage, name)
    return records[max(records)].owner if records else None


def _records(storage: BaseStorage, name: str) -> dict[int, _Record]:
    """Return the records of a study's lease by generation."""
    start, found = f"{name}/lease/", {}
    for study in storage.get_all_studies():
        number = study.study_name.removeprefix(start)
        if number != study.study_name and number.isdecimal():
            told = study.user_attrs
            owner = Owner.restored(told.get(_OWNER))
            found[int(number)] = _Record(int(number), study._study_id, owner, told.get(_BEAT))
    return found


def _last_owner(storage: BaseStorage, name: str) -> Owner | None:
    with contextlib.suppress(KeyError):  # there is no such study yet
        return Owner.restored(storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(LAST_OWNER))
    return None


def _create(storage: BaseStorage, name: str, generation: int, here: Surroundings) -> Lease | None:
    """Create the record of a generation; return None where another driver was faster."""
    try:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], f"{name}/lease/{generation}")
        owner = Owner(
            generation, token_hex(8), here.user, here.host, here.machine, here.process, here.started, here.now()
        )
        storage.set_study_user_attr(study_id, _OWNER, owner.plain())
    except (DuplicatedStudyError, KeyError):  # KeyError: it was deleted already, by a greater generation
        return None
    return Lease(storage, name, study_id, owner, here)


def _is_greatest(storage: BaseStorage, name: str, lease: Lease, holder: _Record | None, force: bool) -> bool:
    """Delete the records of smaller generations and say whether there is no greater one.

    Raises:
        HeldError: the holder of a smaller one has given a sign of life since it was watched.
    """
    records = _records(storage, name)
    if max(records, default=0) != lease.owner.generation:
        return False
    for generation, record in records.items():
        if generation == lease.owner.generation:
            continue
        if not force and holder is not None and record.study_id == holder.study_id and record.state != holder.state:
            raise HeldError(_held(name, record, lease._here))
        _delete(storage, record.study_id)
    return True


def _watch(
    storage: BaseStorage, name: str, holder: _Record, here: Surroundings, say: Callable[[str], None]
) -> _Record | None:
    """Return the record of an owner as it was read last when it has ended; None when it has given the study free.

    Raises:
        HeldError: the owner is alive.
    """
    begun, told = here.monotonic(), False
    deadline, until = begun + ENDED_SECONDS, time.strftime("%H:%M:%S", time.localtime(here.now() + ENDED_SECONDS))
    while here.monotonic() < deadline:
        exists = here.exists(holder.owner) if holder.owner else None
        if exists:
            raise HeldError(_held(name, holder, here))
        if exists is False:
            return holder
        if not told and (holder.owner or here.monotonic() - begun >= _BEGINNING_SECONDS):
            told = True
            of_whom = f"a heartbeat of {holder.owner}" if holder.owner else "a driver that began and has not said which"
            say(f"{name}: waiting up to {ENDED_SECONDS:.0f} s, until {until}, for {of_whom}")
        here.sleep(_POLL_SECONDS if holder.owner else _FIRST_POLL_SECONDS)
        now = _records(storage, name).get(holder.generation)
        if now is None:
            return None
        if holder.owner and now.state != holder.state:
            raise HeldError(_held(name, now, here))
        holder = now
    return holder


def _has_ended(holder: _Record, here: Surroundings) -> bool:
    return holder.owner is not None and here.exists(holder.owner) is False


def _held(name: str, record: _Record, here: Surroundings) -> str:
    if record.owner is None:
        return f"{name} is being started by another driver"
    now = here.now()
    when = float(record.beat[1]) if record.beat else record.owner.since
    return (
        f"{name} is held by {record.owner}, since {record.owner.since_in_words(now)} "
        f"(heartbeat {max(0.0, now - when):.0f} s ago)"
    )


def _delete(storage: BaseStorage, study_id: int) -> None:
    """Delete a record, unless another driver has done so or does so at this moment."""
    try:
        storage.delete_study(study_id)
    except KeyError:
        return
    except STORAGE_FAILURES:
        with contextlib.suppress(KeyError):
            storage.get_study_user_attrs(study_id)
            raise
