"""Separates many recordings with one model: files, and folders with all recordings below them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..signals.recording_types import Recording
from ..signals.recordings import SUFFIXES, open_in_folder, open_recording, recordings_below, written_suffix
from .model import Model
from .model_signal import require_sounds
from .separation import Progress, Separation, result_names, separate_into
from .stream import check_window, wanted_sources


@dataclass(frozen=True)
class Planned:
    """A recording that is to be separated.

    Attributes:
        path: path of its file.
        output: folder of its estimates.
        found: whether it was found in a folder; False if the user named the file itself.
    """

    path: Path
    output: Path
    found: bool = False


@dataclass(frozen=True)
class Refused:
    """A recording that could not be separated.

    Attributes:
        name: name of its file.
        reason: why, in one line that names the file.
    """

    name: str
    reason: str

    @property
    def document(self) -> dict[str, Any]:
        """JSON document that ``sepray separate --json`` prints."""
        return {"input": self.name, "error": self.reason}


def plan(inputs: Sequence[Path], output: Path) -> list[Planned]:
    """Return which recordings are separated into which folders, in the order of ``inputs`` and then of their names.

    A folder stands for all recordings below it; their estimates go to the same subfolders of ``output``. Files are left
    out that lie in ``output``, are hidden or a part of a WFDB record, or do not have the suffix of a recording.

    Args:
        inputs: files and folders.
        output: folder of the results.

    Raises:
        UsageError: a folder has no recordings or is ``output`` itself, or two recordings would have the same results.
    """
    planned: list[Planned] = []
    for given in inputs:
        planned += _below(given, output) if given.is_dir() else [Planned(given, output)]
    taken: dict[Path, Path] = {}
    for found in planned:
        target = found.output / (found.path.stem + written_suffix(found.path))
        if target in taken:
            raise UsageError(
                f"{taken[target]} and {found.path} would both be separated into {found.output}; "
                "separate them into folders of their own"
            )
        taken[target] = found.path
    return planned


def _below(folder: Path, output: Path) -> list[Planned]:
    results = output.resolve()
    if folder.resolve() == results:
        raise UsageError(f"{folder} would hold recordings and results alike: give another folder for the results")
    found = [
        Planned(path, output / path.relative_to(folder).parent, found=True)
        for path in recordings_below(folder)
        if results not in path.resolve().parents
    ]
    if not found:
        raise UsageError(f"there are no recordings in {folder}: no file named {', '.join(f'*{s}' for s in SUFFIXES)}")
    return found


def separate_all(
    planned: Sequence[Planned],
    model: Model,
    rate: float | None = None,
    source: str | None = None,
    window: float | None = None,
    picture: bool = False,
    progress: Callable[[str], Progress | None] | None = None,
) -> Iterator[Separation[Path] | Refused]:
    """Separate recordings one after the other; one that cannot be separated does not stop the others.

    Args:
        planned: the recordings, from ``plan``.
        model: a loaded model.
        rate: sampling rate in Hz of files that do not say it; those found in a folder may have rates of their own.
        source: the only source that is wanted; None: all.
        window: length that the model separates at once, in seconds; None: the length that it was trained on.
        picture: whether to draw mixture and estimates over time.
        progress: called with the name of each recording before it; returns the function to call after each block.

    Yields:
        The separation of each recording, or why there is none, in order.

    Raises:
        UsageError: the model does not separate sounds, has no such source, or needs a longer window, or an estimate
            would replace one of the recordings.
        OSError: a result cannot be written.
    """
    require_sounds(model)
    check_window(window, model)
    _refuse_replaced(planned, model, wanted_sources(model, source))
    stems = Counter((found.output, found.path.stem) for found in planned)
    for found in planned:
        alone = stems[found.output, found.path.stem] == 1
        drawn = None if alone else f"{found.path.name}.png"
        name = str(found.path)
        try:
            recording = _opened(found, rate)
            advance = None if progress is None else progress(name)
            yield separate_into(found.output, recording, model, name, source, window, picture, advance, drawn)
        except UsageError as error:
            reason = str(error)
            yield Refused(name, reason if name in reason else f"{name}: {reason}")
        except OSError as error:
            if error.filename is None or os.fspath(error.filename) != name:  # another file's error
                raise
            yield Refused(name, f"{name}: {error.strerror}")


def _refuse_replaced(planned: Sequence[Planned], model: Model, wanted: Sequence[str]) -> None:
    """Refuse recordings of which one would be replaced by an estimate of another: perhaps it is an earlier estimate."""
    recordings = {found.path.resolve(): found.path for found in planned}
    for found in planned:
        for name in result_names(found.path.stem, written_suffix(found.path), model, wanted).values():
            if replaced := recordings.get((found.output / name).resolve()):
                raise UsageError(
                    f"an estimate of {found.path} would replace the recording {replaced}: leave that one out, or give "
                    "another folder for the results"
                )


def _opened(planned: Planned, rate: float | None) -> Recording:
    """Open a recording; for one that was found in a folder, ``rate`` counts only if the file does not say its rate."""
    return open_in_folder(planned.path, rate) if planned.found else open_recording(planned.path, rate)
