"""Refuses writes to a study's storage once this process no longer owns the study."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from optuna.storages import BaseStorage

F = TypeVar("F", bound=Callable[..., Any])


def guard(storage: BaseStorage, check: Callable[[], None]) -> None:
    """Let every method of an open storage that writes call ``check`` first.

    Args:
        storage: the storage; its own methods are replaced.
        check: raises where this process may not write.
    """
    for method in _WRITES:
        setattr(storage, method, _checked(getattr(storage, method), check))


_WRITES = (
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
)


def _checked(method: F, check: Callable[[], None]) -> F:
    @functools.wraps(method)
    def write(*args: Any, **kwargs: Any) -> Any:
        check()
        return method(*args, **kwargs)

    return cast("F", write)
