"""Shared copies of a cache's entries, where the cache is at a URI: fetched if they may be trusted, and made for others.

The header of a copy is read first. Whoever may write to the store could have put the copy there, so it is fetched only
if its seal is on this user's list (``cache_entry``), or with ``SEPRAY_TRUST_CACHE=1``. Then all of it is checked
against its digests. Where the store fails, a line says so, and the entry is made here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..disk import shared_copies
from ..disk.shared_copies import SharedCopy
from ..errors import mask
from ..plain_text import escape_controls
from . import cache_entry
from .cache_entry import Entry

_LONGEST_HEADER = 100_000_000  # bytes; safetensors has the same limit
_TOLD_BYTES = 1 << 28
"""Size in bytes above which a transfer is announced."""
_offered: set[Path] = set()
"""Files of the entries that this process has fetched or offered already."""


def fetched(path: Path, description: str) -> Entry | None:
    """Fetch an entry to its place on this machine; the caller holds its lock.

    Args:
        path: its file on this machine, which is missing or not usable.
        description: the key that it must have been made for.

    Returns:
        the entry; None if there is no copy that is sound and may be trusted, or if the store fails.

    Raises:
        OSError: the folder on this machine cannot be written to.
    """
    copy = shared_copies.of(path)
    if copy is None:
        return None
    try:
        size = copy.size()
        if size is None:
            return None
        why = _received(copy, size, path, description)
    except (OSError, ValueError) as error:
        why = f"cannot be fetched ({_reason(error)})"
    if why:
        _tell(f"{copy.shown} {why}: building it again")
        return None
    _offered.add(path)
    return cache_entry.read(path, description, verified=0)


def offer(path: Path, made: bool = False) -> None:
    """Make the shared copy of an entry, unless there is one; where the store fails, a line says so.

    Args:
        path: the entry's file on this machine, which is sound.
        made: whether the entry has just been made, because no copy was usable: then an existing copy is replaced.
    """
    copy = shared_copies.of(path)
    if copy is None or (path in _offered and not made):
        return
    _offered.add(path)
    try:
        size = path.stat().st_size
        if not made and copy.size() == size:
            return
        if size > _TOLD_BYTES:
            _tell(f"copying {path.name} ({size / 1e9:.1f} GB) to {copy.shown}")
        copy.keep(path)
    except (OSError, ValueError) as error:
        _tell(f"{copy.shown} cannot be written ({_reason(error)}): other machines make it themselves")


def _received(copy: SharedCopy, size: int, path: Path, description: str) -> str:
    """Put a copy of ``size`` bytes in its place; return why it is refused, or an empty text.

    Raises:
        OSError: the store fails, or the disk.
    """
    header = _header(copy, size)
    if header is None or header.get("key") != description:
        return cache_entry.DAMAGED
    if not cache_entry.is_trusted(cache_entry.seal_of(header)):
        return cache_entry.NOT_TRUSTED
    if size > _TOLD_BYTES:
        _tell(f"fetching {copy.shown} ({size / 1e9:.1f} GB)")
    return "" if cache_entry.receive(path, description, copy.fetch) else cache_entry.DAMAGED


def _header(copy: SharedCopy, size: int) -> dict[str, Any] | None:
    """Return sepray's part of a copy's header; None where there is none, or it states another length of the copy."""
    length = int.from_bytes(copy.read(0, 8), "little")
    if not 0 < length <= min(size, _LONGEST_HEADER):
        return None
    try:
        described = json.loads(copy.read(8, length))
        header = json.loads(described.pop("__metadata__")["sepray"])
        end = max((tensor["data_offsets"][1] for tensor in described.values()), default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return header if isinstance(header, dict) and size == 8 + length + end else None


def _reason(error: Exception) -> str:
    return mask(str(error).splitlines()[0]) if str(error) else type(error).__name__


def _tell(text: str) -> None:
    print(escape_controls(text), file=sys.stderr)
