"""Figures beside a table: error curves of all methods, and what is said where one cannot be drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sepray.comparison import table as comparisons
from sepray.comparison.publishing import Result
from sepray.comparison.running import Outcome, Training
from sepray.comparison.spec import Comparison
from sepray.tables import beside, figures, forms
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

from ..comparison.conftest import data, entry  # noqa: F401 - a fixture

ROWS = (Row("Slow one", "nmf"), Row("Quick one", "kam"), Row("Other", "sepgan"))
PART = Part("", Data("my_task", (), "noise"), ROWS)
FIGURES = (Figure("curves", "Figure 5", ("Quick one", "Slow one"), tail=0.5), Figure("discriminators", "Figure 6"))
TABLE = Table("lab-1", "Lab, Table 1", ("relative_l2",), (PART,), Form(500, 5), Form(4, 2), figures=FIGURES)


def training(values, seed):
    return Training([{"epoch": k, "validation/low/relative_l2": v, "validation/high/relative_l2": 2 * v}
                     for k, v in enumerate(values, 1)], "gone", seed, seed)  # fmt: skip


@pytest.fixture
def drawn(data, monkeypatch):  # noqa: F811
    """Pictures of the table, and what the panels of the curves show: panel -> line -> values."""
    runs = {"Slow-one": [[0.9, 0.8, 0.7, 0.6], [0.8, 0.7, 0.6, 0.5]], "Quick-one": [[0.5, 0.4, 0.3, 0.2]], "Other": []}
    entries = [
        replace(entry(key, key, [[1, 2, 3, 4]]), trainings=tuple(training(v, s) for s, v in enumerate(kept)))
        for key, kept in runs.items()
    ]
    comparison = Comparison(task="my_task", measures=("relative_l2",))
    found = comparisons.build(comparison, data, Outcome(entries, []))
    part = beside.part_table(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()), found)
    shown = []
    kept = figures._pdf

    def keep(figure):
        shown.append([{line.get_label(): line.get_ydata() for line in axes.lines} for axes in figure.axes])
        return kept(figure)

    monkeypatch.setattr(figures, "_pdf", keep)
    return figures.pictures(TABLE, part, Result(comparison, 0, data, Outcome(entries, []), found)), shown


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


def test_box_has_the_mean_and_a_standard_deviation_on_either_side_of_the_items_that_have_a_score():
    found = figures.box(np.array([[1.0, 2.0, np.nan, 9.0], [3.0, 4.0, 5.0, 9.0]]))  # items: 2, 3, none, 9
    deviation = np.sqrt((2.667**2 + 1.667**2 + 4.333**2) / 3)
    expected = {"mean": 4.667, "med": 3, "q1": 4.667 - deviation, "q3": 4.667 + deviation, "whislo": 2, "whishi": 9}
    assert found == pytest.approx(expected, abs=1e-3)
    assert figures.box(np.full((2, 3), np.nan)) == {}


def test_boxes_have_every_method_by_its_label_in_a_panel_for_each_source_and_measure(data):  # noqa: F811
    comparison = Comparison(task="my_task", measures=("si_sdr", "relative_l2"))
    outcome = Outcome([entry("Quick-one", "Quick-one", [[1, 2, 3, 4]]), entry("Other", "Other", [[5, 6, 7, 8]])])
    found = comparisons.build(comparison, data, outcome)
    part = beside.part_table(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()), found)
    part = replace(part, measures=("si_sdr", "relative_l2"))
    rows = [figures.Drawn(label, e) for label, e in zip(("Quick one", "Other"), outcome.entries, strict=True)]
    drawing = figures.boxes(Figure("boxes", "4"), rows, part, Result(comparison, 0, data, outcome, found))
    assert [axes.get_title() for axes in drawing.axes] == ["low", "high"] * 2
    assert [[t.get_text() for t in axes.get_xticklabels()] for axes in drawing.axes] == [["Other", "Quick one"]] * 4


class ByGradients:
    """A trained separator that computes a gradient in order to separate, as GLO masking does."""

    def __init__(self):
        self.weight = torch.full((2, 1, 1), 0.5, requires_grad=True)

    def separate(self, mixture):
        (mixture.mean() * self.weight).sum().backward()
        return mixture[:, None] * self.weight


@pytest.mark.parametrize("broken", [False, True])
def test_item_is_separated_by_every_method_and_a_bug_in_one_costs_the_figure_alone(data, monkeypatch, broken):  # noqa: F811
    separator = None if broken else ByGradients()
    monkeypatch.setattr(Training, "separator", lambda *_: separator)
    one = replace(entry("Other", "Other", [[1, 2, 3, 4]]), trainings=(training([0.5], 0),))
    part = beside.part_table(
        TABLE, replace(PART, sources=("low", "high")), forms.chosen_form(TABLE, "minutes", ()), None
    )
    drawn = figures._drawn(
        Figure("item", "Figure 1"), [figures.Drawn("Other", one)], part, Result(Comparison(task="my_task"), 0, data)
    )
    if broken:
        assert drawn.startswith("AttributeError: 'NoneType' object")
    else:
        assert [axes.get_title() for axes in drawn.axes] == ["mixture", "Other", "truth"] * 2
