"""The figures of a comparison."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from sepray.comparison import figure


def test_figures_show_every_measure_and_say_it_in_words(built):
    shown = figure.pictures(built)
    assert [p.name for p in shown] == ["si_sdr.svg", "si_sdr.png", "relative_l2.svg", "relative_l2.png"]
    assert shown[0].content.startswith(b"<?xml")
    assert shown[1].content.startswith(b"\x89PNG")
    assert "good 8.50, poor_one (50% & {more}) 4.00, unprocessed mixture" in shown[0].description
    assert [p.content for p in figure.pictures(built)] == [p.content for p in shown]


@pytest.fixture
def axes(built, monkeypatch):
    """The axes of the figure of SI-SDR, before it becomes a file."""
    drawn = []
    monkeypatch.setattr(figure, "render", lambda fig, *_: drawn.append(fig) or fig)
    figure.pictures(built)
    assert [fig.get_size_inches().tolist() for fig in drawn] == [[6.4, pytest.approx(1.2 + 0.46 * 6)]] * 4
    (axes,) = drawn[0].axes
    return axes


def lines(axes, orientation):
    """(place, from, to) of every line of a kind: intervals are horizontal, means vertical."""
    along = 0 if orientation == "horizontal" else 1
    segments = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    straight = [s for s in segments if len(set(s[:, 1 - along])) == 1]
    return [(float(s[0, 1 - along]), *map(float, s[:, along])) for s in straight]


def test_best_system_is_on_top_and_every_system_has_a_place(axes, built):
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        row.system.replace(" (", "\n(") for row in reversed(built.rows)
    ]
    assert axes.get_yticks().tolist() == [0, 1, 2, 3, 4, 5]
    assert axes.get_ylim() == (-0.6, 5.6)
    assert axes.get_xlabel() == "SI-SDR (dB), mean over sources: more is better"


def test_mean_and_interval_of_each_system_are_drawn_at_its_place(axes, built):
    for place, row in enumerate(reversed(built.rows)):
        cell = row.cells["si_sdr", "mean"]
        assert (pytest.approx(place), pytest.approx(cell.low), pytest.approx(cell.high)) in lines(axes, "horizontal")
        ends = (pytest.approx(place - 0.16), pytest.approx(place + 0.16))
        assert (pytest.approx(cell.mean), *ends) in lines(axes, "vertical")


def test_box_is_the_middle_half_of_the_items(axes):
    boxes = [patch.get_path().vertices for patch in axes.patches]
    # Items of the best system, mean over seeds and sources: 7, 8, 9 and 10 dB. Of the second: 2.5, 3.5, 4.5, 5.5.
    for box, place, low, high in ((boxes[5], 5, 7.75, 9.25), (boxes[4], 4, 3.25, 4.75)):
        assert (box[:, 0].min(), box[:, 0].max()) == (pytest.approx(low), pytest.approx(high))
        assert (box[:, 1].min(), box[:, 1].max()) == (pytest.approx(place - 0.28), pytest.approx(place + 0.28))
    assert not any(line.get_marker() == "o" for line in axes.lines)  # no dots of single items


def test_every_seed_of_a_separator_is_a_dot_beside_its_place(axes):
    dots = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    assert len(dots) == 2  # of the separators; bounds have no seeds
    np.testing.assert_allclose(dots[0], [[3.5, 3.8], [4.5, 4.2]])
    np.testing.assert_allclose(dots[1], [[7.5, 4.8], [9.5, 5.2]])


def test_reference_and_the_end_of_the_separators_are_marked(axes):
    marks = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 2]
    upright = [float(m[0, 0]) for m in marks if m[0, 0] == m[1, 0] and set(m[:, 1]) == {0, 1}]
    level = [float(m[0, 1]) for m in marks if m[0, 1] == m[1, 1] and set(m[:, 0]) == {0, 1}]
    assert upright == [8.5]
    assert level == [3.5]
    [text] = axes.texts
    assert (text.get_text(), text.xy, text.xycoords) == ("reference", (8.5, 1.0), ("data", "axes fraction"))
