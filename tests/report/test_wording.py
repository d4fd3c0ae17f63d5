"""Words and numbers of the report's sentences."""

import pytest

from sepray.choices import Objective, measure_words
from sepray.report.wording import (
    number,
    objective_axis,
    objective_words,
    trial_name,
    unit,
)

from .studies import trial


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("relative_l2", "relative L2 error"), ("relative_linf", "relative L∞ error"), ("si_sdr", "SI-SDR")],
)
def test_measures_in_words(metric, expected):
    assert measure_words(metric) == expected


def test_objectives_in_words():
    one, mean = Objective("validation/fetal/relative_l2", "minimize"), Objective("validation/si_sdr", "maximize")
    assert (objective_words(one), objective_axis(one)) == (
        "fetal relative L2 error",
        "fetal relative L2 error (ratio)",
    )
    assert (objective_words(mean), objective_axis(mean)) == ("SI-SDR", "SI-SDR (dB)")
    assert (unit("heart_rate_error"), unit("a/psnr"), unit("ssim"), unit("loss")) == ("bpm", "dB", "ratio", "ratio")


def test_numbers_and_names():
    assert [number(v) for v in (0.123456, 12345.6, 2.0)] == ["0.1235", "1.235e+04", "2"]
    assert trial_name(trial(3, [0.5])) == "trial 3"
    assert trial_name(trial(3, [0.5], label="published")) == "trial 3 (published)"


def test_an_axis_has_no_mathematics_of_an_objective_that_others_have_written():
    assert objective_axis(Objective(r"validation/a$\b$/relative_l2", "minimize")).count(r"\$") == 2
