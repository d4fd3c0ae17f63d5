"""The spectrogram: against a DFT written out, exact inverses, and under functional transforms."""

import math
import warnings

import pytest
import torch
from torch.func import grad, vmap

from sepray.errors import UsageError
from sepray.signals.stft import Spectrogram


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("representation", ["complex", "magnitude"])
@pytest.mark.parametrize(
    ("n_fft", "hop", "time"),
    [(62, 16, 504), (62, 16, 62), (62, 16, 505), (64, 48, 1000), (8, 1, 9), (30, 8, 511), (1024, 768, 5000)],
)
def test_decode_inverts_encode_for_every_length(n_fft, hop, time, representation):
    spectrogram = Spectrogram(n_fft, hop, representation, multiple=4)
    signal = noise(2, 3, time)
    image = spectrogram.encode(signal)
    assert image.shape == (2, spectrogram.channels(3), *spectrogram.shape(time))
    assert image.shape[-2] % 4 == image.shape[-1] % 4 == 0
    restored = spectrogram.decode(image, signal)
    assert restored.shape == signal.shape
    torch.testing.assert_close(restored, signal, rtol=0, atol=1e-5)


def test_transform_is_the_windowed_dft_of_frames_centred_in_their_hops():
    n_fft, hop, frame, bin_ = 16, 4, 5, 3
    signal = noise(64)
    start = frame * hop + hop // 2 - n_fft // 2
    expected = sum(
        signal[start + n].item()
        * (0.5 - 0.5 * math.cos(2 * math.pi * n / n_fft))
        * complex(math.cos(2 * math.pi * bin_ * n / n_fft), -math.sin(2 * math.pi * bin_ * n / n_fft))
        for n in range(n_fft)
    )
    spectrum = Spectrogram(n_fft, hop).transform(signal)
    assert spectrum.shape == (9, 16)
    assert spectrum[bin_, frame].item() == pytest.approx(expected, abs=1e-5)


def test_complex_channels_are_real_parts_then_imaginary_parts_and_magnitude_their_norm():
    signal = noise(1, 2, 64)
    spectrum = Spectrogram(16, 4).transform(signal)
    image = Spectrogram(16, 4).encode(signal)
    torch.testing.assert_close(image, torch.cat((spectrum.real, spectrum.imag), dim=1))
    torch.testing.assert_close(Spectrogram(16, 4, "magnitude").encode(signal), spectrum.abs())


def test_magnitudes_borrow_the_phase_of_the_mixture_and_negative_ones_are_silence():
    spectrogram = Spectrogram(16, 4, "magnitude")
    mixture = noise(1, 1, 64)
    image = spectrogram.encode(mixture)
    torch.testing.assert_close(spectrogram.decode(0.25 * image, mixture), 0.25 * mixture, rtol=0, atol=1e-6)
    assert spectrogram.decode(-image, mixture).abs().max() == 0


def test_silence_is_decoded_to_silence_with_a_finite_gradient():
    spectrogram = Spectrogram(16, 4, "magnitude")
    silence = torch.zeros(1, 1, 64, requires_grad=True)
    decoded = spectrogram.decode(spectrogram.encode(silence), silence)
    assert decoded.abs().max() < 1e-8
    (gradient,) = torch.autograd.grad(spectrogram.encode(silence).sum(), silence)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("representation", ["complex", "magnitude"])
def test_gradients_under_vmap_are_those_of_each_member_and_nothing_falls_back_to_a_loop(representation):
    spectrogram = Spectrogram(16, 6, representation, multiple=4)

    def loss(gain: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        image = spectrogram.encode(signal * gain)
        return (spectrogram.decode(image.sin(), signal) * signal).sum()

    gains, signals = torch.tensor([0.5, 1.0, 2.0]), noise(3, 2, 1, 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stacked = vmap(grad(loss))(gains, signals)
    alone = torch.stack([grad(loss)(gain, signal) for gain, signal in zip(gains, signals, strict=True)])
    assert alone.abs().min() > 1e-3
    torch.testing.assert_close(stacked, alone, rtol=1e-4, atol=1e-5)


def test_sizes_without_an_inverse_and_short_signals_are_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^a signal of 61 samples is shorter than one frame of 62 samples$"):
        Spectrogram(62, 16).encode(torch.zeros(1, 1, 61))
    with pytest.raises(UsageError, match=r"^n_fft must be even and at least 4, not 63$"):
        Spectrogram(63, 16)
    with pytest.raises(UsageError, match=r"^hop must be between 1 and 3/4 of n_fft = 62, not 47$"):
        Spectrogram(62, 47)
