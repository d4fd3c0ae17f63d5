"""Distributed hyperparameter studies of adversarial source separators.

The public API, imported when it is looked at, so that ``import sepray`` brings neither torch, nor Ray, nor MLflow::

    import sepray

    result = sepray.run(sepray.StudySpec(name="first", separator="cass", task="ecg", trials=6))
    result.table                                     # the final table on the test split, a pandas DataFrame
    estimates = result.model.separate(mixtures)      # [batch, channel, time] -> [batch, source, channel, time]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.comparison import compare as compare
    from .models.evaluation import evaluate as evaluate
    from .models.model import load_model as load_model
    from .models.separation import separate as separate
    from .results.study_result import StudyResult as StudyResult
    from .results.study_result import load_study as load_study
    from .study import StudySpec as StudySpec
    from .study import run as run

__version__ = "0.2.0"

_MODULES = {
    "StudySpec": "study",
    "StudyResult": "results.study_result",
    "run": "study",
    "load_study": "results.study_result",
    "load_model": "models.model",
    "separate": "models.separation",
    "evaluate": "models.evaluation",
    "compare": "models.comparison",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a name of the public API when it is first looked at."""
    if name not in _MODULES:
        raise AttributeError(f"module 'sepray' has no attribute {name!r}; it offers {', '.join(_MODULES)}")
    from .console.exit_status import tell_scripts_errors_in_one_line

    tell_scripts_errors_in_one_line()
    return getattr(importlib.import_module(f"sepray.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
