"""The words of an ablation path: whole sentences, cells and captions, of paths made by hand."""

from dataclasses import replace

import pytest

from sepray.scoring import explanation_words as words
from sepray.scoring.explanation import Change, Explanation, Gap, Step

RATE = Change("rate", 1e-05, 0.00212345, {})
BETA = Change("beta", 0.1, 3, {})
ARM = Change("arm", "plain", "CASS", {"adversarial": (0, 1), "beta": (None, 0.3)})
SURE, UNSURE, NOTHING = Gap(-0.5, -0.6, -0.4), Gap(-0.004, -0.05, 0.042), Gap(0.0, 0.0, 0.0)
STEPS = (
    Step(RATE, 0.5, SURE, 0.8, 0.75, 0.9),
    Step(BETA, 0.496, UNSURE, None),
    Step(ARM, 0.371, Gap(-0.125, -0.13, -0.12), 0.2, 0.2, 0.204),
)
PATH = Explanation("CASS", "the control", "error", "minimize", "given", 3, 12, 1.0, STEPS, Gap(-0.629, -0.7, -0.558))
ENDS = "From the control to the champion's settings, error on validation"


def test_sentence_and_caption_are_whole():
    assert words.sentence(PATH) == (
        f"{ENDS} fell from 1.000 to 0.371 (3 seeds of 12 epochs). 80% (by seed 75% to 90%) of the gain came with rate "
        "1e-05 -> 0.002123, 20% with arm plain -> CASS. What changed with beta stayed within the seeds' spread."
    )
    assert words.caption(PATH) == (
        "error on validation, mean over 3 seeds of 12 epochs, the same seeds in every step [95% interval of the "
        "difference over seeds]; share of the whole difference (its range over single seeds); less is better. Each "
        "step changes one setting, in the order of the search space. This describes one path: another order may give "
        "other shares. The arm brings its settings: adversarial 0 -> 1, beta 0.3."
    )
    alone = replace(PATH, seeds=1, epochs=1, direction="maximize", order="greedy", steps=STEPS[:2])
    assert words.caption(alone) == (
        "error on validation, mean over 1 seed of 1 epoch, the same seeds in every step [95% interval of the "
        "difference over seeds]; share of the whole difference (its range over single seeds); more is better. Each "
        "step changes one setting, the best of those that were left, by these very values. This describes one path: "
        "another order may give other shares."
    )


def test_sentence_names_the_largest_share_first_and_what_did_nothing_last():
    small, large = replace(STEPS[2], share=0.1), replace(STEPS[0], share=-0.9, least=None)
    idle = [Step(Change(name, 0, 1, {}), 0.5, NOTHING, None) for name in "abc"]
    idle.append(Step(Change("d", 0, 1, {}), None, None, None))
    assert words.sentence(replace(PATH, steps=(small, *idle, large))) == (
        f"{ENDS} fell from 1.000 to 0.500 (3 seeds of 12 epochs). -90% of the gain came with rate 1e-05 -> 0.002123, "
        "10% with arm plain -> CASS. What changed with d stayed within the seeds' spread. Nothing "
        "changed with a, b and c."
    )
    rose = replace(PATH, total=Gap(0.5, 0.4, 0.6), first=0.1)
    assert " rose from 0.100 to 0.371 " in words.sentence(rose)
    assert " of the loss came with " in words.sentence(rose)
    assert " of the gain came with " in words.sentence(replace(rose, direction="maximize"))
    assert " of the loss came with " in words.sentence(replace(PATH, direction="maximize"))


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"total": None}, " cannot be compared: too few of the trainings have finished."),
        ({"first": None}, " cannot be compared: too few of the trainings have finished."),
        (
            {"steps": (replace(STEPS[0], mean=None),)},
            " cannot be compared: too few of the trainings have finished.",
        ),
        (
            {"total": UNSURE, "steps": STEPS[1:2]},
            " changed by -0.00400 [-0.05000, +0.04200], within the seeds' spread (3 seeds of 12 epochs): no setting "
            "can be said to have earned a part of it.",
        ),
        (
            {"steps": (replace(STEPS[1], share=0.5), replace(STEPS[2], share=None), replace(STEPS[0], gap=None))},
            " fell from 1.000 to 0.500 (3 seeds of 12 epochs). Every single step stayed within the seeds' spread.",
        ),
    ],
)
def test_sentence_where_little_can_be_said(changes, end):
    assert words.sentence(replace(PATH, **changes)) == ENDS + end


def test_table_has_its_cells():
    assert words.table(PATH) == (
        ["step", "mean", "difference", "share"],
        [
            ["the control", "1.000", "", ""],
            ["rate 1e-05 -> 0.002123", "0.500", "-0.500 [-0.600, -0.400]", "80% (75% to 90%)"],
            ["beta 0.1 -> 3", "0.496", "-0.004 [-0.050, +0.042]", "within the seeds' spread"],
            ["arm plain -> CASS", "0.371", "-0.125 [-0.130, -0.120]", "20%"],
            ["all steps together", "0.371", "-0.629 [-0.700, -0.558]", ""],
        ],
    )
    rows = words.table(replace(PATH, total=UNSURE), "~")[1]
    assert rows[2] == ["beta~0.1 -> 3", "0.496", "-0.004~[-0.050, +0.042]", "within the~seeds' spread"]
    assert rows[4] == ["all steps together", "0.371", "-0.004~[-0.050, +0.042]", "within the~seeds' spread"]
    bare = words.table(replace(PATH, first=None, total=None, steps=(Step(RATE, None, None, None),)))[1]
    assert bare == [
        ["the control", "-", "", ""],
        ["rate 1e-05 -> 0.002123", "-", "-", "failed"],
        ["all steps together", "-", "-", ""],
    ]


@pytest.mark.parametrize(
    ("step", "direction", "said"),
    [
        (Step(RATE, None, None, None), "minimize", "failed"),
        (Step(RATE, 0.5, None, None), "minimize", "-"),
        (Step(RATE, 0.5, NOTHING, 0.3), "minimize", "changed nothing"),
        (Step(RATE, 0.5, UNSURE, 0.3), "minimize", "within the seeds' spread"),
        (Step(RATE, 0.5, Gap(-0.5, None, None), None), "minimize", "within the seeds' spread"),
        (Step(RATE, 0.5, SURE, 0.3), "minimize", "30%"),
        (Step(RATE, 0.5, SURE, 0.3, None, 0.4), "minimize", "30%"),
        (Step(RATE, 0.5, SURE, 0.3, 0.2, None), "minimize", "30%"),
        (Step(RATE, 0.5, SURE, None), "minimize", "better"),
        (Step(RATE, 0.5, SURE, None), "maximize", "worse"),
        (Step(RATE, 0.5, Gap(0.5, 0.4, 0.6), None), "maximize", "better"),
        (Step(RATE, 0.5, Gap(0.5, 0.4, 0.6), None), "minimize", "worse"),
    ],
)
def test_verdicts(step, direction, said):
    assert words.verdict(step, direction) == said


def test_differences_have_three_digits_of_the_largest():
    assert words.difference(Gap(0.0123, None, 0.5), 3) == "+0.012"
    assert words.difference(Gap(0.0123, 0.01, None), 3) == "+0.012"
    assert words.difference(Gap(-0.0001, -0.0002, 0.0), 2) == "0.00 [0.00, 0.00]"
    sizes = {0.0: 4, 0.99: 3, 1.0: 2, 9.9: 2, 10.0: 1, 12345.0: 1, 0.0999: 4, 1e-9: 6}
    for size, decimals in sizes.items():
        assert words._decimals(replace(PATH, steps=(), total=Gap(-size, None, None))) == decimals, size
    assert words._decimals(replace(PATH, steps=STEPS, total=None)) == 3


def test_markdown_is_title_sentence_table_and_caption():
    rows = words.table(PATH)[1]
    assert words.markdown(PATH).split("\n\n") == [
        "**Which setting earned what**",
        words.sentence(PATH),
        "\n".join(
            ["| step | mean | difference | share |", "| --- | ---: | ---: | ---: |"]
            + ["| " + " | ".join(row) + " |" for row in rows]
        ),
        words.caption(PATH),
    ]
