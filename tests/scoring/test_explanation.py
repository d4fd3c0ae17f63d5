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


def test_sentence_names_what_is_beyond_the_seeds_the_largest_first():
    assert explanation_words.sentence(PATH) == (
        "From the published settings 'CASS' to the champion's settings, relative L2 error on validation fell from "
        "0.910 to 0.220 (3 seeds of 12 epochs). 86% (by seed 84% to 88%) of the gain came with rate 1e-05 -> "
        "0.002, 14% (by seed 13% to 14%) with arm plain -> CASS. What changed with beta stayed within the seeds' "
        "spread."
    )


def test_sentence_of_a_loss_and_of_a_measure_that_is_to_be_more():
    worse = path((RATE, AFTER_RATE), direction="maximize")
    assert "fell from 0.910 to 0.313 (3 seeds of 12 epochs). 100% of the loss came with rate 1e-05 -> 0.002." in (
        explanation_words.sentence(worse)
    )
    better = path((BETA, FIRST), first=AFTER_RATE, direction="maximize", epochs=1)
    assert "rose from 0.313 to 0.910 (3 seeds of 1 epoch). 100% of the gain came" in explanation_words.sentence(better)


def test_sentence_where_no_step_is_beyond_the_seeds_or_trainings_are_missing():
    halves = path((RATE, {1: 0.5, 2: 0.7, 3: 0.0}), (BETA, {1: 0.1, 2: 0.13, 3: 0.11}))
    assert [step.gap.beyond_seeds for step in halves.steps] == [False, False]
    assert explanation_words.sentence(halves).endswith("Every single step stayed within the seeds' spread.")
    failed = path((RATE, {}))
    assert (failed.last, failed.total) == (None, None)
    assert explanation_words.sentence(failed).endswith("cannot be compared: too few of the trainings have finished.")
    assert explanation_words.table(failed)[1][1:] == [
        ["rate 1e-05 -> 0.002", "-", "-", "failed"],
        ["all steps together", "-", "-", ""],
    ]


def test_table_has_a_row_for_each_step_with_verdicts():
    nothing = path((RATE, AFTER_RATE), (BETA, AFTER_RATE), (ARM, LAST))
    assert explanation_words.sentence(nothing).endswith("with arm plain -> CASS. Nothing changed with beta.")
    columns, rows = explanation_words.table(nothing)
    assert columns == ["step", "mean", "difference", "share"]
    assert [row[0] for row in rows] == [
        "the published settings 'CASS'",
        "rate 1e-05 -> 0.002",
        "beta 0.1 -> 0.01235",
        "arm plain -> CASS",
        "all steps together",
    ]
    assert rows[1][1:] == ["0.313", "-0.597 [-0.611, -0.582]", "86% (84% to 88%)"]
    assert rows[2][1:] == ["0.313", "0.000 [0.000, 0.000]", "changed nothing"]
    assert rows[4][1:] == ["0.220", "-0.690 [-0.715, -0.665]", ""]
    assert explanation_words.table(nothing, gap="\n")[1][1][2] == "-0.597\n[-0.611, -0.582]"


def test_caption_says_how_it_was_made_and_that_it_claims_nothing():
    text = explanation_words.caption(PATH)
    assert text.startswith("relative L2 error on validation, mean over 3 seeds of 12 epochs")
    assert "less is better" in text
    assert "changes one setting, the best of those that were left, by these very values." in text
    assert "another order may give other shares" in text
    assert text.endswith("The arm brings its settings: adversarial 0 -> 1, beta 0.3, cross.a_to_b 0.5 -> 0.")
    orders = {
        order: explanation_words.caption(dataclasses.replace(PATH, order=order)) for order in ("importance", "given")
    }
    assert "first the one that mattered most in the search" in orders["importance"]
    assert "in the order of the search space" in orders["given"]


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


def test_markdown_has_sentence_and_table():
    text = explanation_words.markdown(PATH)
    assert text.startswith(f"**Which setting earned what**\n\n{explanation_words.sentence(PATH)}\n\n| step | mean |")
    assert text.count("\n| ") == 7
