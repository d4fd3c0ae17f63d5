"""Errors that a user can put right, and what messages need: secrets removed, lines joined, the name that was meant.

A command shows a ``SeprayError`` in one line and exits with status 2. Any other exception is a bug, in a user's
separator or task or in sepray, and is shown with its traceback (``sepray.console.exit_status``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from .secrecy import mask as mask

_CLUSTER_MODULES = ("psycopg", "boto3", "botocore", "grpc")
"""Modules of the extra ``cluster`` that studies import: PostgreSQL, object stores of MLflow, Optuna's proxy."""


class SeprayError(Exception):
    """Base class of all errors that a user can put right; the message says what is wrong and what to do.

    Attributes:
        in_lines: whether the message is a list, which is shown in lines of its own; other messages are shown in one.
    """

    in_lines = False


class UsageError(SeprayError, ValueError):
    """A flag, a file, a name or a configuration is wrong; the message says what, why and what to do, in one line."""


class MissingLibraryError(UsageError):
    """A library that is not always needed is not installed; the message says which, and how to install it."""


class StorageError(SeprayError, RuntimeError):
    """The Optuna storage cannot be opened, read or written; the message says which storage and why, in one line."""


class UnreachableError(SeprayError, ConnectionError):
    """A server (tracking server, database, Ray cluster) does not answer; the message says which, in one line."""


_SQLITE = {
    "database is locked": "it is locked by another program, such as a backup or an open shell; end that first",
    "readonly database": (
        "it is read-only: let this user write the file and the folder that it is in (chmod u+w), or give another one"
    ),
    "disk image is malformed": "it is damaged; go back to a copy, or save what is left with: sqlite3 FILE .recover",
    "file is not a database": "the file is damaged, or not a database; go back to a copy, or give another one",
    "database or disk is full": "its disk is full; free some space there, and run the same command again",
    "unable to open database file": (
        "the file cannot be opened: its folder is missing, or not this user's; make that, or give another one"
    ),
}
"""Part of a message of SQLite -> its meaning, and advice."""
_LOGIN = "give another user in the address, or set PGPASSWORD or PGPASSFILE for PostgreSQL"
_NO_DATABASE = "make it there first (`createdb NAME` for PostgreSQL), or give the address of another one"
_SERVERS = (
    (r'database ".*" does not exist|unknown database', _NO_DATABASE),
    (r'role ".*" does not exist|authentication failed|no password supplied|access denied', _LOGIN),
    (r"no pg_hba\.conf entry|is not allowed to connect", "let this host in: pg_hba.conf of PostgreSQL, or its users"),
    (r"permission denied", "let this user in (`grant`), or give another one in the address"),
)
"""Pattern of a message of PostgreSQL or MySQL that refuses a connection for good -> advice."""


def refused_for_good(message: str) -> str:
    """Return advice on a database server that refuses a connection and will do so again; empty for other messages."""
    found = (remedy for pattern, remedy in _SERVERS if re.search(pattern, message, re.IGNORECASE))
    return next(found, "")


def explain_database(message: str) -> str:
    """Return a message of a database's with its meaning and advice, where these are known."""
    means = next((reason for part, reason in _SQLITE.items() if part in message), "") or refused_for_good(message)
    return f"{message} ({means})" if means else message


def how_to_install(error: BaseException | None) -> str | None:
    """Return how to install the module that an import did not find, where one of sepray's extras brings it."""
    module = (getattr(error, "name", None) or "").partition(".")[0]
    if module == "psycopg2":
        return "pip install 'sepray[cluster]', and write postgresql+psycopg://"
    return "pip install 'sepray[cluster]'" if module in _CLUSTER_MODULES else None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like a misspelt one; empty if none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), 1)), "")


def proposal(name: str, known: Iterable[str]) -> str:
    """Return the part of a message that proposes the nearest known name; empty if none is near."""
    close = nearest(name, known)
    return f"perhaps you meant {close}; " if close else ""


def one_line(error: BaseException) -> str:
    """Return the message of an error with its lines joined; the error's type where it has no message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines).replace(":;", ":") or type(error).__name__
