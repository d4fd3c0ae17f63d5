"""Figures of one recording in the terminal: what is right, what is invented, and what there is nothing to say of."""

from types import SimpleNamespace

from rich.console import Console

from sepray.cli.real_table import real_table
from sepray.scoring.real_records import RecordScores


def shown(scores, leads, segments):
    result = SimpleNamespace(record="a.csv", leads=leads, segments=segments, scores=scores, known={"fetal": "130 bpm"})
    return real_table(result, "mine")


def lines(capsys, scores, leads, segments):
    Console(width=80).print(shown(scores, leads, segments))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_row_has_rate_leads_segments_and_beats(capsys):
    scores = {
        "mine": RecordScores(3, 2, 12, 7, None, 0.98765, 131.6),
        "silence": RecordScores(3, 0, 12, 0, None, None, 0.0),
        "unscored": RecordScores(3, None, 0, None, None, None, 81.0),
        "invents": RecordScores(3, None, 12, None, 0.1234, None, 99.0),
    }
    told = lines(capsys, {"fetal": scores}, 3, 4)
    assert "a.csv: 3 leads, 4 segments each" in told
    title, table, caption = shown({"fetal": scores}, 3, 4).renderables
    assert (title.style, caption.style) == ("italic", "dim")
    assert [row.style for row in table.rows] == ["italic", "bold", "", "", ""]  # the model's own among the others
    for row in (
        *("source, system bpm leads right segments right beat F1", "fetal: 130 bpm"),
        *("mine 132 2/3 7/12 0.988", "silence - 0/3 0/12 -", "unscored 81 - - -", "invents 99 - 12.3% invented -"),
    ):
        assert row in told


def test_one_lead_and_one_segment(capsys):
    assert "a.csv: 1 lead, 1 segment" in lines(capsys, {}, 1, 1)
    assert "a.csv: 1 lead, 2 segments" in lines(capsys, {}, 1, 2)
    assert "a.csv: 2 leads, 1 segment each" in lines(capsys, {}, 2, 1)
