import pytest
import torch
from torch import Tensor

from sepray.signals import template
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


def _lead() -> Tensor:
    """Two leads ``[2, 1000]``: beats that vary, one of them of another shape and two cut by the ends, and noise."""
    time = torch.arange(1000)
    rough = ((time * time * 7919 + 31 * time) % 1009).double() / 1009 - 0.5
    beats = _beats_at(CUT, SCALES[:6], 4.0)
    other = 2 * torch.exp(-0.5 * ((time / RATE - CUT[3]) / 0.04) ** 2)
    return torch.stack([beats + other + 0.3 * rough, -beats + 0.001 * time + 0.1 * rough.flip(0)])


LEFT = [
    [
        -0.3151085,
        -0.0369281,
        -0.0173467,
        -0.1018381,
        -0.1936419,
        -0.1665428,
        0.0864085,
        -0.2462202,
        -0.0145044,
        -0.0694839,
        -0.0963186,
        0.5212985,
        0.1816925,
        0.0645504,
        0.0008421,
        -0.1706039,
        -0.0092935,
        -0.1476214,
        0.0032773,
    ],
    [
        -0.0036964,
        0.0049281,
        0.0713191,
        0.1935272,
        0.2571303,
        0.2341107,
        0.2978236,
        0.3849341,
        0.3968352,
        0.4940703,
        0.5291108,
        0.5688171,
        0.614915,
        0.6639483,
        0.7183979,
        0.8153866,
        0.7810572,
        0.9215649,
        0.9242464,
    ],
]
CUT = torch.tensor([0.05, 0.83, 1.52, 2.31, 3.02, 3.92], dtype=torch.float64)


def test_what_is_left_is_what_it_was() -> None:
    """The times of the beats are rough by up to 40 ms, and moves of more than 30 are refused. Every 53rd sample."""
    rough = CUT + torch.tensor([0.0, 0.012, -0.02, 0.028, 0.04, -0.008], dtype=torch.float64)
    left = residual(_lead(), RATE, rough.expand(2, -1))[:, ::53]
    torch.testing.assert_close(left, torch.tensor(LEFT, dtype=torch.float64), rtol=0, atol=1e-6)


def test_each_sample_belongs_to_the_beat_that_began_last() -> None:
    """Beats of 4 samples, the first sample one before the beat's time."""
    beat, phase, inside = template._places(torch.tensor([[3, 6, 12]]), torch.tensor([1]), torch.tensor([4]), 14)
    assert inside[0].int().tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert beat[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert phase[0].tolist() == [0, 0, 0, 1, 2, 0, 1, 2, 3, 0, 0, 0, 1, 2]


def test_the_average_beat_ends_at_zero_and_has_its_slope_within() -> None:
    """Two beats of 5 samples; their mean is 1, 2, 6, 4, 3, without the line from 1 to 3: 0, 0.5, 4, 1.5, 0."""
    signal = torch.tensor([[0.0, 1, 5, 3, 2, 9, 2, 3, 7, 5, 4]], dtype=torch.float64)
    phase = torch.tensor([[0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4]])
    inside = torch.tensor([[True] * 5 + [False] + [True] * 5])
    average, slope, constant, line = template._basis(signal, phase, inside, torch.tensor([5]))[:, 0]
    once = slice(0, 5)
    assert average[once].tolist() == pytest.approx([0, 0.5, 4, 1.5, 0])
    assert slope[once].tolist() == pytest.approx([0, 2, 0.5, -2, 0])
    assert constant.tolist() == [1] * 5 + [0] + [1] * 5
    assert line[once].tolist() == pytest.approx([-0.5, -0.25, 0, 0.25, 0.5])
    assert average[6:].tolist() == average[once].tolist()
    assert not average[5]
    assert not slope[5]


def test_a_signal_that_is_not_finite_and_an_empty_one_are_returned_as_they_are() -> None:
    leads = torch.stack([_beats_at(TIMES, SCALES), _beats_at(TIMES, SCALES)])
    leads[1, 7] = torch.inf
    left = residual(leads, RATE, TIMES.expand(2, -1))
    assert torch.equal(left[1], leads[1])
    torch.testing.assert_close(left[0], residual(leads[0], RATE, TIMES))
    assert residual(leads[:0], RATE, TIMES.expand(0, -1)).shape == (0, 2500)
    assert template.FEWEST_BEATS == 3
