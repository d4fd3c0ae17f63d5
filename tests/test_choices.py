"""Properties of the measures, and what readers are told of them."""

import pytest

from sepray.choices import BSS_EVAL, COLUMNS, MEASURES, OBJECTIVES, Objective, better_words, guide, measure_words

LESS = {"relative_l1", "relative_l2", "relative_linf", "heart_rate_error", "missed_beats", "invented_beats"}
LESS |= {"magnitude_l1", "magnitude_l2", "magnitude_linf"}
SLOW = {"magnitude_l1", "magnitude_l2", "magnitude_linf", "sdr", "isr", "sir", "sar"}
SIGNALS = {
    "sounds": SLOW | {"snr"},
    "images": {"psnr", "ssim"},
    "hearts": {"heart_rate_error", "beat_f1", "missed_beats", "invented_beats"},
}


def test_measures_have_direction_unit_signals_and_a_line_each():
    assert {name for name, measure in MEASURES.items() if measure.direction == "minimize"} == LESS
    assert {measure.direction for measure in MEASURES.values()} == {"minimize", "maximize"}
    in_decibels = {name for name, measure in MEASURES.items() if measure.unit == "dB"}
    assert in_decibels == {"si_sdr", "snr", "psnr", *BSS_EVAL}
    assert {n: m.unit for n, m in MEASURES.items() if n not in in_decibels and m.unit} == {"heart_rate_error": "bpm"}
    for signals, names in SIGNALS.items():
        assert {name for name, measure in MEASURES.items() if measure.signals == signals} == names
    assert {name for name, measure in MEASURES.items() if measure.centre == "median"} == set(BSS_EVAL)
    lines = [measure.description for measure in MEASURES.values()]
    assert all(lines)
    assert len(set(lines)) == len(lines)
    assert not any("\n" in line for line in lines)


def test_only_measures_that_are_quick_are_objectives():
    assert set(MEASURES) - set(OBJECTIVES) == SLOW
    assert set(COLUMNS) == set(MEASURES)


def test_only_errors_without_a_unit_can_be_told_in_percent():
    assert {name for name, measure in MEASURES.items() if measure.in_percent} == LESS - {"heart_rate_error"}


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("beat_f1", "beat F1"),
        ("relative_linf", "relative L∞ error"),
        ("magnitude_l1", "magnitude L1 error"),
        ("si_sdr", "SI-SDR"),
        ("sdr", "SDR"),
        ("heart_rate_error", "heart rate error"),
        ("missed_beats", "missed beats"),
    ],
)
def test_measures_in_words(metric, words):
    assert measure_words(metric) == words


def test_which_values_are_better():
    assert better_words(["relative_l2", "heart_rate_error"]) == "less is better"
    assert better_words(["si_sdr"]) == "more is better"
    both = "of the relative L2 error less is better, of the SI-SDR more, of the heart rate error less"
    assert better_words(["relative_l2", "si_sdr", "heart_rate_error"]) == both


def test_parts_of_an_objective():
    objective, mean = Objective("validation/a/b/si_sdr", "maximize"), Objective("validation/relative_l2", "minimize")
    assert (objective.name, objective.source, objective.measure) == ("a/b/si_sdr", "a/b", "si_sdr")
    assert (objective.words, objective.column) == ("a/b SI-SDR", "a/b SI-SDR (dB, more is better)")
    assert (mean.source, mean.words, mean.column) == ("", "relative L2 error", "relative L2 error (less is better)")
    assert (objective.sign, mean.sign) == (-1, 1)
    other = Objective("validation/c/si_sdr", "maximize")
    assert guide((objective, mean, other)) == (objective, other)
    assert guide((mean, objective)) == (mean,)
