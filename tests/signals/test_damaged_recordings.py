"""Headers and cells that state the impossible are refused in one line; each was found by changing good files."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepray.signals import decoding, recordings, wfdb_files
from sepray.signals.recording_types import (
    RateError,
    RecordingError,
    block_length,
    check_change,
    check_promise,
    check_rate,
)
from sepray.signals.recordings import open_recording, recordings_below

from ..hostile.readers import edf, wfdb_record, wfdb_segments
from .copies import TONE, read


def refused(path: Path, rate: float | None = None) -> str:
    """Return the line that refuses a recording, which is without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(ValueError, match=path.name) as refusal:
            open_recording(path, rate)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("rate", [1e-4, 2e9, float("nan"), float("inf"), -1])
def test_rates_that_no_recording_has_are_refused(rate):
    with pytest.raises(
        RecordingError, match=r"^x says that its rate is .* Hz, and rates are between 0.001 and 1e\+09 Hz$"
    ):
        check_rate(rate, "x")


def test_rates_up_to_the_limits_are_taken():
    check_rate(1e-3, "x")
    check_rate(1e9, "x")
    check_change(4, 256, "x")
    check_change(50_000, 1, "x")
    for rate, new in ((4, 257), (50_001, 1)):
        with pytest.raises(RecordingError, match="too far from the"):
            check_change(rate, new, "x")


def test_a_given_rate_has_the_same_limits(tmp_path):
    np.save(tmp_path / "a.npy", TONE)
    for rate in (1e-4, 2e9):
        with pytest.raises(RecordingError, match=r"^a rate must be between 0.001 and 1e\+09 Hz, not "):
            open_recording(tmp_path / "a.npy", rate)


def test_promises_are_held_against_the_bytes_of_the_file():
    check_promise(1 << 23, 0, 1, "x")
    check_promise(64e6, 10**6, 64, "x")
    with pytest.raises(
        RecordingError, match=r"^x is damaged or truncated: it promises 6.5e.07 samples, and has 1000000 bytes$"
    ):
        check_promise(65e6, 10**6, 64, "x")


def test_blocks_of_many_channels_are_shorter(tmp_path):
    assert [block_length(1 << 16, channels) for channels in (1, 64, 128, 1 << 23)] == [1 << 16, 1 << 16, 1 << 15, 1]
    values = np.arange(100 * 200, dtype=np.float32).reshape(100, 200) % 77
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read(open_recording(tmp_path / "a.npy", 10)), values)


def test_levels_keep_no_blocks(tmp_path, monkeypatch):
    """A view of a few samples would hold the block that they are in, and so the whole recording."""
    monkeypatch.setattr(recordings, "_LEVEL_SAMPLES", 10)
    kept: list[np.ndarray] = []
    join = np.concatenate
    monkeypatch.setattr(recordings.np, "concatenate", lambda parts: kept.extend(parts) or join(parts))
    soundfile.write(tmp_path / "a.wav", TONE, 8000)
    open_recording(tmp_path / "a.wav")
    assert kept
    assert all(part.base.size == part.size for part in kept)  # one channel of what was copied


@pytest.mark.parametrize("value", [2e30, -1e35])
def test_samples_that_no_instrument_measures_are_refused(tmp_path, value):
    np.save(tmp_path / "a.npy", np.array([0.0, value], np.float32))
    assert refused(tmp_path / "a.npy", 10).endswith(f"has a sample of {abs(value):.3g}, which is no measured value")


def test_numbers_beyond_float32_are_no_numbers(tmp_path):
    np.save(tmp_path / "a.npy", np.array([0.0, 1e300]))
    (tmp_path / "a.csv").write_text("1,2\n1e300,3\n")
    for name in ("a.npy", "a.csv"):
        assert "has a sample that is not a finite number, at " in refused(tmp_path / name, 10)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff{'descr': '<f8'}", "is no NPY file that can be read: its header is too long"),
        (b"\x93NUMPY\x01\0\x20\0" + b"(" * 32, "is no NPY file that can be read, or is truncated: "),
        (
            b"\x93NUMPY\x01\0\x20\0" + b"[lambda: 0, *{}, 'a' 'b' - 1j]   ",
            "is no NPY file that can be read, or is truncated: ",
        ),
        (b"PK\x03\x04", "is no NPY file that can be read, or is truncated: "),
    ],
)
def test_npy_headers_of_any_content(tmp_path, content, why):
    (tmp_path / "a.npy").write_bytes(content)
    assert why in refused(tmp_path / "a.npy", 10)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"4       1       2   ", b"4       nan     2   ", "its header says what cannot be"),
        (b"4       1       2   ", b"4       -1      2   ", "its header says what cannot be"),
        (b"4       1       2   ", b"4       1e-300  2   ", "says that its rate is 2.5e+302 Hz"),
        (b"4       1       2   ", b"4       1       -2  ", "its header "),
        (b"4       1       2   ", b"99999999999     2   ", "is truncated: 99999999 records were promised"),
        (b"768     ", b"-5      ", "its header says what cannot be"),
        (b"250     25      ", b"-250    25      ", "its header says what cannot be"),
        (b"-2      -2      ", b"nan     -2      ", "its header says what cannot be"),
        (b"-2      -2      ", b"-1e999  -2      ", "its header says what cannot be"),
    ],
)
def test_edf_headers_of_any_content(tmp_path, old, new, why):
    good = edf()
    assert old in good
    (tmp_path / "a.edf").write_bytes(good.replace(old, new, 1))
    assert why in refused(tmp_path / "a.edf")


def lay(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder / "r.hea"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"r 2 250 1000", b"r 2 250 99999999999", "is damaged or truncated: it promises 2e"),
        (b"r 2 250 1000", b"r 2 5000000000 1000", "says that its rate is 5e+09 Hz"),
        (b"r 2 250 1000", b"r 2 0 1000", "says that its rate is 0 Hz"),
        (b"r.dat 16 ", b"r.dat 16:999999999 ", "is damaged or truncated: it promises 2e"),
        (b"r.dat", b"../r.dat", "is "),
        (b"r.dat", b"9" * 300, "is "),
    ],
)
def test_wfdb_headers_of_any_content(tmp_path, old, new, why):
    pytest.importorskip("wfdb")
    parts = wfdb_record()
    header = lay(tmp_path, {**parts, "r.hea": parts["r.hea"].replace(old, new, 1)})
    assert why in refused(header)
    assert recordings_below(tmp_path) == [header] or b"r.dat" not in new


@pytest.mark.parametrize("segments", [b"a 1000\na 1000\n", b"r 1000\nb 1000\n"])
def test_wfdb_records_of_themselves_are_refused(tmp_path, segments):
    pytest.importorskip("wfdb")
    header = lay(tmp_path, {**wfdb_segments(), "r.hea": b"r/2 2 250 2000\n" + segments})
    assert refused(header).endswith("r.hea is no sound WFDB header: it names a segment more than once")


def test_names_in_a_wfdb_header_stay_in_its_folder(tmp_path):
    header = tmp_path / "r.hea"
    header.write_text("r 5\n../x 16\n/etc/passwd 16\n. 16\n.. 16\na/b 16\n" + "x" * 201 + " 16\ny.dat 16\n")
    assert wfdb_files.files_of(header) == {tmp_path / "y.dat"}


@pytest.mark.parametrize(
    "devices",
    [
        "[" * 20_000,
        {"d": {"column": 5, "label": ["A"]}},
        {"d": {"column": ["a"], "label": {"A": 1}}},
        {"d": {"label": ["A"]}},
    ],
)
def test_comments_that_are_no_opensignals_header_are_comments(tmp_path, devices):
    comment = devices if isinstance(devices, str) else json.dumps(devices)
    (tmp_path / "a.txt").write_text(f"# {comment}\n5\t1\n3\t2\n9\t4\n")
    assert read(open_recording(tmp_path / "a.txt", 10)).shape == (2, 3)


@pytest.mark.parametrize("time", ["9" * 400, "1e308", "nan", "inf", "-" + "9" * 400])
def test_times_that_are_none_give_no_rate(tmp_path, time):
    (tmp_path / "a.csv").write_text(f"time (s),lead\n0,1\n{time},2\n1,3\n")
    with pytest.raises(RateError):
        open_recording(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("1," * 5000 + "\n", "has 5000 columns, and a table has at most 4096"),
        (
            "1,2\n" * 20_000 + "3" * (3 << 20),
            "is not a table of numbers in text (CSV): a line of it is more than a megabyte",
        ),
        ("1,2\n" * 9 + '"1\n",' * 100, "is not a table of numbers in text (CSV)"),
    ],
    ids=["columns", "endless line", "endless row"],
)
def test_tables_without_an_end_are_refused(tmp_path, content, why):
    (tmp_path / "a.csv").write_text(content)
    assert refused(tmp_path / "a.csv", 10).endswith(why)


def test_stem_files_are_as_long_as_their_bytes_allow(tmp_path, monkeypatch):
    pytest.importorskip("musdb", exc_type=(ImportError, RuntimeError), reason="needs musdb and ffmpeg")
    stempeg = pytest.importorskip("stempeg")
    path = tmp_path / "a.stem.mp4"
    stems = np.stack([TONE] * 5)[..., None].repeat(2, axis=2).repeat(20, axis=1)
    stempeg.write_stems(str(path), stems, sample_rate=8000, writer=stempeg.StreamsWriter())
    assert decoding.of_stem_file(path, 8000, 1).shapes["mixture"][1] >= 20_000
    monkeypatch.setattr(decoding, "_STEM_SECONDS", 1.0)
    monkeypatch.setattr(decoding, "_STEM_BYTES", path.stat().st_size)
    with pytest.raises(
        RecordingError, match=r"a\.stem\.mp4 is no stem file that can be read: it promises 2.* s, and has"
    ):
        decoding.of_stem_file(path, 8000, 1)


def test_what_is_decoded_otherwise_another_time_is_refused(tmp_path, monkeypatch):
    """A damaged MP3 frame is decoded to whatever lay in memory: numbers when it is checked, none when it is used."""
    soundfile.write(tmp_path / "a.mp3", TONE, 8000)
    recording = open_recording(tmp_path / "a.mp3")
    decode = soundfile.SoundFile.blocks
    monkeypatch.setattr(soundfile.SoundFile, "blocks", lambda *a, **k: (block * np.nan for block in decode(*a, **k)))
    with pytest.raises(RecordingError, match=r"a\.mp3 is damaged: it is decoded to what is no number"):
        list(recording.blocks())
