"""Lists the registered models."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .connection import import_mlflow
from .models import connected
from .packaged_model import DESCRIPTION, ModelError, describe_folder
from .stored_forms import quoted


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model.

    Attributes:
        name: name of the model.
        version: number of the version.
        aliases: aliases of the version, e.g. ``champion``, sorted.
        registered: local time of the registration.
        described: metadata of the packaged model (sources, sample rate, metric, task, study); empty if its files cannot
            be read, or are not sepray's.
        score: the metric on the test split at the registration; None if the version's run does not have it.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    registered: datetime.datetime
    described: dict[str, Any]
    score: float | None


def registered(uri: str | None = None) -> list[RegisteredModel]:
    """Return every version of every registered model: models by name, the newest version first.

    Raises:
        UnreachableError: the server does not answer.
    """
    versions = []
    with connected(uri) as client:
        for model in sorted(all_found(client.search_registered_models), key=lambda m: str(m.name)):
            versions += _versions(client, model)
    return versions


def _versions(client: Any, model: Any) -> list[RegisteredModel]:
    aliases: dict[str, list[str]] = {}
    for alias, number in model.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    versions = all_found(client.search_model_versions, filter_string=f"name = {quoted(model.name)}")
    return [
        _version(client, version, tuple(sorted(aliases.get(str(version.version), ()))))
        for version in sorted(versions, key=lambda v: -int(v.version))
    ]


def _version(client: Any, version: Any, aliases: tuple[str, ...]) -> RegisteredModel:
    described = _described(f"models:/{version.name}/{version.version}")
    return RegisteredModel(
        name=str(version.name),
        version=str(version.version),
        aliases=aliases,
        registered=_moment(version.creation_timestamp),
        described=described,
        score=_score(client, version, described.get("metric")),
    )


def _described(model: str) -> dict[str, Any]:
    """Return the metadata of the packaged model at an address; empty if they cannot be read, or it is not sepray's."""
    try:
        file = import_mlflow().artifacts.download_artifacts(artifact_uri=f"{model}/{DESCRIPTION}")
    except Exception:  # the file is gone or out of reach; the libraries of clouds have errors of their own
        return {}
    try:
        return describe_folder(Path(file).parent, model)[0]
    except ModelError:
        return {}


def _moment(milliseconds: Any) -> datetime.datetime:
    """Return milliseconds since 1970 as local time; 1970 itself for a value that is no such time."""
    try:
        return datetime.datetime.fromtimestamp(milliseconds / 1000)
    except (OverflowError, ValueError, TypeError, OSError):
        return datetime.datetime.fromtimestamp(0)


def _score(client: Any, version: Any, metric: str | None) -> float | None:
    """Return the metric from the study's run (the parent of the version's run) if it belongs to this version."""
    if not version.run_id or not metric:
        return None
    run = _run(client, version.run_id)
    study = _run(client, run.tags.get("mlflow.parentRunId")) if run else None
    if study is None or study.tags.get("model_version") != str(version.version):
        return None
    return next((float(v) for k, v in study.metrics.items() if k in (f"test/{metric}", f"test/mean/{metric}")), None)


def _run(client: Any, run_id: str | None) -> Any:
    """Return the data of a run; None if it is gone for good (``mlflow gc``)."""
    try:
        return client.get_run(run_id).data if run_id else None
    except import_mlflow().MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def all_found(search: Any, **arguments: Any) -> list[Any]:
    """Return the results of all pages of a search of the MlflowClient."""
    results: list[Any] = []
    token: str | None = None
    while True:
        page = search(page_token=token, **arguments)
        results += page
        token = page.token
        if not token:
            return results
