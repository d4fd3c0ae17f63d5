"""Opens Optuna storages and studies, or refuses in one line that says why."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.storages._rdb.models import BaseModel
from optuna.storages.journal import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..disk import links
from ..disk.files import create_for_sqlite, locked
from ..disk.sqlite_programs import program_on
from ..errors import SeprayError, StorageError, UsageError, explain_database, how_to_install, mask
from ..identity import differences, plain
from . import stored_values
from .bulk_read import BulkReadStorage, RowError
from .grpc_proxy import open_proxy
from .guard import guard
from .journal import RepairingBackend

FINGERPRINT = "fingerprint"
"""User attribute of a study that holds its settings."""
STORAGE_FAILURES = (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError)
"""Errors of a storage that is busy, full, restarting or unreachable; repeating the call may help."""
_BUSY_SECONDS = 60.0
_TOO_LONG = "integer string conversion"  # part of what Python says of a number of more digits than it reads
_own_versions: set[str] = set()  # versions of tables that this version of Optuna reads and writes
_CONTENT = "task.data: other content, of its files or by another version of the task"


class FingerprintMismatchError(UsageError):
    """The storage holds a study of this name with other settings; the message lists the differences, one a line."""

    in_lines = True


class CheckedStudy(optuna.study.Study):
    """An Optuna study in a storage that others may write to: its trials are checked when they are read."""

    address = ""
    """URL of the storage."""

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[optuna.trial.FrozenTrial]:
        """Return the trials, as Optuna does.

        Raises:
            StorageError: an attribute of one is not as sepray writes it.
        """
        with _damage_reported(self.address):
            trials = super().get_trials(deepcopy, states)
        stored_values.check_trials(self.study_name, self.address, trials)
        return trials


class Study(CheckedStudy):
    """An Optuna study that may have intermediate values with several objectives, and that can be driven from outside.

    Optuna 5.0 refuses ``Trial.report`` in a study of several objectives, but its storages take intermediate values all
    the same. TPE then ranks pruned trials by them and reads ``study.direction``, which raises for several objectives.
    Here it is the direction of the intermediate values, ``choices.guide_loss``, to be minimised. Every other
    sampler of Optuna reads ``directions`` or refuses several objectives.
    """

    exhausted = False
    """True once a finite sampler (grid, brute force) has proposed all its points."""

    @property
    def direction(self) -> StudyDirection:
        """Direction of the objective; of the intermediate values where there are several objectives."""
        return super().direction if len(self.directions) == 1 else StudyDirection.MINIMIZE

    def stop(self) -> None:
        """Remember that the sampler has no more points (Optuna's own method works inside ``optimize`` only)."""
        self.exhausted = True


def open_study(
    storage: str | BaseStorage,
    name: str,
    directions: Sequence[str],
    fingerprint: Mapping[str, Any],
    sampler: BaseSampler | Callable[[int], BaseSampler],
    check: Callable[[], None] | None = None,
) -> Study:
    """Return the study ``name``; it is created if there is none.

    Args:
        storage: URL of a database (``sqlite:///optuna.db``, ``postgresql://...``, ``mysql://...``), or
            ``journal://path`` (``journal:///absolute/path``) for a journal file, ``grpc://host:port`` for a proxy of
            Optuna's, or an open Optuna storage.
        name: name of the study.
        directions: ``"minimize"`` or ``"maximize"``, one per objective.
        fingerprint: settings of the study, nested plain values or dataclasses; kept as a user attribute.
        sampler: a sampler, or a function that makes one from the number of trials that the study holds already, so that
            a continued study does not draw its first points again.
        check: called before everything that is written, now and later; raises where this process may not write.

    Raises:
        FingerprintMismatchError: there is a study of this name with another fingerprint or other directions.
        StorageError: the storage cannot be opened, or the study has been changed by others.
        UsageError: the storage is of an unknown kind, the sampler cannot be made, or does not take several objectives.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if callable(sampler):
        sampler(0)  # so that a wrong name is refused before anything is written
    address = storage if isinstance(storage, str) else type(storage).__name__
    connected = connect(storage) if isinstance(storage, str) else storage
    if check is not None:
        guard(connected, check)
    with _storage_errors(address):
        created = optuna.create_study(
            storage=connected,
            study_name=name,
            directions=[StudyDirection[direction.upper()] for direction in directions],
            load_if_exists=True,
        )
        study = Study(study_name=name, storage=created._storage, pruner=optuna.pruners.NopPruner())
        study.address = address
        stored_values.check_study(name, address, study.user_attrs)
        stored = study.user_attrs.get(FINGERPRINT)
        existing = len(study.get_trials(deepcopy=False))
    stored_directions = [direction.name.lower() for direction in study.directions]
    changes = differences({"directions": stored_directions}, {"directions": list(directions)})
    if stored is None and existing:
        changes.append("the study there was not made by sepray")
    elif stored is not None:
        changes += differences(stored, fingerprint)
    refuse_differences(name, address, changes)
    study.sampler = sampler(existing) if callable(sampler) else sampler
    if len(study.directions) > 1 and isinstance(study.sampler, optuna.samplers.CmaEsSampler):
        raise UsageError("sampler 'cmaes' takes one objective; for several use tpe, gp, nsgaii or nsgaiii")
    if stored is None:
        with _storage_errors(address):
            study.set_user_attr(FINGERPRINT, plain(fingerprint))
    return study


def refuse_differences(name: str, storage: str, changes: Sequence[str]) -> None:
    """Refuse a study whose settings differ from those of the study of its name.

    Args:
        name: name of the study.
        storage: URL of the storage that has the other one.
        changes: a line for each difference, ``setting: old -> new``; none: nothing is refused.

    Raises:
        FingerprintMismatchError: the settings differ; the message has all differences.
    """
    if changes:
        told = [_CONTENT if line.startswith("task.data: ") else line for line in changes]
        raise FingerprintMismatchError(
            f"study {name!r} exists in {mask(storage)} with other settings; choose another name, or go back to:\n  "
            + "\n  ".join(told)
        )


def load_study(storage: str, name: str) -> optuna.Study:
    """Return the existing study ``name``; nothing is created.

    Raises:
        StorageError: the storage cannot be opened or read, or the study has been changed by others.
        UsageError: there is no such storage or study.
    """
    with _storage_errors(storage):
        file = _file(storage)
    if file is not None and not file.exists():
        raise UsageError(
            f"there is no Optuna storage {mask(storage)}: is this the folder of the study? "
            "Give --storage, in Python storage="
        )
    connected = connect(storage)
    with _storage_errors(storage):
        names = optuna.get_all_study_names(connected)
        if name in names:
            study = CheckedStudy(study_name=name, storage=connected)
            study.address = storage
            stored_values.check_study(name, storage, study.user_attrs)
            return study
    studies = sorted(n for n in names if "/" not in n)  # without the retrainings of each study
    there = f"there are: {', '.join(studies)}" if studies else "it has none: give --storage, in Python storage="
    raise UsageError(f"no study {name!r} in {mask(storage)}; {there}")


def summaries(storage: str) -> list[optuna.study.StudySummary]:
    """Return the summaries of all studies in a storage, sorted by their names; trials are not read.

    Raises:
        StorageError: the storage cannot be opened or read.
        UsageError: the URL is of no known kind, or its driver is not installed.
    """
    connected = connect(storage)
    with _storage_errors(storage):
        found = optuna.get_all_study_summaries(connected, include_best_trial=False)
    return sorted(found, key=lambda summary: str(summary.study_name))


def connect(url: str) -> BaseStorage:
    """Return the Optuna storage at ``url``; SQLite is set up so that readers and the study do not block each other.

    Raises:
        StorageError: the storage cannot be opened.
        UsageError: the URL is of no known kind, its driver is not installed, or another user has put a link in the
            place of its file.
    """
    scheme, separator, path = url.partition("://")
    if not separator:
        raise UsageError(
            f"storage {url!r} is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or journal://file"
        )
    with _storage_errors(url):
        if scheme == "grpc":
            return open_proxy(url)
        if (file := _file(url)) is not None:
            links.refuse_of_others(file)
        if scheme == "journal":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(RepairingBackend(path))
        return optuna.storages.get_storage(_with_tables(url))


def _with_tables(url: str) -> BulkReadStorage:
    """Return a relational storage, whose tables are made where there are none.

    Where several processes make them at once, all but one fail in Optuna. In a file, one process at a time makes them;
    on a server, a failure is followed by another attempt, which finds more of them.
    """
    file, attempts = _file(url), 10
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        create_for_sqlite(file)
        _refuse_programs(file, url)
    while True:
        attempts -= 1
        try:
            with locked(file.parent) if file is not None else contextlib.nullcontext():
                return _relational(url)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            told = f"{first_line(error)} {first_line(error.__cause__ or error)}".lower()
            if not attempts or not any(word in told for word in ("already exists", "unique", "duplicate")):
                raise
        time.sleep(random.uniform(0.05, 0.5))


def _refuse_programs(file: Path, url: str) -> None:
    """Refuse a database with a view in the place of one of Optuna's tables, a trigger on one, or the like.

    Optuna makes none, and a query of one may go on for ever, which no signal ends.

    Raises:
        StorageError: it has one.
    """
    if found := program_on(file, {*BaseModel.metadata.tables, "alembic_version"}):
        told = f"it has {found}, which Optuna has not made; go back to a copy of it"
        raise StorageError(mask(f"storage {url} cannot be read: {told}"))


def _relational(url: str) -> BulkReadStorage:
    parsed = sqlalchemy.engine.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # With a ping before each use, connections that a restarted server has closed are replaced.
        return _compatible(url, {"pool_pre_ping": True})
    storage = _compatible(url, {"connect_args": {"timeout": _BUSY_SECONDS}})
    sqlalchemy.event.listen(storage.engine, "connect", _use_write_ahead_log)
    if _file(url) is not None:
        storage.engine.dispose()  # closes connections that have made the tables, and are not set up
    return storage


def _compatible(url: str, settings: dict[str, Any]) -> BulkReadStorage:
    """Return the storage, whose tables are those of this version of Optuna.

    To find that out, Optuna reads all its migrations. Here it does so once a process for each version of tables.
    """
    storage = BulkReadStorage(url, engine_kwargs=settings, skip_compatibility_check=True)
    if (version := storage.get_current_version()) not in _own_versions:
        storage.engine.dispose()
        storage = BulkReadStorage(url, engine_kwargs=settings)
        _own_versions.add(version)
    return storage


def _file(url: str) -> Path | None:
    """Return the file of a journal or an SQLite database; None for a server and for a database in memory."""
    scheme, _, path = url.partition("://")
    if scheme == "journal":
        return Path(path)
    if scheme.partition("+")[0] != "sqlite":
        return None
    file = sqlalchemy.engine.make_url(url).database
    return Path(file) if file and file != ":memory:" else None


def _use_write_ahead_log(connection: Any, _record: Any) -> None:
    """Set write-ahead logging, in which readers (the dashboard) see a consistent state and never hold up a report.

    With ``synchronous=NORMAL`` the database survives the death of the process at any point; a power cut may cost the
    last transactions, never the database.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, of the database driver's own where there is one.

    Optuna's own message is the same for all errors of a database. What SQLite says is explained.
    """
    if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return explain_database(lines[0] if lines else type(cause).__name__)


@contextlib.contextmanager
def _damage_reported(url: str) -> Iterator[None]:
    """Raise a StorageError for rows and attributes that others have damaged; journals have other messages."""
    try:
        yield
    except (RowError, LookupError) as error:
        if not isinstance(error, RowError) and type(error) is not LookupError:  # SQLAlchemy's, for a name in a column
            raise
        told = f"a row in it is not as Optuna writes it ({first_line(error)}); go back to a copy of it"
        raise StorageError(mask(f"storage {url} cannot be read: {told}")) from error
    except (ValueError, RecursionError) as error:
        is_no_json = isinstance(error, json.JSONDecodeError | RecursionError) or _TOO_LONG in str(error)
        if not is_no_json or url.startswith("journal:"):
            raise
        told = f"an attribute in it is no JSON ({type(error).__name__}); go back to a copy of it"
        raise StorageError(mask(f"storage {url} cannot be read: {told}")) from error


@contextlib.contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Raise errors of the storage at ``url`` as errors that a user can put right, in one line."""
    try:
        with _damage_reported(url):
            yield
    except SeprayError:  # some are ValueErrors
        raise
    except (ImportError, sqlalchemy.exc.NoSuchModuleError, sqlalchemy.exc.ArgumentError) as error:
        reason = error.__cause__ or error
        remedy = how_to_install(reason) or "check the URL and its driver"
        raise UsageError(mask(f"storage {url} cannot be used: {first_line(reason)}; {remedy}")) from error
    except ValueError as error:  # a line of a journal
        if url.startswith("grpc:"):
            raise UsageError(mask(f"storage {url} cannot be used: {first_line(error)}")) from error
        if not url.startswith("journal:"):
            raise
        damage = f"a line in its middle is damaged ({first_line(error)}); delete that line, or go back to a copy"
        raise StorageError(mask(f"storage {url} cannot be read: {damage}")) from error
    except (*STORAGE_FAILURES, RuntimeError) as error:  # RuntimeError: the tables are of another version of Optuna
        raise StorageError(mask(f"storage {url} cannot be opened: {first_line(error)}")) from error
