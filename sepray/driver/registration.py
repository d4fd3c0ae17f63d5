"""Registers the packaged champion of a study, and says what a user will want to run next."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from ..contracts import TaskData
from ..errors import SeprayError, UnreachableError, UsageError, mask
from ..report.kept_result import NO_MODEL
from ..spec.parts import DEFAULT_TRACKING_URI
from ..spec.study import StudySpec, key
from ..tracking import models
from ..tracking.environment import resolve_uri
from ..tracking.pages import is_server, runs_page
from ..tracking.tracker import Tracker
from . import notes, runs
from .final_scores import KeptResult
from .promotion import contest
from .study_commands import on_study


@dataclass(frozen=True)
class Registration:
    """Result of registering a champion in the model registry.

    Attributes:
        name: name of the registered model.
        version: version that it was registered as; None if nothing was registered.
        champion: whether this version has the alias ``champion``.
        sentence: the result of registering, in words.
        waits: whether the tracking server did not answer, so that it can be asked again.
    """

    name: str
    version: str | None
    champion: bool
    sentence: str
    waits: bool = False


def register(spec: StudySpec, data: TaskData, result: KeptResult, folder: Path, tracker: Tracker) -> Registration:
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
        return Registration(name, None, False, f"{NO_MODEL}: there is none in {folder}.")
    try:
        label = runs.run_label("finals", int(result["member"]))
        tags = {"study": spec.name, "trial": label, "data_fingerprint": data.fingerprint}
        scored = models.Scored(notes.test_metrics(spec, data, result), key(spec.task), data.fingerprint)
        version = models.register(tracker, label, folder, name, tags=tags, description=description, scored=scored)
        incumbent = models.incumbent(name, uri)  # after registering: another study may have been first meanwhile
        if incumbent is None:
            models.set_champion(name, version, uri, description)
            return Registration(name, version, True, f"Registered as {name} version {version}, the first champion.")
        if incumbent == version:
            models.set_champion(name, version, uri, description)
            return Registration(name, version, True, f"{name} version {version} is the champion.")
        if not models.has_files(name, incumbent, uri):
            models.set_champion(name, version, uri, description)
            lost = f"the files of version {incumbent} are gone"
            return Registration(
                name, version, True, f"Registered as {name} version {version}, the new champion: {lost}."
            )
        won, reason = contest(spec, data, result, folder, uri, incumbent)
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
        experiment_id: id of the study's experiment; empty if MLflow has not answered.
    """
    page = runs_page(tracking_uri, experiment_id) if experiment_id else ""
    if is_server(tracking_uri):
        commands = [f"python -m webbrowser {shlex.quote(page or mask(tracking_uri))}"]
    else:
        where = "" if _is_same(tracking_uri, DEFAULT_TRACKING_URI) else f" --backend-store-uri {mask(tracking_uri)}"
        commands = [f"mlflow ui{where}  # shows the study's runs at", f"# {page}"] if page else [f"mlflow ui{where}"]
    if registration.version:
        which = "@champion" if registration.champion else f"/{registration.version}"
        commands.append(f"sepray evaluate models:/{registration.name}{which}{_tracking_flag(tracking_uri)}")
    return commands


def _tracking_flag(address: str) -> str:
    """Return the flag with MLflow's address for a command; empty if the address is the usual one, or has a secret."""
    is_usual = _is_same(address, None)
    return "" if is_usual or mask(address) != address else f" --tracking-uri {shlex.quote(address)}"


def _is_same(address: str, other: str | None) -> bool:
    """Say whether two addresses are the same MLflow; False for an address that cannot be used."""
    with contextlib.suppress(UsageError):
        return resolve_uri(address) == resolve_uri(other)
    return False
