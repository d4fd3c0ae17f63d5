"""``sepray reconcile``."""

from __future__ import annotations

from dataclasses import asdict

from ..console.output import say
from . import application
from .confirmation import Yes, is_confirmed


@application.command("reconcile")
def reconcile(study: application.StudyArgument, yes: Yes = False, json: application.Json = False) -> None:
    """Send MLflow what it has missed of a study while it did not answer.

    The command reads the study's storage and folder. It creates missing runs, completes their metrics and states, and
    registers the champion if it is not registered yet. Running it again changes nothing more.

    Without --tracking-uri everything goes to the MLflow where the study is tracked. Before it goes to another one, the
    command asks.

    Example: sepray reconcile cass-ecg
    """
    study.require()
    from ..console import preflight
    from ..driver import tracking_address
    from ..errors import mask

    preflight.require_tracking_address(study.tracking_uri or "mlflow.db")
    # The address of a database that does not exist passes: it will be made.
    address, own = tracking_address.of_study(study.tracking_uri, study.name, study.storage, study.storage_path)
    preflight.require_listening(address, f"the tracking server {mask(address)}")
    confirmed = True
    if own:
        say(f"{study.name} is tracked at {own}; the updates that wait for it would go to {mask(address)}.")
        confirmed = is_confirmed(yes, "Send it there?", "nothing is sent")
    if confirmed:
        from ..driver.completing import reconcile as reconcile_study

        done = reconcile_study(study.name, study.storage, address, study.storage_path, study.cache)
    else:
        from ..tracking.missing_runs import Reconciled

        done = Reconciled()
        say("nothing is sent")
    if json:
        counts = {**asdict(done), "rejected": len(done.rejected)}
        application.print_json({"study": study.name, "sent": confirmed, **counts})
