"""Results and losses that stop a study, and their messages."""

import pytest

from sepray.fault import LOSSES_OF_THE_EXECUTOR, CheckpointError, ExecutorError, NodeError, Whose, WorkerLoss
from sepray.search import stopping

LOSS = WorkerLoss(Whose.EXECUTOR, "its node is gone")


@pytest.mark.parametrize(
    ("outcome", "kind", "end"),
    [
        ("unsaved", CheckpointError, "no trial is lost; the same command goes on once it works again"),
        (
            "unprepared",
            NodeError,
            "give that node what it lacks, or take it out of the cluster, and the same command goes",
        ),
    ],
)
def test_results_of_a_store_or_a_node_stop_the_study(outcome, kind, end):
    error = stopping.by_result({"outcome": outcome, "reason": "disk full"})
    assert type(error) is kind
    assert str(error).startswith("disk full. So the study stops")
    assert end in str(error)


@pytest.mark.parametrize("result", [{}, {"outcome": "complete"}, {"outcome": "", "reason": "disk full"}])
def test_other_results_stop_nothing(result):
    assert stopping.by_result(result) is None


def test_lost_workers_stop_the_study_from_the_tenth_in_a_row_on():
    assert LOSSES_OF_THE_EXECUTOR == 10
    assert stopping.by_loss(7, LOSS, 9) is None
    error = stopping.by_loss(7, LOSS, 10)
    assert type(error) is ExecutorError
    assert str(error).startswith(
        "trial 7 has lost its worker 10 times in a row without an epoch of progress: its node is gone. So the study"
    )


def test_loss_that_every_worker_of_the_node_would_have_stops_it_at_once():
    error = stopping.by_loss(7, WorkerLoss(Whose.EXECUTOR, "no torch there", ends_study=True), 1)
    assert type(error) is NodeError
    assert str(error).startswith("trial 7 was not begun: no torch there. So the study stops")
