"""The table of a comparison: ranks, tests, captions, numbers."""

import math

import numpy as np
import pytest

from sepray.comparison import formats, table
from sepray.comparison.running import Entry, Outcome
from sepray.comparison.spec import Comparison

from .conftest import OUTCOME, entry


def test_rows_are_ranked_and_tested_against_the_best(built):
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


def test_reference_may_be_chosen_and_the_caption_says_so(data):
    found = table.build(Comparison(reference="poor"), data, OUTCOME)
    assert found.reference == "poor_one (50% & {more})"
    assert "against poor_one (50% & {more}), the reference, Holm-corrected for 2 tests" in found.caption


def test_single_separator_and_a_measure_that_a_source_has_not(data):
    one = entry("good", "good", [[5, 6, 7, 8]])
    scores = {**one.scores, "heart_rate_error": np.array([[[math.nan, 2.0]] * 4])}
    with pytest.MonkeyPatch.context() as patch:
        bounds = {"unprocessed mixture": {name: values[0] for name, values in scores.items()}}
        patch.setattr(table.tables, "references", lambda *_: bounds)
        alone = Outcome([Entry(**{**vars(one), "scores": scores})])
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
