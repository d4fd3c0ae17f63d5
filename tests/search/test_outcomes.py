"""The table of outcomes: how a trial ended, from its last result, and from its stored record."""

import pytest
from optuna.trial import TrialState, create_trial

from sepray.search.outcomes import Outcome, decide, has_failed, outcome

from .studies import KEY, PAIR

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
LOST = "the worker was lost 3 times in a row without an epoch of progress"


@pytest.mark.parametrize(
    ("result", "error", "expected"),
    [
        ({"epoch": 4, KEY: 0.5, "outcome": "complete"}, False, Outcome(COMPLETE, (0.5,), "", "complete", -1.0)),
        (
            {"epoch": 2, KEY: 0.5, "outcome": ""},
            False,
            Outcome(PRUNED, None, "stopped by the scheduler at epoch 2", "pruned"),
        ),
        (None, False, Outcome(PRUNED, None, "stopped by the scheduler", "pruned")),
        (
            {"epoch": 2, KEY: 0.5, "outcome": "diverged", "reason": "loss is nan"},
            False,
            Outcome(FAIL, None, "loss is nan", "diverged"),
        ),
        (
            {"epoch": 4, KEY: float("nan"), "outcome": "complete"},
            False,
            Outcome(FAIL, None, f"{KEY} is nan at epoch 4", "diverged"),
        ),
        (
            {"epoch": 2, KEY: float("inf"), "outcome": ""},
            False,
            Outcome(FAIL, None, f"{KEY} is inf at epoch 2", "diverged"),
        ),
        (
            {"epoch": 3, KEY: 0.9, "outcome": "collapsed", "reason": "fetal is silent"},
            False,
            Outcome(COMPLETE, (0.9,), "fetal is silent", "collapsed", 1.0),
        ),
        (
            {"outcome": "error", "reason": "KeyError: 'x'"},
            False,
            Outcome(FAIL, None, "KeyError: 'x'", "error"),
        ),
        (
            {"outcome": "error", "reason": "no such width", "refused": True},
            False,
            Outcome(FAIL, None, "no such width", "error", refused=True),
        ),
        ({"outcome": "out_of_memory"}, False, Outcome(FAIL, None, "out of memory", "out_of_memory")),
        ({"epoch": 4, "outcome": "complete"}, False, Outcome(FAIL, None, f"the last result has no {KEY}", "error")),
        ({"epoch": 4, KEY: 1.0, "outcome": "odd"}, False, Outcome(FAIL, None, "unknown outcome 'odd'", "error")),
        (None, True, Outcome(FAIL, None, LOST, "lost")),
        ({"epoch": 2, KEY: 0.5, "outcome": ""}, True, Outcome(FAIL, None, LOST, "lost")),
    ],
)
def test_decide_is_the_table_of_outcomes(result, error, expected):
    assert decide(result, error, [KEY]) == expected


def test_several_objectives_give_several_values():
    result = {"epoch": 4, PAIR[0]: 0.2, PAIR[1]: 0.6, "outcome": "complete"}
    assert decide(result, False, PAIR).values == (0.2, 0.6)


OUTCOMES = {
    "complete": ("COMPLETE", "complete"),
    "pruned": ("PRUNED", "pruned"),
    "collapsed": ("COMPLETE", "collapsed"),
    "diverged": ("FAIL", "diverged"),
    "lost": ("FAIL", "lost"),
    "error": ("FAIL", None),
    "unfinished": ("RUNNING", "complete"),
}


@pytest.mark.parametrize("expected", OUTCOMES)
def test_outcomes(expected):
    state, tag = OUTCOMES[expected]
    attributes = {"outcome": {"tag": tag, "reason": ""}} if tag else {}
    values = {"value": 1.0} if state == "COMPLETE" else {}
    trial = create_trial(state=TrialState[state], user_attrs=attributes, **values)
    assert outcome(trial) == expected
    assert has_failed(trial) == (state == "FAIL")


def test_outcome_without_a_tag_is_that_of_the_state():
    assert outcome(create_trial(value=1.0)) == "complete"
    assert outcome(create_trial(state=TrialState.PRUNED)) == "pruned"
    assert outcome(create_trial(state=TrialState.WAITING)) == "unfinished"
