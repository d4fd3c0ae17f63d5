"""The cross-weight map: which direction of information flow helps (CASS eq. 9), and how sure one can be of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from optuna.trial import FrozenTrial

from .drawing import BLUE, GREY, SOURCES, VERMILLION, WIDTH, Section, legend_above, new, picture
from .record import Record, unit, words

FEWEST = 5
"""Trials below which no correlation is shown."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of a weight with an error, and its interval; above 0 the weight hurts."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def rank_correlation(weights: Sequence[float], errors: Sequence[float], together: int = 1) -> Correlation:
    """Return the correlation, with the interval of Bonett and Wright (2000) for ranks.

    Of ``together`` intervals all hold at once with 95% (Bonferroni): among many, some would leave out zero by chance.

    Constant values, and fewer than ``FEWEST``, have the correlation 0 and an interval that excludes nothing.
    """
    if len(weights) < FEWEST or np.ptp(weights) == 0 or np.ptp(errors) == 0:
        return Correlation(0.0, -1.0, 1.0)
    from scipy.stats import norm, spearmanr  # takes 1.7 s to import

    value = float(spearmanr(weights, errors).statistic)
    centre = math.atanh(min(max(value, -0.9999), 0.9999))
    half = float(norm.ppf(1 - 0.025 / together)) * math.sqrt((1 + value**2 / 2) / (len(weights) - 3))
    return Correlation(value, math.tanh(centre - half), math.tanh(centre + half))


def section(record: Record) -> Section | None:
    """Return a K x K map for the error of each source; None where no cross weight is searched."""
    pairs = [
        (i, j)
        for i in range(len(record.sources))
        for j in range(len(record.sources))
        if i != j and any(_name(record, i, j) in t.params for t in record.search)
    ]
    if not pairs:
        return None
    key, title = "cross", "Which direction of information flow helps"
    trials, without = _trials(record)
    if len(trials) < FEWEST:
        sentence = (
            f"Nothing can be said of the cross weights: of {len(record.sound)} trials that ran their budget only "
            f"{len(trials)} were proposed by the sampler with adversaries at work (it takes {FEWEST})."
        )
        return Section(key, title, sentence)
    errors = _errors(record, trials)
    found = {
        target: {
            (i, j): rank_correlation(_weights(record, trials, i, j), values, len(errors) * len(pairs)) for i, j in pairs
        }
        for target, values in errors.items()
    }
    sentence = _sentence(record, found, len(trials))
    pictures = [_map(record, found, sentence)]
    if len(pairs) <= 6:
        pictures.append(_scatter(record, trials, errors, pairs))
    note = (
        "Rank correlation of each weight with each measure getting worse, over those trials: below zero (blue) more "
        "weight went with better values. Row: whose estimate is shown; column: to whose discriminator. Faded: the "
        "interval holds zero (95% for all cells together). Weights that the sampler chose together with other settings "
        "share their credit."
    )
    if without:
        note += f" Left out: {without} finished trials without adversaries or with published settings."
    return Section(key, title, sentence, pictures, note)


def _name(record: Record, i: int, j: int) -> str:
    return f"cross.{record.sources[i]}_to_{record.sources[j]}"


def _weights(record: Record, trials: Sequence[FrozenTrial], i: int, j: int) -> list[float]:
    return [float(t.params[_name(record, i, j)]) for t in trials]


def _trials(record: Record) -> tuple[list[FrozenTrial], int]:
    """Return the sampler's own trials in which the weights had an effect, and how many finished ones are left out."""
    flags: set[str] = set()
    if record.data is not None:
        phases = record.spec.separator.build(record.data.signal).phases()
        flags = {phase.active for phase in phases if phase.active}
    kept = [
        t for t in record.sound if "label" not in t.user_attrs and not any(t.params.get(flag, 1) == 0 for flag in flags)
    ]
    return kept, len(record.sound) - len(kept)


def _errors(record: Record, trials: Sequence[FrozenTrial]) -> dict[str, list[float]]:
    """Return the error of each source over the trials, less being better, as far as it is known; else the objective."""
    keys = [o.key for o in record.objectives]
    per_source = [f"{source}/{record.spec.metric}" for source in record.sources]
    signs = {o.key: o.sign for o in record.objectives}
    rows: list[list[float]] = []
    for trial in trials:
        if set(per_source) <= set(keys):
            rows.append([trial.values[keys.index(key)] for key in per_source])
            continue
        history = record.history("search", trial.number)
        last: dict[str, Any] = history[-1] if history else {}
        rows.append([last.get(f"validation/{key}", math.nan) for key in per_source])
    table = record.sign * np.array(rows) if not signs.keys() & set(per_source) else np.array(rows) * _sign(signs)
    if np.isfinite(table).all():
        return {source: table[:, k].tolist() for k, source in enumerate(record.sources)}
    return {"objective": [record.sign * record.value(t) for t in trials]}


def _sign(signs: dict[str, int]) -> int:
    return next(iter(signs.values()))


def _map(record: Record, found: dict[str, dict[tuple[int, int], Correlation]], sentence: str) -> Any:
    sources, count = record.sources, len(found)
    columns = min(count, 2)
    rows = -(-count // columns)
    figure, grid = new(0.5 + rows * (WIDTH / columns * 0.78), rows, columns, squeeze=False)
    colours = LinearSegmentedColormap.from_list("helps", [BLUE, "#FFFFFF", VERMILLION])
    for axes, (target, cells) in zip(grid.flat, found.items(), strict=False):
        image = np.full((len(sources), len(sources)), np.nan)
        for (i, j), cell in cells.items():
            image[i, j] = cell.value
        faded = np.array(
            [
                [0.35 if (i, j) in cells and not cells[i, j].sure else 1.0 for j in range(len(sources))]
                for i in range(len(sources))
            ]
        )
        drawn = axes.imshow(image, cmap=colours, vmin=-1, vmax=1, alpha=faded)
        for (i, j), cell in cells.items():
            interval = f"\n[{cell.low:+.2f}, {cell.high:+.2f}]" if len(sources) == 2 else ""
            text = f"{cell.value:+.2f}{interval}"
            axes.text(j, i, text, ha="center", va="center", fontsize=9.5, weight="bold" if cell.sure else "normal")
        for k in range(len(sources)):
            axes.text(k, k, "own", ha="center", va="center", color=GREY, fontsize=9)
        axes.set_xticks(range(len(sources)), sources)
        axes.set_yticks(range(len(sources)), sources, rotation=90, va="center")
        axes.set(xlabel="to the discriminator of", ylabel="from the estimate of", title=_measured(record, target))
        axes.grid(visible=False)
    for axes in grid.flat[count:]:
        axes.remove()
    figure.colorbar(drawn, ax=list(grid.flat[:count]), label="rank correlation", shrink=0.8)
    return picture(figure, "cross-map.svg", sentence)


def _scatter(
    record: Record, trials: Sequence[FrozenTrial], errors: dict[str, list[float]], pairs: Sequence[tuple[int, int]]
) -> Any:
    columns = min(len(pairs), 2)
    rows = -(-len(pairs) // columns)
    figure, grid = new(0.4 + 2.4 * rows, rows, columns, squeeze=False, sharey=True)
    for axes, (i, j) in zip(grid.flat, pairs, strict=False):
        weights = _weights(record, trials, i, j)
        for k, (target, values) in enumerate(errors.items()):
            shown = [record.sign * v for v in values]
            axes.scatter(weights, shown, color=SOURCES[k], marker="os^Dvp"[k % 6], s=30, label=target)
        axes.set_xlabel(f"weight {record.sources[i]} → {record.sources[j]} (factor)")
    for axes in grid[:, 0]:
        axes.set_ylabel(
            record.axis if "objective" in errors else f"{words(record.spec.metric)} ({unit(record.spec.metric)})"
        )
    for axes in grid.flat[len(pairs) :]:
        axes.remove()
    legend_above(grid[0, 0])
    return picture(
        figure, "cross-trials.svg", f"The {len(trials)} trials behind the map: each weight against the errors."
    )


def _sentence(record: Record, found: dict[str, dict[tuple[int, int], Correlation]], count: int) -> str:
    cells = [(t, p, c) for t, by_pair in found.items() for p, c in by_pair.items()]
    cells.sort(key=lambda entry: -abs(entry[2].value))
    sure = [entry for entry in cells if entry[2].sure]
    if not sure:
        return (
            f"With {count} trials with adversaries no direction can be told from chance; the strongest link: "
            f"more weight on {_link(record, *cells[0])}."
        )
    told = "; ".join(f"more weight on {_link(record, *entry)}" for entry in sure[:3])
    more = f"; and {len(sure) - 3} more links are marked in bold" if len(sure) > 3 else ""
    return f"Over {count} trials with adversaries, {told}{more}."


def _link(record: Record, target: str, pair: tuple[int, int], cell: Correlation) -> str:
    """Return a cell in words; the correlation is that with getting worse."""
    verb = "better" if cell.value < 0 else "worse"
    return (
        f"{record.sources[pair[0]]} → {record.sources[pair[1]]} went with a {verb} {_measured(record, target)} "
        f"({cell.value:+.2f} [{cell.low:+.2f}, {cell.high:+.2f}])"
    )


def _measured(record: Record, target: str) -> str:
    return record.words if target == "objective" else f"{target} {words(record.spec.metric)}"
