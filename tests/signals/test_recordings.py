"""Recordings: what is read has the right values, rate and length; what is written has the format of what was read."""

import numpy as np
import pytest
import soundfile

from sepray.signals import recordings
from sepray.signals.recordings import RecordingError, open_recording

TONE = (0.5 * np.sin(np.arange(1000) / 7)).astype(np.float32)


def read(recording):
    return np.concatenate(list(recording.blocks()), axis=1)


def copy(recording, path, factor=1.0, size=333):
    """Write ``factor`` times a recording, in blocks of another size than it is read in."""
    whole = factor * read(recording)
    with recording.writer(path) as writer:
        for start in range(0, recording.frames, size):
            writer.write(whole[:, start : start + size])
        return writer.clipped


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(recordings, "BLOCK", 100)


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "FLOAT", 0),
        ("wav", "DOUBLE", 0),
        ("flac", "PCM_16", 2**-15),
        ("aiff", "PCM_16", 2**-15),
    ],
)
def test_sound_file_keeps_rate_channels_length_and_sample_type(tmp_path, suffix, subtype, step):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([TONE, -TONE / 2], axis=1), 8000, subtype=subtype)
    recording = open_recording(path)
    assert (recording.rate, recording.channels, recording.frames) == (8000, 2, 1000)
    np.testing.assert_allclose(read(recording), [TONE, -TONE / 2], atol=step or 1e-7)
    again = tmp_path / "again"
    assert copy(recording, again) == 0
    written = soundfile.info(again)
    assert (written.samplerate, written.channels, written.frames, written.subtype) == (8000, 2, 1000, subtype)
    assert written.format == soundfile.info(path).format
    np.testing.assert_allclose(soundfile.read(again)[0].T, [TONE, -TONE / 2], atol=1.5 * step or 1e-7)


def test_what_a_sample_type_cannot_hold_is_clipped_and_counted(tmp_path):
    soundfile.write(tmp_path / "tone.wav", TONE, 8000, subtype="PCM_16")
    recording = open_recording(tmp_path / "tone.wav")
    beyond = int(np.count_nonzero(np.abs(3 * read(recording)) > 1))
    assert copy(recording, tmp_path / "loud.wav", factor=3) == beyond > 0
    loud = soundfile.read(tmp_path / "loud.wav")[0]
    assert (loud.max(), loud.min()) == (1 - 2**-15, -1)


def test_table_with_header_and_time_column_comes_back_with_both(tmp_path):
    path = tmp_path / "ecg.csv"
    rows = [f"{k / 128:.3f},{TONE[k]:.6f},{2 * TONE[k]:.6f}" for k in range(500)]
    path.write_text("time (s),lead 1,lead 2\n" + "\n".join(rows) + "\n")
    recording = open_recording(path)
    assert (recording.rate, recording.channels, recording.frames) == (128, 2, 500)
    np.testing.assert_allclose(read(recording), [TONE[:500], 2 * TONE[:500]], atol=1e-6)
    copy(recording, tmp_path / "half.csv", factor=0.5)
    lines = (tmp_path / "half.csv").read_text().splitlines()
    assert lines[0] == "time (s),lead 1,lead 2"
    assert len(lines) == 501
    time, first, second = lines[8].split(",")
    assert time == "0.055"
    np.testing.assert_allclose([float(first), float(second)], [0.5 * TONE[7], TONE[7]], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "rate", "channels", "frames"),
    [
        ("timer_ms,hr\n0,515\n10,514\n20,520\n", 100, 1, 3),  # milliseconds, as the header says
        ("datetime,hr\n2016-11-24 13:58:58.000,3\n2016-11-24 13:58:58.250,4\n", 4, 1, 2),
        ("0.00 1 2 3\n0.25 4 5 6\n0.50 1 2 3\n", 4, 3, 3),  # no header, but a first column that rises: DaISy
        ("0;1\n0,5;2\n", None, None, None),  # a comma as decimal point is not guessed at
    ],
)
def test_rate_is_read_from_the_time_column(tmp_path, text, rate, channels, frames):
    path = tmp_path / "table.csv"
    path.write_text(text)
    if rate is None:
        with pytest.raises(RecordingError, match=r"not a number|no time column"):
            open_recording(path)
        return
    recording = open_recording(path)
    assert (recording.rate, recording.channels, recording.frames) == (rate, channels, frames)


def test_a_time_column_in_milliseconds_that_does_not_say_so_is_asked_about(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("timer,hr\n" + "".join(f"{k * 8.547:.4f},{500 + k % 9}\n" for k in range(50)))
    with pytest.raises(RecordingError) as caught:
        open_recording(path, name="data.csv")
    assert str(caught.value) == (
        "the time column of data.csv gives 0.117 Hz if it is in seconds; give --rate (117 if it is in milliseconds)"
    )
    recording = open_recording(path, rate=117)
    assert (recording.rate, recording.channels) == (117, 1)
    copy(recording, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text().splitlines()[2] == "8.5470,501"


def test_table_without_time_takes_the_rate_that_is_given(tmp_path):
    path = tmp_path / "ppg.csv"
    path.write_text("530\n518\n506\n")
    recording = open_recording(path, rate=100)
    assert (recording.rate, recording.channels, recording.frames) == (100, 1, 3)
    copy(recording, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == "530\n518\n506\n"


@pytest.mark.parametrize("kind", ["float32", "float64", "int16"])
@pytest.mark.parametrize("shape", [(1000,), (1, 1000), (3, 1000)])
def test_array_keeps_shape_and_number_type(tmp_path, kind, shape):
    values = np.broadcast_to((100 * TONE).astype(kind), shape)
    np.save(tmp_path / "tone.npy", values)
    recording = open_recording(tmp_path / "tone.npy", rate=128)
    assert (recording.rate, recording.channels, recording.frames) == (128, shape[0] if len(shape) == 2 else 1, 1000)
    copy(recording, tmp_path / "again.npy")
    again = np.load(tmp_path / "again.npy")
    assert (again.dtype, again.shape) == (np.dtype(kind), shape)
    np.testing.assert_allclose(again, values, rtol=1e-6)


def test_integers_are_rounded_and_kept_within_their_range(tmp_path):
    np.save(tmp_path / "counts.npy", np.array([1, -3, 100], dtype=np.int8))
    clipped = copy(open_recording(tmp_path / "counts.npy", rate=1), tmp_path / "again.npy", factor=1.5)
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), np.array([2, -4, 127], dtype=np.int8))
    assert clipped == 1


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


def test_wav_that_was_written_to_a_pipe_is_not_truncated(tmp_path):
    soundfile.write(tmp_path / "tone.wav", TONE, 8000, subtype="PCM_16")
    head = bytearray((tmp_path / "tone.wav").read_bytes())
    at = head.index(b"data") + 4
    head[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "piped.wav").write_bytes(head)
    assert open_recording(tmp_path / "piped.wav").frames == 1000


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
