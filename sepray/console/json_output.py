"""Prints the result of a command or study with ``--json``: one JSON document, alone on standard output."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from ..secrecy import masked

HELP = "Print the result as one JSON document, alone on standard output; messages go to standard error."
"""Help of the flag ``--json``."""
_outputs: list[TextIO] = []  # standard output, while a command with --json runs


@contextlib.contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Send whatever is printed to standard error, and only the document of ``print_json`` to standard output.

    Args:
        wanted: whether the command was given ``--json``; without it nothing changes.
    """
    if not wanted:
        yield
        return
    _outputs.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _outputs.pop()


def print_json(document: Any) -> None:
    """Print the result of a command that was given ``--json``.

    Args:
        document: JSON values; numbers that are not finite become null, because JSON has none. Secrets are masked.
    """
    print(
        json.dumps(masked(_finite(document)), indent=1, allow_nan=False), file=_outputs[-1] if _outputs else sys.stdout
    )


def _finite(value: Any) -> Any:
    """Return JSON values with null for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
