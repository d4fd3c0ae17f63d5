"""The form of a table: which data, how many epochs, and what stands above every output."""

import pytest

from sepray.errors import UsageError
from sepray.tables import forms
from sepray.tables.spec import Data, Form, Part, Row, Table

ROWS = (
    Row("Plain (no cross)", "cass:CASS", {"low": "0.5 0.6"}),
    Row("Code", "cass:published"),
    Row("NES", "neural_egg"),
    Row("Theirs", missing="it is not public"),
)
MUSIC = Data("stems", ("folder={songs}", "sample_rate=8000"), "fifty songs")
STAND_IN = Data("stems", ("folder=:synthesised:",), "five small tracks")
SHORT = Form(4, 2, {"cass": "width=8 depth=2", "NES": "width=4", "absent": "x=1", "task": "train=64"})
TABLE = Table(
    "paper-1", "Paper, Table 1", ("si_sdr", "relative_l2"), (Part("", MUSIC, ROWS, stand_in=STAND_IN),),
    Form(500, 5), SHORT, {"cass": 500, "cass_published": 1000},
)  # fmt: skip
PART = TABLE.parts[0]


def made(length, folders=(), **changes):
    return forms.comparison(TABLE, 0, forms.chosen_form(TABLE, length, folders, **changes))


def test_short_form_takes_the_stand_in_and_says_so_in_capitals():
    comparison = made("minutes")
    assert comparison.name == "paper-1-minutes"
    assert (comparison.budget.max_epochs, comparison.budget.final_seeds, comparison.budget.trials) == (4, 2, 0)
    assert "task.folder=:synthesised:" in comparison.settings
    said = forms.label(TABLE, PART, forms.chosen_form(TABLE, "minutes", ()))
    assert said.startswith(
        "SHORT FORM (--budget minutes): 4 epochs where the paper has 500 or 1000, 2 seeds, with cass width=8"
    )
    assert "STAND-IN DATA: five small tracks, in place of fifty songs." in said
    assert "nothing about the paper's" in said


def test_short_form_with_the_folder_has_the_papers_data_with_few_items():
    comparison = made("minutes", ["/songs"])
    assert comparison.settings[-2:] == ("task.folder=/songs", "task.sample_rate=8000")
    assert "task.train=64" in comparison.settings
    said = forms.label(TABLE, PART, forms.chosen_form(TABLE, "minutes", ["songs=/songs"]))
    assert "SHORT FORM" in said
    assert "Data: fifty songs." in said
    assert "STAND-IN" not in said


def test_full_form_needs_its_data_and_has_no_settings_of_the_short_one():
    assert made("full") == forms.Missing("not run: it needs --folder songs=FOLDER (fifty songs)")
    comparison = made("full", ["songs=/songs"])
    assert comparison.settings == ("task.folder=/songs", "task.sample_rate=8000")
    assert (comparison.name, comparison.budget.max_epochs, comparison.budget.final_seeds) == ("paper-1-full", 500, 5)
    said = forms.label(TABLE, PART, forms.chosen_form(TABLE, "full", ["/songs"]))
    assert said.startswith(
        "Full form (--budget full): 500 epochs where the paper has 1000, 5 seeds. Data: fifty songs."
    )
    assert "SHORT" not in said


def test_settings_go_to_the_rows_that_train_that_separator():
    """A variant of it is another separator, and a row can be named."""
    own = [setting for setting in made("minutes").settings if not setting.startswith("task.")]
    assert own == ["Plain-no-cross.width=8", "Plain-no-cross.depth=2", "NES.width=4"]


def test_rows_that_cannot_be_run_are_no_part_of_the_comparison():
    assert made("minutes").separators == ("Plain-no-cross=cass:CASS", "Code=cass:published", "NES=neural_egg")


def test_given_epochs_and_seeds_are_those_of_the_label():
    changed = forms.chosen_form(TABLE, "full", ["/songs"], max_epochs=20, seeds=1)
    assert forms.label(TABLE, PART, changed).startswith(
        "Full form (--budget full): 20 epochs where the paper has 500 or 1000, 1 seed."
    )
    assert [forms.epochs_words(TABLE, row, changed) for row in ROWS[:3]] == ["20 of 500", "20 of 1000", "20"]


def test_objective_is_the_norm_of_the_papers_curves_or_the_first_that_every_epoch_can_afford():
    assert made("minutes").objective == ("relative_l2",)
    slow = Table("t", "T", ("sdr", "si_sdr"), TABLE.parts, TABLE.full, TABLE.minutes)
    assert forms.comparison(slow, 0, forms.chosen_form(slow, "minutes", ())).objective == ("si_sdr",)


def test_parts_have_names_of_their_own():
    parts = (Part("X low", STAND_IN, ROWS), Part("X high", STAND_IN, ROWS))
    two = Table("t", "T", ("si_sdr", "snr"), parts, TABLE.full, TABLE.minutes)
    form = forms.chosen_form(two, "minutes", ())
    assert [forms.comparison(two, k, form).name for k in (0, 1)] == ["t-minutes-x-low", "t-minutes-x-high"]


@pytest.mark.parametrize("folder", ["others=/x", "songs="])
def test_folder_without_a_place_in_the_table_is_refused(folder):
    with pytest.raises(UsageError, match="the table takes songs=FOLDER"):
        forms.chosen_form(TABLE, "full", [folder])


def test_results_of_others_are_compared_on_the_papers_tracks_alone():
    bss = Table("t", "T", ("sdr", "si_sdr"), TABLE.parts, TABLE.full, TABLE.minutes)
    given = {"museval_results": ("OZE=/sisec/OZE",)}
    on_songs = forms.comparison(bss, 0, forms.chosen_form(bss, "full", ["/songs"]), **given)
    assert on_songs.museval_results == ("OZE=/sisec/OZE",)
    assert forms.comparison(bss, 0, forms.chosen_form(bss, "minutes", ()), **given).museval_results == ()
