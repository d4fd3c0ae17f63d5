"""Makes the report's page: one HTML file that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

from ..plain_text import in_html
from .figures import MediaFile, Section

_KINDS = {"svg": "image/svg+xml", "png": "image/png"}
_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --accent: #0072B2; --paper: #fff; --shade: #f5f7fa; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 17px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "DejaVu Sans", sans-serif; }
.page { display: grid; grid-template: "nav head" auto "nav main" 1fr / 15.5rem minmax(0, 50rem); column-gap: 3rem;
  max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; }
header { grid-area: head; } main { grid-area: main; }
nav { grid-area: nav; font-size: .88rem; position: sticky; top: 2rem; align-self: start; max-height: 94vh;
  overflow: auto; }
nav ol { list-style: none; margin: 0; padding: 0; border-left: 2px solid var(--line); }
nav a { display: block; padding: .28rem .9rem; color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--accent); }
h1 { font-size: 2rem; line-height: 1.15; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.28rem; margin: 3rem 0 .5rem; scroll-margin-top: 1rem; }
.lead { font-size: 1.1rem; margin: .6rem 0 1.4rem; }
.kind { color: var(--soft); margin: 0; }
.sentence { margin: .2rem 0 .9rem; }
.note { color: var(--soft); font-size: .86rem; margin: .5rem 0 0; }
figure { margin: 0 0 1rem; }
figcaption { font-weight: 600; margin: 1.4rem 0 .4rem; }
summary { color: var(--accent); cursor: pointer; margin: 0 0 1rem; }
.sounds figcaption { margin: 0; font-weight: 400; }
img { display: block; width: 100%; height: auto; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.2rem 0 0; }
.facts div { background: var(--shade); border-radius: .5rem; padding: .7rem .9rem; }
.facts b { display: block; font-size: 1.35rem; line-height: 1.2; overflow-wrap: anywhere; }
.facts span { color: var(--soft); font-size: .82rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .7rem .42rem 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 600; }
td small { display: block; color: var(--soft); white-space: nowrap; }
tr.best td { font-weight: 700; background: #eaf3fa; }
tr.best td small { font-weight: 400; }
pre { background: var(--shade); border-radius: .5rem; padding: .9rem 1rem; overflow-x: auto; font-size: .88rem;
  line-height: 1.7; margin: .6rem 0; }
.sounds { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .6rem; font-size: .86rem; }
audio { width: 100%; height: 2.2rem; }
@media (max-width: 60rem) {
  .page { display: block; padding: 1.2rem 1rem 3rem; }
  nav { position: static; max-height: none; margin: 1.6rem 0 0; columns: 2; font-size: .92rem; }
  nav ol { border: 0; } nav a { padding: .3rem 0; color: var(--accent); break-inside: avoid; }
  h1 { font-size: 1.6rem; } h2 { margin-top: 2.2rem; }
  th, td { padding-right: .5rem; } table { font-size: .84rem; }
}
@media print {
  body { font-size: 10.5pt; } .page { display: block; padding: 0; max-width: none; } nav, audio { display: none; }
  h2 { break-after: avoid; margin-top: 1.6rem; } figure, .facts, tr { break-inside: avoid; }
  .sentence { break-after: avoid; } img { max-height: 21cm; width: auto; max-width: 100%; margin: 0 auto; }
  pre { white-space: pre-wrap; } a { color: inherit; }
}
"""


def document(
    title: str,
    subtitle: str,
    lead: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section | str],
    last: str = "",
) -> str:
    """Return the HTML document.

    Args:
        title: name of the study.
        subtitle: what the study is about, in small print below the title.
        lead: the result in a sentence or two.
        facts: pairs of a value, shown large, and its meaning.
        sections: sections in order; a string is HTML that begins with its ``h2``.
        last: last line of the page's summary, in small print.
    """
    bodies = [s if isinstance(s, str) else _section(s) for s in sections]
    anchors = [_anchor(s) for s in sections]
    contents = "".join(f'<li><a href="#{key}">{in_html(heading)}</a></li>' for key, heading in anchors)
    boxes = "".join(f"<div><b>{in_html(fact)}</b><span>{in_html(text)}</span></div>" for fact, text in facts)
    note = _note(last) if last else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{in_html(title)}: report</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{_STYLE}</style></head>\n<body><div class="page"><header><h1>{in_html(title)}</h1>'
        f'<p class="kind">{in_html(subtitle)}</p><p class="lead">{in_html(lead)}</p>'
        f'<div class="facts">{boxes}</div>{note}</header>\n<nav aria-label="Contents"><ol>{contents}</ol></nav>\n<main>'
        + "\n".join(bodies)
        + "</main></div></body></html>\n"
    )


def table_section(
    key: str, title: str, sentence: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], note: str
) -> str:
    """Return a section with a table of results; each row is a ``scoring.tables.ResultRow`` as a dictionary."""
    lines = []
    for row in rows:
        cells = "".join(_cell(row["values"].get(column)) for column in columns)
        best = ' class="best"' if row["bold"] else ""
        lines.append(f"<tr{best}><td>{in_html(row['system'])}</td>{cells}</tr>")
    return _heading(key, title, sentence) + _table(("system", *columns), lines) + _note(note)


def text_table(
    key: str, title: str, sentence: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str
) -> str:
    """Return a section with a table of texts; an interval in a cell is shown below its value."""
    lines = ["<tr>" + "".join(map(_text_cell, row)) + "</tr>" for row in rows]
    return _heading(key, title, sentence) + _table(columns, lines) + _note(note)


def _heading(key: str, title: str, sentence: str) -> str:
    return f'<h2 id="{key}">{in_html(title)}</h2><p class="sentence">{in_html(sentence)}</p>'


def _note(text: str) -> str:
    return f'<p class="note">{in_html(text)}</p>'


def _table(columns: Sequence[str], lines: Sequence[str]) -> str:
    """Return a table with these column titles and these lines of HTML."""
    head = "".join(f"<th>{in_html(column)}</th>" for column in columns)
    body = "".join(lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _text_cell(text: str) -> str:
    value, bracket, interval = text.partition(" [")
    small = f"<small>{in_html('[' + interval)}</small>" if bracket else ""
    return f"<td>{in_html(value)}{small}</td>"


def commands_section(key: str, title: str, sentence: str, lines: Sequence[str]) -> str:
    """Return a section with commands, one per line."""
    text = in_html("\n".join(lines))
    return f"{_heading(key, title, sentence)}<pre>{text}</pre>"


def sounds_section(key: str, title: str, sentence: str, sounds: Sequence[MediaFile]) -> str:
    """Return a section with a player for each WAV file."""
    start = '<audio controls preload="metadata" src="data:audio/wav;base64,'
    players = "".join(
        f"<figure><figcaption>{in_html(s.name.rpartition('/')[0])} item: {in_html(s.description)}</figcaption>"
        f'{start}{base64.b64encode(s.content).decode()}"></audio></figure>'
        for s in sounds
    )
    return f'{_heading(key, title, sentence)}<div class="sounds">{players}</div>'


def _figure(figure: MediaFile) -> str:
    """Return a figure; a folded one is shown when its caption is clicked."""
    kind, data = _KINDS[figure.name.rpartition(".")[2]], base64.b64encode(figure.content).decode()
    image = f'<img alt="{in_html(figure.description)}" src="data:{kind};base64,{data}">'
    if figure.folded:
        return f"<details><summary>{in_html(figure.caption)}</summary><figure>{image}</figure></details>"
    return f"<figure>{_caption(figure)}{image}</figure>"


def _caption(figure: MediaFile) -> str:
    return f"<figcaption>{in_html(figure.caption)}</figcaption>" if figure.caption else ""


def _cell(value: Sequence[float] | None) -> str:
    if value is None:
        return "<td>-</td>"
    mean, low, high = value
    return f"<td>{mean:.3f}<small>[{low:.3f}, {high:.3f}]</small></td>"


def _anchor(section: Section | str) -> tuple[str, str]:
    if isinstance(section, Section):
        return section.key, section.title
    key = section.partition('id="')[2].partition('"')[0]
    return key, html.unescape(section.partition(">")[2].partition("<")[0])


def _section(section: Section) -> str:
    figures = "".join(map(_figure, section.figures))
    return (
        _heading(section.key, section.title, section.sentence) + figures + (_note(section.note) if section.note else "")
    )
