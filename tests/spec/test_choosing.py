"""Rules by which the champion of several objectives is chosen, on values that are worked out by hand."""

import numpy as np
import pytest

from sepray.choices import Objective
from sepray.errors import UsageError
from sepray.spec import choosing

SDR, ERROR = Objective("validation/low/si_sdr", "maximize"), Objective("validation/relative_l2", "minimize")
BOTH = (SDR, ERROR)
# SI-SDR in dB and error of five trials; the first three are the front, the fourth is beaten by the second alone.
VALUES = [(10.0, 0.5), (8.0, 0.2), (0.0, 0.1), (7.0, 0.25), (-5.0, 0.9)]
LOSSES = np.array([(-sdr, error) for sdr, error in VALUES])


def chosen(*choose: str) -> list[float]:
    rule = choosing.rule(choose, BOTH, LOSSES)
    return [rule.loss(values) for values in VALUES]


def test_fronts_are_peeled_one_after_the_other():
    assert choosing.ranks(LOSSES, 5).tolist() == [0, 0, 0, 1, 2]
    assert choosing.ranks(LOSSES, 3).tolist() == [0, 0, 0, 1, 1]  # enough are on the first
    equals = np.array([(1.0, 2.0), (1.0, 2.0), (1.0, 3.0)])
    assert choosing.ranks(equals, 3).tolist() == [0, 0, 1]  # they do not beat each other


def test_knee_is_the_least_sum_on_the_scale_of_the_front():
    """The front goes from 10 to 0 dB and from an error of 0.1 to 0.5: 2 dB are a fifth, 0.1 is a quarter."""
    assert chosen("knee") == pytest.approx([0.5 * each for each in (0 + 1, 0.2 + 0.25, 1 + 0, 0.3 + 0.375, 1.5 + 2)])


def test_units_of_an_objective_do_not_matter_to_the_knee():
    in_other_units = [(1000 * sdr, error) for sdr, error in VALUES]
    losses = np.array([(-sdr, error) for sdr, error in in_other_units])
    rule = choosing.rule(("knee",), BOTH, losses)
    assert [rule.loss(values) for values in in_other_units] == pytest.approx(chosen("knee"))


def test_weights_are_shares_on_the_same_scale():
    assert chosen("weights", "3", "1") == pytest.approx([0.25, 0.15 + 0.0625, 0.75, 0.225 + 0.09375, 1.125 + 0.5])
    assert chosen("weights", "2", "2") == chosen("knee")


@pytest.mark.parametrize("choose", ["low/si_sdr", "low/si_sdr:max", "validation/low/si_sdr"])
def test_named_objective_decides_alone_and_in_its_own_unit(choose):
    assert chosen(choose) == [-10.0, -8.0, 0.0, -7.0, 5.0]
    assert choosing.rule((choose,), BOTH, LOSSES).measured == SDR
    assert choosing.rule(("knee",), BOTH, LOSSES).measured is None


def test_one_objective_is_its_own_rule_and_no_trial_needs_none():
    rule = choosing.rule(("knee",), (SDR,), LOSSES[:, :1])
    assert (rule.loss([4.0]), rule.measured) == (-4.0, SDR)
    assert choosing.rule(("knee",), BOTH, np.zeros((0, 2))).loss([3.0, 1.0]) == -3.0


def test_front_of_a_single_trial_has_the_scale_of_all_trials():
    """6 dB and an error of 0.2 are best in everything; the others go down to 2 dB and up to 0.7."""
    rule = choosing.rule(("knee",), BOTH, np.array([(-6.0, 0.2), (-2.0, 0.3), (-4.0, 0.7)]))
    found = [rule.loss(values) for values in ((6.0, 0.2), (2.0, 0.3), (4.0, 0.7), (7.0, 0.2))]
    assert found == pytest.approx([0.0, 0.5 * (1 + 0.2), 0.5 * (0.5 + 1), -0.5 * 0.25])


def test_objective_that_is_equal_in_all_trials_does_not_count():
    rule = choosing.rule(("knee",), BOTH, np.array([(-3.0, 0.5), (-2.0, 0.5)]))
    assert [rule.loss(values) for values in ((3.0, 0.5), (2.0, 0.5), (2.0, 0.1))] == [0.0, 0.5, 0.5]


def test_without_any_scale_the_first_objective_decides():
    rule = choosing.rule(("knee",), BOTH, np.array([(-3.0, 0.5)]))
    assert [rule.loss(values) for values in ((5.0, 9.0), (4.0, 0.0))] == [-2.0, -1.0]  # in dB beyond its own 3


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        ((), "--choose needs a value"),
        (("knee", "low/si_sdr"), "--choose knee low/si_sdr: there are knee, weights"),
        (("weights",), "weights are numbers from 0 on, one of them above 0"),
        (("weights", "0", "0"), "one of them above 0"),
        (("weights", "-1", "2"), "numbers from 0 on"),
        (("weights", "nan", "2"), "numbers from 0 on"),
        (("weights", "much", "2"), "weights are numbers (could not convert"),
        (("weights", "1"), "2 objectives need 2 weights: low/si_sdr, relative_l2"),
        (("si_sdr",), "or the name of an objective: low/si_sdr, relative_l2"),
    ],
)
def test_what_is_no_rule_is_refused(choose, message):
    with pytest.raises(UsageError) as error:
        choosing.weights_of(choose, BOTH)
    assert message in str(error.value)


def test_the_rule_is_told_in_a_sentence():
    assert choosing.words(("knee",), (SDR,)) == ""
    assert choosing.words(("knee",), BOTH).startswith("Validation chooses the knee of this front: the least sum")
    assert "(3 for low SI-SDR, 1 for relative L2 error)" in choosing.words(("weights", "3", "1"), BOTH)
    assert choosing.words(("relative_l2",), BOTH) == (
        "Validation chooses the best in relative L2 error on this front (--choose relative_l2)."
    )
