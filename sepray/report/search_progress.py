"""Figures of the search: value of every trial, epochs per trial, learning curves, Pareto front.

Optuna's matplotlib figures are not used. They leave out trials that were stopped or failed, are too wide for a phone,
and tell outcomes apart by red and blue alone. They also use pyplot, whose state belongs to the user.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from ..choices import MEASURES
from ..plain_text import in_figure_label, plural
from ..spec import choosing
from ..spec.published_settings import row_title
from . import html
from .figures import BLACK, BLUE, GREY, MARKS, Section, legend_above, log_where_wide, new_figure, render, whole_numbers
from .study_results import StudyResults, ending
from .wording import OUTCOMES, number, objective_axis, objective_words, trial_name

_LONG = 5
"""Fewest epochs from which the end of a learning curve says whether more would help; before that every curve falls."""


def history(results: StudyResults) -> Section:
    """Draw the objective of every trial, and the best value so far."""
    key, title = "history", "Course of the search"
    if not results.trials:
        return Section(key, title, "No trial has started yet.")
    figure, axes = new_figure(3.6)
    shown: list[float] = []
    for kind, (colour, mark) in MARKS.items():
        trials = [t for t in results.trials if ending(t) == kind]
        points = [(t.number, v) for t in trials if (v := results.value_so_far(t)) is not None]
        shown += [v for _, v in points]
        if points:
            hollow = {"facecolors": "none"} if kind in ("pruned", "unfinished") else {}
            size = 60 if kind == "collapsed" else 36
            axes.scatter(*zip(*points, strict=True), color=colour, marker=mark, s=size, label=OUTCOMES[kind], **hollow)
        without_value = [t.number for t in trials if results.value_so_far(t) is None]
        if without_value:
            style = {"color": colour, "marker": mark, "s": 36, "label": f"{OUTCOMES[kind]}, no value"}
            top = [0.99] * len(without_value)
            axes.scatter(without_value, top, transform=axes.get_xaxis_transform(), **style)
    references = [t for t in results.feasible if "label" in t.user_attrs]
    if references:
        values = [results.value(t) for t in references]
        ring = {"facecolors": "none", "edgecolors": BLACK, "linewidths": 1.3}
        axes.scatter([t.number for t in references], values, s=120, label="published settings", **ring)
    steps = _best_so_far(results)
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color=BLACK, linewidth=1.4, label="best so far")
    log_where_wide(axes, shown)
    axes.set(xlabel="trial (number)", ylabel=f"validation {results.axis}")
    whole_numbers(axes)
    legend_above(axes)
    sentence = _history_sentence(results, references)
    note = "Trials that were stopped early are drawn at their last value." if results.counts["pruned"] else ""
    return Section(key, title, sentence, [render(figure, "history.svg", sentence)], note)


def _best_so_far(results: StudyResults) -> list[tuple[int, float]]:
    """Return pairs of a trial's number and the best value up to it, up to the last trial."""
    steps: list[tuple[int, float]] = []
    for trial in results.feasible:
        value = results.value(trial)
        if not steps or results.sign * value < results.sign * steps[-1][1]:
            steps.append((trial.number, value))
    return [*steps, (results.trials[-1].number, steps[-1][1])] if steps else []


def _history_sentence(results: StudyResults, references: Sequence[FrozenTrial]) -> str:
    best = results.best
    if best is None:
        outcomes = ", ".join(f"{n} {OUTCOMES[kind]}" for kind, n in results.counts.items())
        return f"None of the {plural(len(results.trials), 'trial')} has a final value: {outcomes}."
    value = results.value(best)
    values = zip(results.objectives, best.values, strict=True)
    told = " and ".join(f"{objective_words(o)} {number(v)}" for o, v in values)
    sentence = f"The best of {plural(len(results.trials), 'trial')} is {trial_name(best)}: {told} on validation"
    near = [t for t in results.feasible if t is not best and abs(results.value(t) - value) <= 0.05 * abs(value)]
    if len(results.feasible) > 2 and results.in_percent:
        sentence += (
            f"; {len(near)} of the other {len(results.feasible) - 1} that ran their whole budget are within 5% of it"
        )
    published = min(references, key=lambda t: results.sign * results.value(t), default=None)
    if published is not None and published is not best:
        label, spec = published.user_attrs["label"], results.spec
        epochs = spec.reference_epochs.get(label)
        is_published = label in spec.reference_points
        title = row_title(label, spec.budget.max_epochs, epochs) if is_published else label
        kind = "The best published setting" if is_published else "The best of the settings that were tried first"
        sentence += f". {kind}, {title}, reached {number(results.value(published))} there"
    return sentence + "."


def pruning(results: StudyResults) -> Section:
    """Draw the number of epochs that each trial was trained for, and its outcome."""
    key, title = "pruning", "Epochs of each trial"
    if not results.trials:
        return Section(key, title, "No trial has started yet.")
    figure, axes = new_figure(2.9)
    for kind, (colour, mark) in MARKS.items():
        trials = [t for t in results.trials if ending(t) == kind]
        if trials:
            numbers, epochs = [t.number for t in trials], [t.last_step or 0 for t in trials]
            axes.vlines(numbers, 0, epochs, color=colour, linewidth=min(3.0, 150 / len(results.trials)), alpha=0.6)
            axes.scatter(numbers, epochs, color=colour, marker=mark, s=34, label=OUTCOMES[kind], zorder=3)
    axes.set(xlabel="trial (number)", ylabel="trained (epochs)", ylim=(0, results.spec.budget.max_epochs * 1.06))
    whole_numbers(axes)
    legend_above(axes)
    sentence = _pruning_sentence(results)
    return Section(key, title, sentence, [render(figure, "pruning.svg", sentence)])


def _pruning_sentence(results: StudyResults) -> str:
    total, budget = len(results.trials), results.spec.budget.max_epochs
    stopped = [t for t in results.trials if ending(t) == "pruned"]
    trained = sum(t.last_step or 0 for t in results.trials)
    if not stopped:
        sentence = f"No trial was stopped early: {plural(total, 'trial')} trained {trained} epochs in all"
    else:
        by_epoch = Counter(t.last_step or 0 for t in stopped)
        first = ", ".join(f"{n} at epoch {epoch}" for epoch, n in sorted(by_epoch.items())[:4])
        saved = sum(budget - (t.last_step or 0) for t in stopped)
        sentence = f"{len(stopped)} of {plural(total, 'trial')} {'was' if len(stopped) == 1 else 'were'} "
        sentence += f"stopped early ({first}"
        sentence += f"{', ...' if len(by_epoch) > 4 else ''}), which saved {saved} of {total * budget} epochs"
        sentence += f" ({saved / (total * budget):.0%})"
    failed = [t for t in results.trials if ending(t) == "failed"]
    if failed:
        reasons = Counter(str(t.user_attrs.get("reason") or "no reason given") for t in failed)
        reason, times = reasons.most_common(1)[0]
        share = "" if times == len(failed) else f"{times} of them: "
        sentence += f"; {len(failed)} failed ({share}{reason[:120].rstrip('.')})"
    return sentence + "."


def learning(results: StudyResults) -> Section:
    """Draw the validation objective of every trial at every epoch, coloured by outcome."""
    key, title = "learning", "Learning curves"
    curves = [(t, c) for t in results.trials if (c := results.curve(t))]
    if not curves:
        return Section(key, title, "No trial has reported an epoch.")
    figure, axes = new_figure(3.8)
    in_legend: set[str] = set()
    for trial, curve in curves:
        kind = ending(trial)
        colour, mark = MARKS[kind]
        label = None if kind in in_legend else OUTCOMES[kind]
        in_legend.add(kind)
        epochs, values = zip(*curve, strict=True)
        axes.plot(epochs, values, color=colour, linewidth=1.0, alpha=0.55, label=label)
        axes.scatter(epochs[-1:], values[-1:], color=colour, marker=mark, s=22, zorder=3)
    if results.best is not None and (curve := results.curve(results.best)):
        axes.plot(
            *zip(*curve, strict=True),
            color=BLACK,
            linewidth=2.2,
            label=in_figure_label(f"the best: {trial_name(results.best)}"),
        )
    log_where_wide(axes, [v for _, c in curves for _, v in c])
    axes.set(xlabel="epoch (number)", ylabel=f"validation {results.axis}")
    whole_numbers(axes)
    legend_above(axes, 2)
    sentence = _learning_sentence(results, {trial.number: dict(curve) for trial, curve in curves})
    return Section(key, title, sentence, [render(figure, "learning.svg", sentence)])


def _learning_sentence(results: StudyResults, curves: dict[int, dict[int, float]]) -> str:
    best = results.best
    if best is None or best.number not in curves:
        longest = max(max(c) for c in curves.values())
        return f"{plural(len(curves), 'trial')} reported values, up to epoch {longest}; none has run its whole budget."
    own = curves[best.number]
    end = max(own)
    late = max((e for e in own if e <= end - max(1, end // 4)), default=end)
    change = results.sign * (own[late] - own[end])
    parts = [f"The {results.words} of {trial_name(best)} "]
    if end == min(own):
        parts[0] += f"was {number(own[end])} after epoch {end}, the only one that it reported"
    else:
        parts[0] += f"went from {number(own[min(own)])} after epoch {min(own)} to {number(own[end])} after epoch {end}"
    if late != end:
        verb = "improved" if change >= 0 else "worsened"
        last = "epoch" if end - late == 1 else f"{end - late} epochs"
        parts.append(
            f"its last {last} {verb} it by {_amount(results, abs(change))}{_beside_seeds(results, change, end)}"
        )
    stopped = [c for t in results.trials if ending(t) == "pruned" and (c := curves.get(t.number))]
    if stopped:
        ends = [c[max(c)] for c in stopped]
        parts.append(f"trials that were stopped early had values between {number(min(ends))} and {number(max(ends))}")
    return "; ".join(parts) + "."


def _beside_seeds(results: StudyResults, change: float, epochs: int) -> str:
    """Return a clause that compares a change over the last epochs with the differences between seeds.

    It says that more epochs may help only of a curve of at least ``_LONG`` epochs.
    """
    spread = results.seed_spread
    if spread is None:
        return ""
    if change > spread:
        more = ": more epochs may well help" if epochs >= _LONG else ""
        return f", more than the {_amount(results, spread)} that seeds differ by{more}"
    return f"; seeds differ by up to {_amount(results, spread)}"


def _amount(results: StudyResults, value: float) -> str:
    """Return a value with its unit, if it has one."""
    return f"{number(value)} {MEASURES[results.objectives[0].measure].unit}".strip()


def pareto(results: StudyResults) -> Section | None:
    """Draw the Pareto front, a panel for each pair of objectives; return None if there is only one objective."""
    if len(results.objectives) == 1:
        return None
    key, title = "pareto", "Pareto front"
    if not results.feasible:
        return Section(key, title, "No trial has run its whole budget, so there is no Pareto front.")
    front = results.front()
    on_front = {t.number for t in front}
    ends = "; ".join(
        f"the best in {objective_words(o)} is {trial_name(t)} with {number(t.values[k])}"
        for k, o in enumerate(results.objectives)
        for t in [min(front, key=lambda t: (o.sign * t.values[k], t.number))]
    )
    sentence = (
        f"{len(front)} of {plural(len(results.feasible), 'finished trial')} {'is' if len(front) == 1 else 'are'} "
        f"Pareto-optimal: no other trial is better in one objective and as good in the others; {ends}."
    )
    pairs = list(itertools.combinations(range(len(results.objectives)), 2))[:6]
    rows = -(-len(pairs) // 2)
    figure, grid = new_figure(4.2 if len(pairs) == 1 else 0.4 + 2.9 * rows, rows, min(2, len(pairs)), squeeze=False)
    for axes, (i, j) in zip(grid.flat, pairs, strict=False):
        for trials, style in (
            (
                [t for t in results.feasible if t.number not in on_front],
                {"color": GREY, "marker": "o", "label": "others"},
            ),
            (
                [t for t in results.feasible if t.number in on_front],
                {"color": BLUE, "marker": "D", "label": "on the front"},
            ),
        ):
            axes.scatter([t.values[i] for t in trials], [t.values[j] for t in trials], s=28, **style)
        for trial in front if len(front) <= 20 else ():
            point = (trial.values[i], trial.values[j])
            axes.annotate(str(trial.number), point, xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.set(xlabel=objective_axis(results.objectives[i]), ylabel=objective_axis(results.objectives[j]))
    for axes in grid.flat[len(pairs) :]:
        axes.remove()
    legend_above(grid[0, 0])
    note = "Each point is a trial that ran its whole budget; the numbers are those of the trials."
    return Section(key, title, sentence, [render(figure, "pareto.svg", sentence)], note)


def front(results: StudyResults) -> str | None:
    """Return the section with a table of the Pareto front; None without a front, or with one objective."""
    if len(results.objectives) == 1 or not results.feasible:
        return None
    rows = [[trial_name(t), *map(number, t.values)] for t in results.front()]
    columns = ["trial", *(o.column for o in results.objectives)]
    sentence = "No other trial is as good in every column and better in one."
    chosen = choosing.words(results.spec.choose, results.objectives)
    return html.text_table("front", "Trials on the front", sentence, columns, rows, chosen)
