"""Asks an MLflow server, before a study begins, whether it lets this user in. Imports no mlflow, which takes seconds.

A server that does not answer is no reason to refuse a study: updates for it wait in the outbox.
"""

from __future__ import annotations

import configparser
import json
import os
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, mask

_SECONDS = 5.0
_LONGEST_ANSWER = 1 << 20  # bytes
_OTHER_LOGINS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_WHAT_TO_SET = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"


def require_access(uri: str, experiment: str) -> str:
    """Refuse a server that does not let this user read and write; return where runs of an experiment keep artifacts.

    If another user has made the experiment or the registered model, this one may be allowed to read it only. So a tag
    ``sepray`` is written to each that is there. The login is the one that MLflow's client would use: environment
    variables, ``~/.mlflow/credentials``, or the address itself. If a plug-in of MLflow's makes the login, nothing is
    asked.

    Args:
        uri: MLflow's address, with its secrets; files and databases pass.
        experiment: name of the experiment and of the registered model, which need not exist.

    Returns:
        The URI below which artifacts lie; empty if the server keeps them itself or does not say.

    Raises:
        UsageError: the server refuses this user, or the host name in the address.
    """
    if not uri.startswith(("http://", "https://")) or any(os.environ.get(name) for name in _OTHER_LOGINS):
        return ""
    if _ask(uri, "experiments/search", {"max_results": "1"}) is None:
        return ""
    own = _ask(uri, "experiments/get-by-name", {"experiment_name": experiment})
    if number := _part(own, "experiment").get("experiment_id"):
        _ask(uri, "experiments/set-experiment-tag", tag={"experiment_id": number}, what=f"experiment {experiment}")
    if _part(_ask(uri, "registered-models/get", {"name": experiment}), "registered_model"):
        _ask(uri, "registered-models/set-tag", tag={"name": experiment}, what=f"registered model {experiment}")
    location = _location(own) or _location(_ask(uri, "experiments/get", {"experiment_id": "0"})).rpartition("/")[0]
    return (
        location
        if "://" in location and not location.startswith(("mlflow-artifacts:", "file:", "http:", "https:"))
        else ""
    )


def _location(answer: Any) -> str:
    return str(_part(answer, "experiment").get("artifact_location", ""))


def _part(answer: Any, name: str) -> dict[str, Any]:
    """Return the object of an answer that has this name; empty if there is none."""
    part = answer.get(name) if isinstance(answer, dict) else None
    return part if isinstance(part, dict) else {}


def _ask(
    uri: str, method: str, query: Mapping[str, str] | None = None, tag: Mapping[str, str] | None = None, what: str = ""
) -> Any:
    """Return the JSON answer of a request; None if there is none, or its status is not 200.

    Args:
        uri: MLflow's address.
        method: method of MLflow's REST API.
        query: parameters of a request that reads.
        tag: for a request that writes the tag ``sepray``, the object that gets it; None: the request reads.
        what: that object in words, for the message.

    Raises:
        UsageError: the server refuses this user, or the host name in the address.
    """
    asked: dict[str, Any] = {"url": f"{uri.rstrip('/')}/api/2.0/mlflow/{method}", **_login(), **_tls()}
    if tag is None:
        asked |= {"method": "GET", "params": query}
    else:
        asked |= {"method": "POST", "json": {**tag, "key": "sepray", "value": "true"}}
    if (answer := _answer(asked)) is None:
        return None
    status, content = answer
    shown = mask(uri)
    if status == 401:
        raise UsageError(f"MLflow at {shown} refuses this user (401): {_WHAT_TO_SET}")
    if status == 403 and b"host" in content[:300].lower():
        raise UsageError(
            f"MLflow at {shown} does not answer to this name (403): start it with --allowed-hosts 'HOST:PORT', or give "
            "--tracking-uri with a name that it knows"
        )
    if status == 403 and tag is not None:
        raise UsageError(
            f"MLflow at {shown} lets this user read the {what}, which another user has made, and not write to it "
            f"(403): ask for the permission EDIT, or {_WHAT_TO_SET}"
        )
    if status == 403:
        raise UsageError(f"MLflow at {shown} forbids this user to {method} (403): ask for that, or {_WHAT_TO_SET}")
    try:
        return json.loads(content) if status == 200 else None
    except (ValueError, RecursionError):
        return None


def _answer(asked: Mapping[str, Any]) -> tuple[int, bytes] | None:
    """Return status and content of an answer; None if there is none in time, or it is too long.

    The time limit of ``requests`` is for each part of an answer, so a server that sends a byte at a time could keep the
    study waiting for ever. So a thread sends the request, and the study waits for the thread ten seconds at most.

    Args:
        asked: arguments of ``requests.request``.
    """
    import requests

    answers: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()

    def ask() -> None:
        content = bytearray()
        try:
            with requests.request(**asked, timeout=_SECONDS, stream=True) as answer:
                for part in answer.iter_content(1 << 16):
                    content += part
                    if len(content) > _LONGEST_ANSWER:
                        break
        except (OSError, ValueError):  # requests raises OSErrors, and so does a missing file of a certificate
            answers.put(None)
        else:
            answers.put((answer.status_code, bytes(content)) if len(content) <= _LONGEST_ANSWER else None)

    threading.Thread(target=ask, name="mlflow-access", daemon=True).start()
    try:
        return answers.get(timeout=2 * _SECONDS)
    except queue.Empty:
        return None


def _login() -> dict[str, Any]:
    """Return the arguments of ``requests`` with the login that MLflow's client would use."""
    user, password = (_setting(f"mlflow_tracking_{name}") for name in ("username", "password"))
    if user and password:
        return {"auth": (user, password)}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"headers": {"Authorization": f"Bearer {token}"}} if token else {}


def _setting(name: str) -> str | None:
    """Return a setting from the environment, or else from MLflow's file of credentials."""
    if given := os.environ.get(name.upper()):
        return given
    file = configparser.ConfigParser(interpolation=None)
    try:
        file.read(Path("~/.mlflow/credentials").expanduser())
    except (configparser.Error, OSError, ValueError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    return file.get("mlflow", name, fallback=None)


def _tls() -> dict[str, Any]:
    """Return the arguments of ``requests`` by which MLflow's client would check a server's certificate."""
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    found = {"verify": False if insecure else os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True}
    own = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    return {**found, "cert": own} if own else found
