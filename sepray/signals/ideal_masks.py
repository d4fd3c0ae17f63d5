"""Oracles: estimates from the true sources, by masks of a spectrogram or magnitudes. Imports nothing from sepray.

Each is a function of mixture ``[batch, channel, time]``, true sources ``[batch, source, channel, time]`` and a
transform, and returns estimates of the sources' shape. Sources may have only the first channels of the mixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Transform(Protocol):
    """An STFT and its inverse, e.g. ``stft.Spectrogram``."""

    def transform(self, signal: Tensor) -> Tensor:
        """Return the complex spectrum ``[..., bins, frames]`` of ``[..., time]``."""
        ...

    def inverse(self, spectrum: Tensor, time: int) -> Tensor:
        """Return the signal ``[..., time]`` of a spectrum ``[..., bins, frames]``."""
        ...


def ideal_ratio_mask(mixture: Tensor, sources: Tensor, spectrogram: Transform) -> Tensor:
    """Return estimates by the mask ``|S_i| / (sum_j |S_j| + |N|)``, where ``N = X - sum_j S_j`` (noise).

    Args:
        mixture: x, ``[batch, channel, time]``; only as many channels count as sources have.
        sources: true sources s, ``[batch, source, channel, time]``.
        spectrogram: transform to X and S, ``[..., bins, frames]``.

    Returns:
        Estimates of the sources' shape.
    """
    mixture = mixture[:, : sources.shape[2]]
    spectra = spectrogram.transform(sources)
    noise = spectrogram.transform(mixture - sources.sum(1))
    total = spectra.abs().sum(1) + noise.abs()
    mask = spectra.abs() / total.clamp(min=1e-12).unsqueeze(1)
    return _masked(mask, mixture, spectrogram)


def phase_sensitive_mask(mixture: Tensor, sources: Tensor, spectrogram: Transform) -> Tensor:
    """Return estimates by the mask ``|S_i| / |X| cos(angle between S_i and X)``, clipped to 0..1.

    No other real mask in that range has a smaller squared error in the spectrogram (Erdogan et al. 2015).
    For the shapes see ``ideal_ratio_mask``.
    """
    mixture = mixture[:, : sources.shape[2]]
    spectra, spectrum = spectrogram.transform(sources), spectrogram.transform(mixture).unsqueeze(1)
    mask = (spectra * spectrum.conj()).real / spectrum.abs().square().clamp(min=1e-12)
    return _masked(mask.clamp(0, 1), mixture, spectrogram)


def mixture_phase(mixture: Tensor, sources: Tensor, spectrogram: Transform) -> Tensor:
    """Return estimates with the true magnitudes and the mixture's phase.

    A network that predicts magnitudes without error makes these estimates. They are no lower bound of the error: where
    the mixture's phase is wrong, a magnitude below the true one, as of ``phase_sensitive_mask``, has a smaller error.
    For the shapes see ``ideal_ratio_mask``.
    """
    phase = spectrogram.transform(mixture[:, : sources.shape[2]]).angle().unsqueeze(1)
    return spectrogram.inverse(torch.polar(spectrogram.transform(sources).abs(), phase), mixture.shape[-1])


ORACLES: dict[str, Callable[[Tensor, Tensor, Transform], Tensor]] = {
    "ideal_ratio_mask": ideal_ratio_mask,
    "phase_sensitive_mask": phase_sensitive_mask,
    "mixture_phase": mixture_phase,
}
"""All oracles by name."""


def _masked(mask: Tensor, mixture: Tensor, spectrogram: Transform) -> Tensor:
    spectrum = spectrogram.transform(mixture).unsqueeze(1)
    return spectrogram.inverse(mask * spectrum, mixture.shape[-1])
