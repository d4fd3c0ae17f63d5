"""What all commands share: how they are found, and where studies and models are looked for.

Commands import what is heavy (torch, MLflow) inside, after they have checked what they were given, so that bad input
is refused at once.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..console import preflight
from ..console.arguments import refused_in_one_line
from ..errors import StorageError, UsageError, mask
from ..tracking.environment import resolve_uri
from ..tracking.local_registry import missing_part

Command = Callable[..., int | None]

Model = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
CACHE = Path("~/.cache/sepray")
STORAGE = "sqlite:///optuna.db"
_MODEL = re.compile(r"models:/[^/@]+(@[^/@]+|/[^/@]+)|models:/m-[0-9a-f]+|runs:/.+")
_application = tyro.extras.SubcommandApp()


def command(name: str) -> Callable[[Command], Command]:
    """Register a function as the command ``name``: its parameters are the flags, its docstring the help."""

    def register(function: Command) -> Command:
        # tyro calls what it is given while it parses; this way it only binds the arguments.
        @functools.wraps(function)
        def bind(*positional: Any, **flags: Any) -> Any:
            return functools.partial(function, *positional, **flags)

        _application.command(name=name)(bind)
        return function

    return register


def parse(arguments: list[str] | None, description: str | None) -> Callable[[], int | None]:
    """Return the command that was asked for, with its arguments.

    Raises:
        UsageError: they are refused.
    """
    with refused_in_one_line():
        bound: Callable[[], int | None] = _application.cli(
            prog="sepray",
            args=arguments,
            description=description,
            config=(tyro.conf.FlagCreatePairsOff,),
            sort_subcommands=True,
        )
    return bound


def tracking(uri: str | None) -> str:
    """Return the address of MLflow that is meant, which is there.

    Raises:
        UsageError: the database is not there.
        ConnectionError: nothing listens.
    """
    address = resolve_uri(uri)
    shown = mask(address)
    preflight.require_database(
        address, f"MLflow database {shown}: is this the folder of the study? Give --tracking-uri"
    )
    preflight.require_listening(address, f"the tracking server {shown}")
    return address


def registry(uri: str | None, *models: str) -> str | None:
    """Return the address of MLflow where these models are; it is not asked for where all of them are folders.

    Raises:
        UsageError: the database is not there, or it has no such model.
        ConnectionError: nothing listens.
    """
    registered = [model for model in models if ":/" in model]
    if not registered:
        return uri
    address = tracking(uri)
    for model in registered:
        if missing := missing_part(model, address):
            raise UsageError(f"{model}: {missing} in {mask(address)}")
    return address


def storage(url: str) -> str:
    """Return the address of the Optuna storage that is meant, which is there.

    Raises:
        UsageError: the database is not there.
        ConnectionError: nothing listens.
    """
    shown = mask(url)
    preflight.require_database(url, f"Optuna storage {shown}: is this the folder of the study? Give --storage")
    preflight.require_listening(url, f"the storage {shown}")
    return url


def study(url: str, name: str) -> None:
    """Refuse the name of a study that is not in a storage.

    Raises:
        UsageError: it is not there, or the storage is not.
        ConnectionError: nothing listens.
    """
    storage(url)
    import optuna
    import sqlalchemy

    from ..search.storage import connect

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        names = optuna.get_all_study_names(connect(url))
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StorageError(f"storage {mask(url)} cannot be opened: {mask(str(error.__cause__ or error))}") from None
    if name not in names:
        there = ", ".join(sorted(n for n in names if "/" not in n)) or "none"
        raise UsageError(f"no study {name!r} in {mask(url)}; there are: {there}")


def model(address: str) -> str:
    """Return the address of a model, which has the form of one.

    Raises:
        UsageError: it is neither an address in a registry nor a folder with a model.
    """
    if address.startswith(("models:", "runs:")):
        if not _MODEL.fullmatch(address):
            raise UsageError(f"{address!r} is no model's address; give models:/NAME@champion or models:/NAME/VERSION")
    elif not (Path(address) / "MLmodel").is_file():
        raise UsageError(f"{address} is no folder with a model (no MLmodel in it), and no models:/NAME@champion")
    return address


def own_modules() -> None:
    """Let a user's own separators and tasks be found, which lie in the current folder."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
