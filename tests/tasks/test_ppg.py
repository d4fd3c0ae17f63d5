"""Synthetic PPG, and PPG of the pulses in recordings."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import find_peaks

from sepray.contracts import TaskData
from sepray.errors import UsageError
from sepray.scoring import metrics
from sepray.signals.heart_rate import heart_rate
from sepray.tasks.ppg import DEBUG, Config

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "ppg"
CONFIG = Config(train=40, validation=10, test=60)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    return CONFIG.load(tmp_path_factory.mktemp("ppg"))


def test_signal(data: TaskData) -> None:
    assert data.signal.sources == ("heart", "respiration")
    assert data.signal.heart_sources == ("heart",)
    assert (data.signal.shape, data.signal.sample_rate) == ((504,), 32)


def test_hearts_and_breaths_have_the_rates_asked_for(data: TaskData) -> None:
    heart, breath = data.test.sources[:, 0, 0], data.test.sources[:, 1, 0]
    rates = heart_rate(heart, 32)
    assert 58 < rates.min() < 68
    assert 92 < rates.max() < 103  # the mean rate of 16 s of a heart that varies by up to 8%
    peaks = [find_peaks(one, prominence=0.5 * float(one.max()))[0] for one in breath.numpy()]
    assert all(2 <= len(p) <= 6 for p in peaks)
    breaths = np.array([60 * 32 / np.diff(p).mean() for p in peaks])
    assert 11.4 <= breaths.min() < 14
    assert 18 < breaths.max() <= 20.8


def test_levels(data: TaskData) -> None:
    heart, breath = data.test.sources[:, 0, 0], data.test.sources[:, 1, 0]
    span = heart.amax(1) - heart.amin(1)
    assert (span > 0.95).all()  # from foot to peak, less what falls between two samples
    assert (span <= 1.001).all()
    assert heart.mean(1).abs().max() < 0.05
    assert 0.09 < breath.amax(1).min() < 0.2
    assert 0.4 < breath.amax(1).max() <= 0.5001
    noise = data.test.mixture[:, 0] - data.test.sources.sum(1)[:, 0]
    assert 0.008 < noise.std(1).max() < 0.012
    quiet = replace(CONFIG, noise=(0, 0)).load(Path())
    assert torch.equal(quiet.test.mixture, quiet.test.sources.sum(1))


def test_ranges_are_those_of_the_configuration() -> None:
    ranges = {"heart_bpm": (80.0, 80.0), "breaths": (30.0, 30.0), "breath_amplitude": (2.0, 2.0), "noise": (0.25, 0.25)}
    data = replace(CONFIG, **ranges).load(Path())
    heart, breath = data.test.sources[:, 0, 0], data.test.sources[:, 1, 0]
    assert 77 < heart_rate(heart, 32).min() <= heart_rate(heart, 32).max() < 83
    assert [round(float(level), 2) for level in (breath.amax(1).min(), breath.amax(1).max())] == [2, 2]
    crossings = ((breath[:, :-1] < 0) & (breath[:, 1:] >= 0)).sum(1)  # 15.75 s of half a breath a second
    assert set(crossings.tolist()) <= {7, 8}
    noise = (data.test.mixture - data.test.sources.sum(1)).std()
    assert float(noise) == pytest.approx(0.25, rel=0.02)


def test_a_pulse_rises_fast_falls_slowly_and_has_a_second_wave(data: TaskData) -> None:
    heart = data.test.sources[:, 0, 0].numpy()
    steepest = np.diff(heart, axis=1)
    assert (steepest.max(1) > -1.1 * steepest.min(1)).mean() > 0.5
    late = 0
    for one in heart:
        peaks, _ = find_peaks(one, height=0.8 * one.max())
        fall = [one[a:b] for a, b in pairwise(peaks)]
        late += any(len(find_peaks(-np.abs(np.diff(part)))[0]) > 1 for part in fall)
    assert late > 0.5 * len(heart)


def test_inspiration_is_the_shorter_part(data: TaskData) -> None:
    rising = (data.test.sources[:, 1, 0].diff(dim=1) > 0).double().mean(1)
    assert 0.25 < rising.mean() < 0.5


def test_the_mixture_still_shows_the_heart_rate_and_another_signal_does_not(data: TaskData) -> None:
    estimate = data.test.mixture[:, None].expand_as(data.test.sources)
    assert (
        float(metrics.score(data.test.sources, data.test.sources, data.signal, data.test.beats)["beat_f1"][:, 0].mean())
        > 0.98
    )
    error = metrics.of(data.signal)["heart_rate_error"](estimate, data.test.sources)
    assert error[:, 0].mean() < 1
    assert error[:, 1].isnan().all()
    other = metrics.of(data.signal)["heart_rate_error"](data.test.sources.roll(1, 0), data.test.sources)
    assert other[:, 0].mean() > 5


def _pulse_train(kind: str, seconds: float = 20, rate: float = 100) -> np.ndarray:
    """PPG of one person: a pulse of a form of its own, 75 a minute."""
    phase = np.arange(round(seconds * rate)) / rate * 1.25 % 1
    place, width = {"early": (0.2, 0.06), "late": (0.35, 0.1), "broad": (0.4, 0.14)}[kind]
    return np.exp(-0.5 * ((phase - place) / width) ** 2) + 0.3 * np.exp(-0.5 * ((phase - place - 0.35) / 0.1) ** 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    wfdb = pytest.importorskip("wfdb")
    made = tmp_path / "recordings"
    made.mkdir()
    np.savetxt(made / "early.csv", _pulse_train("early"))
    times = np.arange(1000) / 50
    rows = np.stack([times, _pulse_train("late", rate=50)], axis=1)
    np.savetxt(made / "late.csv", rows, delimiter=",", header="time,ppg", comments="")
    both = np.stack([np.sin(times), _pulse_train("broad", rate=50)], axis=1)
    names = ["chest_ecg", "wrist_ppg"]
    wfdb.wrsamp("s1_walk", 50, ["mV", "mV"], names, p_signal=both, fmt=["16", "16"], write_dir=str(made))
    return made


def test_pulses_of_recordings_are_used_each_in_one_split(folder: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, references=str(folder))
    data = config.load(tmp_path / "cache")
    assert data.fingerprint == config.load(tmp_path / "cache").fingerprint != CONFIG.load(tmp_path).fingerprint
    ids = config.recordings(tmp_path / "cache")
    everything = [one for own in ids.values() for one in own]
    assert len(everything) == len(set(everything))
    units = [set(getattr(data, name).units) for name in ("train", "validation", "test")]
    assert sorted(units, key=str) == [{("early.csv",)}, {("late.csv",)}, {("s1",)}]
    # The share of a cycle that lies above half of the height tells the three forms apart.
    above = {}
    for name in ("train", "validation", "test"):
        heart = getattr(data, name).sources[:, 0, 0]
        low, high = heart.amin(1, keepdim=True), heart.amax(1, keepdim=True)
        above[name] = ((heart - low) / (high - low) > 0.5).double().mean(1)
    middle = sorted(float(values.mean()) for values in above.values())
    assert middle[0] < 0.2 < middle[1] < 0.3 < middle[2]
    assert all(float(values.std()) < 0.03 for values in above.values())


def test_rate_of_files_that_do_not_say_it_is_the_configurations(folder: Path) -> None:
    samples = _pulse_train("early", rate=25)
    np.savetxt(folder / "early.csv", samples)
    config = replace(CONFIG, references=str(folder), reference_rate=25)
    assert len(config._pulses(folder / "early.csv")) > 15  # of 20 s with 75 beats a minute
    assert len(config._pulses(folder / "late.csv")) > 15  # its time column says 50 Hz
    assert len(replace(config, reference_rate=100)._pulses(folder / "early.csv")) < 15  # no heart beats 300 a minute


def test_damaged_recordings_are_refused_or_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savetxt(folder / "fourth.csv", _pulse_train("late")[::-1])
    (folder / "flat.csv").write_text("1\n1\n1\n")
    (folder / "s2_rest.hea").write_text("no header\n")
    config = replace(CONFIG, references=str(folder))
    with pytest.raises(UsageError, match=rf"{folder}/flat.csv is silent.*; --task.skip-bad") as refusal:
        config.load(tmp_path / "cache")
    assert "\n" not in str(refusal.value)
    replace(config, skip_bad=True).load(tmp_path / "cache")
    told = capsys.readouterr().err
    assert "left out 2 of 6 recordings" in told
    assert "flat.csv" in told
    assert "s2_rest.hea" in told
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UsageError, match=f"{folder} holds no recording"):
        config.load(tmp_path / "cache")


def test_too_few_recordings_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "late.csv").unlink()
    with pytest.raises(UsageError, match="2 recordings cannot be divided among three splits"):
        replace(CONFIG, references=str(folder)).load(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train", 0, "train must be between 2 and 1000000, not 0"),
        ("heart_bpm", (100, 60), "heart_bpm must be two rising numbers between 30 and 240, not (100, 60)"),
        ("breaths", (1, 20), "breaths must be two rising numbers between 4 and 60, not (1, 20)"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        replace(DEBUG, **{field: value})
    assert str(refusal.value) == message


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/ppg is not there")
def test_real_recordings(tmp_path: Path) -> None:
    config = replace(CONFIG, references=str(SHARED))
    data = config.load(tmp_path)
    assert data.train.mixture.isfinite().all()
    assert heart_rate(data.test.sources[:, 0, 0], 32).min() > 57
