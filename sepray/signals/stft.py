"""Short-time Fourier transform of real signals, as the input and output of networks.

Legend: ``time`` in samples, ``bins = n_fft // 2 + 1`` frequencies, ``frames = ceil(time / hop)``.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError

Representation = Literal["complex", "magnitude"]


class Spectrogram(nn.Module):
    """STFT and its inverse by weighted overlap-add, with a Hann window of ``n_fft`` samples.

    The frames are centred in consecutive pieces of ``hop`` samples, and the signal is mirrored at its ends. So every
    sample lies within half a hop of a frame's centre, and the inverse is exact for any length and any
    ``hop <= 3/4 n_fft``. The forward transform is ``torch.stft``. The inverse is not ``torch.istft``, which falls back
    to a loop over the members under ``torch.func.vmap`` (with a warning), and without ``center`` refuses to divide by a
    window that starts at zero.

    Args:
        n_fft: samples in a frame.
        hop: samples from one frame to the next.
        representation: ``"complex"`` (real and imaginary part, two channels for each channel of the signal) or
            ``"magnitude"`` (one channel; the inverse borrows the phase of the mixture).
        multiple: frames and bins are zero-padded at their ends to a multiple of this, so that networks that halve
            them take any length; ``decode`` crops them again.

    Raises:
        UsageError: ``n_fft`` and ``hop`` with which the inverse would not be exact, or another representation.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int, representation: Representation = "complex", multiple: int = 1) -> None:
        super().__init__()
        if n_fft < 4 or n_fft % 2:
            raise UsageError(f"n_fft must be even and at least 4, not {n_fft}")
        if not 1 <= hop <= 3 * n_fft // 4:
            raise UsageError(f"hop must be between 1 and 3/4 of n_fft = {n_fft}, not {hop}")
        if representation not in ("complex", "magnitude"):
            raise UsageError(f"representation must be complex or magnitude, not {representation!r}")
        self.n_fft, self.hop, self.representation, self.multiple = n_fft, hop, representation, multiple
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def channels(self, signal_channels: int) -> int:
        """Return the number of channels that ``encode`` makes of a signal of ``signal_channels``."""
        return signal_channels * (2 if self.representation == "complex" else 1)

    def shape(self, time: int) -> tuple[int, int]:
        """Return the padded ``(bins, frames)`` that ``encode`` makes of ``time`` samples."""
        bins, frames = self.n_fft // 2 + 1, -(-time // self.hop)
        return _round_up(bins, self.multiple), _round_up(frames, self.multiple)

    def transform(self, signal: Tensor) -> Tensor:
        """Return the complex spectrum ``[..., bins, frames]`` of ``[..., time]``.

        Raises:
            UsageError: the signal is shorter than one frame.
        """
        time = signal.shape[-1]
        if time < self.n_fft:
            raise UsageError(f"a signal of {time} samples is shorter than one frame of {self.n_fft} samples")
        left, right = self._margins(time)
        padded = F.pad(signal.reshape(-1, time), (left, right), mode="reflect")
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        return spectrum.reshape(*signal.shape[:-1], *spectrum.shape[-2:])

    def inverse(self, spectrum: Tensor, time: int) -> Tensor:
        """Return the signal ``[..., time]`` of a complex spectrum ``[..., bins, frames]`` (least squares)."""
        frames = torch.fft.irfft(spectrum, n=self.n_fft, dim=-2) * self.window[:, None]
        left, right = self._margins(time)
        total = time + left + right
        weight = self.window.square()[None, :, None].expand(1, -1, frames.shape[-1])
        signal = self._overlap_add(frames.reshape(-1, *frames.shape[-2:]), total)[:, left : left + time]
        signal = signal / self._overlap_add(weight, total)[:, left : left + time]
        return signal.reshape(*spectrum.shape[:-2], time)

    def encode(self, signal: Tensor) -> Tensor:
        """Return the input of networks, ``[batch, channels(channel), *shape(time)]`` of ``[batch, channel, time]``."""
        spectrum = self.transform(signal)
        if self.representation == "complex":
            image = torch.cat((spectrum.real, spectrum.imag), dim=-3)
        else:
            image = _magnitude(spectrum)
        bins, frames = self.shape(signal.shape[-1])
        return F.pad(image, (0, frames - image.shape[-1], 0, bins - image.shape[-2]))

    def decode(self, image: Tensor, mixture: Tensor) -> Tensor:
        """Return the signals ``[batch, channel, time]`` of the output of a network.

        Args:
            image: ``[batch, channels(channel), *shape(time)]``; negative magnitudes count as zero.
            mixture: ``[batch, channel, time]``, for the length and, for magnitudes, the phase.
        """
        time = mixture.shape[-1]
        image = image[..., : self.n_fft // 2 + 1, : -(-time // self.hop)]
        if self.representation == "complex":
            real, imaginary = image.chunk(2, dim=-3)
            return self.inverse(torch.complex(real.contiguous(), imaginary.contiguous()), time)
        spectrum = self.transform(mixture)
        return self.inverse(image.clamp(min=0) * spectrum / _magnitude(spectrum), time)

    def _margins(self, time: int) -> tuple[int, int]:
        left = (self.n_fft - self.hop) // 2
        frames = -(-time // self.hop)
        return left, (frames - 1) * self.hop + self.n_fft - left - time

    def _overlap_add(self, frames: Tensor, total: int) -> Tensor:
        """Sum ``[item, n_fft, frame]`` to ``[item, total]``."""
        image = F.fold(frames, (1, total), kernel_size=(1, self.n_fft), stride=(1, self.hop))
        return image[:, 0, 0]


def _magnitude(spectrum: Tensor) -> Tensor:
    """Return the magnitude, never exactly zero, so that it has a gradient and can be divided by."""
    return (spectrum.real.square() + spectrum.imag.square() + 1e-20).sqrt()


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
