"""Finds and deletes a study's runs in MLflow, which can be restored, and its versions of registered models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import all_found
from .models import connected
from .run_finding import STUDY_TAG
from .stored_forms import quoted


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model.

    Attributes:
        name: name of the model.
        version: number of the version.
        aliases: its aliases, sorted.
    """

    name: str
    version: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class TrackedStudy:
    """A study's runs and models in MLflow.

    Attributes:
        runs: ids of its runs that are not deleted, the study's own run last.
        versions: its versions of registered models.
    """

    runs: tuple[str, ...]
    versions: tuple[ModelVersion, ...]


def tracked(study: str, uri: str) -> TrackedStudy:
    """Return a study's runs and versions of models in MLflow.

    Args:
        study: identity of the study among all others on the server, as for ``Tracker``.
        uri: address of MLflow.

    Raises:
        UnreachableError: the server does not answer.
    """
    of_study = f"tags.`{STUDY_TAG}` = {quoted(study)}"
    with connected(uri) as client:
        experiments = [found.experiment_id for found in all_found(client.search_experiments)]
        runs = all_found(client.search_runs, experiment_ids=experiments, filter_string=of_study)
        found = all_found(client.search_model_versions, filter_string=of_study)
        versions = [client.get_model_version(version.name, version.version) for version in found]
    runs.sort(key=lambda run: "mlflow.parentRunId" not in run.data.tags)
    named = sorted((str(v.name), int(v.version), tuple(sorted(map(str, v.aliases)))) for v in versions)
    return TrackedStudy(
        tuple(str(run.info.run_id) for run in runs),
        tuple(ModelVersion(name, str(number), aliases) for name, number, aliases in named),
    )


def delete_runs(runs: Sequence[str], uri: str) -> None:
    """Delete runs, in the given order. They can be restored until ``mlflow gc``.

    Raises:
        UnreachableError: the server does not answer.
    """
    with connected(uri) as client:
        for run in runs:
            client.delete_run(run)


def delete_versions(versions: Sequence[ModelVersion], uri: str) -> None:
    """Delete versions of registered models for good, and their logged models unless another version has the same one.

    Raises:
        UnreachableError: the server does not answer.
    """
    with connected(uri) as client:
        for version in versions:
            source = str(client.get_model_version(version.name, version.version).source)
            client.delete_model_version(version.name, version.version)
            if source.startswith("models:/m-") and not _versions_of(client, source):
                client.delete_logged_model(source.removeprefix("models:/"))


def _versions_of(client: Any, source: str) -> list[Any]:
    return all_found(client.search_model_versions, filter_string=f"source_path = {quoted(source)}")
