"""The task `ecg` on WFDB records in the layout of the FECGSYN database."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.scoring import metrics
from sepray.signals.heart_rate import heart_rate
from sepray.tasks.ecg import Config

CONFIG = Config(train=20, validation=5, test=5, item_samples=504)
RATE = 250
SECONDS = 12


def _beats(bpm: float) -> np.ndarray:
    time = np.arange(RATE * SECONDS) / RATE
    return np.exp(-0.5 * np.square((time[:, None] - np.arange(0.2, SECONDS, 60 / bpm)) / 0.02)).sum(1)


def _write(folder: Path, name: str, kind: str, second: np.ndarray) -> None:
    """A record of two channels, the second of which is wanted."""
    wfdb = pytest.importorskip("wfdb")
    both = np.stack([np.linspace(-1, 1, len(second)), second], axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        f"{name}_{kind}", RATE, ["mV"] * 2, ["ch1", "ch2"], p_signal=both, fmt=["16"] * 2, write_dir=str(folder)
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Four subjects, each with two simulations: mothers at 70, 75 ... and fetuses at 120, 130 ... beats a minute."""
    root = tmp_path / "fecgsyndb"
    for k in range(4):
        for snr in ("snr00dB", "snr06dB"):
            folder, name = root / f"sub0{k + 1}" / snr, f"sub0{k + 1}_{snr}_l1_c0"
            noise = 0.02 * np.random.default_rng((k, len(snr))).standard_normal(RATE * SECONDS)
            gain = 1 + 0.1 * k + (snr == "snr06dB")
            _write(folder, name, "mecg", -0.4 * gain * _beats(70 + 5 * k))
            _write(folder, name, "fecg1", 0.05 * gain * (1 + (snr == "snr06dB")) * _beats(120 + 10 * k))
            if k:
                _write(folder, name, "noise1", noise)
    return replace(CONFIG, folder=str(root), channel=1)


def test_records_are_summed_resampled_and_in_units_of_the_mother(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path / "cache")
    assert data.signal.sources == data.signal.heart_sources == ("maternal", "fetal")
    assert (data.signal.shape, data.signal.sample_rate) == ((504,), 128)
    noises = []
    for split in (data.train, data.validation, data.test):
        noises += (split.mixture - split.sources.sum(1)).square().mean((1, 2)).sqrt().tolist()
        maternal, fetal = split.sources[:, 0, 0], split.sources[:, 1, 0]
        assert maternal.amin(1).max() < -0.8  # R peaks point down, as recorded
        assert maternal.amin() >= -1
        assert 0.1 < fetal.amax(1).min() < fetal.amax(1).max() < 0.27
        rates = heart_rate(split.sources[:, :, 0], 128)
        apart = (rates[:, 0] - 70) / 5, (rates[:, 1] - 120) / 10  # both number the subject
        assert (apart[0] - apart[1]).abs().max() < 0.3
    assert 0.005 < max(noises) < 0.06
    assert metrics.of(data.signal)["heart_rate_error"](data.test.sources, data.test.sources).max() == 0


def test_no_subject_is_in_two_splits(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path / "cache")
    subjects = [
        {round((float(rate) - 70) / 5) for rate in heart_rate(split.sources[:, 0, 0], 128)}
        for split in (data.train, data.validation, data.test)
    ]
    assert all(one.isdisjoint(other) for k, one in enumerate(subjects) for other in subjects[:k])
    assert data.unit_names == ("subjects",)
    for split, own in zip((data.train, data.validation, data.test), subjects, strict=True):
        assert set(split.units) == {(f"sub0{k + 1}",) for k in own}
    ids = config.recordings(tmp_path / "cache")
    assert {split: len(own) for split, own in ids.items()} == {"train": 4, "validation": 2, "test": 2}
    assert len({one for own in ids.values() for one in own}) == 8


def test_data_depend_on_the_seed_and_not_on_the_place(config: Config, tmp_path: Path) -> None:
    fingerprint = config.load(tmp_path / "cache").fingerprint
    assert config.load(tmp_path / "cache").fingerprint == fingerprint
    moved = Path(config.folder).rename(tmp_path / "moved")
    assert replace(config, folder=str(moved)).load(tmp_path / "cache").fingerprint == fingerprint
    assert replace(config, folder=str(moved), seed=1).load(tmp_path / "cache").fingerprint != fingerprint


def test_records_that_change_are_read_again_in_folders_of_any_name(config: Config, tmp_path: Path) -> None:
    moved = (Path(config.folder) / "sub01" / "snr00dB").rename(Path(config.folder) / "sub01" / "[1]")
    fingerprint = config.load(tmp_path / "cache").fingerprint
    _write(moved, "sub01_snr00dB_l1_c0", "mecg", -0.3 * _beats(75))
    assert config.load(tmp_path / "cache").fingerprint != fingerprint


def test_damaged_records_are_refused_or_left_out(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = sorted(Path(config.folder).rglob("*_fecg1.dat"))[:2]
    one.write_bytes(one.read_bytes()[:100])
    other.unlink()
    with pytest.raises(UsageError, match=r"fecg1\.hea is damaged or cut short: .*; --task\.skip-bad leaves") as refusal:
        config.load(tmp_path / "cache")
    assert str(one.with_suffix(".hea")) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    skipping = replace(config, skip_bad=True)
    skipping.load(tmp_path / "cache")
    told = capsys.readouterr().err
    assert "left out 2 of 8 records" in told
    assert str(other.with_suffix(".hea")) in told
    assert sum(map(len, skipping.recordings(tmp_path / "cache").values())) == 6


def test_what_cannot_be_used_is_said(config: Config, tmp_path: Path) -> None:
    for change, message in (
        ({"channel": 7}, "does not have the channel that is wanted; it has ch1, ch2"),
        ({"item_samples": 5000}, "has 1536 samples, fewer than an item's 5000"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(config, **change).load(tmp_path / "cache")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=f"{empty} holds no record in FECGSYN's layout"):
        replace(config, folder=str(empty)).load(tmp_path / "cache")
    name = sorted(Path(config.folder).rglob("*_fecg1.hea"))[0].name.removesuffix("_fecg1.hea")
    _write(next(Path(config.folder).rglob(f"{name}_mecg.hea")).parent, name, "fecg1", _beats(120)[:2000])
    with pytest.raises(UsageError, match=r"its records differ in length \(1536, 1024, 1536 samples\)"):
        config.load(tmp_path / "cache")


def test_synthetic_data_has_hearts_too(tmp_path: Path) -> None:
    from sepray.tasks.ecg import DEBUG

    data = DEBUG.load(tmp_path)
    assert data.signal.heart_sources == ("maternal", "fetal")
    assert torch.isfinite(metrics.score(data.test.sources, data.test.sources, data.signal)["heart_rate_error"]).all()


@pytest.mark.parametrize(("samples", "fits"), [(1536, True), (1537, False)])  # 12 s at 128 Hz are 1536 samples
def test_record_as_long_as_an_item_is_the_item(config: Config, tmp_path: Path, samples: int, fits: bool) -> None:
    asked = replace(config, item_samples=samples)
    if fits:
        assert asked.load(tmp_path / "cache").test.mixture.shape == (5, 1, 1536)
    else:
        with pytest.raises(UsageError, match="has 1536 samples, fewer than an item's 1537"):
            asked.load(tmp_path / "cache")
