"""Connects to the Ray that runs trials: one that this process starts, an existing cluster, or a remote one."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray import tune
from ray._private import worker as ray_worker
from ray._raylet import AuthenticationMode, get_authentication_mode  # type: ignore[attr-defined] # compiled
from ray.tune.search import ConcurrencyLimiter

from .. import processor
from ..errors import SeprayError, mask
from . import capacity, fork_server, private_ray, worker_path
from .capacity import ClusterError as ClusterError
from .ray_watch import RayDiedError, RayWatch
from .tune_statistics import DropStatistics
from .worker_code import Shipment, shipment

_RAY_SETTINGS = {
    # Without Tune's own CSV, JSON and TensorBoard files, state snapshots and usage report: a study goes on from the
    # Optuna storage.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a traceback of Ray's for each worker that is lost
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_ALLOCATOR_SETTINGS = {
    # By default a worker's glibc returns the tensors that a step frees to the kernel, and the next step gets them back
    # as pages that have to be zeroed. With these it keeps up to 256 MB. (glibc takes a first value up to 32 MB.)
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}

_CLIENT_PAUSES_SECONDS = (2.0, 5.0)  # between attempts to connect through ray://
_MOST_PENDING = 1000  # trials for which Tune asks a cluster for a worker at once
_STARTS = 3  # attempts to start a Ray of our own: it gives its processes 30 s, too few on a busy machine


def threads(cpus_per_trial: float) -> int:
    """Return how many threads torch may use in a trial: one for each whole CPU, and at least one."""
    return max(1, int(cpus_per_trial))


def _say_nothing(text: str) -> None:
    """Drop what is said about the cluster where the caller shows nothing."""


def connect(
    address: str | None,
    concurrency: int,
    cpus: float,
    gpus: float,
    modules: Iterable[str],
    say: Callable[[str], None] = _say_nothing,
) -> int:
    """Start Ray in this process, or join the cluster at ``address``; return how many trials run at once.

    Args:
        address: ``auto`` or ``host:port``; None, empty or ``local`` to start Ray here, whatever RAY_ADDRESS says.
        concurrency: most trials at once; 0 for as many as fit. With a number, a cluster that has no nodes for trials
            yet is joined, and the study waits for them.
        cpus: CPUs that a trial needs, whole or fractional.
        gpus: GPUs that a trial needs, whole or fractional.
        modules: names of the modules whose code is shipped to the workers of a cluster, beside all local modules that
            this process has imported.
        say: called with sentences for the user: what code was shipped, what is waited for.

    Raises:
        ClusterError: the cluster does not answer or refuses this process, or not one trial fits on a node.
    """
    for name, value in _RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)  # Tune would list the trials that have lost workers
    is_own = address in (None, "", "local")
    if not ray.is_initialized():
        if is_own:
            _start_local(concurrency, cpus, forked=not gpus and fork_server.is_possible())
        else:
            _join(str(address), modules, say)
    needs = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
    if not is_own:
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(_MOST_PENDING)
        return capacity.slots_of_cluster(needs, concurrency, say)
    fits = _capacity(needs)
    if fits < 1:
        resources = ray.cluster_resources()
        available = f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
        raise ClusterError(f"a trial asks for {cpus:g} CPUs and {gpus:g} GPUs, but there are {available}")
    slots = min(fits, concurrency or fits)
    # By default Tune starts one worker after another, which takes seconds each; with this it starts them all at once.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    return slots


def run_on_head(address: str, function: Callable[..., int], arguments: Sequence[Any], modules: Iterable[str]) -> int:
    """Run ``function`` on the head of the cluster behind a Ray client address (``ray://host:port``).

    Tune's driver has to run inside the cluster. This process waits for it, shows what it prints, and passes Ctrl-C on.
    Call ``preflight.require_listening`` before: where nothing listens, Ray itself would try for minutes.

    Raises:
        ClusterError: the cluster does not answer or refuses this process.
        SeprayError: raised by ``function``.
        ray.exceptions.RayTaskError: any other error of ``function``, with its traceback.
    """
    _authenticate()
    with shipment(modules) as shipped:
        environment = _runtime_environment(shipped)
        _retried(address, lambda: ray.init(address, runtime_env=environment, logging_level=logging.ERROR))
    running = ray.remote(num_cpus=0, max_retries=0)(function).remote(*arguments)
    try:
        status: int = ray.get(running)
        return status
    except KeyboardInterrupt:
        ray.cancel(running)
        raise
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SeprayError):
            raise error.cause from None  # without Ray's own message, which is a traceback
        raise


def run_trials(
    trainable: type[tune.Trainable],
    parameters: Mapping[str, Any],
    *,
    searcher: Any,
    scheduler: Any,
    folder: str,
    name: str,
    slots: int,
    cpus: float,
    gpus: float,
    callbacks: Sequence[tune.Callback] = (),
    follow: capacity.Following | None = None,
) -> None:
    """Run trials in one Tune experiment until the searcher has no more; nothing is read from the experiment later.

    Args:
        trainable: class of the trials.
        parameters: keyword arguments of the trainable's ``setup``, put into the object store once.
        searcher: gives the trials and takes their results.
        scheduler: stops trials early.
        folder: path or URI under which Tune keeps its files.
        name: name of the experiment, a folder in ``folder``.
        slots: trials that run at once.
        cpus: CPUs that a trial needs.
        gpus: GPUs that a trial needs.
        callbacks: hear of the trials.
        follow: how nodes that join and leave are followed; None: ``slots`` stay as they are.

    Raises:
        ClusterError: Ray has died.
        SeprayError: raised by the searcher, the scheduler or a callback.
    """
    needs = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
    # Spare trials wait for a slot to become free. Where there is room for more than ``slots`` they would start at once,
    # so there are none.
    limiter = ConcurrencyLimiter(searcher, slots if slots < _capacity(needs) else slots + max(1, slots // 4))
    watches: list[tune.Callback] = [RayWatch(), DropStatistics()]
    if follow is not None:
        watches.append(capacity.Follower(needs, limiter, follow))
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, **parameters), tune.PlacementGroupFactory([needs])),
        tune_config=tune.TuneConfig(
            search_alg=limiter,
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=folder,
            verbose=0,
            callbacks=[*watches, *callbacks],
            # The searcher hands a trial out again whose worker was lost, and counts losses without progress.
            failure_config=tune.FailureConfig(max_failures=0),
            # A trial writes its own checkpoints; Tune's are for schedulers that pause or copy trials.
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except RayDiedError as error:
        raise ClusterError(str(error)) from None
    except tune.TuneError as error:  # Tune's, around what the searcher or a callback raised; its message is a traceback
        if isinstance(error.__context__, SeprayError):
            raise error.__context__ from None
        raise


def _capacity(needs: Mapping[str, float]) -> int:
    """Return how many trials fit into the cluster at once, whatever node each is on."""
    return capacity.fitting_into(ray.cluster_resources(), needs)


def _start_local(concurrency: int, cpus: float, forked: bool = False) -> None:
    """Start Ray on this machine, with CPUs for ``concurrency`` trials, or for as many as its CPUs allow.

    Args:
        concurrency: most trials at once; 0 for as many as fit.
        cpus: CPUs that a trial needs.
        forked: whether workers are forked from a process that has imported what they need.

    Raises:
        ClusterError: Ray has not started.
    """
    slots = concurrency or max(1, math.floor(processor.cpus() / cpus)) if cpus else concurrency
    # Otherwise BLAS and OpenMP of every worker would start a thread for each CPU of the machine.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads(cpus))
    for name, value in _ALLOCATOR_SETTINGS.items():
        os.environ.setdefault(name, value)
    for tries_left in reversed(range(_STARTS)):
        try:
            with (
                worker_path.like_this_process(),
                _start_errors(),
                _without_rays_lines(),
                private_ray.private() as options,
            ):
                server = private_ray.fork_server_in(options) if forked else None
                ray.init(
                    address="local",  # without it Ray would join the cluster that anybody has started last here
                    **options,
                    num_cpus=max(1, math.ceil(slots * cpus)) if slots else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    configure_logging=True,
                    job_config=worker_path.job_config(),
                )
                if server is not None:
                    server.start(private_ray.raylet())
            return
        except ClusterError as error:
            if not tries_left or "timed out" not in str(error):
                raise


@contextlib.contextmanager
def _without_rays_lines() -> Iterator[None]:
    """Keep Ray from printing its own lines (``(raylet) A worker died ...``) in the terminal of a driver that starts.

    A thread of Ray's prints them whatever is set for its logs, ten lines for a worker that is lost. sepray says such a
    loss itself, and Ray's logs have the rest.
    """
    printing = getattr(ray_worker, "listen_error_messages", None)
    if printing is None:  # another version of Ray
        yield
        return
    ray_worker.listen_error_messages = lambda *_: None
    try:
        yield
    finally:
        ray_worker.listen_error_messages = printing


@contextlib.contextmanager
def _start_errors() -> Iterator[None]:
    """Raise what keeps Ray from starting on this machine as a ClusterError, in one line that says what to do."""
    try:
        yield
    except Exception as error:  # a timeout is a plain Exception, a process that ends a RuntimeError
        ray.shutdown()  # ends the processes that have started
        private_ray.forget()
        raise ClusterError(
            f"Ray did not start on this machine: {_first_line(error).partition('. ')[0].rstrip('.')}. It waits "
            "for 30 s or so, which is too short for a machine that is busy or has little free memory or disk; nothing "
            "is lost: run the same command again when there is less to do"
        ) from error


def _authenticate() -> None:
    """Use the user's Ray token if there is one: a cluster that was started with a token asks for it."""
    try:
        from ray._private.authentication import authentication_token_setup as setup

        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    except (ImportError, AttributeError):
        return  # a Ray that leaves this to the environment (RAY_AUTH_MODE)


def asks_for_token() -> bool:
    """Say whether the cluster that this process has joined asks for a token; True where it does not say in time.

    A process that has a token may join a cluster that asks nobody for one, so a worker says how Ray was started there.
    """
    if get_authentication_mode() != AuthenticationMode.TOKEN:
        return False  # this process has joined without one
    mode = ray.remote(num_cpus=0)(lambda: os.environ.get("RAY_AUTH_MODE", "")).remote()
    try:
        return bool(ray.get(mode, timeout=30.0) == "token")
    except ray.exceptions.RayError:
        return True


def _join(address: str, modules: Iterable[str], say: Callable[[str], None]) -> None:
    _authenticate()
    with _cluster_errors(address), _without_rays_lines(), contextlib.ExitStack() as stack:
        options: dict[str, Any] = {}
        given = _environment_of_job()
        if not given.keys() & {"working_dir", "py_modules"}:  # else `ray job submit` has shipped the code already
            shipped = stack.enter_context(shipment(modules))
            options = {"runtime_env": _runtime_environment(shipped, given.get("env_vars") or {})}
            say(f"code for the workers: {shipped.in_words()}")
        options["job_config"] = worker_path.job_config()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)


@contextlib.contextmanager
def _cluster_errors(address: str) -> Iterator[None]:
    """Raise what keeps Ray from joining the cluster at ``address`` as a ClusterError, in one line."""
    try:
        yield
    except ConnectionError as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {_first_line(error)}") from error
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        # another version of Ray or Python, a wrong token, an address that is none, code too large to ship
        raise ClusterError(f"the Ray cluster at {address} cannot be joined: {_first_line(error)}") from error


def _environment_of_job() -> dict[str, Any]:
    """Return the runtime environment of the Ray job that this process runs in; empty without a job, or if it has none.

    Ray adds to it what the process itself asks for, and refuses what is named in both.
    """
    config: dict[str, Any] = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    return config.get("runtime_env") or {}


def _runtime_environment(shipped: Shipment, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return Ray's runtime environment: the code to ship, and the allocator's settings except ``variables``."""
    settings = {name: value for name, value in _ALLOCATOR_SETTINGS.items() if name not in (variables or {})}
    return {"py_modules": shipped.paths, "env_vars": settings}


def _retried(address: str, connect: Callable[[], Any]) -> None:
    """Connect to the head behind a Ray client address, which often takes several attempts.

    Raises:
        ClusterError: the head does not answer or refuses this process, each time; with the last line that Ray gives.
    """
    for pause in (*_CLIENT_PAUSES_SECONDS, None):
        try:
            with _without_rays_lines():
                connect()
                return
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            lasting = isinstance(error, ValueError | ray.exceptions.AuthenticationError)
            if pause is None or lasting:
                reason = ([line for line in str(error).splitlines() if line.strip()] or [type(error).__name__])[-1]
                raise ClusterError(
                    f"no driver can be started through {address}: {mask(reason.strip())}; a job needs no such "
                    "connection: ray job submit --address http://HEAD:8265 -- sepray run ... --address auto"
                ) from error
        ray.shutdown()  # ends the connection that has begun
        time.sleep(pause)


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def is_connected() -> bool:
    """Say whether this process has started Ray or joined a cluster."""
    return bool(ray.is_initialized())


def disconnect() -> None:
    """Leave the cluster; a Ray that this process has started ends, with its workers, unless it is ``kept``."""
    if not private_ray.outlives_studies():
        end()


def end() -> None:
    """Leave the cluster; a Ray that this process has started ends, with its workers, also one that is ``kept``."""
    if ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.SCRIPT_MODE:
        ray.shutdown()
        private_ray.forget()
