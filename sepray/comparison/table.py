"""The table of a comparison: rows, cells and caption. ``formats`` writes it as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .. import processor
from ..choices import BSS_EVAL, MEASURES, SUMMED_MAGNITUDES, measure_words
from ..contracts import Supervision, TaskData
from ..plain_text import plural
from ..report.wording import unit
from ..scoring import summed_magnitudes, tables
from ..scoring.many_systems import ScoreSummary, summarise_seeds, with_tests
from ..scoring.statistics import too_few
from ..scoring.units import TRACKS, UNTOLD, Units, sample_words
from ..spec import choosing
from ..training import views
from .contenders import Contender, LeftOut, slug
from .imported import Imported
from .running import ComparisonFigures, Scores, SeparatorFigures
from .spec import Comparison

MEAN = "mean"
"""Name of the column of the mean over sources."""
UNPROCESSED = "unprocessed mixture"


@dataclass(frozen=True)
class SystemRow:
    """A row of the table: a separator, an imported method or a bound.

    Attributes:
        key: short name, in the names of metrics.
        system: title of the row.
        scores: scores on the test split by every measure.
        cells: (measure, column) -> figures; there is none for a source that the measure is not defined for.
        entry: figures of a separator; None for any other row.
        kind: "separator", "imported" or "bound".
    """

    key: str
    system: str
    scores: Scores
    cells: Mapping[tuple[str, str], ScoreSummary]
    entry: SeparatorFigures | None = None
    kind: str = "bound"

    @property
    def seeds(self) -> int:
        """Number of trainings; 0 for a bound."""
        return len(next(iter(self.scores.values()))) if self.entry else 0


@dataclass(frozen=True)
class ComparisonTable:
    """The result of a comparison.

    Attributes:
        title: title in one line.
        caption: what the figures are, in sentences.
        measures: keys of ``choices.MEASURES``, in the order of the columns.
        columns: names of the sources, and ``mean``.
        rows: separators, the best first; then the unprocessed mixture and the oracle bounds.
        left_out: separators without figures, and why.
        reference: system that the others are tested against.
        best: (measure, column) -> the separator's system with the best mean.
        too_few: sentence that there are too few recordings for any test; empty where there are enough.
        units: what the test items were cut from.
        samples: what the unpaired samples were that separators saw, in a sentence; also a part of the caption.
        imported: where imported rows are from, in sentences; also what the caption begins with.
    """

    title: str
    caption: str
    measures: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[SystemRow]
    left_out: Sequence[LeftOut]
    reference: str
    best: Mapping[tuple[str, str], str] = field(default_factory=dict)
    too_few: str = ""
    units: Units | None = None
    samples: str = ""
    imported: str = ""

    @property
    def separators(self) -> list[SystemRow]:
        """Rows of separators."""
        return [row for row in self.rows if row.entry is not None]


def build(
    comparison: Comparison, data: TaskData, of_separators: ComparisonFigures, others: Imported | None = None
) -> ComparisonTable:
    """Return the table of a comparison.

    Args:
        comparison: the comparison.
        data: data of its task.
        of_separators: figures of the separators, of at least one.
        others: imported results; only the tracks that they are of count then.
    """
    n_fft, hop = transform(data.signal.shape)
    test = data.scored("test")
    bounds = tables.references(test, n_fft, hop, data.signal, comparison.measures)
    units = Units.of_split(test, data.unit_names)
    scores: dict[str, Scores] = {e.contender.system: e.scores for e in of_separators.entries}
    scores |= {name: {m: values[None] for m, values in found.items()} for name, found in bounds.items()}
    titles: dict[str, str] = {}
    if others is not None:
        scores = {name: {m: v[:, others.shared] for m, v in found.items()} for name, found in scores.items()}
        units = units.take(others.shared)
        titles = {result.name: f"{result.name} (imported)" for result in others.results}
        for result in others.results:
            scores[titles[result.name]] = {m: v[None] for m, v in result.of(others.names).items()}
    columns = [*data.signal.sources, MEAN]
    main = comparison.measures[0]
    sign = 1 if MEASURES[main].direction == "minimize" else -1
    middle = {
        e.contender.system: _middle(_column(scores[e.contender.system], main, MEAN, columns), main)
        for e in of_separators.entries
    }
    entries = sorted(of_separators.entries, key=lambda e: sign * middle[e.contender.system])
    chosen, how = _reference(comparison, data, of_separators.entries)
    reference = chosen.contender.system
    # Oracles are told the true sources, so they are not tested against.
    own = [e.contender.system for e in entries]
    ranked = [*own, *titles.values(), UNPROCESSED]
    cells: dict[str, dict[tuple[str, str], ScoreSummary]] = {name: {} for name in scores}
    best: dict[tuple[str, str], str] = {}
    for measure, column in product(comparison.measures, columns):
        values = {name: _column(found, measure, column, columns) for name, found in scores.items() if measure in found}
        values = {name: value for name, value in values.items() if not np.isnan(value).all()}
        kept = np.ones(len(units), dtype=bool)
        if measure in BSS_EVAL:  # a track with a silent source has no score, and is left out of all rows alike
            kept = np.all([np.isfinite(value).all(0) for value in values.values()], axis=0)
        if not values or not kept.any():
            continue
        values, centre = {name: value[:, kept] for name, value in values.items()}, MEASURES[measure].centre
        figures = {name: summarise_seeds(value, units.take(kept), centre) for name, value in values.items()}
        if reference in values:
            tested = {name: values[name] for name in ranked if name in values}
            figures = with_tests(figures, tested, reference, units.take(kept))
        for name, figure in figures.items():
            cells[name][measure, column] = figure
        way = 1 if MEASURES[measure].direction == "minimize" else -1
        if having := [name for name in own if name in figures]:
            best[measure, column] = min((way * figures[name].mean, k, name) for k, name in enumerate(having))[2]
    rows = [
        SystemRow(
            e.contender.key, e.contender.system, scores[e.contender.system], cells[e.contender.system], e, "separator"
        )
        for e in entries
    ]
    rows += [SystemRow(slug(key), name, scores[name], cells[name], kind="imported") for key, name in titles.items()]
    rows += [SystemRow(slug(name), name, scores[name], cells[name]) for name in bounds]
    title = f"{comparison.name}: {plural(len(entries), 'separator')} on {comparison.task}"
    frames = (n_fft, hop) if len(bounds) > 1 else None
    few = too_few(units, len(ranked) - 1)
    notes = _notes([e.contender for e in entries])
    caption = _caption(comparison, data, units, len(ranked) - 1, f"{reference}, {how}", frames, notes)
    seen, imported = _samples(data, entries, comparison.seed), others.words if others is not None else ""
    caption = imported + caption + seen
    return ComparisonTable(
        title,
        caption,
        comparison.measures,
        columns,
        rows,
        of_separators.left_out,
        reference,
        best,
        few,
        units,
        seen.strip(),
        imported,
    )


def _middle(values: NDArray[np.float64], measure: str) -> float:
    """Return the score that ranks a system: the mean of ``[seed, item]``, or for BSS Eval the median over items."""
    if measure in BSS_EVAL:
        finite = values[:, np.isfinite(values).all(0)]
        return float(np.median(finite.mean(0))) if finite.size else -np.inf
    return float(values.mean())


def _samples(data: TaskData, entries: Sequence[SeparatorFigures], seed: int) -> str:
    """Return a sentence on the unpaired samples that separators saw; empty where no separator saw any."""
    seen = {(Supervision(e.contender.supervision), e.contender.paired_fraction) for e in entries}
    notes = {views.note(data.train, how, data.unit_names, seed, share) for how, share in seen} - {""}
    return "".join(f" {note[0].upper()}{note[1:]}." for note in sorted(notes))


def _reference(
    comparison: Comparison, data: TaskData, entries: Sequence[SeparatorFigures]
) -> tuple[SeparatorFigures, str]:
    """Return the system that the others are tested against, and how it was chosen: by name, or on validation.

    It is never the best on the test split. Of equal systems that would be the luckiest, and the others would look worse
    than they are.
    """
    wanted = slug(comparison.reference.replace(":", "-"))
    if named := [e for e in entries if wanted and e.contender.key == wanted]:
        return named[0], "the reference"
    missing = f" ({comparison.reference}, which was named, has no figures)" if wanted else ""
    if not all(e.validation for e in entries):
        return entries[0], f"the first of the comparison{missing}"
    objectives = comparison.first_study().objectives(data.signal)
    losses = [[o.sign * v for o, v in zip(objectives, e.validation, strict=True)] for e in entries]
    rule = choosing.rule(comparison.choose, objectives, np.array(losses, dtype=np.float64))
    best = min(range(len(entries)), key=lambda k: rule.loss(entries[k].validation))
    return entries[best], f"which validation has chosen{missing}"


def transform(shape: Sequence[int]) -> tuple[int, int]:
    """Return frame length and hop of the oracles' STFT, in samples: an eighth of an item, as a power of two.

    An item of 504 samples has frames of 64 and a hop of 16, one of 4096 samples 512 and 128; no frame is longer than
    1024 samples.
    """
    n_fft = 2 ** min(10, max(4, round(math.log2(max(shape[-1], 16) / 8))))
    return n_fft, n_fft // 4


def _column(scores: Scores, measure: str, column: str, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return ``[seed, item]`` of a column; all NaN for a source that the measure is not defined for.

    The mean over sources is of all of them: where BSS Eval has no score of one at all, as in an imported result that
    lacks it, there is no mean either.
    """
    values = scores[measure]
    if column == MEAN and measure in BSS_EVAL and np.isnan(values).all((0, 1)).any():
        return np.full(values.shape[:2], np.nan)
    if column == MEAN:
        return np.stack([tables.over_sources(measure, one) for one in values])
    return values[:, :, columns.index(column)]


def _caption(
    comparison: Comparison,
    data: TaskData,
    units: Units,
    tests: int,
    reference: str,
    frames: tuple[int, int] | None,
    notes: str,
) -> str:
    """Return the caption, with all that a reader has to know about the figures; ``notes`` are about single rows."""
    budget, seeds = comparison.budget, comparison.budget.seeds()
    trials = plural(budget.trials, "trial")
    searched = f" after a search of {trials}, where it has something to search" if budget.trials else ""
    test = data.scored("test")
    items = plural(len(units), "test item") + (f" of {units.words}" if units.told else "")
    if test is not data.test:
        items = sample_words(units.plain(), len(units), TRACKS)[0]
    if len(data.signal.shape) == 2:
        items += f", images of {data.signal.shape[0]} x {data.signal.shape[1]} pixels"
    over = units.name if units.told else f"items ({UNTOLD})"
    bss = (
        " (of BSS Eval the median, of each item that over its seconds)"
        if set(BSS_EVAL) & set(comparison.measures)
        else ""
    )
    text = (
        f"Mean{bss} over {items}, {plural(seeds, 'seed')} "
        f"[95% interval over {over}{' and seeds' if seeds > 1 else ''}]; "
        f"every separator trained for {plural(budget.max_epochs, 'epoch')} on "
        f"{plural(len(data.train), 'mixture')}{searched}. "
    )
    few = too_few(units, tests)
    each = units.name if units.told else "items"
    if tests and few:
        text += f"No p: {few}, whatever the scores are. "
    elif tests:
        text += (
            f"p: two-sided Wilcoxon signed-rank test of the {each}' scores (mean over sources and seeds) against "
            f"{reference}, Holm-corrected for {plural(tests, 'test')}"
        )
        text += "; of Student's over seeds too where that p is larger. " if seeds > 1 else ", of these trainings. "
        text += "r: its effect size, the matched-pairs rank-biserial correlation (-1 to 1; above 0: larger scores). "
        text += f"U: p of the papers' two-sided Mann-Whitney U test of the {each}' scores, likewise corrected. "
    on_cpu = not comparison.resources.cluster_address and comparison.resources.trial_device == "cpu"
    where = f" on {processor.short_name()}" if on_cpu else ""
    text += f"Parameters: trained numbers, those of critics included. Training: seconds of one seed{where}."
    text += notes
    if set(SUMMED_MAGNITUDES) & set(comparison.measures):
        n_fft, hop = summed_magnitudes.transform(data.signal)
        text += (
            f" Magnitude errors are the scores of the CASS authors' Table 1: of summed magnitudes, truth and estimate "
            f"alike with the mixture's phase (frames of {n_fft}, hop {hop})."
        )
    if frames:
        text += f" Oracles: masks made with the true sources, on an STFT of {frames[0]} samples, hop {frames[1]}."
    return text


def _notes(contenders: Sequence[Contender]) -> str:
    """Return notes on single rows: what a name that the user gave stands for, and how long the row was trained."""
    text = "".join(f" {c.system}: {c.what}." for c in contenders if c.what)
    if own := [f"{c.system} for {c.epochs}" for c in contenders if c.epochs]:
        text += f" Trained for the epochs of their papers: {', '.join(own)}."
    if silent := [c.system for c in contenders if c.published_epochs == 0]:
        text += f" No paper gives a number of epochs for {', '.join(silent)}."
    return text


def heading(measure: str) -> str:
    """Return a measure with its unit, where it has one."""
    return measure_words(measure) + (f" ({unit(measure)})" if MEASURES[measure].unit else "")


def rises(measure: str) -> bool:
    """Say whether more of a measure is better."""
    return MEASURES[measure].direction == "maximize"


def number(measure: str, value: float) -> str:
    """Return a score with as many digits as its unit deserves."""
    text = f"{value:.2f}" if MEASURES[measure].unit else f"{value:.3f}"
    return text.removeprefix("-") if not float(text) else text


def p_value(p: float) -> str:
    """Return a p-value as papers have it."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(value: int) -> str:
    """Return a number of weights in three digits."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return str(value)


def seconds(value: float) -> str:
    """Return seconds in three digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
