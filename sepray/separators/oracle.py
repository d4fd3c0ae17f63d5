"""Oracles: estimates by ideal masks and true magnitudes, computed from the true sources.

They are yardsticks for other methods' figures: the ideal ratio mask, the phase-sensitive mask (Erdogan et al. 2015),
and the true magnitudes with the mixture's phase, on an STFT with a Hann window. (``signals.ideal_masks`` has the
equations.) Only the phase-sensitive mask is a bound, and for masks alone: in each bin
no other mask in 0..1 has a smaller squared error. The other two can be beaten by methods of masks and of magnitudes;
the phase-sensitive mask does so in ``notes_and_bursts``. An oracle gets the true sources through ``contracts.Oracle``,
only where it is scored against them. It runs through a study and has its row in tables, but is never packaged,
registered or used on a recording. Signals are sounds of any number of sources and channels, ``[batch, channel, time]``
with ``time >= n_fft``, in any unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .. import contracts
from ..contracts import Signal
from ..errors import UsageError
from ..networks.checks import check_choice
from ..signals.ideal_masks import ORACLES
from ..signals.stft import Spectrogram

Kind = Literal["ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase"]


@dataclass(frozen=True)
class Config:
    """The kind of oracle, and its spectrogram."""

    kind: Kind = "ideal_ratio_mask"
    """Kind of oracle: the ideal ratio mask, the phase-sensitive mask, or true magnitudes with the mixture's phase."""
    n_fft: int = 62
    """Samples in a frame of the STFT."""
    hop: int = 16
    """Samples from one frame to the next."""

    batch_size: ClassVar[int] = 1  # nothing reads these two: there are no steps
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_choice(self, "kind", Kind)
        Spectrogram(self.n_fft, self.hop)

    def build(self, signal: Signal) -> MaskOracle:
        """Return the oracle."""
        return MaskOracle(signal, self)


DEBUG = Config(n_fft=16, hop=8)


class MaskOracle(contracts.Oracle):
    """The oracle; see the module's description."""

    makes_components = True

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1:
            raise UsageError(f"oracle separates one-dimensional signals, not {signal}")
        self.kind = config.kind
        self.spectrogram = Spectrogram(config.n_fft, config.hop)

    def hyperparameters(self) -> dict[str, float]:
        """Return no hyperparameters."""
        return {}

    @torch.no_grad()
    def separate_given(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """Return estimates ``[batch, source, channel, time]`` computed from the true sources."""
        return ORACLES[self.kind](mixture, sources, self.spectrogram)
