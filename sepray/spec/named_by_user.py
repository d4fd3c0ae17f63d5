"""Remembers the modules, clusters and servers that this user has named, and uses no others that a storage names.

A row in a database may not decide which modules are imported, or where updates and passwords for MLflow are sent. Nor
may it decide which Ray cluster is joined: whoever runs a cluster can run code in the processes that join it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .. import registry
from ..disk import private_list
from ..errors import mask
from ..modules import own_modules

_HARMLESS = "random"  # a sampler


def remember(separator: Any, task: Any, sampler: str, address: str, tracking_uri: str) -> None:
    """Remember the modules, clusters and servers that a study of this user names.

    Args:
        separator: configuration of the separator.
        task: configuration of the task.
        sampler: name of the sampler.
        address: address of the Ray cluster; empty for none.
        tracking_uri: MLflow tracking server or database.
    """
    for config in (separator, task):
        own_modules.remember(registry.stored_module(type(config).__module__))
    if ":" in sampler:
        own_modules.remember(sampler.partition(":")[0])
        private_list.remember_named("sampler-at", sampler)
    if module := _warm_start_module(separator):
        own_modules.remember(module)
    private_list.remember_named("address", mask(address))
    private_list.remember_named("tracking", mask(tracking_uri))


def usable(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored description without a sampler's module or a Ray cluster that no command has named."""
    values = dict(stored)
    sampler, address = str(values.get("sampler", "")), str(values.get("address") or "")
    if ":" in sampler and not _is_known_sampler(sampler):
        values["sampler"] = _HARMLESS  # the sampler matters only to a study that goes on
    if address and not is_named_cluster(address):
        values["address"] = None
    return values


def _is_known_sampler(sampler: str) -> bool:
    module = sampler.partition(":")[0]
    if private_list.is_named("sampler-at", sampler):
        return own_modules.is_known(module)
    return private_list.is_named("sampler", sampler) and own_modules.is_known(module, formerly=True)


def is_named_cluster(address: str) -> bool:
    """Say whether a command or the environment of this user has named a Ray cluster."""
    if address in (os.environ.get("RAY_ADDRESS"), "local"):  # "local" is no cluster: Ray is started here
        return True
    told = mask(address)
    leads_there = told == address or (endpoint(address) is not None and endpoint(told) == endpoint(address))
    return leads_there and private_list.is_named("address", told)


def endpoint(address: str) -> tuple[str, ...] | None:
    """Return the endpoint of an address: scheme, user, host, port, path and query, without passwords.

    None where programs could disagree about the host: it cannot be parsed, or there is an ``@`` after it, a backslash
    or a control character.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    rest = "".join(parts[2:])
    if parts.netloc and ("@" in rest or parts.netloc.count("@") > 1 or re.search(r"[\\\s\x00-\x1f\x7f]", address)):
        return None
    user = (parts.username or "") if parts.password is not None else "***" if parts.username else ""
    host = parts.hostname or ""
    return (parts.scheme, user, host, str(port), mask(parts.path), mask(f"?{parts.query}#{parts.fragment}"))


def require_warm_start(separator: Any) -> None:
    """Refuse a warm start by a module that only the storage names, and no command of this user.

    Registered models and folders are not refused here: whose code may run is known when they are loaded.

    Raises:
        UnknownNameError: the warm start's module is named by the storage alone.
    """
    module = _warm_start_module(separator)
    is_formerly_named = private_list.is_named("start", str(getattr(separator, "start", "")))
    if module and not own_modules.is_known(module, formerly=is_formerly_named):
        registry.require_named("sepray.separators", module)


def _warm_start_module(separator: Any) -> str:
    """Return the module of the separator of a warm start; empty where there is none, or where it is a model."""
    if not hasattr(separator, "start_epochs"):  # a field ``start`` alone is the separator's own
        return ""
    given = str(getattr(separator, "start", ""))
    name = given.partition(" ")[0].partition(":")[0]
    is_model = ":/" in given or Path(given).is_dir()
    return "" if is_model or name in ("", "constant") else registry.module_name("sepray.separators", name)
