"""The table of a comparison: ranks, tests, captions, numbers."""

import csv
import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sepray.comparison import formats, table
from sepray.comparison.running import ComparisonFigures, SeparatorFigures
from sepray.comparison.spec import Comparison
from sepray.contracts import Split

from .conftest import OUTCOME, entry


def test_rows_are_ranked_and_tested_against_what_validation_has_chosen(built):
    oracles = [f"oracle: {name}" for name in ("ideal ratio mask", "phase sensitive mask", "mixture phase")]
    assert [row.system for row in built.rows] == ["good", "poor_one (50% & {more})", "unprocessed mixture", *oracles]
    assert built.reference == "good"
    good, poor, mixture = built.rows[:3]
    assert good.cells["si_sdr", "low"].mean == pytest.approx(7.5)
    assert good.cells["si_sdr", "mean"].mean == pytest.approx(8.5)
    assert good.cells["si_sdr", "mean"].seed_sd == pytest.approx(math.sqrt(2))
    assert good.cells["si_sdr", "mean"].test is None
    # Four items against four, all below: 2 of the 70 ways to share out eight ranks. The mixture's is as small.
    assert poor.cells["si_sdr", "mean"].test.p == pytest.approx(2 / 70)
    assert poor.cells["si_sdr", "mean"].test.p_holm == pytest.approx(2 * 2 / 70)
    assert mixture.cells["si_sdr", "mean"].test.u == 0
    assert all(cell.test is None for row in built.rows[3:] for cell in row.cells.values())
    assert set(built.best.values()) == {"good"}  # an oracle is never the best


PIECES = tuple((f"piece {k}",) for k in range(10))


@pytest.fixture(scope="module")
def ten(data):
    """Data whose ten test items are of a piece each."""
    generator = torch.Generator().manual_seed(1)
    sources = torch.randn(10, 2, 1, 256, generator=generator)
    return replace(data, test=Split(sources.sum(1), sources, units=PIECES), unit_names=("pieces",))


def outcome(*seeds: int, validation=((0.4,), (0.2,))) -> ComparisonFigures:
    """Two methods, the first 1 to 2 dB below the second on each of ten items, with so many seeds."""
    items = np.linspace(5, 9, 10)
    rows = [
        np.stack([items - gap + 0.01 * k for k in range(n)])
        for n, gap in zip(seeds, (np.linspace(1, 2, 10), 0), strict=True)
    ]
    made = [entry(name, name, row.tolist()) for name, row in zip(("lesser", "better"), rows, strict=True)]
    return ComparisonFigures([replace(e, validation=value) for e, value in zip(made, validation, strict=True)])


def test_paired_test_its_effect_size_and_the_papers_test_stand_beside_one_another(ten):
    found = table.build(Comparison(final_seeds=2), ten, outcome(2, 2))
    better, lesser = found.rows[:2]
    cell = lesser.cells["si_sdr", "mean"]
    assert (found.reference, cell.paired.effect, cell.paired.p_holm) == ("better", -1, pytest.approx(2 * 2 / 2**10))
    assert better.cells["si_sdr", "mean"].paired is None
    assert cell.test.p_holm > cell.paired.p_holm  # unpaired, the spread of the items hides it
    assert (
        "p: two-sided Wilcoxon signed-rank test of the pieces' scores (mean over sources and seeds) against better, "
        "which validation has chosen, Holm-corrected for 2 tests; of Student's over seeds too where that p is larger. "
    ) in found.caption
    assert found.caption.startswith(
        "Mean over 10 test items of 10 pieces, 2 seeds [95% interval over pieces and seeds]; "
    )
    lines = [line for line in formats.markdown(found).splitlines() if line.startswith("|")]
    assert f" {table.p_value(cell.paired.p_holm)} | -1.00 | {table.p_value(cell.test.p_holm)} " in lines[3]
    lines = list(csv.DictReader(io.StringIO(formats.comma_separated(found))))
    assert float(lines[1]["si_sdr/mean/paired_p"]) == pytest.approx(2 / 2**10)
    assert lines[1]["si_sdr/mean/rank_biserial"] == "-1.0"
    kept = list(csv.DictReader(io.StringIO(formats.scores(found, ["low", "high"]))))
    assert [line["unit 1"] for line in kept[:4]] == ["piece 0", "piece 0", "piece 1", "piece 1"]
    assert "of these trainings" in table.build(Comparison(final_seeds=1), ten, outcome(1, 1)).caption


def test_reference_is_never_the_best_on_test(ten):
    """The reference is chosen on validation, of several objectives by the rule, or named by the user."""
    assert table.build(Comparison(), ten, outcome(1, 1, validation=((0.1,), (0.2,)))).reference == "lesser"
    two = Comparison(objective=("relative_l2", "si_sdr"), choose=("si_sdr",))
    found = table.build(two, ten, outcome(1, 1, validation=((0.1, 3.0), (0.2, 4.0))))
    assert found.reference == "better"
    found = table.build(two.changed(choose=("relative_l2",)), ten, outcome(1, 1, validation=((0.1, 3.0), (0.2, 4.0))))
    assert found.reference == "lesser"
    unknown = table.build(Comparison(), ten, outcome(1, 1, validation=((), ())))
    assert (unknown.reference, "against lesser, the first of the comparison, Holm" in unknown.caption) == (
        "lesser",
        True,
    )
    found = table.build(Comparison(reference="lesser"), ten, outcome(1, 1))
    assert found.reference == "lesser"
    assert "against lesser, the reference, Holm-corrected for 2 tests" in found.caption


def test_reference_may_be_named(data):
    found = table.build(Comparison(reference="poor"), data, OUTCOME)
    assert found.reference == "poor_one (50% & {more})"


def test_single_separator_and_a_measure_that_a_source_has_not(data):
    one = entry("good", "good", [[5, 6, 7, 8]])
    scores = {**one.scores, "heart_rate_error": np.array([[[math.nan, 2.0]] * 4])}
    with pytest.MonkeyPatch.context() as patch:
        bounds = {"unprocessed mixture": {name: values[0] for name, values in scores.items()}}
        patch.setattr(table.tables, "references", lambda *_: bounds)
        alone = ComparisonFigures([SeparatorFigures(**{**vars(one), "scores": scores})])
        found = table.build(Comparison(measures=("heart_rate_error",)), data, alone)
    assert ("heart_rate_error", "low") not in found.rows[0].cells
    assert found.rows[0].cells["heart_rate_error", "mean"].mean == 2
    assert found.rows[1].cells["heart_rate_error", "mean"].test.p == 1
    assert "| good | - | **2.00 [2.00, 2.00]**" in formats.markdown(found)
    assert r"good & - & \shortstack" in formats.latex(found)


@pytest.mark.parametrize(
    ("shape", "frame"), [((504,), (64, 16)), ((4096,), (512, 128)), ((10**6,), (1024, 256)), ((20,), (16, 4))]
)
def test_oracles_frames(shape, frame):
    assert table.transform(shape) == frame


def test_figures_are_written_short():
    assert [table.number("si_sdr", v) for v in (-0.001, 7.456, -12.0)] == ["0.00", "7.46", "-12.00"]
    assert table.number("relative_l2", 0.12345) == "0.123"
    assert [table.p_value(p) for p in (0.0004, 0.05, 1.0)] == ["<0.001", "0.050", "1.000"]
    assert [table.count(n) for n in (0, 999, 12_345, 5_509_825)] == ["0", "999", "12.3k", "5.51M"]
    assert [table.seconds(s) for s in (0.01234, 31.46, 4321.5)] == ["0.0123", "31.5", "4322"]


@pytest.mark.parametrize(
    ("shape", "frame"),
    # An eighth of an item, to the nearest power of two: 181 samples are the geometric middle of 128 and 256.
    [((16,), (16, 4)), ((8 * 181,), (128, 32)), ((8 * 182,), (256, 64)), ((8 * 22,), (16, 4)), ((3, 8 * 64), (64, 16))],
)
def test_frame_is_an_eighth_of_the_item_within_bounds(shape, frame):
    assert table.transform(shape) == frame


def test_figures_at_the_edges_of_their_forms():
    assert table.p_value(0.001) == "0.001"
    assert [table.count(n) for n in (1000, 10**6, 10**9)] == ["1k", "1M", "1G"]
    assert [table.seconds(s) for s in (99.96, 100.4)] == ["100", "100"]
    assert [table.seconds(s) for s in (100.0, 1234.5)] == ["100", "1234"]
    assert table.number("relative_l2", -0.0004) == "0.000"
    assert (table.heading("si_sdr"), table.heading("relative_l2")) == ("SI-SDR (dB)", "relative L2 error")


def test_caption_says_what_the_figures_are(data, monkeypatch):
    monkeypatch.setattr(table.processor, "short_name", lambda: "Some CPU")
    searched = Comparison(final_seeds=2, max_epochs=1, trials=5, task="my_task", name="lab")
    found = table.build(searched, data, OUTCOME)
    assert found.title == "lab: 2 separators on my_task"
    assert found.caption == (
        "Mean over 4 test items, 2 seeds [95% interval over items (the task does not say which recordings they are cut "
        "from) and seeds]; every separator trained for 1 epoch "
        "on 4 mixtures after a search of 5 trials, where it has something to search. No p: too few recordings to say "
        "anything (4), whatever the scores are. "
        "Parameters: trained numbers, those of critics included. Training: seconds of one seed on Some CPU. "
        "Oracles: masks made with the true sources, on an STFT of 32 samples, hop 8."
    )
    for elsewhere in ({"address": "auto"}, {"gpus_per_trial": 1.0}, {"device": "mps"}):
        assert "seconds of one seed. Oracles" in table.build(searched.changed(**elsewhere), data, OUTCOME).caption
    alone = table.build(Comparison(), data, ComparisonFigures([entry("good", "good", [[5, 6, 7, 8]])]))
    assert alone.title == "comparison: 1 separator on notes_and_bursts"
    assert "on 4 mixtures. No p: too few" in alone.caption


def test_errors_rank_from_the_least_and_equals_keep_their_order(data):
    found = table.build(Comparison(measures=("relative_l2", "si_sdr")), data, OUTCOME)
    assert [row.system for row in found.rows[:2]] == ["good", "poor_one (50% & {more})"]
    assert found.best["relative_l2", "mean"] == "good"
    equal = ComparisonFigures([entry("b", "b", [[1, 2, 3, 4]]), entry("a", "a", [[1, 2, 3, 4]])])
    found = table.build(Comparison(), data, equal)
    assert [row.system for row in found.rows[:2]] == ["b", "a"]
    assert set(found.best.values()) == {"b"}
    assert [(row.key, row.seeds) for row in found.rows[:3]] == [("b", 1), ("a", 1), ("unprocessed-mixture", 0)]


def test_the_magnitudes_error_has_bounds_of_its_own_and_a_caption(data):
    one = entry("good", "good", [[5, 6, 7, 8]])
    with_it = SeparatorFigures(**{**vars(one), "scores": {**one.scores, "magnitude_l2": np.full((1, 4, 2), 0.25)}})
    found = table.build(Comparison(measures=("relative_l2", "magnitude_l2")), data, ComparisonFigures([with_it]))
    cells = {row.system: row.cells["magnitude_l2", "mean"].mean for row in found.rows}
    assert cells["good"] == 0.25
    assert cells["oracle: ideal ratio mask"] == pytest.approx(0, abs=1e-5)
    assert cells["oracle: mixture phase"] == pytest.approx(0, abs=1e-5)
    assert cells["unprocessed mixture"] > 0.5
    assert "Magnitude errors are the scores of the CASS authors' Table 1" in found.caption
    assert "(frames of 32, hop 24)" in found.caption
    assert "magnitude L2 error" in formats.markdown(found)
    assert "Table 1" not in table.build(Comparison(), data, OUTCOME).caption


def test_reference_may_be_a_published_setting(data):
    named = ComparisonFigures([entry("good", "good", [[5, 6, 7, 8]]), entry("cass-bold-FAST", "cass", [[1, 2, 3, 4]])])
    assert table.build(Comparison(reference="cass:bold & FAST"), data, named).reference == "cass"


def test_what_unpaired_samples_were_is_told_of_the_share_of_pairs_that_each_separator_sees():
    """With a tenth of the items as pairs, samples of both pieces are left; with eight of ten, of one, for this seed."""
    data = SimpleNamespace(
        train=Split(torch.zeros(10, 1, 4), torch.zeros(10, 2, 1, 4), units=(("one",),) * 8 + (("another",),) * 2),
        unit_names=("pieces",),
    )

    def told(*shares):
        contenders = [SimpleNamespace(supervision="semi-paired", paired_fraction=share) for share in shares]
        return table._samples(data, [SimpleNamespace(contender=each) for each in contenders], 1)

    assert told(0.1).startswith(" Unpaired samples are of recordings that are in none of the unpaired mixtures")
    assert told(0.8).startswith(" There are too few pieces to be divided")
    assert told(0.1, 0.8) == told(0.8) + told(0.1)
