"""The score of the CASS authors' code: what it leaves out, and what it charges."""

import math

import numpy as np
import pytest
import torch

from sepray.contracts import Signal, Split
from sepray.scoring import evaluation, metrics, summed_magnitudes, tables
from sepray.signals.stft import Spectrogram

SIGNAL = Signal(("a", "b"), 1, (4096,), 8000.0)
SPECTROGRAM = Spectrogram(256, 192)


@pytest.fixture(scope="module")
def split() -> Split:
    """Two tones that meet in some bins, and noise."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(4096) / 8000
    pitch = 300 + 100 * torch.arange(3)[:, None]
    tones = torch.stack([torch.sin(6.2832 * pitch * time), torch.sin(6.2832 * (pitch + 20) * time + 1)], 1)
    sources = (tones + 0.1 * torch.randn(3, 2, 4096, generator=generator))[:, :, None]
    return Split(sources.sum(1), sources)


def test_frames_are_the_codes_at_its_rate_and_as_long_at_others():
    assert summed_magnitudes.transform(Signal(("a", "b"), 1, (127 * 768,), 44100)) == (1024, 768)
    assert summed_magnitudes.transform(SIGNAL) == (256, 192)
    assert summed_magnitudes.transform(Signal(("a", "b"), 1, (504,), 128)) == (64, 48)
    assert summed_magnitudes.transform(Signal(("a", "b"), 1, (100,), 44100)) == (16, 12)


def test_ratio_masks_and_true_magnitudes_are_exact_and_on_waveforms_are_not(split):
    found = summed_magnitudes.bounds(split, SIGNAL)
    assert set(found) == set(evaluation.bounds(split))
    for name in ("ideal_ratio_mask", "mixture_phase"):
        assert found[name].keys() == {"magnitude_l1", "magnitude_l2", "magnitude_linf"}
        for errors in found[name].values():
            assert errors.shape == (3, 2)
            assert errors.max() < 2e-5
        assert evaluation.bounds(split, 256, 192)[name]["relative_l2"].min() > 0.1


def test_errors_are_of_magnitudes_that_take_the_mixtures_phase(split):
    """Half of the summed magnitudes, worked out with the transform alone."""
    magnitudes = SPECTROGRAM.transform(split.sources).abs()
    angle = SPECTROGRAM.transform(split.mixture).angle()[:, None]
    signal = lambda values: SPECTROGRAM.inverse(torch.polar(values, angle.expand_as(values)), 4096)  # noqa: E731
    half = (magnitudes.sum(1, keepdim=True) / 2).expand_as(magnitudes)
    found = summed_magnitudes.score(lambda mixture: (mixture / 2)[:, None].expand(-1, 2, -1, -1), split, SIGNAL)
    double = summed_magnitudes.bounds(split, SIGNAL)["unprocessed_mixture"]
    for name, order in {"magnitude_l1": 1, "magnitude_l2": 2, "magnitude_linf": math.inf}.items():
        expected = metrics.relative_error(signal(half), signal(magnitudes), order).numpy()
        if order < math.inf:  # no signal has exactly that spectrogram
            assert found[name] == pytest.approx(expected, rel=0.15 if order == 1 else 0.1)
        whole = metrics.relative_error(signal(2 * half), signal(magnitudes), order).numpy()
        assert double[name] == pytest.approx(whole, rel=1e-4)


def test_an_estimates_own_phase_does_not_count(split):
    halves = lambda mixture: (mixture / 2)[:, None].expand(-1, 2, -1, -1)  # noqa: E731
    turned = lambda mixture: -halves(mixture)  # noqa: E731
    score = summed_magnitudes.score
    for name, errors in score(halves, split, SIGNAL).items():
        np.testing.assert_allclose(score(turned, split, SIGNAL)[name], errors, rtol=1e-5)


def test_the_sources_of_the_summed_signal_have_no_error(split):
    def perfect(mixture):
        magnitudes = SPECTROGRAM.transform(split.sources).abs()
        angle = SPECTROGRAM.transform(split.mixture).angle()[:, None]
        sources = SPECTROGRAM.inverse(torch.polar(magnitudes, angle.expand_as(magnitudes)), 4096)
        torch.testing.assert_close(sources.sum(1), mixture, rtol=0, atol=1e-5)
        return sources

    assert summed_magnitudes.score(perfect, split, SIGNAL)["magnitude_l2"].max() < 1e-5


def test_tables_have_it_where_it_is_asked_for(split):
    halves = lambda mixture: (mixture / 2)[:, None].expand(-1, 2, -1, -1)  # noqa: E731
    assert "magnitude_l2" not in tables.score(halves, split, signal=SIGNAL)
    scores = tables.score(halves, split, signal=SIGNAL, measures=("magnitude_l2",))
    assert "magnitude_l1" not in scores
    expected = summed_magnitudes.score(halves, split, SIGNAL)["magnitude_l2"]
    np.testing.assert_array_equal(scores["magnitude_l2"], expected)
    rows = tables.references(split, 256, 192, SIGNAL, ("magnitude_l2",))
    assert rows["oracle: ideal ratio mask"]["magnitude_l2"].max() < 1e-5
    assert tables.item_scores("magnitude_l2", halves, split, SIGNAL) == pytest.approx(scores["magnitude_l2"].mean(1))
