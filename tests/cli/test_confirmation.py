"""The question before something is deleted or trained: only yes is yes."""

import pytest

from sepray.cli.confirmation import is_confirmed
from sepray.errors import UsageError


@pytest.mark.parametrize(
    ("answer", "expected"), [("y", True), (" YES ", True), ("yes!", False), ("", False), ("n", False), ("yy", False)]
)
def test_only_y_and_yes_are_yes(terminal, answer, expected):
    answers, asked = terminal
    answers.append(answer)
    assert is_confirmed(False, "Train it?") is expected
    assert asked == ["Train it? [y/N] "]


def test_end_of_input_is_no(terminal, capsys):
    assert is_confirmed(False) is False
    assert terminal[1] == ["Delete this? [y/N] "]
    assert capsys.readouterr().out == "\n"


def test_yes_asks_nothing(terminal):
    assert is_confirmed(True) is True
    assert terminal[1] == []


def test_nobody_there_is_an_error_that_says_what_is_left(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(
        UsageError, match=r"^nothing is trained without an answer: run it in a terminal, or give --yes$"
    ):
        is_confirmed(False, left="nothing is trained")
