"""Where MLflow says that files go: a database that others may write to could name any folder of this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..disk import links
from ..errors import UsageError, mask


def foreign(place: str, experiment: str) -> str:
    """Return why files are not written to a place; empty where they may be.

    A folder of this machine must lie below that of the experiment, and behind no link there. Where another server or
    store takes them, it decides.

    Args:
        place: address of the files of a run or a model, as MLflow has it.
        experiment: that of the files of its experiment.
    """
    folder, top = _folder(place), _folder(experiment)
    if folder is None:
        return ""
    told = f"its files would go to {mask(place)}, which is not a place of its experiment's, {mask(experiment)}"
    if top is None:
        return told
    try:
        links.refuse(folder, top)
    except UsageError as error:
        return f"{told} ({error})"
    return ""


def _folder(place: str) -> Path | None:
    """Return the folder of this machine that MLflow would write to, from the current folder on; None for a store."""
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else place).absolute()
