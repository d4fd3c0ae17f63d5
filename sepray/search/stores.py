"""Finds a study that exists in its Optuna storage; makes nothing."""

from __future__ import annotations

from pathlib import Path

import optuna

from ..errors import UsageError
from ..tracking.environment import mask
from .storage import connect


def load_study(storage: str, name: str) -> optuna.Study:
    """Return a study that exists.

    Raises:
        UsageError: there is no such storage or study.
    """
    file = storage.removeprefix("sqlite:///")
    if file != storage and not Path(file).exists():
        raise UsageError(f"there is no Optuna storage {storage}: is this the folder of the study? give --storage")
    opened = connect(storage)
    try:
        return optuna.load_study(study_name=name, storage=opened)
    except KeyError:
        there = sorted(n for n in optuna.get_all_study_names(opened) if "/" not in n)
        raise UsageError(f"no study {name!r} in {mask(storage)}; there are: {', '.join(there) or 'none'}") from None
