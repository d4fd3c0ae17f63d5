"""Loads a task's data and builds a separator, and has both checked before anything uses them."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from .contracts import Oracle, Separator, SeparatorConfig, Signal, TaskConfig, TaskData
from .disk import shared_copies
from .disk.temporary import keep_compiled_private
from .errors import UsageError
from .module_names import given_name
from .secrecy import HIDDEN
from .separator_checks import check_config, check_dataclass, check_separator, type_name
from .task_checks import check_task_data


def load_task(config: TaskConfig, cache: str | os.PathLike[str]) -> TaskData:
    """Return the data of a task, checked; errors that its ``load`` raises pass through.

    Args:
        config: configuration of the task.
        cache: folder for its generated and decoded data, of which ``~`` is expanded, or URI of an object store for
            them (``disk.shared_copies``).

    Raises:
        UsageError: the data break the contract; one line names the task, the tensor, what it must be and what it is.
            Or there is no such bucket.
        UnreachableError: the object store does not answer, or refuses this user.
    """
    name = given_name(type(config).__module__)
    if not callable(getattr(config, "load", None)):
        raise UsageError(f"{name}: Config must have a method load(cache) that returns a TaskData")
    check_dataclass(config)
    _refuse_hidden(name, config)
    data: Any = config.load(shared_copies.opened(cache))
    try:
        check_task_data(data)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    return data  # type: ignore[no-any-return] # check_task_data has refused every other type


def _refuse_hidden(name: str, config: TaskConfig) -> None:
    """Refuse a configuration that was read from a study's storage or a model, which keep no secrets.

    Raises:
        UsageError: a field had one.
    """
    for field in dataclasses.fields(config):  # type: ignore[arg-type] # checked before
        given = getattr(config, field.name)
        if any(isinstance(text, str) and HIDDEN in text for text in (given if isinstance(given, tuple) else (given,))):
            raise UsageError(
                f"{name}: {field.name} had a secret, which studies and models do not keep: give it in the "
                "study's own command, or let the task read it from the environment"
            )


def build_separator(config: SeparatorConfig, signal: Signal) -> Separator:
    """Return ``config.build(signal)``, checked before any trial; errors that its own code raises pass through.

    Args:
        config: configuration of the separator.
        signal: signal of the task.

    Raises:
        UsageError: the configuration or the separator breaks the contract; one line names the class or the module.
    """
    name = given_name(type(config).__module__)
    if not callable(getattr(config, "build", None)):
        raise UsageError(f"{name}: Config must have a method build(signal) that returns a Separator")
    check_config(config)
    keep_compiled_private()
    separator: object = config.build(signal)
    if not isinstance(separator, Separator):
        raise UsageError(
            f"{name}: Config.build must return a sepray.contracts.Separator, returns {type_name(separator)}"
        )
    needed = ("hyperparameters", "separate_given" if isinstance(separator, Oracle) else "separate")
    for method in needed:
        if getattr(type(separator), method) is getattr(Oracle if method == "separate_given" else Separator, method):
            raise UsageError(f"{name}: {type(separator).__name__} must define {method}()")
    check_separator(separator)
    if signal.template and not separator.takes_template:
        raise UsageError(f"{name} does not take what is left without the template: leave out --task.template")
    if signal.source_channels != signal.channels and not separator.makes_components:
        raise UsageError(
            f"{name} gives each source all {signal.channels} channels of the mixture, and the task's sources have "
            f"{signal.source_channels}: leave out --task.one-component"
        )
    return separator


def refuse_unfit(separator: SeparatorConfig, task: TaskConfig) -> None:
    """Refuse a separator that does not take a task's signal before there is data, where the task's settings tell it.

    Raises:
        UsageError: as ``build_separator`` says.
    """
    signal: object = getattr(task, "signal", None)
    if isinstance(signal, Signal):
        build_separator(separator, signal)
