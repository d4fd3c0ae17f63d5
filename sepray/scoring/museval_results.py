"""Results of other people's methods, in the JSON files of museval: ``METHOD/test/Track Name.json``, as of SiSEC.

Each file has for each source the SDR, ISR, SIR and SAR of its frames. A track's score is the median over them, as for
our own estimates (``bss_eval``); frames without a score (a silent source) and infinite ones are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import BSS_EVAL
from ..disk.files import refuse_links
from ..errors import UsageError, one_line
from . import bss_eval

Scores = dict[str, NDArray[np.float64]]
"""Measure -> ``[source]``, NaN where there is no score."""


@dataclass(frozen=True)
class Results:
    """The results of one method.

    Attributes:
        name: name of the method.
        folder: folder that they were read from.
        tracks: for each track its scores by each measure of BSS Eval.
    """

    name: str
    folder: str
    tracks: Mapping[str, Scores]

    def of(self, names: Sequence[str]) -> Scores:
        """Return the scores ``[track, source]`` of some of the tracks."""
        return {measure: np.stack([self.tracks[name][measure] for name in names]) for measure in BSS_EVAL}


def files(folder: Path) -> list[Path]:
    """Return the files of a method's test tracks: those in ``FOLDER/test``, or in ``FOLDER`` where that is not there.

    Raises:
        UsageError: there are no files, or one is a link that leads out of the folder.
    """
    inner = folder / "test" if (folder / "test").is_dir() else folder
    found = sorted(path for path in inner.rglob("*.json") if path.is_file()) if inner.is_dir() else []
    refuse_links(found, folder)
    if not found:
        raise UsageError(
            f"there is no file test/TRACK.json in {folder} (--museval-results): it should have museval's results of a "
            "method, as sisec-mus-results has for each submission"
        )
    return found


def read(name: str, folder: Path, sources: Sequence[str]) -> Results:
    """Return the results of a method, by track.

    Args:
        name: name of the method.
        folder: folder of its results.
        sources: names of the sources that are wanted, in their order.

    Raises:
        UsageError: there are no results, a file is none of museval's, or no file has one of the sources.
    """
    tracks: dict[str, Scores] = {}
    known: set[str] = set()
    for path in files(folder):
        targets = _targets(path)
        known |= targets.keys()
        of_source = [targets.get(source, {}) for source in sources]
        tracks[path.stem] = {m: np.array([own.get(m, np.nan) for own in of_source]) for m in BSS_EVAL}
    if not known & set(sources):
        raise UsageError(f"{folder} has results of {', '.join(sorted(known))}, and the task has {', '.join(sources)}")
    return Results(name, str(folder), tracks)


def _targets(path: Path) -> dict[str, dict[str, float]]:
    """Return for each source of a file the medians over frames."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        return {
            target["name"]: {
                measure: float(bss_eval.median(np.array([_number(frame, measure) for frame in target["frames"]])))
                for measure in BSS_EVAL
            }
            for target in content["targets"]
        }
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(f"{path} has no results of museval: {type(error).__name__}: {one_line(error)[:200]}") from None


def _number(frame: Any, measure: str) -> float:
    value = frame["metrics"].get(measure.upper())
    return np.nan if value is None else float(value)
