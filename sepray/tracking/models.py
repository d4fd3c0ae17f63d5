"""The model registry: packaged models are logged into runs, registered once, and loaded.

These calls wait for the server, for seconds and not for ever; everything else goes through the outbox.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UnreachableError, UsageError, mask
from .connection import connect, import_mlflow
from .delivery import PERMANENT, one_line
from .environment import environment, resolve_uri
from .outbox import RunKey
from .packaging import DIGEST, package_model
from .tracker import Tracker

__all__ = [
    "Incumbent",
    "ModelError",
    "UnreachableError",
    "describe",
    "incumbent",
    "load",
    "log_model",
    "package_model",
    "register",
    "set_champion",
]

CHAMPION = "champion"
DIGEST_TAG = "sepray.digest"
STUDY_TAG = "sepray.study"
_QUESTION = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_WORK = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


class ModelError(UsageError):
    """MLflow refused, or there is no such model; the message is one line, without secrets."""


class Incumbent(NamedTuple):
    """The version that bears the alias ``champion``."""

    version: str
    run_id: str


def register(
    tracker: Tracker,
    label: int | str,
    folder: Path,
    name: str,
    *,
    tags: Mapping[str, str] | None = None,
    description: str = "",
    patience: float = 60.0,
) -> str:
    """Log a packaged model into a trial's run and register it; return its version.

    Doing it again, also after it was killed in between, returns the same version: the content's digest is a tag.

    Args:
        tracker: of the study.
        label: of the trial or retraining whose run the model belongs to.
        folder: that ``package_model`` wrote.
        name: of the registered model.
        tags: of the version.
        description: of the version.
        patience: seconds to wait until that run has been delivered.

    Raises:
        UnreachableError: the server does not answer.
        ModelError: it refuses.
    """
    with _reach(tracker.uri) as client:
        run_id = _run_id(tracker, str(label), patience)
        model_id = _log(client, run_id, folder, name)
        digest = _digest(folder)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        quoted = name.replace("'", "''")
        for version in client.search_model_versions(f"name = '{quoted}'"):
            if version.tags.get(DIGEST_TAG) == digest and version.run_id == run_id:
                return str(version.version)
        marks = {**(tags or {}), STUDY_TAG: tracker.study, DIGEST_TAG: digest}
        created = client.create_model_version(
            name, f"models:/{model_id}", run_id, tags=marks, description=description or None, model_id=model_id
        )
        return str(created.version)


def log_model(run_id: str, folder: Path, name: str, uri: str | None = None) -> str:
    """Log a packaged model as a run's model, once; return its MLflow model id."""
    with _reach(uri) as client:
        return _log(client, run_id, folder, name)


def set_champion(name: str, version: str, uri: str | None = None) -> None:
    """Give a version the alias ``champion``, taking it from the one that has it."""
    with _reach(uri) as client:
        client.set_registered_model_alias(name, CHAMPION, version)


def incumbent(name: str, uri: str | None = None) -> Incumbent | None:
    """Return the version that bears the alias ``champion``; None where there is none."""
    with _reach(uri) as client:
        for model in client.search_registered_models(f"name = '{name}'"):
            if CHAMPION in model.aliases:
                version = client.get_model_version_by_alias(name, CHAMPION)
                return Incumbent(str(version.version), str(version.run_id or ""))
    return None


def load(model: str, uri: str | None = None) -> Any:
    """Return the pyfunc model at ``models:/name@champion``, ``models:/name/3`` or in a local folder."""
    mlflow = import_mlflow()
    if _is_folder(model):
        return mlflow.pyfunc.load_model(model)
    with _reach(uri):
        return mlflow.pyfunc.load_model(model)


def describe(model: str, uri: str | None = None) -> dict[str, Any]:
    """Return what was recorded when the model was packaged (sources, sample rate, task ...) and its ``run_id``."""
    loaded = load(model, uri).metadata
    return {**(loaded.metadata or {}), "run_id": loaded.run_id}


def _is_folder(model: str) -> bool:
    if model.startswith(("models:/", "runs:/")):
        return False
    if not (Path(model) / "MLmodel").is_file():
        raise ModelError(f"{model} is neither a models:/ address nor a folder with a packaged model (no MLmodel in it)")
    return True


@contextmanager
def _reach(uri: str | None) -> Iterator[Any]:
    """Give a client of a server that answers; MLflow's own global address is ``uri`` meanwhile.

    MLflow resolves ``models:/`` addresses through that global, whatever client is used.
    """
    address = resolve_uri(uri)
    mlflow = import_mlflow()
    before = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(address)
    try:
        with environment(_QUESTION):
            try:
                client = connect(address)
            except Exception as error:
                raise UnreachableError(f"MLflow at {mask(address)} does not answer: {one_line(error)}") from None
        with environment(_WORK):
            yield client
    except (UnreachableError, ModelError):
        raise
    except mlflow.MlflowException as error:
        kind = ModelError if error.error_code in PERMANENT else UnreachableError
        raise kind(f"MLflow at {mask(address)}: {one_line(error)}") from None
    finally:
        mlflow.set_tracking_uri(before)


def _run_id(tracker: Tracker, label: str, patience: float) -> str:
    """Return the id of a run, waiting until all that was said of it is delivered."""
    deadline = time.monotonic() + patience
    key = RunKey(tracker.study, label)
    while label not in (known := tracker.run_ids()) or tracker.outbox.pending(key):
        if time.monotonic() > deadline:
            raise UnreachableError(f"MLflow at {mask(tracker.uri)} has not taken the run {label!r} in {patience:.0f} s")
        tracker.flush(timeout=1.0)
    return known[label]


def _digest(folder: Path) -> str:
    from mlflow.models import Model

    return str(Model.load(str(folder)).metadata[DIGEST])


def _log(client: Any, run_id: str, folder: Path, name: str) -> str:
    """Upload a model unless the run has it; an upload that was cut off is done again into the same model."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    digest = _digest(folder)
    run = client.get_run(run_id)
    experiment = run.info.experiment_id
    logged = client.search_logged_models([experiment], filter_string=f"tags.`{DIGEST_TAG}` = '{digest}'")
    model = next((m for m in logged if m.source_run_id == run_id), None)
    if model is None:
        model = client.create_logged_model(
            experiment, name, run_id, tags={DIGEST_TAG: digest}, params=dict(run.data.params), model_type="separator"
        )
    if str(model.status) != "READY":
        with tempfile.TemporaryDirectory() as copy:
            target = Path(copy) / "model"
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))
            description = Model.load(str(target))
            description.model_id, description.run_id = model.model_id, run_id
            description.artifact_path = model.artifact_location
            description.save(str(target / "MLmodel"))
            client.log_model_artifacts(model.model_id, str(target))
        client.finalize_logged_model(model.model_id, "READY")
    outputs = run.outputs.model_outputs if run.outputs else []
    if all(output.model_id != model.model_id for output in outputs):
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)
