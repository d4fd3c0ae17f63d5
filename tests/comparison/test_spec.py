"""The description of a comparison: flags, settings, refusals."""

import re

import pytest

from sepray.comparison.spec import Comparison, assignment, parse
from sepray.errors import UsageError
from sepray.registry import UnknownNameError
from sepray.spec.parts import Budget


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--trials -1", "--trials must be at least 0, not -1"),
        ("--measures loudness", "--measures must be of relative_l1"),
        ("--measures si_sdr si_sdr", "each once"),
        ("--separators cass cass", "--separators must name each once"),
        ("--separators cass --settings nmf.width=3", "'nmf' is neither one of the separators nor task"),
        ("--settings width=3", "does not have the form SEPARATOR.FIELD=VALUE"),
        ("--separators cass --reference nmf", "--reference 'nmf' is not among the separators cass"),
        ("--max-epochs 0", "--max-epochs must be at least 1, not 0"),
        ("--separators casss", "unknown separator 'casss'"),
        ("--task eeg", "unknown task 'eeg'"),
        ("--sheduler none", "unknown: --sheduler"),
        ("--scheduler no", "unknown scheduler 'no'"),
    ],
)
def test_command_line_is_refused_in_one_line(arguments, line):
    with pytest.raises((UsageError, UnknownNameError), match=re.escape(line)) as refusal:
        parse(Comparison(), arguments.split()).check()
    assert "\n" not in str(refusal.value)


def test_setting_may_name_a_hyperparameter_with_dots():
    assert assignment("cass.cross.a_to_b=0.1") == ("cass", "cross.a_to_b", "0.1")


def test_comparison_searches_nothing_by_default_and_trains_one_setting_on_three_seeds():
    assert Comparison().budget == Budget(trials=0, finalists=1, final_seeds=3)
    assert Comparison(max_epochs=4).budget == Budget(trials=0, finalists=1, max_epochs=4)
