"""``sepray reconcile``."""

from __future__ import annotations

from . import application


@application.command("reconcile")
def reconcile(study: application.Study) -> None:
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

    reconcile_study(study.name, study.storage, address, study.storage_path, study.cache)
