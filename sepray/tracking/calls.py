"""Calls MLflow and tells apart answers, final refusals, failures that may pass, and silence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..errors import how_to_install, mask

PERMANENT = {
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "BAD_REQUEST",
    "MALFORMED_REQUEST",
    "INVALID_STATE",
    "NOT_IMPLEMENTED",
}


class RefusedError(Exception):
    """MLflow refuses the call, and will refuse it again; the message is masked."""


class UnavailableError(Exception):
    """MLflow does not answer any call now; the message is masked."""


class FailedError(Exception):
    """The call failed, for a reason that may pass; the message is masked."""


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message, masked and cut to 500 characters, and what to install, if any."""
    text = mask(str(error))
    if text.startswith("API request to"):  # the reason is inside the names of five nested exceptions
        match = re.search(r"\[Errno -?\d+\] ([\w ]+)|(timed out)|(too many \d+ error responses)", text)
        if match:
            return next(part for part in match.groups() if part)
    lines = text.strip().splitlines() or [type(error).__name__]
    return "; ".join(part for part in (lines[0][:500], how_to_install(error)) if part)


def call(client: Any, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call MLflow and return its answer; turn every error into one of three, by what to do about it.

    Args:
        client: an MlflowClient, which is asked whether the server answers at all.
        function: one of its methods.
        arguments: arguments of the method.
        named: its keyword arguments.

    Raises:
        RefusedError: MLflow will refuse the same call again.
        FailedError: the call failed, although the server answers other requests.
        UnavailableError: the server does not answer.
    """
    try:
        return function(*arguments, **named)
    except FileNotFoundError as error:
        raise RefusedError(reason_of(error)) from None
    except Exception as error:
        if getattr(error, "error_code", None) in PERMANENT:
            raise RefusedError(reason_of(error)) from None
        if getattr(error, "error_code", None) != "INTERNAL_ERROR" and hasattr(error, "error_code"):
            raise UnavailableError(reason_of(error)) from None
        _require_answer(client)
        raise FailedError(reason_of(error)) from None


def _require_answer(client: Any) -> None:
    try:
        client.search_experiments(max_results=1)
    except Exception as error:
        raise UnavailableError(reason_of(error)) from None
