"""What a user can put right: refusals in one line, exit status 2. Imports nothing from sepray."""

from __future__ import annotations


class UsageError(ValueError):
    """What was asked for cannot be done; the message says what, why and what to do, in one line."""


class StorageError(RuntimeError):
    """The storage cannot be opened, read or written; the message says which and why, in one line."""


EXPECTED = (ValueError, OSError, StorageError)
"""What commands show in one line; anything else is a fault of sepray's, and shows where."""
