"""The model registry: logs packaged models into runs, registers them once, and loads them.

These calls wait for the server, with a time limit. All other updates go through the outbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import links
from ..errors import UnreachableError, how_to_install, mask
from . import logged_models, pretrained
from .artifact_locations import trusted_hosts_only
from .calls import PERMANENT, reason_of
from .connection import connect, import_mlflow, registry_at
from .environment import default_variables, one_at_a_time, resolve_uri
from .local_registry import model_folder
from .logged_models import DIGEST_TAG, Scored
from .outbox import RunKey
from .packaged_model import DESCRIPTION, ModelError, PackagedModel, describe_folder, load_folder
from .packaging import is_whole, package_model
from .run_finding import STUDY_TAG
from .stored_forms import quoted
from .tracker import Tracker

if TYPE_CHECKING:  # brings torch
    from torch import Tensor

__all__ = [
    "ModelError",
    "Scored",
    "UnreachableError",
    "describe",
    "incumbent",
    "load",
    "package_model",
    "register",
    "set_champion",
]

CHAMPION = "champion"
_FIRST_REQUEST = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_LATER_REQUESTS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
_LOGIN_REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}


def register(
    tracker: Tracker,
    label: int | str,
    folder: Path,
    name: str,
    *,
    tags: Mapping[str, str] | None = None,
    description: str = "",
    scored: Scored | None = None,
    patience: float = 60.0,
) -> str:
    """Log a packaged model into a trial's run and register it; return its version.

    The logged model gets its scores, linked to their data, its description, and the version, which its page then shows.

    If the study has registered a model of this content before, that version is returned: a tag has the digest of its
    content. So the call may be repeated after a kill, or for a retraining that replaces one whose checkpoints were
    lost. The version gets the given description, and files that it has lost are uploaded again.

    Args:
        tracker: tracker of the study.
        label: trial or retraining whose run the model belongs to.
        folder: packaged model, as ``package_model`` writes it.
        name: name of the registered model.
        tags: tags of the version.
        description: description of the version.
        scored: what the model scored; the run gets these metrics too.
        patience: seconds to wait for the delivery of the run's updates in the outbox.

    Raises:
        UnreachableError: the server does not answer, refuses the login or does not take the model's files.
        ModelError: MLflow refuses the model, or the folder has a link.
    """
    if links.any_below(folder):
        raise ModelError(f"{folder} has a link, which no packaged model has: what it leads to would be sent to MLflow")
    with connected(tracker.uri) as client:
        run_id = _delivered_run(tracker, str(label), patience)
        digest = logged_models.digest_of(folder)
        _create(client, name)
        version = _version_with(client, name, tracker.study, digest, run_id)
        run_id = version.run_id if version else run_id
        model_id = logged_models.log(client, run_id, folder, name)
        if scored is not None:
            logged_models.log_scores(client, run_id, model_id, scored)
        if version is not None:
            if description and version.description != description:
                client.update_model_version(name, version.version, description)
        else:
            all_tags = {**(tags or {}), STUDY_TAG: tracker.study, DIGEST_TAG: digest}
            version = client.create_model_version(
                name, f"models:/{model_id}", run_id, tags=all_tags, description=description or None, model_id=model_id
            )
        logged_models.describe(client, model_id, name, str(version.version), description)
        return str(version.version)


def _version_with(client: Any, name: str, study: str, digest: str, run_id: str) -> Any:
    """Return the study's version with a content (digest), the given run's if it has one; None if there is none.

    Versions whose run was deleted do not count, unless it is the given run.
    """
    found = [
        version
        for version in client.search_model_versions(f"name = {quoted(name)}")
        if version.tags.get(DIGEST_TAG) == digest and version.tags.get(STUDY_TAG) == study
    ]
    for version in sorted(found, key=lambda version: (version.run_id != run_id, int(version.version))):
        if version.run_id == run_id or client.get_run(version.run_id).info.lifecycle_stage == "active":
            return version
    return None


def has_files(name: str, version: str, uri: str | None = None) -> bool:
    """Say whether the files of a registered version are there; for a version that is no logged model, assume so.

    Raises:
        UnreachableError: the server or the store of the files does not answer.
    """
    with connected(uri) as client:
        source = str(client.get_model_version(name, version).source)
        model_id = source.removeprefix("models:/")
        return model_id == source or logged_models.has_files(client, model_id)


def _create(client: Any, name: str) -> None:
    """Create a registered model unless there is one; another process may create it at the same moment."""
    wanted = f"name = {quoted(name)}"
    if client.search_registered_models(wanted):
        return
    try:
        client.create_registered_model(name)
    except import_mlflow().MlflowException:
        if not client.search_registered_models(wanted):
            raise


def set_champion(name: str, version: str, uri: str | None = None, description: str = "") -> None:
    """Give a version the alias ``champion``, and take it from the version that has it.

    Args:
        name: name of the registered model.
        version: number of the version.
        uri: MLflow's address; None: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.
        description: description that the registered model gets; empty: it keeps its own.
    """
    with connected(uri) as client:
        client.set_registered_model_alias(name, CHAMPION, version)
        if description:
            client.update_registered_model(name, description)


def incumbent(name: str, uri: str | None = None) -> str | None:
    """Return the number of the version that has the alias ``champion``; None if no version has it."""
    with connected(uri) as client:
        for model in client.search_registered_models(f"name = {quoted(name)}"):
            if CHAMPION in model.aliases:
                return str(client.get_model_version_by_alias(name, CHAMPION).version)
    return None


def load(model: str, uri: str | None = None) -> PackagedModel:
    """Load the model at ``models:/name@champion``, ``models:/name/3`` or ``pretrained:name``, or in a local folder.

    MLflow is imported, and asked for the files, only if they are in no folder of this machine.

    Raises:
        ModelError: there is no such model, sepray has not packaged it, its code is not trusted (see ``trust``), or it
            cannot be loaded here: a library is missing, or a file is damaged. The original error is its cause.
        UnreachableError: the server does not answer.
    """
    if pretrained.is_pretrained(model):
        return pretrained.load(model)
    address = model.startswith(("models:/", "runs:/"))
    return load_folder(_folder(model, uri), model, (lambda run_id: _author(run_id, uri)) if address else None)


def files_of(model: str, uri: str | None = None) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a packaged model and its metadata, without running any of its code.

    Raises:
        ModelError: there is no such model, or its files are not those that were packaged.
        UnreachableError: the server does not answer.
    """
    folder = _folder(model, uri)
    metadata, _ = describe_folder(folder, model)
    if not is_whole(folder):
        raise ModelError(f"{model} cannot be used: its files are not those that were packaged (another digest)")
    return folder, metadata


def _author(run_id: str | None, uri: str | None) -> str:
    """Return in words who has logged a model, as its run says."""
    if not run_id:
        return "of no run"
    try:
        with connected(uri) as client:
            user = client.get_run(run_id).data.tags.get("mlflow.user")
    except (ModelError, UnreachableError):  # a run that was deleted
        user = None
    return f"logged by {user or 'nobody that MLflow knows'}"


def describe(model: str, uri: str | None = None) -> dict[str, Any]:
    """Return the metadata that a model was packaged with (sources, sample rate, task ...) and its ``run_id``.

    Raises:
        ModelError: there is no such model, or sepray has not packaged it.
        UnreachableError: the server does not answer.
    """
    if pretrained.is_pretrained(model):
        return {**pretrained.describe(model), "run_id": None}
    metadata, run_id = describe_folder(_folder(model, uri), model)
    return {**metadata, "run_id": run_id}


def as_function(loaded: PackagedModel) -> Callable[[Tensor], Tensor]:
    """Return a loaded model as a function of tensors.

    It turns ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32 on the CPU, and
    raises ModelError for mixtures with another number of channels or axes than the model takes.

    Args:
        loaded: model from ``load``.
    """
    import torch

    def separate(mixture: Tensor) -> Tensor:
        return torch.from_numpy(loaded.predict(mixture.cpu().numpy()))

    return separate


def _folder(model: str, uri: str | None) -> Path:
    """Return the folder of a model's files, which are downloaded if they are not on this machine."""
    if not model.startswith(("models:/", "runs:/")):
        if not (Path(model) / DESCRIPTION).is_file():
            raise ModelError(
                f"{model} is neither a models:/ address nor a folder with a packaged model (no {DESCRIPTION} in it)"
            )
        return Path(model)
    return model_folder(model, resolve_uri(uri)) or _downloaded(model, uri)


def _downloaded(model: str, uri: str | None) -> Path:
    with connected(uri):
        mlflow = import_mlflow()
        try:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=model))
        except mlflow.MlflowException:
            raise
        except ModuleNotFoundError as error:
            command = how_to_install(error)
            needed = f"it needs the module {error.name}, which is not installed{f'; {command}' if command else ''}"
            raise ModelError(f"{model} cannot be downloaded: {needed}") from error
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None:  # errors of the network name no file
                raise ModelError(f"{model} cannot be downloaded: {reason_of(error)}") from error
            raise UnreachableError(f"{model} cannot be downloaded: {reason_of(error)}") from error


@contextmanager
def connected(uri: str | None) -> Iterator[Any]:
    """Give an MlflowClient of a server that answers; MLflow's global addresses are ``uri`` until the block ends.

    MLflow resolves ``models:/`` addresses through those globals, whichever client is used. The registry has the same
    address as the runs: sepray does not read MLFLOW_REGISTRY_URI, because a model and its run belong together. Blocks
    in several threads, such as those of a web server that loads models, run one after the other.

    Raises:
        UnreachableError: the server does not answer, refuses the login, or the address cannot be used.
        ModelError: MLflow refused a request inside the block.
    """
    with one_at_a_time, _connected(uri) as client:
        yield client


@contextmanager
def _connected(uri: str | None) -> Iterator[Any]:
    address = resolve_uri(uri)
    mlflow = import_mlflow()
    before = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(address)
    try:
        with default_variables(_FIRST_REQUEST):
            try:
                client = connect(address)
            except Exception as error:
                raise _unusable(address, error) from None
        with registry_at(address), default_variables(_LATER_REQUESTS), trusted_hosts_only(address):
            yield client
    except mlflow.MlflowException as error:
        if error.error_code in PERMANENT:
            raise ModelError(f"MLflow at {mask(address)}: {reason_of(error)}") from None
        raise UnreachableError(f"MLflow at {mask(address)}: {reason_of(error)}") from None
    finally:
        mlflow.set_tracking_uri(before)


def _unusable(address: str, error: Exception) -> UnreachableError:
    """Return the error for an address whose first request failed."""
    code, reason = getattr(error, "error_code", None), reason_of(error)
    if code in _LOGIN_REFUSED:
        reason = (
            "refuses the login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    elif code in PERMANENT or isinstance(error, ImportError) or address.startswith("sqlite:"):
        reason = f"cannot be used: {reason}"
    else:
        reason = f"does not answer: {reason}"
    return UnreachableError(f"MLflow at {mask(address)} {reason}")


def _delivered_run(tracker: Tracker, label: str, patience: float) -> str:
    """Return the id of a run once all its updates in the outbox are delivered.

    Raises:
        ModelError: MLflow no longer has the run.
        UnreachableError: the updates were not delivered within ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    key = RunKey(tracker.study, label)
    if not tracker.pending() and label not in tracker.run_ids():
        # MLflow had the run and has lost it: it was deleted for good, or the server has a new database.
        raise ModelError(f"MLflow at {mask(tracker.uri)} has no run {label!r} of the study any more")
    while label not in (run_ids := tracker.run_ids()) or tracker.outbox.pending(key):
        if time.monotonic() > deadline:
            raise UnreachableError(f"MLflow at {mask(tracker.uri)} has not taken the run {label!r} in {patience:.0f} s")
        tracker.flush(timeout=1.0)
    return run_ids[label]
