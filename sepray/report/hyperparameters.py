"""Figures of the hyperparameters: their importance, and their values in the best trials."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from ..plain_text import in_figure_label, plural
from . import importance
from .figures import BLACK, GREY, SKY, VERMILLION, Section, legend_above, new_figure, render
from .importance import FEWEST
from .study_results import StudyResults, ending

_RESAMPLES = 12


def importances(results: StudyResults) -> Section:
    """Draw the share of the objective's variance that each parameter explains (Optuna's fANOVA), with its uncertainty.

    The module ``importance`` says which trials count.
    """
    key, title = "importances", "Which parameters matter"
    points = importance.points(results)
    names = sorted(importance.varied([t for t, _ in points]))
    values = [value for _, value in points]
    if not importance.can_be_estimated(points):
        few = len(points) < FEWEST
        why = f"only {plural(len(points), 'proposed trial')} with a value" if few else "nothing varied"
        needed = f"at least {FEWEST} trials that differ are needed"
        return Section(key, title, f"The importance of the parameters cannot be estimated: {why} ({needed}).")
    kept = importance.above_chance(points, names)
    if not kept:
        several = f"none of the {len(names)} parameters explains"
        who = several if len(names) > 1 else f"{names[0]} does not explain"
        sentence = f"Over {len(points)} trials {who} more of the differences than its shuffled values would."
        return Section(key, title, sentence)
    shares = importance.shares(points, names)
    random = np.random.default_rng(0)
    resampled = [importance.shares([points[i] for i in _resample(random, values)], names) for _ in range(_RESAMPLES)]
    by_chance = [n for n in names if n not in kept]
    names = sorted(kept, key=lambda n: shares[n])
    middle = np.array([shares[n] for n in names])
    low = np.minimum(middle, [min(r[n] for r in resampled) for n in names])
    high = np.maximum(middle, [max(r[n] for r in resampled) for n in names])
    figure, axes = new_figure(1.1 + 0.36 * len(names))
    axes.barh(names, middle, color=SKY, height=0.6)
    axes.errorbar(
        middle, names, xerr=[middle - low, high - middle], fmt="none", ecolor=BLACK, elinewidth=1.1, capsize=3
    )
    axes.set(xlabel="importance (share of the explained variance)", xlim=(0, 1))
    axes.grid(axis="y", visible=False)
    sentence = (
        f"{names[-1]} explains {middle[-1]:.0%} of the differences between {len(points)} trials (between {low[-1]:.0%} "
        f"and {high[-1]:.0%} when the trials are resampled)"
    )
    if len(names) > 1:
        sentence += f"; next comes {names[-2]} with {middle[-2]:.0%}"
    note = f"fANOVA over the trials that the sampler proposed; whiskers: range over {_RESAMPLES} bootstrap resamples."
    if any(ending(t) == "pruned" for t, _ in points):
        note += " Trials that were stopped early count with their last value."
    if by_chance:
        them = "it explains" if len(by_chance) == 1 else "they explain"
        note += f" Left out, because {them} no more than shuffled values would: {', '.join(by_chance)}."
    trials = [t for t, _ in points]
    if some := sorted({name for t in trials for name in t.params} - importance.common(trials)):
        them = "it" if len(some) == 1 else "them"
        note += f" Left out, because only some arms search {them}: {', '.join(some)}."
    return Section(key, title, sentence + ".", [render(figure, "importances.svg", sentence)], note)


def _resample(random: np.random.Generator, values: Sequence[float]) -> NDArray[np.int64]:
    """Return indices drawn with replacement, such that the values that they select are not all equal."""
    while True:
        chosen = random.integers(0, len(values), len(values))
        if np.ptp(np.array(values)[chosen]) > 0:
            return chosen


def parallel_coordinates(results: StudyResults) -> Section:
    """Draw parallel coordinates of the trials that ran their whole budget, with a row for each parameter.

    Optuna's figure has a column for each parameter; names and scales side by side are too wide for a phone.
    """
    key, title = "parallel", "Values of the best trials"
    varied = sorted(importance.varied(results.feasible))
    if len(results.feasible) < 4 or not varied:
        return Section(
            key, title, "There is nothing to compare: it takes four finished trials with different settings."
        )
    ranked = results.ranked
    top = len(_best_quarter(ranked))
    rows = [results.words, *varied]
    positions = [_positions([results.value(t) for t in ranked], None)]
    positions += [_positions([t.params[name] for t in ranked], ranked[0].distributions[name]) for name in varied]
    figure, axes = new_figure(1.0 + 0.52 * len(rows))
    levels = range(len(rows) - 1, -1, -1)
    for rank in range(len(ranked) - 1, -1, -1):
        colour, width, alpha = (VERMILLION, 1.7, 0.9) if rank < top else (GREY, 0.9, 0.55)
        if rank == 0:
            colour, width, alpha = BLACK, 2.4, 1.0
        line = [row.values[rank] for row in positions]
        axes.plot(line, levels, color=colour, linewidth=width, alpha=alpha, marker="o", markersize=3.5)
    halo = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    for level, row in zip(levels, positions, strict=True):
        for position, text in row.ticks:
            below = {"xytext": (0, -13), "textcoords": "offset points", "ha": "center"}
            axes.annotate(
                in_figure_label(text), (position, level), fontsize=8, color="#333333", bbox=halo, zorder=5, **below
            )
    for label, colour, width in (
        ("the best", BLACK, 2.4),
        ("the best quarter", VERMILLION, 1.7),
        ("others", GREY, 0.9),
    ):
        axes.plot([], [], color=colour, linewidth=width, label=label)
    axes.set_yticks(list(levels), rows)
    axes.set(xlim=(-0.06, 1.06), ylim=(-0.6, len(rows) - 0.7))
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    legend_above(axes)
    sentence = _parallel_sentence(results, ranked, varied)
    note = (
        "Each line is a trial that ran its whole budget. Each row has its own scale, logarithmic if it is searched so."
    )
    if len(results.objectives) > 1:
        note += f" Which trials are the best is decided as for the champion: --choose {' '.join(results.spec.choose)}."
    return Section(key, title, sentence, [render(figure, "parallel.svg", sentence)], note)


class _Positions(NamedTuple):
    """Positions of values on a row, from 0 to 1, and the labels below the row."""

    values: list[float]
    ticks: list[tuple[float, str]]


def _positions(values: Sequence[Any], distribution: BaseDistribution | None) -> _Positions:
    if isinstance(distribution, CategoricalDistribution):
        choices = [repr(choice) for choice in distribution.choices]
        at = [k / max(1, len(choices) - 1) for k in range(len(choices))]
        return _Positions(
            [at[choices.index(repr(v))] for v in values], list(zip(at, map(_tick, distribution.choices), strict=True))
        )
    low, high, log = (min(values), max(values), False) if distribution is None else _range(distribution)
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    width = (end - start) or 1.0
    middle = math.exp((start + end) / 2) if log else (start + end) / 2
    positions = [((math.log(v) if log else v) - start) / width for v in values]
    return _Positions(
        positions, [(0.0, _tick(low)), (0.5, _tick(middle)), (1.0, _tick(high))] if high > low else [(0, _tick(low))]
    )


def _range(distribution: BaseDistribution) -> tuple[float, float, bool]:
    """Return the lowest and the highest value of a numeric distribution, and whether it is logarithmic."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high, distribution.log


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:14]


def _best_quarter(ranked: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    return ranked[: max(2, len(ranked) // 4)]


def _parallel_sentence(results: StudyResults, ranked: Sequence[FrozenTrial], names: Sequence[str]) -> str:
    """Return a sentence about the parameter in which the best quarter of the trials agrees most."""
    top = _best_quarter(ranked)
    spans: dict[str, tuple[float, str]] = {}
    for name in names:
        distribution = top[0].distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            counts = Counter(repr(t.params[name]) for t in top)
            value, times = counts.most_common(1)[0]
            width = 1.0 if times < len(top) else 0.5
            spans[name] = (width, f"{name} is {value} in {times} of them")
            continue
        values = [float(t.params[name]) for t in top]
        low, high, log = _range(distribution)
        scale = math.log if log else float
        searched_width = scale(high) - scale(low)
        width = (scale(max(values)) - scale(min(values))) / searched_width if high > low else 1.0
        searched = f"{low:.3g} to {high:.3g}"
        spans[name] = (width, f"{name} lies between {min(values):.3g} and {max(values):.3g} (searched: {searched})")
    width, values_of_best = min(spans.values())
    agreement = "agree most in one parameter" if width < 0.6 else "agree in no parameter; the narrowest range"
    return f"The best {len(top)} of {len(ranked)} trials {agreement}: {values_of_best}."
