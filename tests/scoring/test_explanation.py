"""Ablation paths: differences over paired seeds, shares of the gain, and every word that is said of them."""

import dataclasses
import json

import pytest
from scipy import stats

from sepray.scoring import explanation_words
from sepray.scoring.explanation import Change, Explanation, Gap, explained, gap, of_result

BETA = Change("beta", 0.1, 0.0123456, {})
RATE = Change("rate", 1e-05, 0.002, {})
ARM = Change("arm", "plain", "CASS", {"adversarial": (0, 1), "beta": (None, 0.3), "cross.a_to_b": (0.5, 0.0)})
FIRST = {1: 0.90, 2: 0.92, 3: 0.91}
AFTER_RATE = {1: 0.30, 2: 0.33, 3: 0.31}
AFTER_BETA = {1: 0.31, 2: 0.31, 3: 0.32}
LAST = {1: 0.21, 2: 0.22, 3: 0.23}


def path(*steps, first=FIRST, direction="minimize", **changes) -> Explanation:
    start = "the published settings 'CASS'"
    made = explained("CASS", start, "relative L2 error", direction, "greedy", 3, 12, first, steps)
    return dataclasses.replace(made, **changes)


PATH = path((RATE, AFTER_RATE), (BETA, AFTER_BETA), (ARM, LAST))


def test_gap_is_paired_and_its_interval_is_students():
    found = gap(AFTER_BETA, LAST)
    interval = stats.ttest_rel([0.21, 0.22, 0.23], [0.31, 0.31, 0.32]).confidence_interval(0.95)
    assert found.difference == pytest.approx(-0.28 / 3)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.beyond_seeds


@pytest.mark.parametrize(
    ("second", "expected", "beyond", "nothing"),
    [
        (FIRST, Gap(0.0, 0.0, 0.0), False, True),
        ({1: 0.5}, Gap(pytest.approx(-0.4), None, None), False, False),
        ({7: 0.5}, None, None, None),
        ({}, None, None, None),
        ({seed: value - 0.5 for seed, value in {1: 0.75, 2: 1.0}.items()}, Gap(-0.5, -0.5, -0.5), True, False),
    ],
)
def test_gap_of_few_seeds_equal_values_and_failures(second, expected, beyond, nothing):
    first = {1: 0.75, 2: 1.0} if len(second) == 2 else FIRST
    found = gap(first, second)
    assert found == expected
    if found is not None:
        assert (found.beyond_seeds, found.is_nothing) == (beyond, nothing)


def test_shares_add_up_and_have_the_sign_of_the_whole():
    shares = [step.share for step in PATH.steps]
    assert shares == pytest.approx([0.5966666 / 0.69, 0.0, 0.0933333 / 0.69], abs=1e-4)
    assert sum(shares) == pytest.approx(1.0)
    first = PATH.steps[0]  # each seed's own part: 0.60 of 0.69, 0.59 of 0.70 and 0.60 of 0.68
    assert (first.least, first.most) == pytest.approx((0.59 / 0.70, 0.60 / 0.68))
    back = path((RATE, {1: 0.1, 2: 0.12, 3: 0.11}), (BETA, LAST))
    assert [step.share for step in back.steps] == pytest.approx([0.8 / 0.69, -0.11 / 0.69])


def test_whole_within_the_spread_has_no_shares():
    noisy = path((RATE, AFTER_RATE), (BETA, {1: 0.95, 2: 0.85, 3: 0.95}))
    assert [step.share for step in noisy.steps] == [None, None]
    assert explanation_words.sentence(noisy) == (
        "From the published settings 'CASS' to the champion's settings, relative L2 error on validation changed by "
        "+0.007 [-0.159, +0.172], within the seeds' spread (3 seeds of 12 epochs): no setting can be said to have "
        "earned a part of it."
    )
    rows = explanation_words.table(noisy)[1]
    assert [row[3] for row in rows] == ["", "better", "worse", "within the seeds' spread"]


def test_path_is_kept_as_json_and_read_again():
    kept = json.loads(json.dumps(PATH.plain()))
    assert Explanation.restored(kept) == PATH
    assert of_result({"explanation": kept}) == PATH
    assert of_result({"rows": []}) is None
    assert of_result(None) is None


def test_seeds_whose_ends_differ_in_sign_have_no_range():
    many = dict.fromkeys(range(20), 0.9)
    last = dict.fromkeys(range(19), 0.5) | {19: 0.95}
    [step] = path((RATE, last), first=many).steps
    assert (step.share, step.least, step.most) == (1.0, None, None)


def test_path_of_an_older_version_has_no_ranges():
    kept = json.loads(json.dumps(PATH.plain()))
    for step in kept["steps"]:
        del step["least"], step["most"]
    restored = Explanation.restored(kept)
    assert "86% of the gain came with rate" in explanation_words.sentence(restored)
