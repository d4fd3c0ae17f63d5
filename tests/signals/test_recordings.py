"""Opening a recording: its kind is found, and what is damaged is refused."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from sepray.signals import recordings
from sepray.signals.recording_types import RecordingError
from sepray.signals.recordings import SUFFIXES, open_recording

from .copies import TONE, copy, read


@pytest.mark.parametrize("name", ["tone.wav", "tone.npy", "tone.csv"])
def test_kind_is_found_by_content_where_there_is_no_suffix(tmp_path, name):
    path = tmp_path / name
    if name == "tone.wav":
        soundfile.write(path, TONE, 128)
    elif name == "tone.npy":
        np.save(path, TONE)
    else:
        np.savetxt(path, TONE)
    recording = open_recording(path.rename(tmp_path / "input"), rate=128)
    assert (recording.suffix, recording.frames) == (path.suffix, 1000)
    np.testing.assert_allclose(read(recording)[0], TONE, atol=2**-15)


def test_damaged_files_are_refused(tmp_path):
    np.save(tmp_path / "tone.npy", TONE)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "tone.npy").read_bytes()[:2000])
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    np.save(tmp_path / "sideways.npy", np.zeros((1000, 2)))
    for name, line in (
        ("cut.npy", r"^cut\.npy is no NPY file that can be read, or is truncated: "),
        ("ragged.csv", r"^ragged\.csv has 1 columns in line 3, but 2 before$"),
        ("binary.csv", r"^binary\.csv is not a table of numbers in text \(CSV\)$"),
        ("sideways.npy", r"^sideways\.npy is 1000 channels of 2 samples; it must be \[channel, time\]: transpose it$"),
    ):
        with pytest.raises(RecordingError, match=line):
            open_recording(tmp_path / name, rate=9, name=name)
    with pytest.raises(RecordingError, match=r"is a folder, not a recording$"):
        open_recording(tmp_path)


@pytest.mark.parametrize("suffix", [".hea", ".HEA"])
def test_what_is_no_file_is_told(tmp_path, suffix):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        RecordingError, match=r"pipe is no plain file, .*: write it to one, or give - for standard input$"
    ):
        open_recording(tmp_path / "pipe")
    with pytest.raises(RecordingError, match=r"there is no file .*b$"):
        open_recording(tmp_path / ("b" * 253))
    with pytest.raises(RecordingError, match=r"^there is no file a$"):
        open_recording(tmp_path / "a", name="a")
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(RecordingError, match=rf"^there is no file a; the WFDB record of that name is a\{suffix}$"):
        open_recording(tmp_path / "a", name="a")


@pytest.mark.parametrize("index", [0, 99, 100, 250])
def test_time_of_a_sample_that_is_not_finite_is_counted_over_all_blocks(tmp_path, index):
    samples = np.stack([TONE, TONE])
    samples[1, index] = np.inf
    np.save(tmp_path / "tone.npy", samples)
    with pytest.raises(RecordingError) as refusal:
        open_recording(tmp_path / "tone.npy", rate=1000, name="tone")
    assert str(refusal.value) == f"tone has a sample that is not a finite number, at {index / 1000:.6g} s"


def test_blocks_that_are_silent_each_are_no_silence_together(tmp_path):
    samples = np.repeat([0.0, 1.0], 100)
    np.save(tmp_path / "steps.npy", samples)
    assert open_recording(tmp_path / "steps.npy", rate=1).frames == 200
    np.save(tmp_path / "steps.npy", np.full(200, 0.5))
    with pytest.raises(RecordingError, match=r"is silent: all of its samples are 0\.5$"):
        open_recording(tmp_path / "steps.npy", rate=1)


@pytest.mark.parametrize("rate", [0, -1, np.inf, np.nan])
def test_impossible_rates_are_refused(tmp_path, rate):
    np.save(tmp_path / "tone.npy", TONE)
    with pytest.raises(RecordingError, match=r"^a rate must be more than 0 Hz, not "):
        open_recording(tmp_path / "tone.npy", rate=rate)


def test_suffixes_of_a_folders_recordings_are_those_that_can_be_read(tmp_path):
    sounds = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")
    assert (*sounds, ".csv", ".tsv", ".txt", ".dat", ".npy", ".hea", ".edf", ".bdf") == SUFFIXES
    for suffix in sounds:
        kind = {".aif": "AIFF"}.get(suffix, suffix[1:].upper())
        soundfile.write(tmp_path / f"a{suffix}", TONE, 8000, format=kind)
        assert open_recording(tmp_path / f"a{suffix}").rate == 8000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("name", ["tone.wav", "tone.aiff", "tone.npy", "tone.csv"])
def test_full_disk_is_an_error_of_the_operating_system(tmp_path, name):
    path = tmp_path / name
    samples = np.tile(TONE, 20)
    if name == "tone.npy":
        np.save(path, samples)
    elif name == "tone.csv":
        np.savetxt(path, samples)
    else:
        soundfile.write(path, samples, 8000)
    recording = open_recording(path, rate=8000)
    with pytest.raises(OSError, match="No space left on device") as error:
        copy(recording, Path("/dev/full"))
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize("kind", ["locations of each channel", "locations of a long recording"])
def test_levels_are_the_median_and_the_standard_deviation(tmp_path, kind, monkeypatch):
    samples = np.stack([2048 + 100 * np.tile(TONE, 5), np.repeat([0.0, 0, 1, -3, 0], 1000)])
    if kind == "locations of a long recording":
        monkeypatch.setattr(recordings, "_LEVEL_SAMPLES", 1000)
    np.save(tmp_path / "tone.npy", samples)
    first, second = open_recording(tmp_path / "tone.npy", rate=1).locations
    assert first == pytest.approx((2048, 100 * TONE.std()), rel=0.01)
    assert second == pytest.approx((0, np.sqrt(10 / 5 - 0.16)), rel=0.01)


def test_a_file_that_breaks_off_is_told_with_the_second_that_it_reaches(tmp_path):
    def blocks():
        yield np.zeros((1, 300), np.float32)
        raise soundfile.LibsndfileError(0)

    torn = SimpleNamespace(frames=1000, channels=1, rate=200.0, blocks=blocks)
    with pytest.raises(RecordingError, match=r"^r is damaged or truncated: it cannot be read beyond 1\.5 s$"):
        recordings._checked_locations(torn, "r")


def test_signals_of_a_record_are_refused_with_the_header_that_names_them(tmp_path, monkeypatch):
    (tmp_path / "r.HEA").touch()
    monkeypatch.setattr(recordings, "files_of", lambda header: [tmp_path / "R_1.dat", header])
    with pytest.raises(RecordingError, match=r"^it is a part of the WFDB record r\.HEA: give that file$"):
        recordings._refuse_signal_file(tmp_path / "r_1.DAT", "it")
    recordings._refuse_signal_file(tmp_path / "other.dat", "it")
    recordings._refuse_signal_file(tmp_path / "R_1.csv", "it")


def test_rates_at_the_limits_are_taken():
    for rate in (None, 1e-3, 1e9):
        recordings._check_rate(rate)
    for rate in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(RecordingError, match=rf"^a rate must be more than 0 Hz, not {rate:g}$"):
            recordings._check_rate(rate)
    for rate in (0.00099, 1.001e9):
        with pytest.raises(RecordingError, match=r"^a rate must be between 0\.001 and 1e\+09 Hz, not "):
            recordings._check_rate(rate)


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\x93NUMPY\x01", ".npy"),
        (b"0       X", ".edf"),
        (b"\xffBIOSEMI", ".edf"),
        (b"\xff\xfet\0", ".csv"),
        (b"\xfe\xff\0t", ".csv"),
        (b"time,a\n0,\xe9\n", ".csv"),
        (b"time\0", ".wav"),
        (b"RIFF\x01\x02", ".wav"),
    ],
)
def test_kind_of_a_file_without_a_suffix_is_told_by_its_content(tmp_path, head, suffix):
    (tmp_path / "x").write_bytes(head + 600 * b" ")
    assert recordings._suffix_by_content(tmp_path / "x") == suffix
