"""Separation by a mask, as in neural egg separation: what a mask is applied to, and the network that makes it.

After "Neural separation of observed and unobserved distributions" (under review for ICLR 2019): eq. 9,
``T(y) = y m(y)``, section 4.2 for spectrograms, appendix A for the network. Imports nothing from sepray but the
contracts. Images are ``[..., channel, height, width]``: the pixels themselves, or for sounds ``bins, frames``.

Where the paper is silent, or had to be left: GroupNorm in the place of batch normalisation, whose running statistics
change in the forward pass, which ``torch.func`` forbids; images are zero-padded at their ends to a multiple of
``2^layers``, so that any size is taken, and the mask is cropped again; a spectrogram's mask multiplies the mixture's
complex spectrum, so estimates have the mixture's phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Separator, Signal

_SHORTEST_WINDOW = 16  # samples; at 128 Hz the paper's 25 ms would be three


class Magnitudes(nn.Module):
    """Turns signals into the non-negative images that masks multiply, and masks back into signals.

    Sounds (and whatever has a sample rate): the magnitude of an STFT with a Hann window, zero-padded to the next power
    of two: 400 samples every 160, 512 points and so 257 bins at the paper's 16 kHz. Where the rate is so low that a
    window would have fewer than 16 samples it has 16, and the hop keeps its share of it. Images: their pixels.

    Args:
        signal: what is separated; one dimension with a sample rate, or two without.
        window_seconds: length of the window.
        hop_seconds: from one frame to the next, at most 3/4 of the window.
        bands: mel bands that bins are averaged to (the paper's GLO and adversarial masking see 64); None: all bins.
        compression: power of the magnitudes (0.3 there, section 4.2).

    Raises:
        ValueError: another kind of signal, or sizes with which the inverse would not be exact.
    """

    window: Tensor
    hats: Tensor | None

    def __init__(
        self,
        signal: Signal,
        window_seconds: float = 0.025,
        hop_seconds: float = 0.010,
        bands: int | None = None,
        compression: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < hop_seconds <= 0.75 * window_seconds:
            raise ValueError(f"hop_seconds must be in (0, 3/4 of {window_seconds:g}], not {hop_seconds:g}")
        if bands is not None and bands < 2:
            raise ValueError(f"bands must be at least 2, not {bands}")
        if not 0 < compression <= 1:
            raise ValueError(f"compression must be in (0, 1], not {compression:g}")
        if (len(signal.shape), signal.sample_rate is None) not in ((1, False), (2, True)):
            raise ValueError(f"masks are for one-dimensional signals with a sample rate and for images, not {signal}")
        self.is_image = signal.sample_rate is None
        self.compression = 1.0 if self.is_image else compression
        rate = signal.sample_rate or 1.0
        length = max(_SHORTEST_WINDOW, round(window_seconds * rate))
        self.hop = max(1, int(length * hop_seconds / window_seconds + 1e-6))
        self.n_fft = 2 ** math.ceil(math.log2(length))
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        hats = None if bands is None or self.is_image else _mel_hats(self.n_fft // 2 + 1, bands, rate)
        self.register_buffer("hats", hats, persistent=False)

    def encode(self, signal: Tensor) -> Tensor:
        """Return the images ``[..., channel, height, width]`` of ``[..., channel, *signal]``."""
        if self.is_image:
            return signal
        spectrum = self.transform(signal)
        image = (spectrum.real.square() + spectrum.imag.square() + 1e-20).sqrt()  # which has a gradient everywhere
        if self.hats is not None:
            image = (self.hats / self.hats.sum(1, keepdim=True)) @ image
        return image if self.compression == 1 else image**self.compression

    def full_mask(self, mask: Tensor) -> Tensor:
        """Return the mask for ``multiply``: of every bin, for magnitudes as they are, not compressed ones."""
        mask = mask if self.compression == 1 else mask ** (1 / self.compression)
        return mask if self.hats is None else (self.hats / self.hats.sum(0)).mT @ mask

    def multiply(self, masks: Tensor, mixture: Tensor) -> Tensor:
        """Multiply the mixture by full masks.

        Args:
            masks: ``[batch, source, channel, height, width]``.
            mixture: ``[batch, channel, *signal]``.

        Returns:
            ``[batch, source, channel, *signal]``; where the masks sum to one over sources, so the estimates sum to the
            mixture.
        """
        if self.is_image:
            return masks * mixture[:, None]
        spectra = masks * self.transform(mixture)[:, None]
        time, flat = mixture.shape[-1], spectra.flatten(0, 2)
        signals: Tensor = torch.istft(flat, self.n_fft, self.hop, len(self.window), self.window, length=time)
        estimates: Tensor = signals.unflatten(0, spectra.shape[:3])
        return estimates

    def transform(self, signal: Tensor) -> Tensor:
        """Return the complex spectrum ``[..., bins, frames]`` of ``[..., time]``, mirrored at its ends.

        Raises:
            ValueError: the signal is too short to be mirrored.
        """
        time = signal.shape[-1]
        if time <= self.n_fft // 2:
            raise ValueError(f"a signal of {time} samples is too short: {self.n_fft // 2 + 1} are needed")
        flat = signal.reshape(-1, time)
        spectrum = torch.stft(
            flat, self.n_fft, self.hop, self.window.shape[-1], self.window, pad_mode="reflect", return_complex=True
        )
        return spectrum.reshape(*signal.shape[:-1], *spectrum.shape[-2:])


def level(image: Tensor) -> Tensor:
    """Return the root mean square of each image, ``[..., 1, 1, 1]`` of ``[..., channel, height, width]``, above 0."""
    return image.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt().clamp(min=1e-8)


def _mel_hats(bins: int, bands: int, rate: float) -> Tensor:
    """Return ``[bands, bins]``: hat functions around centres that are equally far apart in mel, from 0 to rate / 2.

    They are never narrower than a bin, so no band is empty; where bands are wider, they sum to one at every bin.
    """
    frequencies = torch.linspace(0, rate / 2, bins)
    mel = torch.linspace(0, 2595 * math.log10(1 + rate / 2 / 700), bands)
    centres = 700 * (10 ** (mel / 2595) - 1)
    spacing = (centres[1:] - centres[:-1]).clamp(min=float(frequencies[1]))
    below, above = torch.cat((spacing[:1], spacing)), torch.cat((spacing, spacing[-1:]))
    distance = frequencies - centres[:, None]
    return (1 - torch.where(distance < 0, -distance / below[:, None], distance / above[:, None])).clamp(min=0)


class MaskNetwork(nn.Module):
    """The masking function m of appendix A, in DiscoGAN's form: ``[b, channels, h, w]`` to a mask of that size.

    An autoencoder of ``layers`` convolutions and as many transposed ones, each 4x4 with stride 2 and no skips; the
    first makes ``width`` channels and each further one doubles them, and back. LeakyReLU (0.2) on the way down, ReLU
    on the way up, normalisation after all but the first and the last, a sigmoid at the end, so that masks are in
    (0, 1). Each image is divided by its level first, so the mask is the same whatever the units.
    """

    def __init__(self, channels: int, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        if width < 1 or layers < 1:
            raise ValueError(f"width and layers must be at least 1, not {width} and {layers}")
        self.multiple = 2**layers
        sizes = [channels, *(width * 2**k for k in range(layers))]
        down: list[nn.Module] = []
        for k in range(layers):
            down.append(nn.Conv2d(sizes[k], sizes[k + 1], 4, stride=2, padding=1, bias=k == 0))
            down += [*([_norm(sizes[k + 1])] if k else []), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = []
        for k in reversed(range(layers)):
            up.append(nn.ConvTranspose2d(sizes[k + 1], sizes[k], 4, stride=2, padding=1, bias=k == 0))
            up += [_norm(sizes[k]), nn.ReLU()] if k else [nn.Sigmoid()]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)

    def forward(self, image: Tensor) -> Tensor:
        """Return the mask of each image."""
        height, width = image.shape[-2:]
        padded = F.pad(image / level(image), (0, -width % self.multiple, 0, -height % self.multiple))
        mask: Tensor = self.decoder(self.encoder(padded))
        return mask[..., :height, :width]


class MaskSeparator(Separator):
    """Base of the separators whose network masks the observed source, the last of two: ``T(y) = y m(y)``.

    Args:
        signal: of two sources.
        magnitudes: what the mask multiplies.
        width: of the mask network.
        layers: of the mask network.

    Raises:
        ValueError: another number of sources.
    """

    def __init__(self, signal: Signal, magnitudes: Magnitudes, width: int, layers: int) -> None:
        super().__init__(signal)
        if len(signal.sources) != 2:
            raise ValueError(f"a mask separates 2 sources, the last of them observed, not {', '.join(signal.sources)}")
        self.magnitudes = magnitudes
        self.network = MaskNetwork(signal.channels, width, layers)

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, *signal]`` into ``[batch, 2, channel, *signal]``, which sum to it."""
        mask = self.magnitudes.full_mask(self.network(self.magnitudes.encode(mixture)))
        return self.magnitudes.multiply(torch.stack((1 - mask, mask), dim=1), mixture)


def regression_error(separator: MaskSeparator, unknown: Tensor, observed: Tensor) -> Tensor:
    """Return eq. 1 and 3: the mean of ``|T(b + x) - b|`` over everything, in units of each mixture's level.

    Args:
        separator: whose network makes the mask.
        unknown: x, ``[batch, channel, *signal]``, true or estimated.
        observed: b, ``[batch, channel, *signal]``.
    """
    mixture = separator.magnitudes.encode(unknown + observed)
    error = mixture * separator.network(mixture) - separator.magnitudes.encode(observed)
    scaled: Tensor = error / level(mixture)
    return scaled.abs().mean()


def check_sizes(config: object, names: Iterable[str]) -> None:
    """Refuse a configuration whose sizes are below one, or whose Adam would not decay.

    Raises:
        ValueError: says which.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(config, name)}")
    betas = getattr(config, "betas", ())
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be at least 0 and below 1, not {betas}")


def _norm(channels: int, groups: int = 8) -> nn.GroupNorm:
    """Return a GroupNorm of at most ``groups`` equal groups."""
    return nn.GroupNorm(math.gcd(channels, groups), channels)
