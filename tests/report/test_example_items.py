"""Single items: which ones are shown, and their WAV files."""

import io

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from sepray.contracts import Signal
from sepray.report import example_items


def test_sounds_are_the_signals_at_one_gain():
    signal = Signal(("voice", "to/1"), 2, (100,), 8000.0)
    generator = torch.Generator().manual_seed(1)
    sources, estimates = torch.rand(2, 2, 2, 100, generator=generator) - 0.5
    item = example_items.Item("best", 4, 0.1, 4 * sources.sum(0), sources, estimates, [0.1, 0.1])
    files = {file.name: wavfile.read(io.BytesIO(file.content)) for file in example_items.wav_files(item, signal)}
    assert list(files) == [
        "best/mixture.wav",
        "best/voice-truth.wav",
        "best/voice-estimate.wav",
        "best/to_1-truth.wav",
        "best/to_1-estimate.wav",
    ]
    gain = 32000 / float(item.mixture.abs().max())
    for name, wanted in (("best/mixture.wav", item.mixture), ("best/to_1-estimate.wav", estimates[1])):
        rate, samples = files[name]
        assert rate == 8000
        np.testing.assert_allclose(samples, gain * wanted.T.numpy(), atol=0.51)
    assert example_items.wav_files(item, Signal(signal.sources, 2, (100,), 128.0)) == []
    assert example_items.wav_files(item, Signal(signal.sources, 2, (10, 10), None)) == []


@pytest.mark.parametrize(
    ("scores", "direction", "expected"),
    [
        ([3, 1, 2, 5, 4], "minimize", {"best": 1, "median": 0, "worst": 3}),
        ([3, 1, 2, 5, 4], "maximize", {"best": 3, "median": 0, "worst": 1}),
        ([7, 8], "minimize", {"best": 0, "worst": 1}),
        ([7], "minimize", {"best": 0}),
    ],
)
def test_best_median_and_worst(scores, direction, expected):
    assert example_items.best_median_worst(np.array(scores, dtype=float), direction) == expected
