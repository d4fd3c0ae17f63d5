"""Makes a study's report, and says which setting matters most; a failure of either costs the study a line, not more."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..console.exit_status import show_survived_bug
from ..console.terminal import console
from ..contracts import TaskData
from ..errors import UsageError, one_line
from ..scoring.answers import Importance
from ..search.storage import load_study
from ..spec.study import StudySpec
from ..tracking.tracker import Tracker
from .study_commands import on_study

if TYPE_CHECKING:
    from ..report.study_results import StudyResults


def make_report(spec: StudySpec, data: TaskData, folder: Path, tracker: Tracker) -> Path | None:
    """Write the report of a study and add it to the study's run.

    Returns:
        The HTML page; None if it could not be made. A finished study loses nothing but its report then.
    """
    try:
        from ..report import report  # brings matplotlib

        return report.publish(_study_results(spec, data, folder), tracker)
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        later = on_study("report", spec)
        show_survived_bug(spec.name, error)
        console.print(f"the report could not be made ({why}); later: {later}", soft_wrap=True)
        return None


def most_important_setting(spec: StudySpec, data: TaskData, folder: Path) -> Importance | None:
    """Return the setting that explains most of what the trials differ by; None if that cannot be estimated."""
    try:
        from ..report import importance  # brings scikit-learn

        return importance.most_important(_study_results(spec, data, folder))
    except Exception as error:  # a finished study loses nothing but a sentence then
        why = f"{type(error).__name__}: {one_line(error)}"
        show_survived_bug(spec.name, error)
        console.print(f"which setting matters most is not known ({why})", soft_wrap=True)
        return None


def _study_results(spec: StudySpec, data: TaskData, folder: Path) -> StudyResults:
    from ..report.study_results import StudyResults

    finals = None
    with contextlib.suppress(UsageError):
        finals = load_study(spec.stores.storage, f"{spec.name}/finals")
    return StudyResults.read(spec, load_study(spec.stores.storage, spec.name), finals, folder, data)
