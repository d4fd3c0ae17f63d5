"""Lists the separators and tasks and their needs, read from their sources: nothing is imported or run."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from .. import registry
from ..modules import source

SEPRAY = "sepray"
"""Origin of the separators and tasks that come with sepray."""
_CONTRACTS = "sepray.contracts"


@dataclass(frozen=True)
class Available:
    """A separator or task.

    Attributes:
        name: its name.
        what: first paragraph of its module's docstring; the reason if it cannot be used.
        config: first paragraph of its ``Config``'s docstring.
        supervisions: training signals that the separators in its module need (values of ``contracts.Supervision``).
        configurations: names of its configurations.
        origin: ``sepray``, or the installed package that announces it, with its version.
    """

    name: str
    what: str
    config: str = ""
    supervisions: tuple[str, ...] = ()
    configurations: tuple[str, ...] = ()
    origin: str = SEPRAY


def available(package: str) -> list[Available]:
    """Return the separators (``"sepray.separators"``) or tasks (``"sepray.tasks"``), sorted by name.

    Names that an installed package announces are listed even if they cannot be used, with the reason.
    """
    announced = registry.announced_modules(package)
    found = []
    for name in sorted({*registry.names(package), *announced}):
        plugin = announced.get(name)
        if plugin is not None and plugin.problem is not None:
            found.append(Available(name, plugin.problem, origin=plugin.origin))
        else:
            found.append(_described(package, name, SEPRAY if plugin is None else plugin.origin))
    return found


def _described(package: str, name: str, origin: str) -> Available:
    module = registry.module_name(package, name)
    config = source.definition(module, "Config")
    return Available(
        name=name,
        what=source.sentence(source.tree(module)),
        config=source.sentence(config[1]) if config is not None and isinstance(config[1], ast.ClassDef) else "",
        supervisions=supervisions(module),
        configurations=registry.config_names(package, name),
        origin=origin,
    )


def supervisions(module: str) -> tuple[str, ...]:
    """Return the training signals that the separators in a module need, sorted."""
    classes = [node for node in source.tree(module).body if isinstance(node, ast.ClassDef)]
    members = [found for node in classes if (found := _supervision(module, node)) is not None]
    values = _members()
    return tuple(sorted({values[member] for member in members if member in values}))


def _supervision(module: str, node: ast.ClassDef) -> str | None:
    """Return the name of a separator class's member of ``Supervision``; None if the class is no separator.

    A class that does not set it inherits it from the first of its bases that is a separator.
    """
    own = next((v for part in node.body for names, v in (source.assigned(part),) if "supervision" in names), None)
    inherited = None
    for base in node.bases:
        found = source.definition(module, ast.unparse(base))
        if inherited is None and found is not None and isinstance(found[1], ast.ClassDef):
            inherited = _supervision(found[0], found[1])
    if inherited is None and (module, node.name) != (_CONTRACTS, "Separator"):
        return None
    return own.attr if isinstance(own, ast.Attribute) else inherited


def _members() -> dict[str, str]:
    """Return the value of each member of ``Supervision``, by the member's name."""
    found = source.definition(_CONTRACTS, "Supervision")
    assert found is not None
    assert isinstance(found[1], ast.ClassDef)
    assigned = (source.assigned(part) for part in found[1].body)
    return {name: str(v.value) for names, v in assigned for name in names if isinstance(v, ast.Constant)}
