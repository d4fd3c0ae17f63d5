"""The flexible framework: local Gaussian sources whose powers are products of non-negative factors, by generalised EM.

After Ozerov, Vincent and Bimbot, "A general flexible framework for the handling of prior information in audio source
separation" (IEEE Transactions on Audio, Speech, and Language Processing 20, 2012). With spectral patterns learned from
samples of each source, it is the method that the SSGAN paper compares with under the name OZE. Signals are sounds of
one or two channels.

In a bin, the image of source j is ``A_j s_j``, where s_j has one or more independent normal subsources of one variance
v_j, and A_j mixes them into the channels. The mixture is the sum of all images and a little noise. The framework's
``V = (W_ex U_ex G_ex H_ex) (W_ft U_ft G_ft H_ft)``, elementwise, of excitation and filter is here::

    v_j[f, n] = (sum_k W_j[f, k] G_j[k, n]) (sum_b E[f, b] u_j[b])

1. Training: spectral patterns W_j from samples of source j in no mixture, by NMF of their power with the Itakura-Saito
   divergence, which is that of the Gaussian model.
2. A new mixture: W_j stays. Each iteration takes the expectations of the subsources' covariances. Multiplicative
   updates then move the activations G_j and the filter u_j towards them. (The filter has hat-shaped bands E of equal
   width in mel, and fits the patterns to another instrument, voice or room.) Last comes the mixing
   ``A = R_xs R_ss^-1``: real and summed over frequencies (instantaneous), or in each of them (convolutive).
3. The estimates are those of the multichannel Wiener filter without the noise. They sum to the mixture: what rounding
   leaves goes to all sources alike.

Chosen here:

- Multiplicative updates have the exponent 1/2, with which they never make the divergence larger (Fevotte and Idier
  2011), so that no iteration lowers the likelihood at a given noise. They are scikit-learn's, in torch: one rule for
  training and separation, on any device, for many mixtures at once.
- U_ex and H_ex are left out (identities), as are time-varying filters (G_ft and H_ft). The framework's other choices of
  fixed and free factors, harmonic patterns and hidden Markov models among them, are not here.
- Mixing is instantaneous by default. In a recording of seconds, convolutive mixing has more freedom than spectral
  patterns can hold: it takes the sources for one another in single frequencies.
- Before the first iteration, activations of all sources are fitted to the mixture's mean power over channels. Mixing
  that starts beside meaningless activations takes the sources for one another.
- The variance of the noise falls from 1/100 to 1/10000 of the mixture's mean power in each frequency, in equal steps
  of its root: without it, mixing hardly moves.
- With as many subsources as channels, mixing starts at the identity, sources that come from everywhere; a single one
  of two channels starts at directions from left to right, in the order of the sources. With one channel A is 1.
- Training sees the mean power over channels of frames that are drawn anew in each epoch, without those that are 60 dB
  below their item's mean, and with -60 dB of white noise. Activations start anew, at equal parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..contracts import Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_choice, check_counts
from ..networks.levels import level
from ..networks.masking import Magnitudes, mel_hats
from ..signals.spatial import diagonal, inverse, product, wiener

Mixing = Literal["instantaneous", "convolutive"]
_FLOOR = 1e-6  # power, in units of an item's mean
_TINY = 1e-10
_NOISE = (1e-2, 1e-4)  # power in the first and in the last iteration, in units of the mixture's mean power
_LAST_NOISE = 1e-8  # the same for the estimates, so that every covariance has an inverse
_BATCH = 16  # mixtures that are separated at once


@dataclass(frozen=True)
class Config:
    """Structure of the model; all trials of a study share it."""

    window_seconds: float = 0.064
    """Length of the STFT's window, in seconds."""
    hop_seconds: float = 0.032
    """Time from one frame to the next, in seconds."""
    most_components: int = 100
    """Largest number of spectral patterns of a source; the hyperparameter ``components`` is the number in use."""
    frames: int = 10000
    """Largest number of frames of each source in an epoch."""
    updates: int = 30
    """Updates of the spectral patterns and their activations in an epoch; in separation, updates of a mixture's
    activations before its iterations."""
    bands: int = 0
    """Bands of each source's filter; 0: no filter."""
    mixing: Mixing = "instantaneous"
    """Mixing into two channels: instantaneous (the same gains at all frequencies) or convolutive (others in each)."""
    spatial_rank: int = 2
    """Subsources of a source in two channels: 1, from one direction, or 2, diffuse."""

    batch_size: ClassVar[int] = 1  # nothing reads these two: there are no steps
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_counts(self, ("most_components", "frames", "updates"))
        check_choice(self, "mixing", Mixing)
        if self.bands < 0 or self.bands == 1:
            raise UsageError(f"bands must be 0 or at least 2, not {self.bands}")
        if self.spatial_rank not in (1, 2):
            raise UsageError(f"spatial_rank must be 1 or 2, not {self.spatial_rank}")

    def build(self, signal: Signal) -> FlexibleNmf:
        """Return the separator; its patterns are drawn from the data in the first epoch."""
        return FlexibleNmf(signal, self)


DEBUG = Config(hop_seconds=0.020, most_components=6, frames=200, updates=5, bands=3)


class FlexibleNmf(Separator):
    """The separator; see the module's description.

    Raises:
        UsageError: the signal is an image, or has more than 2 channels.
    """

    supervision = Supervision.UNPAIRED_SOURCES
    patterns: Tensor
    hats: Tensor
    components: Tensor
    iterations: Tensor
    started: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1 or signal.sample_rate is None or signal.channels > 2:
            raise UsageError(f"flexible_nmf separates sounds of 1 or 2 channels with a sample rate, not {signal}")
        self.config = config
        self.magnitudes = Magnitudes(signal, config.window_seconds, config.hop_seconds)
        bins = self.magnitudes.n_fft // 2 + 1
        patterns = torch.rand(len(signal.sources), bins, config.most_components)
        self.register_buffer("patterns", patterns / patterns.sum(1, keepdim=True))
        hats = mel_hats(bins, config.bands, signal.sample_rate) if config.bands else torch.ones(1, bins)
        self.register_buffer("hats", (hats / hats.sum(0)).mT, persistent=False)
        self.register_buffer("components", torch.tensor(0))
        self.register_buffer("iterations", torch.tensor(0))
        self.register_buffer("started", torch.tensor(False))
        self.set_hyperparameters(self.hyperparameters())

    def hyperparameters(self) -> dict[str, float]:
        """Return the number of spectral patterns of each source, and of iterations in separation, both rounded.

        There is at least one pattern, and at most ``most_components`` of the configuration.
        """
        return {"components": min(30.0, float(self.config.most_components)), "iterations": 50.0}

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Store the number of components, at most ``most_components``, and of iterations for separation."""
        self.components.fill_(min(max(round(hyperparameters["components"]), 1), self.config.most_components))
        self.iterations.fill_(round(hyperparameters["iterations"]))

    @torch.no_grad()
    def fit_epoch(self, data: Tensors, hyperparameters: Tensors, generator: torch.Generator) -> dict[str, float]:
        """Improve the spectral patterns of each source, on frames of its samples."""
        count, started = int(self.components), bool(self.started)
        divergences = []
        for j in range(len(self.signal.sources)):
            power = drawn_frames(self.magnitudes.encode(data["sources"][:, j]), self.config.frames, generator)
            patterns = self.patterns[j, :, :count] if started else first_patterns(power, count, generator)
            patterns, activations = factorized(power, patterns, self.config.updates)
            self.patterns[j, :, :count] = patterns
            divergences.append(divergence(power, patterns @ activations))
        self.started.fill_(True)
        names = [f"divergence/{source}" for source in self.signal.sources]
        return dict(zip(names, torch.stack(divergences).tolist(), strict=True))  # the device is waited for once

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]`` into ``[batch, source, channel, time]``, which sum to the mixture."""
        gain = level(mixture)
        spectra = self.magnitudes.transform(mixture / gain)
        images = torch.cat([self._images(some) for some in spectra.split(_BATCH)])
        return self.magnitudes.inverse(images, mixture.shape[-1]) * gain[:, None]

    def model(self, spectrum: Tensor) -> FlexibleModel:
        """Return the model of mixtures ``[batch, channel, bins, frames]`` before the first iteration."""
        sources, patterns = len(self.signal.sources), self.patterns[:, :, : int(self.components)].to(spectrum.real)
        bases, power = patterns.movedim(0, 1).flatten(1), spectrum.abs().square().mean(1) + _TINY
        activations = (power.sum(1, keepdim=True) / bases.shape[1]).expand(-1, bases.shape[1], -1)
        for _ in range(self.config.updates):
            activations = activations * step(bases, power, bases @ activations)
        activations = activations.unflatten(1, (sources, -1))
        hats = self.hats.to(patterns)
        filters = torch.ones_like(hats[0]).expand(len(spectrum), sources, -1)
        mixing = first_mixing(sources, spectrum, self.config.spatial_rank)
        return FlexibleModel(patterns, activations, hats, filters, mixing, self.config.mixing == "instantaneous")

    def _images(self, mixtures: Tensor) -> Tensor:
        """Return the images ``[batch, source, channel, bins, frames]`` of some mixtures, which sum to them."""
        # Covariances of two channels are almost singular where one source is alone.
        spectrum = mixtures.to(torch.complex128) if mixtures.shape[1] == 2 else mixtures
        model, iterations = self.model(spectrum), int(self.iterations)
        mean = spectrum.abs().square().mean((1, 3))[:, None, None, :, None] + _TINY
        for k in range(iterations):
            model = model.improved(spectrum, noise_share(k, iterations) * mean)
        images = wiener(model.powers(), model.covariances(), spectrum, _LAST_NOISE * mean)
        rest = spectrum - images.sum(1)
        return (images + rest[:, None] / images.shape[1]).to(mixtures.dtype)


@dataclass(frozen=True)
class FlexibleModel:
    """The framework's model of some mixtures.

    Attributes:
        patterns: W, ``[source, bins, component]``.
        activations: G, ``[batch, source, component, frames]``.
        hats: E, ``[bins, band]``; a single band is no filter, and is not updated.
        filters: u, ``[batch, source, band]``.
        mixing: A, ``[batch, source, channel, subsource, bins, 1]``, complex; with one channel it is not updated.
        instantaneous: mixing is real and the same in all bins.
    """

    patterns: Tensor
    activations: Tensor
    hats: Tensor
    filters: Tensor
    mixing: Tensor
    instantaneous: bool = True

    def powers(self) -> Tensor:
        """Return v, ``[batch, source, bins, frames]``, never 0."""
        return ((self.patterns @ self.activations) * (self.hats @ self.filters[..., None])).clamp(min=_TINY)

    def covariances(self) -> Tensor:
        """Return the spatial covariances ``A A^H``, ``[batch, source, channel, channel, bins, 1]``."""
        return (self.mixing[:, :, :, None] * self.mixing[:, :, None].conj()).sum(4)

    def improved(self, spectrum: Tensor, noise: Tensor) -> FlexibleModel:
        """Return the model after one iteration: expectations, activations, filters, mixing.

        Args:
            spectrum: x, ``[batch, channel, bins, frames]``.
            noise: variance of the noise, ``[batch, 1, 1, bins, 1]``.
        """
        powers = self.powers()
        expected, mixing = self._expectation(powers, spectrum, noise)
        shaped = self.patterns * (self.hats @ self.filters[..., None])  # [batch, source, bins, component]
        activations = self.activations * step(shaped, expected, powers)
        model = replace(self, activations=activations)
        if self.hats.shape[1] > 1:
            excitation, powers = self.patterns @ activations, model.powers()
            above = self.hats.mT @ (excitation * expected / powers.square()).sum(-1, keepdim=True)
            below = self.hats.mT @ (excitation / powers).sum(-1, keepdim=True)
            model = replace(model, filters=self.filters * (above / below.clamp(min=_TINY)).sqrt()[..., 0])
        return model if spectrum.shape[1] == 1 else model._mixed(mixing)

    def _expectation(self, powers: Tensor, spectrum: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the expected powers ``[batch, source, bins, frames]``, means over subsources, and the new mixing."""
        covariances, rank = self.covariances(), self.mixing.shape[3]
        total = (powers[:, :, None, None] * covariances).sum(1) + diagonal(noise, spectrum)
        precision = inverse(total)
        solved = product(precision, spectrum)
        # Posterior means, [batch, source, subsource, bins, frames].
        means = powers[:, :, None] * (self.mixing.conj() * solved[:, None, :, None]).sum(2)
        reduction = (precision[:, None] * covariances.transpose(2, 3)).sum((2, 3)).real / rank
        expected = means.abs().square().mean(2) + powers - powers.square() * reduction
        if spectrum.shape[1] == 1:
            return expected.clamp(min=_TINY), self.mixing
        return expected.clamp(min=_TINY), self._new_mixing(powers, spectrum, precision, means)

    def _new_mixing(self, powers: Tensor, spectrum: Tensor, precision: Tensor, means: Tensor) -> Tensor:
        """Return ``R_xs R_ss^-1`` of sums over frames, in the form of ``mixing``."""
        flat, (sources, rank) = means.flatten(1, 2), means.shape[1:3]
        cross = torch.einsum("bift,bkft->bfik", spectrum, flat.conj())
        second = torch.einsum("bkft,blft->bfkl", flat, flat.conj())
        weights = torch.einsum("bjft,bmft,bacft->bjmacf", powers.to(precision), powers.to(precision), precision)
        mixing = self.mixing[..., 0]
        explained = torch.einsum("bjarf,bjmacf,bmcpf->bfjrmp", mixing.conj(), weights, mixing)
        prior = powers.sum(-1).repeat_interleave(rank, 1).movedim(1, 2)  # [batch, bins, source * subsource]
        second = second + torch.diag_embed(prior) - explained.flatten(4, 5).flatten(2, 3)
        if self.instantaneous:
            cross, second = (sums.sum(1, keepdim=True).real.to(mixing) for sums in (cross, second))
        new = torch.linalg.solve(second.mT, cross.mT).mT.unflatten(-1, (sources, rank))
        found: Tensor = new.permute(0, 3, 2, 4, 1)[..., None].expand_as(self.mixing)
        return found

    def _mixed(self, mixing: Tensor) -> FlexibleModel:
        """Return the same model with this mixing, whose mean gain over channels and bins moves to the activations."""
        gain = mixing.abs().square().sum(3).mean((2, 3, 4))  # [batch, source]
        scale = gain.clamp(min=_TINY)[..., None, None]
        return replace(self, activations=self.activations * scale, mixing=mixing / scale.sqrt()[..., None, None])


def step(bases: Tensor, power: Tensor, model: Tensor) -> Tensor:
    """Return the factors of the activations: ``sqrt(W' (P / V^2) / W' (1 / V))``, for the Itakura-Saito divergence.

    Args:
        bases: W, ``[..., feature, component]``.
        power: P, ``[..., feature, column]``.
        model: V, the product of bases and activations, of the same shape.
    """
    safe = model.clamp(min=_TINY)
    above, below = bases.mT @ (power / safe.square()), bases.mT @ safe.reciprocal()
    return torch.sqrt(above / below.clamp(min=_TINY))


def factorized(power: Tensor, patterns: Tensor, updates: int) -> tuple[Tensor, Tensor]:
    """Return patterns whose columns sum to 1, and activations, after updates of both from equal activations.

    Args:
        power: ``[bins, frames]``.
        patterns: ``[bins, component]``.
        updates: number of updates.

    Returns:
        ``[bins, component]`` and ``[component, frames]``.
    """
    activations = power.sum(0).expand(patterns.shape[1], -1) / patterns.shape[1]
    for _ in range(updates):
        activations = activations * step(patterns, power, patterns @ activations)
        patterns = patterns * step(activations.mT, power.mT, (patterns @ activations).mT).mT
    sums = patterns.sum(0).clamp(min=_TINY)
    return patterns / sums, activations * sums[:, None]


def divergence(power: Tensor, model: Tensor) -> Tensor:
    """Return the Itakura-Saito divergence of tensors of one shape: the mean of ``P / V - log(P / V) - 1``; a scalar."""
    ratio = power / model.clamp(min=_TINY)
    return torch.mean(ratio - ratio.log() - 1)


def drawn_frames(magnitudes: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return the power ``[bins, frame]``, mean over channels, of frames that are not silent, in a random order.

    The number of frames returned is that of all frames, silent ones too, but at most ``most``. If the frames that are
    not silent are fewer, they are repeated.

    Args:
        magnitudes: samples of one source, ``[item, channel, bins, frames]``.
        most: largest number of frames.
        generator: source of the random numbers.
    """
    power = magnitudes.square().mean(1)
    power = power / power.mean((1, 2), keepdim=True).clamp(min=_TINY)
    columns = power.movedim(1, 0).flatten(1)
    silent = columns.mean(0) < _FLOOR
    priority = torch.rand(columns.shape[1], generator=generator).to(columns.device) + silent
    rank = torch.arange(min(most, columns.shape[1]), device=columns.device) % (~silent).sum().clamp(min=1)
    return columns[:, priority.argsort()[rank]] + _FLOOR


def first_patterns(power: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw the first patterns ``[bins, count]``: frames of the data, with noise so that no entry is almost zero."""
    chosen = torch.randint(power.shape[1], (count,), generator=generator).to(power.device)
    noise = torch.rand(power.shape[0], count, generator=generator).to(power.device)
    frames = power[:, chosen] / power[:, chosen].mean(0)
    return (frames + 0.1 * noise) / (frames + 0.1 * noise).sum(0)


def first_mixing(sources: int, spectrum: Tensor, rank: int) -> Tensor:
    """Return A ``[batch, source, channel, subsource, bins, 1]`` before the first iteration, of unit mean gain.

    Args:
        sources: number of sources.
        spectrum: ``[batch, channel, bins, frames]``, complex.
        rank: subsources of a source; with two channels and a rank of 1 the sources lie at different angles.
    """
    batch, channels, bins, _ = spectrum.shape
    first = torch.eye(channels, dtype=spectrum.dtype, device=spectrum.device).expand(sources, -1, -1)
    if channels == 2 and rank == 1:
        angles = (torch.arange(sources, device=spectrum.device) + 0.5) * torch.pi / (2 * sources)
        first = torch.stack((angles.cos(), angles.sin()), dim=1)[..., None].to(spectrum) * 2**0.5
    return first[None, ..., None, None].expand(batch, -1, -1, -1, bins, -1)


def noise_share(iteration: int, iterations: int) -> float:
    """Return the noise's share of the mixture's power in an iteration: its root falls in equal steps."""
    first, last = (share**0.5 for share in _NOISE)
    return float((first + (last - first) * iteration / max(iterations - 1, 1)) ** 2)
