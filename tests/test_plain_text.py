"""Texts of others are texts: in a terminal, in Markdown, LaTeX and CSV, whatever they hold."""

import csv
import io
import re
import unicodedata
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.cbook import is_math_text
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sepray import plain_text
from sepray.comparison import formats
from sepray.console import exit_status, terminal
from sepray.console.terminal import PlainConsole
from sepray.errors import UsageError
from sepray.plain_text import (
    as_code,
    escape_controls,
    in_csv,
    in_figure,
    in_figure_label,
    in_html,
    in_markdown,
    in_one_line,
    in_own_style,
)
from sepray.report import html
from sepray.scoring import answer_words, tables
from sepray.secrecy import mask

_PARTS = [
    *("[/x]", "[int]", "[bold]", "\x1b[2J", "\x1b]8;;http://x\x07", "\x9b1m", "\u202e", "\r", "\n", "\t", "\x00"),
    *(":boom:", "|", "`", "*", "_", "**a**", "<script>", "</td>", "[a](http://b)", "![a](b)", "&lt;", "\\", "$x$"),
    *("=1+1", "+1", "-1", "@a", "%", "#", "{", "}", "~~", "^", "&", '"', "'", ",", ";", "a", "2", " ", "http://c"),
]
NASTY = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(_PARTS), max_size=6).map("".join)).filter(
    lambda text: mask(text) == text  # secrets have tests of their own
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]")


def printed(renderable, **options):
    """Return the text that a terminal with colours gets."""
    console = PlainConsole(file=io.StringIO(), width=400, force_terminal=True, color_system=None, **options)
    console.print(renderable)
    return console.file.getvalue()


def folded(text):
    """A text without blanks, which tables and wrapping change."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("a\x9bb\x85", "a\\x9bb\\x85"),
        ("a\u202eb\u2066\u200b\ufeff", "a\\u202eb\\u2066\\u200b\\ufeff"),
        ("a\xad\u3164\U000e0100", "a\\xad\\u3164\\U000e0100"),
        ("a\ud800\U000e0041", "a\\ud800\\U000e0041"),
        ("a\r\nb\tc\rd", "a\nb\tc\\x0dd"),
        ("Größe 中 é [int] [/x] :boom: 🎹", "Größe 中 é [int] [/x] :boom: 🎹"),
    ],
)
def test_control_characters_are_seen_and_all_else_stays(text, seen):
    assert escape_controls(text) == seen
    assert in_one_line(text) == " ".join(seen.split())


@given(NASTY)
def test_nothing_that_is_shown_moves_a_cursor_or_turns_a_text(text):
    for found in (
        escape_controls(text),
        in_one_line(text),
        in_markdown(text),
        in_csv(text),
        in_html(text),
        as_code(text),
        formats.escape(text),
    ):
        assert not _CONTROL.search(found)
        found.encode()
    assert not {unicodedata.category(c) for c in in_one_line(text)} & {"Cc", "Zl", "Zp"}


@example("[/x]")
@example("[int] \x1b[2J :boom:")
@settings(deadline=None)
@given(NASTY)
def test_a_console_prints_texts_as_they_are_wherever_they_stand(text):
    seen = folded(escape_controls(text))
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_row(text)
    table.add_row(Text(text))
    for renderable in (text, Text(text), Group(text, table)):
        found = printed(renderable)
        assert not _CONTROL.search(found.replace("\x1b[3m", "").replace("\x1b[0m", "").replace("\x1b[2;3m", "")), found
    assert folded(printed(text)) == seen
    if cell_len(seen) and in_one_line(text) == text:  # a modifier of other characters alone has no width, and no cell
        assert folded(printed(table)).count(seen) >= 4


def test_a_console_hides_secrets(monkeypatch):
    monkeypatch.setenv("A_PASSWORD", "c4nary-word")
    assert printed("it is c4nary-word, http://me:pw@h") == "it is ***, http://me:***@h\n"


@settings(deadline=None, max_examples=50)
@given(NASTY)
def test_trials_with_any_label_are_shown_to_their_end(text):
    was, terminal.console = terminal.console, PlainConsole(file=io.StringIO(), width=400)
    try:
        with terminal.StageProgress(text, 1, text) as progress:
            progress.handed_out(0, 1, {}, text, False)
            progress.epoch(0, {"epoch": 1, "objective": 0.5})
            terminal.console.print(progress._view())
            progress.finished(0, SimpleNamespace(tag="error", reason=text), {"epoch": 1})
            progress.finished(0, SimpleNamespace(tag="complete", reason=""), {"epoch": 1, "objective": 0.25})
        found = terminal.console.file.getvalue()
    finally:
        terminal.console = was
    assert not _CONTROL.search(found)
    assert folded(in_one_line(text)) in folded(found)


@given(NASTY)
def test_errors_are_shown_as_texts(text):
    for error in (UsageError(text), ValueError(text), FileNotFoundError(2, text, text)):
        for whole in (False, True):
            assert not _CONTROL.search(exit_status.format_error("sepray", error, whole))


@settings(deadline=None, max_examples=50)
@given(NASTY)
def test_tables_of_results_take_any_name(text):
    rows = [tables.ResultRow(text, {"mean": (1.0, 0.5, 1.5)}, bold=True)]
    found = folded(printed(tables.result_table(text, ["mean"], rows, text)))
    assert folded(escape_controls(text)) in found
    printed(tables.front_table(text, [text], [(text, [1.0])]))
    Console(file=io.StringIO(), markup=False).print(tables.result_table("title", ["mean"], rows))


def rendered(markdown):
    """The cells of the rows of a Markdown table below its head, as HTML."""
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows[1:]], html


@example("a|b")
@example("[a](http://b) <script> **b** `c` ~~d~~ http://c")
@settings(deadline=None)
@example("__0__")
@given(NASTY)
def test_a_cell_of_markdown_holds_no_markup(text):
    found, html = rendered(answer_words.markdown_rows(["one", "two"], [[f"x {in_markdown(text)} x", "last"]]))
    assert [len(row) for row in found] == [2], html
    assert found[0][1] == "last"
    tags = Counter(re.findall(r"<(\w+)", found[0][0]))
    assert not tags, html


@example("a|`b")
@settings(deadline=None)
@given(NASTY)
def test_code_in_a_cell_of_markdown_ends_where_it_should(text):
    found, html = rendered(answer_words.markdown_rows(["one", "two"], [[as_code(f"x{text}x"), "last"]]))
    assert [len(row) for row in found] == [2], html
    assert re.fullmatch(r"<code>[^<]*</code>", found[0][0]), html


@given(NASTY)
def test_a_report_holds_texts_as_texts(text):
    table = html.text_table("k", text, text, [text], [[text]], text)
    page = html.document(text, text, text, [(text, text)], [table, html.commands_section("c", text, text, [text])])
    plain = html.document("a", "a", "a", [("a", "a")], [table, html.commands_section("c", "a", "a", ["a"])])
    assert not _CONTROL.search(page)
    tags = [Counter(re.findall(r"<(/?\w+)", found.partition("</style>")[2])) for found in (page, plain)]
    assert {**tags[0], "script": 0} == {**tags[1], "script": 0}
    assert "<script>" not in page


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\n=1", "=", "-1+1", "- 1", "\uff1d1"])
def test_no_cell_of_csv_is_a_formula(text):
    assert in_csv(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+3", "-inf", "1e-3", "-1e-3", "a=b", "", "nan"])
def test_numbers_and_words_in_csv_stay(text):
    assert in_csv(text) == text


@given(NASTY)
def test_a_cell_of_csv_comes_back_and_begins_no_formula(text):
    stream = io.StringIO()
    csv.writer(stream).writerow([in_csv(text), "last"])
    ((cell, last),) = csv.reader(io.StringIO(stream.getvalue()))
    assert last == "last"
    assert not cell.startswith(("=", "@", "\t", "\r"))
    assert cell.removeprefix("'") == escape_controls(text).removeprefix("'")


@example("$\\frac$")
@example("a\\$b$c$")
@given(NASTY)
def test_nothing_in_a_figure_is_mathematics(text):
    assert not is_math_text(in_figure(text))
    assert "$" in text or in_figure(text) == escape_controls(text)


@given(NASTY)
def test_label_of_a_figure_is_one_short_line_without_mathematics(text):
    for given_text in (text, text * 20):
        label = in_figure_label(given_text)
        assert "\n" not in label
        assert not is_math_text(label)
        assert len(label.replace("\\$", "$")) <= 40
    assert in_figure_label("x" * 40) == "x" * 40
    assert in_figure_label("a" * 30 + "b" * 30) == "a" * 20 + "…" + "b" * 19


@given(NASTY)
def test_latex_takes_any_text(text):
    found = formats.escape(text)
    bare = re.sub(r"\\(?:text\w+\{\}|[{}&%$#_])", "", found)
    assert not set(bare) & set("\\{}&%$#_^~")
    assert "\n" not in found


def test_figures_are_drawn_in_sepray_s_own_style_whatever_a_file_of_settings_says():
    theirs = {"text.usetex": True, "text.latex.preamble": "input", "axes.grid": True, "font.size": 3.0}
    with matplotlib.rc_context(theirs):
        with in_own_style({"font.size": 10.5}):
            shown = {name: matplotlib.rcParams[name] for name in theirs}
            assert shown == {
                "text.usetex": False, "text.latex.preamble": "", "axes.grid": False, "font.size": 10.5
            }  # fmt: skip
        assert {name: matplotlib.rcParams[name] for name in theirs} == theirs


def test_every_figure_of_sepray_is_drawn_in_that_style():
    top = Path(plain_text.__file__).parent
    sources = {path.relative_to(top).as_posix(): path.read_text() for path in top.rglob("*.py")}
    assert [name for name, text in sources.items() if "rc_context" in text] == ["plain_text.py"]
    saving = [name for name, text in sources.items() if ".savefig(" in text and "in_own_style(" not in text]
    assert saving == ["report/figures.py"]  # whose callers have it
    assert not [name for name, text in sources.items() if "matplotlib.pyplot" in text or "import pyplot" in text]


def test_counts_with_their_nouns():
    assert [plain_text.plural(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
