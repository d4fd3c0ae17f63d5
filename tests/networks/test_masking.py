"""Masks: what they multiply against numbers worked out by hand, the network layer by layer, and what is refused."""

import math

import pytest
import torch
from torch import nn

from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.networks.masking import Magnitudes, MaskNetwork, MaskSeparator, mask_error, regression_error

from ..separators.bars import Share

SPEECH = Signal(("speech", "noise"), 1, (8000,), 16000.0)
IMAGE = Signal(("digit", "other"), 1, (8, 8), None)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("rate", "window", "hop", "n_fft"),
    [(16000, 400, 160, 512), (20480, 512, 204, 512), (8000, 200, 80, 256), (128, 16, 6, 16)],
)
def test_windows_are_25_ms_every_10_ms_and_never_shorter_than_16_samples(rate, window, hop, n_fft):
    front = Magnitudes(Signal(("a", "b"), 1, (rate,), float(rate)))
    assert (len(front.window), front.hop, front.n_fft) == (window, hop, n_fft)
    assert front.encode(torch.zeros(2, 1, rate)).shape == (2, 1, n_fft // 2 + 1, 1 + rate // hop)


def test_magnitude_of_a_tone_is_half_its_amplitude_times_the_window():
    front = Magnitudes(SPEECH)
    tone = 3 * torch.cos(2 * math.pi * 1000 * torch.arange(8000) / 16000)  # bin 32 of 512
    image = front.encode(tone[None, None])[0, 0]
    assert image[32, 25].item() == pytest.approx(3 / 2 * 200, rel=1e-4)  # a Hann window of 400 samples sums to 200
    assert image[100:, 25].max() < 1e-3 * image[32, 25]


@pytest.mark.parametrize("time", [8000, 7999, 300, 257])
def test_masks_that_sum_to_one_give_estimates_that_sum_to_the_mixture(time):
    front, mixture = Magnitudes(SPEECH), torch.randn(2, 1, time, generator=generator())
    mask = torch.rand(front.encode(mixture).shape, generator=generator())
    estimates = front.multiply(torch.stack((1 - mask, mask), 1), mixture)
    assert estimates.shape == (2, 2, 1, time)
    torch.testing.assert_close(estimates.sum(1), mixture, rtol=1e-4, atol=1e-5)
    scaled = front.multiply(torch.full_like(mask, 0.25)[:, None], mixture)[:, 0]
    torch.testing.assert_close(scaled, 0.25 * mixture, rtol=1e-4, atol=1e-5)


def test_images_are_seen_and_multiplied_as_they_are():
    front, image = Magnitudes(IMAGE, bands=64, compression=0.3), torch.rand(2, 1, 8, 8)
    assert torch.equal(front.encode(image), image)
    mask = torch.full((2, 1, 8, 8), 0.25)
    assert torch.equal(front.full_mask(mask), mask)
    assert torch.equal(front.multiply(mask[:, None], image), 0.25 * image[:, None])


def test_bands_are_averages_over_bins_equally_far_apart_in_mel():
    front = Magnitudes(SPEECH, bands=4)
    mel = lambda hertz: 2595 * math.log10(1 + hertz / 700)  # noqa: E731
    peaks = front.hats.argmax(1) * 16000 / 512
    expected = torch.tensor([k * mel(8000) / 3 for k in range(4)])
    torch.testing.assert_close(torch.tensor([mel(p) for p in peaks.tolist()]), expected, rtol=0, atol=30.0)
    torch.testing.assert_close(front.hats.sum(0), torch.ones(257))
    fine = Magnitudes(SPEECH, bands=64)
    assert fine.hats.sum(1).min() > 0.5  # no band is empty, though the lowest are narrower than a bin
    noise = torch.randn(1, 1, 8000, generator=generator())
    weights = fine.hats[10] / fine.hats[10].sum()
    by_hand = (weights[:, None] * Magnitudes(SPEECH).encode(noise)[0, 0]).sum(0)
    torch.testing.assert_close(fine.encode(noise)[0, 0, 10], by_hand, rtol=1e-4, atol=1e-5)


def test_mask_of_compressed_magnitudes_is_expanded_and_one_of_bands_interpolated():
    front = Magnitudes(SPEECH, compression=0.5)
    noise = torch.randn(1, 1, 8000, generator=generator())
    compressed = front.encode(noise)
    torch.testing.assert_close(compressed, Magnitudes(SPEECH).encode(noise).sqrt())
    mask = torch.rand(compressed.shape, generator=generator())
    torch.testing.assert_close((mask * compressed).square(), front.full_mask(mask) * compressed.square())
    banded = Magnitudes(SPEECH, bands=3)
    full = banded.full_mask(torch.tensor([0.0, 1.0, 0.0])[:, None])[:, 0]
    torch.testing.assert_close(full, banded.hats[1])
    torch.testing.assert_close(banded.full_mask(torch.full((3, 1), 0.3)), torch.full((257, 1), 0.3))


def test_network_is_the_papers_autoencoder():
    network = MaskNetwork(1)
    down = [m for m in network.encoder if isinstance(m, nn.Conv2d)]
    up = [m for m in network.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in down] == [64, 128, 256, 512]
    assert [m.out_channels for m in up] == [256, 128, 64, 1]
    assert {(m.kernel_size, m.stride) for m in down + up} == {((4, 4), (2, 2))}
    assert isinstance(network.decoder[-1], nn.Sigmoid)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


@pytest.mark.parametrize("size", [(257, 51), (28, 28), (5, 3)])
def test_network_masks_images_of_any_size_and_level_each_by_itself(size):
    torch.manual_seed(0)
    network, images = MaskNetwork(2, 4, 2), torch.rand(3, 2, *size)
    mask = network(images)
    assert mask.shape == images.shape
    assert 0 < mask.min() < mask.max() < 1
    torch.testing.assert_close(network(1000 * images), mask, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(images[1:2]), mask[1:2], rtol=1e-4, atol=1e-5)
    assert network(torch.zeros(1, 2, *size)).isfinite().all()


def test_regression_error_is_equation_1_in_units_of_the_mixtures_level():
    separator = MaskSeparator(IMAGE, Magnitudes(IMAGE), 4, 2)
    separator.network = Share(0.25)
    unknown, observed = torch.full((1, 1, 8, 8), 3.0), torch.full((1, 1, 8, 8), 5.0)
    # y = 8, its level is 8, T(y) = 2, |T(y) - b| = 3
    assert regression_error(separator, unknown, observed).item() == pytest.approx(3 / 8)
    louder = regression_error(separator, 100 * unknown, 100 * observed)
    assert louder.item() == pytest.approx(3 / 8)
    estimates = separator.separate(unknown + observed)  # the observed source is the last
    assert [estimates[:, k].unique().tolist() for k in (0, 1)] == [[6.0], [2.0]]


@pytest.mark.parametrize(
    ("signal", "settings", "message"),
    [
        (SPEECH, {"hop_seconds": 0.02}, r"hop_seconds must be in \(0, 3/4 of 0.025\], not 0.02"),
        (SPEECH, {"bands": 1}, r"bands must be at least 2, not 1"),
        (SPEECH, {"compression": 0.0}, r"compression must be in \(0, 1\], not 0"),
        (
            SPEECH,
            {"window_seconds": math.inf},
            r"window_seconds must be below 1, twice the length of an item, not inf$",
        ),
        (SPEECH, {"window_seconds": 1e9}, r"window_seconds must be below 1, twice the length of an item, not 1e\+09$"),
        (SPEECH, {"window_seconds": 1.0}, r"window_seconds must be below 1, twice the length of an item, not 1$"),
        (IMAGE, {"window_seconds": math.inf}, r"window_seconds must be finite, not inf$"),
        (
            Signal(("a", "b"), 1, (8,), None),
            {},
            r"masks are for one-dimensional signals with a sample rate and for images, not signals of shape \(8,\), "
            r"1 channel\(s\), 2 source\(s\)$",
        ),
        (
            Signal(("a", "b"), 3, (8, 8), 8.0),
            {},
            r"masks are .* and for images, not signals of shape \(8, 8\) at 8 Hz, 3 channel\(s\), 2 source\(s\)$",
        ),
    ],
)
def test_wrong_signals_and_sizes_are_refused_in_one_line(signal, settings, message):
    with pytest.raises(UsageError, match=rf"^{message}"):
        Magnitudes(signal, **settings)


def test_other_numbers_of_sources_and_too_short_signals_are_refused():
    three = Signal(("a", "b", "c"), 1, (8, 8), None)
    with pytest.raises(UsageError, match=r"a mask separates 2 sources, the last of them observed, not a, b, c"):
        MaskSeparator(three, Magnitudes(three), 4, 2)
    with pytest.raises(UsageError, match=r"a signal of 256 samples is too short: 257 are needed"):
        Magnitudes(SPEECH).encode(torch.zeros(1, 1, 256))
    with pytest.raises(UsageError, match=r"width and layers must be at least 1, not 0 and 4"):
        MaskNetwork(1, 0)


def test_limits_of_sizes_belong_to_what_is_taken():
    front = Magnitudes(SPEECH, window_seconds=0.02, hop_seconds=0.015, bands=2, compression=1.0)
    assert (len(front.window), front.hop, front.hats.shape) == (320, 240, (2, 257))
    assert Magnitudes(Signal(("a", "b"), 1, (64,), 100.0), 0.025, 0.001).hop == 1
    with pytest.raises(UsageError, match=r"^hop_seconds must be in \(0, 3/4 of 0.025\], not 0$"):
        Magnitudes(SPEECH, hop_seconds=0.0)
    with pytest.raises(UsageError, match=r"^compression must be in \(0, 1\], not 1.01$"):
        Magnitudes(SPEECH, compression=1.01)
    with pytest.raises(UsageError, match=r"^width and layers must be at least 1, not 4 and 0$"):
        MaskNetwork(1, 4, 0)
    assert MaskNetwork(1, 1, 1).multiple == 2


def test_a_network_may_rectify_on_the_way_down():
    network = MaskNetwork(1, 4, 3)
    slopes = lambda: [m.negative_slope for m in network.encoder if isinstance(m, nn.LeakyReLU)]  # noqa: E731
    assert slopes() == [0.2, 0.2, 0.2]
    network.rectify()
    assert slopes() == [0.0, 0.0, 0.0]


def test_the_error_of_a_mixture_with_more_channels_is_that_of_its_first():
    image = Signal(("digit", "other"), 2, (8, 8), None, component_channels=1)
    separator = MaskSeparator(image, Magnitudes(image), 4, 2, seen=2)
    assert separator.network.encoder[0].in_channels == 2
    assert separator.network.decoder[-2].out_channels == 1
    separator.network = Share(0.25)
    mixture = torch.full((1, 2, 8, 8), 8.0)
    mixture[:, 1] = 100.0
    separator.network.forward = lambda seen: torch.full_like(seen[:, :1], 0.25)
    assert mask_error(separator, mixture, torch.full((1, 1, 8, 8), 5.0)).item() == pytest.approx(3 / 8)
    assert separator.separate(mixture).shape == (1, 2, 1, 8, 8)
    assert separator.separate(mixture)[:, 1].unique().tolist() == [2.0]


def test_estimates_have_no_gradient():
    separator = MaskSeparator(IMAGE, Magnitudes(IMAGE), 2, 1)
    assert not separator.separate(torch.rand(1, 1, 8, 8)).requires_grad
