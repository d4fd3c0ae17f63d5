"""Names of files that every file system and object store takes, and keeps apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

WANTED = 'names of files (at most 200 bytes; without control characters and / \\ : * ? " < > |; no blank or dot last)'
"""Words for the names that ``is_usable`` accepts."""

_LONGEST = 200  # bytes of UTF-8: file systems take 255, and endings and numbers are added
_REFUSED = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\:*?"<>|]')


def is_usable(name: str) -> bool:
    """Say whether a text can be the name of a file everywhere."""
    return bool(name) and name == usable(name)


def usable(name: str) -> str:
    """Return a text as a name that files can have everywhere: ``_`` replaces other characters, a long name is cut."""
    kept = _REFUSED.sub("_", name).strip(" ").rstrip(" .")
    return kept.encode()[:_LONGEST].decode(errors="ignore").rstrip(" .") or "_"


def folded(name: str) -> str:
    """Return a name without capitals, its accents in one encoding. Equal results may be one file on some disks."""
    return unicodedata.normalize("NFC", name).casefold()


def different(names: Iterable[str]) -> list[str]:
    """Return names as ``usable`` makes them, with a number if an earlier one is alike: ``Song``, ``song (2)``."""
    found: dict[str, str] = {}
    for given in names:
        name, number = usable(given), 1
        while folded(name) in found:
            number += 1
            ending = f" ({number})"
            name = usable(given).encode()[: _LONGEST - len(ending)].decode(errors="ignore") + ending
        found[folded(name)] = name
    return list(found.values())
