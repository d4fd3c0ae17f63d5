"""Writes the logged model of MLflow that a registered version points to: files, scores, data and versions."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import SeprayError, UnreachableError
from .artifact_locations import DEFAULT_EXPERIMENT, refusal
from .calls import reason_of
from .connection import import_mlflow
from .packaged_model import DIGEST, ModelError
from .stored_forms import NOTE, as_key, digest, inherited, now

DIGEST_TAG = "sepray.digest"
_VERSIONS = "mlflow.modelVersions"
"""Tag of a logged model: a JSON list of names and versions, which its page shows as the registered versions."""


class Scored(NamedTuple):
    """Scores of a model.

    Attributes:
        metrics: values by name.
        dataset: name of the data, as the tracker has logged it.
        fingerprint: digest of the data's content.
    """

    metrics: Mapping[str, float]
    dataset: str
    fingerprint: str


def digest_of(folder: Path) -> str:
    """Return the digest of a packaged model's content."""
    from mlflow.models import Model

    return str(Model.load(str(folder)).metadata[DIGEST])


def log(client: Any, run_id: str, folder: Path, name: str) -> str:
    """Upload a model unless the run has it; return the id of the logged model.

    If an upload was interrupted, or its files were deleted since, the files are sent to the same logged model again.

    Raises:
        ModelError: the files would go to a folder of this machine that is not the experiment's, or to an unknown host.
        UnreachableError: the store of the artifacts does not answer.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    digest = digest_of(folder)
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    logged = client.search_logged_models([experiment], filter_string=f"tags.`{DIGEST_TAG}` = '{digest}'")
    model = next((m for m in logged if m.source_run_id == run_id), None)
    if model is None:
        model = client.create_logged_model(
            experiment,
            name,
            run_id,
            tags={DIGEST_TAG: digest, **inherited(run.data.tags)},
            params=dict(run.data.params),
            model_type="separator",
        )
    is_new = str(model.status) != "READY"
    if is_new or not has_files(client, model.model_id):
        with tempfile.TemporaryDirectory() as copy:
            target = Path(copy) / "model"
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))
            description = Model.load(str(target))
            description.model_id, description.run_id = model.model_id, run_id
            description.artifact_path = model.artifact_location
            description.save(str(target / "MLmodel"))
            own, usual = _location_of(client, experiment), lambda: _location_of(client, DEFAULT_EXPERIMENT)
            if reason := refusal(model.artifact_location, own, client.tracking_uri, usual):
                raise ModelError(f"the model's files are not sent: {reason}")
            _upload(client, model.model_id, target)
        if is_new:
            client.finalize_logged_model(model.model_id, "READY")
    outputs = run.outputs.model_outputs if run.outputs else []
    if all(output.model_id != model.model_id for output in outputs):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _location_of(client: Any, experiment: str) -> str:
    return str(client.get_experiment(experiment).artifact_location)


def has_files(client: Any, model_id: str) -> bool:
    """Say whether a logged model's files are there.

    Raises:
        UnreachableError: the store of the artifacts does not answer.
    """
    try:
        return any(file.path == "MLmodel" for file in client.list_logged_model_artifacts(model_id))
    except (SeprayError, import_mlflow().MlflowException):
        raise
    except Exception as error:  # the libraries of clouds have errors of their own
        raise UnreachableError(f"the artifact store does not answer: {reason_of(error)}") from error


def _upload(client: Any, model_id: str, folder: Path) -> None:
    """Upload the files of a model.

    Raises:
        UnreachableError: the store of the artifacts, which need not be MLflow's server, does not take them.
    """
    try:
        client.log_model_artifacts(model_id, str(folder))
    except (SeprayError, import_mlflow().MlflowException):
        raise
    except Exception as error:  # the libraries of clouds have errors of their own
        raise UnreachableError(f"the artifact store does not take the model: {reason_of(error)}") from error


def log_scores(client: Any, run_id: str, model_id: str, scored: Scored) -> None:
    """Log a model's scores, linked to the data, unless they are logged already; the run gets these metrics too.

    New scores carry the time of the model, so that a repetition after a lost answer adds nothing. Scores that have
    changed carry the present time. Scores that are not finite are left out: MLflow's databases would show 0.
    """
    from mlflow.entities import Metric

    model, data = client.get_logged_model(model_id), digest(scored.fingerprint)
    latest = sorted(model.metrics or (), key=lambda metric: metric.timestamp)
    known = {metric.key: metric.value for metric in latest if metric.dataset_digest == data}
    missing = []
    for name, value in ((as_key(measure), score) for measure, score in scored.metrics.items()):
        if known.get(name) == value or not math.isfinite(value):
            continue
        moment = now() if name in known else int(model.creation_timestamp)
        link = {"model_id": model_id, "dataset_name": scored.dataset, "dataset_digest": data, "run_id": run_id}
        missing.append(Metric(name, value, moment, 0, **link))
    if missing:
        client.log_batch(run_id, metrics=missing)


def describe(client: Any, model_id: str, name: str, version: str, description: str) -> None:
    """Note on a logged model that it is a version of a registered model, and give it a description.

    A server notes the version by itself when it is made; a local database does not.
    """
    told = client.get_logged_model(model_id).tags
    versions = _listed(told.get(_VERSIONS))
    tags = {NOTE: description} if description and told.get(NOTE) != description else {}
    if all((each["name"], str(each["version"])) != (name, version) for each in versions):
        tags[_VERSIONS] = json.dumps([*versions, {"name": name, "version": version}])
    if tags:
        client.set_logged_model_tags(model_id, tags)


def _listed(text: str | None) -> list[dict[str, Any]]:
    """Return the versions that a model's tag lists; none if the tag is not as sepray or MLflow writes it."""
    try:
        versions = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    is_list = isinstance(versions, list) and all(
        isinstance(each, dict) and {"name", "version"} <= each.keys() for each in versions
    )
    return versions if is_list else []
