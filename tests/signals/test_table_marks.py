"""Marks of tables that few programs write: bars between cells, the minus sign of typography, rates with exponents."""

import tracemalloc

import numpy as np
import pytest

from sepray.signals.recordings import open_recording

from .copies import read

ECG = np.round(np.sin(np.arange(40) / 3), 3)
RATE = 250


def rows(first, *, join=","):
    """Lines of a first column, given by the number of the sample, and the ECG."""
    return "".join(f"{first(k)}{join}{value:.3f}\n" for k, value in enumerate(ECG))


@pytest.mark.parametrize("header", ["I | II", "time (s) | I | II", "Gain | 2\nI | II"])
def test_bars_separate_cells(tmp_path, header):
    path = tmp_path / "ecg.csv"
    times = header.startswith("time")
    path.write_text(header + "\n" + rows(lambda k: f"{k / RATE} | {k % 7}" if times else f"{k % 7}", join=" | "))
    recording = open_recording(path, None if times else RATE)
    assert recording.rate == RATE
    np.testing.assert_allclose(read(recording), [[k % 7 for k in range(40)], ECG], atol=1e-6)
    assert recording.layout.labels[-2:] == ("I", "II")
    with recording.writer(tmp_path / "written.csv") as writer:
        writer.write(np.ones((2, 40), np.float32))
    cells = (tmp_path / "written.csv").read_text().splitlines()[-1].split("|")
    assert [float(cell) for cell in cells] == ([0.156, 1, 1] if times else [1, 1])


@pytest.mark.parametrize(("decimal", "separator"), [(".", ","), (",", ";")])
def test_a_minus_sign_of_typography_is_one(tmp_path, decimal, separator):
    path = tmp_path / "ecg.csv"
    text = "I,II\n" + rows(lambda k: f"{-k % 7 - 3}")
    path.write_text(text.replace("-", "\u2212").replace(",", separator).replace(".", decimal), encoding="utf-8")
    np.testing.assert_allclose(read(open_recording(path, RATE)), [[-k % 7 - 3 for k in range(40)], ECG], atol=1e-6)


@pytest.mark.parametrize(
    "line", ["fs,2.5e2", "fs|250", "fs = 2.5E+2 Hz", "Sampling rate: 2.5e2 Hz", "# Sample interval (ms): 4e0"]
)
def test_rates_of_a_header_may_have_exponents(tmp_path, line):
    path = tmp_path / "ecg.csv"
    path.write_text(f"{line}\nI,II\n" + rows(lambda k: f"{k % 7}"))
    assert open_recording(path).rate == 250


def test_a_wide_table_takes_no_more_than_twice_the_memory_of_its_samples(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("".join(",".join(f"{(k * (n + 1)) % 7 - 3}.5" for n in range(500)) + "\n" for k in range(1, 41)))
    recording = open_recording(path, RATE)
    tracemalloc.start()
    shapes = [block.shape for block in recording.blocks()]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shapes == [(500, 40)]
    assert most < 2 * 8 * 500 * 40
