"""Separators against each other: each a study of its own on one task, with one budget, and one table of all.

``Comparison`` is the command line; ``contenders`` finds who takes part, ``running`` runs their studies through the
main job and scores them on the test split, ``significance`` says how sure the differences are, ``table``, ``formats``
and ``figure`` show it, and ``publishing`` writes it down: in a folder, in MLflow, in the terminal.
"""

from __future__ import annotations

import os
import sys

from .. import study
from ..console.exit_status import exit_with_status
from .spec import Comparison, Spaces, parse

__all__ = ["Comparison", "Spaces", "main", "run"]


def main(comparison: Comparison, spaces: Spaces) -> None:
    """Run a comparison from the command line and exit with its status.

    0, 1 where no separator has figures, 2 bad input, 130 Ctrl-C.

    Args:
        comparison: the defaults of all flags.
        spaces: what may vary and the published settings, by separator; one that is not there has its defaults.
    """
    exit_with_status(comparison.name, lambda arguments: run(parse(comparison, arguments), spaces))


def run(comparison: Comparison, spaces: Spaces) -> int:
    """Run or continue a comparison and show it; return the exit status."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # modules of one's own lie there, and the study's file elsewhere
    comparison.check()
    first = comparison.first_study()
    study.refuse_bad_input(first)
    address = comparison.resources.cluster_address
    if address.startswith("ray://"):
        from ..execution import cluster

        modules = ["sepray", comparison.task, *comparison.separators]
        there = comparison.changed(address="auto")
        return cluster.run_on_head(address, run, [there, spaces], _own(modules))
    from . import publishing  # torch, Ray, Optuna: seconds

    return publishing.run(comparison, spaces)


def _own(names: list[str]) -> list[str]:
    """Return the modules of one's own among names of separators and tasks, and sepray."""
    import importlib.util

    from .. import registry

    shipped = {*registry.names("sepray.separators"), *registry.names("sepray.tasks")}
    plain = [name.partition(":")[0] for name in names]
    return [name for name in plain if name not in shipped and importlib.util.find_spec(name)]
