"""A study as its stores hold it, read without the modules of its separator and task. Imports no torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from .. import registry
from ..errors import UsageError, mask, one_line
from ..module_names import name_of_stored
from ..search import stored_values
from ..search.storage import FINGERPRINT, load_study, summaries
from ..spec.folder import checked_uid, checkpoint_root, is_locked, is_name, own_folder, trial_folder
from ..spec.study import StudySpec

STAGES = ("search", "finals", "explain")
"""Stages of a study: its search, its retrainings, and the ablation path that ``sepray explain`` trains."""


@dataclass(frozen=True)
class SavedStudy:
    """All that is stored of a study.

    Attributes:
        name: name of the study.
        storage: URL of its Optuna storage.
        storage_path: folder or URI of the studies' files.
        studies: Optuna study of each stage that was begun (``STAGES``).
        uid: random id of the study beside its name.
        description: the study as ``StudySpec.plain`` describes it.
        given: its search space, published settings and controls as ``StudySpec.plain_given`` describes them; of a study
            begun by an older version its search space alone.
    """

    name: str
    storage: str
    storage_path: str
    studies: Mapping[str, optuna.Study]
    uid: str
    description: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def run_key(self) -> str:
        """Name of the study in its outbox and in the tags of its MLflow runs, different for every study."""
        return f"{self.name}-{self.uid}"

    @property
    def folder(self) -> Path:
        """Local folder of the study's files, which need not exist on this machine.

        Raises:
            UsageError: the folder is a link, or lies behind one below ``storage_path``.
        """
        return own_folder(self.storage_path, self.name, self.uid)

    @property
    def checkpoints(self) -> str:
        """Folder or URI that holds the checkpoints of each stage."""
        return checkpoint_root(self.storage_path, self.name, self.uid, self.folder)

    @property
    def separator(self) -> str:
        """Name of the separator as ``StudySpec`` takes it, e.g. ``cass`` or ``cass:published``."""
        return self._name("separator")

    @property
    def task(self) -> str:
        """Name of the task as ``StudySpec`` takes it, e.g. ``ecg`` or ``ecg:varied``."""
        return self._name("task")

    def _name(self, part: str) -> str:
        return name_of_stored(str(self.description[part]["module"]), self.description[part]["config"])

    @property
    def model_name(self) -> str:
        """Name of the MLflow experiment, and of the registered model, as in ``StudySpec.model_name``."""
        names = (registry.key(str(self.description[part]["module"])) for part in ("separator", "task"))
        return "-".join(name.replace("_", "-") for name in names)

    @property
    def objectives(self) -> dict[str, str]:
        """Name of each value that the study optimises, and its direction, in the order of a trial's values."""
        return dict(self.studies["search"].user_attrs["fingerprint"]["objectives"])

    @property
    def is_running(self) -> bool:
        """Say whether a driver on this machine runs the study."""
        return is_locked(self.folder)

    def spec(self, cache: str | Path, tracking_uri: str | None = None, with_space: bool = True) -> StudySpec:
        """Return the description of the study, which runs it again.

        Args:
            cache: folder or URI for generated and decoded data.
            tracking_uri: MLflow tracking server or database; None: the default of a study.
            with_space: whether it has the search space, the published settings, controls and arms.

        Raises:
            UnknownNameError: the module of its separator or task is not found on this machine.
            StorageError: what is stored is no description of a study. Errors that separator and task raise themselves
                pass through.
        """
        stores = {"storage": self.storage, "storage_path": self.storage_path, "cache": cache}
        tracking = {} if tracking_uri is None else {"tracking_uri": tracking_uri}
        description = {k: v for k, v in self.description.items() if k != "tracking_uri"}
        if not stored_values.is_description(description):
            raise stored_values.damaged(self.name, self.storage, "spec")
        given = self.given if with_space else None
        if given and not stored_values.is_given(given):
            raise stored_values.damaged(self.name, self.storage, "given")
        try:
            return StudySpec.restored(description, given, **stores, **tracking)
        except registry.MisfitError as error:
            raise stored_values.damaged(self.name, self.storage, f"spec ({one_line(error)})") from error

    def trials(self, stage: str) -> list[FrozenTrial]:
        """Return Optuna's trials of a stage, read anew; none if it was not begun."""
        return self.studies[stage].get_trials(deepcopy=False) if stage in self.studies else []

    def trial_folder(self, stage: str, number: int) -> str:
        """Return the folder or URI with the checkpoints of a trial."""
        return trial_folder(self.checkpoints, stage, number)


def read_saved_study(name: str, storage: str, storage_path: str) -> SavedStudy:
    """Return all that is stored of a study.

    Raises:
        UsageError: there is no such study, or sepray has not made it.
        StorageError: the storage cannot be read, or the study has been changed by others.
    """
    if not is_name(name):
        raise UsageError(f"{name!r} cannot be the name of a study")
    studies = {"search": load_study(storage, name)}
    attributes = studies["search"].user_attrs
    if "spec" not in attributes:
        raise UsageError(f"{name} in {mask(storage)} is not a study of sepray")
    for part, needed in (("spec", {"separator", "task", "trials"}), (FINGERPRINT, {"objectives"})):
        if not needed <= attributes.get(part, {}).keys():
            raise stored_values.damaged(name, storage, part)
    for stage in STAGES[1:]:
        with contextlib.suppress(UsageError):
            studies[stage] = load_study(storage, f"{name}/{stage}")
    given = attributes.get("given")
    if given is None:
        space = attributes[FINGERPRINT].get("search space", {})
        if not isinstance(space, Mapping):
            raise stored_values.damaged(name, storage, FINGERPRINT)
        given = {"space": {key: json.dumps(distribution) for key, distribution in space.items()}}
    return SavedStudy(
        name, storage, storage_path, studies, checked_uid(attributes.get("uid")), attributes["spec"], given
    )


def study_names(storage: str) -> list[str]:
    """Return the names of all studies of sepray in a storage, sorted.

    Raises:
        StorageError: the storage cannot be opened.
        UsageError: the URL is of no known kind, or its driver is not installed.
    """
    return [s.study_name for s in summaries(storage) if "spec" in s.user_attrs and is_name(str(s.study_name))]
