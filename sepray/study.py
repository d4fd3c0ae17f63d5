"""A study from its command line to its exit status. What was asked for is checked before anything large is imported."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import NoReturn

from .console import preflight
from .console.exit_status import INTERRUPTED, exit_with_status
from .errors import UsageError, mask
from .spec.flags import parse, parse_early
from .spec.study import StudySpec

__all__ = ["StudySpec", "main", "run"]


def main(spec: StudySpec) -> NoReturn:
    """Run a study from the command line and exit with its status (``sepray.console.exit_status``).

    Args:
        spec: the study; every field of it can be changed by a flag.
    """

    def job(arguments: list[str]) -> int:
        early = parse_early(spec, arguments)
        if early is not None:
            refuse_bad_input(early)
        return run(parse(spec, arguments))

    exit_with_status(spec.name, job)


def run(spec: StudySpec) -> int:
    """Run, continue or extend a study and finish it; return the exit status."""
    refuse_bad_input(spec)
    address = _address(spec)
    if address.startswith("ray://"):
        from .execution import cluster

        return cluster.run_on_head(address, run, [dataclasses.replace(spec, address="auto")], spec.modules())
    from .driver.driver import Driver  # torch, Ray, Optuna: seconds

    study = Driver(spec)
    try:
        return study.run()
    except KeyboardInterrupt:
        study.interrupted()
        return INTERRUPTED
    finally:
        study.close()


def refuse_bad_input(spec: StudySpec) -> None:
    """Refuse what cannot work: unknown names, folders without write access, servers that do not answer, missing GPUs.

    Raises:
        SeprayError: with the reason, in one line.
    """
    spec.check()
    address = _address(spec)
    if address.startswith("ray://"):
        for name, place in (("storage", spec.storage), ("tracking-uri", spec.tracking_uri)):
            if place.startswith(("sqlite:///", "journal://")) and not place.startswith(("sqlite:////", "journal:///")):
                raise UsageError(
                    f"--{name} {place} is a file of this folder, which a driver on {address} does not see; "
                    f"give a server, or an absolute path that all machines share"
                )
        preflight.require_listening(address, f"the Ray cluster {address}")
        return  # folders and storage are the head's to see
    if "://" not in spec.storage_path:
        preflight.require_writable(Path(spec.storage_path))
    preflight.require_writable(spec.cache.expanduser())
    preflight.require_storage(spec.storage, f"storage {mask(spec.storage)}")
    if ":" in address:
        preflight.require_listening(f"ray://{address}", f"the Ray cluster {address}")
    elif not address and spec.gpus_per_trial:
        there = preflight.count_gpus()
        if there is not None and spec.gpus_per_trial > there:
            raise UsageError(f"a trial asks for {spec.gpus_per_trial:g} GPUs, but there are {there} on this machine")


def _address(spec: StudySpec) -> str:
    return spec.address or os.environ.get("RAY_ADDRESS") or ""
