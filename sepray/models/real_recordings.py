"""Scores a model, and methods without training, on real recordings whose heart rates or beats are known."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..console import preflight
from ..errors import UsageError
from ..signals import heart_annotations
from ..signals.recording_clock import clock_of
from ..signals.recordings import open_array, open_in_folder, recordings_below
from .model import Address, Model, check_model, loaded
from .model_signal import heart_signal, require_sounds
from .stream import estimates_of, levels_of, notes_on

if TYPE_CHECKING:
    from torch import Tensor

    from ..contracts import Signal
    from ..scoring.real_records import RecordScores
    from ..signals.beats import Beats
    from ..signals.heart_annotations import Annotation, Row
    from ..signals.recording_types import Recording

ALL_LEADS = ", all leads"
"""End of a model's name in the scores of its estimates in all leads together (``scoring.all_leads``)."""

MEANINGS = {
    "missed_beats": "mean share of the annotated beats without a found one within 50 ms",
    "invented_beats": "mean share of the found beats without an annotated one within 50 ms",
    "confidence": "median over segments, 0 to 1, of how much found beats look alike, stand out and come evenly; below "
    "0.5, and where a fetus is taken for what is left of the mother, there is no such heart; it is no probability",
}
"""Meanings of the measures that the table does not show, by their names in the document."""

_ONE_RATE = 2e-3  # relative difference up to which two rates count as equal


@dataclass(frozen=True)
class RecordResult:
    """Scores on one record, a recording of a patient.

    Attributes:
        record: path of the record within the folder.
        leads: number of leads that are scored.
        segments: number of segments.
        scores: source -> system -> scores.
        known: source -> annotation of its heart in words.
        picture: file of the record's picture; None if none was drawn.
    """

    record: str
    leads: int
    segments: int
    scores: Mapping[str, Mapping[str, RecordScores]]
    known: Mapping[str, str]
    picture: Path | None = None


@dataclass(frozen=True)
class RealScores:
    """Scores of a model and of the baselines on the recordings of a folder.

    Attributes:
        model: address of the model, which is also the name of its scores.
        records: a result for each recording that has annotations.
        left_out: recordings without annotations.
        refused: recordings that cannot be read or scored: name -> why.
        notes: lines that the user should read. Some are on rows of the table of rates that have no effect. Others begin
            with the name of a recording: on gaps, an offset that was removed, another rate than the given one.
    """

    model: str
    records: tuple[RecordResult, ...]
    left_out: tuple[str, ...] = field(default=())
    refused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """All scores as ``sepray evaluate --recordings --json`` prints them."""
        return {
            "model": self.model,
            "measures": MEANINGS,
            "records": [
                {
                    "record": result.record,
                    "leads": result.leads,
                    "segments": result.segments,
                    "known": dict(result.known),
                    "picture": None if result.picture is None else str(result.picture),
                    "scores": {
                        source: {system: scores.document for system, scores in own.items()}
                        for source, own in result.scores.items()
                    },
                }
                for result in self.records
            ],
            "left_out": list(self.left_out),
            "refused": dict(self.refused),
            "notes": list(self.notes),
        }


def evaluate_recordings(
    model: Address | Model,
    folder: str | os.PathLike[str],
    *,
    pictures: str | os.PathLike[str] | None = None,
    rate: float | None = None,
    device: str = "auto",
    tracking_uri: str | None = None,
) -> RealScores:
    """Score a model on the real recordings in a folder that have annotations (``signals.heart_annotations``).

    With several leads the model is scored in each lead and, under its name with ``ALL_LEADS``, by one estimate from all
    leads together (``scoring.all_leads``). The mixture itself is scored beside it. For a mother and her fetus there are
    also subtraction of the maternal template and, with several leads, FastICA (``scoring.fetal_baselines``).

    Args:
        model: address of a model (see ``load_model``), or a loaded one.
        folder: folder of recordings.
        pictures: folder for a picture of each recording; None: none is drawn.
        rate: sampling rate in Hz of files that do not say it; other files keep their own, and a note says so.
        device: device of a model that is loaded here, as for ``load_model``.
        tracking_uri: MLflow of a model that is loaded here, as for ``load_model``.

    Raises:
        UsageError: there is no such model or folder, or no recording that can be read has annotations.
    """
    check_model(model, device)
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UsageError(f"there is no folder {root} of recordings")
    if pictures is not None:
        preflight.require_writable(Path(pictures))
    rows = heart_annotations.read_rates(root)
    ready = loaded(model, tracking_uri, device)
    require_sounds(ready)
    signal = heart_signal(ready)
    files = [path for path in recordings_below(root) if not heart_annotations.is_annotation(path, signal.heart_sources)]
    names = [path.relative_to(root).as_posix() for path in files]
    notes = list(heart_annotations.unused(rows, names, signal.heart_sources))
    results, left_out, refused = [], [], {}
    for path, name in zip(files, names, strict=True):
        try:
            row = heart_annotations.row_of(rows, name)
            recording = open_in_folder(path, rate)
            known = _known(recording, signal, row)
            if known:
                result, told = _scored(ready, recording, name, known, signal, row, pictures)
                results.append(result)
                notes += [f"{name}: {note}" for note in (*told, *_more_notes(recording, rate, known))]
            else:
                left_out.append(name)
        except UsageError as error:  # about this recording; the others are scored
            refused[name] = str(error)
        except OSError as error:
            if error.filename is None or os.fspath(error.filename) != os.fspath(path):  # another file's error
                raise
            refused[name] = f"{name}: {error.strerror}"
    if not results and refused:
        raise UsageError("; ".join(refused.values()))
    if not results:
        raise UsageError(
            f"no recording in {root} has rates or beats: give them in {heart_annotations.RATES} (record,source,rate), "
            f"NAME.SOURCE.csv or WFDB annotations{''.join(f'; {note}' for note in notes[:1])}"
        )
    return RealScores(ready.name, tuple(results), tuple(left_out), refused, tuple(notes))


def _known(recording: Recording, signal: Signal, row: Row | None) -> dict[str, Annotation]:
    """Return the annotations of the hearts in a record, by source; sources without an annotation are left out."""
    hearts = signal.heart_sources
    clock = clock_of(recording) if heart_annotations.has_times(recording.path, hearts) else None
    found = {s: heart_annotations.annotation(recording.path, s, hearts, recording.rate, row, clock) for s in hearts}
    return {source: annotation for source, annotation in found.items() if annotation is not None}


def _scored(
    model: Model,
    recording: Recording,
    name: str,
    known: Mapping[str, Annotation],
    signal: Signal,
    row: Row | None,
    pictures: str | os.PathLike[str] | None,
) -> tuple[RecordResult, tuple[str, ...]]:
    """Return the scores on a recording, and notes on it and on its separation."""
    import torch

    from ..scoring import real_records

    leads = _chosen(recording, () if row is None else row.leads, name)
    values = torch.from_numpy(leads).double()
    mixture = real_records.segments(values, recording.rate)
    chosen = open_array(leads, recording.rate, name)
    levels = levels_of(chosen, model)
    whole = np.concatenate(list(estimates_of(chosen, model, levels=levels)), axis=-1)
    estimates = real_records.segments(torch.from_numpy(whole).double(), recording.rate)
    seconds = mixture.shape[-1] / recording.rate
    scores: dict[str, dict[str, RecordScores]] = {source: {} for source in known}
    mine: dict[str, Beats] = {}
    for system, estimate in _systems(model, signal, mixture, estimates, recording.rate).items():
        beats = _beats(estimate, signal, recording.rate)
        if system == model.name:
            mine = beats
        for source, annotation in known.items():
            scores[source][system] = real_records.score(beats[source], annotation, seconds)
    drawn = None
    if pictures is not None:
        from .record_picture import draw

        drawn = Path(pictures) / f"{name}.png"
        drawn.parent.mkdir(parents=True, exist_ok=True)
        draw(
            drawn,
            f"{name}: {model.name}",
            mixture,
            dict(zip(signal.sources, estimates, strict=True)),
            mine,
            known,
            recording,
        )
    said = {source: _words(annotation) for source, annotation in known.items()}
    result = RecordResult(name, len(leads), mixture.shape[1], scores, said, drawn)
    return result, (*recording.notes, *notes_on(chosen, model, levels))


def _more_notes(recording: Recording, rate: float | None, known: Mapping[str, Annotation]) -> Iterator[str]:
    """Yield notes on the rate that was given, the length, and beats that are not in the recording."""
    from ..scoring.real_records import SECONDS

    length = recording.frames / recording.rate
    if rate is not None and not math.isclose(rate, recording.rate, rel_tol=_ONE_RATE):
        yield f"it says that its rate is {recording.rate:.6g} Hz, which it keeps: --rate is for files that say none"
    if recording.frames < round(SECONDS * recording.rate):
        yield f"it has {length:.3g} s, less than a segment of {SECONDS:g} s, and is scored as one"
    for source, annotation in known.items():
        if annotation.beats is not None and not len(annotation.beats_in(0, length)):
            yield f"no beat in {annotation.origin} is within the recording, so {source} is not scored"


def _chosen(recording: Recording, numbers: tuple[int, ...], name: str) -> Any:
    """Return the leads ``[lead, time]`` that are scored.

    Args:
        recording: the recording.
        numbers: indices of the leads; empty: all.
        name: what messages call the recording.

    Raises:
        UsageError: the recording has no such lead.
    """
    values = np.concatenate(list(recording.blocks()), axis=-1)
    if not numbers:
        return values
    if max(numbers) >= len(values):
        raise UsageError(
            f"{name} has {len(values)} leads, and {heart_annotations.RATES} asks for lead {max(numbers) + 1}"
        )
    return values[list(numbers)]


def _systems(
    model: Model, signal: Signal, mixture: Tensor, estimates: Tensor, rate: float
) -> dict[str, dict[str, Tensor]]:
    """Return the estimates ``[lead, segment, time]`` of each heart, by system."""
    from ..scoring import all_leads, fetal_baselines
    from ..scoring.real_records import mother_and_fetus

    found = {model.name: dict(zip(signal.sources, estimates, strict=True))}
    pair = mother_and_fetus(signal)
    if estimates.shape[1] == len(mixture) > 1:  # a model of one component for all leads has joined them already
        found[f"{model.name}{ALL_LEADS}"] = all_leads.joined(mixture, estimates, signal, rate)
    if pair:
        mother, fetus = (signal.heart_range(name) or (40.0, 200.0) for name in pair)
        found["template subtraction"] = dict(zip(pair, fetal_baselines.template(mixture, rate, mother), strict=True))
        if len(mixture) > 1:
            both = fetal_baselines.components(mixture, rate, mother, fetus)
            found["FastICA of all leads"] = dict(zip(pair, both, strict=True))
    found["mixture itself"] = dict.fromkeys(signal.heart_sources, mixture)
    return {system: own for system, own in found.items() if set(signal.heart_sources) <= own.keys()}


def _beats(estimate: Mapping[str, Tensor], signal: Signal, rate: float) -> dict[str, Beats]:
    """Return the beats of each heart in the estimates of one system."""
    import torch

    from ..scoring.real_records import found_beats, mother_and_fetus
    from ..signals.beats import root_mean_square

    pair = mother_and_fetus(signal)
    loudest = torch.stack([root_mean_square(own) for own in estimate.values()]).amax(0)
    found: dict[str, Beats] = {}
    for name in sorted(signal.heart_sources, key=lambda source: pair is not None and source == pair[1]):
        mother = (estimate[pair[0]], found[pair[0]].times) if pair and name == pair[1] else None
        found[name] = found_beats(estimate[name], rate, name, signal, mother, loudest)
    return found


def _words(known: Annotation) -> str:
    if known.absent:
        return f"none ({known.origin})"
    if known.beats is None:
        return f"{known.rate:g} bpm ({known.origin})"
    return f"{len(known.beats)} beats ({known.origin})"
