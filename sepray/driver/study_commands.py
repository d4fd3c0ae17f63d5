"""Writes commands on a study for messages, with the flags that say where its stores are."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..console.shell_commands import from_this_shell
from ..errors import mask
from ..spec.parts import DEFAULT_TRACKING_URI, Stores, default_storage
from ..spec.study import StudySpec


def on_study(command: str, spec: StudySpec, *flags: str) -> str:
    """Return a command of sepray on a study, as the user's shell takes it.

    Args:
        command: name of the command, e.g. ``reconcile``.
        spec: description of the study.
        flags: further flags.

    Returns:
        The command; a password in the address of the storage is masked. An address that ``SEPRAY_STORAGE`` has is left
        out, and MLflow's where it has a secret: commands take it from ``MLFLOW_TRACKING_URI``.
    """
    stores = spec.stores
    addresses = {
        "--storage": mask(stores.storage),
        "--storage-path": stores.storage_path,
        "--tracking-uri": stores.tracking_uri,
        "--cache": mask(str(stores.cache)),
    }
    default = {**_DEFAULTS, "--storage": mask(default_storage())}
    default |= {"--tracking-uri": os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI}
    if mask(stores.tracking_uri) != stores.tracking_uri:
        del addresses["--tracking-uri"]
    given = [
        word for flag, address in addresses.items() if address not in ("", default[flag]) for word in (flag, address)
    ]
    return from_this_shell(shlex.join(["sepray", command, spec.name, *flags, *given]))


_STORES = {f.name: f.default for f in Stores.__dataclass_fields__.values()}
_DEFAULTS = {
    "--storage-path": str(_STORES["storage_path"]),
    "--cache": str(Path(str(_STORES["cache"]))),
}
