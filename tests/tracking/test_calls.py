"""Ends of calls to MLflow: an answer, a refusal, a failure that may pass, or silence."""

import pytest

from sepray.tracking.calls import FailedError, RefusedError, UnavailableError, call, reason_of


class Client:
    """A server that answers, or not; it counts how often it was asked."""

    def __init__(self, error=None):
        self.error, self.asked = error, []

    def search_experiments(self, max_results):
        self.asked.append(max_results)
        if self.error is not None:
            raise self.error


class MlflowError(Exception):
    def __init__(self, text, code):
        super().__init__(text)
        self.error_code = code


def failing(error):
    def function(*arguments, **named):
        raise error

    return function


def test_answer_comes_back_and_all_arguments_arrive():
    client = Client()
    assert call(client, lambda *given, **named: (given, named), 1, "a", key=2) == ((1, "a"), {"key": 2})
    assert client.asked == []


@pytest.mark.parametrize(
    ("error", "kind", "asked"),
    [
        (FileNotFoundError("no such file"), RefusedError, 0),
        (MlflowError("too long", "INVALID_PARAMETER_VALUE"), RefusedError, 0),
        (MlflowError("gone", "RESOURCE_DOES_NOT_EXIST"), RefusedError, 0),
        (MlflowError("finished", "INVALID_STATE"), RefusedError, 0),
        (MlflowError("later", "TEMPORARILY_UNAVAILABLE"), UnavailableError, 0),
        (MlflowError("later", "PERMISSION_DENIED"), UnavailableError, 0),
        (MlflowError("broken", "INTERNAL_ERROR"), FailedError, 1),
        (OSError("reset"), FailedError, 1),
    ],
)
def test_errors_are_told_apart_by_what_to_do_about_them(error, kind, asked):
    client = Client()
    with pytest.raises(kind, match=f"^{error}$") as raised:
        call(client, failing(error))
    assert type(raised.value) is kind
    assert client.asked == [1] * asked


@pytest.mark.parametrize("error", [MlflowError("broken", "INTERNAL_ERROR"), OSError("reset")])
def test_failure_where_nothing_else_is_answered_either_is_silence(error):
    with pytest.raises(UnavailableError, match=r"^no route$"):
        call(Client(OSError("no route")), failing(error))


def test_interruption_is_no_failure_of_the_server():
    with pytest.raises(KeyboardInterrupt):
        call(Client(), failing(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("first line\nsecond"), "first line"),
        (ValueError(""), "ValueError"),
        (ValueError("  \n\n"), "ValueError"),
        (ValueError("x" * 501), "x" * 500),
        (OSError("http://me:secret@host is down"), "http://me:***@host is down"),
        (OSError("API request to http://h failed: NewConnectionError('x: [Errno 111] Connection refused')"),
         "Connection refused"),
        (OSError("API request to http://h failed: [Errno -2] Name or service not known"), "Name or service not known"),
        (OSError("API request to http://h failed: Read timed out. (read timeout=1)"), "timed out"),
        (OSError("API request to http://h failed: too many 503 error responses"), "too many 503 error responses"),
        (OSError("API request to http://h failed: strange"), "API request to http://h failed: strange"),
        (OSError("at [Errno 111] Connection refused"), "at [Errno 111] Connection refused"),
        (ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2"),
         "No module named 'psycopg2'; pip install 'sepray[cluster]', and write postgresql+psycopg://"),
    ],
)  # fmt: skip
def test_reason_is_one_line_without_secrets(error, reason):
    assert reason_of(error) == reason
