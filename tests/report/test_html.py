"""The page: what is in each section, and that no text of a study is taken for HTML."""

import base64

import pytest

from sepray.report.figures import MediaFile, Section
from sepray.report.html import commands_section, document, sounds_section, table_section

SVG = MediaFile("loss.svg", b"<svg/>", 'curve of "a" & b', "Loss <1>")
PNG = MediaFile("a.b.png", b"\x89PNG", "pixels")


def test_section_holds_its_sentence_and_its_figures_in_order():
    page = document("s", "", "", [], [Section("loss", "Loss & more", "It fell <fast>.", [SVG, PNG], "Read it so.")])
    first, second = (base64.b64encode(figure.content).decode() for figure in (SVG, PNG))
    assert (
        '<main><h2 id="loss">Loss &amp; more</h2><p class="sentence">It fell &lt;fast&gt;.</p>'
        '<figure><figcaption>Loss &lt;1&gt;</figcaption><img alt="curve of &quot;a&quot; &amp; b" '
        f'src="data:image/svg+xml;base64,{first}"></figure>'
        f'<figure><img alt="pixels" src="data:image/png;base64,{second}"></figure>'
        '<p class="note">Read it so.</p></main>'
    ) in page
    assert '<p class="note">' not in document("s", "", "", [], [Section("a", "A", "")])


def test_page_begins_with_the_result_and_links_to_every_section():
    made = commands_section("next", "Next & last", "Do <this>:", ["a > b", "c"])
    page = document("<study>", "x & y", "1 < 2", [("3 < 4", "a & b")], [Section("loss", "<Loss>", "It fell."), made])
    assert page.startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>&lt;study&gt;: report<')
    assert "<h1>&lt;study&gt;</h1>" in page
    assert '<p class="kind">x &amp; y</p><p class="lead">1 &lt; 2</p>' in page
    assert '<div class="facts"><div><b>3 &lt; 4</b><span>a &amp; b</span></div></div>' in page
    contents = '<li><a href="#loss">&lt;Loss&gt;</a></li><li><a href="#next">Next &amp; last</a></li>'
    assert f"<ol>{contents}</ol>" in page
    last = '<h2 id="next">Next &amp; last</h2><p class="sentence">Do &lt;this&gt;:</p><pre>a &gt; b\nc</pre>'
    assert page.endswith(f"</p>\n{last}</main></div></body></html>\n")


def test_table_has_a_row_for_each_system_and_a_dash_where_there_is_no_figure():
    rows = [
        {"system": "a < b", "bold": True, "values": {"low": (1.23456, -1, 2)}},
        {"system": "c", "bold": False, "values": {"mean": (0, 0, 0)}},
    ]
    assert table_section("test", "On & on", "So <far>.", ["low", "mean"], rows, "n & m") == (
        '<h2 id="test">On &amp; on</h2><p class="sentence">So &lt;far&gt;.</p><div class="scroll"><table>'
        "<thead><tr><th>system</th><th>low</th><th>mean</th></tr></thead><tbody>"
        '<tr class="best"><td>a &lt; b</td><td>1.235<small>[-1.000, 2.000]</small></td><td>-</td></tr>'
        "<tr><td>c</td><td>-</td><td>0.000<small>[0.000, 0.000]</small></td></tr>"
        '</tbody></table></div><p class="note">n &amp; m</p>'
    )


def test_sound_is_called_by_its_item_and_plays_from_the_page_itself():
    made = sounds_section("hear", "Hear", "Two.", [MediaFile("worst/mixture.wav", b"RIFF", "the <mixture>")])
    assert made == (
        '<h2 id="hear">Hear</h2><p class="sentence">Two.</p><div class="sounds">'
        "<figure><figcaption>worst item: the &lt;mixture&gt;</figcaption>"
        '<audio controls preload="metadata" src="data:audio/wav;base64,UklGRg=="></audio></figure></div>'
    )


def test_nothing_but_figures_can_be_shown():
    with pytest.raises(KeyError):
        document("s", "", "", [], [Section("a", "A", "", [MediaFile("a.wav", b"", "")])])
