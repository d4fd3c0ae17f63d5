"""Finds the source files that a study's trainings run, and their digests, which show later changes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..identity import digest
from ..spec.study import StudySpec
from ..tracking import sources


def files(separator: Any) -> dict[str, str]:
    """Return module -> digest of its file, for a separator's configuration and all code that trains it.

    These are the modules that travel with a packaged model, and sepray's own training. Empty if the separator has no
    source files.
    """
    try:
        found = sources.collect(type(separator).__module__, "sepray.execution.members")
    except sources.PackagingError:
        return {}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in sorted(found.items())}


def modules(spec: StudySpec) -> list[str]:
    """Return the names of the modules whose code workers need: separator, task, and all that these import.

    The imports are read from the source files, so modules that are imported later, inside a function, are among them.
    """
    found = set(spec.modules())
    for name in spec.modules():
        with contextlib.suppress(sources.PackagingError):  # without a source file: in a notebook, or compiled
            found |= sources.collect(name).keys()
    return sorted(found)


def digest_of(found: Mapping[str, str]) -> str:
    """Return the digest of the result of ``files``, 16 hexadecimal digits."""
    return digest(found)[:16]


def attribute(found: Mapping[str, str]) -> str:
    """Return the name of a study's user attribute that keeps the result of ``files``."""
    return f"code.{digest_of(found)}"


def changed(stored: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Return the names of the modules whose files differ, or that only one side has, sorted."""
    return sorted(name for name in stored.keys() | present.keys() if stored.get(name) != present.get(name))


def in_words(names: Sequence[str]) -> str:
    """Return the beginning of a sentence about the files of some modules: ``masks.py and trainer.py have``.

    A file below the current folder is named by its path from there; a module that is gone by its own name.
    """
    files = [_file(name) for name in names]
    return (
        f"{' and '.join([', '.join(files[:-1]), files[-1]] if files[1:] else files)} {'have' if files[1:] else 'has'}"
    )


def _file(module: str) -> str:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin:
        return module
    path, here = Path(found.origin), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
