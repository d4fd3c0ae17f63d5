"""Figures of the search: how it went, what was stopped, the learning curves and the Pareto front.

Optuna computes, but its matplotlib figures are not used: they leave out what was stopped or failed, are too wide for
a phone, tell outcomes apart by red and blue alone, and go through pyplot, whose windows and style are the user's.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from .drawing import BLACK, BLUE, GREY, MARKS, Section, legend_above, log_where_wide, new, picture, whole_numbers
from .record import OUTCOMES, Record, name_of, number, outcome, plural


def history(record: Record) -> Section:
    """Return the objective of every trial, and the best so far."""
    key, title = "history", "How the search went"
    if not record.search:
        return Section(key, title, "No trial has started yet.")
    figure, axes = new(3.6)
    shown: list[float] = []
    for kind, (colour, mark) in MARKS.items():
        trials = [t for t in record.search if outcome(t) == kind]
        points = [(t.number, v) for t in trials if (v := record.reached(t)) is not None]
        shown += [v for _, v in points]
        if points:
            hollow = {"facecolors": "none"} if kind in ("pruned", "unfinished") else {}
            size = 60 if kind == "collapsed" else 36
            axes.scatter(*zip(*points, strict=True), color=colour, marker=mark, s=size, label=OUTCOMES[kind], **hollow)
        rug = [t.number for t in trials if record.reached(t) is None]
        if rug:
            heights = [0.99] * len(rug)
            label = f"{OUTCOMES[kind]}, no value"
            axes.scatter(
                rug, heights, color=colour, marker=mark, s=36, label=label, transform=axes.get_xaxis_transform()
            )
    references = [t for t in record.sound if "label" in t.user_attrs]
    if references:
        values = [record.value(t) for t in references]
        ring = {"facecolors": "none", "edgecolors": BLACK, "linewidths": 1.3}
        axes.scatter([t.number for t in references], values, s=120, label="published settings", **ring)
    steps = _best_so_far(record)
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color=BLACK, linewidth=1.4, label="best so far")
    log_where_wide(axes, shown)
    axes.set(xlabel="trial (number)", ylabel=f"validation {record.axis}")
    whole_numbers(axes)
    legend_above(axes)
    sentence = _history_sentence(record, references)
    note = "Trials that were stopped early stand at the value that they had then." if record.counts["pruned"] else ""
    return Section(key, title, sentence, [picture(figure, "history.svg", sentence)], note)


def _best_so_far(record: Record) -> list[tuple[int, float]]:
    """Return (trial, best value until then), to the last trial."""
    steps: list[tuple[int, float]] = []
    for trial in record.sound:
        value = record.value(trial)
        if not steps or record.sign * value < record.sign * steps[-1][1]:
            steps.append((trial.number, value))
    return [*steps, (record.search[-1].number, steps[-1][1])] if steps else []


def _history_sentence(record: Record, references: Sequence[FrozenTrial]) -> str:
    best = record.best
    if best is None:
        went = ", ".join(f"{n} {OUTCOMES[kind]}" for kind, n in record.counts.items())
        return f"None of the {plural(len(record.search), 'trial')} has a final value: {went}."
    value = record.value(best)
    sentence = (
        f"The best of {plural(len(record.search), 'trial')} is {name_of(best)}: "
        f"{record.words} {number(value)} on validation"
    )
    near = [t for t in record.sound if t is not best and abs(record.value(t) - value) <= 0.05 * abs(value)]
    if len(record.sound) > 2:
        sentence += f"; {len(near)} of the other {len(record.sound) - 1} that ran their budget come within 5% of it"
    published = min(references, key=lambda t: record.sign * record.value(t), default=None)
    if published is not None and published is not best:
        sentence += f". The best published setting, {published.user_attrs['label']}, reached "
        sentence += number(record.value(published))
    return sentence + "."


def pruning(record: Record) -> Section:
    """Return how many epochs each trial was given, and why it ended there."""
    key, title = "pruning", "What was stopped when"
    if not record.search:
        return Section(key, title, "No trial has started yet.")
    figure, axes = new(2.9)
    for kind, (colour, mark) in MARKS.items():
        trials = [t for t in record.search if outcome(t) == kind]
        if trials:
            numbers, epochs = [t.number for t in trials], [t.last_step or 0 for t in trials]
            axes.vlines(numbers, 0, epochs, color=colour, linewidth=min(3.0, 150 / len(record.search)), alpha=0.6)
            axes.scatter(numbers, epochs, color=colour, marker=mark, s=34, label=OUTCOMES[kind], zorder=3)
    axes.set(xlabel="trial (number)", ylabel="trained (epochs)", ylim=(0, record.spec.budget.max_epochs * 1.06))
    whole_numbers(axes)
    legend_above(axes)
    sentence = _pruning_sentence(record)
    return Section(key, title, sentence, [picture(figure, "pruning.svg", sentence)])


def _pruning_sentence(record: Record) -> str:
    total, budget = len(record.search), record.spec.budget.max_epochs
    stopped = [t for t in record.search if outcome(t) == "pruned"]
    trained = sum(t.last_step or 0 for t in record.search)
    if not stopped:
        sentence = f"No trial was stopped early: {plural(total, 'trial')} trained {trained} epochs in all"
    else:
        at = Counter(t.last_step or 0 for t in stopped)
        where = ", ".join(f"{n} at epoch {epoch}" for epoch, n in sorted(at.items())[:4])
        saved = sum(budget - (t.last_step or 0) for t in stopped)
        sentence = f"{len(stopped)} of {plural(total, 'trial')} {'was' if len(stopped) == 1 else 'were'} "
        sentence += f"stopped early ({where}"
        sentence += f"{', ...' if len(at) > 4 else ''}), which saved {saved} of {total * budget} epochs"
        sentence += f" ({saved / (total * budget):.0%})"
    failed = [t for t in record.search if outcome(t) == "failed"]
    if failed:
        reasons = Counter(str(t.user_attrs.get("reason") or "no reason given") for t in failed)
        reason, times = reasons.most_common(1)[0]
        share = "" if times == len(failed) else f"{times} of them: "
        sentence += f"; {len(failed)} failed ({share}{reason[:120].rstrip('.')})"
    return sentence + "."


def learning(record: Record) -> Section:
    """Return the validation objective of every trial at every epoch, coloured by outcome."""
    key, title = "learning", "Learning curves"
    curves = [(t, c) for t in record.search if (c := _curve(t))]
    if not curves:
        return Section(key, title, "No trial has reported an epoch.")
    figure, axes = new(3.8)
    told: set[str] = set()
    for trial, curve in curves:
        kind = outcome(trial)
        colour, mark = MARKS[kind]
        label = None if kind in told else OUTCOMES[kind]
        told.add(kind)
        epochs, values = zip(*curve, strict=True)
        axes.plot(epochs, values, color=colour, linewidth=1.0, alpha=0.55, label=label)
        axes.scatter(epochs[-1:], values[-1:], color=colour, marker=mark, s=22, zorder=3)
    if record.best is not None and (curve := _curve(record.best)):
        axes.plot(*zip(*curve, strict=True), color=BLACK, linewidth=2.2, label=f"the best: {name_of(record.best)}")
    log_where_wide(axes, [v for _, c in curves for _, v in c])
    axes.set(xlabel="epoch (number)", ylabel=f"validation {record.axis}")
    whole_numbers(axes)
    legend_above(axes, 2)
    sentence = _learning_sentence(record, dict(curves_by_number(curves)))
    return Section(key, title, sentence, [picture(figure, "learning.svg", sentence)])


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    return [(e, v) for e, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)]


def curves_by_number(curves: Sequence[tuple[FrozenTrial, Any]]) -> Iterator[tuple[int, dict[int, float]]]:
    """Yield each trial's number and its values by epoch."""
    for trial, curve in curves:
        yield trial.number, dict(curve)


def _learning_sentence(record: Record, curves: dict[int, dict[int, float]]) -> str:
    best = record.best
    if best is None or best.number not in curves:
        longest = max(max(c) for c in curves.values())
        return f"{plural(len(curves), 'trial')} reported up to {longest} epochs, and none its whole budget."
    own = curves[best.number]
    end = max(own)
    late = max((e for e in own if e <= end - max(1, end // 4)), default=end)
    change = record.sign * (own[late] - own[end]) / abs(own[late]) if own[late] else 0.0
    parts = [f"The {record.words} of {name_of(best)} "]
    if end == min(own):
        parts[0] += f"stood at {number(own[end])} after epoch {end}, the only one that it reported"
    else:
        parts[0] += f"went from {number(own[min(own)])} after epoch {min(own)} to {number(own[end])} after epoch {end}"
    if late != end:
        verdict = "more epochs may well help" if change > 0.02 else "its budget was about enough"
        parts.append(f"its last {plural(end - late, 'epoch')} improved it by {change:.1%}, so {verdict}")
    stopped = [c for t in record.search if outcome(t) == "pruned" and (c := curves.get(t.number))]
    if stopped:
        ends = [c[max(c)] for c in stopped]
        parts.append(f"those stopped early stood between {number(min(ends))} and {number(max(ends))} when they were")
    return "; ".join(parts) + "."


def pareto(record: Record) -> Section | None:
    """Return the Pareto front (Optuna's), a panel for each pair of objectives; None where there is one objective."""
    if len(record.objectives) == 1:
        return None
    key, title = "pareto", "Pareto front"
    if not record.sound:
        return Section(key, title, "No trial ran its whole budget, so there is no front.")
    front = in_memory([o.direction for o in record.objectives], record.sound).best_trials
    numbers = {t.number for t in front}
    ends = "; ".join(
        f"the best in {o.words} is {name_of(t)} with {number(t.values[k])}"
        for k, o in enumerate(record.objectives)
        for t in [min(front, key=lambda t: (o.sign * t.values[k], t.number))]
    )
    sentence = f"{len(front)} of {len(record.sound)} finished trials are beaten by no other in all objectives; {ends}."
    pairs = list(itertools.combinations(range(len(record.objectives)), 2))[:6]
    rows = -(-len(pairs) // 2)
    figure, grid = new(4.2 if len(pairs) == 1 else 0.4 + 2.9 * rows, rows, min(2, len(pairs)), squeeze=False)
    for axes, (i, j) in zip(grid.flat, pairs, strict=False):
        for trials, style in (
            ([t for t in record.sound if t.number not in numbers], {"color": GREY, "marker": "o", "label": "others"}),
            ([t for t in record.sound if t.number in numbers], {"color": BLUE, "marker": "D", "label": "on the front"}),
        ):
            axes.scatter([t.values[i] for t in trials], [t.values[j] for t in trials], s=28, **style)
        for trial in front if len(front) <= 20 else ():
            place = (trial.values[i], trial.values[j])
            axes.annotate(str(trial.number), place, xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set(xlabel=record.objectives[i].axis, ylabel=record.objectives[j].axis)
    for axes in grid.flat[len(pairs) :]:
        axes.remove()
    legend_above(grid[0, 0])
    note = "A point is a trial that ran its whole budget; numbers are trials."
    return Section(key, title, sentence, [picture(figure, "pareto.svg", sentence)], note)


def in_memory(directions: Sequence[Any], trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return a study in memory of some of the trials, for Optuna's own analyses."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of every study that is made
    study = optuna.create_study(directions=list(directions))
    optuna.logging.set_verbosity(before)
    study.add_trials(trials)
    return study
