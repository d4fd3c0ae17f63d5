"""The line that says what a command waits for: alone in a terminal, one of many in a log."""

import io
import os
import sys

import pytest

from sepray.console import exit_status, terminal, waiting


class Screen(io.StringIO):
    """A window that is a terminal, and what stands in its last line."""

    def isatty(self):
        return True

    @property
    def line(self):
        return self.getvalue().split("\n")[-1].split("\x1b[2K")[-1].rstrip("\r")


@pytest.fixture
def open_window(monkeypatch):
    """Makes a window of 40 columns this process's; in the test itself, because pytest takes stdout back before it."""

    def opened():
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(waiting.shutil, "get_terminal_size", lambda *given, **more: os.terminal_size((40, 24)))
        monkeypatch.setattr(waiting, "_standing", False)
        monkeypatch.setenv("TERM", "xterm")
        return screen

    return opened


def test_line_stands_until_the_next_and_is_erased_at_the_end(open_window):
    window = open_window()
    waiting.wait_for("sweep: starting Ray")
    assert window.line == "sweep: starting Ray ..."
    assert window.getvalue().endswith("\r")  # whoever prints next begins at the start of the line
    waiting.wait_for("sweep: scoring", log=False)
    assert window.line == "sweep: scoring ..."
    waiting.done()
    assert window.line == ""
    before = window.getvalue()
    waiting.done()
    assert window.getvalue() == before


def test_line_fits_the_window(open_window):
    window = open_window()
    waiting.wait_for("sweep: loading the data of a task with a long name")
    assert window.line == "sweep: loading the data of a task wi..."
    assert len(window.line) == 39


def test_messages_errors_and_the_end_take_the_line_away(open_window):
    window = open_window()
    console = terminal.PlainConsole(file=window, width=40)
    waiting.wait_for("sweep: starting Ray")
    console.print("started")
    assert window.getvalue().endswith("\x1b[2Kstarted\n")

    def job(arguments):
        waiting.wait_for("sweep: checking")
        raise exit_status.SeprayError("no such task")

    for end in (job, lambda arguments: waiting.wait_for("sweep: checking")):
        with pytest.raises(SystemExit):
            exit_status.exit_with_status("sweep", end, [])
        assert window.line == ""


def test_log_gets_each_line_once_but_none_before_a_refusal(capsys):
    waiting.wait_for("sweep: checking the command", log=False)
    waiting.wait_for("sweep: starting Ray")
    waiting.done()
    assert capsys.readouterr().out == "sweep: starting Ray ...\n"


def test_terminal_that_cannot_erase_gets_what_a_log_gets(open_window, monkeypatch):
    window = open_window()
    monkeypatch.setenv("TERM", "dumb")
    waiting.wait_for("sweep: checking the command", log=False)
    waiting.wait_for("sweep: starting Ray")
    assert window.getvalue() == "sweep: starting Ray ...\n"
