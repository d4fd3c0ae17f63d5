"""``sepray report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SeprayError, mask, one_line
from . import application

if TYPE_CHECKING:
    from ..contracts import TaskData
    from ..report.study_results import StudyResults
    from ..spec.study import StudySpec


@application.command("report")
def report(study: application.StudyArgument, json: application.Json = False) -> int:
    """Make the report of a study again from its stores: figures, and one HTML page that holds them all.

    The report is written to the study's folder and, if MLflow answers, added to the study's run. A study that is
    running, was interrupted or failed has a report too. If the task's data cannot be loaded, it shows no items; a bug
    there is shown, and the exit status is 3.

    Example: sepray report cass-ecg
    """
    study.require()
    from ..console.terminal import console
    from ..driver.saved_study import read_saved_study
    from ..report.report import publish
    from ..report.study_results import StudyResults
    from ..spec.folder import study_folder

    found = read_saved_study(study.name, study.storage, study.storage_path)
    spec, stages = found.spec(study.cache, with_space=False), found.studies
    folder = study_folder(study.storage_path, study.name, found.uid)
    data, status = _data(spec)
    results = StudyResults.read(spec, stages["search"], stages.get("finals"), folder, data)
    page = publish(results, None)
    console.print(str(page), soft_wrap=True)
    _deliver(results, found.run_key, study)
    if json:
        application.print_json({"study": study.name, "report": str(page)})
    return status


def _data(spec: StudySpec) -> tuple[TaskData | None, int]:
    """Return the data of the study's task, None where they cannot be loaded, and the exit status that follows: 0 or 3.

    Without data the report shows no items.
    """
    from ..console.exit_status import BUG, show_survived_bug
    from ..console.terminal import console
    from ..fault import is_bad_input
    from ..loading import load_task

    try:
        return load_task(spec.task, spec.stores.cache), 0
    except Exception as error:  # perhaps a bug of the user's task; the rest of the report needs no data
        named = "" if isinstance(error, SeprayError) else f"{type(error).__name__}: "
        reason = named + mask(one_line(error))
        console.print(f"the report shows no items: the task's data cannot be loaded ({reason})", soft_wrap=True)
        show_survived_bug("sepray", error)
        return None, 0 if is_bad_input(error) else BUG


def _deliver(results: StudyResults, run_key: str, study: application.StudyFlags) -> None:
    """Add the report's files to the study's run in MLflow; if the study is running, queue them for its driver."""
    from ..console.terminal import console
    from ..driver import tracking_address
    from ..driver.study_commands import on_study
    from ..report.report import files_of
    from ..spec.folder import RunningError, lock
    from ..tracking.outbox import Outbox, RunKey
    from ..tracking.tracker import Tracker

    try:
        address, own = tracking_address.of_study(study.tracking_uri, study.name, study.storage, study.storage_path)
        application.require_tracking(address)
    except (SeprayError, OSError) as error:
        console.print(f"the report is not added to MLflow: {mask(one_line(error))}", soft_wrap=True)
        return
    if own:
        console.print(f"the report is not added to MLflow: the study is tracked at {own}, not there", soft_wrap=True)
        return
    outbox = results.folder / "outbox.db"
    try:
        held = lock(results.folder, results.spec.name)
    except RunningError:
        waiting = Outbox(outbox)
        for file, path in files_of(results.folder):
            waiting.put_file(RunKey(run_key), file, path)
        waiting.close()
        return
    complete = on_study("reconcile", results.spec)
    tracker = Tracker(outbox, run_key, uri=address, experiment=results.spec.model_name)
    if "" not in tracker.run_ids():
        console.print(
            f"the report is not added to MLflow, which does not have the study's run; first run: {complete}",
            soft_wrap=True,
        )
        tracker.close()
        return
    for file, path in files_of(results.folder):
        tracker.log_file("", file, path)
    if left := tracker.close(timeout=60):
        console.print(f"{left} files wait for MLflow; run later: {complete}", soft_wrap=True)
    held.close()
