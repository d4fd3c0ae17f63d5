"""Asks an MLflow server, before a study begins, whether it lets this user in. Imports no mlflow, which takes seconds.

A server that does not answer is no reason to refuse a study: what it is to be told waits in the outbox.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import Any

from ..errors import UsageError, mask

_SECONDS = 5.0
_OTHER_LOGINS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_WHAT_TO_SET = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"


def require_access(uri: str, experiment: str) -> str:
    """Refuse a server that does not let this user in; return where runs of an experiment keep their artifacts.

    The login is that of MLflow's client: variables, ``~/.mlflow/credentials``, or the address itself. A login that a
    plug-in makes is not looked at.

    Args:
        uri: MLflow's address, with its secrets; files and databases pass.
        experiment: name of the experiment, which need not exist.

    Returns:
        The URI below which artifacts lie; empty where the server keeps them itself or does not say.

    Raises:
        UsageError: the server refuses this user, or this name of its host.
    """
    if not uri.startswith(("http://", "https://")) or any(os.environ.get(name) for name in _OTHER_LOGINS):
        return ""
    _get(uri, "experiments/search", {"max_results": "1"})
    own = _get(uri, "experiments/get-by-name", {"experiment_name": experiment})
    place = _location(own) or _location(_get(uri, "experiments/get", {"experiment_id": "0"})).rpartition("/")[0]
    return place if "://" in place and not place.startswith(("mlflow-artifacts:", "file:", "http:", "https:")) else ""


def _location(answer: Any) -> str:
    experiment = answer.get("experiment") if isinstance(answer, dict) else None
    return str(experiment.get("artifact_location", "")) if isinstance(experiment, dict) else ""


def _get(uri: str, method: str, query: dict[str, str]) -> Any:
    """Return the JSON answer of a request; None where there is none, or another one than 200."""
    import requests

    try:
        answer = requests.get(
            f"{uri.rstrip('/')}/api/2.0/mlflow/{method}", params=query, timeout=_SECONDS, **_login(), **_tls()
        )
    except requests.RequestException:
        return None
    shown = mask(uri)
    if answer.status_code == 401:
        raise UsageError(f"MLflow at {shown} refuses this user (401): {_WHAT_TO_SET}")
    if answer.status_code == 403 and "host" in answer.text[:300].lower():
        raise UsageError(
            f"MLflow at {shown} does not answer to this name (403): start it with --allowed-hosts 'HOST:PORT', or give "
            "--tracking-uri with a name that it knows"
        )
    if answer.status_code == 403:
        raise UsageError(f"MLflow at {shown} forbids this user to {method} (403): ask for that, or {_WHAT_TO_SET}")
    try:
        return answer.json() if answer.status_code == 200 else None
    except (ValueError, RecursionError):
        return None


def _login() -> dict[str, Any]:
    """Return how a request says who asks, as MLflow's client does."""
    user, password = (_setting(f"mlflow_tracking_{name}") for name in ("username", "password"))
    if user and password:
        return {"auth": (user, password)}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"headers": {"Authorization": f"Bearer {token}"}} if token else {}


def _setting(name: str) -> str | None:
    """Return a setting of the environment, or else of MLflow's file of credentials."""
    if given := os.environ.get(name.upper()):
        return given
    file = configparser.ConfigParser(interpolation=None)
    try:
        file.read(Path("~/.mlflow/credentials").expanduser())
    except (configparser.Error, OSError, ValueError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    return file.get("mlflow", name, fallback=None)


def _tls() -> dict[str, Any]:
    """Return how a server's certificate is checked, as MLflow's client does."""
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    found = {"verify": False if insecure else os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True}
    own = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    return {**found, "cert": own} if own else found
