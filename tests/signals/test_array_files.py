"""NPY files: values and length are read, and written with shape and number type of what was read."""

import numpy as np
import pytest

from sepray.signals.recording_types import RecordingError
from sepray.signals.recordings import open_array, open_recording

from .copies import TONE, copy


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


def test_blocks_are_at_most_a_hundred_samples(tmp_path):
    np.save(tmp_path / "tone.npy", np.stack([TONE, -TONE])[:, :201])
    blocks = list(open_recording(tmp_path / "tone.npy", rate=1).blocks())
    assert [block.shape for block in blocks] == [(2, 100), (2, 100), (2, 1)]


@pytest.mark.parametrize(
    ("shape", "refused"), [((64, 10), False), ((65, 10), True), ((65, 65), False), ((65, 64), True)]
)
def test_files_that_lie_on_their_side_are_refused(tmp_path, shape, refused):
    np.save(tmp_path / "a.npy", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    if refused:
        with pytest.raises(RecordingError, match=r"it must be \[channel, time\]: transpose it$"):
            open_recording(tmp_path / "a.npy", rate=1)
    else:
        assert open_recording(tmp_path / "a.npy", rate=1).channels == shape[0]


def test_the_ends_of_the_range_are_not_clipped(tmp_path):
    np.save(tmp_path / "ends.npy", np.array([-128, 127, 0], dtype=np.int8))
    assert copy(open_recording(tmp_path / "ends.npy", rate=1), tmp_path / "again.npy") == 0


@pytest.mark.parametrize("kind", ["float32", "float64", "int16"])
@pytest.mark.parametrize("shape", [(1000,), (3, 1000)])
def test_array_in_memory_is_read_and_written_as_its_file_would_be(tmp_path, kind, shape):
    values = np.broadcast_to((100 * TONE).astype(kind), shape)
    recording = open_array(values, 128, "mine")
    assert (recording.rate, recording.channels, recording.frames) == (128, shape[0] if len(shape) == 2 else 1, 1000)
    assert (recording.path.stem, recording.suffix, recording.unit) == ("mine", ".npy", "as in the input")
    assert [block.shape[1] for block in recording.blocks()] == [100] * 10
    assert {block.dtype for block in recording.blocks()} == {np.dtype("float32")}
    assert copy(recording, tmp_path / "again.npy", factor=0.5) == 0
    again = np.load(tmp_path / "again.npy")
    assert (again.dtype, again.shape) == (np.dtype(kind), shape)
    np.testing.assert_allclose(again, np.rint(values / 2) if kind == "int16" else values / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "rate", "line"),
    [
        (TONE, None, "mine does not say its rate; give rate, in Hz"),
        (TONE, np.nan, "a rate must be more than 0 Hz, not nan"),
        (TONE[:0], 1, "mine is empty: it has no samples"),
        (TONE.astype(complex), 1, "mine must be [time] or [channel, time] of real numbers, not [1000] of complex64"),
        (TONE.reshape(500, 2), 1, "mine is 500 channels of 2 samples; it must be [channel, time]: transpose it"),
        (0 * TONE, 1, "mine is silent: all of its samples are 0"),
    ],
)
def test_arrays_that_are_no_recordings_are_refused(values, rate, line):
    with pytest.raises(RecordingError) as refusal:
        open_array(values, rate, "mine")
    assert str(refusal.value).replace("complex128", "complex64") == line


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u4"])
def test_estimates_of_unsigned_recordings_are_floats(tmp_path, kind):
    np.save(tmp_path / "a.npy", np.array([[100, 104, 90]], kind))
    recording = open_recording(tmp_path / "a.npy", rate=1)
    assert copy(recording, tmp_path / "b.npy", factor=-0.5) == 0
    written = np.load(tmp_path / "b.npy")
    assert (written.dtype, written.tolist()) == (np.float32, [[-50, -52, -45]])
