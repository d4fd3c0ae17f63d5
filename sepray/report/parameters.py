"""Figures of the parameters: which of them matter, and where the good trials are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from .drawing import BLACK, GREY, SKY, VERMILLION, Section, legend_above, new, picture
from .record import Record, is_sound, outcome, plural
from .search import in_memory

FEWEST = 5
"""Trials below which nothing is said of what a parameter does."""
_RESAMPLES = 12


def importances(record: Record) -> Section:
    """Return how much of the objective's variance each parameter explains (fANOVA, Optuna's), with its uncertainty.

    Over the sampler's own trials, those that were stopped early at the value that they had then. Optuna's default
    leaves these out, and with them just what a bad setting does; and a few published settings, far from all others
    in several parameters at once, would lend their whole difference to any one of them.
    """
    key, title = "importances", "Which parameters matter"
    drawn_by_sampler = [t for t in record.search if "label" not in t.user_attrs]
    kept = [t for t in drawn_by_sampler if is_sound(t) or outcome(t) == "pruned"]
    points = [(t, value) for t in kept if (value := record.reached(t)) is not None]
    varied = sorted(_varied([t for t, _ in points]))
    values = [value for _, value in points]
    if len(points) < FEWEST or not varied or np.ptp(values) == 0:
        few = len(points) < FEWEST
        why = f"only {plural(len(points), 'trial')} of the sampler have a value" if few else "nothing varied"
        return Section(key, title, f"Nothing can be said of what matters: {why} (it takes {FEWEST} that differ).")
    found = _importances(points, varied)
    drawn = np.random.default_rng(0)
    again = [_importances([points[i] for i in _resample(drawn, values)], varied) for _ in range(_RESAMPLES)]
    names = sorted(varied, key=lambda n: found[n])
    middle = np.array([found[n] for n in names])
    low = np.minimum(middle, [min(r[n] for r in again) for n in names])
    high = np.maximum(middle, [max(r[n] for r in again) for n in names])
    figure, axes = new(1.1 + 0.36 * len(names))
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
    note = f"fANOVA over the sampler's trials; whiskers: range over {_RESAMPLES} bootstrap resamples."
    if any(outcome(t) == "pruned" for t, _ in points):
        note += " Trials that were stopped early count with the value that they had then."
    return Section(key, title, sentence + ".", [picture(figure, "importances.svg", sentence)], note)


def _varied(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the parameters that all trials have and that differ between them."""
    common = set.intersection(*(set(t.params) for t in trials)) if trials else set()
    return {name for name in common if len({repr(t.params[name]) for t in trials}) > 1}


def _resample(drawn: np.random.Generator, values: Sequence[float]) -> NDArray[np.int64]:
    """Return indices drawn with replacement, not all of them of one value."""
    while True:
        chosen = drawn.integers(0, len(values), len(values))
        if np.ptp(np.array(values)[chosen]) > 0:
            return chosen


def _importances(points: Sequence[tuple[FrozenTrial, float]], names: Sequence[str]) -> dict[str, float]:
    trials = [
        optuna.trial.create_trial(value=value, params=trial.params, distributions=trial.distributions)
        for trial, value in points
    ]
    evaluator = FanovaImportanceEvaluator(n_trees=48, seed=0)
    found = get_param_importances(in_memory(["minimize"], trials), evaluator=evaluator, params=list(names))
    return {name: float(value) for name, value in found.items()}


def parallel(record: Record) -> Section:
    """Return parallel coordinates of the trials that ran their whole budget, a parameter a row.

    Optuna's figure has a column for each, with its name and scale beside the next one's: not to be read on a phone.
    """
    key, title = "parallel", "Where the good trials are"
    varied = sorted(_varied(record.sound))
    if len(record.sound) < 4 or not varied:
        return Section(key, title, "There are no four finished trials that differ, so no lines to compare.")
    ranked = sorted(record.sound, key=lambda t: record.sign * record.value(t))
    top = len(_best_quarter(ranked))
    rows = [record.words, *varied]
    places = [_places([record.value(t) for t in ranked], None)]
    places += [_places([t.params[name] for t in ranked], ranked[0].distributions[name]) for name in varied]
    figure, axes = new(1.0 + 0.52 * len(rows))
    levels = range(len(rows) - 1, -1, -1)
    for rank in range(len(ranked) - 1, -1, -1):
        colour, width, alpha = (VERMILLION, 1.7, 0.9) if rank < top else (GREY, 0.9, 0.55)
        if rank == 0:
            colour, width, alpha = BLACK, 2.4, 1.0
        line = [place.positions[rank] for place in places]
        axes.plot(line, levels, color=colour, linewidth=width, alpha=alpha, marker="o", markersize=3.5)
    halo = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
    for level, place in zip(levels, places, strict=True):
        for position, text in place.ticks:
            below = {"xytext": (0, -13), "textcoords": "offset points", "ha": "center"}
            axes.annotate(text, (position, level), fontsize=8, color="#333333", bbox=halo, zorder=5, **below)
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
    sentence = _parallel_sentence(record, ranked, varied)
    note = (
        "A line is a trial that ran its whole budget; each row has its own scale, logarithmic where it is searched so."
    )
    return Section(key, title, sentence, [picture(figure, "parallel.svg", sentence)], note)


class _Places(NamedTuple):
    """Where values lie between 0 and 1, and what stands below which place."""

    positions: list[float]
    ticks: list[tuple[float, str]]


def _places(values: Sequence[Any], distribution: BaseDistribution | None) -> _Places:
    if isinstance(distribution, CategoricalDistribution):
        choices = [repr(choice) for choice in distribution.choices]
        at = [k / max(1, len(choices) - 1) for k in range(len(choices))]
        return _Places(
            [at[choices.index(repr(v))] for v in values], list(zip(at, map(_tick, distribution.choices), strict=True))
        )
    low, high = (min(values), max(values)) if distribution is None else (distribution.low, distribution.high)  # type: ignore[attr-defined]
    log = bool(getattr(distribution, "log", False))
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    width = (end - start) or 1.0
    middle = math.exp((start + end) / 2) if log else (start + end) / 2
    positions = [((math.log(v) if log else v) - start) / width for v in values]
    return _Places(
        positions, [(0.0, _tick(low)), (0.5, _tick(middle)), (1.0, _tick(high))] if high > low else [(0, _tick(low))]
    )


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:14]


def _best_quarter(ranked: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    return ranked[: max(2, len(ranked) // 4)]


def _parallel_sentence(record: Record, ranked: Sequence[FrozenTrial], names: Sequence[str]) -> str:
    """Name the parameter whose values the best quarter shares most."""
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
        scale = math.log if getattr(distribution, "log", False) else float
        low, high = (scale(getattr(distribution, end)) for end in ("low", "high"))
        width = (scale(max(values)) - scale(min(values))) / (high - low) if high > low else 1.0
        searched = f"{distribution.low:.3g} to {distribution.high:.3g}"  # type: ignore[attr-defined]
        spans[name] = (width, f"{name} lies between {min(values):.3g} and {max(values):.3g} (searched: {searched})")
    width, told = min(spans.values())
    share = "have most in common in one parameter" if width < 0.6 else "have no parameter in common; the narrowest"
    return f"The best {len(top)} of {len(ranked)} {share}: {told}."
