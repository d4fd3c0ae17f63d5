"""Interfaces of separators and tasks, and the data types that they exchange. Imports nothing from sepray.

Shapes use this legend: ``item`` (or ``batch``), ``source``, ``channel``, ``*signal`` (``time`` for sounds,
``height, width`` for images).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

Tensors = Mapping[str, Tensor]

SPLITS = ("train", "validation", "test")
"""Names of the splits, which are fields of ``TaskData``."""


class Supervision(enum.Enum):
    """Part of the training split that a separator may see; sepray hands it nothing else."""

    PAIRED = "paired"  # mixtures with their sources
    SEMI_PAIRED = "semi-paired"  # a fraction of the items PAIRED, the others as UNPAIRED_SOURCES
    UNPAIRED_SOURCES = "unpaired sources"  # mixtures, and samples of each source without their mixtures
    OBSERVED_SOURCE = "observed source"  # mixtures, and samples of the last source alone
    NONE = "none"  # mixtures alone


@dataclass(frozen=True)
class Signal:
    """The kind of signal that a separator is built for.

    Attributes:
        sources: names of the sources, in the order of the source axis: different, of ASCII letters, digits, ``_`` and
            ``-`` (not first), and neither "mean" nor "mixture". They are part of names of files, metrics,
            hyperparameters and flags.
        channels: number of channels of mixtures, and of sources unless ``component_channels`` says another.
        shape: ``*signal`` of one item, e.g. ``(504,)`` samples.
        sample_rate: sampling rate in Hz; None for images, whose values lie in 0..1 (a mixture's may be larger).
        heart_sources: names of the sources that have a heart rate (ECG, PPG).
        template: whether networks get, beside each channel of a mixture, what is left of it without the strongest
            heart's average beat (``signals.template_input``); only separators that ``takes_template``.
        heart_rates: name, lowest and highest rate in beats a minute, for each source whose beats are looked for in a
            range of its own (see ``heart_range``).
        pulse_sources: names of the sources whose beats are pulses (PPG); those of other hearts are QRS complexes (ECG).
        component_channels: number of channels of sources and estimates where they have fewer than mixtures. A source is
            then what it is in the first channels of the mixture, and only separators that ``makes_components`` may be
            trained. None: sources have all channels.
    """

    sources: tuple[str, ...]
    channels: int
    shape: tuple[int, ...]
    sample_rate: float | None
    heart_sources: tuple[str, ...] = ()
    template: bool = False
    heart_rates: tuple[tuple[str, float, float], ...] = ()
    pulse_sources: tuple[str, ...] = ()
    component_channels: int | None = None

    def __str__(self) -> str:
        """Return the kind in words: ``images of shape (64, 64), 3 channel(s), 2 source(s)``."""
        kind = "images" if len(self.shape) == 2 and self.sample_rate is None else "signals"
        rate = "" if self.sample_rate is None else f" at {self.sample_rate:g} Hz"
        return f"{kind} of shape {self.shape}{rate}, {self.channels} channel(s), {len(self.sources)} source(s)"

    @property
    def source_channels(self) -> int:
        """Number of channels of a source, and of its estimate."""
        return self.channels if self.component_channels is None else self.component_channels

    def heart_range(self, source: str) -> tuple[float, float] | None:
        """Return the lowest and the highest rate of a source in beats a minute; None if the task says none."""
        return next(((low, high) for name, low, high in self.heart_rates if name == source), None)

    @property
    def lowest_heart_rate(self) -> float:
        """Lowest rate of the hearts, in beats a second; 0 if not all sources are ECGs of hearts.

        Another source, and a pulse, may be slower than any heart beats.
        """
        if self.pulse_sources or {name for name, *_ in self.heart_rates} != set(self.sources):
            return 0.0
        return min(low for _, low, _ in self.heart_rates) / 60


@dataclass(frozen=True)
class Split:
    """Items of one split, two or more.

    Attributes:
        mixture: ``[item, channel, *signal]``, float32, finite.
        sources: ``[item, source, channel, *signal]``, float32, finite. Their sum may differ from the mixture (noise).
        observed: ``[item, channel, *signal]``, float32, finite: as many samples of the last source that are in no
            mixture, for training with OBSERVED_SOURCE; None if the sources of the mixtures are shown instead.
        units: for each item the identities of what it was cut from: one, or for a mixture of independent recordings one
            each, in the same order in all items. Items of one recording (piece, subject, image) have the same; no two
            splits share one. Intervals and tests resample these. None if the task does not say: then each item is a
            unit.
        beats: when each source beats, ``[item, source, beat]`` in seconds from the first sample, NaN where there are
            fewer; float64. None if the task does not know: then beats are detected in the sources.
        parts: what each source adds to the mixture, ``[item, source, channel, *signal]``, where sources have fewer
            channels than mixtures: ``sources`` are its first channels. Only remixed mixtures (``Augmentation.remix``)
            are made from it. None: ``sources`` are all that they add.
    """

    mixture: Tensor
    sources: Tensor
    observed: Tensor | None = None
    units: tuple[tuple[str, ...], ...] | None = None
    beats: Tensor | None = None
    parts: Tensor | None = None

    def __len__(self) -> int:
        return self.mixture.shape[0]


@dataclass(frozen=True)
class Tracks:
    """Whole recordings, each of its own length; mapped from a file, so that all of them may be larger than memory.

    Attributes:
        names: names of the tracks, all different, which are names of files too.
        mixtures: for each track ``[channel, time]``, float32, finite.
        sources: for each track ``[source, channel, time]``.
        units: as for ``Split``; None: each track is a unit.
    """

    names: tuple[str, ...]
    mixtures: tuple[Tensor, ...]
    sources: tuple[Tensor, ...]
    units: tuple[tuple[str, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.names)


def units_of_items(split: str, items: int) -> tuple[tuple[str, ...], ...]:
    """Return the ``units`` of a split whose items are all of recordings of their own."""
    return tuple((f"{split} {item}",) for item in range(items))


@dataclass(frozen=True)
class Augmentation:
    """Random changes to the items of a training batch, drawn anew for each batch on the training device.

    Attributes:
        crop: length of a random crop of each item in samples, equal to ``signal.shape[0]``; 0: items as they are.
        remix: share of the mixtures that are made anew, each source from an item (and time) of its own; only if the
            separator sees the sources of its mixtures.
        remix_level: lowest and highest gain of a source in remixed mixtures, in dB, drawn uniformly.
    """

    crop: int = 0
    remix: float = 0.0
    remix_level: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class TaskData:
    """A task's data; ``loading.load_task`` checks them. No recording is in two splits.

    Attributes:
        signal: names, channels, shape of an item, sample rate.
        train: training split; with a ``crop``, its items may be longer than ``signal.shape``.
        validation: split that a study chooses by.
        test: split that the chosen models are scored on.
        fingerprint: hexadecimal digest of the content of all splits, and of the augmentation.
        augmentation: random changes to training batches.
        unit_names: what the parts of ``Split.units`` are, in the plural: ``("pieces",)``, ``("speakers", "clips")``.
        tracks: whole recordings of the test split, for sounds; None: the test split has items alone.
    """

    signal: Signal
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    augmentation: Augmentation = Augmentation()
    unit_names: tuple[str, ...] = ("recordings",)
    tracks: Tracks | None = None

    def scored(self, split: str) -> Split | Tracks:
        """Return what is scored of a split: whole recordings of the test split where the task has them, else items."""
        items: Split = getattr(self, split)
        return self.tracks if split == "test" and self.tracks is not None else items


class TaskConfig(Protocol):
    """A frozen dataclass ``Config`` in every task module; ``DEBUG`` is an instance that needs no files and is small."""

    def load(self, cache: Path) -> TaskData:
        """Return the data, built once and then read from the folder ``cache``.

        Where the configuration has an attribute ``signal``, its ``Signal``, separators that do not take it are refused
        before the data is loaded.
        """
        ...

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the identities of its recordings; no two splits share one."""
        ...


class Loss(NamedTuple):
    """Value of a phase's loss.

    Attributes:
        total: scalar to differentiate.
        parts: scalars to report, by name (detached by the trainer).
        carry: detached tensors for the later phases of the same step, merged into the batch that they share.
        kept: new values of the separator's buffers, by name and detached; the trainer writes them after the update.
    """

    total: Tensor
    parts: dict[str, Tensor]
    carry: dict[str, Tensor] = {}  # noqa: RUF012 - a NamedTuple default; never mutated
    kept: dict[str, Tensor] = {}  # noqa: RUF012


LossFunction = Callable[[Any, Tensors, Tensors, Tensors], Loss]


@dataclass(frozen=True)
class Phase:
    """One update of a training step.

    Attributes:
        name: name of the update, e.g. ``"autoencoders"``.
        parameters: prefixes of the names of the parameters that it updates.
        learning_rate: name of the hyperparameter that holds its learning rate.
        loss: function of (separator, batch, hyperparameters, random tensors). Reads every weight from
            ``hyperparameters`` (scalar tensors) and draws no random numbers, so that it runs under
            ``torch.func.vmap`` as it stands.
        draw: returns the random tensors of one update, from its batch and the member's generator, which is on the CPU.
            The trainer moves them to the batch's device. It should look at the shapes of the batch alone: then the
            trainer draws all that a step needs before its first update, and brings it to an accelerator at once.
        repeats: updates per step (critic steps); if there are several, each is on a batch of its own.
        own_batches: whether an update takes a batch of its own, drawn at random, even where it is the only one of a
            step. The other phases are on the step's batch, so they see every item once an epoch.
        active: name of a hyperparameter; where it is 0 the phase is skipped. It still draws its random tensors, so that
            a seed gives the same batches with it and without.
    """

    name: str
    parameters: tuple[str, ...]
    learning_rate: str
    loss: LossFunction
    draw: Callable[[Tensors, torch.Generator], dict[str, Tensor]] | None = None
    repeats: int = 1
    active: str | None = None
    own_batches: bool = False

    @property
    def draws_batches(self) -> bool:
        """Say whether each update has a batch of its own; values that a phase carries are then of the last batch."""
        return self.own_batches or self.repeats > 1


class Separator(nn.Module):
    """Base class of all separators; each module of ``sepray.separators`` has one, built by its ``Config``.

    Attributes:
        supervision: what the separator may see of the training split.
        learns: False for a method with nothing to train, which has neither ``phases`` nor ``fit_epoch``.
        keeps_items: True for a method that keeps something for each training item from one epoch to the next (an
            estimate, a code). Its items are cropped once, and are the same in all epochs.
        takes_template: True for a method whose networks take the further channels of ``signal.template``.
        makes_components: True for a method whose estimates may have fewer channels than the mixture.
        signal: kind of signal that it was built for.
    """

    supervision: ClassVar[Supervision] = Supervision.PAIRED
    learns: ClassVar[bool] = True
    keeps_items: ClassVar[bool] = False
    takes_template: ClassVar[bool] = False
    makes_components: ClassVar[bool] = False
    paired_fraction: float = 0.0
    """For SEMI_PAIRED: share of the training items that come with their sources; from the Config."""
    off: frozenset[str] = frozenset()
    """Hyperparameters that are 0 in this training and that a phase names as ``active``; set by the trainer.

    A loss leaves out the terms that they weigh, which then cost nothing. It is part of the structure, like the number
    of layers: a loss that is traced for several members under ``torch.func.vmap`` computes everything unless it is 0 in
    all."""

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.signal = signal

    def hyperparameters(self) -> dict[str, float]:
        """Return every hyperparameter with its default; a study may give or search these names and no others."""
        raise TypeError(f"{type(self).__name__} must define hyperparameters()")

    def prepare(self, data: Tensors) -> None:
        """Measure constants of normalisation on the training view ``[item, ...]``, into buffers; once, before training.

        Parameters that are made here are declared in the constructor by ``register_parameter(name, None)``.
        The view is shared with other trials on the machine and read-only, here and in ``before_epoch`` and
        ``fit_epoch``. A phase may write to its batch.
        """

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Store in buffers the hyperparameters that act in separation; called before training and after changes."""

    def phases(self) -> tuple[Phase, ...]:
        """Return the updates of one step, in order; asked for after ``build``, and again after ``prepare``."""
        return ()

    def before_epoch(self, data: Tensors, epoch: int, generator: torch.Generator) -> Tensors:
        """Return the epoch's training data ``[item, ...]``; methods with outer iterations refresh targets here."""
        return data

    def resets(self, epoch: int) -> bool:
        """Say whether Adam's moments and step are reset before this epoch, counted from 0."""
        return False

    def fit_epoch(self, data: Tensors, hyperparameters: Tensors, generator: torch.Generator) -> dict[str, float]:
        """Advance a method without phases and gradients by one epoch over ``data``, all items ``[item, ...]``."""
        return {}

    def separate(self, mixture: Tensor) -> Tensor:
        """Turn ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``: same length, no gradients.

        Estimates have ``signal.source_channels``.
        """
        raise TypeError(f"{type(self).__name__} must define separate()")

    def uses_bfloat16(self, device: torch.device) -> bool:
        """Say whether training runs networks in bfloat16 on this device, for the user, who compares times."""
        return False

    def failure(self, metrics: Mapping[str, float]) -> str | None:
        """Say, from an epoch's metrics, why training has failed in a way that is particular to this method, or None."""
        return None


class Oracle(Separator):
    """A bound, and no method: it is told the true sources of the mixture that it separates.

    Separators are scored through ``estimate``, which gives the true sources to subclasses of this class alone. An
    oracle is scored like any separator, but is neither packaged nor registered.
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
        """Refuse: the true sources are not known here.

        Raises:
            ValueError: always.
        """
        raise ValueError("an oracle needs the true sources of what it separates: it can be scored, but not used")


def estimate(separator: Separator, mixture: Tensor, sources: Tensor) -> Tensor:
    """Return a separator's estimates, for scoring them; only a declared oracle is told the truth.

    Args:
        separator: the separator to score.
        mixture: ``[batch, channel, *signal]``.
        sources: true sources, ``[batch, source, channel, *signal]``.
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
