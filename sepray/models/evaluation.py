"""Scores a model on a split of a task, beside the unprocessed mixture and the oracle bounds."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..console import preflight
from ..disk.files import replace_file
from ..errors import UsageError
from .items import CACHE, check_items, on_tensors, seen_by, task_data
from .model import Address, Model, check_model, loaded

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from ..contracts import Signal, Split, TaskConfig, Tracks
    from ..scoring.tables import ResultRow
    from ..scoring.units import Units

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Scores of a model, of the unprocessed mixture and of the oracle bounds, on one split of a task.

    Attributes:
        model: address of the model, which is also the name of its scores.
        split: name of the split.
        data_fingerprint: digest of the task's data.
        sources: names of the sources.
        scores: system -> measure -> scores ``[item, source]``; NaN if a measure is not defined.
        units: recordings or the like that the items were cut from; intervals are over these. None: over items.
        seen: a sentence if the model may have learned from these items; else empty.
        tracks: names of the items if they are whole tracks; else empty.
    """

    model: str
    split: str
    data_fingerprint: str
    sources: tuple[str, ...]
    scores: dict[str, Scores]
    units: Units | None = None
    seen: str = ""
    tracks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        what = "tracks" if self.tracks else "items"
        return f"Evaluation({self.model!r} on {self.item_count} {self.split} {what}: {', '.join(self.measures)})"

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures."""
        return tuple(self.scores[self.model])

    @property
    def item_count(self) -> int:
        """Number of items of the split."""
        return len(next(iter(self.scores[self.model].values())))

    @functools.cached_property
    def rows(self) -> dict[str, list[ResultRow]]:
        """Measure -> one row for each system.

        A row holds, for each source and for the mean over sources, the mean over items and its 95% interval.
        """
        from ..scoring import tables

        return {
            measure: [
                tables.row(name, scores, measure, self.sources, name == self.model, units=self.units)
                for name, scores in self.scores.items()
            ]
            for measure in self.measures
        }

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """Table with one row for each system and the columns ``(measure, source, statistic)``.

        The statistics are ``mean``, the mean over items (for BSS Eval: the median), and ``low`` and ``high``, the ends
        of its 95% interval over recordings. The source ``mean`` is the mean over all sources. A cell is NaN if a
        measure is not defined.
        """
        import pandas as pd

        sources = (*self.sources, "mean")
        cells = [
            [value for measure in self.rows for source in sources for value in self._cell(measure, k, source)]
            for k in range(len(self.scores))
        ]
        columns = _combinations(measure=self.measures, source=sources, statistic=("mean", "low", "high"))
        return pd.DataFrame(cells, pd.Index(list(self.scores), name="system"), columns)

    def _cell(self, measure: str, system: int, source: str) -> tuple[float, float, float]:
        return self.rows[measure][system].values.get(source, (np.nan, np.nan, np.nan))

    @property
    def items(self) -> pd.DataFrame:
        """Table with one row for each system and item, ``(system, item)``, and the columns ``(measure, source)``."""
        import pandas as pd

        rows = _combinations(system=tuple(self.scores), item=self.tracks or range(self.item_count))
        columns = _combinations(measure=self.measures, source=self.sources)
        values = [np.hstack([scores[measure] for measure in self.measures]) for scores in self.scores.values()]
        return pd.DataFrame(np.vstack(values), rows, columns)

    @property
    def document(self) -> dict[str, Any]:
        """All scores as ``sepray evaluate --json`` prints them.

        ``scores`` holds for each system and measure the mean and the interval of each source, and the score of each
        item.
        """
        scores: dict[str, Any] = {system: {} for system in self.scores}
        for measure, rows in self.rows.items():
            for row in rows:
                cells = {
                    name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in row.values.items()
                }
                scores[row.system][measure] = cells | {"items": self.scores[row.system][measure].tolist()}
        described: dict[str, Any] = {
            "model": self.model,
            "split": self.split,
            "data_fingerprint": self.data_fingerprint,
        }
        if self.units is not None and self.units.told:
            described["units"] = self.units.plain()
        if self.tracks:
            described["tracks"] = list(self.tracks)
        return described | {"sources": list(self.sources), "scores": scores}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``document`` as JSON."""
        replace_file(Path(path), json.dumps(self.document, indent=1))


def _combinations(**levels: Sequence[Any]) -> pd.MultiIndex:
    """Return all combinations of the levels' values, the last level changing fastest: so pandas needs no sorting."""
    import pandas as pd

    codes = np.indices([len(values) for values in levels.values()]).reshape(len(levels), -1)
    return pd.MultiIndex(list(levels.values()), codes, names=list(levels))


def evaluate(
    model: Address | Model,
    task: str | TaskConfig | None = None,
    split: str = "test",
    *,
    bss_eval: bool = False,
    museval: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
    device: str = "auto",
    tracking_uri: str | None = None,
    cache: str | os.PathLike[str] = CACHE,
) -> Evaluation:
    """Score a model on a split of a task, source by source, beside the unprocessed mixture and the oracle bounds.

    If the task has the whole recordings of its test split (``stems``, ``bach10``, ``speech_noise``), these are scored,
    each measured as a whole. For other tasks and splits the items are scored.

    Example::

        scores = sepray.evaluate("models:/cass-ecg@champion", split="validation")
        scores.table["si_sdr"]  # one row for each system, with mean and interval for each source
        scores.scores["models:/cass-ecg@champion"]["si_sdr"]  # [item, source]

    Args:
        model: address of a model (see ``load_model``), or a loaded one.
        task: name of a task or a module of your own, or a ``Config``; None: the task that the model was trained on,
            with the same settings.
        split: ``train``, ``validation`` or ``test``.
        bss_eval: also score by BSS Eval v4 (SDR, ISR, SIR, SAR), which takes seconds for each item and needs museval
            and ffmpeg.
        museval: folder for the model's scores in museval's JSON, one file for each track or item, in a subfolder with
            the name of the split; turns on ``bss_eval``.
        batch_size: number of items that are separated at once.
        device: device of a model that is loaded here, as for ``load_model``.
        tracking_uri: MLflow of a model that is loaded here, as for ``load_model``.
        cache: folder or URI for generated and decoded data.

    Raises:
        UsageError: there is no such model, task or split; the task has other sources; BSS Eval does not fit.
        UnreachableError: the tracking server does not answer.
    """
    check_model(model, device)
    check_items(task, split, batch_size)
    if museval is not None:
        preflight.require_writable(Path(museval))
    ready = loaded(model, tracking_uri, device)
    from ..contracts import Tracks
    from ..scoring import tables
    from ..scoring.units import Units

    data = task_data(ready, task, cache)
    items = data.scored(split)
    separate = on_tensors(ready)
    transform = _transform(ready)
    slow: dict[str, Scores] = {}
    if bss_eval or museval is not None:  # first, because BSS Eval refuses signals that it cannot measure
        folder = None if museval is None else Path(museval) / split
        slow = _bss_eval(ready.name, separate, items, data.signal, transform, batch_size, folder)
    systems = {ready.name: tables.score(separate, items, batch_size=batch_size, signal=data.signal)}
    systems |= tables.references(items, *transform, signal=data.signal)
    systems = {name: scores | slow.get(name, {}) for name, scores in systems.items()}
    units, seen = Units.of_split(items, data.unit_names), seen_by(ready, data.fingerprint, split)
    names = items.names if isinstance(items, Tracks) else ()
    return Evaluation(ready.name, split, data.fingerprint, ready.sources, systems, units, seen, names)


def _transform(model: Model) -> tuple[int, int]:
    """Return frame and hop of the STFT of the oracle bounds, in samples.

    Raises:
        UsageError: the model's metadata lack them.
    """
    n_fft, hop = model.metadata.get("n_fft"), model.metadata.get("hop")
    if n_fft is None or hop is None:
        raise UsageError(f"{model.name} does not say the n_fft and hop of its bounds: use another version of the model")
    return n_fft, hop


def _bss_eval(
    model: str,
    separate: Callable[[Tensor], Tensor],
    items: Split | Tracks,
    signal: Signal,
    transform: tuple[int, int],
    batch_size: int,
    folder: Path | None,
) -> dict[str, Scores]:
    """Return the BSS Eval scores of a model, the mixture and the oracle bounds; write the model's to ``folder``."""
    from ..contracts import Tracks
    from ..scoring import bss_eval as measure
    from ..scoring import evaluation, tables

    def keep(index: int, frames: evaluation.Frames) -> None:
        if folder is not None:
            name = items.names[index] if isinstance(items, Tracks) else f"item-{index:05d}"
            measure.write(folder, name, signal.sources, frames)

    measure.check(signal)
    found = {model: evaluation.bss_eval(lambda mixture, _: separate(mixture), items, signal, batch_size, keep)}
    for name, estimate in evaluation.reference_systems(items, *transform).items():
        found[tables.reference_title(name)] = evaluation.bss_eval(estimate, items, signal, batch_size)
    return found
