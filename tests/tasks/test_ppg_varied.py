"""``ppg:varied``: morphologies, the breath in baseline, amplitude and rate, drift and motion; the same for a seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sepray import registry
from sepray.contracts import Augmentation
from sepray.identity import plain
from sepray.loading import load_task
from sepray.scoring import beat_scores
from sepray.signals.heart_rate import heart_rate
from sepray.tasks.ppg_varied import DEBUG, Config, pulses

ITEMS = 400
STILL = Config(train=ITEMS, validation=2, test=2, drift=(0, 0), noise=(0, 0), motion=0, remix=0)
EVEN = replace(STILL, modulation=(0, 0), arrhythmia=(0, 0))

# Every 31st sample of an item of each class in steps of 2**-14: the mixture and its sources.
VALUES = [
    [
        [-17610, -26729, 924, -1780, -10269, 4419, -2893, 7347],
        [-3536, 61, -3240, -3336, -2957, -3671, 4069, -3875],
        [1454, -136, -1083, 1531, -3695, 3262, -4916, 4400],
    ],
    [
        [-7103, 11280, -335, -2971, -6845, -3499, -2498, -11971],
        [-5195, -5988, -107, 9548, -3370, -6062, -2863, 6176],
        [2306, 15357, 52, -15481, 323, 15513, 1179, -14378],
    ],
    [
        [12624, -4261, -11159, 14947, 891, 3393, 16143, -16207],
        [12405, -4568, 639, -3961, -2830, 9185, -4691, 2656],
        [6891, 4624, -15624, 15624, -4543, -7188, 11019, -14501],
    ],
    [
        [5142, -33106, -33398, 4348, 11871, 22346, -6219, 292],
        [3016, -4362, -478, 8487, -4186, -4621, 265, -837],
        [8747, -5868, -15401, -9141, 9121, 15337, 5186, -9592],
    ],
]  # fmt: skip


def test_names_and_seeds(tmp_path):
    assert registry.config("sepray.tasks", "ppg:varied") == Config()
    assert registry.restored("sepray.tasks", "sepray.tasks.ppg", plain(Config(seed=3))) == Config(seed=3)
    data, again = load_task(DEBUG, tmp_path), DEBUG.load(tmp_path)
    assert (data.train.mixture.shape, data.augmentation) == ((24, 1, 248), Augmentation(remix=0.75))
    assert (again.fingerprint, torch.equal(again.test.mixture, data.test.mixture)) == (data.fingerprint, True)
    for changes in ({"seed": 1}, {"remix": 0.5}, {"motion": 1.0}):
        assert replace(DEBUG, **changes).load(tmp_path).fingerprint != data.fingerprint
    recordings = DEBUG.recordings(tmp_path)
    everything = [one for split in recordings.values() for one in split]
    assert len(set(everything)) == len(everything) == 80
    found = torch.cat([data.train.mixture[:4, :, ::31], data.train.sources[:4, :, 0, ::31]], 1)
    np.testing.assert_allclose((found * 2**14).numpy(), VALUES, atol=1.1)


def test_pulses_are_of_four_classes():
    found = pulses(np.random.default_rng(0), 4000).reshape(-1, 4, 256)
    assert (found.min(-1) == 0).all()
    assert (found.max(-1) == 1).all()
    rises, flattest = np.zeros((2, 250, 4))
    for k, item in np.ndindex(4, 250):
        pulse = np.roll(found[item, k], -int(found[item, k].argmax()))
        steps = np.diff(pulse[: int(pulse.argmin())])
        rises[item, k], flattest[item, k] = (steps > 1e-9).any(), steps[20:70].max()
    assert rises[:, 0].all()  # a notch, after which it rises again
    assert rises[:, 1].mean() < 0.4
    assert flattest[:, 1].mean() > -0.003 > flattest[:, 2].mean()  # a plateau, and a bend
    assert not rises[:, 2:].any()
    width = (found > 0.5).mean(axis=(0, 2))  # of a beat
    assert width[3] > width[0] + 0.08


def test_true_beats_are_the_tops_of_the_pulses(tmp_path):
    data = replace(EVEN, train=40).load(tmp_path)
    split = data.train
    assert bool(split.beats[:, 1].isnan().all())
    for signal, times in zip(split.sources[:, 0, 0].double().numpy(), split.beats[:, 0].numpy(), strict=True):
        times = times[np.isfinite(times)]
        inner = times[(times > 0.3) & (times < 15.4)]
        heights = np.interp(inner, np.arange(504) / 32, signal)
        assert heights.min() > 0.75 * signal.max()  # a top lies between two samples
        assert len(times) == pytest.approx(15.75 / np.median(np.diff(times)), abs=1.1)
    scores = beat_scores.score(split.sources, split.sources, data.signal, split.beats)
    assert scores["beat_f1"][:, 0].mean() > 0.97


def test_rates_and_the_breath_in_the_baseline(tmp_path):
    sources = EVEN.load(tmp_path).train.sources[:, :, 0]
    rates = heart_rate(sources[:, 0], 32)
    assert 44 < rates.min() < 50
    assert 143 < rates.max() < 151
    height = (sources[:, 1].amax(1) - sources[:, 1].amin(1)) / 2
    assert 0.045 < height.min() < 0.08 < 0.95 < height.max() <= 1.001
    power = torch.fft.rfft(sources[:, 1].double() - sources[:, 1].mean(1, keepdim=True)).abs()
    breaths = power.argmax(1) * 60 / 15.75
    assert breaths.min() >= 7
    assert breaths.max() <= 31


def test_the_breath_is_in_the_pulses_amplitude_and_rate(tmp_path):
    def spread(config):
        """Relative spread of the peaks' heights, and of their distances, in each item."""
        found = []
        for signal in config.load(tmp_path).train.sources[:60, 0, 0].numpy():
            signal = np.interp(np.arange(0, 504, 0.1), np.arange(504), signal)
            inner = (signal[1:-1] > signal[:-2]) & (signal[1:-1] >= signal[2:]) & (signal[1:-1] > 0.5 * signal.max())
            peaks = np.flatnonzero(inner) + 1
            peaks = peaks[np.diff(peaks, prepend=-100) > 60]
            found.append(
                (np.std(signal[peaks]) / np.mean(signal[peaks]), np.std(np.diff(peaks)) / np.mean(np.diff(peaks)))
            )
        return np.median(found, axis=0)

    fast = replace(EVEN, heart_bpm=(80, 80))
    still = spread(fast)
    strong = spread(replace(fast, modulation=(0.3, 0.3)))
    swaying = spread(replace(fast, arrhythmia=(0.08, 0.08)))
    assert strong[0] > 0.15 > 3 * still[0]
    assert swaying[1] > 0.04 > 1.5 * still[1]


@pytest.mark.parametrize(
    ("changes", "low", "high"), [({"drift": (0.02, 1.0)}, 0.03, 0.97), ({"noise": (0.0, 0.05)}, 0.002, 0.048)]
)
def test_drift_and_noise_have_their_strength(changes, low, high, tmp_path):
    items = replace(STILL, **changes).load(tmp_path).train
    spread = (items.mixture - items.sources.sum(1))[:, 0].std(-1)
    end = next(iter(changes.values()))[1]
    assert spread.min() < low
    assert high < spread.max() < 1.12 * end
    assert torch.equal(STILL.load(tmp_path).train.mixture, STILL.load(tmp_path).train.sources.sum(1))


def test_some_mixtures_have_a_motion_of_seconds(tmp_path):
    items = replace(STILL, motion=0.3).load(tmp_path).train
    rest = (items.mixture - items.sources.sum(1))[:, 0]
    moved = rest.abs().amax(1) > 0
    assert moved.float().mean().item() == pytest.approx(0.3, abs=0.07)
    seconds = (rest[moved] != 0).sum(1) / 32
    assert seconds.max() <= 4.1
    assert rest[moved].abs().amax(1).max() > 2
