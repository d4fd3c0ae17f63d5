"""One mask value for each source and frequency bin, the same for all items and times, measured on the training items.

This is a floor: a mask network that is worse has learned less than the mean spectra of the sources. The value is the
share of the mixture's spectrum with the least squared error over the training items, ``sum Re(S X*) / sum |X|^2``,
clamped to 0..1. It is measured once, before an epoch that does nothing. There are no hyperparameters. Signals are
sounds ``[batch, channel, time]`` of any number of sources and channels; all channels have the same masks. The CASS
authors' code has ``n_fft`` 1024 and ``hop`` 768 for music.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..contracts import Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..signals.stft import Spectrogram

_AT_ONCE = 16  # items whose spectra are in memory at once


@dataclass(frozen=True)
class Config:
    """The spectrogram."""

    n_fft: int = 256
    """Samples in a frame of the STFT."""
    hop: int = 64
    """Samples from one frame to the next."""

    batch_size: ClassVar[int] = 1  # nothing reads these two: there are no steps
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        Spectrogram(self.n_fft, self.hop)

    def build(self, signal: Signal) -> BinMask:
        """Return the separator, whose masks are 1/K for K sources before it is trained."""
        return BinMask(signal, self)


DEBUG = Config(n_fft=16, hop=8)


class BinMask(Separator):
    """The separator; see the module's description.

    Attributes:
        masks: ``[source, bins]``.
    """

    supervision = Supervision.PAIRED
    learns = False
    masks: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1:
            raise UsageError(f"bin_mask separates one-dimensional signals, not {signal}")
        self.spectrogram = Spectrogram(config.n_fft, config.hop)
        count, bins = len(signal.sources), config.n_fft // 2 + 1
        self.register_buffer("masks", torch.full((count, bins), 1 / count))

    def hyperparameters(self) -> dict[str, float]:
        """Return no hyperparameters."""
        return {}

    @torch.no_grad()
    def prepare(self, data: Tensors) -> None:
        """Set the masks to those of the least squared error over all training items."""
        shared = torch.zeros_like(self.masks, dtype=torch.float64)
        power = shared[0].clone()
        for mixtures, sources in zip(data["mixture"].split(_AT_ONCE), data["sources"].split(_AT_ONCE), strict=True):
            given, true = self.spectrogram.transform(mixtures), self.spectrogram.transform(sources)
            power += given.abs().square().sum((0, 1, 3), dtype=torch.float64)
            shared += (true * given[:, None].conj()).real.sum((0, 2, 4), dtype=torch.float64)
        self.masks.copy_((shared / power.clamp(min=1e-30)).clamp(0, 1))

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]`` into ``[batch, source, channel, time]``."""
        spectrum = self.spectrogram.transform(mixture)[:, None]
        return self.spectrogram.inverse(self.masks[:, None, :, None] * spectrum, mixture.shape[-1])
