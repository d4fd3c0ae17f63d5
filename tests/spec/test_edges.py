"""Settings that are said to be at an end of their range."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sepray.spec import edges

RATE = FloatDistribution(1e-5, 1e-2, log=True)


@pytest.mark.parametrize(
    ("value", "distribution", "told"),
    [
        (0.0098, RATE, "rate 0.0098 is at the upper end of its range (1e-5 to 0.01): widen it"),
        (1e-5, RATE, "rate 1e-5 is at the lower end of its range (1e-5 to 0.01): widen it"),
        (1e-5 * 10**0.059, RATE, "rate 1.15e-5 is at the lower end of its range (1e-5 to 0.01): widen it"),  # 1.97%
        (1e-5 * 10**0.061, RATE, ""),  # 2.03% of three decades
        (0.008, RATE, ""),
        (0.5, FloatDistribution(0.0, 1.0), ""),
        (0.981, FloatDistribution(0.0, 1.0), "rate 0.981 is at the upper end of its range (0 to 1): widen it"),
        (0.979, FloatDistribution(0.0, 1.0), ""),
        (
            0.0,
            FloatDistribution(0.0, 1.0),
            "rate 0 is at the lower end of its range (0 to 1): the best may be none of it",
        ),
        (4, IntDistribution(1, 4), "rate 4 is at the upper end of its range (1 to 4): widen it"),
        (3, IntDistribution(1, 4), ""),
        (2.0, FloatDistribution(2.0, 2.0), ""),  # nothing is searched
        ("relu", CategoricalDistribution(["relu", "gelu"]), ""),
    ],
)
def test_two_hundredths_of_a_range_on_its_scale_are_its_edge(value, distribution, told):
    assert edges.sentences({"rate": value, "other": 1.0}, {"rate": distribution}) == ([told] if told else [])


def test_settings_that_were_not_searched_have_no_range():
    assert edges.sentences({"other": 1.0}, {"rate": RATE}) == []
