"""Calls MLflow, and tells answers, final refusals, failures that may pass, and silence apart."""

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
    """MLflow will never take this; the message is masked."""


class UnavailableError(Exception):
    """MLflow does not take anything now; the message is masked."""


class FailedError(Exception):
    """MLflow did not take this, for a reason that may pass; the message is masked."""


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets, of at most 500 characters; what to install."""
    text = mask(str(error))
    if text.startswith("API request to"):  # the reason is inside the names of five nested exceptions
        match = re.search(r"\[Errno -?\d+\] ([\w ]+)|(timed out)|(too many \d+ error responses)", text)
        if match:
            return next(part for part in match.groups() if part)
    lines = text.strip().splitlines() or [type(error).__name__]
    return "; ".join(part for part in (lines[0][:500], how_to_install(error)) if part)


def call(client: Any, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call MLflow and return its answer; turn what it raises into one of three errors by what to do about it.

    Args:
        client: an MlflowClient, which is asked whether the server answers at all.
        function: one of its methods.
        arguments: arguments of the method.
        named: further ones.

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
