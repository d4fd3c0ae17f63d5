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
        what: models: versions, aliases, sources, rate, metric, score. studies: trials by state, best value. tasks: the
            data they need. separators: the training signals they need. measures: the signals they are for, and whether
            they can be an objective. Tasks and separators of other installed packages are listed too, with the name of
            the package.
    """
    lists.show(what, json, storage, tracking_uri)
