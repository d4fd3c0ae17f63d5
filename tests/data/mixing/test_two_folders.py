"""Two folders of recordings, one a source: what is mixed of them, what they are known by, and what is refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from sepray.contracts import SPLITS, TaskData
from sepray.data.mixing import mixtures, two_folders
from sepray.data.mixing.recording_folders import SYNTHESISED, RecordingDecoder
from sepray.data.mixing.two_folders import TwoFolders, check_config
from sepray.errors import UsageError


@dataclass(frozen=True)
class Config:
    voice: str = ""
    noise: str = ""
    level: tuple[float, float] = (6.0, 6.0)
    train: int = 6
    validation: int = 4
    test: int = 4
    item_samples: int = 10
    stretch: float = 2.0
    sample_rate: int = 1000
    validation_share: float = 0.25
    test_share: float = 0.25
    skip_bad: bool = False
    seed: int = 0


def write(folder: Path, *values: float, samples: int = 40) -> str:
    """Files that hold a number of samples and the value of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        (folder / f"{value:g}.wav").write_text(f"{samples} {value}")
    return str(folder)


def decode(file: Path, rate: int, channels: int) -> tuple[dict[str, tuple[int, ...]], Callable[..., None]]:
    if file.read_text() == "torn":
        raise UsageError(f"{file.name} is torn")
    samples, value = file.read_text().split()
    assert (rate, channels) == (1000, 1)
    signs = np.where(np.arange(int(samples)) % 2, 1, -1)

    def fill(out: dict[str, np.ndarray]) -> None:
        out["samples"][...] = float(value) * signs

    return {"samples": (1, int(samples))}, fill


def made(config: Config, **changes: object) -> TwoFolders:
    given = {
        "task": "my_mix",
        "sources": ("voice", "noise"),
        "needs": {"voice": "voices", "noise": "noises"},
        "config": config,
        "ratio": config.level,
        "decoder": RecordingDecoder(1, decode),
        "synthesise": lambda folder, seed: None,
    }
    return TwoFolders(**given | changes)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(write(tmp_path / "v", 1, 2, 3, 4), write(tmp_path / "n", 11, 12, 13, 14, 15, 16, 17, 18))


def values(data: TaskData, source: int) -> dict[str, set[float]]:
    return {split: set(getattr(data, split).sources[:, source].abs().flatten().tolist()) for split in SPLITS}


@dataclass(frozen=True)
class TracksConfig(Config):
    test_tracks: bool = True


def test_items_are_the_same_whether_or_not_whole_tracks_are_scored(config: Config, tmp_path: Path) -> None:
    given = TracksConfig(**vars(config))
    keys = [made(replace(given, test_tracks=tracks))._described(tmp_path)[0] for tracks in (True, False)]
    assert keys[0] == keys[1]
    told = keys[0]["config"]
    assert isinstance(told, dict)
    assert told.keys() == vars(config).keys() - {"voice", "noise"}  # folders are known by their files


def test_voice_keeps_its_level_and_noise_is_so_far_below_it(config: Config, tmp_path: Path) -> None:
    data = made(config).load(tmp_path / "cache")
    assert (data.signal.sources, data.signal.channels, data.signal.sample_rate) == (("voice", "noise"), 1, 1000)
    assert [getattr(data, split).sources.shape for split in SPLITS] == [(6, 2, 1, 20), (4, 2, 1, 10), (4, 2, 1, 10)]
    voices = values(data, 0)
    assert set.union(*voices.values()) <= {1, 2, 3, 4}
    assert sum(map(len, voices.values())) == len(set.union(*voices.values()))
    for split in SPLITS:
        ratio = getattr(data, split).sources.abs().amax((2, 3))
        np.testing.assert_allclose(ratio[:, 0] / ratio[:, 1], 10 ** (6 / 20), rtol=1e-6)
    assert data.augmentation.crop == 10


def test_groups_are_divided_by_their_shares_and_stay_together(config: Config, tmp_path: Path) -> None:
    groups = []

    def group(piece: object, source: str, below: Path) -> str:
        groups.append((source, below.as_posix()))
        return f"{source}{int(float(below.stem)) % 4}"  # 11 and 15, 12 and 16 ...

    folders = made(config, group=group)
    found = folders.recordings(tmp_path / "cache")
    assert [len(found[split]) for split in SPLITS] == [2 + 4, 1 + 2, 1 + 2]
    assert ("voice", "1.wav") in groups
    assert ("noise", "18.wav") in groups
    assert len(groups) == 12
    data = folders.load(tmp_path / "cache")
    assert data.unit_names == ("recordings", "groups")  # each voice is of a group of its own
    for split in SPLITS:
        own = getattr(data, split)
        loud = own.sources[:, 0].abs().amax((1, 2)).int().tolist()
        assert [voice for voice, _ in own.units] == [f"{split} voice{value % 4}" for value in loud]
    assert len({noise for _, noise in data.train.units}) <= 2
    alone = made(config).recordings(tmp_path / "cache2")
    assert [len(alone[split]) for split in SPLITS] == [2 + 4, 1 + 2, 1 + 2]
    other = made(replace(config, validation_share=0.01, test_share=0.4)).recordings(tmp_path / "cache3")
    assert [len(other[split]) for split in SPLITS] == [2 + 4, 1 + 1, 1 + 3]


def test_items_are_cut_once_for_the_same_files_and_configuration(config: Config, tmp_path: Path) -> None:
    cache, plans = tmp_path / "cache", []

    def load(given: Config, version: int = 1) -> TaskData:
        folders = made(given, decoder=RecordingDecoder(version, decode))
        before = set(cache.glob("my_mix-*")) if cache.exists() else set()
        data = folders.load(cache)
        plans.append(len(set(cache.glob("my_mix-*")) - before))
        return data

    first = load(config)
    assert load(config).fingerprint == first.fingerprint
    (tmp_path / "v").rename(tmp_path / "moved")
    load(replace(config, voice=str(tmp_path / "moved")))  # where files lie is no part of what they are
    load(replace(config, voice=str(tmp_path / "moved"), seed=1))
    load(replace(config, voice=str(tmp_path / "moved")), version=2)
    write(tmp_path / "moved", 5)
    load(replace(config, voice=str(tmp_path / "moved")))
    assert plans == [1, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_recording_that_cannot_be_used_is_refused_or_left_out(
    config: Config, tmp_path: Path, skip_bad: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "n" / "torn.wav").write_text("torn")
    write(tmp_path / "n", 19, samples=9)
    folders = made(replace(config, skip_bad=skip_bad))
    if not skip_bad:
        with pytest.raises(UsageError, match=r"^torn\.wav is torn \(and 1 more\); --task\.skip-bad leaves out"):
            folders.load(tmp_path / "cache")
        return
    noises = values(folders.load(tmp_path / "cache"), 1)
    assert capsys.readouterr().err == (
        f"left out: torn.wav is torn\nleft out: {tmp_path}/n/19.wav is shorter than an item: 0.009 s, not 0.01 s\n"
    )
    assert len(noises["train"]) > 0


def test_folder_without_a_usable_recording_is_named(config: Config, tmp_path: Path) -> None:
    empty = replace(config, noise=write(tmp_path / "empty"), skip_bad=True)
    with pytest.raises(UsageError) as refusal:
        made(empty).load(tmp_path / "cache")
    assert str(refusal.value) == f"recordings in {tmp_path}/empty: 0 usable, at least 1 are needed"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"voice": ""}, "--task.voice is missing: the task needs voices"),
        ({"noise": "/no/such"}, "there is no folder /no/such (--task.noise): the task needs noises"),
    ],
)
def test_folder_that_is_missing_is_asked_for(config: Config, tmp_path: Path, changes: dict, line: str) -> None:
    with pytest.raises(UsageError) as refusal:
        made(replace(config, **changes)).load(tmp_path / "cache")
    assert str(refusal.value) == line


def test_small_files_are_made_where_none_are_given(tmp_path: Path) -> None:
    seeds = []

    def synthesise(folder: Path, seed: int) -> None:
        seeds.append(seed)
        write(folder / "voice", 1, 2, 3)
        write(folder / "noise", 11, 12, 13)

    config = Config(SYNTHESISED, SYNTHESISED, seed=7)
    data = made(config, synthesise=synthesise).load(tmp_path)
    assert seeds == [7]  # both sources of one making
    assert (tmp_path / "synthesised-my-mix-7" / "noise" / "12.wav").is_file()
    assert set.union(*values(data, 0).values()) == {1, 2, 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_share": 0.01, "test_share": 0.4, "level": (-60.0, 60.0), "item_samples": 2, "stretch": 1}, None),
        ({"validation_share": 0.009}, "validation_share must be between 0.01 and 0.4, not 0.009"),
        ({"test_share": 0.41}, "test_share must be between 0.01 and 0.4, not 0.41"),
        ({"level": (-61.0, 0.0)}, "level must be two rising numbers between -60 and 60, not (-61.0, 0.0)"),
        ({"level": (0.0, 61.0)}, "level must be two rising numbers between -60 and 60, not (0.0, 61.0)"),
        ({"item_samples": 1}, "item_samples must be between 2 and 16777216, not 1"),
        ({"sample_rate": 999}, "sample_rate must be between 1000 and 192000, not 999"),
        ({"sample_rate": 192001}, "sample_rate must be between 1000 and 192000, not 192001"),
        ({"stretch": 0.9}, "stretch must be between 1 and 1000, not 0.9"),
        ({"train": 10**7 + 1}, "train must be between 2 and 10000000, not 10000001"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict, message: str | None) -> None:
    config = replace(Config(), **changes)
    if message is None:
        check_config(config, "level")
        return
    with pytest.raises(UsageError) as refusal:
        check_config(config, "level")
    assert str(refusal.value) == message


def test_versions_are_part_of_what_items_are_known_by(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(config).load(tmp_path / "cache")
    monkeypatch.setattr(mixtures, "VERSION", mixtures.VERSION + 1)
    made(config).load(tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("my_mix-*"))) == 2
    assert two_folders.RATIO_LIMITS == (-60, 60)
