"""The error of a trial that has lost its worker is found where Tune has put it."""

from types import SimpleNamespace

import pytest
import ray
from ray.core.generated.common_pb2 import ActorDeathCause, ActorDiedErrorContext
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError
from ray.tune.experiment import Trial

from sepray.execution.lost_workers import WorkerLossWatch
from sepray.fault import Whose, WorkerLoss

NODE = ActorDiedErrorContext(error_message="The actor died because its node has died.", actor_id=b"a" * 16)
LET_GO = ActorDiedErrorContext(error_message="The actor is dead because all references to the actor were removed.")
ACTOR = b"a" * 16
UNANSWERING = ActorUnavailableError("The actor is temporarily unavailable: RpcError", ACTOR)
ENDED = WorkerLoss(Whose.TRIAL, "its process has ended")


@pytest.fixture
def loss_of(tmp_path):
    """Return why a trial has lost its worker, from an error that Tune has handled."""

    def loss_of(error):
        trial = Trial("training", stub=True, trial_id="a")
        trial.storage = SimpleNamespace(trial_driver_staging_path=str(tmp_path))
        if error is not None:
            trial.handle_error(error)
        watch = WorkerLossWatch()
        watch.on_step_begin(1, [SimpleNamespace(trial_id="b"), trial])
        return watch.of("a")

    return loss_of


def test_actor_whose_node_has_died(loss_of):
    assert loss_of(ActorDiedError(cause=NODE)) == WorkerLoss(Whose.EXECUTOR, "its node has died")


def test_worker_that_ray_has_ended_for_its_memory(loss_of):
    told = OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")
    assert loss_of(told) == WorkerLoss(Whose.EXECUTOR, "its node has run out of memory, and Ray has ended it")


@pytest.mark.parametrize(
    ("known", "loss"),
    [
        ({}, WorkerLoss(Whose.EXECUTOR, "its node does not answer")),
        ({"DeathCause": ActorDeathCause()}, WorkerLoss(Whose.EXECUTOR, "its node does not answer")),
        (
            {"DeathCause": ActorDeathCause(actor_died_error_context=ActorDiedErrorContext(error_message="a process"))},
            ENDED,
        ),
        (
            {"DeathCause": ActorDeathCause(actor_died_error_context=NODE)},
            WorkerLoss(Whose.EXECUTOR, "its node has died"),
        ),
        # Tune has let the actor go: that says nothing of why it did not answer before.
        (
            {"DeathCause": ActorDeathCause(actor_died_error_context=LET_GO)},
            WorkerLoss(Whose.EXECUTOR, "its node does not answer"),
        ),
    ],
)
def test_of_an_actor_that_did_not_answer_ray_may_know_the_cause_since(loss_of, monkeypatch, known, loss):
    monkeypatch.setattr(ray._private.state, "actors", {ACTOR.hex(): known}.__getitem__)
    assert loss_of(UNANSWERING) == loss


def test_without_an_error_the_process_has_ended(loss_of):
    assert loss_of(None) == ENDED
    assert WorkerLossWatch().of("a") == ENDED
