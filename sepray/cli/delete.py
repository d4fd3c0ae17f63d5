"""``sepray delete``."""

from __future__ import annotations

from ..errors import UsageError
from . import application
from .confirmation import Yes, is_confirmed


@application.command("delete")
def delete(
    study: application.StudyArgument,
    runs: application.Switch = False,
    models: application.Switch = False,
    yes: Yes = False,
    json: application.Json = False,
) -> None:
    """Delete a study's trials, and its folder with checkpoints, report and packaged model.

    MLflow keeps the study's runs, unless --runs is given, and its versions of registered models, unless --models is
    given: they have files of their own, and still load. A study that is running is refused. If the command is
    interrupted, the same command deletes the rest.

    Example: sepray delete cass-ecg --runs

    Args:
        runs: Delete the study's MLflow runs too. They can be restored until `mlflow gc`.
        models: Delete the study's versions of registered models too, for good.
    """
    application.require_storage(study.storage)
    from ..console.terminal import console
    from ..driver import tracking_address
    from ..driver.saved_study import read_saved_study
    from ..results import deletion

    try:
        saved = read_saved_study(study.name, study.storage, study.storage_path)
    except UsageError:
        if not deletion.finish_interrupted(study.name, study.storage_path):
            raise
        console.print(f"{study.name} is deleted", soft_wrap=True)
        if json:
            application.print_json({"study": study.name, "deleted": True, "deletes": [], "keeps": []})
        return
    address = None
    if runs or models:  # the address is the study's own, unless the command line has another one
        own, _ = tracking_address.of_study(study.tracking_uri, study.name, study.storage, study.storage_path)
        address = application.require_tracking(own)
    with deletion.held(saved):
        planned = deletion.plan(saved, address, runs, models)
        told = {"deletes": list(planned.deleted), "keeps": list(planned.kept)}
        console.print(f"This deletes the study {study.name}:", soft_wrap=True)
        for line in told["deletes"]:
            console.print(f"  {line}", soft_wrap=True)
        for line in told["keeps"]:
            console.print(f"It keeps {line}", soft_wrap=True)
        confirmed = is_confirmed(yes)
        if confirmed:
            deletion.carry_out(planned)
    console.print(f"{study.name} is deleted" if confirmed else "nothing is deleted", soft_wrap=True)
    if json:
        application.print_json({"study": study.name, "deleted": confirmed, **told})
