"""The constant mask: shares of the mixture, and no difference to it by a scale-invariant measure."""

import math

import pytest
import torch

from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.scoring import metrics
from sepray.separators import constant_mask

from .separation import improvement, notes_and_bursts, trained


@pytest.mark.parametrize(("sources", "mask", "share"), [(2, None, 0.5), (4, None, 0.25), (2, 0.1, 0.1), (3, 1.0, 1.0)])
@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_every_estimate_is_the_same_share_of_the_mixture(sources, mask, share, shape):
    signal = Signal(tuple("abcd"[:sources]), 2, shape, 8.0 if len(shape) == 1 else None)
    mixture = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(0))
    estimates = constant_mask.Config(mask).build(signal).separate(mixture)
    assert estimates.shape == (3, sources, 2, *shape)
    for k in range(sources):
        torch.testing.assert_close(estimates[:, k], share * mixture)


def test_nothing_is_gained_and_a_half_halves_the_error_of_the_other_source():
    data = notes_and_bursts(64, 32)
    run = trained(constant_mask.Config(mask=None), {}, 1, 0, data)
    assert improvement(run.separator.separate, data) == pytest.approx(0, abs=1e-3)
    # Of sources a and b that are orthogonal, |(a + b) / 2 - a| / |a| = sqrt(1 + |b|^2 / |a|^2) / 2.
    powers = data.test.sources.square().mean(dim=(-2, -1))
    expected = (1 + powers.flip(1) / powers).sqrt() / 2
    found = metrics.relative_error(run.separator.separate(data.test.mixture), data.test.sources, 2)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)


def test_by_default_the_estimate_is_the_mixture_as_in_the_paper():
    """Thus the PSNR of a source is that of the other source's square, and the SNR of a sound 0 dB for equal powers."""
    mixture = torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    estimates = constant_mask.Config().build(Signal(("x", "b"), 1, (3, 5), None)).separate(mixture)
    assert torch.equal(estimates, torch.stack((mixture, mixture), 1))
    dark, bright = torch.zeros(1, 1, 1, 16, 16), torch.zeros(1, 1, 1, 16, 16)
    dark[..., :2, :], bright[..., 8:, :] = 0.2, 0.8  # means of the squares: 0.005 and 0.32
    model = constant_mask.Config().build(Signal(("x", "b"), 1, (16, 16), None))
    sources = torch.cat((dark, bright), 1)
    found = metrics.psnr(model.separate(sources.sum(1)), sources)
    torch.testing.assert_close(found, torch.tensor([[-10 * math.log10(0.32), -10 * math.log10(0.005)]]))


@pytest.mark.parametrize("mask", [0.0, -0.5, 1.5, math.nan])
def test_a_mask_outside_of_0_to_1_is_refused(mask):
    with pytest.raises(UsageError, match=rf"^mask must be above 0 and at most 1, not {mask:g}$"):
        constant_mask.Config(mask)
