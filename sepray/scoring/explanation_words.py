"""An ablation path in words: one plain sentence, and a table of its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..plain_text import in_markdown
from .answer_words import markdown_rows
from .explanation import Change, Explanation, Gap, Step

HEAD = ("step", "mean", "difference", "share")
"""Names of the table's columns."""
TITLE = "Which setting earned what"
WITHIN = "within the seeds' spread"


def sentence(path: Explanation) -> str:
    """Return the result of the path, as one paragraph."""
    ends = f"From {path.start} to the champion's settings, {path.measure} on validation"
    seeds, decimals = _seeds(path), _decimals(path)
    if path.total is None or path.first is None or path.last is None:
        return f"{ends} cannot be compared: too few of the trainings have finished."
    if not path.total.beyond_seeds:
        moved = difference(path.total, decimals)
        return f"{ends} changed by {moved}, {WITHIN} ({seeds}): no setting can be said to have earned a part of it."
    fell = path.total.difference < 0
    what = "gain" if fell == (path.direction == "minimize") else "loss"
    ends += f" {'fell' if fell else 'rose'} from {path.first:.{decimals}f} to {path.last:.{decimals}f} ({seeds})"
    shown = sorted((step for step in path.steps if _is_shown(step)), key=lambda step: -abs(step.share or 0.0))
    if not shown:
        return f"{ends}. Every single step stayed {WITHIN}."
    first, *others = ((share(step, "by seed "), _in_words(step.change)) for step in shown)
    told = ", ".join([f"{first[0]} of the {what} came with {first[1]}", *(f"{part} with {it}" for part, it in others)])
    rest = [step for step in path.steps if not _is_shown(step)]
    inert = [step.change.name for step in rest if step.gap is not None and step.gap.is_nothing]
    within = [step.change.name for step in rest if step.change.name not in inert]
    other = f" What changed with {_listed(within)} stayed {WITHIN}." if within else ""
    other += f" Nothing changed with {_listed(inert)}." if inert else ""
    return f"{ends}. {told}.{other}"


def table(path: Explanation, gap: str = " ") -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and a row for the beginning and for each step.

    Args:
        path: the path.
        gap: what stands between a name and its values, and between a difference and its interval; a line break here
            breaks long verdicts too.
    """
    decimals = _decimals(path)
    rows = [[path.start, _number(path.first, decimals), "", ""]]
    for step in path.steps:
        moved = "-" if step.gap is None else difference(step.gap, decimals, gap)
        rows.append([_in_words(step.change, gap), _number(step.mean, decimals), moved, verdict(step, path.direction)])
    moved = "-" if path.total is None else difference(path.total, decimals, gap)
    together = "" if path.total is None or path.total.beyond_seeds else WITHIN
    rows.append(["all steps together", _number(path.last, decimals), moved, together])
    return list(HEAD), [[*row[:-1], row[-1].replace(WITHIN, WITHIN.replace("the ", f"the{gap}"))] for row in rows]


def caption(path: Explanation) -> str:
    """Return the caption of the table, a sentence or two."""
    better = "less" if path.direction == "minimize" else "more"
    how = {
        "greedy": "the best of those that were left, by these very values",
        "importance": "first the one that mattered most in the search",
        "given": "in the order of the search space",
    }[path.order]
    text = (
        f"{path.measure} on validation, mean over {_seeds(path)}, the same seeds in every step [95% interval of the "
        f"difference over seeds]; share of the whole difference (its range over single seeds); {better} is better. "
        f"Each step changes one setting, {how}. This describes one path: "
        "another order may give other shares."
    )
    brought = [_brought(step.change) for step in path.steps if step.change.brought]
    return " ".join([text, *brought])


def verdict(step: Step, direction: str) -> str:
    """Return the verdict on a step's difference: its share, or that it is within the spread of the seeds."""
    if step.gap is None:
        return "failed" if step.mean is None else "-"
    if step.gap.is_nothing:
        return "changed nothing"
    if not step.gap.beyond_seeds:
        return WITHIN
    if step.share is not None:
        return share(step)
    return "better" if (step.gap.difference < 0) == (direction == "minimize") else "worse"


def share(step: Step, of: str = "") -> str:
    """Return a step's share in percent with its range over seeds, e.g. ``86% (82% to 91%)``.

    Args:
        step: a step that has a share.
        of: what stands before the range.
    """
    middle = f"{step.share:.0%}"
    if step.least is None or step.most is None or f"{step.least:.0%}" == f"{step.most:.0%}":
        return middle
    return f"{middle} ({of}{step.least:.0%} to {step.most:.0%})"


def difference(gap: Gap, decimals: int, space: str = " ") -> str:
    """Return a difference with its interval, e.g. ``-0.012 [-0.020, -0.004]``."""
    middle = _signed(gap.difference, decimals)
    if gap.low is None or gap.high is None:
        return middle
    return f"{middle}{space}[{_signed(gap.low, decimals)}, {_signed(gap.high, decimals)}]"


def markdown(path: Explanation) -> str:
    """Return sentence and table as Markdown."""
    columns, rows = table(path)
    rows = [[in_markdown(text) for text in row] for row in rows]
    said, below = in_markdown(sentence(path)), in_markdown(caption(path))
    return f"**{TITLE}**\n\n{said}\n\n{markdown_rows(columns, rows)}\n\n{below}"


def _is_shown(step: Step) -> bool:
    """Say whether a step has a share that exceeds the differences between seeds."""
    return step.share is not None and step.gap is not None and step.gap.beyond_seeds


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _seeds(path: Explanation) -> str:
    epochs = f"{path.epochs} epoch{'s' * (path.epochs != 1)}"
    return f"{path.seeds} seed{'s' * (path.seeds != 1)} of {epochs}"


def _brought(change: Change) -> str:
    each = ", ".join(
        f"{name} {value(new)}" if old is None else f"{name} {value(old)} -> {value(new)}"
        for name, (old, new) in change.brought.items()
    )
    return f"The arm brings its settings: {each}."


def _in_words(change: Change, gap: str = " ") -> str:
    return f"{change.name}{gap}{value(change.old)} -> {value(change.new)}"


def value(setting: Any) -> str:
    """Return a setting for a reader: numbers with four digits."""
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def _decimals(path: Explanation) -> int:
    """Return the decimals that show three digits of the largest difference."""
    largest = max((abs(g.difference) for g in (path.total, *(s.gap for s in path.steps)) if g is not None), default=0.0)
    return 4 if largest == 0 else min(6, max(1, 2 - math.floor(math.log10(largest))))


def _number(mean: float | None, decimals: int) -> str:
    return "-" if mean is None else f"{mean:.{decimals}f}"


def _signed(number: float, decimals: int) -> str:
    text = f"{number:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text
