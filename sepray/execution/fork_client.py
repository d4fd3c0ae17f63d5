"""Runs in the place of a worker of a private Ray, and has the server fork it: ``fork_client.py SOCKET SCRIPT ...``.

Imports nothing but what it needs, for there is one beside each worker. Where the server does not serve, this process
becomes the worker itself.
"""

import json
import os
import select
import signal
import socket
import struct
import sys

SECONDS = 25.0
"""Seconds that a client waits for a server that still imports; Ray gives a worker 60 s for its start."""


def main() -> None:
    """Have the worker forked, wait for its end, and end with its status."""
    path, *arguments = sys.argv[1:]
    try:
        connection, worker = _ask(path, arguments)
    except OSError:
        os.execv(sys.executable, [sys.executable, *arguments])
    told = connection.recv(4, socket.MSG_WAITALL)
    if len(told) < 4:  # the server is gone, and the worker may run on
        _wait_for(worker)
        os._exit(1)
    (status,) = struct.unpack("<i", told)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _ask(path: str, arguments: list[str]) -> tuple[socket.socket, int]:
    """Ask the server for a worker; return the connection and the worker's process id.

    Raises:
        OSError: there is no server, or it does not serve this client.
    """
    with open("/proc/self/oom_score_adj") as file:
        oom_score_adj = file.read()  # Ray sets it so that the system ends workers first where memory is short
    asked = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "group": os.getpgrp(),
        "oom_score_adj": oom_score_adj,
    }
    text = json.dumps(asked).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    connection.connect(path)
    socket.send_fds(connection, [struct.pack("<I", len(text))], [0, 1, 2])
    connection.sendall(text)
    worker = connection.recv(4, socket.MSG_WAITALL)
    if len(worker) < 4:
        raise ConnectionError
    connection.settimeout(None)
    return connection, struct.unpack("<i", worker)[0]


def _wait_for(process: int) -> None:
    try:
        select.select([os.pidfd_open(process)], [], [])
    except OSError:
        return  # the worker has ended


if __name__ == "__main__":
    main()
