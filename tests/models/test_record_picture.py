"""The picture of a real recording: the lead with the surest beats, what was found and what is known of each heart."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sepray.models.record_picture import draw
from sepray.signals.beats import Beats
from sepray.signals.heart_annotations import Annotation

RECORDING = SimpleNamespace(rate=100.0, unit="mV")
BEATS = np.array([0.5, 1.3, 2.1, 2.9, 7.0])  # the last one in the second segment


@pytest.fixture
def drawn(monkeypatch):
    """Draws two leads with two segments of 5 s of a mother and her fetus; returns the figure, which is not written."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, format: kept.append((figure, path, format)))

    def made(known, sure=(0.9, 0.0)):
        signals = torch.arange(3 * 2 * 2 * 500, dtype=torch.float64).reshape(3, 2, 2, 500)
        found = {}
        for name, rate, least, most in (("maternal", 75.0, 0.2, sure[0]), ("fetal", 0.0, 0.5, sure[1])):
            times = torch.tensor([0.5, 1.25, math.nan]).expand(2, 2, -1)
            confidence = torch.tensor([[least, 0.0], [most, 0.0]])
            found[name] = Beats(times, torch.tensor([[1.0, 2.0], [rate, 3.0]]), confidence)
        estimates = {"maternal": signals[1], "fetal": signals[2]}
        draw("it.png", "r: cass", signals[0], estimates, found, known, RECORDING)
        ((figure, path, kind),) = kept
        assert (path, kind) == ("it.png", "png")
        return figure, signals

    return made


def test_panels_show_the_first_segment_of_the_surest_lead(drawn):
    known = {"maternal": Annotation(math.nan, BEATS, "r.atr"), "fetal": Annotation(0.0, None, "rates.csv")}
    figure, signals = drawn(known)
    assert figure.get_suptitle() == "r: cass, lead 2 of 2, first 5 s"
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "mixture",
        "maternal: 75 bpm found, known: 75 bpm (r.atr)",
        "fetal: no such heart found, known: none (rates.csv)",
    ]
    for axes, signal in zip(figure.axes, signals, strict=True):
        np.testing.assert_allclose(axes.lines[0].get_xdata(), np.arange(500) / 100)
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), signal[1, 0])
        assert axes.get_ylabel() == "amplitude\n(mV)"
    _, *annotated, triangles = figure.axes[1].lines
    assert [line.get_xdata()[0] for line in annotated] == pytest.approx([0.5, 1.3, 2.1, 2.9])
    assert triangles.get_xdata().tolist() == [0.5, 1.25]
    assert triangles.get_ydata().tolist() == [float(signals[1, 1, 0].max())] * 2
    assert len({axes.lines[0].get_color() for axes in figure.axes}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["beat found", "beat annotated"]


def test_few_beats_have_no_rate_and_rates_no_lines(drawn):
    figure, _ = drawn({"maternal": Annotation(math.nan, BEATS[2:], "r.atr")}, sure=(0.5, 0.15))
    assert figure.get_suptitle() == "r: cass, lead 1 of 2, first 5 s"  # 0.2 and 0.5 are more than 0.5 and 0.15
    assert figure.axes[1].get_title(loc="left") == "maternal: 1 bpm found, known: 2 beats (r.atr)"
    assert figure.axes[2].get_title(loc="left") == "fetal: 1 bpm found"


def test_legend_of_rates_alone_has_no_annotated_beats(drawn):
    figure, _ = drawn({"maternal": Annotation(80.0, None, "rates.csv")})
    assert figure.axes[1].get_title(loc="left") == "maternal: 75 bpm found, known: 80 bpm (rates.csv)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["beat found"]
