"""The heart rate found in signals whose beats are known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sepray.signals.heart_rate import _moving_mean, _similarity, heart_rate

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def _spikes(beats: NDArray[np.float64], seconds: float, rate: float) -> Tensor:
    """R peaks of 20 ms, each with a lower and broader T wave 250 ms later."""
    time = np.arange(round(seconds * rate)) / rate
    peaks = np.exp(-0.5 * np.square((time[:, None] - beats) / 0.02)).sum(1)
    waves = 0.3 * np.exp(-0.5 * np.square((time[:, None] - beats - 0.25) / 0.05)).sum(1)
    return torch.from_numpy(peaks + waves)


@pytest.mark.parametrize("bpm", [45.0, 72.3, 85.0, 133.0, 160.0, 210.0])
@pytest.mark.parametrize("rate", [128.0, 250.0])
def test_rate_of_regular_beats(bpm: float, rate: float) -> None:
    signal = _spikes(np.arange(0.1, 6, 60 / bpm), 6, rate)
    assert float(heart_rate(signal, rate)) == pytest.approx(bpm, rel=0.004)


def test_scale_polarity_baseline_and_noise_change_little() -> None:
    signal = _spikes(np.arange(0.3, 8, 60 / 75), 8, 128)
    breath = 2 * torch.sin(2 * math.pi * 0.25 * torch.arange(len(signal)) / 128)
    noise = 0.05 * torch.randn(len(signal), generator=torch.Generator().manual_seed(0))
    for changed in (1000 * signal, -signal, signal + 7, signal + breath, signal + noise):
        assert float(heart_rate(changed, 128)) == pytest.approx(75, abs=0.3)


def test_rate_of_irregular_beats_is_about_their_mean() -> None:
    random = np.random.default_rng(0)
    beats = np.cumsum(60 / 75 + 0.03 * random.standard_normal(16))
    expected = 60 / np.diff(beats[beats < 10]).mean()
    assert float(heart_rate(_spikes(beats, 10, 128), 128)) == pytest.approx(expected, abs=2)


def test_a_smooth_pulse_with_a_second_wave() -> None:
    time = torch.arange(32 * 15) / 32
    pulse = torch.sin(2 * math.pi * 1.2 * time) + 0.5 * torch.sin(4 * math.pi * 1.2 * time + 1)
    assert float(heart_rate(pulse, 32)) == pytest.approx(72, rel=0.006)


def test_what_has_no_beats_has_no_rate() -> None:
    faint = 1e-9 * torch.sin(torch.linspace(0, 60, 512))
    batch = torch.stack([torch.zeros(512), torch.full((512,), 3.0), faint])
    assert heart_rate(batch, 128, torch.full((3,), 1e-2)).tolist() == [0, 0, 0]
    assert heart_rate(batch[:2], 128).tolist() == [0, 0]
    assert float(heart_rate(faint, 128)) == pytest.approx(float(heart_rate(1e9 * faint, 128)))
    assert float(heart_rate(faint + 1e-2, 128)) == 0  # rounding
    assert float(heart_rate(torch.sin(torch.arange(40.0)), 128)) == 0  # a third of a second has no two beats


def test_what_is_not_finite_is_not_a_rate_and_spoils_no_other() -> None:
    signal = _spikes(np.arange(0.1, 6, 0.75), 6, 128)
    bad = signal.clone()
    bad[5] = math.nan
    found = heart_rate(torch.stack([bad, signal]).reshape(2, 1, -1), 128)
    assert found.shape == (2, 1)
    assert math.isnan(found[0, 0])
    assert float(found[1, 0]) == pytest.approx(80, abs=0.3)


@pytest.mark.skipif(not (SHARED / "ecg" / "mitbih").is_dir(), reason="../shared/data/ecg is not there")
def test_rates_of_mit_bih_record_100_are_those_of_its_annotated_beats() -> None:
    wfdb = pytest.importorskip("wfdb")
    record = str(SHARED / "ecg" / "mitbih" / "100")
    lead = wfdb.rdrecord(record, channels=[0]).p_signal[:, 0]
    marks = wfdb.rdann(record, "atr")
    beats = np.array([at for at, kind in zip(marks.sample, marks.symbol, strict=True) if kind in "NAV"])
    window = 10 * 360
    starts = range(0, len(lead) - window, 4 * window)
    found = heart_rate(torch.from_numpy(np.stack([lead[start : start + window] for start in starts])), 360).numpy()
    true = np.array([60 * 360 / np.diff(beats[(beats >= s) & (beats < s + window)]).mean() for s in starts])
    assert len(found) == 45
    assert np.median(np.abs(found - true)) < 1
    assert np.abs(found - true).max() < 4


@pytest.mark.skipif(not (SHARED / "ecg").is_dir(), reason="../shared/data/ecg is not there")
def test_maternal_rate_of_the_daisy_recording() -> None:
    thoracic = np.loadtxt(SHARED / "ecg" / "FOETAL_ECG.dat")[:, 6:].T.copy()
    assert heart_rate(torch.from_numpy(thoracic), 250).tolist() == pytest.approx([81] * 3, abs=1)


@pytest.mark.parametrize("period", [16, 25])
def test_similarity_is_one_at_the_period_and_its_multiples_and_nowhere_more(period: int) -> None:
    beat = torch.randn(period, generator=torch.Generator().manual_seed(period), dtype=torch.float64)
    similarity = _similarity(beat.repeat(7)[None, : 6 * period + 5])[0]
    torch.testing.assert_close(similarity[: 4 * period : period], torch.ones(4, dtype=torch.float64))
    assert similarity.abs().max() <= 1 + 1e-9
    assert similarity[1:period].max() < 0.9


def test_similarity_is_that_of_the_definition() -> None:
    signal = torch.randn(2, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for lag in (0, 1, 7, 28):
        first, second = signal[:, : 30 - lag], signal[:, lag:]
        expected = 2 * (first * second).sum(1) / (first.square() + second.square()).sum(1)
        torch.testing.assert_close(_similarity(signal)[:, lag], expected)


def test_moving_mean_is_of_the_samples_that_there_are() -> None:
    ones = torch.ones(1, 9)
    torch.testing.assert_close(_moving_mean(ones, 5), ones)  # at the ends as well
    ramp = torch.arange(9.0)[None]
    assert _moving_mean(ramp, 5)[0].tolist() == [1, 1.5, 2, 3, 4, 5, 6, 6.5, 7]
    assert torch.equal(_moving_mean(ramp, 1.9), ramp)


def test_beats_at_the_ends_count_as_those_within() -> None:
    whole = _spikes(np.arange(0.1, 6, 60 / 75), 6, 128)
    assert float(heart_rate(whole + 1e4, 128)) == pytest.approx(float(heart_rate(whole, 128)), abs=1e-3)
