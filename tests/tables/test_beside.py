"""Our figures stand beside the published ones: in lines, in Markdown, in LaTeX and in CSV."""

from dataclasses import replace

import pytest

from sepray.comparison import table as comparisons
from sepray.comparison.contenders import LeftOut
from sepray.comparison.running import ComparisonFigures
from sepray.comparison.spec import Comparison
from sepray.tables import beside, formats

from ..comparison.conftest import entry
from .conftest import CHOSEN, PART, TABLE


def test_every_row_of_the_paper_has_a_line_in_its_order_and_bounds_follow(part):
    assert [line.label for line in part.lines][:4] == ["The good", "Failed", "Not public", "Ours alone"]
    assert part.lines[4].label == "unprocessed mixture"
    assert {line.note for line in part.lines[4:]} == {"a bound"}


def test_published_figures_are_as_printed_and_ours_are_of_the_row_of_that_name(part):
    good = part.lines[0]
    assert good.published == {("low", "si_sdr"): "6.50", ("low", "relative_l2"): "0.10", ("high", "si_sdr"): "8.50"}
    assert good.ours["low", "si_sdr"].mean == pytest.approx(7.5)
    assert good.ours["high", "si_sdr"].mean == pytest.approx(9.5)
    assert (good.epochs, good.seeds) == ("12 of 500", 2)
    assert part.lines[3].published == {}
    assert part.lines[3].ours["low", "si_sdr"].mean == pytest.approx(3.0)


def test_rows_without_figures_say_why(part):
    notes = [line.note for line in part.lines[:4]]
    assert notes == ["", "no figures: out of memory", "its code is not public", "1 of 3 seeds failed: loss not finite"]
    assert not part.lines[1].ours
    assert part.lines[1].published["low", "si_sdr"] == "1.25"


def test_part_that_was_not_run_has_the_published_figures_alone():
    part = beside.part_table(TABLE, PART, CHOSEN, None, "not run: it needs --folder x=FOLDER")
    assert part.sources == ("low", "high")
    assert [line.note for line in part.lines] == ["not run: it needs --folder x=FOLDER"] * 2 + [
        "its code is not public",
        "not run: it needs --folder x=FOLDER",
    ]
    assert not any(line.ours for line in part.lines)


def test_what_learns_nothing_has_no_epochs(data):
    good = entry("The-good", "The-good", [[5, 6, 7, 8]])
    still = replace(good, contender=replace(good.contender, learns=False))
    found = comparisons.build(Comparison(task="my_task", measures=("si_sdr",)), data, ComparisonFigures([still]))
    assert beside.part_table(TABLE, PART, CHOSEN, found).lines[0].epochs == ""


def test_caption_says_where_unpaired_samples_are_of_the_mixtures_own_recordings(data):
    few = replace(data.train, units=(("the only piece",),) * len(data.train))
    shown = entry("The-good", "The-good", [[5, 6, 7, 8]])
    shown = replace(shown, contender=replace(shown.contender, supervision="unpaired sources"))
    comparison = Comparison(task="my_task", measures=("si_sdr",))
    found = comparisons.build(comparison, replace(data, train=few, unit_names=("pieces",)), ComparisonFigures([shown]))
    caption = beside.part_table(TABLE, PART, CHOSEN, found).caption
    assert caption.startswith("Mean over 4 test items")
    assert caption.endswith(
        "There are too few pieces to be divided: unpaired samples are other crops than those in the mixtures, but of "
        "the same pieces."
    )
    assert caption in formats.markdown(TABLE, [beside.part_table(TABLE, PART, CHOSEN, found)])


def test_caption_says_where_imported_rows_are_from_and_what_the_figures_are(found):
    told = "Imported, not computed here: OZE (sisec/OZE. 2015). All figures are of 3 of 4 test tracks. "
    shown = replace(found, caption=told + found.caption, imported=told)
    caption = beside.part_table(TABLE, PART, CHOSEN, shown).caption
    assert caption == told + beside.part_table(TABLE, PART, CHOSEN, found).caption
    assert "Mean over 4 test items" in caption


def test_rows_of_a_comparison_without_figures_say_each_why():
    left = [LeftOut("The-good", "the disk is full"), LeftOut("Failed (12 of 500 epochs)", "out of memory")]
    lines = beside.part_table(TABLE, PART, CHOSEN, None, left_out=left).lines
    assert [line.note for line in lines[:2]] == ["no figures: the disk is full", "no figures: out of memory"]
