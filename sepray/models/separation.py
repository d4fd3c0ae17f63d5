"""Separates a recording of any length and rate, in memory or into files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..console import preflight
from ..disk.files import move_files
from ..errors import UsageError
from ..plain_text import in_one_line
from ..signals.array_files import MemoryRecording
from ..signals.recording_types import Recording
from ..signals.recordings import open_array, open_recording
from .model import Address, Model, check_model, loaded
from .picture import Envelope, draw
from .results_folder import check_names, temporary_folder_beside
from .stream import Levels, check_window, estimate_channels, estimates_of, levels_of, notes_on, wanted_sources

Array = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called after each block with two numbers of samples: those that are done, and all."""
Value = TypeVar("Value", bound=NDArray[np.float32] | Path)


@dataclass(frozen=True, eq=False, repr=False)
class Separation(Mapping[str, Value], Generic[Value]):
    """A separated recording: a mapping from the names of the sources.

    Its values are the estimates, float32 ``[channel, time]`` at the recording's rate; for an array ``[time]`` they are
    ``[time]``. If an output folder was given, the values are the paths of the estimates' files instead. The estimates
    have the recording's channels, or the first ones if the model's estimates have fewer.

    Attributes:
        name: name of the recording.
        model: address of the model.
        rate: sampling rate of recording and estimates, in Hz.
        frames: number of samples of each channel.
        channels: number of channels of the recording.
        values_by_source: the estimates or the files, by source.
        clipped: number of samples that the file's number type could not hold, by source.
        picture: file of the picture; None if none was drawn.
        notes: lines that the user should read: on gaps in the recording, or an offset or a wander that was removed.
    """

    name: str
    model: str
    rate: float
    frames: int
    channels: int
    values_by_source: dict[str, Value]
    clipped: dict[str, int]
    picture: Path | None = None
    notes: tuple[str, ...] = ()

    def __getitem__(self, source: str) -> Value:
        """Return the estimate of a source, or its file."""
        return self.values_by_source[source]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the sources."""
        return iter(self.values_by_source)

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.values_by_source)

    def __repr__(self) -> str:
        length = f"{self.frames} samples at {self.rate:g} Hz, {self.channels} channel(s)"
        return f"Separation({self.name!r}: {length}; {in_one_line(', '.join(self))})"

    @property
    def files(self) -> list[Path]:
        """Files that were written, the picture among them, sorted by name."""
        written = [value for value in self.values_by_source.values() if isinstance(value, Path)]
        return sorted([*written, *([self.picture] if self.picture else [])])

    @property
    def document(self) -> dict[str, Any]:
        """JSON document that ``sepray separate --json`` prints."""
        described = {"input": self.name, "rate": self.rate, "frames": self.frames, "channels": self.channels}
        files = [str(path) for path in self.files]
        return described | {"model": self.model, "files": files, "notes": list(self.notes)}


@overload
def separate(
    model: Address | Model,
    recording: str | os.PathLike[str] | ArrayLike,
    rate: float | None = None,
    *,
    output: None = None,
    source: str | None = None,
    window: float | None = None,
    device: str = "auto",
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> Separation[Array]: ...


@overload
def separate(
    model: Address | Model,
    recording: str | os.PathLike[str] | ArrayLike,
    rate: float | None = None,
    *,
    output: str | os.PathLike[str],
    source: str | None = None,
    window: float | None = None,
    picture: bool = False,
    device: str = "auto",
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> Separation[Path]: ...


def separate(
    model: Address | Model,
    recording: str | os.PathLike[str] | ArrayLike,
    rate: float | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    source: str | None = None,
    window: float | None = None,
    picture: bool = False,
    device: str = "auto",
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> Separation[Any]:
    """Separate a recording of any length, rate and number of channels.

    The recording is resampled to the model's rate, separated in overlapping windows, and resampled back. A model of one
    channel separates each channel by itself.

    Example::

        estimates = sepray.separate("models:/cass-ecg@champion", "abdomen.csv")
        estimates["fetal"]  # [channel, time], at the recording's rate

        estimates = sepray.separate(model, array, rate=250)  # the array is [time] or [channel, time]
        files = sepray.separate(model, "abdomen.wav", output="separated")  # of any length, block by block

    Args:
        model: address of a model (see ``load_model``), or a loaded one.
        recording: file (WAV, FLAC ..., CSV with one column for each channel, NPY), or an array
            ``[time]`` or ``[channel, time]``.
        rate: sampling rate in Hz of an array, and of a file that does not say it (NPY, CSV without a time column).
        output: folder for a file of each source, ``RECORDING.SOURCE.wav`` (or csv, npy), with the recording's format;
            written whole or not at all. None: the estimates are returned, and must fit into memory.
        source: the only source that is wanted; None: all.
        window: length that the model separates at once, in seconds; None: the length that it was trained on.
        picture: whether to draw mixture and estimates over time into ``output``, as ``RECORDING.png``.
        device: device of a model that is loaded here, as for ``load_model``.
        tracking_uri: MLflow of a model that is loaded here, as for ``load_model``.
        progress: called after each block with the number of samples done, and of all.

    Returns:
        The estimates or the files, by source.

    Raises:
        UsageError: there is no such model or source, or the recording cannot be used (missing, empty, damaged, silent,
            with samples that are not finite, of unknown rate, of more channels than the model takes).
        UnreachableError: the tracking server does not answer.
    """
    check_window(window)
    check_model(model, device)
    if output is None and picture:
        raise UsageError("a picture is drawn into the folder of the files: give output too")
    if output is not None:
        preflight.require_writable(Path(output))
    opened = _opened(recording, rate)
    name = opened.path.stem if isinstance(opened, MemoryRecording) else str(opened.path)
    ready = loaded(model, tracking_uri, device)
    if output is not None:
        return separate_into(Path(output), opened, ready, name, source, window, picture, progress)
    levels = levels_of(opened, ready)
    estimates = _estimates(opened, ready, levels, source, window, progress)
    if isinstance(opened, MemoryRecording) and opened.values.ndim == 1:
        estimates = {key: estimate[0] for key, estimate in estimates.items()}
    clipped = dict.fromkeys(estimates, 0)
    notes = notes_on(opened, ready, levels)
    return Separation(name, ready.name, opened.rate, opened.frames, opened.channels, estimates, clipped, notes=notes)


def _opened(recording: str | os.PathLike[str] | ArrayLike, rate: float | None) -> Recording:
    if isinstance(recording, str | os.PathLike):
        return open_recording(Path(recording), rate)
    return open_array(np.asarray(recording), rate)


def separate_into(
    output: Path,
    recording: Recording,
    model: Model,
    name: str,
    source: str | None = None,
    window: float | None = None,
    picture: bool = False,
    progress: Progress | None = None,
    picture_name: str | None = None,
) -> Separation[Path]:
    """Separate an opened recording into the files of a folder; all of them appear at the end, or none.

    Args:
        output: the folder, made if it does not exist.
        recording: the mixture.
        model: a loaded model.
        name: what the result and the picture call the recording.
        source: the only source that is wanted; None: all.
        window: length that the model separates at once, in seconds; None: the length that it was trained on.
        picture: whether to draw mixture and estimates over time.
        progress: called after each block with the number of samples done, and of all.
        picture_name: name of the picture's file; default: the recording's, with the suffix ``png``.

    Raises:
        UsageError: the model has no such source, takes another number of channels, or needs a longer window.
    """
    check_window(window, model)
    wanted = wanted_sources(model, source)
    stem = recording.path.stem
    suffix = recording.written_suffix
    drawing = picture_name or f"{stem}.png"
    with temporary_folder_beside(output) as folder:
        files = {key: folder / name for key, name in result_names(stem, suffix, model, wanted).items()}
        check_names([*files.values(), *([folder / drawing] if picture else [])], name)
        levels = levels_of(recording, model)
        envelopes, clipped = _write(recording, model, levels, files, window, progress)
        drawn = folder / drawing
        if picture:
            draw(drawn, f"{stem}: {model.name}", envelopes, recording.rate, recording.unit)
        move_files(folder, output)
    written = {key: output / path.name for key, path in files.items()}
    at = output / drawn.name if picture else None
    facts = (name, model.name, recording.rate, recording.frames, recording.channels)
    return Separation(*facts, written, clipped, at, notes_on(recording, model, levels))


def result_names(stem: str, suffix: str, model: Model, wanted: Sequence[str]) -> dict[str, str]:
    """Return the names of a recording's files of estimates, by source.

    Args:
        stem: name of the recording's file, without its suffix.
        suffix: suffix of the estimates' files.
        model: a loaded model.
        wanted: sources that are wanted.
    """
    names = _file_names(model.sources)
    return {source: f"{stem}.{names[source]}{suffix}" for source in wanted}


def _file_names(sources: Sequence[str]) -> dict[str, str]:
    """Return a name for files of each source; the names differ even on disks that ignore capitals."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for source in sources:
        plain = name = re.sub(r"[^\w.-]+", "-", source)
        number = 2
        while name.lower() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.lower())
        names[source] = name
    return names


def _estimates(
    recording: Recording,
    model: Model,
    levels: Levels,
    source: str | None,
    window: float | None,
    progress: Progress | None,
) -> dict[str, Array]:
    """Return the estimates by source, each ``[channel, time]``."""
    check_window(window, model)
    wanted = wanted_sources(model, source)
    shape = (estimate_channels(recording, model), recording.frames)
    estimates = {name: np.empty(shape, dtype=np.float32) for name in wanted}
    done = 0
    for block in estimates_of(recording, model, window, levels=levels):
        until = done + block.shape[-1]
        for name, estimate in estimates.items():
            estimate[:, done:until] = block[model.sources.index(name)]
        done = until
        if progress is not None:
            progress(done, recording.frames)
    return estimates


def _write(
    recording: Recording,
    model: Model,
    levels: Levels,
    files: Mapping[str, Path],
    window: float | None,
    progress: Progress | None,
) -> tuple[dict[str, Envelope], dict[str, int]]:
    """Separate a recording into files.

    Returns:
        Envelopes of the first channel of the mixture and the estimates, and the number of clipped samples by source.
    """
    offset = levels.offsets[0]  # taken from the mixture, so that one scale shows it and the estimates
    named = {"its running median": levels.medians[0], "its baseline": levels.baseline, f"{offset:.6g}": offset}
    less = next((words for words, there in named.items() if there), "")
    mixture = f"mixture less {less}" if less else "mixture"
    envelopes = {name: Envelope(recording.frames) for name in (mixture, *files)}
    estimates = estimates_of(recording, model, window, lambda block: envelopes[mixture].add(block[0]), levels)
    done = 0
    with contextlib.ExitStack() as stack:
        channels = estimate_channels(recording, model)
        writers = {name: stack.enter_context(recording.writer(path, channels)) for name, path in files.items()}
        for block in estimates:
            for name, writer in writers.items():
                estimate = block[model.sources.index(name)]
                writer.write(estimate)
                envelopes[name].add(estimate[0])
            done += block.shape[-1]
            if progress is not None:
                progress(done, recording.frames)
        clipped = {name: writer.clipped for name, writer in writers.items()}
    return envelopes, clipped
