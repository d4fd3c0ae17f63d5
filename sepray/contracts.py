"""What a separator and a task are, to the rest of sepray. Imports nothing from sepray.

Shapes use this legend: ``item`` (or ``batch``), ``source``, ``channel``, ``*signal`` (``time`` for sounds,
``height, width`` for images).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

Tensors = Mapping[str, Tensor]

SPLITS = ("train", "validation", "test")
"""Names of the splits of a task's data, which are the fields of ``TaskData``."""


class Supervision(enum.Enum):
    """What a separator may see of the training split; the platform hands it nothing else."""

    PAIRED = "paired"  # mixtures with the sources they were made of
    SEMI_PAIRED = "semi-paired"  # a fraction of the items PAIRED, the others as UNPAIRED_SOURCES
    UNPAIRED_SOURCES = "unpaired sources"  # mixtures, and samples of each source that belong to none of them
    OBSERVED_SOURCE = "observed source"  # mixtures, and samples of the last source alone
    NONE = "none"  # mixtures


@dataclass(frozen=True)
class Signal:
    """The kind of signal that a separator is built for.

    Attributes:
        sources: names of the sources, in the order of the source axis.
        channels: number of channels of mixture and sources.
        shape: ``*signal`` of one training item, e.g. ``(504,)`` samples.
        sample_rate: in Hz; None for images, whose values lie in 0..1 (a mixture's may be more).
        heart_sources: the names of those sources that have a heart rate (ECG, PPG).
    """

    sources: tuple[str, ...]
    channels: int
    shape: tuple[int, ...]
    sample_rate: float | None
    heart_sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """Items of one split.

    Attributes:
        mixture: ``[item, channel, *signal]``, float32.
        sources: ``[item, source, channel, *signal]``, float32. Their sum may differ from the mixture (noise).
        observed: ``[item, channel, *signal]``, as many samples of the last source that are in no mixture, for training
            by OBSERVED_SOURCE; None where those in the mixtures are shown instead.
    """

    mixture: Tensor
    sources: Tensor
    observed: Tensor | None = None

    def __len__(self) -> int:
        return self.mixture.shape[0]


@dataclass(frozen=True)
class Augmentation:
    """How batches are made of the items of a training split: anew for each, at random, on the device.

    Attributes:
        crop: samples of a random crop of an item, which is longer; 0: items as they are.
        remix: share of the mixtures that are made anew, each source from an item (and time) of its own; only where a
            separator sees the sources of its mixtures.
        remix_level: lowest and highest gain of a source in these, in dB, drawn uniformly.
    """

    crop: int = 0
    remix: float = 0.0
    remix_level: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class TaskData:
    """A task's data. No recording is in two splits.

    Attributes:
        signal: names, channels, shape of an item, sample rate.
        train: with a ``crop``, of items longer than ``signal.shape``.
        fingerprint: hexadecimal digest of the content of all splits, and of the augmentation.
        augmentation: of the training split.
    """

    signal: Signal
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    augmentation: Augmentation = Augmentation()


class TaskConfig(Protocol):
    """A frozen dataclass ``Config`` in every task module; ``DEBUG`` is an instance that loads within a second."""

    def load(self, cache: Path) -> TaskData:
        """Return the data, built once and then read from the folder ``cache``."""
        ...

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split what identifies the recordings that it is made of; no two splits share one."""
        ...


def load_task(config: TaskConfig, cache: Path) -> TaskData:
    """Load a task's data."""
    return config.load(cache.expanduser())


class Loss(NamedTuple):
    """What a phase's loss returns.

    Attributes:
        total: scalar to differentiate.
        parts: named scalars to report (detached by the trainer).
        carry: detached tensors handed to the later phases of the same step, merged into their batch.
    """

    total: Tensor
    parts: dict[str, Tensor]
    carry: dict[str, Tensor] = {}  # noqa: RUF012 - a NamedTuple default; never mutated


LossFunction = Callable[[Any, Tensors, Tensors, Tensors], Loss]


@dataclass(frozen=True)
class Phase:
    """One update of a training step.

    Attributes:
        name: of the update, e.g. ``"autoencoders"``.
        parameters: prefixes of the names of the parameters that it updates.
        learning_rate: name of the hyperparameter that holds its learning rate.
        loss: function of (separator, batch, hyperparameters, random tensors). Reads every weight from
            ``hyperparameters`` (scalar tensors) and draws no random numbers, so that it runs under
            ``torch.func.vmap`` as it stands.
        draw: makes the random tensors of one step from the batch and the member's generator.
        repeats: updates per step, each on a batch of its own (critic steps).
        active: name of a hyperparameter; where it is 0 the phase is skipped.
    """

    name: str
    parameters: tuple[str, ...]
    learning_rate: str
    loss: LossFunction
    draw: Callable[[Tensors, torch.Generator], dict[str, Tensor]] | None = None
    repeats: int = 1
    active: str | None = None


class Separator(nn.Module):
    """Base class of all separators; each module of ``sepray.separators`` has one, built by its ``Config``.

    Attributes:
        supervision: what it may see of the training split.
        learns: False for a method with nothing to train, whose epochs change nothing.
        keeps_items: True for a method that keeps something of each training item from one epoch to the next (an
            estimate, a code); its items are cropped once, and the same in all epochs.
        signal: that it was built for.
    """

    supervision: ClassVar[Supervision] = Supervision.PAIRED
    learns: ClassVar[bool] = True
    keeps_items: ClassVar[bool] = False
    paired_fraction: float = 0.0
    """Of SEMI_PAIRED: what part of the training items comes with its sources; from the Config."""

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.signal = signal

    def hyperparameters(self) -> dict[str, float]:
        """Return every hyperparameter with its default; a study may give or search these names and no others."""
        raise TypeError(f"{type(self).__name__} must define hyperparameters()")

    def prepare(self, data: Tensors) -> None:
        """Measure what normalisation needs on the training view, once, before the first step (buffers).

        The view is shared with other trials on the machine, and cannot be written to; nor can that of ``before_epoch``
        and ``fit_epoch``. A batch is a phase's own.
        """

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Keep those that act when mixtures are separated (buffers); called before training and when they change."""

    def phases(self) -> tuple[Phase, ...]:
        """Return the updates of one step, in order."""
        return ()

    def before_epoch(self, data: Tensors, epoch: int, generator: torch.Generator) -> Tensors:
        """Return the training data of this epoch; methods with outer iterations refresh their targets here."""
        return data

    def resets(self, epoch: int) -> bool:
        """Say whether Adam begins anew (its moments and its step) before this epoch, counted from 0."""
        return False

    def fit_epoch(self, data: Tensors, hyperparameters: Tensors, generator: torch.Generator) -> dict[str, float]:
        """Advance a method without gradients by one epoch; called instead of steps where phases() is empty."""
        return {}

    def separate(self, mixture: Tensor) -> Tensor:
        """Turn ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``: same length, no gradients."""
        raise TypeError(f"{type(self).__name__} must define separate()")

    def failure(self, metrics: Mapping[str, float]) -> str | None:
        """Say why training has failed in a way of this method's own (None: it has not), from an epoch's metrics."""
        return None


class Oracle(Separator):
    """A bound, and no method: it is told the true sources of the very mixture that it separates.

    Whoever scores separators does it through ``estimate``, which tells the truth to subclasses of this class and to no
    other. An oracle is scored like any separator, but is neither packaged nor registered.
    """

    supervision = Supervision.NONE
    learns = False

    def separate_given(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """Return estimates ``[batch, source, channel, *signal]`` from the mixture and its true sources; no gradients.

        Args:
            mixture: ``[batch, channel, *signal]``.
            sources: ``[batch, source, channel, *signal]``.
        """
        raise TypeError(f"{type(self).__name__} must define separate_given()")

    def separate(self, mixture: Tensor) -> Tensor:
        """Refuse: there is no truth to go by.

        Raises:
            ValueError: always.
        """
        raise ValueError("an oracle needs the true sources of what it separates: it can be scored, and not be used")


def estimate(separator: Separator, mixture: Tensor, sources: Tensor) -> Tensor:
    """Return a separator's estimates, for scoring them; only a declared oracle is told the truth.

    Args:
        separator: to be scored.
        mixture: ``[batch, channel, *signal]``.
        sources: the true ones, ``[batch, source, channel, *signal]``.
    """
    if isinstance(separator, Oracle):
        return separator.separate_given(mixture, sources)
    return separator.separate(mixture)


class SeparatorConfig(Protocol):
    """A frozen dataclass ``Config`` in every separator module; ``DEBUG`` trains an epoch within a second on a CPU."""

    @property
    def batch_size(self) -> int:
        """Items in a batch."""
        ...

    @property
    def betas(self) -> tuple[float, float]:
        """Decay rates of Adam's moments."""
        ...

    def build(self, signal: Signal) -> Separator:
        """Return the separator with freshly initialised weights (from torch's global generator)."""
        ...


@dataclass(frozen=True)
class Metric:
    """A measure of separation: ``function(estimate, reference)``, both ``[..., channel, *signal]`` -> ``[...]``."""

    function: Callable[[Tensor, Tensor], Tensor]
    direction: str  # "minimize" or "maximize"
    unit: str = ""
    description: str = field(default="", repr=False)
