"""``sepray reproduce``."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import UsageError
from . import application

if TYPE_CHECKING:
    from ..results.reproduction import Epoch, Origin, Reproduction

_HELP = "Name of the study, or address of a registered model: models:/NAME/VERSION."


@dataclass(frozen=True)
class StudyOrModel(application.StudyFlags):
    """Flags that name a study, or a model that was packaged from one of its trainings."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY|MODEL", help=_HELP, help_behavior_hint="")]

    @property
    def is_model(self) -> bool:
        """Say whether the name is the address or folder of a model: names of studies have no slash."""
        return "/" in self.name


_TRIAL = re.compile(r"(?P<final>final[- ])?(?P<number>\d+)")


@application.command("reproduce")
def reproduce(
    study: Annotated[StudyOrModel, tyro.conf.arg(name="")],
    trial: Annotated[str | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the champion)")] = None,
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None,
    json: application.Json = False,
) -> int:
    """Train a trial of a study again, and compare each epoch with the value that the study stored.

    Given a registered model, the command repeats the training that gave the model its weights.

    It prints whether both trainings are identical to the last bit. If not, it prints the first epoch that differs, and
    what has changed since then: the processor, versions, code or data. The study is not changed. The exit status is 1
    if the trainings are not identical.

    Example: sepray reproduce cass-ecg --trial 19

    Args:
        trial: Number of the trial in the search, or final-N for a retraining.
        epochs: Compare only the first N epochs.
    """
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs must be at least 1, not {epochs}")
    if study.is_model and trial is not None:
        raise UsageError(f"--trial {trial}: a model has one training only; leave out --trial, or name the study")
    origin = _origin(study) if study.is_model else None
    if origin is None:
        study.require()
    from ..driver.saved_study import read_saved_study
    from ..results import reproduction

    name = study.name if origin is None else origin.study
    found = read_saved_study(name, study.storage, study.storage_path)
    if origin is not None:
        reproduction.require_same(found, origin)
        stage, number = "finals", origin.number
    else:
        stage, number = _chosen(trial) if trial is not None else reproduction.champion(found)
    result = reproduction.reproduce(found, study.cache, stage, number, epochs, _print_epoch)
    if json:
        application.print_json(_document(result))
    else:
        _print(result)
    return 0 if result.identical else 1


def _origin(study: StudyOrModel) -> Origin:
    """Return the training that gave a model its weights, after checking that the storage has its study.

    Raises:
        UsageError: there is no such model, it does not name its training, or the storage lacks its study.
    """
    application.check_address(study.name)
    address = application.require_models(study.tracking_uri, study.name)
    from ..results import reproduction

    origin = reproduction.origin(study.name, address)
    try:
        replace(study, name=origin.study).require()
    except UsageError as error:
        raise UsageError(
            f"{study.name} is {origin.trial} of the study {origin.study}, which was in {origin.storage}: {error}"
        ) from None
    return origin


def _chosen(trial: str) -> tuple[str, int]:
    """Return stage and number of the trial that the flag names.

    Raises:
        UsageError: the flag names no trial.
    """
    matched = _TRIAL.fullmatch(trial)
    if matched is None:
        raise UsageError(f"--trial must be a number, or final-N for a retraining, not {trial!r}")
    return "finals" if matched["final"] else "search", int(matched["number"])


def _print_epoch(epoch: Epoch) -> None:
    from ..console.terminal import console

    found = "identical" if epoch.identical else f"differs by {abs(epoch.repeated - epoch.recorded):.2g}"
    console.print(f"  epoch {epoch.number:4}   recorded {epoch.recorded:.6g}   again {epoch.repeated:.6g}   {found}")


def _print(result: Reproduction) -> None:
    from ..console.terminal import console

    console.print(result.sentence, style="bold", soft_wrap=True)
    if result.explanation:
        console.print(result.explanation, soft_wrap=True)


def _document(result: Reproduction) -> dict[str, object]:
    """Return the JSON document that ``--json`` prints."""
    return {
        "trial": result.trial,
        "identical": result.identical,
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "changes": list(result.changes),
        "sentence": result.sentence,
        "explanation": result.explanation,
    }
