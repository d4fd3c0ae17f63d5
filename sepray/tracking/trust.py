"""Decides whose code may run when a model is loaded: that of own studies, of a key's owners, or of anybody by consent.

Imports no torch and no mlflow.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from ..disk import private_list
from ..errors import UsageError

KEY = "SEPRAY_MODEL_KEY"
"""Environment variable with a secret that signs models; if it is set, only models with its signature are loaded."""
CONSENT = "SEPRAY_TRUST_MODEL_CODE"
"""Environment variable that is ``1`` if the code of all models may run."""
_SHORTEST = 16  # characters of a key
_METHOD, _FORMER_METHOD = "hmac-sha256-2:", "hmac-sha256:"
_OWN = "model-code"  # name of the list

_consents: ContextVar[bool] = ContextVar("consents", default=False)


@contextlib.contextmanager
def consent(given: bool) -> Iterator[None]:
    """Let the code of all models that are loaded in the block run, whoever wrote it, if ``given`` is true."""
    token = _consents.set(_consents.get() or given)
    try:
        yield
    finally:
        _consents.reset(token)


def consented() -> bool:
    """Say whether the user trusts the code of every model."""
    return _consents.get() or os.environ.get(CONSENT) == "1"


def signature(digest: str, facts: Mapping[str, Any] | None = None) -> str | None:
    """Return the signature of a model (HMAC-SHA256); None if there is no key.

    Args:
        digest: digest of the model's code, configuration and weights.
        facts: all its other metadata; JSON values.

    Raises:
        UsageError: the key is too short to be a secret.
    """
    key = os.environ.get(KEY, "")
    if not key:
        return None
    if len(key) < _SHORTEST:
        raise UsageError(
            f"{KEY} is too short to be a secret: give {_SHORTEST} characters or more (openssl rand -hex 32)"
        )
    told = json.dumps([digest, facts or {}], sort_keys=True)
    return _METHOD + hmac.new(key.encode(), b"sepray model 2\0" + told.encode(), hashlib.sha256).hexdigest()


def is_former(given: object) -> bool:
    """Say whether a signature has the form of older versions, which signed the digest alone."""
    return str(given).startswith(_FORMER_METHOD)


def is_signed(digest: str, given: object, facts: Mapping[str, Any] | None = None) -> bool | None:
    """Say whether ``given`` is the signature of a model; None if there is no key.

    Args:
        digest: as for ``signature``.
        given: the signature that the model has; None for none.
        facts: as for ``signature``.

    Raises:
        UsageError: the key is too short to be a secret.
    """
    expected = signature(digest, facts)
    return None if expected is None else hmac.compare_digest(expected.encode(), str(given).encode(errors="replace"))


def remember(code: str) -> None:
    """Remember the digest of code that a study of this user has packaged.

    Args:
        code: SHA-256, in hexadecimal.
    """
    private_list.add(_OWN, code)


def is_own(code: str) -> bool:
    """Say whether a study of this user has packaged code with this digest, as this user's own list says."""
    return private_list.contains(_OWN, code)
