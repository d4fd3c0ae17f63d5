"""A durable queue of operations that wait for delivery to MLflow: a local SQLite file that survives ``kill -9``.

The driver only appends to it (tens of microseconds, no network). One sender delivers the operations in order and
removes them. The file also holds the MLflow run id of each trial, and the operations that MLflow refused, with reasons.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..disk import links
from ..disk.files import create_for_sqlite, open_lock, open_regular, take_lock
from ..disk.sqlite_programs import program_on
from ..errors import SeprayError, UsageError, explain_database
from .stored_operations import is_copy

_TABLES = """
CREATE TABLE IF NOT EXISTS operations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL, label TEXT NOT NULL,
    kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    study TEXT NOT NULL, label TEXT NOT NULL, run_id TEXT, experiment_id TEXT, status TEXT,
    PRIMARY KEY (study, label));
CREATE TABLE IF NOT EXISTS rejected (
    number INTEGER PRIMARY KEY AUTOINCREMENT, study TEXT NOT NULL, label TEXT NOT NULL,
    kind TEXT NOT NULL, body TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS told (
    study TEXT NOT NULL, label TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (study, label, mark)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_NAMES = ("operations", "runs", "rejected", "told", "settings")
_LEVELS = 3  # steps from the folder of all studies to the file: a study's name, its id, the file
LARGEST_INLINE_TEXT = 100_000  # characters; longer texts go to a file beside the outbox


class RunKey(NamedTuple):
    """Names a run before MLflow has given it an id.

    Attributes:
        study: identity of the study.
        label: trial or retraining; "" for the study's own (parent) run.
    """

    study: str
    label: str = ""


class Operation(NamedTuple):
    """One change to make in MLflow.

    Attributes:
        number: place in the queue.
        key: run that is changed.
        kind: run (create it, or open it again), log (metrics, parameters, tags), status, name, artifact or dataset.
        body: JSON values, by kind.
    """

    number: int
    key: RunKey
    kind: str
    body: dict[str, Any]


class Rejected(NamedTuple):
    """An operation, or a part of one, that MLflow refused for good, and its reason."""

    key: RunKey
    kind: str
    body: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class KnownRun:
    """A run as the outbox knows it; without an id, its creation was begun, and may or may not have happened."""

    run_id: str | None
    experiment_id: str | None
    status: str | None


class BusyError(SeprayError, RuntimeError):
    """Another process delivers from this outbox."""


class OutboxError(SeprayError, RuntimeError):
    """The outbox's file cannot be opened, read or written; the message says which and why."""


class Outbox:
    """The queue in the file ``path``; safe to use from several threads and processes.

    Every method raises ``OutboxError`` if the file cannot be read or written (disk full, damaged).

    Raises:
        OutboxError: the file cannot be written, is a link, a pipe or no SQLite database, or has a trigger or the like,
            which could run for ever.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.refuse_links(self.path)  # else a linked file would get the tables
        if found := program_on(self.path, _NAMES):
            raise OutboxError(f"the outbox {self.path} has {found}, which sepray has not made: go back to a copy of it")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.files = self.path.with_name(self.path.name + ".files")
        self._lock = threading.Lock()
        with self._locked():
            create_for_sqlite(self.path)
            self._database = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            # A checkpoint syncs the disk: the sender does it, so that the driver never waits for one.
            self._database.execute("PRAGMA wal_autocheckpoint=0")
            self._database.executescript(_TABLES)

    def put(self, key: RunKey, kind: str, body: Mapping[str, Any]) -> None:
        """Append one operation; it is in the file when this returns."""
        row = (key.study, key.label, kind, json.dumps(body))
        with self._locked():
            self._database.execute("INSERT INTO operations (study, label, kind, body) VALUES (?, ?, ?, ?)", row)

    def put_once(self, key: RunKey, kind: str, body: Mapping[str, Any], mark: str) -> None:
        """Append one operation unless one with the same ``mark`` was appended for the run before, in any process."""
        with self._transaction():
            statement = "INSERT OR IGNORE INTO told (study, label, mark) VALUES (?, ?, ?)"
            if self._database.execute(statement, (key.study, key.label, mark)).rowcount:
                row = (key.study, key.label, kind, json.dumps(body))
                self._database.execute("INSERT INTO operations (study, label, kind, body) VALUES (?, ?, ?, ?)", row)

    def mark(self, key: RunKey, mark: str) -> None:
        """Remember that an operation with this mark was appended for the run, by another outbox."""
        with self._locked():
            self._database.execute("INSERT OR IGNORE INTO told (study, label, mark) VALUES (?, ?, ?)", (*key, mark))

    def put_text(self, key: RunKey, name: str, text: str) -> None:
        """Append a text that becomes the artifact ``name`` of a run."""
        if len(text) <= LARGEST_INLINE_TEXT:
            self.put(key, "artifact", {"name": name, "text": text})
            return
        with self._new_file(key, name) as copy:  # a half character, as names of files may hold, is escaped
            copy.write_text(text, encoding="utf-8", errors="backslashreplace")

    def put_file(self, key: RunKey, name: str, path: Path) -> None:
        """Append a copy of the file ``path``, which becomes the artifact ``name`` of a run; nothing if there is none.

        A figure of a report, for instance, may have been replaced while it waited for room on the disk.
        """
        try:
            source = open_regular(path)
        except FileNotFoundError:
            return
        with source, self._new_file(key, name) as copy, copy.open("xb") as target:
            shutil.copyfileobj(source, target)

    @contextmanager
    def _new_file(self, key: RunKey, name: str) -> Iterator[Path]:
        """Give the path of a new file, and append it as an artifact once it is written; if that fails, remove it."""
        self.refuse_links(self.files)
        folder = self.files / uuid.uuid4().hex
        try:
            folder.mkdir(parents=True)
            copy = folder / Path(name).name
            yield copy
            self.put(key, "artifact", {"name": name, "file": str(copy.relative_to(self.files))})
        except Exception:  # after a signal the operation may be there, and need its file
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def take(self, limit: int) -> list[Operation]:
        """Return the oldest ``limit`` operations, in order, without removing them."""
        rows = self._query("SELECT number, study, label, kind, body FROM operations ORDER BY number LIMIT ?", limit)
        return [Operation(n, _key(s, label), str(kind), _body(body)) for n, s, label, kind, body in rows]

    def pending(self, key: RunKey | None = None) -> int:
        """Return how many operations wait, in all or for one run."""
        study, label = key or (None, None)
        statement = "SELECT COUNT(*) FROM operations WHERE ? IS NULL OR (study = ? AND label = ?)"
        return int(self._query(statement, study, study, label)[0][0])

    def acknowledge(self, done: Sequence[Operation], refused: Sequence[Rejected] = ()) -> None:
        """Remove the operations ``done``; keep those that were ``refused``, in whole or in part, with their reasons."""
        rows = [(r.key.study, r.key.label, r.kind, json.dumps(r.body), r.reason) for r in refused]
        with self._transaction():
            self._database.executemany("DELETE FROM operations WHERE number = ?", [(o.number,) for o in done])
            self._database.executemany(
                "INSERT INTO rejected (study, label, kind, body, reason) VALUES (?, ?, ?, ?, ?)", rows
            )
        kept = {r.body.get("file") for r in refused}
        for operation in done:
            file = operation.body.get("file", "")
            if operation.kind == "artifact" and is_copy(file) and file not in kept:
                with suppress(OSError, UsageError):  # a link is left where it is
                    links.remove((self.files / file).parent, links.ancestor(self.path, _LEVELS))

    def rejected(self) -> list[Rejected]:
        """Return the operations that MLflow refused, oldest first."""
        rows = self._query("SELECT study, label, kind, body, reason FROM rejected ORDER BY number")
        return [Rejected(_key(s, label), str(kind), _body(body), str(reason)) for s, label, kind, body, reason in rows]

    def retry_rejected(self) -> int:
        """Queue the refused operations again, e.g. after a deleted run was restored; return how many they are."""
        with self._transaction():
            count = self._database.execute(
                "INSERT INTO operations (study, label, kind, body) "
                "SELECT study, label, kind, body FROM rejected ORDER BY number"
            ).rowcount
            self._database.execute("DELETE FROM rejected")
        return count

    def run(self, key: RunKey) -> KnownRun | None:
        """Return a run as the outbox knows it; None if its creation was never begun."""
        rows = self._query(
            "SELECT run_id, experiment_id, status FROM runs WHERE study = ? AND label = ?", key.study, key.label
        )
        return KnownRun(*rows[0]) if rows else None

    def run_ids(self, study: str) -> dict[str, str]:
        """Return the MLflow run ids of a study by label."""
        rows = self._query("SELECT label, run_id FROM runs WHERE study = ? AND run_id IS NOT NULL", study)
        return dict(rows)

    def begin_creation(self, key: RunKey) -> None:
        """Write to the disk, before the request is sent, that a run may exist from now on.

        The write-ahead log is synced here. SQLite would hold its lock while it syncs, and the driver would wait for it.
        """
        with self._locked():
            self._database.execute("INSERT OR IGNORE INTO runs (study, label) VALUES (?, ?)", key)
        descriptor = os.open(str(self.path) + "-wal", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def save_run(self, key: RunKey, run_id: str, experiment_id: str, status: str | None) -> None:
        """Save the id and the status of a run that exists."""
        with self._locked():
            self._database.execute(
                "INSERT OR REPLACE INTO runs (study, label, run_id, experiment_id, status) VALUES (?, ?, ?, ?, ?)",
                (*key, run_id, experiment_id, status),
            )

    def forget_runs(self, study: str | None = None) -> None:
        """Forget the run ids and marks of a study (None: of all studies), because they are of another MLflow."""
        with self._transaction():
            for table in ("runs", "told"):
                self._database.execute(f"DELETE FROM {table} WHERE ? IS NULL OR study = ?", (study, study))

    def target(self) -> str | None:
        """Return the address that operations went to last, without secrets; None before the first answer."""
        found = self._query("SELECT value FROM settings WHERE name = 'target'")
        return found[0][0] if found else None

    def set_target(self, target: str) -> None:
        """Save the address that operations go to, without secrets; run ids of another address are forgotten.

        A local database that was moved or copied together with the outbox counts as the same address.
        """
        kept = dict(self._query("SELECT name, value FROM settings WHERE name IN ('target', 'beside')"))
        beside = ""
        if target.startswith("sqlite:///"):
            beside = os.path.relpath(target.removeprefix("sqlite:///"), self.path.resolve().parent)
        if kept.get("target", target) != target and not (beside and kept.get("beside") == beside):
            self.forget_runs()
        with self._locked():
            rows = [("target", target), ("beside", beside)]
            self._database.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file, without making writers wait."""
        self._query("PRAGMA wal_checkpoint(PASSIVE)")

    @contextmanager
    def exclusive(self, timeout: float = 0.0) -> Iterator[None]:
        """Hold the lock of the process that delivers; the system releases it when the process dies.

        Raises:
            BusyError: another process still delivers after ``timeout`` seconds.
        """
        self.refuse_links(self.path)
        with open_lock(self.path.with_name(self.path.name + ".lock")) as file:
            if not take_lock(file, timeout):
                raise BusyError(f"another process delivers from {self.path}; is the study running?")
            yield

    def close(self) -> None:
        """Close the file; the operations in it stay."""
        with self._locked():
            self._database.close()

    def refuse_links(self, path: Path) -> None:
        """Raise ``OutboxError`` if a path, or a folder between it and the folder of all studies, is a link."""
        try:
            links.refuse(path, links.ancestor(self.path, _LEVELS))
            links.refuse_of_others(self.path)
        except UsageError as error:
            raise OutboxError(f"the outbox {self.path}: {error}") from None

    def _query(self, statement: str, *values: object) -> list[Any]:
        with self._locked():
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._locked():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")  # this fails if the disk is full
            except BaseException:
                with suppress(sqlite3.DatabaseError):  # SQLite itself has undone it
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.ProgrammingError:  # a mistake of ours, e.g. a closed file
                raise
            except sqlite3.DatabaseError as error:
                raise OutboxError(f"the outbox {self.path}: {_explained(error)}") from error


def _key(study: Any, label: Any) -> RunKey:
    return RunKey(str(study), str(label))


def _body(text: Any) -> dict[str, Any]:
    """Return the values of an operation; a row that is no JSON object, as others may write one, becomes a text."""
    try:
        body = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {"unreadable": str(text)[:200]}


def _explained(error: sqlite3.DatabaseError) -> str:
    told = str(error)
    if any(part in told for part in ("not a database", "malformed")):  # the outbox can be rebuilt, so nothing is lost
        return f"{told} (move it away; a new one is made, and `sepray reconcile` tells MLflow what is missing)"
    return explain_database(told)
