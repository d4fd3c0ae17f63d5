"""A study that was run before, read from its stores: for reports, and for what MLflow has not been told."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from ..errors import UsageError, mask
from ..search.storage import load_study
from ..spec.folder import study_folder
from ..spec.study import StudySpec


@dataclass(frozen=True)
class RestoredStudy:
    """What the stores hold of a study.

    Attributes:
        spec: description of the study, without its search space.
        search: Optuna study of the search.
        finals: Optuna study of the retrainings; None if the study has not come so far.
        uid: random id of the study beside its name.
        folder: local folder of the study's files.
        explain: Optuna study of the ablation path; None if none was trained.
    """

    spec: StudySpec
    search: optuna.Study
    finals: optuna.Study | None
    uid: str
    folder: Path
    explain: optuna.Study | None = None

    @property
    def run_key(self) -> str:
        """Name of the study in its outbox, different for every study."""
        return f"{self.spec.name}-{self.uid}"


def restore(name: str, storage: str, storage_path: str, cache: Path, **addresses: Any) -> RestoredStudy:
    """Return a study from its stores.

    Args:
        name: name of the study.
        storage: Optuna storage of the study.
        storage_path: folder or URI of the study's checkpoints.
        cache: folder for generated and decoded data.
        addresses: further fields of ``Stores``, e.g. ``tracking_uri``.

    Raises:
        UsageError: there is no such study, or sepray has not made it.
        StorageError: the storage cannot be read.
    """
    search = load_study(storage, name)
    if "spec" not in search.user_attrs:
        raise UsageError(f"{name} in {mask(storage)} is not a study of sepray")
    others: dict[str, optuna.Study | None] = dict.fromkeys(("finals", "explain"))
    for stage in others:
        with contextlib.suppress(UsageError):
            others[stage] = load_study(storage, f"{name}/{stage}")
    stores = {"storage": storage, "storage_path": storage_path, "cache": cache, **addresses}
    spec = StudySpec.restored(search.user_attrs["spec"], **stores)
    uid = str(search.user_attrs["uid"])
    folder = study_folder(storage_path, name, uid)
    return RestoredStudy(spec, search, others["finals"], uid, folder, others["explain"])
