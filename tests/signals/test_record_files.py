"""Signals of several rates become one recording at the fastest, as long as the shortest, and are written by name."""

import numpy as np
import pytest

from sepray.signals import record_files
from sepray.signals.record_files import SignalsRecording, open_record_file
from sepray.signals.recording_types import BLOCK_SAMPLES, RecordingError
from sepray.signals.wfdb_files import Signals

SLOW, FAST = np.full(50, 2.0), np.arange(104.0)


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Open a file of these signals."""

    def opened(*samples, rates, rate=None, names=("a", "b"), units=("mV", "uV")):
        held = Signals(names[: len(samples)], units[: len(samples)], rates, samples)
        monkeypatch.setattr(record_files, "read_edf", lambda path, name: held)
        return open_record_file(tmp_path / "x.EDF", rate, "x.EDF")

    return opened


def test_slow_signals_are_brought_to_the_fastest_rate_and_cut_to_the_shortest(read):
    found = read(SLOW, FAST, rates=(50.0, 100.0))
    assert (found.rate, found.channels, found.frames) == (100.0, 2, 100)
    np.testing.assert_array_equal(found.values[1], FAST[:100].astype(np.float32))
    assert found.values[0, 20:80] == pytest.approx(2.0, abs=0.05)
    assert found.unit == "as in the input"
    assert read(SLOW, SLOW, rates=(50.0, 50.0), units=("mV", "mV")).unit == "mV"


@pytest.mark.parametrize(("rate", "fits"), [(100.0, True), (50.0, False)])
def test_rate_that_is_given_must_be_the_fastest(read, rate, fits):
    if fits:
        assert read(SLOW, FAST, rates=(50.0, 100.0), rate=rate).rate == 100.0
    else:
        with pytest.raises(RecordingError, match=r"^x\.EDF says that its rate is 100 Hz; leave out the rate of 50 Hz$"):
            read(SLOW, FAST, rates=(50.0, 100.0), rate=rate)


@pytest.mark.parametrize("samples", [(), (FAST, FAST[:0])])
def test_file_without_samples_is_empty(read, samples):
    with pytest.raises(RecordingError, match=r"^x\.EDF is empty: it has no samples$"):
        read(*samples, rates=(100.0, 100.0)[: len(samples)])


def test_table_has_time_names_and_units(tmp_path):
    values = np.array([[0.5, 1e-9], [3.0, 12345678.0]], np.float32)
    recording = SignalsRecording(tmp_path / "x.hea", 4.0, 2, 2, values, ("a,b", "c"), ("", "mV"))
    with recording.writer(tmp_path / "both.csv") as writer:
        writer.write(values[:, :1])
        writer.write(values[:, 1:])
    assert (tmp_path / "both.csv").read_text().splitlines() == [
        "time (s),a b,c (mV)",
        "0,0.5,3",
        "0.25,1e-09,1.234568e+07",
    ]
    with recording.writer(tmp_path / "one.csv", 1) as writer:
        writer.write(values[:1])
    assert (tmp_path / "one.csv").read_text().splitlines()[0] == "time (s),a b"


def test_blocks_are_the_whole_signal_in_order(tmp_path):
    values = np.arange(2 * (BLOCK_SAMPLES + 3), dtype=np.float32).reshape(2, -1)
    recording = SignalsRecording(tmp_path / "x.hea", 4.0, 2, values.shape[1], values, ("a", "b"), ("", ""))
    blocks = list(recording.blocks())
    assert [block.shape[1] for block in blocks] == [BLOCK_SAMPLES, 3]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), values)


def test_names_of_others_are_no_formulas_and_no_commands_in_what_is_written(tmp_path):
    names = ("=1+2+cmd|'x'!A0", '@SUM(1)\n\x1b[31mR"', "I, II")
    recording = SignalsRecording(tmp_path / "a.edf", 250.0, 3, 1, np.zeros((3, 1), np.float32), names, ("mV", "", "mV"))
    with recording.writer(tmp_path / "a.csv") as writer:
        writer.write(recording.values)
    header = "time (s),'=1+2+cmd|'x'!A0 (mV),\"'@SUM(1) \\x1b[31mR\"\"\",I II (mV)"
    assert (tmp_path / "a.csv").read_text() == f"{header}\n0,0,0,0\n"
