"""Checks locations that MLflow names for files: a database that others may write to could name any folder and host.

MLflow sends its login (``MLFLOW_TRACKING_PASSWORD``, ``MLFLOW_TRACKING_TOKEN``) to whichever host an experiment, a run
or a version of a model names for its files, even if it only reads them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..disk import links
from ..errors import UsageError, mask

TRUSTED = "SEPRAY_TRUST_ARTIFACT_PLACES"
"""Environment variable with further hosts (``name`` or ``name:port``) and absolute folders, separated by commas."""
DEFAULT_EXPERIMENT = "0"
"""Id of the experiment that every MLflow server makes by itself."""
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
# Azure's data lakes get a token; MLflow takes the domain from the address.
_LAKE = re.compile(
    r"[\w-]+@[\w-]+\.dfs\.(core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|fabric\.microsoft\.com)"
)
_asked: ContextVar[str] = ContextVar("asked", default="")
_guarded: dict[str, Any] = {}  # scheme -> function that checks a location and makes its repository


def refusal(location: str, experiment: str, uri: str, default: Callable[[], str | None]) -> str:
    """Return why files are not sent to a location; empty if they may be.

    Args:
        location: address of the files of a run or a model, as MLflow has it.
        experiment: location of the files of the run's experiment.
        uri: MLflow's address, as the user has given it.
        default: returns the location of the default experiment's files (``refusal_of_experiment``); called only if
            needed.
    """
    if reason := refusal_of_host(location, uri) or refusal_outside_experiment(location, experiment):
        return reason
    is_server = urlsplit(uri).scheme in ("http", "https")
    return refusal_of_experiment(experiment, default()) if is_server and _folder(experiment) is not None else ""


def refusal_outside_experiment(location: str, experiment: str) -> str:
    """Return why files are not written to a location; empty if they may be.

    A folder of this machine must lie below the experiment's folder, and behind no link there. A server or an object
    store decides for itself.

    Args:
        location: address of the files of a run or a model, as MLflow has it.
        experiment: location of the files of the run's experiment.
    """
    folder, top = _folder(location), _folder(experiment)
    if folder is None:
        return ""
    told = f"its files would go to {mask(location)}, which is not below its experiment's folder, {mask(experiment)}"
    if top is None:
        return told
    try:
        links.refuse(folder, top)
    except UsageError as error:
        return f"{told} ({error})"
    return ""


def refusal_of_experiment(experiment: str, default: str | None) -> str:
    """Return why no files are written to the local folder that a server names for an experiment; empty if they may be.

    Whoever creates an experiment may choose its folder. A server whose files lie on a shared disk keeps the folders of
    its experiments beside one another, so the folder must lie beside that of the default experiment.

    Args:
        experiment: address of the files of an experiment.
        default: address of the files of the default experiment (number 0); None if it is not known.
    """
    folder, usual = _folder(experiment), _folder(default) if default else None
    if folder is None or ".." in folder.parts:
        return f"its files would go to {mask(experiment)}"
    known = [Path(each) for each in _given() if os.path.isabs(each)]
    known += [usual.parent] if usual is not None and len(usual.parents) > 1 else []
    if any(folder.is_relative_to(each) for each in known):
        return ""
    return (
        f"its files would go to {mask(experiment)} on this machine, which is not beside those of the server's default "
        f"experiment; if you trust it, set {TRUSTED}={folder}"
    )


def refusal_of_host(location: str, uri: str) -> str:
    """Return why files are neither read from nor sent to a host; empty if they may be, or there is no such host.

    Files are exchanged with the host of MLflow's own address, and with the hosts in ``TRUSTED``.

    Args:
        location: address of files, as MLflow has it.
        uri: MLflow's address, as the user has given it.
    """
    parts, own = urlsplit(location), urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "abfss":
        is_known = bool(_LAKE.fullmatch(parts.netloc)) or _host(host, "https") in _trusted("https")
    elif parts.scheme in ("http", "https") or (parts.scheme == "mlflow-artifacts" and parts.netloc):
        scheme = own.scheme if parts.scheme == "mlflow-artifacts" else parts.scheme
        known = _trusted(scheme)
        if (own.scheme, scheme) != ("https", "http"):  # the login would be sent in the clear
            known.append(_host(own.netloc.rpartition("@")[2], own.scheme))
        found = _host(parts.netloc, scheme) if parts.netloc != own.netloc else _host(host, scheme)
        is_known = found is not None and found in known
    else:
        return ""
    if is_known:
        return ""
    return (
        f"files would be at {mask(location)}, which is not the host of MLflow's address, and would get its login; if "
        f"you trust it, set {TRUSTED}={host}"
    )


@contextlib.contextmanager
def trusted_hosts_only(uri: str) -> Iterator[None]:
    """Keep MLflow from the hosts that ``refusal_of_host`` refuses, in this thread, until the block ends.

    For such a host MLflow raises an MlflowException (INVALID_PARAMETER_VALUE).
    """
    from mlflow.store.artifact import artifact_repository_registry

    known = artifact_repository_registry._artifact_repository_registry
    for scheme, made in list(known._registry.items()):
        if made is not _guarded.get(scheme):
            _guarded[scheme] = _checked(made)
            known.register(scheme, _guarded[scheme])
    token = _asked.set(uri)
    try:
        yield
    finally:
        _asked.reset(token)


def _checked(made: Callable[..., Any]) -> Callable[..., Any]:
    def repository(artifact_uri: str, *arguments: Any, **named: Any) -> Any:
        uri = _asked.get()
        if uri and (reason := refusal_of_host(artifact_uri, uri)):
            from mlflow.exceptions import MlflowException

            raise MlflowException.invalid_parameter_value(reason)
        return made(artifact_uri, *arguments, **named)

    return repository


def _host(text: str, scheme: str) -> tuple[str, int] | None:
    """Return name and port of a host; None if programs could read the text in different ways."""
    match = _HOST.fullmatch(text)
    return None if match is None else (match["name"].lower(), int(match["port"] or _PORTS.get(scheme, 0)))


def _trusted(scheme: str) -> list[tuple[str, int] | None]:
    return [_host(each, scheme) for each in _given()]


def _given() -> list[str]:
    """Return the hosts and folders that ``TRUSTED`` names."""
    return [each.strip() for each in os.environ.get(TRUSTED, "").split(",") if each.strip()]


def _folder(location: str) -> Path | None:
    """Return the local folder that MLflow would write to, relative paths from the current one; None for a store."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else location).absolute()
