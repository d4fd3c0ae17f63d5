"""``sepray reproduce``."""

from __future__ import annotations

import json as json_format
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import UsageError
from . import application

if TYPE_CHECKING:
    from ..results.reproduction import Epoch, Reproduction

_TRIAL = re.compile(r"(?P<final>final[- ])?(?P<number>\d+)")


@application.command("reproduce")
def reproduce(
    study: application.Study,
    trial: Annotated[str | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the champion)")] = None,
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None,
    json: application.Json = False,
) -> int:
    """Train a trial of a study again, outside the study, and compare it with what was recorded, epoch by epoch.

    It says that the two are identical to the last bit, or from which epoch on they are not and what has changed since:
    the processor, versions, code or data. The study is not changed. The exit status is 1 where they are not identical.

    Example: sepray reproduce cass-ecg --trial 19

    Args:
        trial: Number of the trial in the search, or final-N for a retraining.
        epochs: Compare only the first N epochs.
    """
    study.require()
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs must be at least 1, not {epochs}")
    from ..driver.restored import restore
    from ..results import reproduction

    found = restore(study.name, study.storage, study.storage_path, study.cache)
    stage, number = _chosen(trial) if trial is not None else reproduction.champion(found)
    result = reproduction.reproduce(found, stage, number, epochs, (lambda epoch: None) if json else _print_epoch)
    if json:
        print(json_format.dumps(_document(result), indent=1))
    else:
        _print(result)
    return 0 if result.identical else 1


def _chosen(trial: str) -> tuple[str, int]:
    """Return stage and number of the trial that the flag names.

    Raises:
        UsageError: it names none.
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
    """Return what ``--json`` prints."""
    return {
        "trial": result.trial,
        "identical": result.identical,
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "changes": list(result.changes),
        "sentence": result.sentence,
        "explanation": result.explanation,
    }
