"""Figures beside a table: error curves of all methods, and what is said where one cannot be drawn."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure as Sheet

from sepray.comparison import table as comparisons
from sepray.comparison.publishing import ComparisonResult
from sepray.comparison.running import ComparisonFigures, Training
from sepray.comparison.spec import Comparison
from sepray.tables import beside, figures, forms
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

from ..comparison.conftest import entry

ROWS = (Row("Slow one", "nmf"), Row("Quick one", "kam"), Row("Other", "sepgan"))
PART = Part("", Data("my_task", (), "noise"), ROWS)
FIGURES = (Figure("curves", "Figure 5", ("Quick one", "Slow one"), tail=0.5), Figure("discriminators", "Figure 6"))
TABLE = Table("lab-1", "Lab, Table 1", ("relative_l2",), (PART,), Form(500, 5), Form(4, 2), figures=FIGURES)


def training(values, seed):
    return Training([{"epoch": k, "validation/low/relative_l2": v, "validation/high/relative_l2": 2 * v}
                     for k, v in enumerate(values, 1)], "gone", seed, seed)  # fmt: skip


@pytest.fixture
def drawn(data, monkeypatch):
    """Pictures of the table, and what the panels of the curves show: panel -> line -> values."""
    runs = {"Slow-one": [[0.9, 0.8, 0.7, 0.6], [0.8, 0.7, 0.6, 0.5]], "Quick-one": [[0.5, 0.4, 0.3, 0.2]], "Other": []}
    entries = [
        replace(entry(key, key, [[1, 2, 3, 4]]), trainings=tuple(training(v, s) for s, v in enumerate(kept)))
        for key, kept in runs.items()
    ]
    comparison = Comparison(task="my_task", measures=("relative_l2",))
    found = comparisons.build(comparison, data, ComparisonFigures(entries, []))
    part = beside.part_table(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()), found)
    shown = []
    kept = figures._pdf

    def keep(figure):
        shown.append([{line.get_label(): line.get_ydata() for line in axes.lines} for axes in figure.axes])
        assert [axes.get_yscale() for axes in figure.axes] == ["log"] * 4  # of a measure without a unit
        named = [(axes.get_ylabel(), axes.get_xlabel()) for axes in figure.axes]
        words = "relative L2 error"
        assert named == [*[(f"low: {words}", "")] * 2, *[(f"high: {words}", "epoch")] * 2]
        return kept(figure)

    monkeypatch.setattr(figures, "_pdf", keep)
    return figures.pictures(
        TABLE, part, ComparisonResult(comparison, 0, data, ComparisonFigures(entries, []), found)
    ), shown


def test_curves_of_the_methods_lie_over_each_other_with_the_last_epochs_beside(drawn):
    [curves, _], [panels] = drawn
    assert curves.name == "figure-5.pdf"
    assert curves.content.startswith(b"%PDF")
    whole, tail, of_other_source, _ = panels
    np.testing.assert_allclose(whole["Slow one"], [0.85, 0.75, 0.65, 0.55])  # the mean over seeds
    np.testing.assert_allclose(whole["Quick one"], [0.5, 0.4, 0.3, 0.2])
    np.testing.assert_allclose(tail["Quick one"], [0.3, 0.2])
    np.testing.assert_allclose(of_other_source["Quick one"], [1.0, 0.8, 0.6, 0.4])
    assert "Other" not in whole


def test_caption_says_what_is_drawn_and_which_form_it_is(drawn):
    [curves, _], _ = drawn
    assert "validation split after every epoch" in curves.description
    assert "SHORT FORM (--budget minutes): 4 epochs, 2 seeds." in curves.description


def test_figure_that_cannot_be_drawn_says_why(drawn):
    [_, discriminators], _ = drawn
    assert discriminators.content == b""
    assert discriminators.description == "Figure 6: not drawn, the checkpoints of Slow one are gone"


def outputs_of(middle):
    others = {"low": "high", "high": "low"}
    return {s: {"truth": np.full(3, 0.5), f"{o} estimate": np.full(3, middle)} for s, o in others.items()}


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        (None, "none of its rows has discriminators"),
        (outputs_of(0.5), "no discriminator tells true sources from estimates, as where adversaries never trained"),
    ],
)
def test_discriminators_that_are_not_there_or_say_nothing_are_not_drawn(data, monkeypatch, outputs, reason):
    assert drawn_discriminators(data, monkeypatch, outputs) == reason


def test_discriminators_have_a_panel_for_each_source_and_method(data, monkeypatch):
    sheet = drawn_discriminators(data, monkeypatch, outputs_of(0.1))
    assert [axes.get_title() for axes in sheet.axes] == ["Slow one\nD of low", "Slow one\nD of high"]
    assert [axes.lines[0].get_ydata().tolist() for axes in sheet.axes] == [[0.1] * 3] * 2
    assert sheet.get_figheight() == pytest.approx(5.3)


def drawn_discriminators(data, monkeypatch, outputs):
    monkeypatch.setattr(figures, "discriminator_outputs", lambda *_: outputs)
    kept = SimpleNamespace(trainings=[SimpleNamespace(separator=lambda *_: None)], contender=None)
    row = SimpleNamespace(label="Slow one", entry=kept)
    return figures.discriminators(FIGURES[1], [row], None, SimpleNamespace(data=data))


def test_box_has_the_mean_and_a_standard_deviation_on_either_side_of_the_items_that_have_a_score():
    found = figures.box(np.array([[1.0, 2.0, np.nan, 9.0], [3.0, 4.0, 5.0, 9.0]]))  # items: 2, 3, none, 9
    deviation = np.sqrt((2.667**2 + 1.667**2 + 4.333**2) / 3)
    expected = {"mean": 4.667, "med": 3, "q1": 4.667 - deviation, "q3": 4.667 + deviation, "whislo": 2, "whishi": 9}
    assert found == pytest.approx(expected, abs=1e-3)
    assert figures.box(np.full((2, 3), np.nan)) == {}


def test_boxes_have_every_method_by_its_label_in_a_panel_for_each_source_and_measure(data):
    comparison = Comparison(task="my_task", measures=("si_sdr", "relative_l2"))
    outcome = ComparisonFigures(
        [entry("Quick-one", "Quick-one", [[1, 2, 3, 4]]), entry("Other", "Other", [[5, 6, 7, 8]])]
    )
    found = comparisons.build(comparison, data, outcome)
    part = beside.part_table(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()), found)
    part = replace(part, measures=("si_sdr", "relative_l2"))
    rows = [figures.Drawn(label, e) for label, e in zip(("Quick one", "Other"), outcome.entries, strict=True)]
    drawing = figures.boxes(Figure("boxes", "4"), rows, part, ComparisonResult(comparison, 0, data, outcome, found))
    assert [axes.get_title() for axes in drawing.axes] == ["low", "high"] * 2
    assert [[t.get_text() for t in axes.get_xticklabels()] for axes in drawing.axes] == [["Other", "Quick one"]] * 4
    means = [[float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "^"] for axes in drawing.axes]
    assert means[:2] == [[6.5, 2.5], [8.5, 4.5]]
    assert [axes.get_ylabel() for axes in drawing.axes] == ["SI-SDR (dB)", "", "relative L2 error ()", ""]
    assert drawing.get_size_inches()[1] == pytest.approx(0.9 + 2 * 1.8)


class ByGradients:
    """A trained separator that computes a gradient in order to separate, as GLO masking does."""

    def __init__(self):
        self.weight = torch.full((2, 1, 1), 0.5, requires_grad=True)

    def separate(self, mixture):
        (mixture.mean() * self.weight).sum().backward()
        return mixture[:, None] * self.weight


@pytest.mark.parametrize("broken", [False, True])
def test_item_is_separated_by_every_method_and_a_bug_in_one_costs_the_figure_alone(data, monkeypatch, broken):
    separator = None if broken else ByGradients()
    monkeypatch.setattr(Training, "separator", lambda *_: separator)
    one = replace(entry("Other", "Other", [[1, 2, 3, 4]]), trainings=(training([0.5], 0),))
    part = beside.part_table(
        TABLE, replace(PART, sources=("low", "high")), forms.chosen_form(TABLE, "minutes", ()), None
    )
    drawn = figures._drawn(
        Figure("item", "Figure 1"),
        [figures.Drawn("Other", one)],
        part,
        ComparisonResult(Comparison(task="my_task"), 0, data),
    )
    if broken:
        assert drawn.startswith("AttributeError: 'NoneType' object")
    else:
        assert [axes.get_title() for axes in drawn.axes] == ["mixture", "Other", "truth"] * 2
        sides = [[(t.get_text(), t.get_position(), t.get_rotation()) for t in axes.texts] for axes in drawn.axes]
        assert sides == [[("low", (-0.1, 0.5), 90)], [], [], [("high", (-0.1, 0.5), 90)], [], []]
        assert not any(axes.axison for axes in drawn.axes)
        assert drawn.get_size_inches()[1] == pytest.approx(0.7 + 2 * 1.5)


def axes():
    return Sheet().add_subplot()


def test_images_are_drawn_as_they_are_and_sounds_below_the_highest_of_the_mixture():
    grey, colour = axes(), axes()
    pixels = torch.arange(24.0).reshape(3, 2, 4) / 12 - 0.5
    figures._image(grey, pixels[:1], pixels[:1], False)
    figures._image(colour, pixels, pixels, False)
    np.testing.assert_allclose(grey.images[0].get_array(), pixels[0].clamp(0, 1))
    np.testing.assert_allclose(colour.images[0].get_array(), pixels.permute(1, 2, 0).clamp(0, 1))
    assert {i.get_clim() for i in (*grey.images, *colour.images)} == {(0, 1)}
    sound = axes()
    tone = torch.sin(2 * torch.pi * torch.arange(1024.0) / 8)[None]
    figures._image(sound, 0.1 * tone, tone, True)
    (drawn,) = sound.images
    assert drawn.get_array().shape == (65, 128)  # an eighth of the length, and 128 frames
    assert float(drawn.get_array().max()) == pytest.approx(-20, abs=0.01)
    assert (drawn.get_clim(), drawn.origin) == ((-60, 0), "lower")
    for length, bins in ((64, 9), (8192, 257)):
        short = axes()
        figures._image(short, torch.ones(1, length), torch.ones(1, length), True)
        assert short.images[0].get_array().shape[0] == bins


def test_seeds_are_thin_lines_below_their_mean():
    one, several = axes(), axes()
    steps = np.arange(3.0)
    figures._lines(one, steps, np.array([[1.0, 2, 4]]), "a", "red")
    figures._lines(several, steps, np.array([[1.0, 2, 4], [3.0, 4, 8]]), "b", "red")
    assert [line.get_ydata().tolist() for line in one.lines] == [[1, 2, 4]]
    assert [line.get_ydata().tolist() for line in several.lines] == [[1, 2, 4], [3, 4, 8], [2, 3, 6]]
    assert [line.get_alpha() for line in several.lines] == [0.4, 0.4, None]
    assert several.lines[2].get_label() == "b"


def test_measures_after_every_epoch_begin_with_the_papers():
    assert figures._by_epoch(("si_sdr", "sdr", "relative_l2")) == ["relative_l2", "si_sdr"]
    assert figures._by_epoch(("sdr", "sir")) == ["si_sdr"]


def test_curves_are_as_long_as_the_shortest_training():
    def training(*values):
        return SimpleNamespace(history=[{"validation/a/si_sdr": value} for value in values])

    trainings = [training(1, 2, 3), training(4, 5), SimpleNamespace(history=[]), SimpleNamespace(history=[{"x": 1}])]
    row = SimpleNamespace(entry=SimpleNamespace(trainings=trainings))
    assert figures._curve(row, "a", "si_sdr").tolist() == [[1, 2], [4, 5]]
    assert figures._curve(row, "b", "si_sdr") is None
    assert figures._wrapped(30 * "four ").splitlines() == [" ".join(22 * ["four"]), " ".join(8 * ["four"])]
