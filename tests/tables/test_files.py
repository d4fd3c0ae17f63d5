"""The tables that come with sepray: each can be made without a download in its short form, and says what it needs."""

import runpy
from dataclasses import fields
from pathlib import Path

import pytest

from sepray import registry
from sepray.comparison import separators_flag
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
    short = forms.chosen(table, "minutes", ())
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
            comparison = forms.comparison(table, number, forms.chosen(table, "minutes", ()))
            given = {*comparison.given(row.name), *entry.settings}
            others = {field for field in given - known_fields if not field.startswith(("start.", "cross."))}
            assert others <= {"autoencoder_learning_rate", "discriminator_learning_rate"}, row.label


def test_full_form_is_as_long_as_the_paper_says(table):
    said = {epochs for name, epochs in table.paper_epochs.items() if name != "cass_published"}
    assert said <= {table.full.max_epochs}  # the authors' code stops when it is no better, after 1000 at most
