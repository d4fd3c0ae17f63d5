import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Supervision
from sepray.errors import UsageError
from sepray.loading import load_task
from sepray.tasks import piano_mix
from sepray.tasks.speech_noise import Config
from sepray.training import augmentation
from sepray.training.views import view

from .sounds import DATA, RATE, disjoint, heard, tone, write

SPLITS = ("train", "validation", "test")


def folders(made: Path, speech: dict[str, float], noise: dict[str, float]) -> Config:
    for source, files in (("speech", speech), ("noise", noise)):
        for name, frequency in files.items():
            write(made / source / f"{name}.wav", tone(frequency, 1.0))
    small = Config(train=60, validation=20, test=20, item_samples=1024, sample_rate=RATE)
    return replace(small, speech=str(made / "speech"), noise=str(made / "noise"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    speech = {f"{k}": 300.0 + 20 * k for k in range(10)}
    return folders(tmp_path, speech, {f"{k}": 2000.0 + 20 * k for k in range(6)})


def test_no_recording_of_either_is_in_two_splits(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path / "cache")
    assert data.signal.sources == ("speech", "noise")
    for k, first, count in ((0, 300, 10), (1, 2000, 6)):
        found = [{(f - first) // 20 for f in heard(getattr(data, split).sources[:, k])} for split in SPLITS]
        assert disjoint(found)
        assert set.union(*found) == set(range(count))


@pytest.mark.parametrize("task", ["speech_noise", "piano_mix"])
def test_shares_are_those_of_the_configuration(task: str, tmp_path: Path) -> None:
    config = folders(tmp_path, {f"{k}": 300.0 + 20 * k for k in range(10)}, {f"{k}": 2000.0 + 20 * k for k in range(5)})
    if task == "piano_mix":
        sizes = {name: getattr(config, name) for name in ("train", "validation", "test", "item_samples", "sample_rate")}
        config = piano_mix.Config(piano=config.speech, others=config.noise, **sizes)
    recordings = replace(config, validation_share=0.2, test_share=0.4).recordings(tmp_path / "cache")
    assert [len(recordings[split]) for split in SPLITS] == [4 + 2, 2 + 1, 4 + 2]


def test_ratio_is_exact_and_speech_keeps_its_level(config: Config, tmp_path: Path) -> None:
    for snr in ((0.0, 0.0), (-5.0, 10.0)):
        data = replace(config, snr=snr).load(tmp_path / "cache")
        power = data.train.sources.double().square().mean((2, 3))
        ratio = 10 * torch.log10(power[:, 0] / power[:, 1])
        assert float(ratio.min()) >= snr[0] - 1e-4
        assert float(ratio.max()) <= snr[1] + 1e-4
        assert float(ratio.max() - ratio.min()) >= 0.8 * (snr[1] - snr[0])
        assert power[:, 0].sqrt().numpy() == pytest.approx(0.2 / 2**0.5, rel=0.05)
        assert torch.equal(data.train.mixture, data.train.sources.sum(1))


@pytest.mark.parametrize(("subfolders", "speaker"), [(True, ""), (False, "^[0-9]+_([a-z]+)_")])
def test_no_speaker_is_in_two_splits(subfolders: bool, speaker: str, tmp_path: Path) -> None:
    speech = {}
    for k, name in enumerate("abcde"):
        for take in range(4):
            speech[f"{name}/{take}" if subfolders else f"{take}_{name}_0"] = 300.0 + 100 * k + 20 * take
    config = folders(tmp_path, speech, {f"{k}": 2000.0 + 20 * k for k in range(6)})
    data = replace(config, speaker=speaker).load(tmp_path / "cache")
    speakers = [{(f - 300) // 100 for f in heard(getattr(data, split).sources[:, 0])} for split in SPLITS]
    assert [len(several) for several in speakers] == [3, 1, 1]
    assert disjoint(speakers)


def test_takes_of_a_clip_stay_together(config: Config, tmp_path: Path) -> None:
    noise = {f"1-{clip}-{take}": 2000.0 + 100 * clip + 20 * take for clip in range(5) for take in range(4)}
    config = folders(tmp_path / "more", {f"{k}": 300.0 + 20 * k for k in range(6)}, noise)
    data = replace(config, clip="^[0-9]-([0-9]+)-").load(tmp_path / "cache")
    assert disjoint({(f - 2000) // 100 for f in heard(getattr(data, s).sources[:, 1])} for s in SPLITS)


def test_one_recording_of_noise_is_cut_into_stretches(tmp_path: Path) -> None:
    config = folders(tmp_path, {f"{k}": 300.0 + 20 * k for k in range(5)}, {})
    # 1000 Hz at its start, 1500 Hz at its end
    rising = np.sin(2 * np.pi * np.cumsum(np.linspace(1000, 1500, 4 * RATE)) / RATE)
    write(tmp_path / "noise" / "long.wav", 0.2 * rising)
    data = config.load(tmp_path / "cache")
    found = {split: heard(getattr(data, split).sources[:, 1]) for split in SPLITS}
    assert min(found["train"]) >= 1000
    assert max(found["train"]) <= 1350 <= min(found["validation"]) + 10
    assert max(found["validation"]) <= 1400 <= min(found["test"]) + 10
    assert any("[0:22400]" in one for one in config.recordings(tmp_path / "cache")["train"])  # 70 % of 32,000


def test_stretches_too_short_for_an_item_are_refused(tmp_path: Path) -> None:
    config = folders(tmp_path, {f"{k}": 300.0 + 20 * k for k in range(5)}, {"one": 2000})
    with pytest.raises(UsageError, match=r"one\.wav is too short to be divided among .* 800 samples for validation"):
        config.load(tmp_path / "cache")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr": (3.0, 0.0)}, "snr must be two rising numbers between -60 and 60, not (3.0, 0.0)"),
        ({"speaker": "("}, "speaker is no regular expression: missing ), unterminated subpattern at position 0"),
        ({"clip": "[0-9]+"}, "clip must have a group, in brackets, not '[0-9]+'"),
        ({"test_share": 0.9}, "test_share must be between 0.01 and 0.4, not 0.9"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Config(**changes)
    assert str(refusal.value) == message


def test_arctic_and_dishes(tmp_path: Path) -> None:
    if not (DATA / "speech").is_dir():
        pytest.skip("needs ../shared/data/speech")
    for file in (DATA / "speech").glob("*.wav"):
        folder = tmp_path / ("noise" if "dishes" in file.name else "speech")
        folder.mkdir(exist_ok=True)
        shutil.copyfile(file, folder / file.name)
    config = Config(str(tmp_path / "speech"), str(tmp_path / "noise"), train=20, validation=5, test=5)
    data = config.load(tmp_path / "cache")
    assert data.signal.shape == (8000,)  # half a second
    power = data.test.sources.double().square().mean((2, 3))
    assert (power[:, 0] / power[:, 1]).numpy() == pytest.approx(1, rel=1e-4)
    assert len(config.recordings(tmp_path / "cache")["test"]) == 2  # one utterance, and the last fifth of the dishes


def decibels(sources: torch.Tensor) -> torch.Tensor:
    levels = sources.square().mean((-2, -1)).sqrt()
    return 20 * (levels[:, 0] / levels[:, 1]).log10()


def test_crops_that_are_trained_on_have_the_stated_ratio(config: Config, tmp_path: Path) -> None:
    """Speech that comes and goes: a random crop of a longer item would have another ratio."""
    for path in sorted(Path(config.speech).glob("*.wav")):
        envelope = 0.2 + np.abs(np.sin(np.arange(RATE) * (3 + int(path.stem)) / RATE))
        write(path, tone(300.0 + 20 * int(path.stem), 1.0) * envelope)
    for snr in ((0.0, 0.0), (5.0, 5.0)):
        data = replace(config, snr=snr).load(tmp_path / "cache")
        seen = view(data.train, Supervision.PAIRED, torch.Generator())
        how = (data.augmentation, Supervision.PAIRED, torch.Generator().manual_seed(0))
        batch = augmentation.batch(seen, torch.arange(60), *how)
        torch.testing.assert_close(decibels(batch["sources"]), torch.full((60,), snr[0]), atol=1e-3, rtol=0)
    longer = replace(config, stretch=3.0).load(tmp_path / "cache")
    seen = view(longer.train, Supervision.PAIRED, torch.Generator())
    batch = augmentation.batch(seen, torch.arange(60), longer.augmentation, *how[1:])
    assert decibels(batch["sources"]).std() > 0.3


def test_test_figures_are_of_whole_recordings_of_speech_with_as_much_noise(config: Config, tmp_path: Path) -> None:
    for number in range(6):  # shorter than the speech, so repeated
        write(Path(config.noise) / f"{number}.wav", tone(2000.0 + 20 * number, 0.3))
    data = load_task(replace(config, snr=(3.0, 3.0)), tmp_path / "cache")
    whole = data.tracks
    assert len(whole) == len({unit[0] for unit in whole.units}) == 2  # of ten speakers
    assert {unit[0] for unit in whole.units} == {unit[0] for unit in data.test.units}
    for name, mixture, sources in zip(whole.names, whole.mixtures, whole.sources, strict=True):
        expected = tone(300.0 + 20 * int(name), 1.0)[None]
        torch.testing.assert_close(sources[0], torch.from_numpy(expected).float(), atol=1e-6, rtol=0)
        torch.testing.assert_close(decibels(sources[None]), torch.tensor([3.0]), atol=1e-3, rtol=0)
        torch.testing.assert_close(mixture, sources.sum(0))
    assert len(load_task(replace(config, test=2), tmp_path / "cache").tracks) == 2
    assert len(load_task(replace(config, test=2, test_share=0.4), tmp_path / "cache").tracks) == 2
