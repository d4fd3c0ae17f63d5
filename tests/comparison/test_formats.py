"""The table of a comparison as CSV, Markdown, LaTeX and in the terminal."""

import csv
import io
import json
import re

import pytest
from rich.console import Console

from sepray.comparison import formats


def test_csv_reads_back_to_the_same_figures(built):
    lines = list(csv.DictReader(io.StringIO(formats.comma_separated(built))))
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
    assert " 0.057 " in lines[3]
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
    assert "Mann-Whitney" in text
