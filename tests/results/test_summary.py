"""A result in words: as printed, and in a notebook."""

import json

import pytest

from ..simulation import Killed
from .conftest import found


def test_printed_result_is_readable(finished):
    lines = repr(finished).splitlines()
    assert lines[0] == "small: cass on ecg, finished"
    assert [line.strip() for line in lines[1:4]] == finished.conclusion.splitlines()
    assert lines[4] == "  4 trials: 4 ran the whole budget; 6 retrainings of the best."
    assert f"  folder         {finished.folder}" in lines
    assert "  model          models:/cass-ecg/3" in lines


def test_printed_result_commands_no_terminal(finished, monkeypatch):
    monkeypatch.setattr(type(finished), "conclusion", "\x1b]0;title\x07\n[/x]")
    assert repr(finished).splitlines()[1:3] == [r"  \x1b]0;title\x07", "  [/x]"]


def test_notebook_shows_conclusion_table_and_places_and_no_markup_of_the_user(finished, spec):
    told = {"name": "a", "version": "1", "champion": True, "sentence": "Registered <script>.", "commands": []}
    (finished.folder / "registration.json").write_text(json.dumps(told))
    page = found(spec)._repr_html_()
    assert "<h3>small: cass on ecg, finished</h3>" in page
    assert "<p>Registered &lt;script&gt;.</p>" in page
    answer, settings = page.index(f"<b>{finished.answer}</b>"), page.index("<caption>Settings of the champion, ")
    assert answer < page.index("difference to plain") < settings < page.index(f"<p>{finished.facts[0]}</p>")
    assert f"<td>{finished.settings().hyperparameters['beta']}</td>" in page
    assert "<script>" not in page
    assert f"<code>{finished.folder}</code>" in page
    value = finished.result["rows"][0]["values"]["mean"][0]
    assert f"<td>{value:.3f}</td>" in page


def test_notebook_shows_a_study_without_a_champion(run_study, simulation, spec):
    simulation.kill_after = 1
    with pytest.raises(Killed):
        run_study(spec)
    page = found(spec)._repr_html_()
    assert "not finished" in page
    assert "<table" not in page
