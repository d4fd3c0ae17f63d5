"""One mask for each bin: sources in bins of their own, the least error, channels, silence."""

import pytest
import torch

from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators.bin_mask import BinMask, Config

SIGNAL = Signal(("a", "b"), 2, (512,), 64.0)
CONFIG = Config(n_fft=32, hop=16)


def sources(items: int = 20, seed: int = 0) -> torch.Tensor:
    """Slow noise and fast noise, half as loud, ``[item, 2, 2, 512]``."""
    noise = torch.randn(items, 2, 2, 512, generator=torch.Generator().manual_seed(seed))
    spectrum = torch.fft.rfft(noise)
    spectrum[:, 0, :, 100:] = 0
    spectrum[:, 1, :, :100] = 0
    return torch.fft.irfft(spectrum) * torch.tensor([1.0, 0.5])[:, None, None]


def fitted(true: torch.Tensor) -> BinMask:
    separator = CONFIG.build(SIGNAL)
    separator.prepare({"mixture": true.sum(1), "sources": true})
    return separator


def test_sources_in_bins_of_their_own_are_told_apart():
    separator = fitted(sources())
    assert separator.masks[0, :4].min() > 0.98  # bins are 16 points of the long spectrum wide
    assert separator.masks[0, 10:].max() < 0.02
    torch.testing.assert_close(separator.masks.sum(0), torch.ones(17))  # the mixture is their sum
    true = sources(5, seed=1)
    error = (separator.separate(true.sum(1)) - true).square().mean() / true.square().mean()
    assert error < 0.05


def test_error_is_the_least_of_all_masks():
    true = sources(40) + 0.3 * sources(40, seed=3).flip(1)
    separator = fitted(true)
    spectrum, wanted = separator.spectrogram.transform(true.sum(1))[:, None], separator.spectrogram.transform(true)

    def error(masks: torch.Tensor) -> float:
        return float((masks[:, None, :, None] * spectrum - wanted).abs().square().mean())

    for k, change in ((0, 0.05), (0, -0.05), (1, 0.05), (1, -0.05)):
        masks = separator.masks.clone()
        masks[k, 3] += change
        assert error(masks) > error(separator.masks)


def test_masks_are_kept_to_a_share():
    true = torch.stack([2 * sources()[:, 0], -sources()[:, 0]], 1)  # the second one cancels half of the first
    separator = fitted(true)
    assert separator.masks[0, :4].tolist() == [1.0] * 4
    assert separator.masks[1, :4].tolist() == [0.0] * 4


def test_untrained_masks_share_the_mixture_and_silence_leaves_zeros():
    assert CONFIG.build(SIGNAL).masks.unique().tolist() == [0.5]
    separator = fitted(torch.zeros(3, 2, 2, 512))
    assert separator.masks.max() == 0


def test_images_are_refused():
    with pytest.raises(UsageError, match="bin_mask separates one-dimensional signals"):
        CONFIG.build(Signal(("a", "b"), 1, (8, 8), None))
