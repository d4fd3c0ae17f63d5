"""Style of figures: files of equal content, scales, whole numbers."""

import io

import pytest
from matplotlib import rc_context
from matplotlib.image import imread

from sepray.report import figures
from sepray.report.figures import MARKS, SOURCES, STYLE, legend_above, log_where_wide, new_figure, render, whole_numbers
from sepray.report.wording import OUTCOMES


def drawn(points: int = 2):
    figure, axes = new_figure()
    axes.plot(range(points), range(points), label="a line")
    return figure, axes


def test_figure_has_the_width_of_the_page_and_as_many_axes_as_asked_for():
    figure, axes = new_figure(2.5, rows=2, columns=3, sharex=True)
    assert figure.get_size_inches().tolist() == [6.4, 2.5]
    assert axes.shape == (2, 3)
    axes[0, 0].set_xlim(3, 4)
    assert axes[1, 2].get_xlim() == (3, 4)
    figure, axes = new_figure()
    assert figure.get_size_inches().tolist() == [6.4, 3.4]


@pytest.mark.parametrize(("name", "begins"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG")])
def test_equal_figures_are_equal_files_without_a_date(name, begins):
    with rc_context(STYLE):
        first, second = (render(drawn()[0], name, "what", "caption") for _ in range(2))
    assert first.content == second.content
    assert first.content.startswith(begins)
    assert (first.name, first.description, first.caption) == (name, "what", "caption")
    assert b"dc:date" not in first.content
    assert b"Software" not in first.content


def test_large_drawing_becomes_pixels(monkeypatch):
    kept = render(drawn()[0], "a.svg", "what", "caption")
    monkeypatch.setattr(figures, "LARGEST_SVG", len(kept.content))
    assert render(drawn()[0], "a.svg", "what").name == "a.svg"
    monkeypatch.setattr(figures, "LARGEST_SVG", len(kept.content) - 1)
    large = render(drawn()[0], "a.svg", "what", "caption")
    assert (large.name, large.description, large.caption) == ("a.png", "what", "caption")
    pixels = imread(io.BytesIO(large.content))
    assert pixels.shape[:2] == (544, 1024)  # 3.4 by 6.4 inches of 160 pixels
    columns = (pixels[..., :3].min(2) < 0.5).nonzero()[1]  # laid out: the labels are inside, and nothing is wasted
    assert (columns.min(), columns.max()) == pytest.approx((8, 1017), abs=6)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 8], "linear"), ([1, 8.1], "log"), ([0, 9], "linear"), ([-1, 9], "linear"), ([], "linear"), ([9, 1], "log")],
)
def test_scale_is_logarithmic_where_positive_values_span_more_than_a_factor_of_eight(values, scale):
    _, axes = drawn()
    log_where_wide(axes, values)
    assert axes.get_yscale() == scale


def test_epochs_are_whole_numbers():
    _, axes = drawn()
    axes.set_xlim(0, 3)
    assert len(axes.get_xticks()) > 5
    whole_numbers(axes)
    axes.set_xlim(0, 3)
    assert axes.get_xticks().tolist() == [0, 1, 2, 3]
    axes.set_xlim(0, 40)
    assert {tick % 5 for tick in axes.get_xticks()} == {0}


def test_legend_lies_above_the_axes_if_there_is_anything_to_tell():
    figure, axes = drawn()
    legend_above(axes)
    figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1
    _, bare = new_figure()
    legend_above(bare)
    assert bare.get_legend() is None


def test_outcomes_and_sources_can_be_told_apart():
    assert MARKS.keys() == OUTCOMES.keys()
    for kind in zip(*MARKS.values(), strict=True):
        assert len(set(kind)) == len(MARKS)
    assert len(set(SOURCES)) == len(SOURCES) == 6
