"""Opens the Optuna study that is a study's one source of truth, or says in one line why it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import StudyDirection
from sqlalchemy.exc import SQLAlchemyError

from ..errors import StorageError, UsageError, mask
from ..identity import differences, plain
from .bulk_read import Database

FINGERPRINT = "fingerprint"
_BUSY_SECONDS = 60.0
__all__ = [
    "STORAGE_FAILURES",
    "FingerprintMismatchError",
    "StorageError",
    "Study",
    "connect",
    "first_line",
    "open_study",
]

# What a storage that is busy, full, restarted or unreachable raises: trying again may help.
STORAGE_FAILURES = (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError)


class FingerprintMismatchError(UsageError):
    """The storage holds a study of this name with other settings; the message says what differs."""


class Study(optuna.study.Study):
    """An Optuna study whose multi-objective form keeps intermediate values, and which can be stopped from outside.

    Optuna 5.0 refuses ``Trial.report`` with several objectives, but its storages take intermediate values all the
    same. TPE then ranks pruned trials by them and asks for ``study.direction``, which raises for several objectives.
    The intermediate values of a multi-objective study are one scalarised objective that is minimised, so that is the
    answer here. Every other sampler of Optuna looks at ``directions`` or refuses several objectives.
    """

    exhausted = False
    """A finite sampler (grid, brute force) has proposed all that it has."""

    @property
    def direction(self) -> StudyDirection:
        """Direction of the objective, or of the scalarised intermediate values where there are several."""
        return super().direction if len(self.directions) == 1 else StudyDirection.MINIMIZE

    def stop(self) -> None:
        """Take note that the sampler has nothing left (Optuna's own method works inside ``optimize`` alone)."""
        self.exhausted = True


def open_study(
    storage: str | BaseStorage,
    name: str,
    directions: Sequence[str],
    fingerprint: Mapping[str, Any],
    sampler: BaseSampler | Callable[[int], BaseSampler],
) -> Study:
    """Return the study ``name``, made where there is none.

    Args:
        storage: URL of a database (``sqlite:///optuna.db``, ``postgresql://...``, ``mysql://...``), or
            ``journal://path`` (``journal:///absolute/path``) for a journal file, or an open Optuna storage.
        name: of the study.
        directions: ``"minimize"`` or ``"maximize"``, one per objective.
        fingerprint: nested plain values or dataclasses that say what the study is; kept as a user attribute.
        sampler: or a function of the number of trials that the study holds already, so that a continued study does
            not draw its first points again.

    Raises:
        FingerprintMismatchError: there is a study of this name with another fingerprint or other directions.
        StorageError: the storage cannot be opened.
        ValueError: the storage is of a kind that there is none of, the sampler cannot be made, or it cannot take
            several objectives.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if callable(sampler):
        sampler(0)  # a wrong name is said before anything is written
    shown = storage if isinstance(storage, str) else type(storage).__name__
    opened = connect(storage) if isinstance(storage, str) else storage
    with _one_line(shown):
        created = optuna.create_study(
            storage=opened, study_name=name, directions=_directions(directions), load_if_exists=True, sampler=_Unused()
        )
        study = Study(study_name=name, storage=created._storage, pruner=optuna.pruners.NopPruner())
        kept = study.user_attrs.get(FINGERPRINT)
        existing = len(study.get_trials(deepcopy=False))
    found = [direction.name.lower() for direction in study.directions]
    changes = differences({"directions": found}, {"directions": list(directions)})
    if kept is None and existing:
        changes.append("the study there was not made by sepray")
    elif kept is not None:
        changes += differences(kept, fingerprint)
    if changes:
        raise FingerprintMismatchError(
            f"study {name!r} exists in {mask(shown)} with other settings; choose another name, or go back to:\n  "
            + "\n  ".join(changes)
        )
    study.sampler = sampler(existing) if callable(sampler) else sampler
    if len(study.directions) > 1 and isinstance(study.sampler, optuna.samplers.CmaEsSampler):
        raise ValueError("sampler 'cmaes' takes one objective; for several use tpe, gp, nsgaii or nsgaiii")
    if kept is None:
        with _one_line(shown):
            study.set_user_attr(FINGERPRINT, plain(fingerprint))
    return study


def _directions(names: Sequence[str]) -> list[StudyDirection]:
    return [StudyDirection[name.upper()] for name in names]


class _Unused(optuna.samplers.RandomSampler):
    """Stands in until the number of trials is known; draws nothing."""


def connect(url: str) -> BaseStorage:
    """Return the Optuna storage at ``url``; SQLite is set up so that readers and the study do not block each other.

    Raises:
        StorageError: it cannot be opened.
        ValueError: the URL is of no known kind, or its driver is not installed.
    """
    scheme, separator, path = url.partition("://")
    if not separator:
        raise ValueError(
            f"storage {url!r} is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or journal://file"
        )
    with _one_line(url):
        if scheme == "journal":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(path))
        return optuna.storages.get_storage(_relational(url))


def _relational(url: str) -> Database:
    parsed = sqlalchemy.engine.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return Database(url, engine_kwargs={"pool_pre_ping": True})  # a restarted server is not an error
    file = parsed.database
    if file and file != ":memory:":
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    storage = Database(url, engine_kwargs={"connect_args": {"timeout": _BUSY_SECONDS}})
    sqlalchemy.event.listen(storage.engine, "connect", _write_ahead)
    if file and file != ":memory:":
        storage.engine.dispose()  # the connections that made the tables
    return storage


def _write_ahead(connection: Any, _record: Any) -> None:
    """Set write-ahead logging: readers (the dashboard) see a consistent state and never hold up a report.

    ``synchronous=NORMAL`` survives the death of the process at any point; only a power cut may cost the last
    transactions, never the database.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


@contextlib.contextmanager
def _one_line(url: str) -> Iterator[None]:
    try:
        yield
    except (ImportError, sqlalchemy.exc.NoSuchModuleError, sqlalchemy.exc.ArgumentError) as error:
        cause = first_line(error.__cause__ or error)
        raise ValueError(f"storage {mask(url)} cannot be used: {cause}; check the URL and its driver") from error
    except STORAGE_FAILURES as error:
        raise StorageError(f"storage {mask(url)} cannot be opened: {first_line(error)}") from error
    except RuntimeError as error:  # Optuna: the tables are of another version of it
        raise StorageError(f"storage {mask(url)} cannot be opened: {first_line(error)}") from error


def load_study(storage: str, name: str) -> optuna.Study:
    """Return a study that exists.

    Raises:
        UsageError: there is no such storage or study.
    """
    file = storage.removeprefix("sqlite:///")
    if file != storage and not Path(file).exists():
        raise UsageError(f"there is no Optuna storage {storage}: is this the folder of the study? give --storage")
    opened = connect(storage)
    try:
        return optuna.load_study(study_name=name, storage=opened)
    except KeyError:
        there = sorted(n for n in optuna.get_all_study_names(opened) if "/" not in n)
        raise UsageError(f"no study {name!r} in {mask(storage)}; there are: {', '.join(there) or 'none'}") from None
