import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sepray.signals import beats
from sepray.signals.beats import ADULT, ADULT_PULSE, FETUS, detect, qrs_height, rate_of, root_mean_square, widened


def _train(
    times: Tensor, rate: float, seconds: float, sigma: float = 0.012, parts: tuple[float, ...] = (1.0,)
) -> Tensor:
    """Return QRS complexes ``[time]`` of Gaussians 2 sigma apart, the middle one at each of ``times``."""
    grid = torch.arange(round(seconds * rate), dtype=torch.float64)[:, None] / rate - times
    middle = (len(parts) - 1) / 2
    waves = [a * torch.exp(-0.5 * (grid / sigma - 2 * (k - middle)) ** 2) for k, a in enumerate(parts)]
    return torch.stack(waves).sum((0, -1))


def _times(bpm: float, seconds: float, start: float = 0.3, sway: float = 0.02) -> Tensor:
    count = torch.arange(int((seconds - start) * bpm / 60), dtype=torch.float64)
    return start + 60 / bpm * (count + sway * torch.sin(0.9 * count))


def _noise(items: int, samples: int, seed: int = 0) -> Tensor:
    return torch.randn(items, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rate", [128.0, 250.0, 500.0])
@pytest.mark.parametrize(("bpm", "range_of"), [(57, ADULT), (81, ADULT), (113, ADULT), (107, FETUS), (183, FETUS)])
def test_times_and_rate_of_clean_beats(bpm: float, range_of: tuple[float, float], rate: float) -> None:
    times = _times(bpm, 10)
    found = detect(_train(times, rate, 10, 0.007 if range_of is FETUS else 0.012), rate, *range_of)
    assert found.times.shape == times.shape
    assert float((found.times - times).abs().max()) < 0.006
    assert float(found.rate) == pytest.approx(bpm, rel=0.01)
    assert float(found.confidence) > 0.95


@pytest.mark.parametrize("parts", [(1.0,), (-1.0,), (-0.5, 1.0, -0.9), (0.9, -1.0, 0.5), (-1.0, 0.2, -1.0)])
def test_shape_and_polarity_do_not_matter(parts: tuple[float, ...]) -> None:
    times = _times(75, 10)
    found = detect(1e-3 * _train(times, 250, 10, 0.012, parts) + 5, 250, *ADULT)
    assert found.times.shape == times.shape
    shifts = found.times - times
    assert float(shifts.abs().max()) < 0.020  # the centre of energy, wherever the highest peak is
    assert float(shifts.std()) < 0.003


def test_a_fetus_is_found_beside_what_is_left_of_the_mother() -> None:
    """In the residual of an abdominal lead the detector for any heart says 34 to 92."""
    mother, fetus = _times(80, 10), _times(134, 10, 0.11)
    signal = _train(fetus, 250, 10, 0.006) + 0.4 * _train(mother, 250, 10, 0.012) + 0.1 * _noise(1, 2500)[0]
    found = detect(signal, 250, *FETUS)
    assert float(found.rate) == pytest.approx(134, abs=2)
    inner = found.times[found.times < 9.8]
    assert len(inner) == len(fetus)
    assert float((inner - fetus).abs().max()) < 0.03


def test_of_hearts_within_one_range_the_slower_is_not_taken_at_its_double() -> None:
    for bpm in (55.5, 60, 110):
        assert float(detect(_train(_times(bpm, 10), 250, 10), 250, *ADULT).rate) == pytest.approx(bpm, rel=0.02)


def test_a_rate_out_of_the_range_is_no_heart_of_it() -> None:
    slow = detect(_train(_times(70, 10), 250, 10), 250, *FETUS)  # every second place at 140 is empty
    assert (float(slow.rate), slow.times.shape[-1], float(slow.confidence)) == (0, 0, 0)


def test_places_without_a_beat_are_dropped_and_early_ones_are_found() -> None:
    times = _times(75, 10, sway=0)
    kept = times[torch.arange(len(times)) != 5]
    early = times.clone()
    early[6] -= 0.25
    for truth in (kept, early):
        found = detect(_train(truth, 250, 10), 250, *ADULT)
        assert found.times.shape == truth.shape
        assert float((found.times - truth).abs().max()) < 0.006
        assert float(found.rate) == pytest.approx(75, abs=0.5)


def test_noise_shows_no_fetus_in_most_items_and_beats_only_if_asked() -> None:
    noise = _noise(200, 2500)
    found = detect(noise, 250, *FETUS)
    assert float((found.rate > 0).double().mean()) < 0.1
    assert bool((found.times.isfinite().any(-1) == (found.rate > 0)).all())
    forced = detect(noise, 250, *FETUS, least=0)
    assert float(forced.rate.min()) > 90
    assert bool(((forced.confidence >= 0.5) >= (found.rate > 0)).all())
    assert float((detect(noise, 250, *ADULT).rate > 0).double().mean()) < 0.1


def test_pulses() -> None:
    seconds = torch.arange(504, dtype=torch.float64) / 32
    phase = 1.2 * seconds + 0.3
    pulse = torch.exp(-0.5 * ((phase % 1 - 0.3) / 0.09) ** 2) + 0.4 * torch.exp(-0.5 * ((phase % 1 - 0.62) / 0.1) ** 2)
    found = detect(pulse + 0.5 * torch.sin(2 * math.pi * 0.25 * seconds), 32, *ADULT_PULSE, pulse=True)
    assert float(found.rate) == pytest.approx(72, abs=0.5)
    expected = torch.arange(0, 15.75, 1 / 1.2)  # phase 0.3, 1.3 ...
    inner = found.times[1:-1]
    assert float((inner[:, None] - expected).abs().min(-1).values.max()) < 0.05
    assert len(found.times) in (19, 20)  # one more may be half in it
    assert float((detect(_noise(100, 504), 32, *ADULT_PULSE, pulse=True).rate > 0).double().mean()) < 0.1


def test_silent_short_and_broken_signals() -> None:
    beating = _train(_times(75, 10), 250, 10)
    broken = beating.clone()
    broken[100] = math.nan
    found = detect(torch.stack([beating, 0 * beating, broken, 0 * beating + 3])[:, None], 250, *ADULT)
    assert found.times.shape == (4, 1, 12)
    assert found.rate[:, 0].tolist()[0] == pytest.approx(75, abs=0.5)
    assert found.rate[[1, 3], 0].tolist() == found.confidence[[1, 3], 0].tolist() == [0, 0]
    assert bool(found.rate[2].isnan().all() and found.confidence[2].isnan().all() and found.times[1:].isnan().all())
    for samples in (1, 10, 200):  # not two beats long
        assert float(detect(beating[:samples], 250, *ADULT).rate) == 0
    assert float(detect(beating[: 3 * 250], 250, *ADULT).rate) == pytest.approx(75, abs=1.5)
    assert detect(torch.zeros(0, 2500), 250, *ADULT).rate.shape == (0,)


def test_beats_are_found_in_any_unit_but_not_in_rounding() -> None:
    times = _times(75, 10)
    beating = _train(times, 250, 10)
    for unit in (1e-12, 1e-6, 1e9):
        found = detect(unit * torch.stack([beating, 1e-7 * beating]), 250, *ADULT, beside=torch.full((2,), unit))
        assert found.rate.tolist() == [pytest.approx(75, abs=0.5), 0]
        assert float(detect(unit * beating, 250, *ADULT).rate) == pytest.approx(75, abs=0.5)
    rounded = (1e-8 * beating + 3).float()  # nothing is left of the beats but the rounding
    assert float(detect(rounded, 250, *ADULT, least=0).rate) == 0
    assert float(detect((0.01 * beating + 3).float(), 250, *ADULT).rate) == pytest.approx(75, abs=0.5)
    assert root_mean_square(torch.tensor([[5.0, 5.0, 8.0, 5.0], [1.0, math.nan, 0.0, 0.0]])).tolist() == [1.5, 0]


def test_items_of_a_batch_are_those_alone() -> None:
    signals = torch.stack([_train(_times(bpm, 10), 250, 10) for bpm in (60, 75, 110)]) + 0.05 * _noise(3, 2500)
    together = detect(signals, 250, *ADULT)
    for item, signal in enumerate(signals):
        alone = detect(signal, 250, *ADULT)
        torch.testing.assert_close(together.times[item][: len(alone.times)], alone.times)
        assert bool(together.times[item][len(alone.times) :].isnan().all())
        torch.testing.assert_close(together.confidence[item], alone.confidence)


def test_rate_of_beats_is_that_of_the_median_interval() -> None:
    times = torch.tensor([[0.0, 0.5, 1.5, 2.0], [0.0, 1.0, math.nan, math.nan], [1.0, math.nan, math.nan, math.nan]])
    assert rate_of(times).tolist() == [120, 60, 0]
    assert rate_of(times[:, :1]).tolist() == [0, 0, 0]
    assert widened((55, 115), (80, 130)) == (55, 130)


def test_it_takes_a_second_beat_at_an_end_that_is_cut() -> None:
    times = torch.tensor(np.arange(0.02, 10, 0.8))
    found = detect(_train(times, 250, 10), 250, *ADULT)
    assert float((found.times[1:-1, None] - times).abs().min(-1).values.max()) < 0.006


def test_height_is_in_the_unit_of_the_signal_whatever_its_polarity() -> None:
    times = torch.arange(0.3, 10, 0.75, dtype=torch.float64)
    grid = torch.arange(2500, dtype=torch.float64)[:, None] / 250
    heart = torch.exp(-0.5 * ((grid - times) / 0.01) ** 2).sum(-1)
    once = heart - 0.7 * torch.exp(-0.5 * ((grid[:, 0] - times[4]) / 0.01) ** 2)  # one lower beat: the median counts
    broken = heart.clone()
    broken[7] = math.nan
    signals = torch.stack([heart, -3 * heart, once, 5 + heart, 0 * heart, broken])
    padded = torch.cat([times, torch.full((2,), math.nan)]).expand(6, -1)
    found = qrs_height(signals, 250.0, padded)
    assert 0.3 < float(found[0]) < 1.2
    assert (found / found[0]).tolist() == pytest.approx([1, 3, 1, 1, 0, 0], abs=0.01)
    assert qrs_height(signals, 250.0, padded[:, :0]).tolist() == [0] * 6
    assert qrs_height(signals, 250.0, padded * math.nan).tolist() == [0] * 6


@pytest.mark.parametrize(
    ("apart", "usual", "linked"), [(90, 100.0, True), (89, 100.0, False), (250, 250.0, True), (251, 250.0, False)]
)
def test_beats_are_a_tenth_early_or_a_quarter_late_at_most(apart: int, usual: float, linked: bool) -> None:
    """At 200 Hz in a range from 60 to 120 beats a minute, whose intervals are 100 to 200 samples."""
    heights, peaks = torch.zeros(1, 900), torch.arange(20, 900, apart)
    heights[0, peaks] = 1.0
    places = beats._sequence(heights, torch.tensor([usual]), 200.0, 60.0, 120.0, 0.01)
    assert ([place for place in places[0].tolist() if place >= 0] == peaks.tolist()) == linked
