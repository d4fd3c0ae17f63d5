"""``sepray separate``."""

from __future__ import annotations

import contextlib
import json as json_format
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import Progress

from ..console import preflight
from ..console.terminal import duration
from ..errors import UsageError
from ..signals.overlap_add import Array, cut, each_channel, resampled, resampled_length, separated
from ..signals.recording_types import Recording
from ..signals.recordings import open_recording
from . import application
from .picture import Envelope, draw

_STANDARD = "-"
_messages = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)  # names hold brackets of their own


@dataclass(frozen=True)
class _Model:
    """A model that separates recordings.

    Attributes:
        name: address of the model.
        sources: names of the sources.
        rate: sampling rate of its signals, in Hz.
        channels: number of channels of its mixtures.
        window: number of samples that it separates at once.
        separate: ``[batch, channel, time]`` -> ``[batch, source, channel, time]``.
    """

    name: str
    sources: tuple[str, ...]
    rate: float
    channels: int
    window: int
    separate: Callable[[Array], Array]


@application.command("separate")
def separate(
    model: application.Model,
    input: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="INPUT", help_behavior_hint="")],
    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = ".",
    source: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: all)")] = None,
    rate: Annotated[float | None, tyro.conf.arg(metavar="HZ", help_behavior_hint="")] = None,
    window: Annotated[
        float | None,
        tyro.conf.arg(metavar="SECONDS", help_behavior_hint="(default: the length that the model was trained on)"),
    ] = None,
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto",
    picture: application.Switch = True,
    json: application.Json = False,
    quiet: application.Switch = False,
    tracking_uri: application.TrackingUri = None,
) -> None:
    """Separate a recording of any length and rate into one file a source, with the recording's format and rate.

    Reads WAV (and FLAC, AIFF ...), CSV with a column per channel, and NPY of [time] or [channel, time]. The recording
    is resampled to the model's rate, separated in overlapping windows, and resampled back. A model of one channel
    separates each channel by itself.

    Example: sepray separate models:/cass-ecg@champion abdomen.csv -o separated

    Args:
        input: Recording, or - for standard input.
        output: Folder for the separated recordings, INPUT.SOURCE.wav (or csv, npy), and the picture INPUT.png; or -
            for standard output, together with --source.
        source: Only source that is written.
        rate: Sampling rate of a recording that does not say it (NPY, CSV without a time column), in Hz.
        window: Length that the model separates at once, in seconds.
        device: Device of the model: cpu, cuda, cuda:1 ...; auto takes a GPU where there is one.
        picture: Do not draw the picture of the mixture and the estimates over time.
        quiet: Print nothing.
    """
    application.check_address(model)
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}; there are cpu, cuda, cuda:1 ..., mps and auto")
    gpus = preflight.count_gpus() if device.startswith("cuda") else None
    if gpus is not None and int(device.partition(":")[2] or 0) >= gpus:
        raise UsageError(f"there is no device {device!r}: this machine has {gpus} GPUs")
    if window is not None and not (window > 0 and math.isfinite(window)):
        raise UsageError(f"--window must be more than 0 seconds, not {window:g}")
    if output == _STANDARD and source is None:
        raise UsageError("standard output takes one source: name it with --source")
    if output != _STANDARD:
        preflight.require_writable(Path(output))
    with contextlib.ExitStack() as stack:
        path = _standard_input(stack) if input == _STANDARD else Path(input)
        recording = open_recording(path, rate, "standard input" if input == _STANDARD else input)
        uri = application.require_models(tracking_uri, model)
        loaded = _load(model, uri, device, window)
        if source is not None and source not in loaded.sources:
            raise UsageError(f"{model} has no source {source!r}; it separates {', '.join(loaded.sources)}")
        separator = _for_channels(loaded, recording.channels)
        work = Path(stack.enter_context(_beside(output)))
        stem = "separated" if input == _STANDARD else Path(input).stem
        suffix = path.suffix.lower() or recording.suffix
        wanted = loaded.sources if source is None else (source,)
        files = {name: work / (stem + "." + re.sub(r"[^\w.-]+", "-", name) + suffix) for name in wanted}
        envelopes, clipped = _write(recording, loaded, separator, files, show=not quiet)
        for name, count in clipped.items():
            if count:
                _messages.print(f"note: {count} samples of {name} are clipped: the input's number type ends below them")
        if output == _STANDARD:
            with files[wanted[0]].open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            return
        if picture:
            draw(work / f"{stem}.png", f"{stem}: {model}", envelopes, recording.rate, recording.unit)
        written = _publish(work, Path(output))
    if quiet:
        return
    if json:
        described = {"input": input, "rate": recording.rate, "frames": recording.frames, "channels": recording.channels}
        print(json_format.dumps(described | {"model": model, "files": [str(p) for p in written]}))
    else:
        length = duration(recording.frames / recording.rate)
        print(f"{input}: {length} at {recording.rate:g} Hz, separated at {loaded.rate:g} Hz into")
        print("\n".join(f"  {path}" for path in written))


def _standard_input(stack: contextlib.ExitStack) -> Path:
    """Write standard input to a temporary file, because it is read twice; return its path."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sepray-"))
    path = Path(folder) / "input"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _load(model: str, uri: str | None, device: str, window: float | None) -> _Model:
    """Return a model of sounds, on a device; ``window`` in seconds, None for the length that it was trained on."""
    from ..tracking import models

    loaded = models.load(model, uri)
    signal = loaded.separation.signal
    if signal.sample_rate is None:
        raise UsageError(f"{model} separates images; recordings need a model of sounds")
    rate, trained = float(signal.sample_rate), signal.shape[0]
    _check_device(device)

    def separate(mixture: Array) -> Array:
        return loaded.predict(mixture, params={"device": device})

    length = trained if window is None else round(window * rate)
    if length < 16:
        raise UsageError(f"--window must be at least {16 / rate:.3g} s at the model's {rate:g} Hz, not {window:g}")
    return _Model(model, tuple(signal.sources), rate, signal.channels, length, separate)


def _check_device(name: str) -> None:
    import torch

    if name != "auto":
        try:
            torch.zeros(1, device=name)
        except (RuntimeError, AssertionError):
            raise UsageError(f"there is no device {name!r}; `sepray doctor` lists those that there are") from None


def _for_channels(model: _Model, channels: int) -> Callable[[Array], Array]:
    if channels == model.channels:
        return model.separate
    if model.channels == 1:
        return each_channel(model.separate)
    raise UsageError(f"{model.name} takes {model.channels} channels, and the recording has {channels}")


def _write(
    recording: Recording, model: _Model, separator: Callable[[Array], Array], files: dict[str, Path], show: bool
) -> tuple[dict[str, Envelope], dict[str, int]]:
    """Separate into files.

    Returns:
        Envelopes of the first channel of the mixture and the estimates, and the number of clipped samples by source.
    """
    envelopes = {name: Envelope(recording.frames) for name in ("mixture", *files)}
    with contextlib.ExitStack() as stack:
        writers = {name: stack.enter_context(recording.writer(path)) for name, path in files.items()}
        progress = Progress(console=_messages, transient=True, disable=not (show and _messages.is_terminal))
        stack.enter_context(progress)
        bar = progress.add_task("separating", total=recording.frames)

        def mixture() -> Iterator[Array]:
            for block in recording.blocks():
                envelopes["mixture"].add(block[0])
                yield block

        at_model_rate = resampled(mixture(), recording.rate, model.rate)
        frames = resampled_length(recording.frames, recording.rate, model.rate)
        estimates = separated(at_model_rate, frames, separator, model.window)
        for block in cut(resampled(estimates, model.rate, recording.rate), recording.frames):
            for name, writer in writers.items():
                estimate = block[model.sources.index(name)]
                writer.write(estimate)
                envelopes[name].add(estimate[0])
            progress.advance(bar, block.shape[-1])
        clipped = {name: writer.clipped for name, writer in writers.items()}
    return envelopes, clipped


@contextlib.contextmanager
def _beside(output: str) -> Iterator[str]:
    """Make a temporary folder on the disk of ``output``; remove it at the end, and ``output`` too if it is empty."""
    if output == _STANDARD:
        with tempfile.TemporaryDirectory(prefix="sepray-") as folder:
            yield folder
        return
    target = Path(output)
    made = [part for part in (target, *target.parents) if not part.exists()]
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".sepray-", dir=target) as folder:
            yield folder
    finally:
        for part in made:
            with contextlib.suppress(OSError):  # it is not empty
                part.rmdir()


def _publish(work: Path, output: Path) -> list[Path]:
    """Move the finished files to the folder of the results; return their paths."""
    written = []
    for path in sorted(work.iterdir()):
        os.replace(path, output / path.name)
        written.append(output / path.name)
    return written
