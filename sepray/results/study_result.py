"""Gives the result of a study to Python and notebooks.

The result is read from the study's stores. So it is the same after a run and in another process, and there is one for a
study that runs, was interrupted, failed or was begun by an older version.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..driver import tracking_address
from ..driver.saved_study import read_saved_study
from ..errors import UsageError
from ..plain_text import escape_controls
from ..report.kept_result import read_registration, read_result
from ..spec.parts import default_storage
from . import summary
from .findings import Findings

if TYPE_CHECKING:
    from ..models.model import Model


class StudyResult(Findings):
    """The result of a study: the champion's settings and model, DataFrames, failures, and locations of files.

    ``load_study`` and ``sepray.run`` return it; ``Findings`` describes its attributes. A notebook shows it as a page.
    """

    def __repr__(self) -> str:
        return escape_controls(summary.text(self))

    def _repr_html_(self) -> str:
        return summary.html(self)

    @cached_property
    def model(self) -> Model:
        """The champion's model (``sepray.load_model``), loaded at the first access.

        Raises:
            UsageError: there is no model, or it cannot be loaded here.
            UnreachableError: the registry that has it does not answer.
        """
        if self.model_uri is None:
            why = self.registration.get("sentence") or self.state_in_words
            raise UsageError(f"{self.name} has no model: {why}")
        from ..models.model import load_model

        address, is_registered = self.tracking_uri, self.model_uri.startswith("models:/")
        if is_registered and address is None and tracking_address.ATTRIBUTE in self.saved.studies["search"].user_attrs:
            address, _ = tracking_address.of_study(None, self.name, self.saved.storage, self.saved.storage_path)
        return load_model(self.model_uri, tracking_uri=address)


def load_study(
    name: str,
    storage: str | None = None,
    storage_path: str = "sepray-results",
    tracking_uri: str | None = None,
    cache: str | Path = Path("~/.cache/sepray"),
    status: int | None = None,
) -> StudyResult:
    """Return the result of a study, finished or not.

    Args:
        name: name of the study.
        storage: Optuna storage of the study: URL of a database, ``journal:///path`` or ``grpc://host:port``; None:
            SEPRAY_STORAGE, or ``optuna.db`` in the current folder.
        storage_path: folder or URI of the studies' files.
        tracking_uri: MLflow tracking server or database; None: the one that the study has stored, if this user knows
            it, else MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.
        cache: folder or URI for generated and decoded data.
        status: exit status of the run that this is the result of, if there was one.

    Raises:
        UsageError: there is no such study, or sepray has not made it.
        StorageError: the storage cannot be read.
    """
    saved = read_saved_study(name, storage or default_storage(), storage_path)
    return StudyResult(
        saved=saved,
        trials_of={stage: saved.trials(stage) for stage in saved.studies},
        result=read_result(saved.folder),
        registration=read_registration(saved.folder),
        is_running=saved.is_running,
        tracking_uri=tracking_uri,
        cache=cache,
        given_status=status,
    )
