"""The announcements of a study's end: in the terminal, in the study's run and in optuna-dashboard."""

import io

import pytest
from rich.console import Console

from sepray.driver import announcement
from sepray.driver.registration import Registration
from sepray.errors import UsageError
from sepray.scoring.answers import Answer

from .conftest import DATA

SENTENCE = "beta 0.2 is at the upper end of its range (0 to 0.2): widen it"
REGISTERED = Registration("cass-ecg", "7", True, "Registered as cass-ecg version 7, the first champion.")
VALUES = {"low": (0.25, 0.2, 0.3), "high": (0.5, 0.4, 0.6), "mean": (0.375, 0.3, 0.45)}
RESULT = {
    "role": "trial 1",
    "hyperparameters": {"beta": 0.2, "adversarial": 1},
    "metric": "relative_l2",
    "rows": [{"system": "champion, trial 1", "values": VALUES, "bold": True}],
    "answer": None,
    "edges": [SENTENCE],
}
COMMANDS = ("mlflow ui", "sepray evaluate models:/cass-ecg@champion")


@pytest.fixture
def notes_kept(monkeypatch):
    """The notes of optuna-dashboard, with the study that each is of."""
    kept = []
    monkeypatch.setattr(announcement, "load_study", lambda storage, name: name)
    monkeypatch.setattr(announcement.dashboard, "save_note", lambda study, note: kept.append((study, note)))
    return kept


def test_terminal_says_the_settings_their_edges_the_table_and_what_is_next_in_this_order(spec, screen):
    announcement.show(spec, DATA, RESULT, REGISTERED, COMMANDS, None)
    printed = screen.getvalue()
    parts = [
        "Settings of the champion, trial 1:\n  beta         0.2\n  adversarial  1\n",
        "  with all digits, as a file: sepray show small --settings",
        f"\n{SENTENCE}.\n",
        "small: relative L2 error on the test split",
        "Registered as cass-ecg version 7, the first champion.",
        "\nNext:\n  mlflow ui\n  sepray evaluate models:/cass-ecg@champion\n",
    ]
    places = [printed.index(part) for part in parts]
    assert places == sorted(places)
    assert "webbrowser" not in printed


def test_terminal_begins_with_the_answer(spec, screen):
    answer = Answer("relative_l2", "mean", (), sentence="Trial 1 changed nothing.")
    announcement.show(spec, DATA, {**RESULT, "answer": answer.plain()}, REGISTERED, COMMANDS, None)
    assert screen.getvalue().startswith("\nTrial 1 changed nothing.")


def test_champion_without_settings_has_no_list_of_them(spec, screen):
    announcement.show(spec, DATA, {**RESULT, "hyperparameters": {}}, REGISTERED, COMMANDS, None)
    assert "Settings" not in screen.getvalue()


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("here/my study/report.html", "'my study/report.html'"),
        ("else where/report.html", "'{}/else where/report.html'"),
    ],
)
def test_report_is_opened_by_a_path_from_here_that_a_shell_takes_as_one(
    spec, screen, monkeypatch, tmp_path, place, shown
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    announcement.show(spec, DATA, RESULT, REGISTERED, COMMANDS, tmp_path / place)
    assert f"Next:\n  python -m webbrowser {shown.format(tmp_path)}\n  mlflow ui\n" in screen.getvalue()


def test_commands_are_never_broken_into_lines(spec, monkeypatch, tmp_path):
    """A narrow window may break prose; a command is copied."""
    narrow = Console(file=io.StringIO(), width=20)
    monkeypatch.setattr(announcement, "console", narrow)
    announcement.show(spec, DATA, RESULT, REGISTERED, COMMANDS, tmp_path / "report.html")
    assert f"\n  python -m webbrowser {tmp_path}/report.html\n" in narrow.file.getvalue()


@pytest.mark.parametrize("has_report", [True, False])
def test_run_of_the_study_has_scores_tags_and_the_note(spec, tracker, notes_kept, has_report):
    announcement.keep(spec, DATA, RESULT, REGISTERED, COMMANDS, has_report, "waiting", tracker)
    [((metrics, tags, note), _)] = tracker.named("study_finished")
    assert metrics == {"test/low/relative_l2": 0.25, "test/high/relative_l2": 0.5, "test/relative_l2": 0.375}
    assert tags == {"outcome": "finished", "champion": "trial 1", "model_version": "waiting"}
    assert f"\n\n{SENTENCE}.\n\n" in note
    assert REGISTERED.sentence in note
    assert ("all of them on one page in `report.html`" in note) == has_report
    [(study, shown)] = notes_kept
    assert study == "small"
    assert shown == note.partition("\n\nThe figures are among")[0]  # whose files optuna-dashboard does not have


def test_study_that_cannot_take_a_note_goes_without(spec, tracker, monkeypatch):
    def fail(storage, name):
        raise UsageError("there is no such study")

    monkeypatch.setattr(announcement, "load_study", fail)
    announcement.keep(spec, DATA, RESULT, REGISTERED, COMMANDS, True, "7", tracker)
    assert len(tracker.named("study_finished")) == 1
