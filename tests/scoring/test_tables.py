"""Scores of systems as rows and tables; the measures depend on the kind of signal."""

import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from sepray.contracts import Signal, Split
from sepray.errors import UsageError
from sepray.scoring import evaluation, metrics, tables
from sepray.scoring.answers import Answer, Contrast, Effect
from sepray.scoring.explanation import Change, explained
from sepray.scoring.tables import ResultRow, front_table, markdown_table, result_table
from sepray.signals.ideal_masks import ORACLES
from sepray.signals.stft import Spectrogram

COLUMNS = ["maternal", "fetal"]
ROWS = [
    ResultRow("champion (trial 12)", {"maternal": (0.1234, 0.1, 0.15), "fetal": (0.5, 0.4567, 0.6)}, bold=True),
    ResultRow("unprocessed mixture", {"maternal": (1.0, 0.9, 12.3456)}),
]

TWO = Signal(("a", "b"), 1, (256,), 64.0)
IMAGES = Signal(("a", "b"), 1, (16, 16), None)


def shown(width: int, table) -> list[str]:
    """Lines that a terminal of this width prints, without the empty ones."""
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None, legacy_windows=False)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def test_wide_window_has_means_and_intervals_side_by_side():
    lines = shown(100, result_table("errors", COLUMNS, ROWS, "less is better", 100))
    assert lines[0] == "errors"
    assert lines[1].split() == ["system", *COLUMNS]
    assert re.split(r"\s{2,}", lines[3].strip()) == [
        "champion (trial 12)",
        "0.123 [0.100, 0.150]",
        "0.500 [0.457, 0.600]",
    ]
    assert re.split(r"\s{2,}", lines[4].strip()) == ["unprocessed mixture", "1.000 [0.900, 12.346]", "-"]
    assert lines[-1].strip() == "less is better"


def test_narrow_window_has_intervals_below_the_means_and_cuts_no_number():
    lines = shown(56, result_table("errors", COLUMNS, ROWS, width=56))
    assert all(len(line) <= 56 for line in lines)
    printed = "\n".join(lines)
    for number in ("0.123", "[0.100, 0.150]", "0.500", "[0.457, 0.600]", "1.000", "[0.900, 12.346]"):
        assert number in printed
    at = next(n for n, line in enumerate(lines) if "0.123" in line)
    assert "[0.100, 0.150]" not in lines[at]
    assert "[0.100, 0.150]" in lines[at + 1]


def test_champion_stands_out():
    assert [row.style for row in result_table("errors", COLUMNS, ROWS).rows] == ["bold", ""]


def test_markdown_table_holds_the_same():
    assert markdown_table("errors", COLUMNS, ROWS, "less is better").splitlines() == [
        "**errors**",
        "",
        "| system | maternal | fetal |",
        "| --- | ---: | ---: |",
        "| **champion (trial 12)** | 0.123 [0.100, 0.150] | 0.500 [0.457, 0.600] |",
        "| unprocessed mixture | 1.000 [0.900, 12.346] | - |",
        "",
        "less is better",
    ]


def test_front_has_a_column_per_objective():
    lines = shown(80, front_table("front", ["low l2", "high l2"], [("3 CASS", (0.1, 0.2)), ("4", (0.05, 0.3))]))
    assert [line.split() for line in lines[3:]] == [["3", "CASS", "0.1000", "0.2000"], ["4", "0.0500", "0.3000"]]


def test_scores_are_of_every_item_and_source_without_the_energies():
    sources = torch.ones(5, 2, 1, 64)
    split = Split(sources.sum(1), sources)
    # The mixture is 2: a quarter of it is half a source, and all of it twice one.
    gain = torch.tensor([0.25, 1.0]).reshape(1, 2, 1, 1)
    found = tables.score(lambda mixture: mixture[:, None] * gain, split, TWO, batch_size=2)
    assert set(found) == {"relative_l1", "relative_l2", "relative_linf", "si_sdr", "snr"}
    np.testing.assert_allclose(found["relative_l2"], [[0.5, 1.0]] * 5, rtol=1e-6)


def test_references_are_the_mixture_and_the_oracles_by_readable_names():
    time = torch.arange(256) / 64
    sources = torch.stack([torch.sin(3 * time), 0.5 * torch.sin(40 * time)])[None, :, None].repeat(4, 1, 1, 1)
    found = tables.references(Split(sources.sum(1), sources), n_fft=32, hop=8, signal=TWO)
    assert list(found) == [
        "unprocessed mixture",
        "oracle: ideal ratio mask",
        "oracle: phase sensitive mask",
        "oracle: mixture phase",
    ]
    # The mixture as an estimate is off by the other source.
    ratio = float(sources[0, 1].norm() / sources[0, 0].norm())
    np.testing.assert_allclose(found["unprocessed mixture"]["relative_l2"], [[ratio, 1 / ratio]] * 4, rtol=1e-5)
    for name in list(found)[1:]:
        assert found[name]["relative_l2"].mean() < 0.5 * found["unprocessed mixture"]["relative_l2"].mean()
        assert "estimate_energy" not in found[name]


def test_row_has_means_and_intervals_per_source_and_over_sources():
    values = np.random.default_rng(0).uniform(0.1, 0.3, (200, 2)) + np.array([0.0, 0.4])
    row = tables.row("champion", {"relative_l2": values}, "relative_l2", ["low", "high"], bold=True)
    assert (row.system, row.bold, list(row.values)) == ("champion", True, ["low", "high", "mean"])
    for name, column in {"low": values[:, 0], "high": values[:, 1], "mean": values.mean(1)}.items():
        mean, low, high = row.values[name]
        assert mean == pytest.approx(column.mean())
        # Of 200 items the bootstrap's interval is nearly the normal one.
        half = 1.96 * column.std(ddof=1) / np.sqrt(200)
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)
    assert all(type(number) is float for cell in row.values.values() for number in cell), "they go into JSON"


def test_row_of_a_measure_that_some_sources_have_not() -> None:
    scores = {"heart_rate_error": np.array([[1.0, np.nan], [3.0, np.nan]])}
    found = tables.row("it", scores, "heart_rate_error", ("heart", "breath")).values
    assert list(found) == ["heart", "mean"]
    assert found["heart"] == found["mean"]
    assert found["mean"][0] == 2
    assert tables.over_sources("heart_rate_error", scores["heart_rate_error"]).tolist() == [1, 3]
    broken = {"heart_rate_error": np.array([[1.0, np.nan], [np.nan, np.nan]])}  # an estimate that is not finite
    with pytest.raises(UsageError, match="1 of 2 values are not finite"):
        tables.row("it", broken, "heart_rate_error", ("heart", "breath"))


def test_row_of_bss_eval_is_a_median_without_silent_items() -> None:
    scores = {"sdr": np.array([[1.0, 5.0], [2.0, np.nan], [9.0, 7.0], [np.nan, np.nan]])}
    found = tables.row("it", scores, "sdr", ("a", "b")).values
    assert [found[name][0] for name in ("a", "b", "mean")] == [2, 6, 3]
    assert found["a"][1:] == (-math.inf, math.inf)  # three items are too few for the interval of a median


def test_a_failed_score_is_never_left_out() -> None:
    with pytest.raises(UsageError, match="1 of 2 values are not finite"):
        tables.row("it", {"si_sdr": np.array([[1.0], [np.nan]])}, "si_sdr", ("a",))


HEARTS = Signal(("heart", "breath"), 1, (512,), 64.0, heart_sources=("heart",))


def beating(*rates: float) -> torch.Tensor:
    """One item with a sine of each rate, in beats per minute, as its sources: ``[1, source, 1, time]``."""
    time = torch.arange(512) / 64
    return torch.stack([torch.sin(2 * math.pi * rate / 60 * time) for rate in rates])[None, :, None]


def test_scores_and_references_have_the_measures_of_the_kind_of_signal():
    images = torch.rand(3, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    split = Split(images.sum(1), images)
    darker = tables.score(lambda mixture: images - 0.1, split, IMAGES, 3)
    np.testing.assert_allclose(darker["psnr"], [[20, 20]] * 3, atol=1e-3)  # a mean squared error of 0.01
    bounds = tables.references(split, 32, 8, IMAGES)
    assert list(bounds) == ["unprocessed mixture"]
    off = (images.flip(1)).square().flatten(2).mean(-1)  # the mixture as an estimate is off by the other source
    np.testing.assert_allclose(bounds["unprocessed mixture"]["psnr"], -10 * torch.log10(off), atol=1e-3)

    hearts = beating(75, 20)
    split = Split(hearts.sum(1), hearts)
    scores = tables.score(lambda mixture: beating(90, 20), split, signal=HEARTS)["heart_rate_error"]
    assert scores[0, 0] == pytest.approx(15, abs=0.5)
    assert math.isnan(scores[0, 1])
    bounds = tables.references(split, 62, 16, HEARTS)
    assert bounds["oracle: ideal ratio mask"]["heart_rate_error"][0, 0] == pytest.approx(0, abs=1)
    assert "heart_rate_error" not in tables.score(lambda mixture: hearts, split, TWO)


def test_item_scores_are_means_over_the_sources_that_the_measure_is_defined_for(monkeypatch):
    hearts = torch.cat((beating(75, 20), beating(60, 20)))
    split = Split(hearts.sum(1), hearts)
    estimates = torch.cat((beating(90, 20), beating(60, 20)))
    sizes = []

    def separate(mixture):
        sizes.append(len(mixture))
        return estimates[sum(sizes) - len(mixture) :][: len(mixture)]

    found = tables.item_scores("heart_rate_error", separate, split, HEARTS, batch_size=1)
    assert found.tolist() == pytest.approx([15, 0], abs=0.5)
    assert sizes == [1, 1]
    doubled = tables.item_scores("relative_l2", lambda mixture: 2 * hearts, split, HEARTS)
    assert doubled.tolist() == pytest.approx([1, 1])

    given = []

    def bss_eval(system, *arguments):
        given.extend([system(split.mixture, None), *arguments])
        return {"sdr": np.array([[1.0, 3.0], [5.0, np.nan]])}

    monkeypatch.setattr(evaluation, "bss_eval", bss_eval)
    scores = tables.item_scores("sdr", lambda mixture: 3 * mixture, split, HEARTS, batch_size=5)
    assert scores.tolist() == [2, 5]
    assert torch.equal(given[0], 3 * split.mixture)
    assert (given[1], given[2], given[3]) == (split, HEARTS, 5)


def test_a_mean_over_sources_is_missing_only_where_bss_eval_has_no_score():
    values = np.array([[1.0, 3.0], [np.nan, 4.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(tables.over_sources("sdr", values), [2, 4, np.nan])
    np.testing.assert_array_equal(tables.over_sources("si_sdr", values), [2, np.nan, np.nan])
    assert set(metrics.METRICS) < set(
        tables.score(
            lambda mixture: torch.ones(1, 2, 1, 8, 8),
            Split(torch.ones(1, 1, 8, 8), torch.ones(1, 2, 1, 8, 8)),
            signal=IMAGES,
        )
    )


def test_oracles_of_the_references_use_the_frames_that_are_given():
    sources = torch.randn(3, 2, 1, 512, generator=torch.Generator().manual_seed(0))
    split = Split(sources.sum(1), sources)
    found = tables.references(split, 128, 32, TWO)["oracle: ideal ratio mask"]["relative_l2"]
    for n_fft, hop in ((128, 32), (128, 16), (64, 32)):
        spectrogram = Spectrogram(n_fft, hop)
        estimates = ORACLES["ideal_ratio_mask"](split.mixture, sources, spectrogram)
        expected = metrics.relative_error(estimates, sources, 2)
        assert np.allclose(found, expected, rtol=1e-4) == ((n_fft, hop) == (128, 32)), (n_fft, hop)


def test_interval_stands_beside_the_mean_where_the_window_is_just_wide_enough():
    """The longest name and 2, and for each column the longer of its name and 20, and 2."""
    needed = len("champion (trial 12)") + 2 + 2 * (20 + 2)
    for width, gap in ((needed, " "), (needed - 1, "\n")):
        table = result_table("errors", COLUMNS, ROWS, width=width)
        assert list(table.columns[1].cells) == [f"0.123{gap}[0.100, 0.150]", f"1.000{gap}[0.900, 12.346]"]
    named = result_table("errors", ["m" * 30], ROWS, width=len("champion (trial 12)") + 2 + 30 + 2 - 1)
    assert named.columns[0].justify == "left"
    assert [(c.justify, c.no_wrap) for c in result_table("errors", COLUMNS, ROWS).columns[1:]] == [("right", True)] * 2
    assert list(named.columns[1].cells) == ["-", "-"]
    assert result_table("t", COLUMNS, ROWS, "c").caption == "c"
    front = front_table("front", ["low l2"], [("3", (0.1,))])
    assert [c.justify for c in front.columns] == ["left", "right"]


def of_arms(*sources: str) -> Answer:
    effect = Effect(-0.00775, -0.013, -0.0025, 0.25, 0.008, 0.016)
    effects = dict.fromkeys(("mean", *sources), effect)
    return Answer("relative_l2", "mean", (Contrast("cross a to b", "none", 8, 50, effects, True, False, None),))


@pytest.mark.parametrize(
    ("width", "sources", "row"),
    [
        (120, ("a", "b"), f"cross a to b | {' | '.join(['-3.1% [-5.2, -1.0]'] * 3)} | 0.016 | yes"),
        (80, ("a", "b"), "cross a to b | -3.1% | -3.1% | -3.1% | 0.016 | yes"),
        (80, ("a", "b", "c", "d"), "cross a to b | -3.1% | 0.016 | yes"),  # the mean, which is claimed, alone
    ],
)
def test_table_of_arms_fits_the_terminal(width, sources, row):
    lines = shown(width, tables.answer_table(of_arms(*sources), width))
    assert lines[0] == "relative L2 error on the test split: difference to none"
    assert re.sub(r" {2,}", " | ", lines[3].strip()) == row
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


def test_names_stand_at_the_left_of_a_table_of_arms_and_figures_at_the_right():
    one = of_arms("a", "b")
    _, table, _ = tables.answer_table(one, 120).renderables
    columns = [(column.justify, column.no_wrap) for column in table.columns]
    assert columns == [("left", False), *[("right", True)] * (len(columns) - 1)]
    assert [row.style for row in table.rows] == ["bold"]
    several = replace(one, others=(replace(one, metric="si_sdr"),))
    _, table, _ = tables.answer_table(several, 120).renderables
    columns = [(column.justify, column.no_wrap) for column in table.columns]
    assert columns == [*[("left", False)] * 2, *[("right", True)] * (len(columns) - 2)]


FIRST, AFTER = {1: 0.90, 2: 0.92, 3: 0.91}, {1: 0.30, 2: 0.33, 3: 0.31}
STEPS = [(Change("rate", 1e-05, 0.002, {}), AFTER), (Change("beta", 0.1, 0.0123456, {}), AFTER)]
PATH = explained("p", "the start", "relative L2 error", "minimize", "greedy", 3, 12, FIRST, STEPS)


def test_steps_of_a_path_that_earned_something_are_bold():
    _, table, _ = tables.path_table(PATH, 120).renderables
    assert [row.style for row in table.rows] == ["", "bold", "", ""]


@pytest.mark.parametrize(("width", "same_line"), [(120, True), (60, False)])
def test_values_of_a_path_are_below_the_names_in_a_narrow_terminal(width, same_line):
    lines = shown(width, tables.path_table(PATH, width))
    assert any("rate 1e-05 -> 0.002" in line for line in lines) is same_line
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)


def test_columns_of_several_objectives_have_no_mean():
    assert tables.shows_objectives(["fetal error", "fetal F1"])
    assert not tables.shows_objectives(["maternal", "fetal", "mean"])
    assert not tables.shows_objectives([])
