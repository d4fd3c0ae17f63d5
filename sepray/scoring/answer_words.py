"""A study's answer in words: one plain sentence, and a small table of all arms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..choices import MEASURES, Objective, better_words, guide_words, measure_words
from ..plain_text import in_markdown, plural
from .answers import MEAN, Answer, Contrast, Effect, Importance
from .intervals import fewest
from .paired_statistics import MOST_SEEDS

HEAD = ("arm", "p", "claim")
"""Names of the table's columns beside those of the effects: the first, and the last two."""
_OBJECTIVE, _DIFFERENCE = "objective", "difference"
_FEW = 4


def with_sentence(answer: Answer) -> Answer:
    """Return an answer with its sentence."""
    return replace(answer, sentence=sentence(answer))


def sentence(answer: Answer) -> str:
    """Return the answer as one paragraph: about the arm that matters most, and about the setting that does.

    With several objectives each has a sentence about the arm that matters most by it.
    """
    parts = []
    for part in answer.parts:
        if part.leading is not None:
            parts += [_about_arm(part, part.leading, answer.tests), *_about_others(part, part.leading)]
    if answer.importance is not None:
        parts.append(_about_setting(answer.importance, guide_words(objectives(answer)) if answer.others else ""))
    return " ".join(parts)


def objectives(answer: Answer) -> list[Objective]:
    """Return the objectives that an answer is about, in their order."""
    return [
        Objective(("" if p.column == MEAN else f"{p.column}/") + p.metric, MEASURES[p.metric].direction)
        for p in answer.parts
    ]


def _about_setting(importance: Importance, of: str) -> str:
    name = "the arm" if importance.name == "arm" else importance.name
    by = f" in {of}" if of else ""
    return f"What matters most is {name}: it explains {importance.share:.0%} of what trials differ by{by}."


def _about_arm(answer: Answer, contrast: Contrast, tests: int) -> str:
    effect, metric = contrast.effects[answer.column], answer.metric
    source = "" if answer.column == MEAN else f"{answer.column} "
    arm = contrast.arm[:1].upper() + contrast.arm[1:]
    seeds, items = plural(contrast.seeds, "seed"), plural(contrast.items, "test item")
    items += f" of {contrast.cut_from}" if contrast.cut_from else ""
    what = f"{source}{measure_words(metric)}"
    if effect.difference == 0 and effect.low == effect.high:
        return f"{arm} and {contrast.control} gave the same {what} on {seeds}."
    if contrast.claim:
        lowered = effect.difference < 0
        verb = "lowered" if lowered else "raised"
        size = change(effect, metric, -1 if lowered else 1, plus=False)
        p = f"p {effect.p_holm:.2g}" + (" after Holm" if tests > 1 else "")
        worse = lowered != (MEASURES[metric].direction == "minimize")
        verdict = f"; it separates worse than {contrast.control}" if worse else ""
        return f"{arm} {verb} the {what} by {size} against {contrast.control} ({seeds}, {items}, {p}){verdict}."
    start = f"{arm} changed the {what} by {change(effect, metric)} against {contrast.control}"
    if contrast.too_few:
        return f"{start} ({seeds}, {items}): {contrast.too_few}."
    if contrast.items_decide:
        more = "more of them" if contrast.cut_from else "more items"
        return f"{start}: the {seeds} agree, but the {items} do not; {more} would decide."
    if contrast.seeds < _FEW:  # whose spread says next to nothing of what more would show
        advice = f"a claim needs {fewest(tests)} at the least"
    elif contrast.seeds_needed is None:
        advice = f"more than {MOST_SEEDS} would be needed"
    else:
        advice = f"about {contrast.seeds_needed} seeds would decide"
    return f"{start}: no effect that {seeds} can show; {advice}."


def _about_others(answer: Answer, leading: Contrast) -> list[str]:
    """Return a sentence about the arms beside the leading one; none where there are no others."""
    others = [contrast for contrast in answer.contrasts if contrast is not leading]
    if not others:
        return []
    if claimed := [contrast.arm for contrast in others if contrast.claim]:
        return [f"There is an effect of {' and '.join(claimed)} too."]
    if leading.claim:
        return [f"{'The other arm shows' if len(others) == 1 else f'The other {len(others)} arms show'} no effect."]
    which = "The other arm comes" if len(others) == 1 else f"The other {len(others)} arms come"
    return [f"{which} no closer to an effect."]


def change(effect: Effect, metric: str, sign: int = 1, plus: bool = True, gap: str = " ", short: bool = False) -> str:
    """Return a difference with its interval, in percent of the control where the measure allows it, else in its unit.

    Examples: ``-0.1% [-0.4%, +0.2%]``, ``+0.31 dB [+0.10, +0.52]``.

    Args:
        effect: the difference.
        metric: name of the measure.
        sign: -1 to show the difference the other way round.
        plus: whether values above zero have their sign.
        gap: what stands between the difference and its interval.
        short: whether the ends of an interval in percent lack the percent sign.
    """
    measure = MEASURES[metric]
    percent = measure.in_percent and effect.control > 0
    scale = sign * (100 / effect.control if percent else 1.0)
    unit = "%" if percent else f" {measure.unit}" if measure.unit else ""
    ends = [] if effect.low is None or effect.high is None else sorted((scale * effect.low, scale * effect.high))
    middle = scale * effect.difference
    least, most = (1, 2) if percent else (2, 6) if measure.unit else (3, 6)
    width = (ends[1] - ends[0]) / 2 if ends else 0.0
    decimals = least if width == 0 else min(most, max(least, -math.floor(math.log10(width))))
    texts = [_signed(value, decimals, plus) for value in (middle, *ends)]
    if not ends:
        return f"{texts[0]}{unit}"
    inner = "%" if percent and not short else ""
    return f"{texts[0]}{unit}{gap}[{texts[1]}{inner}, {texts[2]}{inner}]"


def table(answer: Answer, gap: str = " ") -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and a row for each arm: its name, its effects, p after Holm, and the claim.

    With several objectives there is a row for each arm and objective.

    Args:
        answer: the answer.
        gap: what stands between a difference and its interval.
    """
    against = {contrast.control for contrast in answer.contrasts}
    if answer.others:
        return [HEAD[0], _OBJECTIVE, _DIFFERENCE, *HEAD[1:]], _rows_by_objective(answer, len(against) > 1, gap)
    columns = list(dict.fromkeys(name for contrast in answer.contrasts for name in contrast.effects))
    rows = []
    for contrast in answer.contrasts:
        name = _row_name(contrast, len(against) > 1)
        cells = [
            change(contrast.effects[column], answer.metric, gap=gap, short=True) if column in contrast.effects else "-"
            for column in columns
        ]
        p = f"{contrast.effects[answer.column].p_holm:.2g}"
        rows.append([name, *cells, p, "yes" if contrast.claim else "no"])
    return [HEAD[0], *columns, *HEAD[1:]], rows


def _rows_by_objective(answer: Answer, several_controls: bool, gap: str) -> list[list[str]]:
    rows = []
    for k in range(len(answer.contrasts)):
        for part, objective in zip(answer.parts, objectives(answer), strict=True):
            contrast, effect = part.contrasts[k], part.contrasts[k].effects[part.column]
            moved = change(effect, part.metric, gap=gap)
            name = _row_name(contrast, several_controls)
            rows.append([name, objective.words, moved, f"{effect.p_holm:.2g}", "yes" if contrast.claim else "no"])
    return rows


def _row_name(contrast: Contrast, several_controls: bool) -> str:
    return f"{contrast.arm} against {contrast.control}" if several_controls else contrast.arm


def title(answer: Answer) -> str:
    """Return the title of the table: what is compared with what, by which measure."""
    against = list(dict.fromkeys(contrast.control for contrast in answer.contrasts))
    control = against[0] if len(against) == 1 else "their controls"
    if answer.others:
        return f"All objectives on the test split: difference to {control}"
    return f"{measure_words(answer.metric)} on the test split: difference to {control}"


def caption(answer: Answer) -> str:
    """Return the caption of the table, a sentence."""
    seeds, items = {c.seeds for c in answer.contrasts}, {c.items for c in answer.contrasts}
    pairs = f"{_range(seeds)} pairs" if max(seeds) > 1 else "1 pair"
    column = ", for the mean over sources" if answer.column == MEAN else f", for {answer.column}"
    together, corrected = (", for all arms together", ", corrected by Holm") if answer.tests > 1 else ("", "")
    if answer.others:
        column, together = "", ", for all rows together"
    cut_from = list(dict.fromkeys(c.cut_from for c in answer.contrasts if c.cut_from))
    of = f" of {cut_from[0]}" if cut_from else ""
    interval = f" [95% interval over {'seeds and recordings' if of else 'both'}{together}]"
    if all(e.low is None for part in answer.parts for contrast in part.contrasts for e in contrast.effects.values()):
        interval = f" (an interval needs {fewest(answer.tests)} pairs)"
    tested = f"exact sign-flip test over seeds{column}{corrected}"
    pairs += f" of trainings at the same settings and seed, {_range(items)} test items{of}{interval}"
    return f"{pairs}; p: {tested}; {better_words(part.metric for part in answer.parts)}"


def markdown(answer: Answer) -> str:
    """Return the table as Markdown, with its title and caption."""
    columns, rows = table(answer)
    rows = [[in_markdown(text) for text in row] for row in rows]
    return f"**{in_markdown(title(answer))}**\n\n{markdown_rows(columns, rows)}\n\n{in_markdown(caption(answer))}"


def markdown_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns are texts, cells of rows Markdown."""
    lines = [f"| {' | '.join(map(in_markdown, columns))} |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _range(counts: set[int]) -> str:
    return str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _signed(value: float, decimals: int, plus: bool) -> str:
    text = f"{value:+.{decimals}f}" if plus else f"{value:.{decimals}f}"
    return text.replace("+", "").replace("-", "") if float(text) == 0 else text
