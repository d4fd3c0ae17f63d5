"""The entry point of comparisons, on the command line and in Python."""

from __future__ import annotations

from typing import NoReturn

from .. import study
from ..console.exit_status import exit_with_status
from ..console.waiting import wait_for
from ..disk.files import kept_private
from ..driver.on_finish import run_on_error, run_on_finish
from ..modules import own_modules
from ..spec.flags import name_given
from ..spec.permissions import Permissions
from .spec import Comparison, Spaces, parse_command

__all__ = ["Comparison", "Spaces", "main", "run"]


def main(comparison: Comparison, spaces: Spaces | None = None) -> NoReturn:
    """Run a comparison from the command line and exit with its status (``sepray.console.exit_status``).

    Args:
        comparison: the comparison with the defaults of all flags.
        spaces: search space and published settings by separator; default: those in ``search_spaces``. A separator
            without an entry has its defaults.
    """

    def job(arguments: list[str]) -> int:
        wait_for("checking the command", log=False)  # a flag may give the comparison another name
        given, options = parse_command(comparison, arguments)
        if options.dry_run:
            return _show_estimate(given, spaces)
        with run_on_error(options.on_finish, given.name):
            status = run(given, spaces, options.permitted)
        run_on_finish(options.on_finish, given.name, status)
        return status

    exit_with_status(name_given(comparison.name), job)


def run(comparison: Comparison, spaces: Spaces | None = None, permitted: Permissions | None = None) -> int:
    """Run or continue a comparison and show it.

    Args:
        comparison: the comparison.
        spaces: as for ``main``.
        permitted: what the user allows the studies; default: nothing.

    Returns:
        The exit status: 0 done, 1 no separator has figures, 3 one has none because of a bug, that of a signal where one
        has ended it.

    Raises:
        SeprayError: something that the user can put right.
    """
    study.started.append(comparison.name)
    spaces = checked(comparison, spaces)
    address = comparison.resources.cluster_address
    if address.startswith("ray://"):
        from ..execution import cluster

        modules = ["sepray", comparison.task, *(entry.separator for entry in comparison.entries())]
        there = comparison.changed(address="auto")
        return cluster.run_on_head(address, run, [there, spaces, permitted], _own(modules))
    wait_for(f"{comparison.name}: importing torch, Ray and Optuna")
    from . import publishing  # seconds

    with kept_private(comparison.stores.shared):
        return publishing.run(comparison, spaces, permitted)


def _show_estimate(comparison: Comparison, spaces: Spaces | None) -> int:
    """Show what a run of the comparison would take; return the exit status that it would begin with."""
    spaces = checked(comparison, spaces)
    from . import dry_run

    found = dry_run.estimate(comparison, spaces)
    dry_run.show(found)
    return found.status


def checked(comparison: Comparison, spaces: Spaces | None) -> Spaces:
    """Refuse a comparison that cannot work; return the search spaces of its separators."""
    own_modules.add_current_folder()  # the user's own modules lie there, and the study's file elsewhere
    comparison.check()
    study.refuse_bad_input(comparison.first_study())
    return comparison.spaces() if spaces is None else spaces


def _own(names: list[str]) -> list[str]:
    """Return the user's own modules among names of separators and tasks, and sepray."""
    import importlib.util

    from .. import registry

    shipped = {*registry.names("sepray.separators"), *registry.names("sepray.tasks")}
    plain = [name.partition(":")[0] for name in names]
    return [name for name in plain if name not in shipped and importlib.util.find_spec(name)]
