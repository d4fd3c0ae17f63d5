"""Objectives by name: sources, measures, one for each source, directions; what is none is refused."""

import pytest

from sepray.choices import Objective, guide_loss, guide_words
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.spec.objectives import NamedObjective, objectives, read

SIGNAL = Signal(("maternal", "fetal"), 1, (504,), 250.0)


@pytest.mark.parametrize(
    ("text", "source", "measure", "each"),
    [
        ("relative_l2", "", "relative_l2", False),
        ("relative_l2:min", "", "relative_l2", False),
        ("si_sdr:max", "", "si_sdr", False),
        ("fetal/relative_l2:min", "fetal", "relative_l2", False),
        ("validation/maternal/si_sdr:max", "maternal", "si_sdr", False),
        ("si_sdr:each", "", "si_sdr", True),
        ("si_sdr:each:max", "", "si_sdr", True),
    ],
)
def test_objective_is_read_from_its_text(text, source, measure, each):
    assert read(text) == NamedObjective(text, source, measure, each)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("si_sd", "unknown objective 'si_sd'; perhaps you meant si_sdr; there are relative_l1, "),
        ("fetal/relative_l3", "unknown objective 'fetal/relative_l3'; perhaps you meant relative_l"),
        ("si_sdr:up", "unknown objective 'si_sdr:up'; there are relative_l1, "),
        ("si_sdr:max:each", "unknown objective 'si_sdr:max:each'; there are relative_l1, "),
        ("si_sdr:max:max", "unknown objective 'si_sdr:max:max'; there are relative_l1, "),
        ("fetal/si_sdr:each", "unknown objective 'fetal/si_sdr:each'; there are relative_l1, "),
        ("si_sdr:min", "objective 'si_sdr:min': si_sdr is the better the greater it is; leave out :min"),
        ("relative_l2:each:max", "objective 'relative_l2:each:max': relative_l2 is the better the less it is; leave "),
        ("sdr", "sdr (BSS Eval) takes seconds for each item, too long for every epoch"),
    ],
)
def test_what_is_no_objective_is_refused_in_one_line(text, line):
    with pytest.raises(UsageError) as refusal:
        read(text)
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)


def test_several_measures_each_in_its_direction():
    found = objectives(("maternal/si_sdr:max", "fetal/relative_l2:min", "relative_linf:each"), SIGNAL)
    assert found == (
        Objective("validation/maternal/si_sdr", "maximize"),
        Objective("validation/fetal/relative_l2", "minimize"),
        Objective("validation/maternal/relative_linf", "minimize"),
        Objective("validation/fetal/relative_linf", "minimize"),
    )
    assert [o.column for o in found[:3]] == [
        "maternal SI-SDR (dB, more is better)",
        "fetal relative L2 error (less is better)",
        "maternal relative L∞ error (less is better)",
    ]


@pytest.mark.parametrize("texts", [("si_sdr", "si_sdr:max"), ("fetal/relative_l2", "relative_l2:each")])
def test_the_same_objective_twice_is_refused(texts):
    with pytest.raises(UsageError, match=r"^objective '.*': .* is an objective already$"):
        objectives(texts, SIGNAL)


def test_unknown_source_is_told_the_nearest():
    with pytest.raises(UsageError, match=r"^unknown objective 'foetal/si_sdr'; perhaps you meant fetal; .*: maternal"):
        objectives(("foetal/si_sdr",), SIGNAL)


ERRORS = tuple(Objective(f"validation/{name}/relative_l2", "minimize") for name in ("low", "high"))
RATIO = Objective("validation/low/si_sdr", "maximize")


@pytest.mark.parametrize(
    ("several", "loss", "words"),
    [
        (ERRORS, 0.3, "mean relative L2 error of low and high"),
        ((*ERRORS, RATIO), 0.3, "mean relative L2 error of low and high"),
        ((RATIO, *ERRORS), -7.0, "low SI-SDR"),
    ],
)
def test_only_objectives_of_the_first_measure_are_averaged(several, loss, words):
    values = {ERRORS[0].key: 0.2, ERRORS[1].key: 0.4, RATIO.key: 7.0}
    assert guide_loss(several, values) == pytest.approx(loss)
    assert guide_words(several) == words
