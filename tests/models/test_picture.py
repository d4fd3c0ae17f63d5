"""The envelope of a long signal, and the picture of a separation."""

import matplotlib
import numpy as np
import pytest

from sepray.models import picture
from sepray.models.picture import Envelope


def test_envelope_holds_the_extremes_of_each_part():
    signal = np.random.default_rng(0).normal(size=8000).astype(np.float32)
    envelope = Envelope(8000)
    for start in range(0, 8000, 333):
        envelope.add(signal[start : start + 333])
    np.testing.assert_array_equal(envelope.low, signal.reshape(1600, 5).min(axis=1))
    np.testing.assert_array_equal(envelope.high, signal.reshape(1600, 5).max(axis=1))


def test_envelope_of_a_short_signal_is_the_signal():
    signal = np.arange(10, dtype=np.float32)
    envelope = Envelope(10)
    envelope.add(signal[:3])
    envelope.add(signal[3:])
    np.testing.assert_array_equal(envelope.low, signal)
    np.testing.assert_array_equal(envelope.high, signal)


@pytest.mark.parametrize(
    ("frames", "rate", "axis", "end"),
    [(1000, 100.0, "time (s)", 9.99), (100_000, 100.0, "time (min)", 1000 / 60 * (1599.5 / 1600))],
)
def test_time_axis_ends_with_the_signal(tmp_path, monkeypatch, frames, rate, axis, end):
    """Both kinds: samples of a short signal, filled parts of a long one, in the unit of its length."""
    figures = []

    class Kept(picture_figure()):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            figures.append(self)

    monkeypatch.setattr("matplotlib.figure.Figure", Kept)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)  # of a file that lies about: LaTeX is not run
    monkeypatch.setattr("matplotlib.texmanager.TexManager", None)
    envelope = Envelope(frames)
    envelope.add(np.linspace(-1, 1, frames, dtype=np.float32))
    picture.draw(tmp_path / "it.png", "it", {"mixture": envelope, "$\\frac{$": envelope}, rate, "mV$_{$")
    axes = figures[0].axes
    assert [a.get_title(loc="left") for a in axes] == ["mixture", r"\$\frac{\$"]  # dollars, and no mathematics
    assert axes[-1].get_xlabel() == axis
    assert axes[0].get_ylabel() == "amplitude\n(mV\\$_{\\$)"
    assert axes[0].dataLim.x1 == pytest.approx(end)
    assert [a.get_xlim() for a in axes] == [(a.dataLim.x0, a.dataLim.x1) for a in axes]  # no margins
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


def picture_figure():
    from matplotlib.figure import Figure

    return Figure
