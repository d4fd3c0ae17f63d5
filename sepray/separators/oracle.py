"""Oracles: what a mask, or a magnitude, could reach at best, because it is made of the true sources.

No method of the papers, but no table of theirs can be read without: the ideal ratio mask, the phase-sensitive mask
(Erdogan et al. 2015), and the true magnitudes with the mixture's phase, on an STFT with a Hann window; ``oracles`` has
the arithmetic. The truth comes through ``contracts.Oracle``: only what is scored against known sources is told them,
so an oracle runs through a study and has its line in every table, and is never packaged, registered or used on a
recording. Sounds of any number of sources and channels, ``[batch, channel, time]`` with ``time >= n_fft``, any unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from .. import contracts
from ..contracts import Signal
from ..signals.ideal_masks import ORACLES
from ..signals.stft import Spectrogram

Kind = Literal["ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase"]


@dataclass(frozen=True)
class Config:
    """Which oracle, on which transform."""

    kind: Kind = "ideal_ratio_mask"
    """Mask of magnitudes, mask of magnitudes and phases, or true magnitudes with the mixture's phase."""
    n_fft: int = 62
    """Samples in a frame of the STFT."""
    hop: int = 16
    """Samples from one frame to the next."""

    batch_size: ClassVar[int] = 1  # there are no steps that could read these two
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, not {self.kind!r}")
        Spectrogram(self.n_fft, self.hop)

    def build(self, signal: Signal) -> Oracle:
        """Return the oracle."""
        return Oracle(signal, self)


DEBUG = Config(n_fft=16, hop=8)


class Oracle(contracts.Oracle):
    """The oracle; see the module's description."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1:
            raise ValueError(f"oracle separates one-dimensional signals, not {signal}")
        self.kind = config.kind
        self.spectrogram = Spectrogram(config.n_fft, config.hop)

    def hyperparameters(self) -> dict[str, float]:
        """Return none: there are none."""
        return {}

    @torch.no_grad()
    def separate_given(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """Return the oracle's estimates."""
        return ORACLES[self.kind](mixture, sources, self.spectrogram)
