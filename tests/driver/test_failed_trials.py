"""Words of a command on trials that ended in errors: bugs first, then those that the user can put right."""

import sys

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from sepray.driver import failed_trials

FRAME = '  File "/home/me/mine.py", line 3, in separate\n    1 / 0\n'
TRACE = f"Traceback (most recent call last):\n{FRAME}ZeroDivisionError: no"
BUG = {"tag": "error", "reason": "ZeroDivisionError: no"}
REFUSED = {"tag": "error", "reason": "width must be even, not 3", "refused": True}
DIVERGED = {"tag": "diverged", "reason": "train/l1 is nan at epoch 2"}


def failed(number: int, outcome: dict, **attributes: str) -> FrozenTrial:
    trial = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"outcome": outcome, **attributes})
    trial.number = number
    return trial


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [([], 1), ([DIVERGED], 1), ([REFUSED, DIVERGED], 2), ([REFUSED, REFUSED], 2), ([BUG, REFUSED], 3), ([BUG], 3)],
)
def test_status_is_that_of_the_worst_error(outcomes, status):
    trials = [failed(number, outcome) for number, outcome in enumerate(outcomes)]
    assert failed_trials.exit_status(trials) == status


def test_error_that_the_user_can_put_right_is_one_line_that_names_the_trial():
    one = failed(4, REFUSED, traceback=TRACE)
    assert failed_trials.words([failed(3, DIVERGED), one]) == ["trial 4: width must be even, not 3"]
    named = failed(5, REFUSED, traceback=TRACE, label="CASS")
    assert failed_trials.words([one, named]) == ["CASS: width must be even, not 3 (2 trials ended in such an error)"]
    assert failed_trials.words([failed(3, DIVERGED)]) == []


def test_bug_comes_before_it_and_traceback_shows_all_of_the_last_one(monkeypatch):
    bug, refused = failed(0, BUG, traceback=TRACE), failed(1, REFUSED, traceback=TRACE.replace("no", "later"))
    first, second = failed_trials.words([bug, refused])
    assert "ZeroDivisionError: no" in first
    assert second == (
        "1 trial ended in an error of the code, the last one as shown above; --traceback shows the whole traceback, "
        "and every trial's run has its own as traceback.txt"
    )
    monkeypatch.setattr(sys, "argv", ["study.py", "--traceback"])
    assert failed_trials.words([refused])[0].endswith("ZeroDivisionError: later")
    assert failed_trials.words([bug, refused])[1] == (
        "1 trial ended in an error of the code, the last one as shown above; every trial's run has its own as "
        "traceback.txt"
    )
