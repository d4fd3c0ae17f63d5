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
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from .. import __version__
from ..disk import links
from ..disk.files import open_regular
from ..disk.sqlite_programs import program_on
from ..errors import UsageError

one_at_a_time = threading.RLock()
"""Held while environment variables or MLflow's global addresses are changed for a while: a process has one of each."""

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

_NO_COMMANDS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
# No protocol is allowed, whatever the settings say; newer versions of git know the second one too. Without locks, git
# writes no index, which a hook hears of.
_NO_FETCHING = {"GIT_ALLOW_PROTOCOL": "", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
_GIT_SECONDS = 5.0
_GIT_READS = (
    *("HEAD", "config", "config.worktree", "commondir", "gitdir", "index", "packed-refs", "shallow"),
    *("info/attributes", "info/exclude", "info/grafts", "info/refs", "info/sparse-checkout"),
    *("objects/info/alternates", "objects/info/commit-graph", "objects/info/packs"),
)
_LONGEST_PATH = 4096  # bytes
_OF_ITS_OWN_FILES = ("--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")

MLFLOW_TABLES = (
    *("alembic_version", "experiments", "experiment_tags", "runs", "tags", "params", "metrics", "latest_metrics"),
    *("datasets", "inputs", "input_tags", "entity_associations", "workspaces"),
    *("logged_models", "logged_model_metrics", "logged_model_params", "logged_model_tags"),
    *("registered_models", "registered_model_aliases", "registered_model_tags", "model_versions"),
    *("model_version_tags", "webhooks", "webhook_events"),
    *("trace_info", "trace_metrics", "trace_request_metadata", "trace_tags", "assessments"),
)
"""MLflow's tables of experiments, runs, models and of what belongs to them."""


def resolve_uri(uri: str | None, folder: Path | None = None) -> str:
    """Return the address to track to, absolute if it is a file.

    Args:
        uri: address, or path of an SQLite file; None: the environment variable MLFLOW_TRACKING_URI, or else
            ``mlflow.db``, which ``mlflow ui`` reads when it is started in ``folder`` without arguments.
        folder: relative paths start here; default: the current folder.

    Raises:
        UsageError: another user has put a link in the place of the file, or MLflow's tables in it have a trigger, a
            view or the like, which could change rows or run for ever.
    """
    if not uri:
        with one_at_a_time:  # MLflow's function that sets its address sets this variable too
            uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if "://" not in uri:
        uri = f"sqlite:///{uri}"
    uri = re.sub(r"^sqlite\+pysqlite:", "sqlite:", uri)  # the same driver by its whole name
    if uri.startswith("sqlite:///"):
        path = links.refuse_of_others((folder or Path.cwd()) / uri.removeprefix("sqlite:///")).resolve()
        if path.is_file() and (found := program_on(path, MLFLOW_TABLES)):
            raise UsageError(
                f"{path} has {found}, which MLflow has not made: go back to a copy of it, or give another database"
            )
        return f"sqlite:///{path}"
    return uri


def artifact_location(uri: str, experiment: str) -> str | None:
    """Return the folder for an experiment's artifacts, in ``mlruns`` beside a local database; None: the server decides.

    ``mlflow ui`` without arguments shows the artifacts in such a folder. Addresses of ``mlflow-artifacts:`` could not
    be read without a running server.
    """
    if not uri.startswith("sqlite:///"):
        return None
    return str(Path(uri.removeprefix("sqlite:///")).parent / "mlruns" / re.sub(r"[^\w.-]+", "-", experiment))


def environment_tags(lock_file: Path | None = None, folder: Path | None = None) -> dict[str, str]:
    """Return tags that say which code ran where: git commit, lock file, versions, platform, script, user.

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
    commit = None if _would_block_git(folder or Path.cwd()) else _git(folder, "rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        changed = None if _runs_commands(folder) else _git(folder, "status", *_OF_ITS_OWN_FILES)
        if changed is not None:
            tags["git.dirty"] = str(bool(changed)).lower()
    return tags


def _would_block_git(folder: Path) -> bool:
    """Say whether the repository that git would find has a pipe or a device in the place of a file that git reads.

    Git would wait for it, or read it for ever, before it even checks whose repository it is. Only files that git always
    reads are checked. Settings and folders of the tree may name others, so git also has a time limit of five seconds.
    """
    for above in (folder.absolute(), *folder.absolute().parents):
        found = above / ".git"
        if os.path.isfile(found):
            found = above / _named_in(found, "gitdir:")
        elif not os.path.isdir(found):
            found = above  # the folder may be a repository without a working tree
            if not os.path.isdir(above / "objects"):
                continue
        common = found / _named_in(found / "commondir", "")
        files = [base / name for base in {found, common} for name in (*_GIT_READS, _named_in(found / "HEAD", "ref:"))]
        files += [above / name for name in (".gitattributes", ".gitmodules", ".gitignore")]
        return any(os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)) for path in files)
    return False


def _named_in(file: Path, before: str) -> str:
    """Return the path that a file of git's names after a word; "." if it names none."""
    try:
        with open_regular(file, follow=True) as opened:
            text = os.fsdecode(opened.read(_LONGEST_PATH))
    except OSError:
        return "."
    return text.removeprefix(before).strip() if text.startswith(before) and "\0" not in text else "."


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _runs_commands(folder: Path | None) -> bool:
    """Say whether a repository's own settings, which a stranger may have made, have commands that ``git status`` runs.

    Such settings are filters, and commands that fetch the missing files of a partial clone. If git does not tell, the
    answer is yes. Hooks, the file system monitor and submodules are switched off in any case.
    """
    pattern = r"^(filter\..*\.(clean|process)|extensions\.partialclone|remote\..*\.promisor)$"
    found = _git(folder, "config", "--show-scope", "--get-regexp", pattern, allowed=(0, 1))  # 1: there are none
    return found is None or any(line.startswith(("local", "worktree")) for line in found.splitlines())


def _git(folder: Path | None, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str | None:
    """Return what git prints, run without the hooks and monitors of a repository; None if it fails."""
    command = ["git", *_NO_COMMANDS, *arguments]
    environment = os.environ | _NO_FETCHING
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.SubprocessError):  # ValueError: names that are no text
        return None
    return done.stdout.strip() if done.returncode in allowed else None


@contextlib.contextmanager
def default_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set those environment variables that the user has not set, until the block ends.

    Blocks in several threads run one after the other.
    """
    with one_at_a_time:
        added = {name: value for name, value in values.items() if name not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)
