"""The Ray that a study starts for itself: nobody without its token may join it, and other machines do not reach it.

Ray runs code for everyone who can connect to it. The token is random, in the environment of Ray's processes alone, and
on no disk. (Ray's own default is a file in the home folder, or, in its oldest allowed version, no token at all.)
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from typing import Any

from ray._private import ray_constants, services, worker
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined] # compiled

from ..disk import temporary
from . import fork_server

_LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def private() -> Iterator[dict[str, Any]]:
    """Make a Ray that is started in the block private to this user; yield the options of ``ray.init`` for it.

    The environment of this process is afterwards as it was: Ray's processes have got theirs, and this process keeps
    token and mode in memory until ``forget`` is called.
    """
    changed = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Ray listens on the loopback interface alone where its node has that address. The node has it only where Ray
        # forms no cluster of several machines.
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_prestart_worker_first_driver": "0",  # Ray would start workers without an environment, which are never used
        # With ray[default], two servers more would tell everybody how much is waiting. Only an impossible port leaves
        # them out.
        "AUTOSCALER_METRIC_PORT": "-1",
        "DASHBOARD_METRIC_PORT": "-1",
    }
    before = {name: os.environ.get(name) for name in changed}
    clusters, console = ray_constants.ENABLE_RAY_CLUSTER, services.ConsolePopen
    os.environ.update(changed)
    ray_constants.ENABLE_RAY_CLUSTER = False
    services.ConsolePopen = _in_own_group(console)
    _read_environment_again()
    try:
        # Ray makes its own folder readable and writable by everybody, so it lies below one that is nobody else's.
        folder = _private_folder()
        yield {"_node_ip_address": _LOOPBACK, "_temp_dir": os.path.join(folder, "ray"), "include_dashboard": False}
    finally:
        ray_constants.ENABLE_RAY_CLUSTER, services.ConsolePopen = clusters, console
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def fork_server_in(options: dict[str, Any]) -> fork_server.ForkServer:
    """Return a server, not yet started, that forks the workers of the Ray that is started with ``options``.

    Args:
        options: of ``ray.init``, from ``private``; the program that starts workers is added.
    """
    server = fork_server.ForkServer(os.path.join(_folders[-1], "fork"))
    _servers.append(server)
    options["runtime_env"] = {"py_executable": fork_server.python_for_workers(server.path)}
    return server


def raylet() -> int:
    """Return the process id of the raylet of the Ray that this process has started."""
    processes = worker._global_node.all_processes
    pid: int = processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid
    return pid


_folders: list[str] = []
_servers: list[fork_server.ForkServer] = []


_is_kept = False


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Let ``cluster.disconnect`` in this block leave a private Ray running, for the study after it."""
    global _is_kept
    _is_kept = True
    try:
        yield
    finally:
        _is_kept = False


def outlives_studies() -> bool:
    """Say whether this process has a private Ray, and keeps it."""
    return _is_kept and bool(_folders)


def forget() -> None:
    """Forget the token of a Ray that has ended, and remove its folder."""
    while _servers:
        _servers.pop().close()
    while _folders:
        temporary.remove(_folders.pop())
        _read_environment_again()


def _private_folder() -> str:
    """Make a folder, mode 0700, where Ray would put its own; remove the folders that killed studies left there."""
    system = os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None
    _folders.append(temporary.make(temporary.RAY, os.environ.get("RAY_TMPDIR") or system or "/tmp"))
    return _folders[-1]


def _read_environment_again() -> None:
    """Let Ray, which keeps what it has read, see the token and the mode of the environment as it is now."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _in_own_group(starter: Any) -> Any:
    """Return how Ray starts processes, with a process group for each.

    ``timeout``, systemd, SLURM and a terminal that closes signal the whole process group of a study. Ray's processes
    would end with it before the study has marked its runs, and Ray ends a driver that has lost them.
    """

    class InOwnGroup(starter):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "process_group": 0})

    return InOwnGroup
