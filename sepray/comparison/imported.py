"""Rows of other people's results beside ours: SiSEC's, or any in museval's files, by track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..choices import BSS_EVAL
from ..errors import UsageError

if TYPE_CHECKING:
    from ..contracts import TaskData
    from ..scoring.museval_results import Results


@dataclass(frozen=True)
class Imported:
    """Imported results.

    Attributes:
        results: those of each method.
        shared: for each track of the task, whether all methods have results of it.
        names: names of the tracks that have.
    """

    results: tuple[Results, ...]
    shared: NDArray[np.bool_]
    names: tuple[str, ...]

    @property
    def words(self) -> str:
        """Sentences on the origin of the rows, and on the number of tracks that are compared."""
        methods = ", ".join(f"{result.name} ({result.folder})" for result in self.results)
        return (
            f"Imported, not computed here: {methods}. All figures are of the {len(self.names)} of {len(self.shared)} "
            "test tracks that have results of all methods. "
        )


def parse(given: str) -> tuple[str, Path]:
    """Return name and folder of ``NAME=FOLDER``.

    Raises:
        UsageError: the text does not have that form.
    """
    name, equals, folder = (part.strip() for part in given.partition("="))
    if not (name and equals and folder):
        raise UsageError(f"--museval-results {given!r} does not have the form NAME=FOLDER")
    return name, Path(folder).expanduser()


def check(given: Sequence[str], measures: Sequence[str]) -> None:
    """Refuse results that cannot be shown, before anything large is imported.

    Args:
        given: values of the flag.
        measures: measures of the table.

    Raises:
        UsageError: a value has another form, a name is there twice, a folder is missing, or no measure is BSS Eval's.
    """
    names = [parse(each)[0] for each in given]
    if len(set(names)) < len(names):
        raise UsageError(f"--museval-results must have different names, not {', '.join(names)}")
    for name, folder in map(parse, given):
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder} (--museval-results {name})")
    if given and not set(BSS_EVAL) & set(measures):
        raise UsageError(f"--museval-results are of BSS Eval: give some of --measures {' '.join(BSS_EVAL)} too")


def read(given: Sequence[str], data: TaskData) -> Imported | None:
    """Return the imported results; None where there are none.

    Args:
        given: values of the flag.
        data: data of the task.

    Raises:
        UsageError: the task has no whole tracks, they cannot be read, or no track has results of all methods.
    """
    if not given:
        return None
    from ..scoring import museval_results

    if data.tracks is None:
        raise UsageError("--museval-results are of whole tracks, and the task has none: stems and bach10 have")
    results = tuple(museval_results.read(*parse(each), data.signal.sources) for each in given)
    shared = np.array([all(name in result.tracks for result in results) for name in data.tracks.names])
    if not shared.any():
        theirs = next(iter(results[0].tracks))
        methods = ", ".join(result.name for result in results)
        raise UsageError(
            f"no test track has results of all of {methods}: the task's are called as {data.tracks.names[0]!r}, and "
            f"those of {results[0].name} as {theirs!r}"
        )
    return Imported(results, shared, tuple(name for name, kept in zip(data.tracks.names, shared, strict=True) if kept))
