"""A tracking server on a local database, for tests of requests and of pages."""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

# What `mlflow server` runs, without its supervising processes, whose start takes three times as long. Libraries take
# seconds of CPU, so one process imports them, and becomes a server whenever it is told where.
_PROGRAM = """
import json, os, signal, sys
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import uvicorn
from mlflow.server import constants
from mlflow.server.fastapi_app import app
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    database, artifacts, port = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = database
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
    os._exit(0)
"""


@functools.cache
def _nursery() -> subprocess.Popen[str]:
    """Start the process that becomes servers; it ends when this one does."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([sys.executable, "-c", _PROGRAM], cwd="/", **pipes)


class Server:
    """A server that can be started and stopped, again and again, at the same address.

    Args:
        folder: folder for its artifacts.
        database: address of the database.

    Attributes:
        uri: address of the server.
    """

    def __init__(self, folder: Path, database: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._folder, self._database = folder, database
        self._process: int | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        nursery = _nursery()
        nursery.stdin.write(json.dumps([self._database, str(self._folder / "artifacts"), self._port]) + "\n")
        nursery.stdin.flush()
        self._process = int(nursery.stdout.readline())
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=20):
                return
            time.sleep(0.1)
        raise TimeoutError("the server did not start")

    def stop(self) -> None:
        """Kill the server, if it runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
                while True:  # until the port is free
                    os.kill(self._process, 0)
                    time.sleep(0.01)
            self._process = None
