"""Registers and parses the commands, and has the flags and checks that several of them share.

A command checks its arguments before it imports anything heavy (torch, MLflow), so that bad input is refused at once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from ..console import preflight
from ..console.arguments import parsed
from ..console.exit_status import TRACEBACK_HELP
from ..console.json_output import HELP as JSON_HELP
from ..console.json_output import only_json
from ..console.json_output import print_json as print_json
from ..disk.files import kept_private, umask
from ..errors import mask
from ..models.address import check_address as check_address
from ..models.address import require_models as require_models
from ..models.address import require_tracking as require_tracking
from ..modules import own_modules
from ..spec.folder import checked_uid, own_folder
from ..spec.parts import default_storage

if TYPE_CHECKING:
    import optuna

Command = Callable[..., int | None]

CACHE = Path("~/.cache/sepray")
STORAGE = default_storage()
STORAGE_PATH = "sepray-results"

# Flags that several commands have, described once.
ModelArgument = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(
        metavar="MODEL",
        help="Model: models:/NAME@champion, models:/NAME/VERSION, a folder with an MLmodel file, or pretrained:ecg.",
        help_behavior_hint="",
    ),
]
Storage = Annotated[
    str,
    tyro.conf.arg(
        metavar="URL",
        help="Optuna storage of the studies: URL of a database, journal:///path, or grpc://host:port of a proxy.",
        help_behavior_hint="(default: $SEPRAY_STORAGE, else optuna.db in this folder)",
    ),
]
TrackingUri = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="URL",
        help="MLflow tracking server or database.",
        help_behavior_hint="(default: $MLFLOW_TRACKING_URI, else mlflow.db in this folder)",
    ),
]
StudyTrackingUri = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="URL",
        help="MLflow tracking server or database.",
        help_behavior_hint="(default: the study's own, else $MLFLOW_TRACKING_URI, else mlflow.db in this folder)",
    ),
]
TrustModelCode = Annotated[
    bool,
    tyro.conf.arg(
        help="Run the code that the model brings, even if it is neither the code installed here nor that of your "
        "own studies. It can do all that you can.",
        help_behavior_hint="",
    ),
]
StoragePath = Annotated[
    str, tyro.conf.arg(metavar="PATH", help="Folder, shared file system or object store (URI) of the studies' files.")
]
Cache = Annotated[
    str | Path,
    tyro.conf.arg(
        metavar="FOLDER|URI",
        help="Folder or object store (URI) for generated and decoded data.",
        help_behavior_hint=lambda value: f"(default: {value.strip(chr(39))})",  # tyro would show the quotes of a path
    ),
]
Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Shared = Annotated[
    bool,
    tyro.conf.arg(
        help="Let your group read and write the files that the command writes. Without it only you can.",
        help_behavior_hint="",
    ),
]
_Traceback = Annotated[bool, tyro.conf.arg(help=TRACEBACK_HELP, help_behavior_hint="")]
Json = Annotated[bool, tyro.conf.arg(help=JSON_HELP, help_behavior_hint="")]

_application = tyro.extras.SubcommandApp()
_texts: dict[Callable[..., Any], str] = {}  # command -> its help


@dataclass(frozen=True)
class StudyFlags:
    """Flags of every command on a study that was run before: its name, and the stores that it is read from."""

    name: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="STUDY", help="Name of the study.", help_behavior_hint=""),
    ]
    storage: Storage = STORAGE
    tracking_uri: StudyTrackingUri = None
    storage_path: StoragePath = STORAGE_PATH
    cache: Cache = CACHE

    def require(self) -> None:
        """Refuse a study that its storage does not have; let the user's own separators and tasks be found.

        Raises:
            UsageError: there is no such storage, or no such study in it.
            UnreachableError: the storage does not answer.
            StorageError: the storage cannot be opened.
        """
        found = require_study(self.storage, self.name)
        own_modules.add_current_folder()
        uid = found.user_attrs.get("uid")
        if uid is not None:
            share_like(own_folder(self.storage_path, self.name, checked_uid(uid)))


StudyArgument = Annotated[StudyFlags, tyro.conf.arg(name="")]


def command(name: str) -> Callable[[Command], Command]:
    """Register a function as the command ``name``: its parameters are the flags, its docstring the help text."""

    def register(function: Command) -> Command:
        # tyro calls the function while it parses; this one only binds the arguments.
        def bind(*positional: Any, traceback: bool = False, **flags: Any) -> Any:
            return functools.partial(_call, function, *positional, **flags)

        signature = inspect.signature(function)
        text = re.sub(r"\n {8,}", " ", inspect.cleandoc(function.__doc__ or ""))  # a line for each of Args
        # --traceback is removed from the command line before it is parsed; here it is for --help and completion.
        shown = inspect.Parameter("traceback", inspect.Parameter.KEYWORD_ONLY, default=False)
        attributes: dict[str, Any] = {
            "__signature__": signature.replace(parameters=[*signature.parameters.values(), shown]),
            "__annotations__": get_type_hints(function, include_extras=True) | {"traceback": _Traceback},
            "__doc__": text,
            "__name__": function.__name__,
        }
        for attribute, value in attributes.items():
            setattr(bind, attribute, value)
        _texts[bind] = text
        _application.command(name=name)(bind)
        return function

    return register


def _call(function: Command, *positional: Any, **flags: Any) -> int | None:
    """Run a command; with ``--json`` all that it prints goes to standard error, except the document of ``print_json``.

    Files that it writes are private to its user. With ``--shared``, and in the folder of a shared study
    (``share_like``), the user's group may read and write them too.
    """
    with kept_private(flags.get("shared") is True), only_json(flags.get("json") is True):
        return function(*positional, **flags)


def _in_short(text: str) -> str:
    """Return the part of a command's help for the list of all commands: the first paragraph, and the example."""
    first, *others = text.split("\n\n")
    return "\n\n".join([first, *(paragraph for paragraph in others if paragraph.startswith("Example: "))])


def parse(arguments: list[str] | None, description: str | None) -> Callable[[], int | None]:
    """Return the command that the arguments name, bound to its flags.

    Args:
        arguments: arguments of the command line; None for those of this process.
        description: text of ``sepray --help`` above the list of commands.

    Raises:
        UsageError: there is no such command or flag, or a flag does not take its value.
    """
    overview = not arguments or arguments[0].startswith("-")
    for function, text in _texts.items():
        function.__doc__ = _in_short(text) if overview else text

    def bound(given: Sequence[str]) -> Callable[[], int | None]:
        found: Callable[[], int | None] = _application.cli(
            prog="sepray",
            args=given,
            description=description,
            config=(tyro.conf.FlagCreatePairsOff,),
            sort_subcommands=True,
        )
        return found

    return parsed(bound, arguments)


def require_storage(url: str) -> None:
    """Refuse an Optuna storage that does not exist, cannot be used or does not answer.

    Raises:
        UsageError: there is no such database, it is no URL, or its driver is not installed.
        UnreachableError: the server does not answer.
    """
    shown = mask(url)
    preflight.require_database(url, f"Optuna storage {shown}: is this the folder of the study? Give --storage")
    preflight.require_listening(url, f"the storage {shown}")
    preflight.require_driver(url, f"the storage {shown}")


def require_study(url: str, name: str) -> optuna.Study:
    """Return a study from an Optuna storage; refuse a name that it does not have.

    Raises:
        UsageError: there is no such storage, or no such study in it.
        UnreachableError: the storage does not answer.
        StorageError: the storage cannot be opened.
    """
    require_storage(url)
    from ..search.storage import load_study

    return load_study(url, name)


def share_like(folder: Path) -> None:
    """Set the umask such that the user's group may read and write new files if it may write to ``folder``.

    The rights of the study's folder decide, because only its owner can change them. The stored value of ``--shared``
    does not, because everybody who shares the storage can change that.
    """
    with contextlib.suppress(OSError):
        found = folder.lstat()
        os.umask(umask(stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_IWGRP)))
