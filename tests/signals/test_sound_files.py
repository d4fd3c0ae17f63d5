"""Sound files: values, rate and length are read, and written in the format of what was read."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepray.signals.recording_types import RecordingError
from sepray.signals.recordings import open_recording

from .copies import TONE, copy, read

NOISE = 0.1 * np.random.default_rng(0).standard_normal(20000)


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


# ffmpeg writes 0xffffffff, sox 0x7ffff000, arecord 0x80000000; a recorder that was switched off leaves 0
@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_wav_that_was_written_to_a_pipe_is_not_truncated(tmp_path, length, subtype):
    soundfile.write(tmp_path / "tone.wav", TONE, 8000, subtype=subtype)
    head = bytearray((tmp_path / "tone.wav").read_bytes())
    at = head.index(b"data") + 4
    head[at : at + 4] = length.to_bytes(4, "little")
    head[4:8] = ((length + 36) % 2**32).to_bytes(4, "little")
    (tmp_path / "piped.wav").write_bytes(head)
    recording = open_recording(tmp_path / "piped.wav")
    assert (recording.rate, recording.frames) == (8000, 1000)
    np.testing.assert_allclose(read(recording), [TONE], atol=2**-15)
    copy(recording, tmp_path / "copy.wav")
    assert soundfile.info(tmp_path / "copy.wav").frames == 1000


@pytest.mark.parametrize("chunk", [b"", b"LIST\x04\0\0\0INFO"])
def test_wav_without_samples_is_empty_whatever_comes_after(tmp_path, chunk):
    soundfile.write(tmp_path / "tone.wav", TONE[:0], 8000, subtype="PCM_16")
    with (tmp_path / "tone.wav").open("ab") as file:
        file.write(chunk)
    with pytest.raises(RecordingError, match=r"tone\.wav is empty: it has no samples"):
        open_recording(tmp_path / "tone.wav")


@pytest.mark.parametrize("length", [3000, 0x70000000, 0x90000000])
def test_truncated_wav_is_refused(tmp_path, length):
    soundfile.write(tmp_path / "tone.wav", TONE, 8000, subtype="PCM_16")
    head = bytearray((tmp_path / "tone.wav").read_bytes())
    head[40:44] = length.to_bytes(4, "little")
    (tmp_path / "tone.wav").write_bytes(head)
    with pytest.raises(RecordingError, match=rf"is truncated: {44 + length} bytes were promised, 2044 are there"):
        open_recording(tmp_path / "tone.wav")


def lying_flac(path: Path) -> None:
    """Write a FLAC file whose header says that it has 2^36 - 1 samples; it has 20,000."""
    soundfile.write(path, NOISE, 8000)
    content = bytearray(path.read_bytes())
    content[21] |= 0xF  # "fLaC", a block header of 4 bytes, and 13 bytes and a half of STREAMINFO come before
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)


def test_flac_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    lying_flac(tmp_path / "a.flac")
    with pytest.raises(RecordingError, match=r"a\.flac is damaged or truncated"):
        open_recording(tmp_path / "a.flac")
    soundfile.write(tmp_path / "b.flac", NOISE, 8000)
    (tmp_path / "b.flac").write_bytes((tmp_path / "b.flac").read_bytes()[:9000])
    with pytest.raises(RecordingError, match=r"b\.flac is damaged or truncated"):
        open_recording(tmp_path / "b.flac")


@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_are_of_channels_and_at_most_a_hundred_samples(tmp_path, channels):
    samples = np.stack([TONE, -TONE][:channels])[:, :250]
    soundfile.write(tmp_path / "tone.wav", samples.T, 8000, subtype="FLOAT")
    blocks = list(open_recording(tmp_path / "tone.wav").blocks())
    assert [block.shape for block in blocks] == [(channels, 100), (channels, 100), (channels, 50)]
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}


def test_a_rate_that_is_not_the_files_own_is_refused(tmp_path):
    soundfile.write(tmp_path / "tone.wav", TONE, 8000)
    assert open_recording(tmp_path / "tone.wav", rate=8000).rate == 8000
    with pytest.raises(RecordingError, match=r"^in says that its rate is 8000 Hz; leave out the rate of 100 Hz$"):
        open_recording(tmp_path / "tone.wav", rate=100, name="in")


def test_chunks_of_odd_length_before_the_data_are_passed_over(tmp_path):
    soundfile.write(tmp_path / "tone.wav", TONE, 8000, subtype="PCM_16")
    content = (tmp_path / "tone.wav").read_bytes()
    at = content.index(b"data")
    (tmp_path / "odd.wav").write_bytes(content[:at] + b"note\x03\x00\x00\x00abc\x00" + content[at:])
    assert open_recording(tmp_path / "odd.wav").frames == 1000
    (tmp_path / "odd.wav").write_bytes(content[:at] + b"note\x03\x00\x00\x00abc\x00" + content[at:-2])
    with pytest.raises(RecordingError, match=r"is truncated: 2056 bytes were promised, 2054 are there$"):
        open_recording(tmp_path / "odd.wav")


def test_chunks_before_the_data_of_a_wav_are_counted(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, TONE, 8000, subtype="PCM_16")
    content = path.read_bytes()
    at = content.index(b"data")
    for count in (1000, 10_000):
        notes = b"note\x02\0\0\0ab" * count
        size = (len(content) + len(notes) - 8).to_bytes(4, "little")
        path.write_bytes(b"RIFF" + size + content[8:at] + notes + content[at:])
        if count == 1000:
            np.testing.assert_allclose(read(open_recording(path)), [TONE], atol=2**-15)
    with pytest.raises(
        RecordingError, match=r"tone\.wav is damaged: it has more than 10000 chunks before its samples$"
    ):
        open_recording(path)
