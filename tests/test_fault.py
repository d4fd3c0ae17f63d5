"""Whose fault a failure is: every row of the table, and of errors that older versions stored."""

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError

from sepray import fault
from sepray.errors import SeprayError
from sepray.fault import CheckpointError, Whose, of_loss

CHECKPOINTS = 'File "/x/sepray/execution/{}.py", line 3, in write\nOSError: [Errno 28] No space left on device'
FULL = "OSError: [Errno 28] No space left on device"
# What Ray 2.60 said of workers that it lost:
ENDED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker "
    "unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was "
    "killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed "
    "unexpectedly due to SIGSEGV or another unexpected error."
)
NODE = (
    "The actor died because its node has died. Node Id: 7c81627cdae3393d4a80\n\tthe actor's node was terminated "
    "unexpectedly: health check failed due to missing too many heartbeats"
)
MEMORY = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2) was 23GB used"
)


def test_error_of_a_training_is_the_trials_own_unless_its_checkpoints_fail():
    assert fault.of_training(CheckpointError("s3://bucket: no answer")) is Whose.STORE
    assert fault.of_training(fault.NodeError("no GPU")) is Whose.EXECUTOR
    for error in (OSError(28, "full"), RuntimeError("CheckpointError"), KeyboardInterrupt()):
        assert fault.of_training(error) is Whose.TRIAL
    assert isinstance(CheckpointError("no answer"), SeprayError)


def test_error_of_a_checkpoint_is_the_stores_where_the_system_refuses():
    for error in (OSError(28, "full"), PermissionError(13, "denied"), TimeoutError()):
        assert fault.of_checkpoint(error) is Whose.STORE
    for error in (TypeError("cannot be pickled"), RuntimeError("full")):
        assert fault.of_checkpoint(error) is Whose.TRIAL


@pytest.mark.parametrize(
    ("tag", "whose", "environment"),
    [
        ("lost", Whose.EXECUTOR, True),
        ("diverged", Whose.TRIAL, False),
        ("error", Whose.TRIAL, False),
        ("out_of_memory", Whose.TRIAL, False),
        ("complete", None, False),
        ("pruned", None, False),
        ("collapsed", None, False),
        (None, None, False),
    ],
)
def test_outcome_says_whose_fault_it_is(tag, whose, environment):
    for outcome in ({"tag": tag}, {"tag": tag, "reason": None}, {"tag": tag, "reason": "RuntimeError: x"}):
        assert fault.of_outcome(outcome) is whose
        assert fault.of_environment(outcome) is environment
    # What an older version stored of a full disk is told by its traceback, and only of an error.
    stored = {"tag": tag, "reason": FULL}
    expected = Whose.STORE if tag == "error" else whose
    assert fault.of_outcome(stored, CHECKPOINTS.format("checkpoint")) is expected
    assert fault.of_environment(stored, CHECKPOINTS.format("checkpoint")) is (environment or tag == "error")


@pytest.mark.parametrize(
    ("reason", "module", "whose"),
    [
        (FULL, "checkpoint_writer", Whose.STORE),
        (FULL, "file_systems", Whose.STORE),
        ("PermissionError: [Errno 13] Permission denied", "checkpoint", Whose.STORE),
        ("FSTimeoutError: [Errno -2] no answer", "checkpoint", Whose.STORE),
        (FULL, "members", Whose.TRIAL),
        ("RuntimeError: OSError: [Errno 28] full", "checkpoint", Whose.TRIAL),
        ("OSError: file is not whole", "checkpoint", Whose.TRIAL),
        ("", "checkpoint", Whose.TRIAL),
    ],
)
def test_stored_error_is_a_stores_where_module_and_system_say_so(reason, module, whose):
    assert fault.of_outcome({"tag": "error", "reason": reason}, CHECKPOINTS.format(module)) is whose
    assert fault.of_outcome({"tag": "error", "reason": reason}, "") is Whose.TRIAL


def died(message):
    return ActorDiedError(ActorDiedErrorContext(error_message=message, class_name="A", actor_id=b"a" * 16, pid=7))


def unavailable(message):
    return ActorUnavailableError(f"The actor is temporarily unavailable: {message}", b"a" * 16)


@pytest.mark.parametrize(
    ("error", "whose", "why"),
    [
        (died(ENDED), Whose.TRIAL, "its process has ended"),
        (unavailable("IntentionalSystemExit: Worker exits with an exit code 0."), Whose.TRIAL, "its process has ended"),
        (ActorDiedError(), Whose.TRIAL, "its process has ended"),
        ("", Whose.TRIAL, "its process has ended"),
        (died(NODE), Whose.EXECUTOR, "its node has died"),
        (OutOfMemoryError(MEMORY), Whose.EXECUTOR, "its node has run out of memory, and Ray has ended it"),
        (died("The actor is dead because it was killed by `ray.kill`."), Whose.EXECUTOR, "Ray has ended it"),
        (unavailable("RpcError: RPC error: Socket closed rpc_code: 14."), Whose.EXECUTOR, "its node does not answer"),
    ],
)
def test_only_what_the_trials_code_cannot_have_done_is_the_executors_fault(error, whose, why):
    assert of_loss(str(error)) == (whose, why, False)


BEGINNING = """Failure # 1 (occurred at 2026-01-01_00-00-00)
The actor died because of an error raised in its creation task, \x1b[36mray::_Inner.__init__()\x1b[39m (pid=7, \
ip=192.0.2.7, actor_id=00aa, repr=<_Inner object at 0x7f>)
  File "/x/ray/tune/trainable/trainable.py", line 94, in __init__
    raise OSError("not the cause, but a line of the source")
{}"""
IMPORT = """The actor with name _Inner failed to import on the worker. This may be because needed library \
dependencies are not installed in the worker environment:

\x1b[36mray::_Inner.__init__()\x1b[39m (pid=7, ip=192.0.2.7, actor_id=00aa)
ModuleNotFoundError: No module named 'soxr'"""
ENVIRONMENT = """Failed to set up runtime environment.
Could not create the actor because its associated runtime env failed to be created.
RuntimeError: Failed to download runtime_env file package"""


@pytest.mark.parametrize(
    ("message", "why", "ends"),
    [
        (IMPORT, "node 192.0.2.7 cannot begin it: ModuleNotFoundError: No module named 'soxr'", True),
        (ENVIRONMENT, "a node cannot begin it: RuntimeError: Failed to download runtime_env file package", True),
        (BEGINNING.format("ImportError: libx.so"), "node 192.0.2.7 cannot begin it: ImportError: libx.so", True),
        (
            BEGINNING.format("ray.exceptions.OwnerDiedError: Failed to retrieve object 00ff.\n\nIts owner has exited."),
            "node 192.0.2.7 cannot begin it: OwnerDiedError: Failed to retrieve object 00ff.",
            True,
        ),
        (BEGINNING.format("no kind"), "node 192.0.2.7 cannot begin it: no kind", True),
        (BEGINNING.format("OSError: [Errno 28]"), "node 192.0.2.7 cannot begin it: OSError: [Errno 28]", False),
        (BEGINNING.format("ConnectionResetError: x"), "node 192.0.2.7 cannot begin it: ConnectionResetError: x", False),
        (BEGINNING.format("MemoryError"), "node 192.0.2.7 cannot begin it: MemoryError", False),
        (
            BEGINNING.format("ray.exceptions.ObjectStoreFullError: no room"),
            "node 192.0.2.7 cannot begin it: ObjectStoreFullError: no room",
            False,
        ),
    ],
)
def test_worker_that_cannot_begin_ends_the_study_unless_that_may_pass(message, why, ends):
    assert of_loss(message) == (Whose.EXECUTOR, why, ends)
