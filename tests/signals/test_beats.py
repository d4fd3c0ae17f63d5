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
    """The detector for any heart finds 34 to 92 beats a minute in the residual of an abdominal lead."""
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


def _rough(samples: int, seed: int) -> Tensor:
    """Noise ``[time]`` of whole numbers alone, within 0.5 of 0."""
    time = torch.arange(samples)
    return ((time * time * (7919 + seed) + 31 * time) % 1009).double() / 1009 - 0.5


def _uneven(bpm: float, rate: float, samples: int, sigma: float) -> Tensor:
    """A heart ``[time]`` whose intervals and heights vary: one beat is thrice as high, the next are low and missing."""
    count = torch.arange(int((samples / rate - 0.2) * bpm / 60), dtype=torch.float64)
    times = 0.2 + 60 / bpm * (count + 0.06 * torch.sin(1.3 * count) + 0.03 * torch.cos(2.9 * count))
    heights = 1 + 0.15 * torch.sin(2.1 * count)
    heights[4:7] = torch.tensor([3.0, 0.45, 0.05])
    grid = torch.arange(samples, dtype=torch.float64)[:, None] / rate - times
    return (heights * torch.exp(-0.5 * (grid / sigma) ** 2)).sum(-1)


@pytest.mark.parametrize(
    ("range_of", "rate", "bpm", "sigma", "noise", "pulse", "times", "sure"),
    [
        (
            ADULT,
            250.0,
            75,
            0.012,
            0.8,
            False,
            [
                [0.223813, 1.022479, 1.846644, 2.5495, 3.369246, 4.188363, 5.826826],
                [0.045964, 0.698121, 1.523065, 2.325938, 3.105752, 3.94631, 4.70843, 5.410294, 6.101706, 6.803501],
            ],
            [7.79495, -1.971687],
        ),
        (
            FETUS,
            250.0,
            140,
            0.008,
            0.7,
            False,
            [
                [
                    0.209134,
                    0.634179,
                    1.081007,
                    1.456497,
                    1.901027,
                    2.331028,
                    3.205428,
                    3.598862,
                    4.044411,
                    4.489401,
                    4.95172,
                    5.351435,
                    5.761161,
                    6.177348,
                    6.973111,
                ],
                [
                    0.038888,
                    0.512604,
                    0.970414,
                    1.450665,
                    1.989335,
                    2.362596,
                    2.796626,
                    3.28296,
                    3.680187,
                    4.089088,
                    4.548604,
                    5.011114,
                    5.486666,
                    6.025334,
                    6.505585,
                    6.964594,
                ],
            ],
            [7.303548, -2.944677],
        ),
        (
            ADULT_PULSE,
            64.0,
            70,
            0.12,
            2.5,
            True,
            [
                [0.109924, 1.055818, 1.941039, 3.564777, 4.46776, 5.263779, 6.01327, 6.774956],
                [0.266656, 1.385671, 2.848768, 4.252375, 5.546917, 6.977429],
            ],
            [-1.640383, -2.791259],
        ),
    ],
    ids=["adult", "fetus", "pulse"],
)
def test_beats_and_confidence_in_noise_are_what_they_were(range_of, rate, bpm, sigma, noise, pulse, times, sure):
    """A heart in noise, and noise alone. The thresholds were set with these numbers (``benchmarks/beats.py``)."""
    samples = int(7 * rate)
    signals = torch.stack([_uneven(bpm, rate, samples, sigma) + noise * _rough(samples, 3), _rough(samples, 11)])
    found = detect(signals, rate, *range_of, pulse=pulse, least=0)
    for item, expected in zip(found.times.tolist(), times, strict=True):
        assert item[: len(expected)] == pytest.approx(expected, abs=2e-6)
        assert all(math.isnan(time) for time in item[len(expected) :])
    assert found.confidence.logit().tolist() == pytest.approx(sure, abs=1e-4)


def test_a_band_passes_half_the_power_of_its_ends_and_little_beyond() -> None:
    """A Butterworth of order 4 as its magnitude: at half the lowest frequency and twice the highest 1/sqrt(1 + 2^8)."""
    for low, pulse, (lowest, highest), rate in (
        (55, False, (6, 25), 500.0),
        (90, False, (10, 45), 500.0),
        (90, True, (0.4, 5), 50.0),
    ):
        seconds = torch.arange(5000, dtype=torch.float64) / rate
        inner = math.sqrt(1 + (lowest / highest) ** 8)
        gains = {lowest / 2: 257**-0.5, lowest: 0.5**0.5 / inner, highest: 0.5**0.5 / inner, 2 * highest: 257**-0.5}
        for frequency, gain in gains.items():
            wave = torch.sin(2 * math.pi * frequency * seconds)
            band = beats.in_band(wave[None, None], rate, low, pulse)
            assert band.shape == (1, 1, 5000)
            size = (band[0, 0, 1250:3750].square().mean() / wave[1250:3750].square().mean()).sqrt()
            assert float(size) == pytest.approx(gain, rel=0.02), frequency


def test_two_beats_of_the_fastest_heart_are_needed() -> None:
    """At 250 Hz and 115 beats a minute they are 260.9 samples."""
    noise = _noise(1, 300)[0]
    assert [detect(noise[:samples], 250, *ADULT, least=0).times.shape[-1] > 0 for samples in (260, 261)] == [
        False,
        True,
    ]


def test_lengths_for_fourier_transforms() -> None:
    lengths = (1, 15, 16, 31, 32, 33, 64, 65, 1000, 1023, 2500, 4097)
    assert [beats._fast_length(n) for n in lengths] == [1, 15, 16, 31, 32, 34, 64, 68, 1024, 1024, 2560, 4352]


def test_windows_are_zero_outside() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    found = beats._windows(values, torch.tensor([[0, 3], [1, 2]]), 1)
    assert found.tolist() == [[[0, 1, 2], [3, 4, 0]], [[5, 6, 7], [6, 7, 8]]]


def test_the_usual_height_is_the_median_of_the_highest_in_a_beats_time() -> None:
    """At 60 beats a minute and 4 samples a second a stretch is 4 samples; what is left over does not count."""
    tops = torch.tensor([[1.0, 5, 2, 3, 4, 1, 1, 1, 2, 9, 1, 1, 99, 99]])
    assert beats._usual_height(tops, 4.0, 60.0).tolist() == [[5.0]]
    assert beats._usual_height(tops[:, :3], 4.0, 60.0).tolist() == [[5.0]]


def test_the_interval_is_the_shortest_whose_multiples_are_nearly_the_highest() -> None:
    envelope = torch.zeros(3, 400, dtype=torch.float64)
    envelope[0, 10::40] = 1.0
    envelope[1, 10::40], envelope[1, 30::40] = 1.0, 0.5  # half the interval: lower by more than 15%
    envelope[2, 10::40], envelope[2, 30::40] = 1.0, 0.8
    assert beats._interval(envelope, 40.0, 50.0, 150.0).tolist() == [40, 40, 20]


def test_signals_are_silent_up_to_their_rounding_or_a_millionth_of_what_is_beside() -> None:
    alternating = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0], dtype=torch.float64)  # root mean square sqrt(0.8)
    size = math.sqrt(0.8)
    beside = torch.tensor([1e6 * size * 1.001, 1e6 * size * 0.999], dtype=torch.float64)
    assert beats.is_silent(alternating.expand(2, -1), beside).tolist() == [True, False]
    assert not beats.is_silent(alternating)
    eps = torch.finfo(torch.float64).eps
    rounding = 1 + torch.tensor([0.0, eps, 0.0, eps, 0.0], dtype=torch.float64)
    assert beats.is_silent(torch.stack([rounding, 1 + 4 * (rounding - 1)])).tolist() == [True, False]
    assert beats.is_silent(rounding, torch.tensor(0.0))
    assert beats.is_silent(torch.zeros(2, 0)).tolist() == [True, True]
    assert root_mean_square(torch.zeros(2, 0)).tolist() == [0, 0]
    whole = torch.tensor([[3, 3, 3], [3, 4, 3]])
    assert beats.is_silent(whole).tolist() == [True, False]
    broken = torch.tensor([[math.inf, 1.0, 2.0], [-math.inf, 1.0, 2.0], [math.nan, 1.0, 2.0]])
    assert beats.is_silent(broken).tolist() == [True, True, True]


def test_a_detector_of_a_batch_keeps_its_shape() -> None:
    signals = torch.stack([_train(_times(75, 10), 250, 10)] * 6).reshape(2, 3, -1)
    found = detect(signals, 250, *ADULT)
    assert (found.times.shape, found.rate.shape, found.confidence.shape) == ((2, 3, 12), (2, 3), (2, 3))
    assert detect(signals, 250, *ADULT, least=1.0).times.shape == (2, 3, 0)


def test_the_usual_ranges_and_the_least_confidence() -> None:
    assert (ADULT, FETUS, ADULT_PULSE) == ((55, 115), (105, 185), (45, 150))
    assert (beats.LEAST_CONFIDENCE, beats.FETAL_RATE) == (0.5, 90)
    assert [beats._kind(low, False) is beats._FETAL_QRS for low in (89.9, 90.0)] == [False, True]
    assert beats._kind(100.0, True) is beats._PULSE
