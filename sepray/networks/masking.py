"""Separation by a mask: the images that a mask multiplies, and the network that makes it (neural egg separation).

After "Neural separation of observed and unobserved distributions" (under review for ICLR 2019): eq. 9,
``T(y) = y m(y)``, section 4.2 for spectrograms, appendix A for the network. Images are
``[..., channel, height, width]``: pixels, or for sounds ``bins, frames``.

Chosen here, where the paper is silent or its way cannot be taken:

- GroupNorm replaces batch normalisation, whose running statistics change in the forward pass, which ``torch.func``
  forbids.
- Images of any size are zero-padded at their ends to a multiple of ``2^layers``, and the mask is cropped again.
- A spectrogram's mask multiplies the mixture's complex spectrum, so estimates have the mixture's phase.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Separator, Signal
from ..errors import UsageError
from .levels import level
from .normalisation import group_norm

_SHORTEST_WINDOW = 16  # samples; the paper's 25 ms at 128 Hz would be 3


class Magnitudes(nn.Module):
    """Turns signals into the non-negative images that masks multiply, and masks back into signals.

    For signals with a sample rate (sounds) the images are magnitudes of an STFT with a Hann window, zero-padded to the
    next power of two. At the paper's 16 kHz that is 400 samples every 160, 512 points and so 257 bins. A window has at
    least 16 samples; where a low rate would make it shorter, the hop keeps its share of the window. Images are taken as
    they are.

    Args:
        signal: kind of the signal: one dimension with a sample rate, or two without.
        window_seconds: length of the window.
        hop_seconds: time from one frame to the next, at most 3/4 of the window.
        bands: number of mel bands into which bins are averaged (64 in the paper's GLO and adversarial masking); None:
            no bands, all bins.
        compression: power of the magnitudes (0.3 in section 4.2).

    Raises:
        UsageError: the signal is of another kind, or the sizes make the inverse inexact.
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
            raise UsageError(f"hop_seconds must be in (0, 3/4 of {window_seconds:g}], not {hop_seconds:g}")
        if bands is not None and bands < 2:
            raise UsageError(f"bands must be at least 2, not {bands}")
        if not 0 < compression <= 1:
            raise UsageError(f"compression must be in (0, 1], not {compression:g}")
        if (len(signal.shape), signal.sample_rate is None) not in ((1, False), (2, True)):
            raise UsageError(f"masks are for one-dimensional signals with a sample rate and for images, not {signal}")
        self.is_image = signal.sample_rate is None
        self.compression = 1.0 if self.is_image else compression
        rate = signal.sample_rate or 1.0
        longest = max(_SHORTEST_WINDOW, 2 * signal.shape[0]) / rate
        if not math.isfinite(window_seconds) or not (self.is_image or window_seconds < longest):
            wanted = "finite" if self.is_image else f"below {longest:g}, twice the length of an item"
            raise UsageError(f"window_seconds must be {wanted}, not {window_seconds:g}")
        length = _SHORTEST_WINDOW if self.is_image else max(_SHORTEST_WINDOW, round(window_seconds * rate))
        self.hop = max(1, int(length * hop_seconds / window_seconds + 1e-6))
        self.n_fft = 2 ** math.ceil(math.log2(length))
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        hats = None if bands is None or self.is_image else mel_hats(self.n_fft // 2 + 1, bands, rate)
        self.register_buffer("hats", hats, persistent=False)

    def encode(self, signal: Tensor) -> Tensor:
        """Return the images ``[..., channel, height, width]`` of ``[..., channel, *signal]``."""
        if self.is_image:
            return signal
        spectrum = self.transform(signal)
        image = (spectrum.real.square() + spectrum.imag.square() + 1e-20).sqrt()  # a gradient everywhere
        if self.hats is not None:
            image = (self.hats / self.hats.sum(1, keepdim=True)) @ image
        return image if self.compression == 1 else image**self.compression

    def full_mask(self, mask: Tensor) -> Tensor:
        """Return the mask that ``multiply`` takes, of every bin and of uncompressed magnitudes.

        Args:
            mask: mask of an encoded image, ``[..., channel, height, width]``; with bands, ``height`` is their number.

        Returns:
            ``[..., channel, bins, frames]``; for images, the mask as it is.
        """
        mask = mask if self.compression == 1 else mask ** (1 / self.compression)
        return mask if self.hats is None else (self.hats / self.hats.sum(0)).mT @ mask

    def multiply(self, masks: Tensor, mixture: Tensor) -> Tensor:
        """Multiply the mixture by full masks.

        Args:
            masks: ``[batch, source, channel, height, width]``.
            mixture: ``[batch, channel, *signal]``.

        Returns:
            ``[batch, source, channel, *signal]``; if the masks of all sources sum to one, estimates sum to the mixture.
        """
        if self.is_image:
            return masks * mixture[:, None]
        return self.inverse(masks * self.transform(mixture)[:, None], mixture.shape[-1])

    def transform(self, signal: Tensor) -> Tensor:
        """Return the complex spectrum ``[..., bins, frames]`` of ``[..., time]``, mirrored at its ends.

        Raises:
            UsageError: the signal is too short to be mirrored.
        """
        time = signal.shape[-1]
        if time <= self.n_fft // 2:
            raise UsageError(f"a signal of {time} samples is too short: {self.n_fft // 2 + 1} are needed")
        flat = signal.reshape(-1, time)
        spectrum = torch.stft(
            flat, self.n_fft, self.hop, self.window.shape[-1], self.window, pad_mode="reflect", return_complex=True
        )
        return spectrum.reshape(*signal.shape[:-1], *spectrum.shape[-2:])

    def inverse(self, spectrum: Tensor, time: int) -> Tensor:
        """Return the signal ``[..., time]`` of a complex spectrum ``[..., bins, frames]``."""
        flat = spectrum.reshape(-1, *spectrum.shape[-2:])
        signal: Tensor = torch.istft(flat, self.n_fft, self.hop, len(self.window), self.window, length=time)
        return signal.reshape(*spectrum.shape[:-2], time)


def mel_hats(bins: int, bands: int, rate: float) -> Tensor:
    """Return ``[bands, bins]``: hat functions around centres that are equally far apart in mel, from 0 to rate / 2.

    No hat is narrower than a bin, so no band is empty; where all are wider, hats sum to one at every bin.
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

    An autoencoder of ``layers`` convolutions and as many transposed ones, each 4x4 with stride 2, without skips. The
    first convolution makes ``width`` channels and each further one doubles them; the transposed ones halve them again.
    LeakyReLU (0.2) on the way down, ReLU on the way up, normalisation after all layers but the first and the last, and
    a sigmoid at the end, so that masks lie in (0, 1). Each image is first divided by its level, so the mask does not
    depend on the unit. ``seen`` is the number of channels of the images where it is not that of the mask.
    """

    def __init__(self, channels: int, width: int = 64, layers: int = 4, seen: int | None = None) -> None:
        super().__init__()
        if width < 1 or layers < 1:
            raise UsageError(f"width and layers must be at least 1, not {width} and {layers}")
        self.multiple = 2**layers
        sizes = [channels, *(width * 2**k for k in range(layers))]
        entering = [seen or channels, *sizes[1:]]
        down: list[nn.Module] = []
        for k in range(layers):
            down.append(nn.Conv2d(entering[k], sizes[k + 1], 4, stride=2, padding=1, bias=k == 0))
            down += [*([group_norm(sizes[k + 1])] if k else []), nn.LeakyReLU(0.2)]
        up: list[nn.Module] = []
        for k in reversed(range(layers)):
            up.append(nn.ConvTranspose2d(sizes[k + 1], sizes[k], 4, stride=2, padding=1, bias=k == 0))
            up += [group_norm(sizes[k]), nn.ReLU()] if k else [nn.Sigmoid()]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)

    def rectify(self) -> None:
        """Use ReLU on the way down, too."""
        for layer in self.encoder:
            if isinstance(layer, nn.LeakyReLU):
                layer.negative_slope = 0.0

    def forward(self, image: Tensor) -> Tensor:
        """Return the mask ``[b, channels, h, w]`` of each image."""
        height, width = image.shape[-2:]
        padded = F.pad(image / level(image, axes=3), (0, -width % self.multiple, 0, -height % self.multiple))
        mask: Tensor = self.decoder(self.encoder(padded))
        return mask[..., :height, :width]


class MaskSeparator(Separator):
    """Base of separators whose network makes the mask of the observed source, the last of two: ``T(y) = y m(y)``.

    Args:
        signal: kind of the signal, with two sources.
        magnitudes: transform to the images that the mask multiplies.
        width: channels after the mask network's first convolution.
        layers: convolutions of the mask network.
        seen: number of channels of ``image``, where a subclass has more than the mixture's.

    Raises:
        UsageError: the signal has another number of sources.
    """

    def __init__(
        self, signal: Signal, magnitudes: Magnitudes, width: int, layers: int, seen: int | None = None
    ) -> None:
        super().__init__(signal)
        if len(signal.sources) != 2:
            raise UsageError(f"a mask separates 2 sources, the last of them observed, not {', '.join(signal.sources)}")
        self.magnitudes = magnitudes
        self.network = MaskNetwork(signal.source_channels, width, layers, seen)

    def image(self, mixture: Tensor) -> Tensor:
        """Return the network's images of mixtures ``[batch, channel, *signal]``; the mixtures' channels come first."""
        return self.magnitudes.encode(mixture)

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, *signal]`` into ``[batch, 2, channel, *signal]``, which sum to the mixture.

        Where sources have only the mixture's first channels, estimates sum to these.
        """
        mask = self.magnitudes.full_mask(self.network(self.image(mixture)))
        own = mixture[:, : self.signal.source_channels]
        return self.magnitudes.multiply(torch.stack((1 - mask, mask), dim=1), own)


def regression_error(separator: MaskSeparator, unknown: Tensor, observed: Tensor) -> Tensor:
    """Return the error of eq. 1 and 3: the mean of ``|T(b + x) - b|``, in units of each mixture's level; a scalar.

    Args:
        separator: has the mask network.
        unknown: x, ``[batch, channel, *signal]``, true or estimated.
        observed: b, ``[batch, channel, *signal]``.
    """
    return mask_error(separator, unknown + observed, observed)


def mask_error(separator: MaskSeparator, mixture: Tensor, observed: Tensor) -> Tensor:
    """Return the same error for a given mixture y, which may have more channels than the source: ``|T(y) - b|``.

    Args:
        separator: has the mask network.
        mixture: y, ``[batch, channel, *signal]``.
        observed: b, ``[batch, channel of sources, *signal]``, of the mixture's first channels.
    """
    image = separator.image(mixture)
    own = image[:, : observed.shape[1]]
    error = own * separator.network(image) - separator.magnitudes.encode(observed)
    scaled: Tensor = error / level(own, axes=3)
    return scaled.abs().mean()
