"""Refuses to go on with a study whose checkpoints are elsewhere or whose source files have changed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from .. import __version__
from ..console.terminal import console
from ..errors import UsageError, mask
from ..search.holding import LAST_OWNER
from ..search.owner import Owner, Surroundings
from ..spec import folder
from ..spec.permissions import Permissions
from ..tracking.stored_forms import CHANGED_CODE
from . import code

CODE = "code"
"""User attribute with the digests of the source files (``code.digest_of``) of the first and the last start."""
MOVE_HERE = "--move-here"


def last_owner(owner: Owner, folder_id: str, checkpoints: str) -> dict[str, Any]:
    """Return the description of a driver that its study keeps in the user attribute ``LAST_OWNER``.

    Args:
        owner: the driver as the owner of the study's lease.
        folder_id: identity of the study's local folder.
        checkpoints: folder or URI that holds the study's checkpoints.
    """
    return {**owner.plain(), "folder": folder_id, "checkpoints": checkpoints, "version": __version__}


def was_elsewhere(study: optuna.Study, folder_id: str) -> bool:
    """Say whether the last driver of a study kept its files in another folder; a moved or copied one is the same."""
    last: Mapping[str, Any] = study.user_attrs.get(LAST_OWNER, {})
    return bool(last.get("folder", folder_id) != folder_id)


def refuse_other_location(
    study: optuna.Study, here: Path, checkpoints: str, permitted: Permissions, goes_on: bool = True
) -> str:
    """Refuse to go on with a study whose checkpoints are elsewhere.

    Args:
        study: the study.
        here: local folder of its files, which need not exist.
        checkpoints: folder or URI that holds its checkpoints.
        permitted: with ``move_here`` the study goes on without them.
        goes_on: whether the study itself goes on; otherwise the message does not propose ``--move-here``.

    Returns:
        Where the checkpoints are that the study goes on without; empty if none are left behind.

    Raises:
        UsageError: the checkpoints are elsewhere; the message says where, and what can be done.
    """
    last: Mapping[str, Any] = study.user_attrs.get(LAST_OWNER, {})
    there, host = str(last.get("checkpoints", checkpoints)), str(last.get("host", ""))
    if folder.is_remote(checkpoints):
        is_here = there == checkpoints
    else:
        is_here = not was_elsewhere(study, folder.folder_id(here))
    if is_here or not study.get_trials(deepcopy=False):
        return ""
    is_local = not folder.is_remote(there) and host == Surroundings.here().host
    if is_local and not os.path.exists(there):
        return ""  # the former checkpoints are gone
    where = mask(there) if folder.is_remote(there) else f"{there} on {host}"
    if permitted.move_here:
        return where
    raise UsageError(
        f"the checkpoints of {study.study_name} are not here but in {where}: run the same command there"
        + (f", or give --storage-path {shlex.quote(str(Path(there).parent.parent))}" if is_local else "")
        + (f"; {MOVE_HERE} goes on here without them: unfinished trials begin again" if goes_on else "")
    )


def refuse_changed_code(study: optuna.Study, present: Mapping[str, str], permitted: Permissions) -> list[str]:
    """Refuse to go on with a study whose trainings would run other source files than at its last start.

    Files of sepray itself that another version of sepray has changed are only named.

    Args:
        study: the study.
        present: what ``code.files`` returned.
        permitted: with ``allow_changed_code`` none is refused.

    Returns:
        The names of the files that have changed all the same.

    Raises:
        UsageError: files have changed; the message names them.
    """
    names = code.changed(_stored_digests(study, "last", present), present)
    if not names or not present or not study.get_trials(deepcopy=False):
        return []
    is_edited = study.user_attrs.get(LAST_OWNER, {}).get("version") == __version__
    own = [name for name in names if is_edited or not name.startswith("sepray.")]
    if own and not permitted.allow_changed_code:
        raise UsageError(
            f"{code.in_words(own)} changed since the last start of {study.study_name}: undo that, or give the study "
            "another --name; --allow-changed-code goes on, and tags the trials that follow"
        )
    return names


def say_what_changed(name: str, changed: Sequence[str], left_behind: str) -> None:
    """Print that a study goes on although its code or its folder has changed.

    Args:
        name: name of the study.
        changed: what ``refuse_changed_code`` returned.
        left_behind: what ``refuse_other_location`` returned.
    """
    if left_behind:
        told = "unfinished trials begin again, and what else is needed of it is trained again"
        console.print(f"{name} goes on here; its checkpoints stay in {left_behind}: {told}", soft_wrap=True)
    if changed:
        told = f"{code.in_words(changed)} changed since the last start of {name}"
        console.print(f"{told}; the trials that follow are tagged", soft_wrap=True)


def keep_code(study: optuna.Study, present: Mapping[str, str]) -> None:
    """Keep the digests of the source files of this start in the study; a separator without files has none."""
    if not present:
        return
    study.set_user_attr(code.attribute(present), dict(present))
    digest = code.digest_of(present)
    first = code.digest_of(_stored_digests(study, "first", present))
    study.set_user_attr(CODE, {"first": first, "last": digest})


def code_tags(study: optuna.Study, present: Mapping[str, str]) -> dict[str, str]:
    """Return the tag of trials that run other source files than the study's first ones; none if they are equal."""
    names = code.changed(_stored_digests(study, "first", present), present)
    return {CHANGED_CODE: ", ".join(names)} if names else {}


def _stored_digests(study: optuna.Study, when: str, present: Mapping[str, str]) -> Mapping[str, str]:
    """Return the digests of the first or last start; for a study of an older version, the closest ones that it kept."""
    kept: dict[str, dict[str, str]] = {k: v for k, v in study.user_attrs.items() if k.startswith("code.")}
    known = study.user_attrs.get(CODE, {}).get(when)
    if f"code.{known}" in kept:
        return kept[f"code.{known}"]
    if not kept or code.attribute(present) in kept:
        return present
    return min(kept.values(), key=lambda files: len(code.changed(files, present)))
