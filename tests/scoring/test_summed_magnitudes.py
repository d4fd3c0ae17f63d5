"""The score of the CASS authors' code: what it leaves out, and what it charges."""

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
        assert found[name].shape == (3, 2)
        assert found[name].max() < 1e-5
        assert evaluation.bounds(split, 256, 192)[name]["relative_l2"].min() > 0.1


def test_errors_are_of_magnitudes_that_take_the_mixtures_phase(split):
    """Half of the summed magnitudes, worked out with the transform alone."""
    magnitudes = SPECTROGRAM.transform(split.sources).abs()
    angle = SPECTROGRAM.transform(split.mixture).angle()[:, None]
    signal = lambda values: SPECTROGRAM.inverse(torch.polar(values, angle.expand_as(values)), 4096)  # noqa: E731
    half = (magnitudes.sum(1, keepdim=True) / 2).expand_as(magnitudes)
    expected = metrics.relative_error(signal(half), signal(magnitudes), 2).numpy()
    found = summed_magnitudes.score(lambda mixture: (mixture / 2)[:, None].expand(-1, 2, -1, -1), split, SIGNAL)
    assert found == pytest.approx(expected, rel=0.1)  # no signal has exactly that spectrogram
    double = summed_magnitudes.bounds(split, SIGNAL)["unprocessed_mixture"]
    whole = metrics.relative_error(signal(2 * half), signal(magnitudes), 2).numpy()
    assert double == pytest.approx(whole, rel=1e-4)


def test_an_estimates_own_phase_does_not_count(split):
    halves = lambda mixture: (mixture / 2)[:, None].expand(-1, 2, -1, -1)  # noqa: E731
    turned = lambda mixture: -halves(mixture)  # noqa: E731
    score = summed_magnitudes.score
    np.testing.assert_allclose(score(turned, split, SIGNAL), score(halves, split, SIGNAL), rtol=1e-5)


def test_the_sources_of_the_summed_signal_have_no_error(split):
    def perfect(mixture):
        magnitudes = SPECTROGRAM.transform(split.sources).abs()
        angle = SPECTROGRAM.transform(split.mixture).angle()[:, None]
        sources = SPECTROGRAM.inverse(torch.polar(magnitudes, angle.expand_as(magnitudes)), 4096)
        torch.testing.assert_close(sources.sum(1), mixture, rtol=0, atol=1e-5)
        return sources

    assert summed_magnitudes.score(perfect, split, SIGNAL).max() < 1e-5


def test_tables_have_it_where_it_is_asked_for(split):
    halves = lambda mixture: (mixture / 2)[:, None].expand(-1, 2, -1, -1)  # noqa: E731
    assert "magnitude_l2" not in tables.score(halves, split, signal=SIGNAL)
    scores = tables.score(halves, split, signal=SIGNAL, measures=("magnitude_l2",))
    np.testing.assert_array_equal(scores["magnitude_l2"], summed_magnitudes.score(halves, split, SIGNAL))
    rows = tables.references(split, 256, 192, SIGNAL, ("magnitude_l2",))
    assert rows["oracle: ideal ratio mask"]["magnitude_l2"].max() < 1e-5
    assert tables.item_scores("magnitude_l2", halves, split, SIGNAL) == pytest.approx(scores["magnitude_l2"].mean(1))
