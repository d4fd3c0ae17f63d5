"""The address of the MLflow that a study is tracked in: the study keeps it, and never uses another one unasked."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import optuna

from ..disk import private_list
from ..errors import UsageError, mask
from ..plain_text import plural
from ..search.storage import Study, load_study
from ..spec.folder import checked_uid, own_folder
from ..spec.named_by_user import endpoint
from ..spec.study import StudySpec
from ..tracking.environment import resolve_uri
from ..tracking.outbox import Outbox, OutboxError
from . import study_commands

_Answer = TypeVar("_Answer")

ATTRIBUTE = "tracking_uri"
"""User attribute of the search's Optuna study: the address as it was given, without secrets."""


def require_same(study: Study, folder: Path, spec: StudySpec) -> None:
    """Refuse another address than the one that updates of the study wait for.

    Args:
        study: Optuna study of the search.
        folder: local folder of the study's files.
        spec: description of the study.

    Raises:
        UsageError: updates wait for another address.
    """
    before, now = stored(study.user_attrs, folder), spec.stores.tracking_uri
    if before is not None and not is_same(before, now) and (waiting := _waiting(folder)):
        there = study_commands.on_study("reconcile", spec.changed(tracking_uri=before))
        here = study_commands.on_study("reconcile", spec, "--yes")
        raise UsageError(
            f"{plural(waiting, 'update')} of {spec.name} {'waits' if waiting == 1 else 'wait'} for MLflow at {before}, "
            f"not at {mask(now)}. Give --tracking-uri "
            f"{shlex.quote(before)}, or deliver them first: {there}. To have them at {mask(now)} instead: {here}"
        )


def store(study: optuna.Study, folder: Path, address: str) -> None:
    """Store the address of MLflow to which all updates have gone, unless the stored one is the same place."""
    before = stored(study.user_attrs, folder)
    if before is None or not is_same(before, address):
        study.set_user_attr(ATTRIBUTE, mask(address))


def stored(attributes: Mapping[str, Any], folder: Path) -> str | None:
    """Return the address that a study has stored, without secrets; None if an older version has stored none.

    Args:
        attributes: user attributes of the search's Optuna study.
        folder: local folder of the study's files; its outbox knows the address that has answered last.
    """
    if ATTRIBUTE in attributes:
        return str(attributes[ATTRIBUTE])
    return _target(folder)


def of_study(given: str | None, name: str, storage: str, storage_path: str) -> tuple[str, str]:
    """Return the address of MLflow for a study that was run before, and another one that the study has stored, if any.

    Args:
        given: address on the command line, if any.
        name: name of the study.
        storage: its Optuna storage.
        storage_path: folder or URI of its checkpoints.

    Returns:
        The address, absolute where it is a file; and the stored one without its secrets where that is another place,
        else an empty text.

    Raises:
        UsageError: there is no such study, or its address has a secret that is not known here.
        StorageError: the storage cannot be read.
    """
    attributes = load_study(storage, name).user_attrs
    uid = attributes.get("uid")
    folder = own_folder(storage_path, name, "" if uid is None else checked_uid(uid))
    before = stored(attributes, folder)
    if given or before is None:
        address = resolve_uri(given)
        return address, "" if before is None or is_same(before, address) else before
    address = _resolved(before, folder)
    if not _is_own(before, address, folder):
        raise UsageError(
            f"{name} is tracked at {before}, as its storage says, which no command of yours has named: give "
            f"--tracking-uri {shlex.quote(before)} if you know it"
        )
    return address, ""


def shown(given: str | None, attributes: Mapping[str, Any], folder: Path) -> str:
    """Return the address of a study's MLflow for messages, without secrets; nothing is asked there.

    It is the given one, or else the one that the study has stored if this user knows it, or else the default.

    Args:
        given: address from the command line or the caller, if any.
        attributes: user attributes of the search's Optuna study.
        folder: local folder of the study's files.

    Raises:
        UsageError: the default is a file that others have changed (``resolve_uri``).
    """
    before = attributes.get(ATTRIBUTE)
    if not given and before is not None:
        with contextlib.suppress(UsageError):
            address = _resolved(str(before), folder)
            if _is_own(str(before), address, folder):
                return mask(address)
    return mask(resolve_uri(given))


def _is_own(before: str, address: str, folder: Path) -> bool:
    """Say whether this user knows the address that a storage has kept: updates and passwords would go there."""
    if private_list.is_named("tracking", before):
        return True
    with contextlib.suppress(UsageError):  # a default that cannot be used says nothing about other addresses
        if is_same(address, resolve_uri(None)):
            return True
    answered = _target(folder) if _is_private(folder) else None
    return bool(answered) and is_same(address, str(answered))


def _is_private(folder: Path) -> bool:
    """Say whether nobody but this user can have told the outbox of a study where its updates go."""
    with contextlib.suppress(OSError):
        return all(private_list.is_own(path.lstat()) for path in (folder, folder / "outbox.db"))
    return False


def _resolved(before: str, folder: Path) -> str:
    """Return the address that a study has stored, now with its secret, and absolute where it is a file."""
    if "***" in before:
        here = os.environ.get("MLFLOW_TRACKING_URI", "")
        if mask(here) != before:
            raise UsageError(
                f"the study is tracked at {before}: give --tracking-uri with the password, or set MLFLOW_TRACKING_URI"
            )
        return here
    found, answered = resolve_uri(before), _target(folder)
    if _is_missing(found) and answered and not _is_missing(answered):
        return answered  # a relative path, and the command was started in another folder
    return found


def is_same(stored: str, own: str) -> bool:
    """Say whether an address that others may have written is the same place as this user's; passwords do not count."""
    there, here = resolve_uri(stored), resolve_uri(own)
    if stored == own or there == here:
        return True
    # Databases take a password with a slash: then only the address with a masked password has a host to be found.
    known = endpoint(here) or endpoint(mask(here))
    return known is not None and endpoint(there) == known


def _is_missing(address: str) -> bool:
    return address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists()


def _target(folder: Path) -> str | None:
    return _asked(folder, Outbox.target)


def _waiting(folder: Path) -> int:
    return _asked(folder, Outbox.pending) or 0


def _asked(folder: Path, question: Callable[[Outbox], _Answer]) -> _Answer | None:
    """Return the answer of a study's outbox to a question; None if there is no outbox, or none that can be read."""
    if not (folder / "outbox.db").exists():
        return None
    with contextlib.suppress(OutboxError), contextlib.closing(Outbox(folder / "outbox.db")) as outbox:
        return question(outbox)
    return None
