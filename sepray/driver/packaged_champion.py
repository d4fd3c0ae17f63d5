"""Packages the champion of a study as an MLflow model in the study's folder, unless that is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import identity
from ..contracts import TaskData
from ..disk import links
from ..errors import mask
from ..execution import weights
from ..scoring.offsets import MIXTURE_LEVEL, SOURCE_BASELINE, offset_range, source_baseline
from ..spec.folder import LEVELS
from ..spec.study import StudySpec
from ..tracking.environment import resolve_uri
from ..tracking.packaged_model import ModelError, describe_folder
from ..tracking.packaging import is_whole, package_model
from ..tracking.sources import PackagingError
from . import runs
from .final_scores import belongs_to, stft_of
from .finished_trials import Finished


def ensure_packaged(spec: StudySpec, data: TaskData, member: Finished, folder: Path) -> str:
    """Package the champion into ``folder``, below the study's own, unless it is there as it was packaged.

    Returns:
        Why it cannot be packaged, in words; empty if it is.
    """
    if is_packaged(folder, spec, member.number):
        return ""
    if links.any_below(folder):  # files would be written through these links, or sent from where they lead
        remove(folder)
    try:
        package(spec, data, member, folder)
    except PackagingError as error:
        return str(error)
    return ""


def is_packaged(folder: Path, spec: StudySpec, member: int) -> bool:
    """Say whether a folder holds the model of a retraining of this study as it was packaged, and no links.

    Args:
        folder: folder of the model, in that of the study's files.
        spec: description of the study.
        member: number of the retraining.
    """
    if links.any_below(folder) or not is_whole(folder):
        return False
    try:
        told, _ = describe_folder(folder, str(folder))
    except ModelError:  # as where another version has packaged it; a model can always be packaged again
        return False
    own = _origin(folder, spec, member)
    return all(told[name] == value for name, value in own.items() if name in told)  # older models have no uid


def _origin(folder: Path, spec: StudySpec, member: int) -> dict[str, str]:
    """Return the metadata that tell the model of a retraining from all others; a study's files are below its uid."""
    return {"study": spec.name, "uid": folder.parent.name, "trial": runs.run_label("finals", member)}


def remove(folder: Path) -> None:
    """Delete a packaged model, if there is one, from the folder of its study."""
    links.remove(folder, links.ancestor(folder.parent, LEVELS))


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
            **_origin(folder, spec, member.number),
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
            **_hearts(data),
            **stft_of(spec, data),
        },
    )


def _hearts(data: TaskData) -> dict[str, Any]:
    """Return the metadata of a model's hearts: ranges of rates, the pulses among them, the size of their slow part."""
    signal = data.signal
    if not signal.heart_rates:
        return {}
    rates = [list(entry) for entry in signal.heart_rates]
    found: dict[str, Any] = {"hearts": {"rates": rates, "pulses": list(signal.pulse_sources)}}
    if (lowest := signal.lowest_heart_rate) and signal.sample_rate:
        found[SOURCE_BASELINE] = source_baseline(data.train.sources.numpy(), lowest / signal.sample_rate)
    return found
