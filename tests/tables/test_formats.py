"""A table as text: Markdown, the terminal's, CSV and LaTeX, with its form above."""

import csv
import io

from rich.console import Console

from sepray.tables import formats

from .conftest import TABLE


def test_markdown_has_each_figure_beside_ours_and_the_form_above(part):
    lines = formats.markdown(TABLE, [part], {"figure-5.pdf": "curves"}).splitlines()
    assert lines[0] == "# Lab & Co, Table 1"
    assert lines[2].startswith("**SHORT FORM (--budget minutes): 12 epochs where the paper has 500, 2 seeds.")
    head = (
        "| low | SDR (dB): paper | SDR (dB): ours | relative L2 error: paper | relative L2 error: ours | epochs "
        "| seeds | note |"
    )
    assert head in lines
    [good, high] = [line for line in lines if line.startswith("| The good")]
    assert good.startswith("| The good | 6.50 | 7.50 [")
    assert high.startswith("| The good | 8.50 | 9.50 [")
    assert "| - | 0.3" in high  # no published figure for the second measure of that source
    assert "| Failed | 1.25 | - | 0.9 | - | - | - | no figures: out of memory |" in lines
    assert "| Not public | 3.5 | - | - | - | - | - | its code is not public |" in lines
    assert lines[-1] == "- `figure-5.pdf`: curves"


def test_terminal_aligns_figures_at_the_right_and_wraps_none_of_ours(part):
    title, form, *told = formats.terminal(TABLE, [part])
    assert (title.style, form.style) == ("bold", "")
    grids = [each for each in told if hasattr(each, "columns")]
    assert [grid.title.plain for grid in grids] == ["SDR (dB)", "relative L2 error"]
    for grid in grids:
        name, *figures, epochs = grid.columns
        assert (name.min_width, name.justify, epochs.no_wrap) == (11, "left", True)
        assert {column.justify for column in figures} == {"right"}
        assert [column.no_wrap for column in figures] == [column.header.plain.endswith("ours") for column in figures]
        assert (grid.title_justify, grid.pad_edge) == ("left", False)


def test_terminal_has_a_table_a_measure_that_fits_80_columns(part):
    console = Console(file=io.StringIO(), width=80)
    for each in formats.terminal(TABLE, [part]):
        console.print(each)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "Lab & Co, Table 1"
    assert lines[1].startswith("SHORT FORM (--budget minutes): 12 epochs where the paper has 500, 2 seeds.")
    heads = [line for line in lines if "epochs" in line and "ours" in line]
    assert [(head.count("paper"), head.count("ours")) for head in heads] == [(2, 2), (1, 2)]
    [first, second] = [number for number, line in enumerate(lines) if line.strip().startswith("The good")]
    assert lines[first].split() == ["The", "good", "6.50", "7.50", "8.50", "9.50", "12", "of", "500"]
    assert lines[first + 1].split()[0].startswith("[")
    assert lines[second].split()[2] == "0.10"
    assert "Failed: no figures: out of memory." in lines
    assert not any("…" in line for line in lines)


def test_csv_has_a_line_for_each_figure_with_its_form(part):
    written = formats.comma_separated(TABLE, [part])
    assert "\r" not in written
    rows = list(csv.DictReader(io.StringIO(written)))
    [good] = [r for r in rows if (r["row"], r["source"], r["measure"]) == ("The good", "low", "si_sdr")]
    assert (good["published"], float(good["ours"]), good["epochs"]) == ("6.50", 7.5, "12 of 500")
    assert float(good["low"]) < 7.5 < float(good["high"])
    assert all(row["form"].startswith("SHORT FORM") for row in rows)
    [failed] = [r for r in rows if (r["row"], r["source"], r["measure"]) == ("Failed", "high", "si_sdr")]
    assert (failed["published"], failed["ours"], failed["note"]) == ("", "", "no figures: out of memory")


def test_latex_has_the_form_and_the_missing_rows_in_its_caption(part):
    text = formats.latex(TABLE, [part])
    [caption] = [line for line in text.splitlines() if line.startswith(r"\caption")]
    assert r"Lab \& Co, Table 1. SHORT FORM" in caption
    assert "Failed: no figures: out of memory." in caption
    assert r"The good & 6.50 & 7.50 & 0.10 & " in text
    widths = {line.count(" & ") for line in text.splitlines() if line.startswith(("The good", "Failed", "Not public"))}
    assert widths == {6}
