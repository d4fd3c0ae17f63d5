import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.numpy import load_file

from sepray.contracts import TaskData
from sepray.data import synthetic_ecg
from sepray.data.synthetic_ecg import RecordingSpec
from sepray.errors import UsageError
from sepray.tasks.ecg import DEBUG, Config

from ..data.beats import mean_bpm

# Recordings and items as long as the default ones, but few.
CONFIG = Config(train=60, validation=20, test=20, train_recordings=3, validation_recordings=1, test_recordings=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ecg")


@pytest.fixture(scope="module")
def data(cache: Path) -> TaskData:
    return CONFIG.load(cache)


@pytest.fixture(scope="module")
def recordings(data: TaskData, cache: Path) -> dict[str, NDArray[np.float32]]:
    (path,) = cache.iterdir()
    return dict(load_file(path))


def test_recordings_beat_at_the_rates_asked_for(recordings: dict[str, NDArray[np.float32]]) -> None:
    counts = {"train": 3, "validation": 1, "test": 1}
    for source, low, high in (("maternal", 80, 90), ("fetal", 120, 160)):
        rates = [mean_bpm(one) for split in counts for one in recordings[f"{split}/{source}"]]
        assert all(low - 0.5 <= rate <= high + 0.5 for rate in rates)
        assert max(rates) - min(rates) > 0.1 * (high - low)
    assert {name: one.shape for name, one in recordings.items()} == {
        f"{split}/{source}": (count, 1920) for split, count in counts.items() for source in ("maternal", "fetal")
    }


def test_recordings_are_normalised(recordings: dict[str, NDArray[np.float32]]) -> None:
    for several in recordings.values():
        assert several.max(axis=1).tolist() == [1] * len(several)
        np.testing.assert_allclose(np.median(several, axis=1), 0, atol=2**-14)


def test_items_are_crops_of_their_own_split_at_the_ratios_asked_for(
    data: TaskData, recordings: dict[str, NDArray[np.float32]]
) -> None:
    windows = {name: sliding_window_view(several, 504, axis=1).reshape(-1, 504) for name, several in recordings.items()}
    ratios = []
    for split in ("train", "validation", "test"):
        units = getattr(data, split).units
        for (maternal, fetal), unit in zip(getattr(data, split).sources[:, :, 0].numpy(), units, strict=True):
            for other in ("train", "validation", "test"):
                found = (windows[f"{other}/maternal"] == maternal).all(axis=1).any()
                assert found == (other == split)
            candidates = windows[f"{split}/fetal"]
            scale = candidates @ fetal / np.square(candidates).sum(axis=1)
            error = np.square(fetal).sum() - scale**2 * np.square(candidates).sum(axis=1)
            best = error.argmin()
            np.testing.assert_allclose(fetal, scale[best] * candidates[best], atol=1e-6)
            starts = len(candidates) // len(recordings[f"{split}/fetal"])
            mother = (windows[f"{split}/maternal"] == maternal).all(axis=1).argmax() // starts
            assert unit == (f"{split} {mother}", f"{split} {best // starts}")
            ratios.append(1 / scale[best])
    assert 2 <= min(ratios) < 2.8
    assert 9.2 < max(ratios) <= 10
    assert np.mean(ratios) == pytest.approx(6, abs=1)


def test_noise_is_a_sinusoid_and_in_the_mixture_alone(data: TaskData) -> None:
    seconds = np.arange(504) / 128
    frequencies = np.arange(0.15, 0.5, 0.0005)
    waves = 2 * math.pi * frequencies[:, None] * seconds
    basis = np.stack((np.sin(waves), np.cos(waves)), axis=2)  # [frequency, time, 2]
    inverse = np.linalg.pinv(basis)
    amplitudes, found = [], []
    for mixture, sources in zip(data.test.mixture[:, 0].double(), data.test.sources[:, :, 0].double(), strict=True):
        noise = (mixture - sources.sum(0)).numpy()
        weights = inverse @ noise
        errors = np.sqrt(np.square(noise - (basis @ weights[..., None])[..., 0]).mean(axis=1))
        best = errors.argmin()
        amplitudes.append(float(np.hypot(*weights[best])))
        found.append(float(frequencies[best]))
        assert errors[best] < 0.01 * amplitudes[-1]
    assert 0.0199 < min(amplitudes) < 0.04 < 0.08 < max(amplitudes) < 0.1005
    assert 0.15 <= min(found) < 0.25 < 0.4 < max(found) <= 0.5


def test_without_noise_the_sources_are_the_mixture(cache: Path, data: TaskData) -> None:
    quiet = replace(CONFIG, noise_amplitude=(0, 0)).load(cache)
    assert torch.equal(quiet.train.mixture, quiet.train.sources.sum(1))
    assert torch.equal(quiet.train.sources, data.train.sources)
    assert quiet.fingerprint != data.fingerprint


def test_cached_recordings_are_not_made_again(cache: Path, data: TaskData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_ecg, "synthesise_all", lambda *_: pytest.fail("recorded again"))
    assert CONFIG.load(cache).fingerprint == data.fingerprint
    longer = replace(CONFIG, train=70, item_samples=600, amplitude_ratio=(1, 1), noise_frequency=(1, 2))
    assert longer.load(cache).train.mixture.shape == (70, 1, 600)


def test_damaged_cache_is_made_again(tmp_path: Path) -> None:
    fingerprint = DEBUG.load(tmp_path).fingerprint
    (path,) = tmp_path.iterdir()
    sound = path.read_bytes()
    path.write_bytes(sound[:-100] + bytes(100))
    assert DEBUG.load(tmp_path).fingerprint == fingerprint
    assert path.read_bytes() == sound


@pytest.mark.slow
def test_two_processes_at_once_make_the_same(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sepray.tasks.ecg import DEBUG;"
        "print(DEBUG.load(Path(sys.argv[1])).fingerprint)"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "shared")],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]
    fingerprints = [run.communicate(timeout=50)[0].strip() for run in runs]
    assert fingerprints == [DEBUG.load(tmp_path / "alone").fingerprint] * 2
    assert len(list((tmp_path / "shared").iterdir())) == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train", 0, "train must be between 2 and 10000000, not 0"),
        ("validation_recordings", -1, "validation_recordings must be between 1 and 100000, not -1"),
        ("item_samples", 1921, "item_samples must be between 2 and 1920, not 1921"),
        ("test", 2.5, "test must be a whole number between 2 and 10000000, not 2.5"),
        ("sample_rate", 8, "sample_rate must be between 64 and 4096, not 8"),
        ("recording_seconds", math.nan, "recording_seconds must be between 2 and 1023, not nan"),
        ("maternal_bpm", (90, 80), "maternal_bpm must be two rising numbers between 30 and 240, not (90, 80)"),
        ("fetal_bpm", (120, 500), "fetal_bpm must be two rising numbers between 30 and 240, not (120, 500)"),
        ("bpm_std", -1.0, "bpm_std must be between 0 and 5, not -1.0"),
        ("amplitude_ratio", (0, 10), "amplitude_ratio must be two rising numbers between 0.001 and 1000, not (0, 10)"),
        ("noise_frequency", (0.1, 65), "noise_frequency must be two rising numbers between 0 and 64.0, not (0.1, 65)"),
        ("noise_amplitude", (0.1,), "noise_amplitude must be two rising numbers between 0 and 1000, not (0.1,)"),
        ("seed", -1, "seed must be between 0 and 9223372036854775807, not -1"),
    ],
)
def test_values_out_of_range_are_refused_in_one_line(field: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        replace(Config(), **{field: value})
    assert str(refusal.value) == message


def test_defaults_are_those_that_the_docstrings_give() -> None:
    config = Config()
    assert (config.maternal_bpm, config.fetal_bpm, config.amplitude_ratio) == (
        (80, 90),
        (120, 160),
        (2, 10),
    )  # CASS 4.1
    assert (config.noise_frequency, config.noise_amplitude) == ((9 / 60, 30 / 60), (0.02, 0.1))


def test_recordings_are_made_as_the_configuration_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RecordingSpec] = []

    def synthesise_all(specs: list[RecordingSpec]) -> list[NDArray[np.float32]]:
        asked.extend(specs)
        return [np.full(spec.samples, spec.key[2] + 10 * spec.key[1], np.float32) for spec in specs]

    monkeypatch.setattr(synthetic_ecg, "synthesise_all", synthesise_all)
    config = replace(
        DEBUG, maternal_bpm=(61, 62), fetal_bpm=(141, 142), bpm_std=0.5, sample_rate=100, seed=3, recording_seconds=2.5
    )
    data = config.load(tmp_path)
    assert {spec[:1] + spec[3:] for spec in asked} == {(3, 0.5, 100, 2.5)}
    assert {spec.key: spec.bpm for spec in asked} == {
        (split, source, index): ((61, 62), (141, 142))[source]
        for split, count in enumerate((2, 1, 1))
        for source in (0, 1)
        for index in range(count)
    }
    assert data.train.sources[:, 0].unique().tolist() == [0, 1]  # the maternal ones
    assert (data.train.sources[:, 1] >= 10 / 10).all()  # the fetal ones, 10 and 11, over a ratio of 10 at most


def test_noise_and_ratio_are_drawn_from_the_ranges_of_the_configuration(cache: Path) -> None:
    config = replace(CONFIG, amplitude_ratio=(4, 4), noise_frequency=(2, 2), noise_amplitude=(0.5, 0.5))
    data = config.load(cache)
    noise = (data.test.mixture - data.test.sources.sum(1))[:, 0].double()
    spectrum = torch.fft.rfft(noise[:, :448]).abs()  # 3.5 s: 7 periods of 2 Hz
    assert set(spectrum.argmax(1).tolist()) == {7}
    torch.testing.assert_close(spectrum[:, 7] / 224, torch.full((20,), 0.5, dtype=torch.float64), rtol=0, atol=1e-3)
    fetal = CONFIG.load(cache).test.sources[:, 1], data.test.sources[:, 1]
    assert not torch.equal(*fetal)
    assert data.test.sources[:, 1].amax() <= 0.25
