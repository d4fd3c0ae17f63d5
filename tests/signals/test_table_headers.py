"""Facts in headers beside names: Empatica's two rows, and rates that the times contradict; and rows without samples."""

import numpy as np
import pytest

from sepray.signals.recording_types import RateError, RecordingError
from sepray.signals.recordings import open_recording

from .copies import copy, read
from .test_table_notations import RATE, rows

EMPATICA = {
    "trailing separators": "1600000000.0,\n64.0,\n-0.5,\n12,\n3.25,\n",
    "trailing semicolons, decimal commas": "1600000000,0;\n64,0;\n-0,5;\n12;\n3,25;\n",
    "decimal commas": "1600000000,0;1600000000,0\n64,0;64,0\n-0,5;1\n12;2\n3,25;3\n",
    "a comment before": "# E4\n1600000000.0\n64.0\n-0.5\n12\n3.25\n",
    "a blank line before": "\n1600000000.0\n\n64.0\n-0.5\n12\n3.25\n",
    "a name before": "BVP\n1600000000.0\n64.0\n-0.5\n12\n3.25\n",
    "Unix milliseconds": "1600000000000\n64\n-0.5\n12\n3.25\n",
    "a date": "2020-09-13 12:26:40\n64.000000\n-0.50\n12.00\n3.25\n",
    "dates": "2020-09-13 12:26:40,2020-09-13 12:26:40\n64.000000,64.000000\n-0.50,1.00\n12.00,2.00\n3.25,2.00\n",
    "a date, and six digits": "2020-09-13 12:26:40\n64.000000\n-0.500000\n12.000000\n3.250000\n",
}


@pytest.mark.parametrize("text", EMPATICA.values(), ids=EMPATICA.keys())
@pytest.mark.parametrize("rate", [None, 64])
def test_empaticas_header_in_other_notations(tmp_path, text, rate):
    path = tmp_path / "BVP.csv"
    path.write_text(text)
    recording = open_recording(path, rate)
    assert (recording.rate, recording.frames, recording.notes) == (64, 3, ())
    assert read(recording)[0].tolist() == [-0.5, 12, 3.25]
    copy(recording, tmp_path / "copy.csv")
    header = recording.layout.header
    assert (tmp_path / "copy.csv").read_text().splitlines()[:header] == text.splitlines()[:header]
    np.testing.assert_array_equal(read(open_recording(tmp_path / "copy.csv", rate)), read(recording))


@pytest.mark.parametrize(
    "samples", ["64\n65\n70\n", "64.0\n65.25\n66.5\n", "64.50\n65.25\n", "64.000000\n65.250000\n60.5\n", "63.0\n1.25\n"]
)
def test_a_sample_below_a_date_is_no_rate(tmp_path, samples):
    path = tmp_path / "ppg.csv"
    path.write_text("2020-09-13 12:26:40\n" + samples)
    assert open_recording(path, RATE).frames == samples.count("\n")


def test_a_header_that_contradicts_its_times_is_noted(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("# Sampling rate: 500 Hz\ntime,II\n" + rows(lambda k: f"{k / RATE:.3f}"))
    told = "the header of ecg says that its rate is 500 Hz, and its times 250 Hz"
    recording = open_recording(path, name="ecg")
    assert (recording.rate, recording.notes) == (RATE, (told,))


@pytest.mark.parametrize("rate", [None, RATE])
def test_rows_without_values_are_named(tmp_path, rate):
    path = tmp_path / "ecg.csv"
    lines = rows(lambda k: f"{k / RATE:.3f}").splitlines()
    path.write_text("\n".join(["time,II", *lines[:20], ",", *lines[20:]]))
    with pytest.raises(RecordingError, match=r"has a cell that is not a number in line 22, column 1 \(time\): ''$"):
        open_recording(path, rate)
    path.write_text("\n".join(["time,II", *(line.split(",")[0] + "," for line in lines[:25]), *lines[25:30]]))
    with pytest.raises(RecordingError, match=r"has nothing in column 2 before line 27, and '0\.887' there: leave "):
        open_recording(path, rate)
    if rate is None:
        path.write_text("\n".join(["time,II", *lines[:20], "end,0.5"]))
        with pytest.raises(RateError, match=r"has a cell that is no time in line 22: 'end'; give --rate, in Hz$"):
            open_recording(path, rate)
