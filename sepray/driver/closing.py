"""Closes a study, however it ends: marks its runs, then closes Ray and the stores, each even if another fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ..console import interruption
from ..console.exit_status import how_to_go_on
from ..console.terminal import console
from ..errors import SeprayError, mask, one_line
from ..execution import cluster, private_ray
from ..plain_text import in_markdown
from .stores import StudyStores, refused_by_mlflow, waits_for_mlflow


def run_and_close(name: str, stores: StudyStores, job: Callable[[], int]) -> int:
    """Run a study to its end, its interruption or its error; close its stores in every case.

    Args:
        name: name of the study.
        stores: its stores.
        job: runs it and returns its exit status.

    Returns:
        The exit status: what ``job`` returned, or that of the signal that ended it (``console.interruption``).

    Raises:
        BaseException: what ``job`` raised, but for ``KeyboardInterrupt``.
    """
    leave = cluster.end  # where the job fails, a Ray that is kept ends too: its workers would train on, or are broken
    try:
        with stores.lease.interrupt_when_lost():
            status = job()
        leave = cluster.disconnect
        return status
    except KeyboardInterrupt as error:
        mark_interrupted(stores, f"Study `{name}` is interrupted; the same command goes on with it.")
        console.print(f"\n{name} is interrupted; nothing is lost. {how_to_go_on()}", soft_wrap=True)
        return interruption.status_of(error)
    except BaseException as error:
        mark_interrupted(stores, f"Study `{name}` has stopped: {in_markdown(mask(one_line(error)))}")
        raise
    finally:
        close(stores, leave)


@contextlib.contextmanager
def one_ray() -> Iterator[None]:
    """Let the studies in this block share the Ray that the first of them starts here: starting a Ray takes seconds.

    A study that is interrupted or fails ends that Ray, and the next study starts another. A study on a cluster joins
    the cluster by itself, with its own code.
    """
    with private_ray.kept():
        try:
            yield
        finally:
            _leave_ray(cluster.end)


def mark_interrupted(stores: StudyStores, note: str = "") -> None:
    """End the open runs as interrupted; where the outbox cannot be written, they stay open.

    Where another driver has taken the study over, the runs are that driver's.

    Args:
        stores: stores of the study.
        note: description that the study's own run gets, in Markdown; empty: it keeps its own.
    """
    if stores.lease.is_lost:
        return
    with contextlib.suppress(SeprayError, OSError):
        stores.tracker.interrupted(note)


def close(stores: StudyStores, leave: Callable[[], None] | None = None) -> None:
    """Leave Ray and close the stores, each even if another fails; print what waits for MLflow.

    Args:
        stores: stores of the study.
        leave: leaves Ray; default: ``cluster.disconnect``.
    """
    try:
        _leave_ray(leave or cluster.disconnect)
    finally:
        if waiting := stores.close():
            console.print(waits_for_mlflow(stores.spec, waiting), soft_wrap=True)
        if refused := stores.tracker.refused:
            console.print(refused_by_mlflow(stores.spec, refused), soft_wrap=True)


def _leave_ray(leave: Callable[[], None]) -> None:
    try:
        with interruption.installed_again():  # Ray's end sets the handlers to the system's own
            leave()
    except Exception as error:
        console.print(f"Ray has not ended as it should: {mask(one_line(error))}", soft_wrap=True)
