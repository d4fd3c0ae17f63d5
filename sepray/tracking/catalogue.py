"""Lists the registered models."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .connection import import_mlflow
from .models import _reach


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model.

    Attributes:
        name: of the model.
        version: its number.
        aliases: of the version, e.g. ``champion``.
        registered: when, in local time.
        described: what was recorded when it was packaged (sources, sample rate, metric, task, study).
        score: the metric on the test split when it was registered; None where its run does not say.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    registered: datetime.datetime
    described: dict[str, Any]
    score: float | None


def registered(uri: str | None = None) -> list[RegisteredModel]:
    """Return every version of every registered model, the newest version first.

    Raises:
        UnreachableError: the server does not answer.
    """
    with _reach(uri) as client:
        return list(_registered(client))


def _registered(client: Any) -> Iterator[RegisteredModel]:
    mlflow = import_mlflow()
    for model in sorted(_pages(client.search_registered_models), key=lambda m: str(m.name)):
        quoted = str(model.name).replace("'", "''")
        versions = _pages(client.search_model_versions, filter_string=f"name = '{quoted}'")
        names: dict[str, list[str]] = {}
        for alias, number in model.aliases.items():
            names.setdefault(str(number), []).append(alias)
        for version in sorted(versions, key=lambda v: -int(v.version)):
            address = f"models:/{model.name}/{version.version}"
            try:
                described = dict(mlflow.models.get_model_info(address).metadata or {})
            except (mlflow.MlflowException, OSError):  # its files are gone, or were never MLflow's
                described = {}
            yield RegisteredModel(
                name=str(model.name),
                version=str(version.version),
                aliases=tuple(sorted(names.get(str(version.version), ()))),
                registered=datetime.datetime.fromtimestamp(version.creation_timestamp / 1000),
                described=described,
                score=_score(client, version, described.get("metric")),
            )


def _score(client: Any, version: Any, metric: str | None) -> float | None:
    """Return the metric from the study's run, which is the parent of the version's, where it is of this version."""
    if not version.run_id or not metric:
        return None
    parent = client.get_run(version.run_id).data.tags.get("mlflow.parentRunId")
    study = client.get_run(parent).data if parent else None
    if study is None or study.tags.get("model_version") != str(version.version):
        return None
    return next((float(v) for k, v in study.metrics.items() if k in (f"test/{metric}", f"test/mean/{metric}")), None)


def _pages(search: Any, **question: Any) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        page = search(page_token=token, **question)
        found += page
        token = page.token
        if not token:
            return found
