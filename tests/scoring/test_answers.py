"""Claims about arms: planted effects are found, planted nulls are not, and the intervals hold."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from sepray.scoring.answers import (
    Answer,
    Contrast,
    Effect,
    Importance,
    Pairs,
    compare,
)
from sepray.scoring.intervals import SIGNIFICANT, fewest
from sepray.scoring.many_systems import holm
from sepray.scoring.paired_statistics import crossed_interval, seeds_needed, sign_flips
from sepray.scoring.units import Units

SOURCES = ("maternal", "fetal")
SEED_EFFECT = 0.01  # what the seed alone changes; most of it is common to a pair
EFFECT_OF_PAIR = 0.002


def scores(random: np.random.Generator, seeds: int, items: int = 30) -> np.ndarray:
    """Errors ``[seed, item, source]`` of a control: items differ, and seeds."""
    common = 0.25 + random.normal(0, 0.03, (1, items, 2)) + random.normal(0, SEED_EFFECT, (seeds, 1, 1))
    return common + random.normal(0, 0.005, (seeds, items, 2))


def arm_of(random: np.random.Generator, control: np.ndarray, effect: float = 0.0) -> np.ndarray:
    """The scores of an arm trained beside a control; the effect differs by pair and by item."""
    seeds, items, _ = control.shape
    of_pair = random.normal(0, EFFECT_OF_PAIR, (seeds, 1, 1))
    of_item = random.normal(0, EFFECT_OF_PAIR, (1, items, 1))
    return control + effect + of_pair + of_item + random.normal(0, 0.005, control.shape)


def study(seed: int, *effects: float, seeds: int = 8) -> tuple[Contrast, ...]:
    random = np.random.default_rng(seed)
    control = scores(random, seeds)
    pairs = [Pairs(f"arm {k}", "control", arm_of(random, control, e), control) for k, e in enumerate(effects)]
    return compare(pairs, "relative_l2", SOURCES, resamples=999)


def test_planted_effect_is_found_with_its_size():
    for seed in range(5):
        lower, null = study(seed, -0.008, 0.0)
        found = lower.effects["mean"]
        assert lower.claim
        assert found.low < found.difference < found.high < 0
        assert found.low < -0.008 < found.high
        assert found.p_holm == pytest.approx(2 * 2 / 2**8)  # all eight pairs agree; two arms
        assert (lower.seeds, lower.items, lower.seeds_needed) == (8, 30, None)
        assert not null.claim


def test_planted_null_is_claimed_in_at_most_a_twentieth_of_studies():
    """Three arms without an effect, 1,500 studies. The test, which knows no other items, finds more than is claimed."""
    random, count, arms, claims = np.random.default_rng(1), 1500, 3, 0
    of_pair = random.normal(0, EFFECT_OF_PAIR, (8, count, arms, 1)) + random.normal(0, 0.001, (8, count, arms, 20))
    differences = of_pair + random.normal(0, EFFECT_OF_PAIR, (1, count, arms, 20))
    p_values = sign_flips(differences.mean(-1))
    corrected = [holm({str(k): p for k, p in enumerate(row)}) for row in p_values]
    found = [(study, int(k)) for study, row in enumerate(corrected) for k, p in row.items() if p < SIGNIFICANT]
    for study in {study for study, _ in found}:  # only what the test finds needs an interval
        intervals = [crossed_interval(differences[:, study, k], arms, 999) for s, k in found if s == study]
        claims += any(low > 0 or high < 0 for low, high in intervals)
    limit = stats.binom.ppf(0.95, count, 0.05) / count
    assert len({study for study, _ in found}) / count > 0.05
    assert claims / count <= limit


@pytest.mark.parametrize(
    ("seeds", "items", "of_seed", "of_item"),
    [(6, 30, 0.01, 0.02), (8, 30, 0.01, 0.0), (8, 30, 0.002, 0.05), (12, 15, 0.01, 0.02)],
)
def test_interval_holds_the_true_difference(seeds, items, of_seed, of_item):
    """Over seeds and items that are both drawn anew; at least 95%, less what 300 simulations may miss by chance."""
    random, count, held = np.random.default_rng(2), 300, 0
    for _ in range(count):
        differences = 0.004 + random.normal(0, of_seed, (seeds, 1)) + random.normal(0, of_item, (1, items))
        low, high = crossed_interval(differences + random.normal(0, 0.02, (seeds, items)), resamples=499)
        held += low <= 0.004 <= high
    assert held / count >= stats.binom.ppf(0.005, count, 0.95) / count


def test_interval_over_items_alone_would_be_too_short():
    """Therefore seeds are resampled too: over items alone, a claim would hold for these eight seeds only."""
    differences = np.random.default_rng(3).normal(0, 0.01, (8, 1)) + np.zeros((1, 200))
    low, high = crossed_interval(differences)
    deviation = differences.mean(1).std(ddof=1)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 7) * deviation / math.sqrt(8), rel=0.15)


@pytest.mark.parametrize(("shape", "arms"), [((5, 30), 1), ((8, 1), 1), ((1, 30), 1), ((7, 30), 4)])
def test_too_few_seeds_or_items_have_no_interval(shape, arms):
    assert crossed_interval(np.random.default_rng(0).normal(1, 0.1, shape), arms) is None


@pytest.mark.parametrize("arms", range(1, 9))
def test_fewest_are_what_the_test_needs_after_holm(arms):
    least = fewest(arms)
    assert arms * 2 / 2**least < SIGNIFICANT <= arms * 2 / 2 ** (least - 1)
    assert crossed_interval(np.random.default_rng(0).normal(1, 0.1, (least, 3)), arms) is not None


def test_intervals_of_several_arms_are_wider_because_they_hold_together():
    differences = np.random.default_rng(0).normal(1, 0.1, (10, 30))
    [alone, together] = (crossed_interval(differences, arms) for arms in (1, 4))
    assert together[0] < alone[0] < alone[1] < together[1]


def test_equal_differences_have_an_interval_without_width():
    assert crossed_interval(np.full((6, 4), -0.25)) == (-0.25, -0.25)


def test_items_that_all_agree_have_an_interval_too():
    """BCa is not defined where leaving one item out changes nothing; the interval is then that over seeds."""
    differences = np.repeat(np.linspace(-1, 2, 8)[:, None], 5, axis=1)
    low, high = crossed_interval(differences)
    assert low < differences.mean() < high


def test_five_seeds_can_never_claim():
    control = scores(np.random.default_rng(0), 5)
    [found] = compare([Pairs("a", "c", control - 0.1, control)], "relative_l2", SOURCES)
    assert found.effects["mean"] == Effect(pytest.approx(-0.1), None, None, control.mean(), 2 / 2**5, 2 / 2**5)
    assert not found.claim
    assert found.seeds_needed == 6


def test_sources_have_their_own_differences_and_the_named_one_is_claimed():
    random = np.random.default_rng(4)
    control = scores(random, 8)
    shift = np.array([0.0, -0.02])
    pair = Pairs("a", "c", arm_of(random, control) + shift, control)
    [of_mean], [of_maternal] = (compare([pair], "relative_l2", SOURCES, c) for c in ("mean", "maternal"))
    assert list(of_mean.effects) == ["mean", "maternal", "fetal"]
    assert of_mean.claim
    assert not of_maternal.claim
    differences = (pair.arm_scores - control).mean((0, 1))
    assert [of_mean.effects[s].difference for s in SOURCES] == pytest.approx(list(differences))
    assert of_mean.effects["mean"].difference == pytest.approx(differences.mean())
    assert of_mean.effects["fetal"].control == pytest.approx(control[..., 1].mean())


def test_source_without_the_measure_has_no_difference():
    control = scores(np.random.default_rng(5), 6)
    control[..., 0] = np.nan
    [found] = compare([Pairs("a", "c", control + 3.0, control)], "heart_rate_error", SOURCES)
    assert list(found.effects) == ["mean", "fetal"]
    assert found.effects["mean"].difference == pytest.approx(3.0)


def test_holm_corrects_over_the_arms_with_pairs():
    control = scores(np.random.default_rng(6), 6)
    none = Pairs("never finished", "c", control[:0], control[:0])
    pairs = [Pairs("a", "c", control - 0.1, control), Pairs("b", "c", control - 0.1, control), none]
    found = compare(pairs, "relative_l2", SOURCES)
    assert [c.arm for c in found] == ["a", "b"]
    assert [c.effects["mean"].p_holm for c in found] == [4 / 2**6, 4 / 2**6]
    assert not any(c.claim for c in found)  # six seeds are too few for two arms
    assert [c.seeds_needed for c in found] == [7, 7]


def test_items_that_disagree_are_named_and_more_seeds_are_not_advised():
    """An effect in half of the items: every seed shows it, and other items might not."""
    random = np.random.default_rng(7)
    control = scores(random, 8, items=4)
    shift = np.array([-0.03, -0.02, 0.02, 0.01])[None, :, None]
    arm = control + shift + random.normal(0, 0.001, (8, 1, 1))
    [found] = compare([Pairs("a", "c", arm, control)], "relative_l2", SOURCES)
    assert found.effects["mean"].p_holm < SIGNIFICANT
    assert not found.claim
    assert found.items_decide
    assert found.seeds_needed is None


def test_seeds_needed_find_the_effect_in_four_of_five_studies():
    random = np.random.default_rng(8)
    observed = np.array([0.2, 1.4, -0.6, 0.9, -0.1, 1.2])
    needed = seeds_needed(observed)
    drawn = random.normal(observed.mean(), observed.std(ddof=1), (4000, needed))
    found = (stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < SIGNIFICANT).mean()
    assert found == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("differences", "arms", "needed"),
    [
        ([0.5], 1, 6),  # no spread is known: what the test needs
        ([0.5, 0.5, 0.5], 1, 6),
        ([0.5, 0.5, 0.5], 4, 8),  # 4 x 2 / 2^8 < 0.05
        ([0.5] * 9, 1, 10),
        ([1.0, -1.0], 1, None),
        ([1.0, -0.9, 1.0, -0.9], 1, None),  # beyond two hundred
    ],
)
def test_seeds_needed_at_the_edges(differences, arms, needed):
    assert seeds_needed(np.array(differences), arms) == needed


def contrast(arm: str, difference: float, p: float, claim: bool) -> Contrast:
    effect = Effect(difference, difference - 0.1, difference + 0.1, 1.0, p, p)
    return Contrast(arm, "c", 8, 30, {"mean": effect}, claim, False, None)


@pytest.mark.parametrize(
    ("contrasts", "leading"),
    [
        ([contrast("small", -0.2, 0.01, True), contrast("large", -0.5, 0.02, True)], "large"),
        ([contrast("worse", 0.9, 0.01, True), contrast("better", -0.2, 0.02, True)], "better"),
        ([contrast("worse", 0.9, 0.01, True), contrast("near", -0.9, 0.06, False)], "worse"),
        ([contrast("far", -0.9, 0.5, False), contrast("near", -0.1, 0.06, False)], "near"),
        ([], None),
    ],
)
def test_answer_begins_with_the_arm_that_matters_most(contrasts, leading):
    found = Answer("relative_l2", "mean", tuple(contrasts)).leading
    assert (found and found.arm) == leading


def test_more_is_a_gain_where_the_measure_is_maximised():
    contrasts = (contrast("less", -0.5, 0.01, True), contrast("more", 0.2, 0.01, True))
    assert Answer("si_sdr", "mean", contrasts).leading.arm == "more"


def test_tests_are_the_arms_of_every_objective():
    one = Answer("si_sdr", "mean", (contrast("less", -0.5, 0.01, True), contrast("more", 0.2, 0.01, True)))
    answer = Answer("relative_l2", "mean", one.contrasts, others=(one, Answer("si_sdr", "mean", one.contrasts[:1])))
    assert [part.tests for part in (answer, one, Answer("si_sdr", "mean", ()))] == [5, 2, 0]
    assert answer.parts == (answer, *answer.others)


def test_answer_is_read_back_from_json():
    answer = Answer("relative_l2", "mean", study(0, -0.008, 0.0), Importance("learning_rate", 0.5), "What was told.")
    assert Answer.restored(json.loads(json.dumps(answer.plain()))) == answer
    assert str(answer) == "What was told."
    alone = Answer("si_sdr", "fetal", ())
    assert Answer.restored(json.loads(json.dumps(alone.plain()))) == alone


def test_pieces_are_resampled_with_the_seeds():
    """Thirty crops of ten pieces: the interval is wider than one over crops, and two pieces are no claim."""
    random = np.random.default_rng(8)
    control = scores(random, 8)
    of_piece = random.normal(0, 0.01, (1, 10, 1))[:, np.arange(30) % 10]
    arm = arm_of(random, control, -0.02) + of_piece
    found = {}
    for pieces in (2, 10, 30):
        units = Units(tuple((f"piece {k % pieces}",) for k in range(30)), ("pieces",))
        [found[pieces]] = compare([Pairs("a", "c", arm, control, units)], "relative_l2", SOURCES, resamples=1999)
    widths = {pieces: c.effects["mean"].high - c.effects["mean"].low for pieces, c in found.items()}
    assert widths[10] > 1.3 * widths[30]
    assert (found[10].claim, found[10].cut_from, found[10].too_few) == (True, "10 pieces", "")
    assert (found[2].claim, found[2].too_few) == (False, "too few pieces to say anything (2)")
    assert Answer.restored(Answer("relative_l2", "mean", (found[2],)).plain()).contrasts == (found[2],)
