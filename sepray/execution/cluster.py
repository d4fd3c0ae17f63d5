"""Where trials run: Ray in this process, an existing cluster, or a remote one. Imports nothing from sepray."""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ray
from ray import tune

from ..errors import UnreachableError

_QUIET = {
    # Tune's own CSV, JSON and TensorBoard files, its state snapshots and its usage report are of no use here: the
    # Optuna storage is what a study goes on from.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


_ALLOCATOR = {
    # A worker's glibc gives a step's freed tensors back to the kernel, which hands them out again as zeroed pages, at
    # every step. With these it keeps up to 256 MB (the first ends at 32).
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}


class ClusterError(UnreachableError):
    """The cluster does not answer, or has not what a trial asks for."""


def threads(cpus_per_trial: float) -> int:
    """Return the number of threads that a trial's torch may use: its CPUs, and at least one."""
    return max(1, int(cpus_per_trial))


def connect(address: str | None, concurrency: int, cpus: float, gpus: float, modules: Iterable[str]) -> int:
    """Start Ray in this process, or join the cluster at ``address``; return how many trials fit at once.

    Args:
        address: ``auto``, ``host:port``, or None for a Ray of this process's own. Inside ``ray job submit`` the job's
            cluster is joined.
        concurrency: trials at once; 0 for as many as fit.
        cpus: of a trial.
        gpus: of a trial.
        modules: names of the modules whose code is shipped to the workers of a cluster.

    Raises:
        ClusterError: no answer, or not one trial fits.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = address or os.environ.get("RAY_ADDRESS")
    if not ray.is_initialized():
        if address is None:
            _start(concurrency, cpus, gpus)
        else:
            _join(address, modules)
    resources = ray.cluster_resources()
    fits = [resources.get(kind, 0) / share for kind, share in (("CPU", cpus), ("GPU", gpus)) if share > 0]
    slots = math.floor(min(fits) + 1e-9) if fits else 0
    if slots < 1:
        has = f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
        raise ClusterError(f"a trial asks for {cpus:g} CPUs and {gpus:g} GPUs, but there are {has}")
    slots = min(slots, concurrency or slots)
    # Tune starts one worker after another by default, seconds each; so all of them start at once.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    return slots


def run_on_head(address: str, function: Callable[..., int], arguments: Sequence[Any], modules: Iterable[str]) -> int:
    """Run ``function`` on the head of the cluster behind a Ray client address (``ray://host:port``).

    Tune needs a driver inside the cluster; this process waits, shows what that prints, and passes Ctrl-C on. Whether
    anything listens there is asked before (``preflight.require_listening``): Ray itself would try for minutes.
    """
    _authenticate()
    try:
        ray.init(address, runtime_env=_shipped(modules), logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {_first_line(error)}") from error
    running = ray.remote(num_cpus=0, max_retries=0)(function).remote(*arguments)
    try:
        status: int = ray.get(running)
        return status
    except KeyboardInterrupt:
        ray.cancel(running)
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
) -> None:
    """Run trials in one throw-away Tune experiment until the searcher has no more."""
    shares = {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}
    shipped = tune.with_parameters(trainable, **parameters)
    tune.Tuner(
        tune.with_resources(shipped, tune.PlacementGroupFactory([shares])),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            reuse_actors=True,
            # A few wait ready for a slot, unless there are more slots than shall be used: they would start there.
            max_concurrent_trials=slots + (0 if slots < _capacity(shares) else max(1, slots // 4)),
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=folder,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=4),
            # A trial keeps its own checkpoints; Tune makes one only where a scheduler pauses or copies.
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
        ),
    ).fit()


def _capacity(shares: Mapping[str, float]) -> int:
    resources = ray.cluster_resources()
    fits: list[float] = [resources.get(kind, 0) / share for kind, share in shares.items() if share]
    return math.floor(min(fits) + 1e-9)


def _start(concurrency: int, cpus: float, gpus: float) -> None:
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slots = concurrency or max(1, math.floor(there / cpus)) if cpus else concurrency
    # One thread each, so that BLAS and OpenMP of the workers take no more than the trial's CPUs.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads(cpus))
    for name, value in _ALLOCATOR.items():
        os.environ.setdefault(name, value)
    ray.init(
        num_cpus=max(1, math.ceil(slots * cpus)) if slots else None,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
    )


def _authenticate() -> None:
    """Use the user's Ray token where there is one: a cluster that was started beside it asks for it."""
    try:
        from ray._private.authentication import authentication_token_setup as setup

        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    except (ImportError, AttributeError):
        return  # a Ray that leaves this to the environment (RAY_AUTH_MODE)


def _join(address: str, modules: Iterable[str]) -> None:
    _authenticate()
    # `ray job submit` has shipped the code already, and a second environment would contradict it.
    shipped = {} if os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") else {"runtime_env": _shipped(modules)}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **shipped)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {_first_line(error)}") from error


def _shipped(modules: Iterable[str]) -> dict[str, Any]:
    """Runtime environment with the code of ``modules`` (their top-level packages) and the allocator's settings."""
    tops = {name.partition(".")[0] for name in modules} - {"__main__"}
    files = [importlib.import_module(top).__file__ for top in sorted(tops)]
    paths = [os.path.dirname(f) if f.endswith("__init__.py") else f for f in files if f]
    return {"py_modules": paths, "env_vars": dict(_ALLOCATOR)}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def disconnect() -> None:
    """Leave the cluster; a Ray of this process's own ends, and its workers with it."""
    if ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.SCRIPT_MODE:
        ray.shutdown()
