"""The tables that come with sepray: each can be made without a download in its short form, and says what it needs."""

import runpy
from dataclasses import fields
from pathlib import Path

import pytest

from sepray import registry
from sepray.comparison import separators_flag
from sepray.comparison.contenders import contender
from sepray.contracts import Signal
from sepray.separators import supervised_mask
from sepray.tables import forms
from sepray.tables.spec import Table

FOLDER = Path(__file__).parents[2] / "studies" / "tables"
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")


@pytest.fixture(params=FILES, ids=[path.stem for path in FILES])
def table(request) -> Table:
    return runpy.run_path(str(request.param))["TABLE"]


def test_there_is_a_file_for_each_table_of_the_papers():
    wanted = {"cass_table_1", "cass_table_2", "cass_table_3", "nes_table_1", "nes_table_2", "nes_table_3"}
    assert {path.stem for path in FILES} >= wanted | {"ssgan_figure_4", "sepgan_piano"}


def test_short_form_needs_no_folder_and_all_its_names_exist(table):
    short = forms.chosen_form(table, "minutes", ())
    for number, part in enumerate(table.parts):
        comparison = forms.comparison(table, number, short)
        assert not isinstance(comparison, forms.Missing), part.title
        comparison.check()
        assert comparison.name.startswith(f"{table.name}-minutes")
        assert "SHORT FORM" in forms.label(table, part, short)


def test_every_setting_of_a_form_is_of_a_row(table):
    """A name that is misspelt would be left out without a word."""
    rows = [row for part in table.parts for row in part.rows if row.separator]
    owners = {row.name for row in rows} | {forms._module(row) for row in rows} | {"task"}
    assert {*table.minutes.settings, *table.full.settings} <= owners


def test_settings_are_fields_of_the_separators_or_hyperparameters(table):
    for number, part in enumerate(table.parts):
        for row in (row for row in part.rows if row.separator):
            entry = separators_flag.read(row.separator)
            known = registry.configs(registry.find("sepray.separators", entry.separator))
            name = f"{entry.separator}:{entry.wanted}" if entry.wanted in known else entry.separator
            known_fields = {field.name for field in fields(registry.config("sepray.separators", name))}
            comparison = forms.comparison(table, number, forms.chosen_form(table, "minutes", ()))
            given = {*comparison.given(row.name), *entry.settings}
            others = {field for field in given - known_fields if not field.startswith(("start.", "cross."))}
            assert others <= {"autoencoder_learning_rate", "discriminator_learning_rate"}, row.label


def test_full_form_is_as_long_as_the_paper_says(table):
    said = {epochs for name, epochs in table.paper_epochs.items() if name != "cass_published"}
    assert said <= {table.full.max_epochs}  # the authors' code stops when it is no better, after 1000 at most


def test_starts_of_nes_are_trained_as_long_as_their_own_rows_in_the_full_form():
    for name in ("nes_table_1", "nes_table_2", "nes_table_3"):
        table = runpy.run_path(str(FOLDER / f"{name}.py"))["TABLE"]
        for row in (row for row in table.parts[0].rows if "start=" in row.separator):
            assert f"start_epochs={table.full.max_epochs}" in table.full.settings[row.name].split()


def test_mnist_has_smaller_networks_than_pairs_of_images(monkeypatch):
    """A.1: masks have two layers fewer, one on either way, and generators one fewer."""
    table = runpy.run_path(str(FOLDER / "nes_table_1.py"))["TABLE"]
    signal, found = Signal(("x", "b"), 1, (16, 16), None), []
    small = supervised_mask.DEBUG.build(signal)
    monkeypatch.setattr("sepray.comparison.contenders.build", lambda *_: small)  # the networks themselves take a second
    for number in (0, 2):
        full = forms.chosen_form(table, "full", ("mnist=.", "shoes=.", "bags=."))
        given = forms.comparison(table, number, full)
        rows = [contender(entry, given, given.spaces(), signal).config for entry in given.entries()]
        found.append({row.label: config for row, config in zip(table.parts[number].rows, rows, strict=True)})
    digits, pairs = found
    for label in ("AM", "NES", "FT", "Supervised", "FT from AM"):
        assert (digits[label].layers, pairs[label].layers) == (3, 4), label
        assert digits[label].width == pairs[label].width == 64
    assert (digits["GLOM"].size, pairs["GLOM"].size) == (32, 64)
    assert (digits["FT"].start, pairs["FT"].start) == ("glo_masking:paper size=32", "glo_masking:paper")
    assert pairs["FT from AM"].start == "adversarial_masking:paper layers=4"


def test_short_forms_settings_are_those_that_are_trained_also_where_a_row_has_others():
    table = runpy.run_path(str(FOLDER / "nes_table_1.py"))["TABLE"]
    given = forms.comparison(table, 0, forms.chosen_form(table, "minutes", ()))
    signal = Signal(("x", "b"), 1, (16, 16), None)
    [glom] = [contender(e, given, given.spaces(), signal) for e in given.entries() if e.name == "GLOM"]
    assert (glom.config.size, glom.config.width) == (16, 8)
