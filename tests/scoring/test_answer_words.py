"""The sentences of answers, word by word, and the tables."""

import dataclasses

import pytest

from sepray.scoring import answer_words
from sepray.scoring.answers import Answer, Contrast, Effect, Importance


def contrast(arm="CASS", control="no adversaries", claim=False, needed=None, items_decide=False, seeds=8, **effects):
    given = effects or {"mean": Effect(-0.00025, -0.001, 0.0005, 0.25, 0.25, 0.5)}
    return Contrast(arm, control, seeds, 50, given, claim, items_decide, needed)


def answer(*contrasts, metric="relative_l2", column="mean", importance=None) -> Answer:
    return Answer(metric, column, contrasts, importance)


LOWER = Effect(-0.00775, -0.013, -0.0025, 0.25, 0.008, 0.016)
HIGHER = Effect(0.42, 0.1, 0.7, 8.0, 0.008, 0.016)
CASES = {
    "no effect": (
        answer(contrast(needed=40), importance=Importance("learning_rate", 0.73)),
        "CASS changed the relative L2 error by -0.1% [-0.4%, +0.2%] against no adversaries: no effect that 8 seeds "
        "can show; "
        "about 40 seeds would decide. What matters most is learning_rate: it explains 73% of what trials differ by.",
    ),
    "no effect within reason": (
        answer(contrast()),
        "CASS changed the relative L2 error by -0.1% [-0.4%, +0.2%] against no adversaries: no effect that 8 seeds "
        "can show; "
        "more than 200 would be needed.",
    ),
    "a gain, of two arms": (
        answer(contrast(), contrast("cross maternal to fetal", claim=True, mean=LOWER)),
        "Cross maternal to fetal lowered the relative L2 error by 3.1% [1.0%, 5.2%] against no adversaries (8 seeds, "
        "50 test "
        "items, p 0.016 after Holm). The other arm shows no effect.",
    ),
    "a gain, of two arms that both have one": (
        answer(contrast(claim=True), contrast("cross maternal to fetal", claim=True, mean=LOWER)),
        "Cross maternal to fetal lowered the relative L2 error by 3.1% [1.0%, 5.2%] against no adversaries (8 seeds, "
        "50 test items, p 0.016 after Holm). There is an effect of CASS too.",
    ),
    "no effect of three arms": (
        answer(contrast(), contrast("cross all"), contrast("cross fetal to maternal")),
        "CASS changed the relative L2 error by -0.1% [-0.4%, +0.2%] against no adversaries: no effect that 8 seeds "
        "can show; more than 200 would be needed. The other 2 arms come no closer to an effect.",
    ),
    "a gain, of one source": (
        answer(contrast(claim=True, fetal=LOWER), column="fetal"),
        "CASS lowered the fetal relative L2 error by 3.1% [1.0%, 5.2%] against no adversaries (8 seeds, 50 test items, "
        "p 0.016).",
    ),
    "a gain in decibels, never in percent": (
        answer(contrast(claim=True, mean=HIGHER), metric="si_sdr"),
        "CASS raised the SI-SDR by 0.42 dB [0.10, 0.70] against no adversaries (8 seeds, 50 test items, p 0.016).",
    ),
    "a loss": (
        answer(contrast(claim=True, mean=HIGHER), metric="heart_rate_error"),
        "CASS raised the heart rate error by 0.42 bpm [0.10, 0.70] against no adversaries (8 seeds, 50 test items, "
        "p 0.016); it separates worse than no adversaries.",
    ),
    "too few items": (
        answer(contrast(items_decide=True)),
        "CASS changed the relative L2 error by -0.1% [-0.4%, +0.2%] against no adversaries: the 8 seeds agree, but "
        "the 50 test "
        "items do not; more items would decide.",
    ),
    "two seeds": (
        answer(contrast(needed=31, seeds=2)),
        "CASS changed the relative L2 error by -0.1% [-0.4%, +0.2%] against no adversaries: no effect that 2 seeds can "
        "show; a claim needs 6 at the least.",
    ),
    "no interval": (
        answer(contrast(needed=6, mean=Effect(-0.00775, None, None, 0.25, 0.25, 0.25))),
        "CASS changed the relative L2 error by -3.1% against no adversaries: no effect that 8 seeds can show; about 6 "
        "seeds "
        "would decide.",
    ),
    "the same": (
        answer(contrast(mean=Effect(0.0, 0.0, 0.0, 0.25, 1.0, 1.0))),
        "CASS and no adversaries gave the same relative L2 error on 8 seeds.",
    ),
    "settings alone": (
        answer(importance=Importance("beta", 0.5)),
        "What matters most is beta: it explains 50% of what trials differ by.",
    ),
    "arms alone": (
        answer(importance=Importance("arm", 0.5)),
        "What matters most is the arm: it explains 50% of what trials differ by.",
    ),
    "nothing": (answer(), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_sentence(case):
    given, expected = CASES[case]
    assert answer_words.sentence(given) == expected


@pytest.mark.parametrize(
    ("effect", "metric", "shown"),
    [
        (Effect(-0.0001, -0.0002, 0.00001, 0.25, 1, 1), "relative_l2", "-0.04% [-0.08%, 0.00%]"),
        (Effect(-0.00000, -0.0002, 0.0002, 0.25, 1, 1), "relative_l2", "0.00% [-0.08%, +0.08%]"),
        (Effect(0.1, 0.05, 0.15, 0.0, 1, 1), "relative_l2", "+0.100 [+0.050, +0.150]"),  # no percent of nothing
        (Effect(0.02, 0.01, 0.03, 0.9, 1, 1), "ssim", "+0.020 [+0.010, +0.030]"),
        (Effect(-0.000001, -0.000002, 0.0, 0.25, 1, 1), "relative_l2", "0.00% [0.00%, 0.00%]"),
        (Effect(0.5, None, None, 8.0, 1, 1), "psnr", "+0.50 dB"),
        (Effect(0.00001, None, None, 0.25, 1, 1), "relative_l2", "0.0%"),  # no digits that nothing vouches for
    ],
)
def test_differences_have_the_digits_that_their_interval_needs(effect, metric, shown):
    assert answer_words.change(effect, metric) == shown


def test_table_has_a_row_for_each_arm():
    sources = {"mean": LOWER, "maternal": LOWER, "fetal": HIGHER}
    given = answer(contrast("a", claim=True, **sources), contrast("b", mean=LOWER, fetal=HIGHER))
    columns, rows = answer_words.table(given, gap="\n")
    assert columns == ["arm", "mean", "maternal", "fetal", "p", "claim"]
    lower, higher = "-3.1%\n[-5.2, -1.0]", "+5.2%\n[+1.2, +8.8]"
    assert rows == [["a", lower, lower, higher, "0.016", "yes"], ["b", lower, "-", higher, "0.016", "no"]]
    assert answer_words.title(given) == "relative L2 error on the test split: difference to no adversaries"
    assert answer_words.caption(given) == (
        "8 pairs of trainings at the same settings and seed, 50 test items [95% interval over both, for all arms "
        "together]; p: exact sign-flip test over seeds, for the mean over sources, corrected by Holm; less is better"
    )


def test_caption_says_what_an_interval_would_need():
    without = {"mean": Effect(0.1, None, None, 0.25, 0.25, 1.0)}
    several = answer(*(contrast(f"arm {k}", **without) for k in range(4)))
    assert "50 test items (an interval needs 8 pairs); p: exact" in answer_words.caption(several)


def test_arms_with_controls_of_their_own_name_them():
    given = answer(contrast("trial 7", "without L1"), contrast("trial 7", "without rescaling"))
    _, rows = answer_words.table(given)
    assert [row[0] for row in rows] == ["trial 7 against without L1", "trial 7 against without rescaling"]
    assert answer_words.title(given).endswith("difference to their controls")


def test_markdown_has_title_rows_and_caption():
    given = answer(contrast(), metric="relative_l2")
    assert answer_words.markdown(given) == (
        "**relative L2 error on the test split: difference to no adversaries**\n\n"
        "| arm | mean | p | claim |\n| --- | ---: | ---: | ---: |\n| CASS | -0.1% [-0.4, +0.2] | 0.5 | no |\n\n"
        "8 pairs of trainings at the same settings and seed, 50 test items [95% interval over both]; p: exact "
        "sign-flip test over seeds, for the mean over sources; less is better"
    )


def test_several_objectives_are_rows_with_their_own_units():
    second = answer(contrast(claim=True, fetal=HIGHER), metric="si_sdr", column="fetal")
    both = dataclasses.replace(answer(contrast()), others=(second,))
    assert answer_words.sentence(both).endswith(
        "CASS raised the fetal SI-SDR by 0.42 dB [0.10, 0.70] against no adversaries (8 seeds, 50 test items, p 0.016 "
        "after Holm)."
    )
    assert answer_words.table(both) == (
        ["arm", "objective", "difference", "p", "claim"],
        [
            ["CASS", "relative L2 error", "-0.1% [-0.4%, +0.2%]", "0.5", "no"],
            ["CASS", "fetal SI-SDR", "+0.42 dB [+0.10, +0.70]", "0.016", "yes"],
        ],
    )
    assert answer_words.title(both) == "All objectives on the test split: difference to no adversaries"
    assert answer_words.caption(both) == (
        "8 pairs of trainings at the same settings and seed, 50 test items [95% interval over both, for all rows "
        "together]; p: exact sign-flip test over seeds, corrected by Holm; of the relative L2 error less is "
        "better, of the SI-SDR more"
    )


def test_answer_names_what_its_items_were_cut_from():
    told = dataclasses.replace(contrast(claim=True, mean=LOWER), cut_from="15 x 15 recordings")
    assert answer_words.sentence(answer(told)).startswith(
        "CASS lowered the relative L2 error by 3.1% [1.0%, 5.2%] against no adversaries (8 seeds, 50 test items of "
        "15 x 15 recordings, p 0.016)"
    )
    caption = answer_words.caption(answer(told))
    assert "50 test items of 15 x 15 recordings [95% interval over seeds and recordings]; p" in caption
    undecided = dataclasses.replace(told, claim=False, items_decide=True)
    assert "15 x 15 recordings do not; more of them would decide." in answer_words.sentence(answer(undecided))


def test_answer_of_two_pieces_says_that_they_are_too_few():
    few = dataclasses.replace(contrast(mean=LOWER), cut_from="2 pieces", too_few="too few pieces to say anything (2)")
    assert answer_words.sentence(answer(few)) == (
        "CASS changed the relative L2 error by -3.1% [-5.2%, -1.0%] against no adversaries (8 seeds, 50 test items of "
        "2 pieces): too few pieces to say anything (2)."
    )
