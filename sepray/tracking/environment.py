"""MLflow's address, its environment variables, and tags that say what code ran on which machine. Imports no mlflow."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .. import __version__

_PACKAGES = ("torch", "ray", "optuna", "mlflow", "numpy")

# MLflow reads these at import and at each request: no usage reports, no log lines on the terminal.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# MLflow's own defaults are 120 s for each request and 7 retries: it would take minutes to notice that a server is down.
REQUEST_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
}


def resolve_uri(uri: str | None, folder: Path | None = None) -> str:
    """Return the address to track to, absolute where it is a file.

    Args:
        uri: address, or path of an SQLite file; None: the variable MLFLOW_TRACKING_URI or else ``mlflow.db``, which a
            bare ``mlflow ui`` that is started in ``folder`` reads.
        folder: relative paths start here; default: the current folder.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if "://" not in uri:
        uri = f"sqlite:///{uri}"
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        return f"sqlite:///{((folder or Path.cwd()) / path).resolve()}"
    return uri


def artifact_location(uri: str, experiment: str) -> str | None:
    """Return the folder for an experiment's artifacts: ``mlruns`` beside a local database; None: the server decides.

    A bare ``mlflow ui`` reads such a folder and shows the artifacts; ``mlflow-artifacts:`` addresses could not be read
    without a running server.
    """
    if not uri.startswith("sqlite:///"):
        return None
    return str(Path(uri.removeprefix("sqlite:///")).parent / "mlruns" / re.sub(r"[^\w.-]+", "-", experiment))


def environment_tags(lock_file: Path | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return tags that say what code ran on what: git commit, lock file, versions, platform, script, user.

    Args:
        lock_file: file of pinned versions, of which the SHA-256 is kept.
        folder: folder whose git commit is kept; default: the current one.
    """
    tags = {f"version.{name}": version for name in _PACKAGES if (version := _version(name))}
    tags["version.sepray"] = __version__  # the code that runs, whatever the metadata of an installation say
    tags["version.python"] = platform.python_version()
    tags["platform"] = platform.platform()
    tags["mlflow.source.type"] = "LOCAL"
    tags["mlflow.source.name"] = Path(sys.argv[0] or "python").name
    with contextlib.suppress(KeyError, OSError):  # no such user: a container run under a bare number
        tags["mlflow.user"] = getpass.getuser()
    if lock_file is not None and lock_file.is_file():
        tags["lock_file.sha256"] = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    commit = _git(folder, "rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        if not _runs_commands(folder):
            tags["git.dirty"] = str(bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))).lower()
    return tags


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _runs_commands(folder: Path | None) -> bool:
    """Say whether a repository's own settings have commands that ``git status`` would run, as one of a stranger's may.

    Its file system monitor, the other such setting, is switched off.
    """
    filters = _git(folder, "config", "--show-scope", "--get-regexp", r"^filter\..*\.(clean|process)$")
    return any(line.startswith(("local", "worktree")) for line in (filters or "").splitlines())


def _git(folder: Path | None, *arguments: str) -> str | None:
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@contextlib.contextmanager
def default_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set those environment variables that the user has not set, until the block ends."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
