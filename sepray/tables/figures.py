"""Figures beside a table, as PDF: error curves, discriminators' outputs, one item by all methods, boxes of scores."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray
from torch import Tensor

from ..choices import MEASURES, measure_words
from ..comparison.contenders import slug
from ..comparison.publishing import ComparisonResult
from ..comparison.running import SeparatorFigures
from ..console.exit_status import show_survived_bug
from ..contracts import TaskData
from ..errors import one_line
from ..plain_text import in_own_style
from ..report.best_trials import discriminator_outputs, tells_apart
from ..report.figures import GREY, SOURCES, STYLE, MediaFile, new_figure, whole_numbers
from ..signals.stft import Spectrogram
from . import iterations
from .beside import PartTable
from .spec import Figure, Table

_RANGE = 60.0  # dB shown in a spectrogram


@dataclass(frozen=True)
class Drawn:
    """A row whose trainings are drawn: its label in the paper, and its trainings."""

    label: str
    entry: SeparatorFigures


def pictures(table: Table, part: PartTable, result: ComparisonResult) -> list[MediaFile]:
    """Return the figures of a part as PDF; where one cannot be drawn, its description says why and it has no content.

    Args:
        table: the table.
        part: the lines of the part.
        result: its comparison.
    """
    if result.of_separators is None:
        return []
    found = []
    labels = {slug(line.label): line.label for line in part.lines}
    rows = [Drawn(labels[e.contender.key], e) for e in result.of_separators.entries if e.contender.key in labels]
    order = list(labels.values())
    rows.sort(key=lambda row: order.index(row.label))
    for figure in table.figures:
        wanted = [row for row in rows if not figure.rows or row.label in figure.rows]
        wanted = [row for row in wanted if row.entry.trainings]
        name = f"{slug(figure.title).lower()}.pdf"
        with in_own_style({**STYLE, "pdf.fonttype": 42}):
            drawn = _drawn(figure, wanted, part, result)
            if isinstance(drawn, str):
                found.append(MediaFile(name, b"", f"{figure.title}: not drawn, {drawn}"))
                continue
            words = f"{figure.title}: {_WORDS[figure.kind]}. {part.label}"
            drawn.suptitle(_wrapped(words), fontsize=7, color=GREY, x=0.01, ha="left")
            found.append(MediaFile(name, _pdf(drawn), words))
    return found


def _drawn(figure: Figure, rows: Sequence[Drawn], part: PartTable, result: ComparisonResult) -> Drawing | str:
    """Draw a figure, or return why it is not drawn: a bug in one separator's code does not cost the table."""
    if not rows:
        return "none of its rows was trained"
    try:
        return _DRAW[figure.kind](figure, rows, part, result)
    except Exception as error:
        show_survived_bug(figure.title, error)
        return f"{type(error).__name__}: {one_line(error)}"


def curves(figure: Figure, rows: Sequence[Drawn], part: PartTable, result: ComparisonResult) -> Drawing | str:
    """Draw the error of each source after every epoch, all methods in one panel; beside it the last epochs alone."""
    measure = next((m for m in _by_epoch(part.measures) if _curve(rows[0], part.sources[0], m) is not None), None)
    if measure is None:
        return "no measure of the table is taken after every epoch"
    wide = 2 if figure.tail else 1
    drawing, grid = new_figure(0.9 + 2.4 * len(part.sources), len(part.sources), wide, squeeze=False)
    for axes, source in zip(grid, part.sources, strict=True):
        for position, row in enumerate(rows):
            values = _curve(row, source, measure)
            if values is None:
                continue
            period = row.entry.contender.config.epochs_per_iteration if figure.by == "iteration" else 1
            steps = np.arange(1, values.shape[1] + 1) / period
            first = int(values.shape[1] * (1 - figure.tail))
            for panel, start in zip(axes, (0, first), strict=False):
                _lines(panel, steps[start:], values[:, start:], row.label, SOURCES[position % len(SOURCES)])
        for panel in axes:
            unit = MEASURES[measure].unit
            panel.set_ylabel(f"{source}: {measure_words(measure)}" + (f" ({unit})" if unit else ""), fontsize=8.5)
            if not unit:
                panel.set_yscale("log")
    for panel in grid.flat:
        whole_numbers(panel)
    for panel in grid[-1]:
        panel.set_xlabel(figure.by)
    grid[0, 0].legend(fontsize=8)
    return drawing


def discriminators(figure: Figure, rows: Sequence[Drawn], part: PartTable, result: ComparisonResult) -> Drawing | str:
    """Draw what each discriminator says of the other source's estimates, item by item, the methods side by side."""
    signal, test = result.data.signal, result.data.test
    found = {}
    for row in rows:
        try:
            separator = row.entry.trainings[0].separator(row.entry.contender, signal)
        except FileNotFoundError:
            return f"the checkpoints of {row.label} are gone"
        if outputs := discriminator_outputs(separator, test, signal.sources):
            found[row.label] = outputs
    if not found:
        return "none of its rows has discriminators"
    if not any(tells_apart(outputs) for outputs in found.values()):
        return "no discriminator tells true sources from estimates, as where adversaries never trained"
    drawing, grid = new_figure(
        0.9 + 2.2 * len(signal.sources), len(signal.sources), len(found), squeeze=False, sharey=True
    )
    for column, (label, outputs) in enumerate(found.items()):
        for k, source in enumerate(signal.sources):
            axes = grid[k, column]
            others = [s for s in signal.sources if s != source]
            for position, other in enumerate(others):
                values = outputs[source][f"{other} estimate"]
                axes.plot(np.arange(1, len(values) + 1), values, ".", color=SOURCES[position], label=f"of {other}")
            axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
            axes.set(ylim=(-0.03, 1.03), title=f"{label}\nD of {source}")
            axes.title.set_fontsize(8.5)
            axes.legend(fontsize=7.5)
        grid[-1, column].set_xlabel("sample number")
    grid[0, 0].set_ylabel("output (probability of “real”)", fontsize=8.5)
    return drawing


def item(figure: Figure, rows: Sequence[Drawn], part: PartTable, result: ComparisonResult) -> Drawing | str:
    """Draw the first test item: the mixture, the estimates of every method, the truth."""
    data, estimates = result.data, dict[str, Tensor]()
    for row in rows:
        try:
            separator = row.entry.trainings[0].separator(row.entry.contender, data.signal)
        except FileNotFoundError:
            continue
        estimates[row.label] = separator.separate(data.test.mixture[:1].clone())[0].detach()  # some use gradients
    return _first_item(estimates, part, data)


def by_iteration(figure: Figure, rows: Sequence[Drawn], part: PartTable, result: ComparisonResult) -> Drawing | str:
    """Draw the first test item: the mixture, one method's estimates after its iterations, the truth."""
    [row] = rows
    data = result.data
    found = iterations.retrained(row.entry, result.comparison, data).estimates
    return _first_item({f"iteration {number}": estimates for number, estimates in found.items()}, part, data)


def boxes(figure: Figure, rows: Sequence[Drawn], part: PartTable, result: ComparisonResult) -> Drawing | str:
    """Draw the scores of the test items as SSGAN's figure 4 does, a column for each source, a row for each measure."""
    signal, labels = result.data.signal, {row.entry.contender.key: row.label for row in rows}
    found = result.table.rows if result.table is not None else []
    shown = {labels.get(r.key, r.system): r.scores for r in found if r.key in labels or r.kind == "imported"}
    height, width = len(part.measures), len(part.sources)
    drawing, grid = new_figure(0.9 + 1.8 * height, height, width, squeeze=False)
    for axes, measure in zip(grid, part.measures, strict=True):
        for panel, source in zip(axes, part.sources, strict=True):
            position = signal.sources.index(source)
            stats = {name: box(scores[measure][..., position]) for name, scores in shown.items() if measure in scores}
            if drawn := [{**one, "label": name} for name, one in stats.items() if one]:
                panel.bxp(drawn, showmeans=True, showfliers=False, widths=0.6)
            panel.set_title(source, fontsize=8.5)
            panel.tick_params(axis="x", labelrotation=45, labelsize=7)
        axes[0].set_ylabel(f"{measure_words(measure)} ({MEASURES[measure].unit})", fontsize=8.5)
    return drawing


def box(scores: NDArray[np.float64]) -> dict[str, float]:
    """Return mean, median, mean -+ standard deviation, least and largest of items' scores, the mean over seeds of each.

    Items without a score are left out; empty where none has one.

    Args:
        scores: ``[seed, item]``.
    """
    each = scores.mean(0)
    each = each[np.isfinite(each)]
    if not each.size:
        return {}
    mean, deviation = float(each.mean()), float(each.std())
    ends = {"q1": mean - deviation, "q3": mean + deviation, "whislo": float(each.min()), "whishi": float(each.max())}
    return {"mean": mean, "med": float(np.median(each)), **ends}


def _first_item(estimates: Mapping[str, Tensor], part: PartTable, data: TaskData) -> Drawing:
    """Draw estimates ``[source, channel, *signal]`` of the first test item between its mixture and its sources."""
    signal, mixture, truth = data.signal, data.test.mixture[0], data.test.sources[0]
    indices = [signal.sources.index(source) for source in part.sources]
    shown: dict[str, list[Tensor]] = {"mixture": [mixture] * len(indices)}
    shown |= {label: [found[k] for k in indices] for label, found in estimates.items()}
    shown["truth"] = [truth[k] for k in indices]
    drawing, grid = new_figure(0.7 + 1.5 * len(indices), len(indices), len(shown), squeeze=False)
    for column, (label, images) in enumerate(shown.items()):
        for axes, source, image in zip(grid[:, column], part.sources, images, strict=True):
            _image(axes, image, mixture, len(signal.shape) == 1)
            axes.set_title(label, fontsize=7)
            axes.axis("off")
            if not column:
                axes.text(-0.1, 0.5, source, transform=axes.transAxes, rotation=90, va="center", ha="right", fontsize=8)
    return drawing


_DRAW = {
    "boxes": boxes,
    "curves": curves,
    "discriminators": discriminators,
    "item": item,
    "iterations": by_iteration,
}
_WORDS = {
    "boxes": "scores of the test items, of several seeds their mean; ends of lines: least and largest; box: mean -+ "
    "standard deviation; line in it: median; triangle: mean",
    "curves": "error on the validation split after every epoch (the test split is read once, at the end); thin lines "
    "are seeds",
    "discriminators": "outputs for estimates of the other source, test items, first seed",
    "item": "first test item, first seed",
    "iterations": "first test item, first seed, after iterations of its training, which was repeated for this figure",
}


def _curve(row: Drawn, source: str, measure: str) -> NDArray[np.float64] | None:
    """Return ``[seed, epoch]`` of a measure on validation; None where it was not taken."""
    key = f"validation/{source}/{measure}"
    kept = [
        [float(epoch[key]) for epoch in t.history] for t in row.entry.trainings if t.history and key in t.history[0]
    ]
    shortest = min(map(len, kept), default=0)
    return np.array([values[:shortest] for values in kept]) if shortest else None


def _by_epoch(measures: Sequence[str]) -> list[str]:
    """Return the measures that are taken after every epoch, first the L2 norm, which the CASS paper draws."""
    quick = [measure for measure in measures if MEASURES[measure].every_epoch]
    return sorted(quick, key=lambda measure: measure != "relative_l2") or ["si_sdr"]


def _lines(axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], label: str, colour: str) -> None:
    for one in values if len(values) > 1 else ():
        axes.plot(steps, one, color=colour, linewidth=0.5, alpha=0.4)
    axes.plot(steps, values.mean(0), color=colour, linewidth=1.6, label=label)


def _image(axes: Axes, image: Tensor, mixture: Tensor, is_sound: bool) -> None:
    if is_sound:
        length = image.shape[-1]
        transform = Spectrogram(2 ** max(4, min(9, int(np.log2(length / 8)))), max(1, length // 128))
        level, top = (20 * transform.transform(x[0]).abs().clamp(min=1e-6).log10() for x in (image, mixture))
        axes.imshow(
            (level - top.max()).numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-_RANGE, vmax=0,
            interpolation="nearest",
        )  # fmt: skip
        return
    pixels = image.permute(1, 2, 0) if image.shape[0] == 3 else image[0]
    axes.imshow(np.clip(pixels.double().numpy(), 0, 1), cmap="gray", vmin=0, vmax=1)


def _wrapped(text: str, width: int = 110) -> str:
    import textwrap

    return textwrap.fill(text, width)


def _pdf(figure: Drawing) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="pdf", metadata={"CreationDate": None})
    return stream.getvalue()
