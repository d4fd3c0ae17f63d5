"""``sepray separate``."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..console import preflight
from ..console.exit_status import BAD_INPUT
from ..console.output import copy_to_stdout, say
from ..console.terminal import duration
from ..disk import temporary
from ..errors import UsageError
from ..plain_text import in_one_line
from . import application

if TYPE_CHECKING:
    import rich.progress

    from ..models.batch import Refused
    from ..models.model import Model
    from ..models.separation import Progress, Separation

_STANDARD = "-"


@application.command("separate")
def separate(
    model: application.ModelArgument,
    inputs: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT [INPUT ...]", help_behavior_hint="")
    ],
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
    trust_model_code: application.TrustModelCode = False,
    shared: application.Shared = False,
) -> int:
    """Separate recordings of any length and rate into one file for each source, with the recording's format and rate.

    Files may be WAV (or FLAC, AIFF ...), CSV with a column for each channel, NPY of [time] or [channel, time], EDF,
    or WFDB (give the .hea file). Estimates of WFDB and EDF files are written as CSV. Columns of time or sample numbers
    are copied. A recording is resampled to the model's rate, separated in overlapping windows, and resampled back. A
    model of one channel separates each channel by itself. Steps, drifts, and an offset that the training mixtures did
    not have are removed first; no estimate contains them.

    If INPUT is a folder, all recordings below it are separated, into the same subfolders of the output. A recording
    that cannot be separated does not stop the others: the command names it at the end, and exits with status 2.

    Example: sepray separate models:/cass-ecg@champion abdomen.csv -o separated

    Args:
        inputs: Recordings, folders of recordings, or - for standard input.
        output: Folder for the separated recordings, INPUT.SOURCE.wav (or csv, npy), and the picture INPUT.png; or -
            for standard output, together with --source.
        source: Write the source of this name only.
        rate: Sampling rate in Hz of recordings that do not say it (NPY, CSV without a time column). In a folder, all
            others keep their own.
        window: Seconds that the model separates at once.
        device: Device of the model: cpu, cuda, cuda:1 ...; auto takes a GPU if there is one.
        picture: Do not draw the picture of the mixture and the estimates over time.
        quiet: Print only notes and errors, to standard error.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else torch's threads spin while they wait for each other
    several = len(inputs) != 1 or Path(inputs[0]).is_dir()
    _refuse_flags(inputs, output, source, several, json)
    if output != _STANDARD:
        preflight.require_writable(Path(output))
    from ..models.batch import plan, separate_all
    from ..models.model import check_model, load_model
    from ..models.separation import separate_into
    from ..models.stream import check_window
    from ..signals.recordings import open_recording

    check_model(model, device)
    check_window(window)
    bar = _ProgressBar(not quiet)
    # A recording that cannot be used is refused before the model is loaded, which imports torch.
    if several:
        planned = plan([Path(given) for given in inputs], Path(output))
        loaded = load_model(model, application.require_models(tracking_uri, model), device, trust_model_code)
        outcomes = separate_all(planned, loaded, rate, source, window, picture, bar.begin)
        return _report_all(outcomes, bar, loaded, json, quiet)
    with contextlib.ExitStack() as stack:
        (given,) = inputs
        path, name = (_standard_input(stack), "standard input") if given == _STANDARD else (Path(given), given)
        recording = open_recording(path, rate, name)
        loaded = load_model(model, application.require_models(tracking_uri, model), device, trust_model_code)
        folder = _temporary_folder(stack) if output == _STANDARD else Path(output)
        drawn = picture and output != _STANDARD
        stack.callback(bar.end)
        found = separate_into(folder, recording, loaded, given, source, window, drawn, bar.begin(given))
        bar.end()
        _note(found)
        if output == _STANDARD:
            with found.files[0].open("rb") as file:
                copy_to_stdout(file)
        elif json:
            application.print_json(found.document)
        elif not quiet:
            say(_text(found, loaded))
    return 0


def _refuse_flags(inputs: Sequence[str], output: str, source: str | None, several: bool, json: bool) -> None:
    """Refuse flags that do not go together.

    Raises:
        UsageError: flags do not go together.
    """
    if output == _STANDARD and json:
        raise UsageError("--json prints to standard output, which -o - gives the separated recording; leave out one")
    if output == _STANDARD and source is None:
        raise UsageError("standard output takes one source: name it with --source")
    if several and _STANDARD in (*inputs, output):
        raise UsageError("standard input and output (-) take one recording, not several or a folder")
    if not inputs:
        raise UsageError("no recording to separate; give a file, a folder, or - for standard input")


def _report_all(
    outcomes: Iterator[Separation[Path] | Refused], bar: _ProgressBar, model: Model, json: bool, quiet: bool
) -> int:
    """Print what became of each recording; return the exit status."""
    from ..models.batch import Refused

    documents, reasons = [], []
    try:
        for outcome in outcomes:
            bar.end()
            documents.append(outcome.document)
            if isinstance(outcome, Refused):
                reasons.append(outcome.reason)
                continue
            _note(outcome, f"{outcome.name}: ")
            if not (quiet or json):
                say(_text(outcome, model))
    finally:
        bar.end()
    if json:
        application.print_json(documents)
    if reasons:
        say(f"sepray: {len(reasons)} of {len(documents)} recordings could not be separated:", file=sys.stderr)
        say("\n".join(f"  {in_one_line(reason)}" for reason in reasons), file=sys.stderr)
    return BAD_INPUT if reasons else 0


def _text(found: Separation[Path], model: Model) -> str:
    length = duration(found.frames / found.rate)
    head = f"{found.name}: {length} at {found.rate:g} Hz, separated at {model.sample_rate:g} Hz into"
    return "\n".join([head, *(f"  {path}" for path in found.files)])


def _note(found: Separation[Path], name: str = "") -> None:
    for note in found.notes:
        say(f"note: {name}{note}", file=sys.stderr)
    for source, count in found.clipped.items():
        if count:
            clipped = f"{count} samples of {source} are clipped: the input's number type ends below them"
            say(f"note: {name}{clipped}", file=sys.stderr)


def _standard_input(stack: contextlib.ExitStack) -> Path:
    """Write standard input to a temporary file, because a recording is read twice; return its path."""
    path = _temporary_folder(stack) / "separated"  # the files of its estimates get this name
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _temporary_folder(stack: contextlib.ExitStack) -> Path:
    return Path(stack.enter_context(temporary.folder("sepray-separate-")))


class _ProgressBar:
    """Progress bar of the recording that is being separated; shown on standard error if that is a terminal."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._bar: rich.progress.Progress | None = None

    def begin(self, name: str) -> Progress | None:
        """Show the bar of a recording; return the function to call after each of its blocks, None without a bar."""
        if not self._shown:
            return None
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress

        bar = self._bar = Progress(console=Console(stderr=True), transient=True)
        task = bar.add_task(escape(in_one_line(name)))
        bar.start()
        return lambda done, total: bar.update(task, completed=done, total=total)

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
