"""Escapes texts that others wrote (names, labels, errors, paths) for the terminal, Markdown, HTML, CSV and figures.

After that no part of them is an instruction to a terminal, markup, or a formula of a spreadsheet. ``in_own_style`` lets
matplotlib draw in sepray's style, whatever the user's settings are. Imports nothing from sepray.
"""

from __future__ import annotations

import contextlib
import html
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters C0, except tab and line feed, and C1
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # marks of direction, and without width
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # letters and marks that nobody sees
    "\ud800-\udfff\U000e0000-\U000e0fff]"  # half characters, which no encoding has; tags, variants
)
_BLANKS = re.compile(r"\s+")
_MARKDOWN = re.compile(
    r"[\\`*|]|~(?=~)|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#?\w+;)|://|(?<=\bwww)\."
)
_MARKDOWN_FORMS = {"&": "&amp;", "<": "&lt;", "://": "&#58;//"}
_LABEL = 40  # characters; more would leave no width to the axes of a report
_FORMULA = (
    *"=+-@",
    *"\uff1d\uff0b\uff0d\uff20",  # the same in full width, for spreadsheets in East Asia
    "\t",
    "\r",
    "\n",
)


def escape_controls(text: str) -> str:
    r"""Return a text with its control characters escaped (``\x1b``), but for tabs and ends of lines.

    Control characters are those of ASCII and C1, and those of Unicode that change the direction of a text, have no
    width, or cannot be encoded.
    """
    return _CONTROLS.sub(_escaped, text.replace("\r\n", "\n"))


def in_one_line(text: str) -> str:
    """Return a text as ``escape_controls`` does, in one line: tabs, ends of lines and runs of spaces become a space."""
    return _BLANKS.sub(" ", escape_controls(text)).strip()


def in_markdown(text: str) -> str:
    """Return a text for a cell or a line of Markdown: no part of it is markup, HTML or a link there."""
    return _MARKDOWN.sub(lambda found: _MARKDOWN_FORMS.get(found[0], f"\\{found[0]}"), in_one_line(text))


def in_html(text: str) -> str:
    """Return a text for HTML, also for the value of an attribute."""
    return html.escape(escape_controls(text))


def in_figure(text: str) -> str:
    """Return a text for matplotlib, with dollar signs escaped: text between two of them would be mathematics."""
    return re.sub(r"\\*\$", lambda found: "\\$", escape_controls(text))


def in_figure_label(text: str) -> str:
    """Return a text as ``in_figure`` does, in one line of at most 40 characters; a long text loses its middle."""
    line = in_one_line(text)
    return in_figure(line if len(line) <= _LABEL else f"{line[: _LABEL // 2]}…{line[-(_LABEL - _LABEL // 2 - 1) :]}")


@contextlib.contextmanager
def in_own_style(style: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw figures with matplotlib's defaults and ``style`` until the block ends; also a decorator.

    matplotlib obeys a file ``matplotlibrc`` in the current folder. A stranger may have written that file, and it can
    make matplotlib run LaTeX on texts of its own.
    """
    import matplotlib

    settings: Any = matplotlib.rcParams
    # The backend stays: figures are saved here, and never shown.
    own: dict[str, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some settings are deprecated
            settings.update({**own, **(style or {})})
        yield


def as_code(text: str) -> str:
    """Return a text as code within a line, or a cell of a table, of Markdown."""
    return "`" + in_one_line(text).replace("`", "'").replace("|", "\\|") + "`"


def in_csv(text: str) -> str:
    """Return a text for a cell of a CSV file that a spreadsheet does not take for a formula; numbers stay numbers."""
    text = escape_controls(text)
    return f"'{text}" if is_formula(text) else text


def is_formula(text: str) -> bool:
    """Say whether a spreadsheet may take a cell for a formula; numbers are none."""
    return text.startswith(_FORMULA) and not _is_number(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, e.g. ``1 trial``, ``2 trials``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
