"""A study's answer about its arms: differences to the control over pairs of trainings, and the claims among these.

A pair is an arm and its control, trained with the same settings on the same seed. A study has many pairs and many test
items, and both are samples: other seeds and other items would give another difference. So the 95% interval resamples
seeds and units of items, each on its own (the "pigeonhole" bootstrap of crossed designs; Owen 2007, Annals of Applied
Statistics 1), by ``scipy.stats.bootstrap`` with BCa. With few seeds such an interval is too short; its level is raised
so that it is as long as Student's would be (Hesterberg 2015, The American Statistician 69, section 5.3). With fewer
than ``fewest`` seeds, whose resamples cannot reach 95%, there is none. The test flips the signs of the seeds'
differences (``scipy.stats.permutation_test``, exact up to 16 seeds), with Holm's correction over the arms, and over the
objectives where a study has several. The intervals hold for all arms and objectives together (Bonferroni): the test
knows nothing of items, so without that the best of many arms would be claimed.

A claim needs both: an interval without zero and a corrected p-value below 0.05. ``tests/scoring/test_answers.py`` shows
by simulation that an arm without an effect is claimed in at most 5% of studies, and that the intervals hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..choices import MEASURES
from .columns import over_sources
from .intervals import SIGNIFICANT
from .many_systems import holm
from .paired_statistics import RESAMPLES, crossed_interval, seeds_needed, sign_flips, student
from .statistics import too_few
from .units import Units, Values

MEAN = "mean"
"""Column of the mean over sources."""


@dataclass(frozen=True)
class Pairs:
    """An arm and its control, trained in pairs.

    Attributes:
        arm: name of the arm.
        control: name of what it is compared with.
        arm_scores: ``[seed, item, source]``, finite where the measure is defined.
        control_scores: the same of the control, on the same seeds and items.
        units: what the items were cut from; None: each item is a unit.
    """

    arm: str
    control: str
    arm_scores: Values
    control_scores: Values
    units: Units | None = None


@dataclass(frozen=True)
class Question:
    """An objective by which arms are compared.

    Attributes:
        metric: name of its measure, a key of ``MEASURES``.
        column: source that claims are about, or ``MEAN``.
        pairs: scores on the test split.
    """

    metric: str
    column: str
    pairs: Sequence[Pairs]


@dataclass(frozen=True)
class Effect:
    """Difference of an arm to its control, for one source or the mean over sources.

    Attributes:
        difference: mean over seeds and items of arm minus control.
        low: lower end of its 95% interval over seeds and units, for all arms together; None with too few seeds or a
            single unit.
        high: upper end of that interval.
        control: mean score of the control.
        p: two-sided p-value of the sign-flip test over seeds.
        p_holm: the same after Holm's correction over the arms.
    """

    difference: float
    low: float | None
    high: float | None
    control: float
    p: float
    p_holm: float

    @property
    def excludes_zero(self) -> bool:
        """Say whether there is an interval, and zero is not in it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Contrast:
    """Comparison of an arm with its control, over their pairs.

    Attributes:
        arm: name of the arm.
        control: name of its control.
        seeds: number of pairs.
        items: number of test items.
        effects: effects by source, and for the mean over sources (``MEAN``).
        claim: whether interval and test both show a difference in the answer's column.
        items_decide: whether the seeds agree on a difference, but there are too few units to show it for other units.
        seeds_needed: number of seeds that would show a difference like this one with a probability of 80%; None if that
            is more than ``MOST_SEEDS``, and for a claim.
        cut_from: what the test items were cut from, in words (``Units.words``); empty where the task does not say.
        too_few: sentence that there are too few recordings for any claim; empty where there are enough.
    """

    arm: str
    control: str
    seeds: int
    items: int
    effects: Mapping[str, Effect]
    claim: bool
    items_decide: bool
    seeds_needed: int | None
    cut_from: str = ""
    too_few: str = ""


@dataclass(frozen=True)
class Importance:
    """The setting that explains most of the differences between the trials of a search.

    Attributes:
        name: name of the hyperparameter.
        share: its share of the explained variance, 0 to 1.
    """

    name: str
    share: float


@dataclass(frozen=True)
class Answer:
    """A study's answer to its question; ``str`` of an answer is its sentence.

    Attributes:
        metric: name of the measure, a key of ``MEASURES``.
        column: source that claims are about, or ``MEAN``.
        contrasts: one for each arm and its control; empty for a study without arms.
        importance: the setting that matters most; None where that cannot be estimated.
        sentence: the answer as one paragraph, from ``answer_words.with_sentence``.
        others: answers by the other objectives of the study, with its contrasts alone.
    """

    metric: str
    column: str
    contrasts: tuple[Contrast, ...]
    importance: Importance | None = None
    sentence: str = ""
    others: tuple[Answer, ...] = ()

    @property
    def parts(self) -> tuple[Answer, ...]:
        """Answers by each objective, this one first."""
        return (self, *self.others)

    @property
    def tests(self) -> int:
        """Number of differences that are tested together, and whose intervals hold together: arms times objectives."""
        return sum(len(part.contrasts) for part in self.parts)

    @property
    def leading(self) -> Contrast | None:
        """The contrast that the answer begins with: the claim with the largest gain, else the one nearest to a claim.

        A gain is a change for the better. Claims of a loss come after claims of a gain and before everything else.
        """
        sign = -1.0 if MEASURES[self.metric].direction == "minimize" else 1.0

        def rank(contrast: Contrast) -> tuple[bool, float, float]:
            effect = contrast.effects[self.column]
            gain = sign * effect.difference
            return not contrast.claim, -gain if contrast.claim else effect.p_holm, -abs(effect.difference)

        return min(self.contrasts, key=rank, default=None)

    def __str__(self) -> str:
        return self.sentence

    def plain(self) -> dict[str, Any]:
        """Return the answer as JSON values, which ``restored`` reads."""
        contrasts = [asdict(contrast) for contrast in self.contrasts]
        return {**asdict(self), "contrasts": contrasts, "others": [other.plain() for other in self.others]}

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Answer:
        """Return the answer that ``plain`` described."""
        contrasts = tuple(
            Contrast(**{**contrast, "effects": {name: Effect(**e) for name, e in contrast["effects"].items()}})
            for contrast in values["contrasts"]
        )
        importance = values["importance"]
        found = Importance(importance["name"], importance["share"]) if importance else None
        others = tuple(cls.restored(other) for other in values.get("others", ()))
        return cls(values["metric"], values["column"], contrasts, found, values["sentence"], others)


def compare(
    pairs: Sequence[Pairs], metric: str, sources: Sequence[str], column: str = MEAN, resamples: int = RESAMPLES
) -> tuple[Contrast, ...]:
    """Compare arms with their controls by one measure.

    Args:
        pairs: scores on the test split; arms without pairs are left out.
        metric: name of the measure, a key of ``MEASURES``.
        sources: names of the sources, in the order of the last axis of the scores.
        column: source that claims are about, or ``MEAN``.
        resamples: number of bootstrap resamples.
    """
    return compare_all([Question(metric, column, pairs)], sources, resamples)[0]


def compare_all(
    questions: Sequence[Question], sources: Sequence[str], resamples: int = RESAMPLES
) -> list[tuple[Contrast, ...]]:
    """Compare arms with their controls by several objectives, corrected for all of them together.

    Args:
        questions: the objectives and their scores; arms without pairs are left out.
        sources: names of the sources, in the order of the last axis of the scores.
        resamples: number of bootstrap resamples.

    Returns:
        the contrasts of each objective; of several objectives they have the effect in the objective's own column alone.
    """
    asked = [(q, [pair for pair in q.pairs if len(pair.arm_scores)]) for q in questions]
    together = sum(len(pairs) for _, pairs in asked)
    tables = []
    for q, pairs in asked:
        columns = [_columns(pair, q.metric, sources) for pair in pairs]
        tables.append([{q.column: table[q.column]} for table in columns] if len(questions) > 1 else columns)
    p_values = {
        (i, k, name): float(sign_flips((arm - control).mean(1)))
        for i, by_pair in enumerate(tables)
        for k, table in enumerate(by_pair)
        for name, (arm, control) in table.items()
    }
    # Claims are about the objectives' columns. Any other column, of a single objective, has a correction of its own.
    families: dict[str, dict[str, float]] = {}
    for (i, k, name), p in p_values.items():
        families.setdefault("" if name == questions[i].column else name, {})[f"{i} {k}"] = p
    corrected = {name: holm(values) for name, values in families.items()}
    found = []
    for i, (q, pairs) in enumerate(asked):
        contrasts = []
        for k, (pair, table) in enumerate(zip(pairs, tables[i], strict=True)):
            effects = {}
            for name, (arm, control) in table.items():
                low, high = crossed_interval(arm - control, together, resamples, pair.units) or (None, None)
                p_holm = corrected["" if name == q.column else name][f"{i} {k}"]
                middle, level = float((arm - control).mean()), float(control.mean())
                effects[name] = Effect(middle, low, high, level, p_values[i, k, name], p_holm)
            arm, control = table[q.column]
            contrasts.append(_contrast(pair, arm - control, effects, q.column, together))
        found.append(tuple(contrasts))
    return found


def _columns(pair: Pairs, metric: str, sources: Sequence[str]) -> dict[str, tuple[Values, Values]]:
    """Return scores ``[seed, item]`` of arm and control by source, and their mean over sources.

    A source that the measure is not defined for has no column.
    """
    columns = {name: (pair.arm_scores[..., k], pair.control_scores[..., k]) for k, name in enumerate(sources)}
    columns = {name: both for name, both in columns.items() if not np.isnan(both[1]).all()}
    seeds, items, count = pair.arm_scores.shape
    arm, control = (
        over_sources(metric, scores.reshape(-1, count)).reshape(seeds, items)
        for scores in (pair.arm_scores, pair.control_scores)
    )
    return {MEAN: (arm, control), **columns}


def _contrast(pair: Pairs, differences: Values, effects: Mapping[str, Effect], column: str, arms: int) -> Contrast:
    """Return the effect that the differences ``[seed, item]`` of a pair's column show."""
    effect, (seeds, items) = effects[column], differences.shape
    units = pair.units or Units.each(items)
    few = too_few(units, arms) if units.told else ""
    shown = effect.excludes_zero and effect.p_holm < SIGNIFICANT
    claim = shown and not few
    each = differences.mean(1)
    items_decide = effect.p_holm < SIGNIFICANT and not claim and student(each) < SIGNIFICANT
    needed = None if claim or items_decide else seeds_needed(each, arms)
    words = units.words if units.told else ""
    return Contrast(pair.arm, pair.control, seeds, items, effects, claim, items_decide, needed, words, few)
