"""Levels of training mixtures, and the offset of a recording beyond them."""

import numpy as np
import pytest

from sepray.scoring.offsets import offset, offset_range

BEATS = np.array([0.0, 0, 0, 1, -3, 0, 0, 2])  # median 0
SPREAD = BEATS.std()


def test_range_is_that_of_medians_in_units_of_the_spread():
    shifts = np.linspace(-1, 3, 101)
    mixtures = 10 * (BEATS + SPREAD * shifts[:, None])[:, None]
    found = offset_range(mixtures.astype(np.float32))
    assert found == pytest.approx({"low": -0.96, "usual": 1, "high": 2.96}, abs=1e-5)
    assert offset_range(np.ones((3, 1, 8))) is None
    two = np.concatenate([mixtures, np.zeros_like(mixtures)], axis=1)  # a silent channel has no level
    assert offset_range(two) == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        (-2.19, 0),
        (0, 0),
        (4.19, 0),
        (-2.21, -3.21),
        (4.21, 3.21),
        (-2.5, -3.5),
        (4.5, 3.5),
        (2048, 2047),
        (-1e6, -1_000_001),
    ],
)
def test_offset_is_what_lies_beyond_and_leads_to_the_usual_level(middle, expected):
    assert offset(middle, 2, {"low": -1, "usual": 0.5, "high": 2}) == pytest.approx(expected)
