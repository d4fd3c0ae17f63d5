import pytest
import torch
from torch import Tensor

from sepray.signals.template import residual

RATE = 250.0


def _beats_at(times: Tensor, scales: Tensor, seconds: float = 10.0, sigma: float = 0.012) -> Tensor:
    """An R peak and a T wave at each time: ``[time]``."""
    grid = torch.arange(round(seconds * RATE), dtype=torch.float64)[:, None] / RATE - times
    wave = torch.exp(-0.5 * (grid / sigma) ** 2) - 0.3 * torch.exp(-0.5 * ((grid - 0.25) / 0.05) ** 2)
    return (scales * wave).sum(-1)


TIMES = 0.4 + 0.75 * torch.arange(13, dtype=torch.float64) + 0.02 * torch.sin(torch.arange(13.0))
SCALES = 1 + 0.15 * torch.cos(torch.arange(13, dtype=torch.float64))


def test_beats_that_differ_in_amplitude_and_time_are_removed_and_the_baseline_stays() -> None:
    mother = _beats_at(TIMES, SCALES)
    baseline = 0.5 + 0.2 * torch.sin(torch.arange(2500) / 2500 * 2 * torch.pi).double()
    left = residual(mother + baseline, RATE, TIMES)
    inside = slice(200, 2300)
    assert float((left - baseline)[inside].abs().max()) < 0.05  # of R = 1
    assert float((left - baseline)[inside].square().mean().sqrt()) < 0.01
    assert float(mother[inside].square().mean().sqrt()) > 0.15


def test_another_heart_stays_but_for_its_share_of_the_average() -> None:
    fetal_times = 0.1 + 0.43 * torch.arange(24, dtype=torch.float64)
    fetus = 0.1 * _beats_at(fetal_times, torch.ones(24), sigma=0.006)
    left = residual(_beats_at(TIMES, SCALES) + fetus, RATE, TIMES)
    assert torch.corrcoef(torch.stack([left[200:2300], fetus[200:2300]]))[0, 1] > 0.9
    gain = (left * fetus)[200:2300].sum() / fetus[200:2300].square().sum()
    assert float(gain) == pytest.approx(1 - 1 / 13, abs=0.08)


def test_rough_times_are_refined_and_the_sign_does_not_matter() -> None:
    mother = _beats_at(TIMES, SCALES)
    rough = TIMES + 0.016 * (-1.0) ** torch.arange(13)
    for sign in (1, -1):
        assert float(residual(sign * mother, RATE, rough)[200:2300].abs().max()) < 0.06


def test_items_of_a_batch_are_those_alone_whatever_their_numbers_of_beats() -> None:
    slow = 0.5 + 1.1 * torch.arange(9, dtype=torch.float64)
    leads = torch.stack([_beats_at(TIMES, SCALES), _beats_at(slow, torch.ones(9)), torch.zeros(2500).double()])
    beats = torch.full((3, 13), torch.nan, dtype=torch.float64)
    beats[0], beats[1, :9], beats[2, :2] = TIMES, slow, TIMES[:2]
    together = residual(leads[:, None], RATE, beats[:, None])
    assert together.shape == (3, 1, 2500)
    torch.testing.assert_close(together[0, 0], residual(leads[0], RATE, TIMES))
    torch.testing.assert_close(together[1, 0], residual(leads[1], RATE, slow))
    assert not together[2].any()
    assert residual(leads[0].float(), RATE, TIMES).dtype == torch.float32


def test_with_two_beats_or_none_the_signal_is_returned_as_it_is() -> None:
    mother = _beats_at(TIMES, SCALES)
    for beats in (TIMES[:2], TIMES[:0], torch.full((5,), torch.nan)):
        assert torch.equal(residual(mother, RATE, beats), mother)
    assert not torch.equal(residual(mother, RATE, TIMES[:3]), mother)


def test_other_leading_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"leads are \[2, 100\] and beats \[3, 5\]"):
        residual(torch.zeros(2, 100), RATE, torch.zeros(3, 5))


@pytest.mark.parametrize("offset", [20.0, -2048.0, 1e6])
def test_an_offset_stays_in_what_is_left_and_changes_nothing(offset) -> None:
    times = 0.4 + 0.75 * torch.arange(12, dtype=torch.float64)
    seconds = torch.arange(2500, dtype=torch.float64)[:, None] / 250
    lead = torch.exp(-0.5 * ((seconds - times) / 0.012) ** 2).sum(-1) + 0.1 * torch.sin(9.1 * seconds[:, 0])
    left = residual(lead + offset, 250, times)
    torch.testing.assert_close(left - offset, residual(lead, 250, times), rtol=0, atol=1e-6)
