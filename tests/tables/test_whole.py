"""A table from its command to its files, with a real training of an epoch."""

import csv

import pytest

from sepray.tables import command
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

ROWS = (
    Row("Const", "constant_mask", {"notes": "0.0 1.0"}),
    Row("Supervised", "supervised_mask:debug", {"notes": "8.3 0.4"}),
)
TABLE = Table(
    "whole", "Lab, Table 1", ("si_sdr", "relative_l2"),
    (Part("", Data("notes_and_bursts:debug", (), "notes and bursts"), ROWS, ("notes",)),), Form(50, 3), Form(2, 1),
    {"supervised_mask": 50}, figures=(Figure("curves", "Figure 1", ("Supervised",)), Figure("item", "Figure 2")),
)  # fmt: skip


@pytest.mark.slow  # two studies, each with a Ray of its own
def test_table_is_made_with_its_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = command.parse(TABLE, ["--cache", str(tmp_path / "cache")])
    assert command.run(TABLE, options) == 0
    folder = tmp_path / "sepray-results" / "whole-minutes"
    assert {path.name for path in folder.glob("*.*")} == {
        "table.md", "table.tex", "table.csv", "figure-1.pdf", "figure-2.pdf",
    }  # fmt: skip
    rows = {(r["row"], r["measure"]): r for r in csv.DictReader((folder / "table.csv").open())}
    assert rows["Supervised", "si_sdr"]["published"] == "8.3"
    assert rows["Supervised", "si_sdr"]["epochs"] == "2 of 50"
    assert float(rows["Const", "si_sdr"]["ours"]) == pytest.approx(float(rows["unprocessed mixture", "si_sdr"]["ours"]))
