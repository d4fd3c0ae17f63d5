"""The table of a comparison as CSV, Markdown, LaTeX and in the terminal."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from rich.console import Console

from sepray.comparison import formats
from sepray.scoring.many_systems import ScoreSummary


def test_csv_reads_back_to_the_same_figures(built):
    written = formats.comma_separated(built)
    assert "\r" not in written + formats.scores(built, ["low", "high"])
    lines = list(csv.DictReader(io.StringIO(written)))
    assert [line["system"] for line in lines] == [*(row.system for row in built.rows), "broken"]
    assert [line["kind"] for line in lines] == ["separator"] * 2 + ["bound"] * 4 + ["left out"]
    for row, line in zip(built.rows, lines, strict=False):
        for (measure, column), cell in row.cells.items():
            assert float(line[f"{measure}/{column}/mean"]) == cell.mean
            assert float(line[f"{measure}/{column}/high"]) == cell.high
            p = line[f"{measure}/{column}/p_holm"]
            assert (float(p) == cell.test.p_holm) if cell.test else p == ""
    assert json.loads(lines[0]["hyperparameters"]) == {"learning_rate": 0.01}
    assert (lines[0]["reference"], lines[1]["reference"], lines[0]["seeds"]) == ("1", "0", "2")
    assert lines[1]["note"] == "1 of 3 seeds failed: loss | not finite"
    assert lines[-1]["note"] == "RuntimeError: no $ left_over"


def test_every_score_reads_back(built):
    lines = list(csv.DictReader(io.StringIO(formats.scores(built, ["low", "high"]))))
    assert len(lines) == (2 * 2 + 4) * 4 * 2
    good = [line for line in lines if line["system"] == "good" and line["seed"] == "1"]
    assert [float(line["si_sdr"]) for line in good if line["source"] == "high"] == [9, 10, 11, 12]


def test_markdown_has_a_cell_a_column_and_the_best_in_bold(built):
    lines = [line for line in formats.markdown(built).splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert len({len(line) for line in cells}) == 1
    assert "SI-SDR (dB) ↑: mean" in lines[0]
    assert "relative L2 error ↓: low" in lines[0]
    assert lines[2].startswith("| good | **7.50 [")
    assert " ref. " in lines[2]
    assert " too few (4) | - | - " in lines[3]
    assert r"loss \| not finite" in lines[3]
    assert lines[-1].endswith("no figures: RuntimeError: no $ left_over |")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50% #1 $x", r"a\_b \& 50\% \#1 \$x"),
        ("{~^}", r"\{\textasciitilde{}\textasciicircum{}\}"),
        ("C:\\x <1|2>", r"C:\textbackslash{}x \textless{}1\textbar{}2\textgreater{}"),
        ("authors' code", "authors' code"),
    ],
)
def test_latex_escapes(text, escaped):
    assert formats.escape(text) == escaped


def test_latex_is_balanced_and_has_a_cell_a_column(built):
    text = formats.latex(built)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    for line in body.splitlines():
        if line.endswith(r"\\"):
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans) - len(spans) == columns, line
    plain = re.sub(r"\\\\|\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"poor\_one (50\% \& \{more\}) & \shortstack[r]{3.00\\{\scriptsize [" in text
    assert r"\shortstack[r]{\textbf{7.50}\\" in text
    assert rf"broken & \multicolumn{{{columns - 1}}}{{l}}{{no figures: RuntimeError: no \$ left\_over}} \\" in text
    assert r"poor\_one (50\% \& \{more\}): 1 of 3 seeds failed: loss \textbar{} not finite." in text


def test_terminal_shows_every_system_and_why_one_has_no_figures(built):
    console = Console(width=150, record=True, file=io.StringIO())
    for part in formats.terminal(built):
        console.print(part)
    text = console.export_text()
    assert text.count("poor_one (50% & {more})") == 3
    assert "12.3k" in text
    assert "no figures: RuntimeError: no $ left_over" in text
    assert "too few (4)" in text


def test_every_figure_of_the_csv_has_its_column(built):
    good, poor, mixture, *_ = csv.DictReader(io.StringIO(formats.comma_separated(built)))
    assert (good["supervision"], good["parameters"], good["training_seconds"]) == ("paired", "12345", "12.345")
    assert good["separation_seconds_per_item"] == "0.0021"
    cell = built.rows[1].cells["si_sdr", "mean"]
    known = {"mean": 4.0, "low": cell.low, "seed_sd": cell.seed_sd, "u": cell.test.u, "effect": cell.test.effect}
    for figure, value in {**known, "p": 2 / 70}.items():
        assert float(poor[f"si_sdr/mean/{figure}"]) == pytest.approx(value), figure
    assert {mixture[name] for name in ("supervision", "seeds", "parameters", "hyperparameters", "note")} == {""}
    assert list(good)[:8] == [
        *("system", "kind", "supervision", "seeds", "parameters", "training_seconds"),
        *("separation_seconds_per_item", "reference"),
    ]
    assert list(good)[-2:] == ["hyperparameters", "note"]


def test_scores_name_seed_item_and_source(built):
    lines = list(csv.DictReader(io.StringIO(formats.scores(built, ["low", "high"]))))
    assert [(line["seed"], line["item"], line["source"]) for line in lines[:3]] == [
        ("0", "0", "low"),
        ("0", "0", "high"),
        ("0", "1", "low"),
    ]
    assert {line["seed"] for line in lines if line["system"] == "unprocessed mixture"} == {""}
    assert float(lines[1]["relative_l2"]) == pytest.approx(10 ** (-7 / 20))


def test_markdown_aligns_each_column_and_ends_with_the_caption(built):
    text = formats.markdown(built)
    title, blank, head, aligned, *_ = text.splitlines()
    assert (title, blank) == ("**comparison: 2 separators on my_task**", "")
    assert head == (
        "| system | SI-SDR (dB) ↑: low | SI-SDR (dB) ↑: high | SI-SDR (dB) ↑: mean | p | r | U "
        "| relative L2 error ↓: low | relative L2 error ↓: high | relative L2 error ↓: mean | p | r | U "
        "| supervision | seeds | parameters "
        "| training (s) | note |"
    )
    assert aligned == "| --- |" + " ---: |" * 12 + " --- |" + " ---: |" * 3 + " --- |"
    assert "| paired | 2 | 12.3k | 12.3 |  |\n" in text
    assert "| - | - | - | - |  |\n" in text  # a bound costs nothing
    assert text.endswith(f"\n\n{built.caption}\n")


def test_notes_have_a_column_only_where_there_are_any(built):
    bare = replace(built, rows=[row for row in built.rows if row.system != "poor_one (50% & {more})"], left_out=[])
    assert "note" not in formats.markdown(bare)
    assert "| note |" in formats.markdown(replace(built, left_out=[]))
    assert "| note |" in formats.markdown(replace(bare, left_out=built.left_out))


def test_latex_groups_the_columns_of_each_measure(built):
    text = formats.latex(built)
    assert r"\begin{tabular}{lrrrrrrrrrrrrlrrr}" in text
    assert r"\cmidrule(lr){2-7} \cmidrule(lr){8-13}" in text
    assert (
        r"System & \multicolumn{6}{c}{SI-SDR (dB) $\uparrow$} & \multicolumn{6}{c}{relative L2 error $\downarrow$} & "
        r"Supervision & Seeds & Parameters & Training (s) \\"
    ) in text
    assert " & low & high & mean & $p$ & $r$ & $U$ & low & high & mean & $p$ & $r$ & $U$ &  &  &  & " in text
    assert r"\label{tab:comparison}" in text
    # One line between the head and the separators, one before the bounds, one before what is left out.
    body = text[text.index(r"\toprule") :]
    places = [body.index(part) for part in (r"\midrule", "good", "unprocessed mixture", "broken")]
    assert places == sorted(places)
    assert body.count(r"\midrule") == 3
    assert [body[a:b].count(r"\midrule") for a, b in pairwise(places)] == [1, 1, 1]


def test_latex_of_signs_and_small_probabilities():
    assert formats._math("<0.001") == "$<$0.001"
    assert formats._math("a<b") == r"a\textless{}b"
    assert formats._minus("-1.5") == "$-$1.5"


def test_latex_says_where_units_are_too_few_for_an_interval():
    cell = ScoreSummary(-1.5, -math.inf, math.inf, None)
    assert formats._stacked(cell, "si_sdr", False) == r"\shortstack[r]{$-$1.50\\{\scriptsize [too few]}}"


def test_terminal_has_a_table_a_measure_and_one_of_the_costs(built):
    console = Console(width=150, record=True, file=io.StringIO())
    first, second, costs, caption = formats.terminal(built)
    for part in (first, second, costs):
        console.print(part)
    text = console.export_text()
    assert "comparison: 2 separators on my_task: SI-SDR (dB), more is better" in text
    assert "relative L2 error, less is better" in text
    assert [column.justify for column in first.columns] == ["left"] + ["right"] * 6
    assert [str(cell) for cell in first.columns[4].cells] == ["ref.", *["too few (4)"] * 2, "-", "-", "-"]
    assert [row.style for row in first.rows] == ["bold", "", "", "", "", ""]
    assert [row.end_section for row in first.rows] == [False, True, False, False, False, False]
    assert [str(c.header) for c in costs.columns] == [
        *("system", "supervision", "seeds", "parameters", "training (s)", "separation of an item (ms)", "note")
    ]
    assert [c.justify for c in costs.columns] == ["left", "left", "right", "right", "right", "right", "left"]
    assert [str(cell) for cell in costs.columns[5].cells] == ["2.1", "2.1", "-"]
    assert [str(cell) for cell in costs.columns[1].cells] == ["paired", "paired", "-"]
    assert (str(caption), caption.style) == (built.caption, "dim")


CELL = ScoreSummary(7.254, -1.5, 9.125, 0.5)
RANKS = SimpleNamespace(u=3.0, effect=0.25, p=0.01, p_holm=0.0004)
PAIRS = SimpleNamespace(effect=-0.375, p=0.02, p_holm=0.04)


@pytest.mark.parametrize(
    ("cell", "table", "cells"),
    [
        (replace(CELL, test=RANKS, paired=PAIRS), {}, ["0.040", "-0.38", "<0.001"]),
        (replace(CELL, test=RANKS), {}, ["-", "-", "<0.001"]),
        (CELL, {}, ["-", "-", "-"]),
        (None, {}, ["-", "-", "-"]),
        (replace(CELL, test=RANKS, paired=PAIRS), {"too_few": True}, ["too few", "-", "-"]),
        (replace(CELL, test=RANKS), {"too_few": True, "units": SimpleNamespace(count=5)}, ["too few (5)", "-", "-"]),
        (replace(CELL, test=RANKS, paired=PAIRS), {"reference": "mine"}, ["ref.", "-", "-"]),
    ],
)
def test_cells_of_the_tests(cell, table, cells):
    row = SimpleNamespace(system="mine", cells={("si_sdr", "mean"): cell} if cell else {})
    told = SimpleNamespace(**{"reference": "other", "too_few": False, "units": None, **table})
    assert formats._tests(row, "si_sdr", told) == cells


def test_cells_of_figures():
    wide = replace(CELL, low=-math.inf, high=math.inf)
    assert [formats.figure(cell, "si_sdr", " ") for cell in (None, CELL, wide)] == [
        "-",
        "7.25 [-1.50, 9.12]",
        "7.25 [too few]",
    ]
    assert formats.figure(CELL, "relative_l2", "\n") == "7.254\n[-1.500, 9.125]"
    assert formats._stacked(None, "si_sdr", True) == "-"
    assert formats._stacked(CELL, "si_sdr", False) == (r"\shortstack[r]{7.25\\{\scriptsize [$-$1.50, 9.12]}}")
    assert formats._stacked(wide, "si_sdr", True) == r"\shortstack[r]{\textbf{7.25}\\{\scriptsize [too few]}}"
    entry = SimpleNamespace(contender=SimpleNamespace(supervision="paired", parameters=1234567), training_seconds=99.96)
    assert formats._costs(SimpleNamespace(entry=entry, seeds=3)) == ["paired", "3", "1.23M", "100"]
    assert formats._costs(SimpleNamespace(entry=None)) == ["-"] * 4
