"""Serves a packaged model in MLflow: every request is answered rightly or refused, and changes nothing.

A copy of this file travels with each model. A refusal is MLflow's INVALID_PARAMETER_VALUE, which a server answers with
status 400.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np

if TYPE_CHECKING:
    from ..contracts import Signal

LENGTH = "SEPRAY_SERVE_LENGTH"
"""Environment variable of a server: most values in a channel of one mixture."""
VALUES = "SEPRAY_SERVE_VALUES"
"""Environment variable of a server: most values in all mixtures of one request."""
ITEMS = "SEPRAY_SERVE_ITEMS"
"""Environment variable of a server: most mixtures in one request."""
_DEFAULT_LENGTH = 2**23  # three minutes at 44.1 kHz
_DEFAULT_VALUES = 2**24  # 64 MiB: one longest mixture of two channels
_DEFAULT_ITEMS = 2**12  # however short they are, each costs time


class ServableModel(Protocol):
    """A separator that takes and returns arrays."""

    @property
    def signal(self) -> Signal:
        """Names of the sources, channels, sample rate."""
        ...

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``."""
        ...


class ServedModel:
    """A model behind a server.

    Attributes:
        model: the model without limits, for users who load it for their own recordings.
        signal: names of the sources, channels, sample rate.
    """

    def __init__(self, model: ServableModel) -> None:
        self.model = model
        self.signal = model.signal

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32.

        Args:
            data: mixtures.
            params: ``{"device": "cuda"}``; "auto" (default) is an accelerator if there is one.

        Raises:
            MlflowException: the request is refused (INVALID_PARAMETER_VALUE). The mixtures have another shape than the
                model takes, values that are not finite or no real numbers, or exceed a limit; or the separator cannot
                separate them, or there is no such device.
        """
        try:
            given = np.asarray(data)
            if given.dtype.kind not in "biufO":  # NumPy makes numbers of dates and texts, and forgets imaginary parts
                _refuse(f"mixtures are real numbers, not {given.dtype}")
            with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite
                array = given.astype(np.float32, copy=False)
        except (TypeError, ValueError):
            _refuse("mixtures are numbers, in arrays of one shape")
        self._require_fitting(array)
        try:
            estimates = self.model.predict(array, params)
        except MemoryError:
            raise
        except (ValueError, RuntimeError, IndexError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            _refuse(f"mixtures {list(array.shape)} cannot be separated: {lines[0][:300]}")
        if not np.isfinite(estimates).all():
            _refuse("the estimates of these mixtures are not finite; give mixtures with smaller values")
        return estimates

    def _require_fitting(self, array: np.ndarray) -> None:
        signal = self.signal
        if array.ndim != 2 + len(signal.shape) or array.shape[1] != signal.channels:
            axes = "time" if len(signal.shape) == 1 else "height, width"
            _refuse(f"expected [batch, {signal.channels} channel(s), {axes}], got {list(array.shape)}")
        length, most_length = int(np.prod(array.shape[2:], dtype=np.int64)), _limit(LENGTH, _DEFAULT_LENGTH)
        if length == 0:
            _refuse("a mixture has at least one value")
        if length > most_length:
            _refuse(
                f"a mixture has at most {most_length} values in a channel here, not {length}: send it in parts, or "
                f"start the server with another {LENGTH}"
            )
        if len(array) > (most := _limit(ITEMS, _DEFAULT_ITEMS)):
            _refuse(
                f"a request has at most {most} mixtures here, not {len(array)}: send several, or start the server with "
                f"another {ITEMS}"
            )
        if array.size > (most := _limit(VALUES, _DEFAULT_VALUES)):
            _refuse(
                f"a request has at most {most} values here, not {array.size}: send several, or start the server with "
                f"another {VALUES}"
            )
        if not np.isfinite(array).all():
            _refuse("mixtures hold NaN, infinity, or what is not finite in float32")


def _limit(variable: str, default: int) -> int:
    """Return a limit; if the variable is no number, the default counts, so that the server goes on."""
    given = os.environ.get(variable, "")
    return int(given) if given.isdecimal() else default


def _refuse(reason: str) -> NoReturn:
    from mlflow.exceptions import MlflowException  # takes seconds, and is loaded already if MLflow has called

    raise MlflowException.invalid_parameter_value(reason) from None
