"""A study from its command line to its exit status. What was asked for is checked before anything large is imported."""

from __future__ import annotations

import dataclasses
import os
import signal as signals
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from .console import preflight as places
from .console.terminal import one_line
from .errors import EXPECTED, UsageError
from .spec.study import StudySpec, glance, parse
from .tracking.environment import mask

__all__ = ["StudySpec", "compare", "main", "run"]

INTERRUPTED = 130


def main(spec: StudySpec) -> None:
    """Run a study from the command line and exit with its status: 0, 1 nothing to register, 2 bad input, 130 Ctrl-C."""

    def job() -> int:
        seen = glance(spec)
        if seen is not None:
            look(seen)
        return run(parse(spec))

    leave(spec.name, job)


def compare(spaces: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
    """Compare separators from the command line (``sepray.comparison``) and exit with its status, as ``main`` does.

    Args:
        spaces: what may vary and the published settings, by separator; one that is not there has its defaults.
    """
    from .comparison import command as comparison  # which runs each separator through this module

    comparison.main(comparison.Comparison(), spaces)


def leave(name: str, job: Callable[[], int]) -> NoReturn:
    """Do what a command line asks for and exit with its status; what a user can put right is said in one line."""
    signals.signal(signals.SIGTERM, _interrupt)
    try:
        status = job()
    except EXPECTED as error:
        if os.environ.get("SEPRAY_TRACEBACK"):
            raise
        print(f"{name}: {mask(one_line(error))}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        status = INTERRUPTED
    sys.exit(status)


def run(spec: StudySpec) -> int:
    """Run, continue or extend a study and finish it; return the exit status."""
    look(spec)
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


def look(spec: StudySpec) -> None:
    """Refuse what can be seen not to work: names, folders, a storage or a cluster that does not answer, GPUs."""
    spec.check()
    address = _address(spec)
    if address.startswith("ray://"):
        for name, place in (("storage", spec.storage), ("tracking-uri", spec.tracking_uri)):
            if place.startswith(("sqlite:///", "journal://")) and not place.startswith(("sqlite:////", "journal:///")):
                raise UsageError(
                    f"--{name} {place} is a file of this folder, which a driver on {address} does not see; "
                    f"give a server, or an absolute path that all machines share"
                )
        places.knock(address, f"the Ray cluster {address}")
        return  # folders and storage are the head's to see
    if "://" not in spec.storage_path:
        places.writable(Path(spec.storage_path))
    places.writable(spec.cache.expanduser())
    places.storage(spec.storage, f"storage {mask(spec.storage)}")
    if ":" in address:
        places.knock(f"ray://{address}", f"the Ray cluster {address}")
    elif not address and spec.gpus_per_trial:
        there = places.gpus()
        if there is not None and spec.gpus_per_trial > there:
            raise UsageError(f"a trial asks for {spec.gpus_per_trial:g} GPUs, but there are {there} on this machine")


def _address(spec: StudySpec) -> str:
    return spec.address or os.environ.get("RAY_ADDRESS") or ""


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
