import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sepray import identity, registry
from sepray.contracts import Augmentation
from sepray.data.mixing import recording_folders
from sepray.errors import UsageError
from sepray.loading import load_task
from sepray.tasks import stems
from sepray.tasks.stems import Config

from .sounds import DATA, RATE, disjoint, heard, tone, write

SPLITS = ("train", "validation", "test")
STEMS = {"vocals": 1000, "drums": 1800, "bass": 200, "other": 2600}  # Hz of track 0; 20 more for each track
SMALL = Config(train=40, validation=10, test=10, item_samples=1024, sample_rate=RATE)


def fill(folder: Path, numbers: range, mixture: Path | None = None) -> None:
    for number in numbers:
        made = {stem: tone(frequency + 20 * number) for stem, frequency in STEMS.items()}
        for stem, signal in made.items():
            write(folder / f"Track {number}" / f"{stem}.wav", signal)
        write((mixture or folder) / f"Track {number}" / "mixture.wav", sum(made.values()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tracks")
    fill(made, range(10))
    return made


def tracks(config: Config, cache: Path, source: str = "vocals") -> dict[str, set[int]]:
    """Numbers of the tracks in each split."""
    data = config.load(cache)
    k = data.signal.sources.index(source)
    return {s: {(f - STEMS[source]) // 20 for f in heard(getattr(data, s).sources[:, k])} for s in SPLITS}


def test_splits_are_by_track(folder: Path, tmp_path: Path) -> None:
    found = tracks(replace(SMALL, folder=str(folder)), tmp_path)
    assert [len(found[split]) for split in SPLITS] == [7, 1, 2]
    assert disjoint(found.values())


def test_shares_are_those_of_the_configuration(folder: Path, tmp_path: Path) -> None:
    found = tracks(replace(SMALL, folder=str(folder), validation_share=0.2, test_share=0.4), tmp_path)
    assert [len(found[split]) for split in SPLITS] == [4, 2, 4]


def test_two_source_form_is_vocals_and_the_sum_of_the_others(folder: Path, tmp_path: Path) -> None:
    two = replace(SMALL, folder=str(folder)).load(tmp_path)
    four = replace(SMALL, folder=str(folder), sources=("vocals", "drums", "bass", "other")).load(tmp_path)
    assert two.signal.sources == ("vocals", "accompaniment")
    assert torch.equal(two.train.sources[:, 0], four.train.sources[:, 0])
    torch.testing.assert_close(two.train.sources[:, 1], four.train.sources[:, 1:].sum(1))
    torch.testing.assert_close(four.train.mixture, four.train.sources.sum(1))


def test_drums_against_an_instrumental_without_the_voice(folder: Path, tmp_path: Path) -> None:
    """NES 4.3: the instrumental is the bass and the rest; vocals are in no mixture, unless it is of all stems."""
    chosen = replace(SMALL, folder=str(folder), sources=("drums", "instrumental"))
    data = chosen.load(tmp_path)
    spectrum = np.abs(np.fft.rfft(data.test.sources[:, 1, 0].numpy(), n=RATE))
    numbers = [(f - STEMS["drums"]) // 20 for f in heard(data.test.sources[:, 0])]
    for item, number in enumerate(numbers):
        level = {stem: spectrum[item, frequency + 20 * number] for stem, frequency in STEMS.items()}
        assert level["bass"] > 20 * level["drums"]
        assert level["other"] > 20 * level["vocals"]
    torch.testing.assert_close(data.test.mixture, data.test.sources.sum(1))
    everything = replace(chosen, mixture="all").load(tmp_path).test
    left = (everything.mixture - everything.sources.sum(1))[:, 0]
    assert {(f - STEMS["vocals"]) // 20 for f in heard(left)} == set(numbers)
    only_drums = tmp_path / "only"
    for number in range(3):
        made = {stem: tone(frequency) for stem, frequency in STEMS.items() if stem != "vocals"}
        for stem, signal in made.items():
            write(only_drums / f"Track {number}" / f"{stem}.wav", signal * (1 + number))
    with pytest.raises(UsageError, match="has no vocals, which instrumental is without: bass, drums, other"):
        replace(chosen, folder=str(only_drums)).load(tmp_path)
    tried = replace(chosen, folder=recording_folders.SYNTHESISED, item_samples=500).load(tmp_path)
    assert tried.signal.sources == ("drums", "instrumental")


def test_test_figures_are_of_whole_tracks(folder: Path, tmp_path: Path) -> None:
    config = replace(SMALL, folder=str(folder), sources=("vocals", "drums", "bass", "other"))
    data = load_task(config, tmp_path)
    whole = data.scored("test")
    assert whole is data.tracks
    assert data.scored("validation") is data.validation
    assert len(whole) == 2
    assert {*whole.units} == {*data.test.units}
    for name, mixture, sources in zip(whole.names, whole.mixtures, whole.sources, strict=True):
        number = int(name.removeprefix("Track "))
        for k, stem in enumerate(("vocals", "drums", "bass", "other")):
            expected = tone(STEMS[stem] + 20 * number)[None]
            torch.testing.assert_close(sources[k], torch.from_numpy(expected).float(), atol=1e-6, rtol=0)
        torch.testing.assert_close(mixture, sources.sum(0))
    crops = load_task(replace(config, test_tracks=False), tmp_path)
    assert crops.tracks is None
    assert crops.scored("test") is crops.test
    assert torch.equal(crops.test.mixture, data.test.mixture)
    assert crops.fingerprint != data.fingerprint
    files = sorted(path.name for path in tmp_path.glob("stems-*.safetensors"))
    load_task(replace(config, train=30), tmp_path)
    assert len([n for n in files if n.startswith("stems-tracks")]) == len(
        [*tmp_path.glob("stems-tracks-*.safetensors")]
    )


def test_settings_that_are_stored_without_the_field_mean_crops() -> None:
    """Thus studies begun and models registered before are scored as they were."""
    before = identity.plain(replace(SMALL, test_tracks=False))
    assert "test_tracks" not in before
    assert registry.restored("sepray.tasks", "sepray.tasks.stems", before) == replace(SMALL, test_tracks=False)
    now = identity.plain(SMALL)
    assert now["test_tracks"] is True
    assert registry.restored("sepray.tasks", "sepray.tasks.stems", now) == SMALL


def test_accompaniment_is_the_mixture_without_vocals_where_there_is_no_other_stem(tmp_path: Path) -> None:
    for number in range(3):
        vocals, rest = tone(1000 + 20 * number), tone(200)
        write(tmp_path / "in" / f"{number}" / "vocals.flac", vocals, subtype="PCM_24")
        write(tmp_path / "in" / f"{number}" / "mixture.wav", vocals + rest)
    data = replace(SMALL, folder=str(tmp_path / "in")).load(tmp_path / "cache")
    assert set(heard(data.train.sources[:, 1])) == {200}
    assert float(data.train.sources[:, 1].square().mean()) == pytest.approx(0.2**2 / 2, rel=0.02)


def test_a_silent_stem_is_left_out_of_the_sum_and_refused_as_a_source(tmp_path: Path) -> None:
    fill(tmp_path / "in", range(4))
    write(tmp_path / "in" / "Track 1" / "drums.wav", np.zeros_like(tone(300)))
    config = replace(SMALL, folder=str(tmp_path / "in"))
    for mixture in ("chosen", "all"):
        loaded = replace(config, mixture=mixture).load(tmp_path / "cache")
        assert {f for s in SPLITS for f in heard(getattr(loaded, s).sources[:, 0])} == {1000, 1020, 1040, 1060}
    vocals = replace(config, sources=("vocals", "bass"), mixture="all").load(tmp_path / "cache")  # drums in the rest
    assert vocals.train.mixture.isfinite().all()
    with pytest.raises(UsageError, match=r"Track 1/drums\.wav is silent: all of its samples are 0; --task\.skip-bad"):
        replace(config, sources=("vocals", "drums")).load(tmp_path / "cache")
    for stem in ("bass", "other"):
        write(tmp_path / "in" / "Track 1" / f"{stem}.wav", np.zeros_like(tone(300)))
    with pytest.raises(UsageError, match=r"Track 1/bass\.wav is silent: all of its samples are 0 \(and 2 more\)"):
        config.load(tmp_path / "cache")


def test_a_source_is_unheard_where_all_of_its_stems_are_and_the_rest_may_be() -> None:
    vocals, bass, drums, other = ((1, stem) for stem in ("vocals", "bass", "drums", "other"))
    recipe = {"vocals": (vocals,), "accompaniment": (bass, drums), stems._REST: (other,)}
    found = {
        heard: stems._unheard_source(recipe, set(heard.split())) for heard in ("vocals bass", "bass", "vocals", "")
    }
    assert found == {"vocals bass": None, "bass": "vocals", "vocals": "accompaniment", "": "vocals"}
    kept = {"vocals": (vocals,), "accompaniment": (bass,), stems._REST: ()}
    assert stems._without_silence(recipe, {"bass"}) == kept


def test_mixture_of_all(folder: Path, tmp_path: Path) -> None:
    data = replace(SMALL, folder=str(folder), sources=("vocals", "drums"), mixture="all").load(tmp_path)
    rest = data.test.mixture - data.test.sources.sum(1)
    assert float(rest.square().mean()) == pytest.approx(2 * 0.2**2 / 2, rel=0.02)  # bass and other


def test_batches_have_crops_of_training_items_and_remixes(folder: Path, tmp_path: Path) -> None:
    config = replace(SMALL, folder=str(folder), sources=("vocals", "bass"))
    plain, remixed = config.load(tmp_path), replace(config, remix=0.5, remix_level=(-3, 2)).load(tmp_path)
    assert plain.train.mixture.shape == (40, 1, 2048)  # twice as long as an item
    assert plain.test.mixture.shape[2:] == plain.signal.shape == (1024,)
    assert plain.augmentation == Augmentation(crop=1024)
    assert remixed.augmentation == Augmentation(crop=1024, remix=0.5, remix_level=(-3, 2))
    assert torch.equal(plain.train.sources, remixed.train.sources)
    assert plain.fingerprint != remixed.fingerprint


def test_training_items_are_no_longer_than_the_shortest_track(folder: Path, tmp_path: Path) -> None:
    config = replace(SMALL, folder=str(folder), sources=("vocals", "bass"))
    longest = replace(config, stretch=1000).load(tmp_path)
    assert longest.train.mixture.shape[2] == min(len(soundfile.read(path)[0]) for path in folder.rglob("vocals.wav"))
    fixed = replace(config, stretch=1).load(tmp_path)
    assert fixed.train.mixture.shape == (40, 1, 1024)
    assert fixed.augmentation == Augmentation()


def test_stereo_keeps_its_channels_and_mono_is_their_mean(tmp_path: Path) -> None:
    for number in range(3):
        for stem in ("vocals", "bass"):
            write(tmp_path / "in" / f"{number}" / f"{stem}.wav", tone(STEMS[stem] + 20 * number), 0.5 * tone(3000))
    config = replace(SMALL, folder=str(tmp_path / "in"), sources=("vocals", "bass"))
    stereo = replace(config, channels=2).load(tmp_path / "cache")
    mono = config.load(tmp_path / "cache")
    assert stereo.test.mixture.shape == (10, 2, 1024)
    assert set(heard(stereo.train.sources[:, :, 1])) == {3000}
    torch.testing.assert_close(mono.train.sources, stereo.train.sources.mean(2, keepdim=True))


def test_dsd100_layout(tmp_path: Path) -> None:
    for subset, numbers in (("Dev", range(6)), ("Test", range(6, 10))):
        fill(tmp_path / "in" / "Sources" / subset, numbers, tmp_path / "in" / "Mixtures" / subset)
    found = tracks(replace(SMALL, folder=str(tmp_path / "in")), tmp_path / "cache")
    assert found["test"] == {6, 7, 8, 9}
    assert len(found["validation"]) == 1
    assert found["train"] | found["validation"] == set(range(6))


def test_musdb18_hq_layout(tmp_path: Path) -> None:
    fill(tmp_path / "in" / "train", range(6))
    fill(tmp_path / "in" / "test", range(6, 10))
    found = tracks(replace(SMALL, folder=str(tmp_path / "in")), tmp_path / "cache")
    assert found["test"] == {6, 7, 8, 9}
    assert found["train"] | found["validation"] == set(range(6))
    assert disjoint(found.values())


def test_a_validation_folder_is_the_validation_split(tmp_path: Path) -> None:
    for subset, numbers in (("train", range(5)), ("valid", range(5, 7)), ("test", range(7, 9))):
        fill(tmp_path / "in" / subset, numbers)
    found = tracks(replace(SMALL, folder=str(tmp_path / "in")), tmp_path / "cache")
    assert found == {"train": set(range(5)), "validation": {5, 6}, "test": {7, 8}}


def test_a_track_may_be_called_test(tmp_path: Path) -> None:
    fill(tmp_path / "in", range(4))
    (tmp_path / "in" / "Track 3").rename(tmp_path / "in" / "test")
    found = tracks(replace(SMALL, folder=str(tmp_path / "in")), tmp_path / "cache")
    assert set.union(*found.values()) == set(range(4))


def test_validation_tracks_of_musdb_are_the_validation_split(tmp_path: Path) -> None:
    official = sorted(recording_folders._MUSDB_VALIDATION)
    assert len(official) == 14
    for name in [*official, "Another - Track", "Another - One"]:
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "vocals.wav").touch()
    found = {Path(track.name).name: track.split for track in recording_folders.tracks_in(tmp_path)}
    assert [name for name, split in found.items() if split == "validation"] == official
    assert found["Another - Track"] == "train"


@pytest.mark.slow
def test_musdb18_stem_files(tmp_path: Path) -> None:
    pytest.importorskip("musdb", exc_type=(ImportError, RuntimeError), reason="needs musdb and ffmpeg")
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg")
    import stempeg

    for subset, numbers in (("train", (0, 1, 2)), ("test", (3,))):
        (tmp_path / "in" / subset).mkdir(parents=True)
        for number in numbers:
            order = ("drums", "bass", "other", "vocals")
            tones = [tone(STEMS[stem] + 20 * number, 0.5, 44100) for stem in order]
            stems = np.stack([sum(tones), *tones])[..., None].repeat(2, axis=2)
            if number == 1:
                stems[1] = 0  # drums
            path = tmp_path / "in" / subset / f"Track {number}.stem.mp4"
            stempeg.write_stems(str(path), stems, sample_rate=44100, writer=stempeg.StreamsWriter())
    assert tracks(replace(SMALL, folder=str(tmp_path / "in")), tmp_path / "cache")["test"] == {3}
    with pytest.raises(UsageError, match=r"Track 1\.stem\.mp4 has no sound in drums; --task\.skip-bad"):
        replace(SMALL, folder=str(tmp_path / "in"), sources=("vocals", "drums")).load(tmp_path / "cache")
    config = replace(SMALL, folder=str(tmp_path / "in"), sources=("vocals", "bass"))
    found = tracks(config, tmp_path / "cache")
    assert found["test"] == {3}
    assert disjoint(found.values())
    assert {(f - 200) // 20 for f in heard(config.load(tmp_path / "cache").test.sources[:, 1])} == {3}


def test_track_without_a_source_is_refused(folder: Path, tmp_path: Path) -> None:
    config = replace(SMALL, folder=str(folder), sources=("vocals", "piano"))
    message = r"Track 0 has no piano, only bass, drums, mixture, other, vocals \(and 9 more\); --task.skip-bad"
    with pytest.raises(UsageError, match=message):
        config.load(tmp_path)


def test_vocals_of_a_song(tmp_path: Path) -> None:
    if not (DATA / "vocals").is_dir():
        pytest.skip("needs ../shared/data/vocals")
    for number in ("001", "002", "003", "004", "005"):
        track = tmp_path / "in" / number
        track.mkdir(parents=True)
        shutil.copy(DATA / "vocals" / f"mix_{number}.wav", track / "mixture.wav")
        shutil.copy(DATA / "vocals" / f"vocal_{number}.wav", track / "vocals.wav")
    data = replace(SMALL, folder=str(tmp_path / "in"), item_samples=8000, skip_bad=True).load(tmp_path / "cache")
    torch.testing.assert_close(data.train.mixture, data.train.sources.sum(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ()}, "sources must be one or more, each once, not none"),
        ({"sources": ("a", "a")}, "sources must be one or more, each once, not a, a"),
        (
            {"sources": ("lead vocals", "a")},
            "sources must be names of letters (a-z, A-Z), digits, _ and - (not first), one is 'lead vocals'",
        ),
        ({"sources": ("mixture", "a")}, "sources must not be called mean or mixture, one is 'mixture'"),
        ({"sources": ("a",)}, "one source alone is no mixture: choose more, or mixture = all"),
        ({"mixture": "none"}, "mixture must be chosen or all, not 'none'"),
        ({"remix_level": (3, -3)}, "remix_level must be two rising numbers between -60 and 60, not (3, -3)"),
        ({"remix": 1.5}, "remix must be between 0 and 1, not 1.5"),
        ({"channels": 3}, "channels must be between 1 and 2, not 3"),
        ({"test": 1}, "test must be between 2 and 10000000, not 1"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Config(**changes)
    assert str(refusal.value) == message
