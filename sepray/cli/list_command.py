"""``sepray list``."""

from __future__ import annotations

from typing import Annotated

import tyro

from . import application, lists


@application.command("list")
def list_(
    what: Annotated[lists.Kind, tyro.conf.Positional, tyro.conf.arg(help_behavior_hint="")],
    json: application.Json = False,
    storage: application.Storage = application.STORAGE,
    tracking_uri: application.TrackingUri = None,
) -> None:
    """List registered models, the studies of a storage, or the available tasks, separators and measures.

    Example: sepray list models

    Args:
        what: models (versions, aliases, sources, rate, metric, score), studies (trials by state, best value),
            tasks (with the data they need), separators (with the training signals they need) or measures (which
            signals they are for, and whether a study may search by them). Tasks and separators of other installed
            packages are among them, with the name of the package.
    """
    lists.show(what, json, storage, tracking_uri)
