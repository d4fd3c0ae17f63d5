import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sepray.errors import UsageError
from sepray.signals import decoding
from sepray.signals.decoding import Loaded
from sepray.signals.recordings import open_recording


def decoded(path: Path, rate: int, channels: int) -> NDArray[np.float32]:
    plan = decoding.of_file(path, rate, channels)
    out = {name: np.full(shape, np.nan, np.float32) for name, shape in plan.shapes.items()}
    plan.fill(out)
    return out["samples"]


def noise(channels: int, frames: int) -> NDArray[np.float32]:
    return 0.1 * np.random.default_rng(0).standard_normal((channels, frames)).astype(np.float32)


def test_tone_keeps_its_frequency_and_amplitude(tmp_path: Path) -> None:
    seconds = np.arange(44100) / 44100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 441 * seconds), 44100, subtype="FLOAT")
    found = decoded(tmp_path / "a.wav", 8000, 1)
    assert found.shape == (1, 8000)
    expected = 0.5 * np.sin(2 * np.pi * 441 * np.arange(8000) / 8000)
    np.testing.assert_allclose(found[0, 100:-100], expected[100:-100], atol=1e-3)


def test_mono_is_the_mean_of_the_channels(tmp_path: Path) -> None:
    signal = noise(2, 1000)
    soundfile.write(tmp_path / "a.wav", signal.T, 8000, subtype="FLOAT")
    np.testing.assert_array_equal(decoded(tmp_path / "a.wav", 8000, 2), signal)
    np.testing.assert_allclose(decoded(tmp_path / "a.wav", 8000, 1)[0], (signal[0] + signal[1]) / 2, atol=1e-8)


def test_what_cannot_be_had_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", noise(1, 100).T, 8000)
    with pytest.raises(UsageError, match=r"mono\.wav has 1 channel, not 2"):
        decoded(tmp_path / "mono.wav", 8000, 2)
    with pytest.raises(UsageError, match=r"mono\.wav has 8000 Hz, and a change from that to 7999 Hz"):
        decoded(tmp_path / "mono.wav", 7999, 1)
    soundfile.write(tmp_path / "slow.wav", noise(1, 100).T, 1)
    with pytest.raises(UsageError, match=r"slow\.wav has a rate of 1 Hz; sounds need 1000 Hz or more"):
        decoded(tmp_path / "slow.wav", 8000, 1)
    np.save(tmp_path / "a.npy", noise(1, 100))
    with pytest.raises(UsageError, match=r"a\.npy has a rate of 12\.5 Hz, which is not a whole number"):
        decoding.of_recording(open_recording(tmp_path / "a.npy", 12.5), 100, 1)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((1, 9)), "a.mp4 (bass) is silent: all of its samples are 0"),
        (np.array([[0, np.nan]]), "a.mp4 (bass) has a sample that is not a finite number"),
        (np.zeros((2, 0)), "a.mp4 (bass) is empty: it has no samples"),
    ],
)
def test_loaded_samples_are_looked_at(samples: NDArray[np.float64], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Loaded(Path("a.mp4"), 8000, samples.astype(np.float32), "bass")
    assert str(refusal.value) == message


def test_stem_files_need_musdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "musdb", None)
    with pytest.raises(UsageError, match=r"a\.stem\.mp4 can be read with musdb \(pip install 'sepray\[musdb\]'\)"):
        decoding.of_stem_file(tmp_path / "a.stem.mp4", 8000, 1)


def test_stem_file_is_read(tmp_path: Path) -> None:
    pytest.importorskip("musdb", exc_type=(ImportError, RuntimeError), reason="needs musdb and ffmpeg")
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg")
    import stempeg

    path = tmp_path / "a.stem.mp4"
    seconds = np.arange(44100) / 44100
    tones = [np.sin(2 * np.pi * f * seconds) for f in (200, 300, 400, 500)]  # drums, bass, other, vocals
    stems = 0.2 * np.stack([sum(tones), *tones])[..., None].repeat(2, axis=2)
    stempeg.write_stems(str(path), stems, sample_rate=44100, writer=stempeg.StreamsWriter())
    plan = decoding.of_stem_file(path, 8000, 1)
    out = {name: np.zeros(shape, np.float32) for name, shape in plan.shapes.items()}
    plan.fill(out)
    for name, frequency in (("drums", 200), ("bass", 300), ("other", 400), ("vocals", 500)):
        spectrum = np.abs(np.fft.rfft(out[name][0, :8000]))
        assert spectrum.argmax() == frequency  # of 8000 samples at 8 kHz, bins are 1 Hz apart
    np.testing.assert_allclose(out["mixture"], sum(v for k, v in out.items() if k != "mixture"), atol=0.05)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match=r"a\.stem\.mp4 is no stem file that can be read"):
        decoding.of_stem_file(path, 8000, 1)


@pytest.mark.parametrize(
    "content", [b"#EXTM3U\n#EXTINF:10,\nfile:///other/pipe\n", b"ffconcat version 1.0\nfile b.mp4\n", b""]
)
def test_a_list_of_other_files_is_no_stem_file(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """ffmpeg would open the files that it names, wherever they lie, and wait for a pipe among them."""
    monkeypatch.setitem(sys.modules, "musdb", types.ModuleType("musdb"))
    path = tmp_path / "a.stem.mp4"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.stem\.mp4 is no stem file that can be read: it is no MP4$"):
        decoding.of_stem_file(path, 8000, 1)
