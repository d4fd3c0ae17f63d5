"""Names of the modules of separators and tasks, for messages and commands: a variant's own name follows a colon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import registry


def shown_name(config: Any) -> str:
    """Return the name of a configuration's module for messages: ``registry.key``, for a variant ``cass:published``."""
    module = type(config).__module__
    return _with_variant(registry.key(module), _variant(module))


def given_name(module: str) -> str:
    """Return the name by which a study is given the module of a ``Config``.

    ``cass`` for ``sepray.separators.cass``, ``cass:published`` for the variant ``sepray.separators.cass_published``,
    and the full name of a module that is not sepray's.
    """
    return _with_variant(_short(registry.stored_module(module)), _variant(module))


def name_of_stored(module: str, values: Mapping[str, Any]) -> str:
    """Return the name by which a study is given a stored configuration.

    Args:
        module: full name of the module that it is stored under; that of a variant is its base module's.
        values: its fields.
    """
    return _with_variant(_short(module), variant_of_stored(module, values))


def variant_of_stored(module: str, values: Mapping[str, Any]) -> str:
    """Return the name of the variant that a stored configuration is of (``published``); empty if of none."""
    return registry.stored_variants(module).get(str(values.get("variant", "")), "")


def _variant(module: str) -> str:
    """Return the name of a variant (``published``); empty for a module that is none."""
    found = registry.variants(registry.stored_module(module))
    return next((name for name, path in found.items() if path == module), "")


def _short(module: str) -> str:
    return module.removeprefix("sepray.separators.").removeprefix("sepray.tasks.")


def _with_variant(name: str, variant: str) -> str:
    return f"{name}:{variant}" if variant else name
