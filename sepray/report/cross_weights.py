"""Draws the map of the cross weights, which shows the direction of information flow that helps (CASS eq. 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from optuna.trial import FrozenTrial

from ..choices import MEASURES, measure_words
from ..plain_text import plural
from .figures import BLUE, GREY, SOURCES, VERMILLION, WIDTH, MediaFile, Section, legend_above, new_figure, render
from .study_results import StudyResults, settings
from .wording import unit

FEWEST = 5
"""Smallest number of trials from which correlations are shown."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of a weight with an error; above 0, more weight goes with a larger error.

    Attributes:
        value: the correlation.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    value: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Say whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def rank_correlation(weights: Sequence[float], errors: Sequence[float], together: int = 1) -> Correlation:
    """Return the rank correlation with the interval of Bonett and Wright (2000).

    The level is corrected so that ``together`` intervals hold at once with 95% (Bonferroni). Without that, some of many
    intervals would exclude zero by chance. If the values are constant, or fewer than ``FEWEST``, the correlation is 0
    and its interval is -1 to 1.
    """
    if len(weights) < FEWEST or np.ptp(weights) == 0 or np.ptp(errors) == 0:
        return Correlation(0.0, -1.0, 1.0)
    from scipy.stats import norm, spearmanr  # takes 1.7 s to import

    value = float(spearmanr(weights, errors).statistic)
    centre = math.atanh(min(max(value, -0.9999), 0.9999))
    half = float(norm.ppf(1 - 0.025 / together)) * math.sqrt((1 + value**2 / 2) / (len(weights) - 3))
    return Correlation(value, math.tanh(centre - half), math.tanh(centre + half))


def cross_weights(results: StudyResults) -> Section | None:
    """Draw a K x K map of correlations for the error of each source; if none differs from chance, only say so.

    Returns:
        The section; None if no cross weight was searched, or fewer than ``FEWEST`` trials had adversaries.
    """
    pairs = [
        (i, j)
        for i in range(len(results.sources))
        for j in range(len(results.sources))
        if i != j and any(_parameter(results, i, j) in t.params for t in results.trials)
    ]
    if not pairs:
        return None
    key, title = "cross", "Which direction of information flow helps"
    trials, left_out = _proposed_with_adversaries(results)
    if len(trials) < FEWEST:
        return None
    errors = _errors(results, trials)
    cells = len(errors) * len(pairs)
    maps = {
        target: {(i, j): rank_correlation(_weights(results, trials, i, j), values, cells) for i, j in pairs}
        for target, values in errors.items()
    }
    sentence = _sentence(results, maps, len(trials))
    if not any(cell.significant for by_pair in maps.values() for cell in by_pair.values()):
        return Section(key, title, sentence)
    figures = [_map(results, maps, sentence)]
    if len(pairs) <= 6:
        figures.append(_scatter(results, trials, errors, pairs))
    note = (
        "Rank correlation of each weight with a worse score, over these trials: below zero (blue), more weight goes "
        "with better scores. Row: source whose estimate is shown; column: source whose discriminator sees it. Faded: "
        "the interval contains zero (95% for all cells together). Weights that the sampler changed together with other "
        "settings share their effect."
    )
    if left_out:
        note += f" Left out: {left_out} finished trials without adversaries or with published settings."
    return Section(key, title, sentence, figures, note)


def _parameter(results: StudyResults, i: int, j: int) -> str:
    return f"cross.{results.sources[i]}_to_{results.sources[j]}"


def _weights(results: StudyResults, trials: Sequence[FrozenTrial], i: int, j: int) -> list[float]:
    return [float(settings(t)[_parameter(results, i, j)]) for t in trials]


def _proposed_with_adversaries(results: StudyResults) -> tuple[list[FrozenTrial], int]:
    """Return the trials that the sampler proposed and in which weights had an effect, and the number of the others."""
    flags: set[str] = set()
    if results.data is not None:
        phases = results.spec.separator.build(results.data.signal).phases()
        flags = {phase.active for phase in phases if phase.active}
    proposed = [t for t in results.feasible if "label" not in t.user_attrs]
    weights = {_parameter(results, i, j) for i in range(len(results.sources)) for j in range(len(results.sources))}
    weights &= {name for t in results.trials for name in t.params}
    given = [(t, settings(t)) for t in proposed]
    kept = [t for t, s in given if not any(s.get(flag, 1) == 0 for flag in flags) and weights <= s.keys()]
    return kept, len(results.feasible) - len(kept)


def _errors(results: StudyResults, trials: Sequence[FrozenTrial]) -> dict[str, list[float]]:
    """Return the error of each source in the trials; scores to be maximised change their sign, so that less is better.

    The errors are the trials' objectives if each source has one, else values of the trials' last epoch. If some are not
    known, the result has the trials' values alone, with the key ``objective``.
    """
    keys = [o.key for o in results.objectives]
    per_source = [f"validation/{source}/{results.spec.metric}" for source in results.sources]
    rows: list[list[float]] = []
    for trial in trials:
        if set(per_source) <= set(keys):
            rows.append([trial.values[keys.index(key)] for key in per_source])
            continue
        history = results.history("search", trial.number)
        last: dict[str, Any] = history[-1] if history else {}
        rows.append([last.get(key, math.nan) for key in per_source])
    table = _sign(results, "") * np.array(rows)
    if np.isfinite(table).all():
        return {source: table[:, k].tolist() for k, source in enumerate(results.sources)}
    return {"objective": [_sign(results, "objective") * results.value(t) for t in trials]}


def _sign(results: StudyResults, target: str) -> int:
    """Return 1 if less is better for a key of ``_errors``, -1 if more is."""
    if target == "objective":
        return results.sign
    return 1 if MEASURES[results.spec.metric].direction == "minimize" else -1


def _map(results: StudyResults, maps: dict[str, dict[tuple[int, int], Correlation]], sentence: str) -> MediaFile:
    sources, count = results.sources, len(maps)
    columns = min(count, 2)
    rows = -(-count // columns)
    figure, grid = new_figure(0.5 + rows * (WIDTH / columns * 0.78), rows, columns, squeeze=False)
    colours = LinearSegmentedColormap.from_list("helps", [BLUE, "#FFFFFF", VERMILLION])
    for axes, (target, cells) in zip(grid.flat, maps.items(), strict=False):
        image = np.full((len(sources), len(sources)), np.nan)
        for (i, j), cell in cells.items():
            image[i, j] = cell.value
        faded = np.array(
            [
                [0.35 if (i, j) in cells and not cells[i, j].significant else 1.0 for j in range(len(sources))]
                for i in range(len(sources))
            ]
        )
        drawn = axes.imshow(image, cmap=colours, vmin=-1, vmax=1, alpha=faded)
        for (i, j), cell in cells.items():
            interval = f"\n[{cell.low:+.2f}, {cell.high:+.2f}]" if len(sources) == 2 else ""
            text = f"{cell.value:+.2f}{interval}"
            axes.text(
                j, i, text, ha="center", va="center", fontsize=9.5, weight="bold" if cell.significant else "normal"
            )
        for k in range(len(sources)):
            axes.text(k, k, "own", ha="center", va="center", color=GREY, fontsize=9)
        axes.set_xticks(range(len(sources)), sources)
        axes.set_yticks(range(len(sources)), sources, rotation=90, va="center")
        axes.set(xlabel="to the discriminator of", ylabel="from the estimate of", title=_target_words(results, target))
        axes.grid(visible=False)
    for axes in grid.flat[count:]:
        axes.remove()
    figure.colorbar(drawn, ax=list(grid.flat[:count]), label="rank correlation", shrink=0.8)
    return render(figure, "cross-map.svg", sentence)


def _scatter(
    results: StudyResults,
    trials: Sequence[FrozenTrial],
    errors: dict[str, list[float]],
    pairs: Sequence[tuple[int, int]],
) -> MediaFile:
    columns = min(len(pairs), 2)
    rows = -(-len(pairs) // columns)
    figure, grid = new_figure(0.4 + 2.4 * rows, rows, columns, squeeze=False, sharey=True)
    for axes, (i, j) in zip(grid.flat, pairs, strict=False):
        weights = _weights(results, trials, i, j)
        for k, (target, values) in enumerate(errors.items()):
            shown = [_sign(results, target) * v for v in values]
            axes.scatter(weights, shown, color=SOURCES[k], marker="os^Dvp"[k % 6], s=30, label=target)
        axes.set_xlabel(f"weight {results.sources[i]} → {results.sources[j]} (factor)")
    metric = results.spec.metric
    label = results.axis if "objective" in errors else f"{measure_words(metric)} ({unit(metric)})"
    for axes in grid[:, 0]:
        axes.set_ylabel(label)
    for axes in grid.flat[len(pairs) :]:
        axes.remove()
    legend_above(grid[0, 0])
    return render(figure, "cross-trials.svg", f"The {len(trials)} trials of the map: each weight against the errors.")


def _sentence(results: StudyResults, maps: dict[str, dict[tuple[int, int], Correlation]], count: int) -> str:
    cells = [(t, p, c) for t, by_pair in maps.items() for p, c in by_pair.items()]
    cells.sort(key=lambda entry: -abs(entry[2].value))
    significant = [entry for entry in cells if entry[2].significant]
    if not significant:
        return (
            f"Over {count} trials with adversaries, no direction differs from chance, so no map is drawn. The "
            f"strongest link: more weight on {_link(results, *cells[0])}."
        )
    strongest = "; ".join(f"more weight on {_link(results, *entry)}" for entry in significant[:3])
    left = len(significant) - 3
    more = f"; {plural(left, 'more link')} {'is' if left == 1 else 'are'} in bold" if left > 0 else ""
    return f"Over {count} trials with adversaries, {strongest}{more}."


def _link(results: StudyResults, target: str, pair: tuple[int, int], cell: Correlation) -> str:
    """Return a cell in words; a negative correlation means that more weight went with a better score."""
    verb = "better" if cell.value < 0 else "worse"
    return (
        f"{results.sources[pair[0]]} → {results.sources[pair[1]]} went with a {verb} {_target_words(results, target)} "
        f"({cell.value:+.2f} [{cell.low:+.2f}, {cell.high:+.2f}])"
    )


def _target_words(results: StudyResults, target: str) -> str:
    return results.words if target == "objective" else f"{target} {measure_words(results.spec.metric)}"
