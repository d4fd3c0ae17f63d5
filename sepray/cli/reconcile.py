"""``sepray reconcile``."""

from __future__ import annotations

from dataclasses import asdict

from . import application


@application.command("reconcile")
def reconcile(study: application.Study, json: application.Json = False) -> None:
    """Send MLflow what it missed of a study while it did not answer, from the study's own records.

    Creates missing runs, completes metrics and states, and registers the study's champion if it is not registered yet.
    Running it again changes nothing more.

    Example: sepray reconcile cass-ecg
    """
    study.require()
    from ..console import preflight
    from ..errors import mask
    from ..tracking.environment import resolve_uri

    address = resolve_uri(study.tracking_uri)  # a database that does not exist is made
    preflight.require_listening(address, f"the tracking server {mask(address)}")
    from ..driver.reconcile import reconcile as reconcile_study

    done = reconcile_study(study.name, study.storage, address, study.storage_path, study.cache)
    if json:
        application.print_json({"study": study.name, **asdict(done), "rejected": len(done.rejected)})
