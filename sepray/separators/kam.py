"""Kernel additive modelling (KAM): tells sources by the neighbourhoods over which their spectrograms are smooth.

After Liutkus, Fitzgerald, Rafii, Pardo and Daudet, "Kernel additive models for source separation" (IEEE Transactions on
Signal Processing 62, 2014); ``kam:light`` after Liutkus, Fitzgerald and Rafii, "Scalable audio separation with light
kernel additive modelling" (ICASSP 2015). Nothing is learned: each mixture is separated on its own. Sources are local
Gaussians (``signals.spatial``) with a power v_j and a spatial covariance R_j, and kernel backfitting repeats for every
source j, from equal powers and ``R_j = I``::

    y_j = v_j R_j (sum_k v_k R_k)^-1 x                      estimate: Wiener filter
    R_j = channels / frames sum_t y_j y_j^H / |y_j|^2       in each frequency
    z_j = y_j^H R_j^-1 y_j / channels                       power without the spatial covariance
    v_j = median of z_j over the kernel around each bin

A last Wiener filter gives the estimates, which sum to the mixture. A source's kernel is one of

- ``horizontal``: the same frequency in neighbouring frames, for harmonic sounds;
- ``vertical``: neighbouring frequencies in the same frame, for percussion;
- ``cross``: both, but short, for voices;
- ``periodic``: the same frequency one or more periods earlier and later, for an accompaniment that repeats.

The period is found in the mixture's beat spectrum, the autocorrelation of its power, averaged over frequencies (REPET,
Rafii and Pardo 2013). Multiples of the period have peaks of about the same height, so the first peak counts that has
9/10 of the largest height.

Between iterations, the light form keeps only a truncated singular value decomposition of each v_j, computed by a
randomized algorithm, so that no more than one source's power is in memory. Its negative values count as 0.

Chosen here, where the papers leave it to the user: the sizes of the kernels and of the transform, the number of
iterations and the rank; which source has which kernel (``NAMED``). Two sources with one kernel would be one source, so
no kernel is given twice. Where a signal has no room for three periods, a periodic kernel is the bin alone. At the ends
of the spectrogram a periodic kernel has only the frames that exist; for the others the spectrogram is mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from ..contracts import Separator, Signal, Supervision
from ..errors import UsageError
from ..networks.levels import level
from ..networks.masking import Magnitudes
from ..signals.spatial import diagonal, inverse, product

Kernel = Literal["horizontal", "vertical", "cross", "periodic"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)
NAMED: Mapping[str, Kernel] = {
    "bass": "horizontal",
    "notes": "horizontal",
    "piano": "horizontal",
    "drums": "vertical",
    "percussion": "vertical",
    "bursts": "vertical",
    "vocals": "cross",
    "speech": "cross",
    "other": "periodic",
    "accompaniment": "periodic",
    "instrumental": "periodic",
}
"""Kernels of sources by name. Any other source gets the first kernel, in the order of ``KERNELS``, that is left."""
_HIGH = 0.9  # height of a peak that counts as high, as a share of the largest
_TINY = 1e-12  # power, for mixtures of unit level
_ROUND = 1e-3  # share of the identity in a spatial covariance, so that it can be inverted


@dataclass(frozen=True)
class Config:
    """The transform, and the kernel of each source; all trials of a study share them."""

    kernels: tuple[str, ...] = ()
    """Kernel of each source, in their order: horizontal, vertical, cross or periodic. None given: by sources' names."""
    window_seconds: float = 0.090
    """Length of the STFT's window, in seconds."""
    hop_seconds: float = 0.018
    """Time from one frame to the next, in seconds."""
    period_seconds: tuple[float, float] = (0.3, 5.0)
    """Shortest and longest period of a periodic kernel, in seconds."""
    rank: int = 0
    """Rank of the decomposition of each source's power between iterations (the light form); 0: no decomposition."""

    batch_size: ClassVar[int] = 1  # nothing reads these two: there are no steps
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if unknown := [kernel for kernel in self.kernels if kernel not in KERNELS]:
            raise UsageError(f"kernels must be among {', '.join(KERNELS)}, not {unknown[0]!r}")
        if len(set(self.kernels)) < len(self.kernels):
            raise UsageError(f"kernels must differ, not {', '.join(self.kernels)}: they are what sources differ in")
        shortest, longest = self.period_seconds
        if not 0 < shortest < longest:
            raise UsageError(f"period_seconds must be above 0 and increase, not {shortest:g} and {longest:g}")
        if self.rank < 0:
            raise UsageError(f"rank must be at least 0, not {self.rank}")

    def build(self, signal: Signal) -> Kam:
        """Return the separator."""
        return Kam(signal, self)


LIGHT = Config(rank=50)
"""The light form of KAM, with decompositions of rank 50 between iterations."""
DEBUG = Config(window_seconds=0.060, hop_seconds=0.020, rank=4)


class Sizes(NamedTuple):
    """Sizes of the kernels, in frames and bins. Those of the first three kernels are odd."""

    horizontal: int
    vertical: int
    cross: tuple[int, int]
    """Arms of the cross, in bins and frames."""
    repetitions: int
    """Number of periods on either side of a frame."""
    periods: tuple[int, int]
    """Shortest and longest period, in frames."""


class Kam(Separator):
    """The separator; see the module's description.

    Raises:
        UsageError: the signal is an image, has more sources than there are kernels, or ``kernels`` has another number.
    """

    supervision = Supervision.NONE
    learns = False
    settings: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1 or signal.sample_rate is None:
            raise UsageError(f"kam separates sounds, one-dimensional signals with a sample rate, not {signal}")
        self.config, self.rate = config, signal.sample_rate
        self.kernels = kernels_of(signal.sources, config.kernels)
        self.magnitudes = Magnitudes(signal, config.window_seconds, config.hop_seconds)
        self.register_buffer("settings", torch.tensor(list(self.hyperparameters().values())))

    def hyperparameters(self) -> dict[str, float]:
        """Return the number of iterations and the sizes of all kernels; sizes of kernels that no source has do nothing.

        ``horizontal_seconds``, ``vertical_hertz``, ``cross_seconds`` and ``cross_hertz`` are whole lengths, rounded to
        an odd number of frames or bins. ``repetitions`` is the number of periods on either side.
        """
        return {
            "iterations": 4.0,
            "horizontal_seconds": 0.4,
            "vertical_hertz": 200.0,
            "cross_seconds": 0.06,
            "cross_hertz": 40.0,
            "repetitions": 4.0,
        }

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Store all hyperparameters: all act in separation."""
        self.settings.copy_(torch.tensor([hyperparameters[name] for name in self.hyperparameters()]))

    def sizes(self) -> Sizes:
        """Return the sizes of the kernels for the present hyperparameters."""
        _, horizontal, vertical, seconds, hertz, repetitions = self.settings.tolist()
        frames, bins = self.rate / self.magnitudes.hop, self.magnitudes.n_fft / self.rate
        shortest, longest = (max(1, round(period * frames)) for period in self.config.period_seconds)
        cross = (odd(hertz * bins), odd(seconds * frames))
        return Sizes(odd(horizontal * frames), odd(vertical * bins), cross, round(repetitions), (shortest, longest))

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]`` into ``[batch, source, channel, time]``, which sum to the mixture."""
        gain = level(mixture)
        spectra = self.magnitudes.transform(mixture / gain)
        images = torch.stack([self.backfitted(spectrum) for spectrum in spectra])
        return self.magnitudes.inverse(images, mixture.shape[-1]) * gain[:, None]

    def backfitted(self, spectrum: Tensor) -> Tensor:
        """Return estimates ``[source, channel, bins, frames]`` of one mixture ``[channel, bins, frames]``."""
        sizes, sources = self.sizes(), range(len(self.signal.sources))
        total = spectrum.abs().square().sum(0)
        powers = [compressed(total / (len(spectrum) * len(sources)), self.config.rank)] * len(sources)
        spatial = [diagonal(1.0, spectrum)] * len(sources)
        period = beat_period(total, sizes.periods) if "periodic" in self.kernels else None
        for _ in range(round(float(self.settings[0]))):
            solved = _solved(powers, spatial, spectrum)
            for j in sources:  # one source's power is in memory at a time
                image = product(_uncompressed(powers[j]) * spatial[j], solved)
                spatial[j] = spatial_covariance(image)
                power = spectral_power(image, spatial[j])
                powers[j] = compressed(smoothed(power, self.kernels[j], sizes, period), self.config.rank)
        solved = _solved(powers, spatial, spectrum)
        return torch.stack([product(_uncompressed(powers[j]) * spatial[j], solved) for j in sources])


Factors = tuple[Tensor, Tensor] | tuple[Tensor]
"""A power ``[bins, frames]``, or two factors whose product it is."""


def _solved(powers: list[Factors], spatial: list[Tensor], spectrum: Tensor) -> Tensor:
    """Return ``(sum_k v_k R_k)^-1 x``, ``[channel, bins, frames]``."""
    total = torch.zeros_like(spectrum[None] * spatial[0])
    for power, covariance in zip(powers, spatial, strict=True):
        total += _uncompressed(power) * covariance
    return product(inverse(total), spectrum)


def compressed(power: Tensor, rank: int) -> Factors:
    """Return a power ``[bins, frames]`` as factors ``[bins, rank]`` and ``[rank, frames]``.

    The power itself is returned where the rank is 0, or not below the number of bins or frames.
    """
    if not 0 < rank < min(power.shape):
        return (power,)
    from sklearn.utils.extmath import randomized_svd  # type: ignore[import-untyped]  # takes a second to import

    left, values, right = randomized_svd(power.cpu().numpy(), rank, random_state=0)
    first, second = (torch.from_numpy(np.ascontiguousarray(factor)).to(power) for factor in (left * values, right))
    return first, second


def _uncompressed(factors: Factors) -> Tensor:
    """Return the power ``[bins, frames]`` of these factors, never 0."""
    power = factors[0] if len(factors) == 1 else factors[0] @ factors[1]
    return power.clamp(min=_TINY)


def spatial_covariance(image: Tensor) -> Tensor:
    """Return R ``[channel, channel, bins, 1]`` of estimates ``[channel, bins, frames]``; its trace is ``channel``.

    All frames count alike, whatever their power, except silent ones, which do not count.
    """
    channels, _, frames = image.shape
    direction = image / torch.linalg.vector_norm(image, dim=0).clamp(min=_TINY)
    covariance = (direction[:, None] * direction[None].conj()).sum(-1, keepdim=True)
    covariance = covariance + _ROUND * frames * diagonal(1.0, image)
    trace = covariance.diagonal(dim1=0, dim2=1).real.sum(-1)
    return torch.divide(channels * covariance, trace)


def spectral_power(image: Tensor, covariance: Tensor) -> Tensor:
    """Return z ``[bins, frames]``, ``y^H R^-1 y / channel``, of estimates and their spatial covariance."""
    whitened = product(inverse(covariance), image)
    return torch.divide((image.conj() * whitened).real.sum(0).clamp(min=0), len(image))


def smoothed(power: Tensor, kernel: str, sizes: Sizes, period: int | None) -> Tensor:
    """Return the median of a power ``[bins, frames]`` over the kernel around each of its bins."""
    if kernel == "periodic":
        return periodic_median(power, period, sizes.repetitions)
    from scipy.ndimage import median_filter  # takes a while to import

    footprints = {"horizontal": np.ones((1, sizes.horizontal)), "vertical": np.ones((sizes.vertical, 1))}
    footprint = footprints.get(kernel, cross(*sizes.cross))
    return torch.from_numpy(median_filter(power.cpu().numpy(), footprint=footprint > 0)).to(power)


def cross(height: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return ``[height, width]`` with a cross of ones, its arms as long as the sizes, both odd."""
    footprint = np.zeros((height, width))
    footprint[height // 2], footprint[:, width // 2] = 1, 1
    return footprint


def periodic_median(power: Tensor, period: int | None, repetitions: int) -> Tensor:
    """Return for each bin of a power ``[bins, frames]`` its median over the frames whole periods earlier and later.

    Without a period that is the power itself. Near the ends there may be an even number of values; their median is then
    the smaller of the two in the middle.
    """
    if period is None:
        return power
    frames = power.shape[-1]
    shifted = torch.full((2 * repetitions + 1, *power.shape), torch.nan, dtype=power.dtype, device=power.device)
    for k in range(-repetitions, repetitions + 1):
        first, last = max(0, -k * period), min(frames, frames - k * period)
        if first < last:
            shifted[k + repetitions, :, first:last] = power[:, first + k * period : last + k * period]
    median: Tensor = shifted.nanmedian(dim=0).values
    return median


def beat_period(power: Tensor, periods: tuple[int, int]) -> int | None:
    """Return the period, in frames, of the first high peak of the beat spectrum; None if three periods have no room.

    Args:
        power: power of the mixture, ``[bins, frames]``.
        periods: shortest and longest period, in frames.
    """
    frames = power.shape[-1]
    shortest, longest = periods[0], min(periods[1], frames // 3)
    if shortest > longest:
        return None
    spectrum = torch.fft.rfft(power, 2 * frames)
    correlation = torch.fft.irfft(spectrum.abs().square().mean(0), 2 * frames)[:frames]
    beats = (correlation / torch.arange(frames, 0, -1, device=power.device)).cpu().numpy()
    from scipy.signal import find_peaks  # takes a second to import

    peaks, _ = find_peaks(beats)
    peaks = peaks[(peaks >= shortest) & (peaks <= longest)]
    candidates = peaks if len(peaks) else np.arange(shortest, longest + 1)
    heights = beats[candidates] - beats.mean()
    highest = heights.max()  # below 0 where no candidate is as high as the mean
    return int(candidates[np.argmax(heights >= highest - (1 - _HIGH) * abs(highest))])


def kernels_of(sources: tuple[str, ...], given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the kernel of each source: the given one; else that of its name, or the first one that is left.

    Args:
        sources: names of the sources.
        given: kernel of each source; empty: by ``NAMED``, where no earlier source has the same kernel.

    Raises:
        UsageError: there are more sources than kernels, or ``given`` has another number.
    """
    if given and len(given) != len(sources):
        raise UsageError(f"kernels names {len(given)} kernels, but there are {len(sources)} sources")
    if len(sources) > len(KERNELS):
        raise UsageError(f"kam tells at most {len(KERNELS)} sources apart, by their kernels, not {len(sources)}")
    if given:
        return given
    found: dict[str, str] = {}
    for source in sources:
        kernel = NAMED.get(source.lower())
        if kernel and kernel not in found.values():
            found[source] = kernel
    free = iter([kernel for kernel in KERNELS if kernel not in found.values()])
    return tuple(found[source] if source in found else next(free) for source in sources)


def odd(length: float) -> int:
    """Return the odd number nearest to a length, at least 1."""
    return 2 * round(max(length - 1, 0) / 2) + 1
