"""Packages the champion of a study as a model, registers it, and compares it with the present champion."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import identity
from ..contracts import Signal, TaskData
from ..errors import SeprayError, UnreachableError, mask
from ..execution import weights
from ..scoring.offsets import MIXTURE_LEVEL, offset_range
from ..spec.parts import DEFAULT_TRACKING_URI
from ..spec.study import StudySpec, key
from ..tracking import models
from ..tracking.environment import resolve_uri
from ..tracking.packaging import package_model
from ..tracking.pages import is_server, runs_page
from ..tracking.tracker import Tracker
from . import notes, runs
from .final_scores import Result, belongs_to, stft_of
from .promotion import contest
from .selection import Finished
from .study_commands import on_study


@dataclass(frozen=True)
class Registration:
    """Result of registering a champion in the model registry.

    Attributes:
        name: name of the registered model.
        version: version that it was registered as; None if the tracking server did not answer.
        champion: whether this version has the alias ``champion``.
        sentence: the result of registering, in words.
        waits: whether the tracking server did not answer, so that it can be asked again.
    """

    name: str
    version: str | None
    champion: bool
    sentence: str
    waits: bool = False


def package(spec: StudySpec, data: TaskData, member: Finished, folder: Path) -> None:
    """Write the champion as an MLflow model into ``folder``.

    Args:
        spec: description of the study.
        data: data of its task.
        member: retraining whose weights are packaged.
        folder: folder of the model; what is there is replaced.

    Raises:
        PackagingError: the separator's source files cannot be packaged.
    """
    separator = weights.load_separator(spec.separator, data.signal, member.folder, belongs_to(member))
    package_model(
        folder,
        separator=separator,
        config=spec.separator,
        example=data.validation.mixture[:1].numpy(),
        metadata={
            "study": spec.name,
            "trial": runs.run_label("finals", member.number),
            "seed": member.attributes.get("seed"),
            "storage": mask(resolve_uri(spec.stores.storage)),
            "metric": spec.metric,
            "sources": list(data.signal.sources),
            "sample_rate": data.signal.sample_rate,
            "supervision": separator.supervision.value,
            "task": type(spec.task).__module__,
            "task_config": identity.without_secrets(spec.task),
            "data_fingerprint": data.fingerprint,
            "hyperparameters": dict(member.hyperparameters),
            MIXTURE_LEVEL: None if data.signal.sample_rate is None else offset_range(data.train.mixture.numpy()),
            **_hearts(data.signal),
            **stft_of(spec, data),
        },
    )


def _hearts(signal: Signal) -> dict[str, Any]:
    """Return what a model says of its hearts: their ranges of rates, and which are pulses."""
    if not signal.heart_rates:
        return {}
    return {"hearts": {"rates": [list(entry) for entry in signal.heart_rates], "pulses": list(signal.pulse_sources)}}


def register(spec: StudySpec, data: TaskData, result: Result, folder: Path, tracker: Tracker) -> Registration:
    """Register a packaged champion, unless that is done, and make it the champion of the registry if it is better.

    It is better if it beats the registry's present champion on validation (``promotion``).

    Args:
        spec: description of the study.
        data: data of its task.
        result: result of the study.
        folder: folder of the packaged model.
        tracker: tracker of the study.
    """
    name, uri, description = spec.model_name, tracker.uri, notes.describe_model(spec, data, result)
    if not (folder / "MLmodel").is_file():
        return Registration(name, None, False, f"No model is registered: there is none in {folder}.")
    try:
        label = runs.run_label("finals", int(result["member"]))
        tags = {"study": spec.name, "trial": label, "data_fingerprint": data.fingerprint}
        scored = models.Scored(notes.test_metrics(spec, data, result), key(spec.task), data.fingerprint)
        version = models.register(tracker, label, folder, name, tags=tags, description=description, scored=scored)
        incumbent = models.incumbent(name, uri)  # after registering: another study may have been first meanwhile
        if incumbent is None:
            models.set_champion(name, version, uri, description)
            return Registration(name, version, True, f"Registered as {name} version {version}, the first champion.")
        if incumbent.version == version:
            models.set_champion(name, version, uri, description)
            return Registration(name, version, True, f"{name} version {version} is the champion.")
        if not models.has_files(name, incumbent.version, uri):
            models.set_champion(name, version, uri, description)
            lost = f"the files of version {incumbent.version} are gone"
            return Registration(
                name, version, True, f"Registered as {name} version {version}, the new champion: {lost}."
            )
        won, reason = contest(spec, data, result, folder, uri, incumbent.version)
        if won:
            models.set_champion(name, version, uri, description)
        return Registration(name, version, won, f"Registered as {name} version {version}{reason}.")
    except SeprayError as error:
        sentence = f"{error}; the model waits in {folder}. Later: {on_study('reconcile', spec)}"
        return Registration(name, None, False, sentence, waits=isinstance(error, UnreachableError))


def next_commands(registration: Registration, tracking_uri: str, experiment_id: str = "") -> list[str]:
    """Return the commands that a user will want to run next, with the real names filled in.

    Args:
        registration: result of registering the champion.
        tracking_uri: MLflow's address.
        experiment_id: id of the study's experiment; empty where MLflow has not answered.
    """
    page = runs_page(tracking_uri, experiment_id) if experiment_id else ""
    if is_server(tracking_uri):
        commands = [f"python -m webbrowser {shlex.quote(page or mask(tracking_uri))}"]
    else:
        is_default = tracking_uri in (DEFAULT_TRACKING_URI, resolve_uri(DEFAULT_TRACKING_URI))
        where = "" if is_default else f" --backend-store-uri {mask(tracking_uri)}"
        commands = [f"mlflow ui{where}  # shows the study's runs at", f"# {page}"] if page else [f"mlflow ui{where}"]
    if registration.version:
        which = "@champion" if registration.champion else f"/{registration.version}"
        commands.append(f"sepray evaluate models:/{registration.name}{which}")
    return commands
