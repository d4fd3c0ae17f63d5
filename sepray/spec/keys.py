"""Reads TOML files, and refuses names that they should not have, with the nearest name that is known."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..errors import UsageError, proposal


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        UsageError: the file cannot be read, or is not TOML; the message does not name the file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"it cannot be read ({error.strerror})") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"it is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise UsageError("it is not text in UTF-8") from None
    except (ValueError, RecursionError):  # of a number with more digits, or brackets in more levels, than Python reads
        raise UsageError("it is not TOML that can be read: it has a number too long, or too many levels") from None


def refuse_unknown(names: Collection[str], known: Collection[str], prefix: str = "") -> None:
    """Refuse the first of ``names`` that is not known.

    Args:
        names: names that were given.
        known: names that exist.
        prefix: what stands before the name in the message: the tables of a file that it lies in (``"search."``), or
            the beginning of a sentence that ends with a blank.

    Raises:
        UsageError: a name is not known; the message has the nearest known name, and all of them.
    """
    for name in names:
        if name not in known:
            meant = proposal(name, known)
            said = f"{prefix}{name}" if prefix[-1:] == " " else f"unknown key {prefix}{name}"
            raise UsageError(f"{said}; {meant}there are {', '.join(known) or 'none'}")
