"""EDF and BDF files, written here by their specification: values in physical units, each signal at its own rate."""

from pathlib import Path

import numpy as np
import pytest

from sepray.signals.edf_files import read_edf
from sepray.signals.recording_types import RecordingError
from sepray.signals.recordings import open_recording

from .copies import read

TIME = np.arange(1000) / 250
ECG, BREATH = np.sin(2 * np.pi * 5 * TIME), 20 + 10 * np.sin(2 * np.pi * 0.5 * TIME[::10])


def write_edf(path: Path, *, wide: int = 2, records: int = 4, kind: str = "", spoil: slice = slice(None)) -> Path:
    """Four records of a second: an ECG of -2..2 mV at 250 Hz, a breath of 0..50 at 25 Hz, and annotations."""
    most = 2 ** (8 * wide - 1) - 1
    signals = [
        ("ECG II", "mV", -2, 2, ECG, 250),
        ("Breath", "", 0, 50, BREATH, 25),
        ("EDF Annotations", "", -1, 1, None, 8),
    ]
    fields = [
        [(label, 16) for label, *_ in signals],
        [("", 80)] * 3,
        [(unit, 8) for _, unit, *_ in signals],
        [(str(low), 8) for _, _, low, *_ in signals],
        [(str(high), 8) for _, _, _, high, *_ in signals],
        [(str(-most - 1), 8)] * 3,
        [(str(most), 8)] * 3,
        [("", 80)] * 3,
        [(str(size), 8) for *_, size in signals],
        [("", 32)] * 3,
    ]
    head = [("", 8), ("", 160), ("01.01.20", 8), ("10.00.00", 8), (str(256 * 4), 8), (kind, 44), (str(records), 8)]
    head += [("1", 8), ("3", 4)]
    text = "".join(value.ljust(width) for value, width in [*head, *(cell for field in fields for cell in field)])
    content = (b"\xffBIOSEMI" if wide == 3 else b"0       ") + text[8:].encode("latin-1")
    for second in range(4):
        for _, _, low, high, samples, size in signals:
            part = np.zeros(size) if samples is None else samples[second * size : (second + 1) * size]
            numbers = np.round((part - low) / (high - low) * (2 * most + 1) - most - 1).astype("<i4")
            content += numbers.view(np.uint8).reshape(-1, 4)[:, :wide].tobytes()
    path.write_bytes(content[spoil])
    return path


@pytest.mark.parametrize(("wide", "tolerance"), [(2, 1e-4), (3, 1e-6)])
@pytest.mark.parametrize("records", [4, -1])
def test_signals_have_their_units_and_rates(tmp_path, wide, tolerance, records):
    found = read_edf(write_edf(tmp_path / "a.edf", wide=wide, records=records), "a")
    assert (found.names, found.units, found.rates) == (("ECG II", "Breath"), ("mV", ""), (250, 25))
    np.testing.assert_allclose(found.samples[0], ECG, atol=tolerance)
    np.testing.assert_allclose(found.samples[1], BREATH, atol=20 * tolerance)


@pytest.mark.parametrize("name", ["a.edf", "A.EDF", "a.bdf", "without"])
def test_it_is_a_recording_of_the_highest_rate(tmp_path, name):
    recording = open_recording(write_edf(tmp_path / name, wide=3 if name == "a.bdf" else 2))
    assert (recording.rate, recording.channels, recording.frames) == (250, 2, 1000)
    ecg, breath = read(recording)
    np.testing.assert_allclose(ecg, ECG, atol=1e-4)
    np.testing.assert_allclose(breath[:-100:10], BREATH[:-10], atol=0.2)
    assert (recording.suffix, recording.written_suffix) == (".csv", ".csv")


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"spoil": slice(2000)}, "a.edf is truncated: 4 records were promised, 1 are there"),
        ({"spoil": slice(300)}, "a.edf is no EDF file: its header cannot be read"),
        (
            {"spoil": slice(1000), "records": -1},
            "a.edf is truncated: its header alone has 1024 bytes, the file 1000",
        ),
        ({"kind": "EDF+D"}, "a.edf has interruptions (EDF+D), and what is between them is not known"),
        ({"records": 0}, "a.edf is empty: it has no samples"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, how, line):
    with pytest.raises(RecordingError) as refusal:
        open_recording(write_edf(tmp_path / "a.edf", **how), name="a.edf")
    assert str(refusal.value) == line


@pytest.mark.parametrize(
    ("place", "cell"),
    [(904 + 16, "-1"), (904, "-1"), (184, "903"), (244, "-1"), (244, "nan"), (256 + 3 * 104, "inf")],
    ids=["last size", "first size", "length", "negative duration", "no duration", "limit"],
)
def test_header_that_says_what_cannot_be_is_refused(tmp_path, place, cell):
    file = write_edf(tmp_path / "a.edf")
    content = bytearray(file.read_bytes())
    content[place : place + 8] = cell.ljust(8).encode()
    file.write_bytes(bytes(content))
    with pytest.raises(RecordingError, match=r"^a\.edf is no EDF file: its header says what cannot be$"):
        open_recording(file, name="a.edf")
