"""A recording is separated in memory, or into files that appear whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepray.errors import UsageError
from sepray.models import separation
from sepray.models.separation import separate

from .functions import model, shares_of_the_mixture

QUARTER = shares_of_the_mixture("models:/quarter/1", 0.25)
WAVE = np.sin(np.arange(400) / 9).astype(np.float32)


@pytest.mark.parametrize("values", [WAVE, np.stack([WAVE, -WAVE]), WAVE.astype(np.float64).tolist()])
def test_array_gives_arrays_of_its_shape_and_rate(values):
    found = separate(QUARTER, values, rate=64)
    assert list(found) == ["heart", "breath"]
    assert len(found) == 2
    for source in found:
        assert found[source].dtype == np.float32
        np.testing.assert_allclose(found[source], 0.25 * np.asarray(values), atol=1e-6)
    assert (found.name, found.model, found.rate) == ("recording", "models:/quarter/1", 64)
    assert (found.frames, found.channels) == (400, np.atleast_2d(values).shape[0])
    assert (found.clipped, found.picture, found.files) == ({"heart": 0, "breath": 0}, None, [])
    assert repr(found) == f"Separation('recording': 400 samples at 64 Hz, {found.channels} channel(s); heart, breath)"


def test_file_gives_channels_at_its_rate(tmp_path):
    time = np.arange(2560) / 256
    wave = 0.5 * np.stack([np.sin(2 * np.pi * 2 * time), np.cos(2 * np.pi * 3 * time)])
    soundfile.write("slow.wav", wave.T, 256, subtype="FLOAT")
    found = separate(QUARTER, tmp_path / "slow.wav", source="breath")
    assert list(found) == ["breath"]
    assert (found.name, found.rate, found.frames) == (str(tmp_path / "slow.wav"), 256, 2560)
    np.testing.assert_allclose(found["breath"][:, 200:-200], wave[:, 200:-200] / 4, atol=1e-3)
    assert not Path("slow.breath.wav").exists()


def test_files_are_written_in_place_of_arrays(tmp_path):
    soundfile.write("wave.wav", WAVE, 64, subtype="PCM_24")
    found = separate(QUARTER, "wave.wav", output="a/b", picture=True)
    expected = {name: Path("a/b") / f"wave.{name}.wav" for name in ("heart", "breath")}
    assert dict(found) == expected
    assert found.picture == Path("a/b/wave.png")
    assert found.files == [expected["breath"], expected["heart"], Path("a/b/wave.png")]
    assert sorted(Path("a/b").iterdir()) == found.files
    estimate, rate = soundfile.read(expected["heart"])
    assert (rate, soundfile.info(expected["heart"]).subtype) == (64, "PCM_24")
    np.testing.assert_allclose(estimate, 0.25 * WAVE, atol=1e-6)
    assert found.document == {
        "input": "wave.wav",
        "rate": 64.0,
        "frames": 400,
        "channels": 1,
        "model": "models:/quarter/1",
        "files": ["a/b/wave.breath.wav", "a/b/wave.heart.wav", "a/b/wave.png"],
        "notes": [],
    }


def test_array_is_written_with_its_number_type_and_shape():
    counts = np.stack([100 * WAVE, 8 * WAVE]).astype(np.int16)
    found = separate(QUARTER, counts, 64, output="out", source="heart")
    assert found.files == [Path("out/recording.heart.npy")]
    written = np.load("out/recording.heart.npy")
    assert written.dtype == np.int16
    assert np.abs(written - counts / 4).max() <= 0.5


def test_samples_beyond_the_number_type_are_counted():
    louder = shares_of_the_mixture("m", 2.0)
    counts = np.array([10, 70, -70, 63, 64, -64, -65] * 10, dtype=np.int8)
    found = separate(louder, counts, 64, output="out")
    assert found.clipped == {"heart": 40, "breath": 40}  # of 127 and -128: 140, -140, 128 and -130


def test_each_source_of_a_name_is_a_file_of_that_name():
    odd = model("m", lambda m: np.stack([m, -m], axis=1), sources=("a/b", "A b"))
    found = separate(odd, WAVE, 64, output="out")
    assert found.files == [Path("out/recording.A-b-2.npy"), Path("out/recording.a-b.npy")]  # not one in the other's
    np.testing.assert_allclose(np.load(found["A b"]), -WAVE, atol=1e-6)
    assert separate(odd, WAVE, 64, output="one", source="A b").files == [Path("one/recording.A-b-2.npy")]


@pytest.mark.parametrize("output", [None, "out"])
def test_progress_is_told_after_each_block(output):
    told = []
    separate(QUARTER, np.resize(WAVE, 5000), 64, output=output, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert told[-1] == (5000, 5000)
    assert told == sorted(told)
    assert told[0][0] < 5000


@pytest.mark.parametrize("output", [None, "out"])
def test_window_is_checked_and_used(output):
    shapes = set()

    def halves(mixture):
        shapes.add(mixture.shape[-1])
        return np.stack([mixture, mixture], axis=1)

    separate(model("m", halves), WAVE, 64, window=0.5, output=output)
    assert shapes == {32}
    with pytest.raises(UsageError, match=r"^window must be at least 0\.25 s"):
        separate(QUARTER, WAVE, 64, window=0.2, output=output)
    assert not list(Path().glob("out/.*"))


def test_failed_separation_leaves_nothing(monkeypatch):
    def broken(*_):
        raise ValueError("the picture cannot be drawn")

    monkeypatch.setattr(separation, "draw", broken)
    with pytest.raises(ValueError, match="the picture cannot be drawn"):
        separate(QUARTER, WAVE, 64, output="a/b", picture=True)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"recording": "none.wav"}, "there is no file none.wav"),
        ({"rate": None}, "recording does not say its rate; give rate, in Hz"),
        ({"rate": 0}, "a rate must be more than 0 Hz, not 0"),
        ({"recording": np.zeros(50)}, "recording is silent: all of its samples are 0"),
        (
            {"recording": np.zeros((2, 3, 4))},
            "recording must be [time] or [channel, time] of real numbers, not [2, 3, 4]",
        ),
        ({"recording": np.array([1, np.nan])}, "recording has a sample that is not a finite number, at 0.015625 s"),
        ({"recording": []}, "recording is empty: it has no samples"),
        ({"source": "lung"}, "models:/quarter/1 has no source 'lung'; it separates heart, breath"),
        ({"window": -1}, "window must be more than 0 seconds, not -1"),
        ({"picture": True}, "a picture is drawn into the folder of the files: give output too"),
        ({"model": "nowhere"}, "nowhere is neither a folder with a model"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"output": "file/below"}, "cannot write to file/below: "),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(given, line):
    Path("file").touch()
    with pytest.raises(UsageError) as refusal:
        separate(**{"model": QUARTER, "recording": WAVE, "rate": 64, **given})
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)


def test_model_is_loaded_from_where_it_is_said_to_be_and_after_the_recording(packaged, monkeypatch):
    asked = []
    monkeypatch.setattr(separation, "loaded", lambda *given: asked.append(given) or QUARTER)
    separate(packaged.half, WAVE, 64, tracking_uri="sqlite:///x.db", device="cpu")
    assert asked == [(packaged.half, "sqlite:///x.db", "cpu")]
    with pytest.raises(UsageError, match="there is no file none"):
        separate(packaged.half, "none.wav")
    assert len(asked) == 1


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_a_name_too_long_for_the_results_is_refused_before_separating(tmp_path, letter):
    stem = letter * (246 // len(letter.encode()))
    path = tmp_path / f"{stem}.npy"
    np.save(path, np.sin(np.arange(200)))
    with pytest.raises(UsageError, match=r"has too long a name: a result would be called .*; rename the recording$"):
        separate(shares_of_the_mixture("m", 0.5), path, 64, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shorter = path.rename(tmp_path / f"{stem[:-8]}.npy")
    assert separate(shares_of_the_mixture("m", 0.5), shorter, 64, output=tmp_path / "out").files


def test_what_the_user_should_know_is_told(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("time (s),II\n" + "".join(f"{k / 64 + (k > 100)},{np.sin(k):.4f}\n" for k in range(200)))
    found = separate(shares_of_the_mixture("m", 0.5), path, output=tmp_path / "out")
    assert list(found.notes) == found.document["notes"]
    assert found.notes[0].startswith("the recording has a gap of 1.016 s, 1.5625 s after the start")


def test_picture_shows_the_mixture_beside_the_estimates_without_its_offset(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(separation, "draw", lambda path, title, signals, rate, unit: drawn.update(signals))
    trained = shares_of_the_mixture("m", 0.5)
    trained.metadata = {**trained.metadata, "mixture_level": {"low": -1, "usual": 0, "high": 1}}
    monkeypatch.chdir(tmp_path)
    for offset, label in ((0, "mixture"), (2048, "mixture less 2048")):
        found = separate(trained, np.tile([0.0, 1, 0, -1, 0], 80) + offset, 64, output="out", picture=True)
        assert list(drawn) == [label, "heart", "breath"]
        assert (drawn[label].low.min(), drawn[label].high.max()) == (-1, 1)
        np.testing.assert_allclose(np.load(found["heart"]), np.tile([0, 0.5, 0, -0.5, 0], 80), atol=1e-3)
        drawn.clear()


def test_picture_shows_the_mixture_without_its_wander(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(separation, "draw", lambda path, title, signals, rate, unit: drawn.update(signals))
    trained = shares_of_the_mixture("m", 0.5)
    trained.metadata = {**trained.metadata, "mixture_level": {"low": -1, "usual": 0, "high": 1}}
    beats = np.tile([0.0, 1, 0, -1, 0], 80)
    found = separate(trained, beats + 2048 * (np.arange(400) >= 200), 64, output=tmp_path, picture=True)
    label = "mixture less its running median"
    assert max(-drawn[label].low.min(), drawn[label].high.max()) <= 2  # near the step, the median is a beat's
    assert found.notes[0].startswith("the level changes by more than in any training mixture")
