"""The lease of a study: one driver at a time owns it, whatever folders, machines and containers share its storage.

A lease is an entry in the Optuna storage: an empty study that is named ``<study>/lease/<generation>``. Optuna's user
attributes are last-write-wins, but the name of a study is unique in every storage (databases, journals, memory, gRPC).
So of many drivers that ask for the same generation, exactly one creates its entry. The owner of the greatest generation
deletes the entries of smaller ones, and an owner whose own entry is gone has lost the study. In the end it deletes its
own entry, so that no such study is left for a dashboard to show.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from secrets import token_hex

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from ..errors import SeprayError
from . import holding
from .holding import HeldError, LeaseEntry
from .owner import MOST_GENERATIONS, Owner, Surroundings
from .storage import STORAGE_FAILURES, _storage_errors, connect
from .stored_values import damaged

BEAT_SECONDS = 10.0
"""Seconds between the heartbeats of an owner."""
TAKE_OVER = "--take-over"
_SETTLE_SECONDS = 2.0  # writes that were checked before a take-over by force arrive within this time


class LostError(SeprayError):
    """Another driver has taken the study over; the message says who."""


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
        """Say whether another driver is known to have taken the study over."""
        return self._lost is not None

    def check(self) -> None:
        """Ask the storage whether this process still owns the study.

        Raises:
            LostError: another process owns the study.
        """
        if self._lost is None:
            with contextlib.suppress(KeyError):  # there is no such entry
                written = self._storage.get_study_user_attrs(self._study_id).get(holding.OWNER)
                if isinstance(written, Mapping) and written.get("token") == self.owner.token:
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
            self._storage.set_study_user_attr(self._study_id, holding.BEAT, [self._beats, self._here.now()])

    @contextlib.contextmanager
    def interrupt_when_lost(self) -> Iterator[None]:
        """Interrupt the main thread when the lease is lost inside the block, and end the block with a ``LostError``.

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
        """Release the study, unless it was lost; if the release fails, an entry without heartbeats is left."""
        self._ending.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        with contextlib.suppress(SeprayError, *STORAGE_FAILURES):
            self.check()
            holding.delete(self._storage, self._study_id)

    def _beat_on(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            try:
                self.beat()
            except LostError:
                with self._lock:
                    if self._interrupts:
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            except Exception:  # the storage fails: the driver's own writes tell it, and a later beat is as good
                continue

    def _loss(self) -> LostError:
        if self._ending.is_set():
            return LostError("this driver has released the study")
        entries = holding.entries(self._storage, self._name)
        later = [entries[generation] for generation in sorted(entries) if generation > self.owner.generation]
        owner = later[-1].owner if later else holding.last_owner(self._storage, self._name)
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
        StorageError: others have written a number of owners that cannot be.
        Exception: any error of the storage.
    """
    here = here or Surroundings.here()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    while True:
        entries = holding.entries(storage, name)
        holder = entries[max(entries)] if entries else None
        if holder is not None and not force:
            holder = holding.watch(storage, name, holder, here, say)
        last = holding.last_owner(storage, name)
        generation = max([0, *entries] + ([last.generation] if last else [])) + 1
        if generation > MOST_GENERATIONS:
            raise damaged(name, "its storage", "number of owners")
        lease = _create(storage, name, generation, here)
        if lease is None:
            force = False  # another driver was faster, and has a right to the study
            continue
        try:
            if _is_greatest(storage, name, lease, holder, force):
                if force and holder is not None and not holding.has_ended(holder, here):
                    here.sleep(_SETTLE_SECONDS)
                lease.beat()
                lease.start()
                return lease
        except BaseException:
            with contextlib.suppress(*STORAGE_FAILURES):
                holding.delete(storage, lease._study_id)
            raise
        holding.delete(storage, lease._study_id)
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
    """Own a study during a block that is no driver, so that no driver runs the study meanwhile.

    Raises:
        HeldError: a driver owns the study.
        StorageError: the storage cannot be opened or written.
    """
    lease = take_at(url, name, False, lambda text: None)
    try:
        yield
    finally:
        lease.release()


def _create(storage: BaseStorage, name: str, generation: int, here: Surroundings) -> Lease | None:
    """Create the entry of a generation; return None if another driver was faster."""
    try:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], f"{name}/lease/{generation}")
        owner = Owner(
            generation, token_hex(8), here.user, here.host, here.machine, here.process, here.started, here.now()
        )
        storage.set_study_user_attr(study_id, holding.OWNER, owner.plain())
    except (DuplicatedStudyError, KeyError):  # KeyError: it was deleted already, by a greater generation
        return None
    return Lease(storage, name, study_id, owner, here)


def _is_greatest(storage: BaseStorage, name: str, lease: Lease, holder: LeaseEntry | None, force: bool) -> bool:
    """Delete the entries of smaller generations and say whether there is no greater one.

    Raises:
        HeldError: the holder of a smaller one has given a sign of life since it was watched.
    """
    entries = holding.entries(storage, name)
    if max(entries, default=0) != lease.owner.generation:
        return False
    for generation, entry in entries.items():
        if generation == lease.owner.generation:
            continue
        if not force and holder is not None and entry.study_id == holder.study_id and entry.state != holder.state:
            raise HeldError(holding.in_words(name, entry, lease._here))
        holding.delete(storage, entry.study_id)
    return True
