"""Traces of a comparison: files, a run in MLflow, lines in the terminal, an exit status."""

import csv
import errno
import io
import sys
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from sepray.comparison import formats, publishing, table
from sepray.comparison.contenders import LeftOut
from sepray.comparison.running import ComparisonFigures
from sepray.comparison.spec import Comparison
from sepray.report.figures import MediaFile

from .conftest import OUTCOME, taking_part


@dataclass(frozen=True)
class Task:
    """The configuration of a task."""

    size: int = 3


class Tracker:
    """Notes what the comparison's run is told."""

    waiting = 0

    def __init__(self, outbox, study, *, uri, experiment):
        self.made = (outbox, study, uri, experiment)
        self.told = {}
        self.files = {}
        Tracker.last = self

    def open_study(self, *given):
        self.told["opened"] = given

    def log_dataset(self, *given):
        self.told["dataset"] = given

    def log_file(self, label, name, path):
        self.files[name] = (label, path.read_bytes())

    def study_finished(self, *given):
        self.told["finished"] = given

    def close(self, timeout):
        self.told["timeout"] = timeout
        return self.waiting


@pytest.fixture
def screen(monkeypatch):
    console = Console(file=io.StringIO(), width=40, highlight=False, markup=False)
    monkeypatch.setattr(publishing, "console", console)
    return console.file


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "Tracker", Tracker)
    monkeypatch.setattr(publishing, "environment_tags", lambda: {"git": "abc", "stage": "overwritten"})
    monkeypatch.setattr(Tracker, "waiting", 0)
    drawn = lambda found: [MediaFile("si_sdr.svg", f"<svg/> of {found.reference}".encode(), "bars")]  # noqa: E731
    monkeypatch.setattr(publishing.figure, "pictures", drawn)
    uri = "http://me:hunter2@host"
    given = Comparison(name="lab", task="my_task", settings=("task.x=1", "task.y=2"), seed=5)
    return given.changed(storage_path=str(tmp_path), tracking_uri=uri, final_seeds=3, trials=4, max_epochs=6)


@pytest.fixture
def published(comparison, data, screen):
    def publish(outcome=OUTCOME):
        folder = publishing.publish(comparison, Task(), data, outcome, table.build(comparison, data, outcome))
        return folder, Tracker.last

    return publish


SPACES = {"a": ({}, {})}
BUG = RuntimeError("mysql://me:hunter2@host")


def test_tables_scores_and_figures_are_files_and_artifacts(published, comparison, data, tmp_path):
    folder, tracker = published(ComparisonFigures(OUTCOME.entries, [*OUTCOME.left_out, LeftOut("a b/c", "bug", BUG)]))
    assert folder.parent == tmp_path / "lab"
    assert tracker.made == (
        folder / "outbox.db",
        f"lab-{folder.name}",
        "http://me:hunter2@host",
        "comparison-test-publishing",
    )
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    tables = {"table.md", "table.tex", "table.csv", "scores.csv"}
    assert set(files) == tables | {"figures/si_sdr.svg", "failures/a-b-c.txt"}
    assert files["figures/si_sdr.svg"] == b"<svg/> of good"
    assert tracker.files == {name: ("", content) for name, content in files.items()}
    assert files["failures/a-b-c.txt"] == b"RuntimeError: mysql://me:***@host\n"
    scores = list(csv.DictReader(io.StringIO(files["scores.csv"].decode())))
    assert {line["source"] for line in scores} == {"low", "high"}
    assert published()[0] == folder  # another outcome of the same studies is the same comparison


def test_other_studies_of_the_same_names_are_another_comparison(published):
    folder, _ = published()
    entries = [replace(OUTCOME.entries[0], uid="another"), OUTCOME.entries[1]]
    assert published(ComparisonFigures(entries, []))[0] != folder


def test_run_holds_the_means_and_names_the_studies(published, comparison, data):
    built = table.build(comparison, data, OUTCOME)
    _, tracker = published()
    name, params, tags = tracker.told["opened"]
    assert name == "lab"
    assert params == {
        "trials": 4,
        "max_epochs": 6,
        "final_seeds": 3,
        "sampler": "tpe",
        "scheduler": "asha",
        "seed": 5,
        "task": "test_publishing",
        "objective": " ".join(comparison.objective),
        "settings": "task.x=1 task.y=2",
        "task.size": 3,
        "separators": "poor good",
    }
    assert tags == {
        "git": "abc",
        "stage": "comparison",
        "data_fingerprint": data.fingerprint,
        "reference": "good",
        "study.poor": "lab-poor",
        "study.good": "lab-good",
    }
    described = {"config": {"size": 3}, "sources": ["low", "high"]}
    assert tracker.told["dataset"] == ("test_publishing", data.fingerprint, described, "comparison")
    metrics, tags, note = tracker.told["finished"]
    # Seeds of mean 2.5 and 3.5 dB for the first source; the second is 2 dB better, the mean of both so 1 dB.
    assert metrics["test/poor/si_sdr"] == pytest.approx(4)
    assert metrics["test/good/si_sdr"] == pytest.approx(8.5)  # in the same way 6.5 and 8.5, and 1
    assert len(metrics) == len(built.rows) * len(built.measures)
    assert tags == {"outcome": "finished"}
    assert note.startswith(formats.markdown(built))
    assert note.endswith(
        "\nEach separator is a study of its own:\n\n"
        "- poor_one (50% & {more}): study `lab-poor`\n- good: study `lab-good`\n"
    )
    assert tracker.told["timeout"] == 20


def test_terminal_shows_the_table_and_where_its_files_are(published, screen):
    folder, _ = published()
    assert screen.getvalue().endswith(f"\nTables (Markdown, LaTeX, CSV), scores of every item and figures: {folder}\n")
    assert screen.getvalue().count("What they need and cost") == 1
    assert "wait" not in screen.getvalue()


def test_records_that_wait_are_told_without_the_password(published, screen, monkeypatch):
    monkeypatch.setattr(Tracker, "waiting", 7)
    published()
    told = " ".join(screen.getvalue().split())
    assert "7 updates wait for the tracking server http://me:***@host; the same command delivers them " in told


@pytest.fixture
def ran(comparison, data, monkeypatch, screen):
    """Runs a comparison whose studies end as given; returns its status and what was published."""
    refused = LeftOut("picky", "images [only]")
    published = []
    monkeypatch.setattr(publishing, "task_config", lambda given: Task() if given is comparison else None)
    monkeypatch.setattr(publishing, "load_task", lambda task, cache: data if cache == comparison.stores.cache else None)
    monkeypatch.setattr(
        publishing,
        "contenders",
        lambda *given: (taking_part(), [refused]) if given == (comparison, SPACES, data.signal) else None,
    )
    monkeypatch.setattr(publishing, "publish", lambda *given: published.append(given[3]))

    def run(outcome, trials=4):
        def run_all(given, task, loaded, contenders, permitted):
            assert (task, loaded, [c.key for c in contenders]) == (Task(), data, ["a", "b", "c"])
            if outcome is None:
                raise KeyboardInterrupt
            return outcome

        monkeypatch.setattr(publishing, "run_all", run_all)
        return publishing.run(comparison, SPACES), published

    return run


def test_comparison_is_announced_run_and_published(ran, screen):
    assert ran(ComparisonFigures([OUTCOME.entries[1]], [])) == (
        0,
        [ComparisonFigures([OUTCOME.entries[1]], [LeftOut("picky", "images [only]")])],
    )
    assert screen.getvalue() == (
        "comparison lab: a, b, c on my_task; each 6 epochs, 3 seeds, 4 trials of a search before\n"
        "  left out picky: images [only]\n"
    )


def test_bugs_are_shown_and_the_same_command_may_mend_them(ran, screen):
    status, [outcome] = ran(ComparisonFigures([OUTCOME.entries[1]], [LeftOut("broken", "RuntimeError", BUG)]))
    assert status == 3
    assert [left.system for left in outcome.left_out] == ["broken", "picky"]
    assert "\nbroken: this is a bug in sepray; report it with the whole traceback" in screen.getvalue()
    assert "RuntimeError: mysql://me:***@host\n" in screen.getvalue()
    assert screen.getvalue().endswith("The same command tries the separators \nwithout figures again.\n")


def test_comparison_without_any_figures_fails_with_all_reasons(ran, screen):
    assert ran(ComparisonFigures([], [LeftOut("broken", "no loss")])) == (1, [])
    assert screen.getvalue().endswith("\nno separator has figures: broken: no loss; picky: images [only]\n")


@pytest.mark.parametrize("entries", [[], [OUTCOME.entries[1]]])
@pytest.mark.parametrize("left", [LeftOut("a", "x", BUG), LeftOut("a", "no loss", in_trials=True)])
def test_comparison_ends_with_3_where_a_bug_has_cost_a_separator_its_figures(ran, entries, left):
    status, published = ran(ComparisonFigures(list(entries), [left]))
    assert (status, len(published)) == (3, len(entries))


def test_comparison_that_a_full_disk_has_cost_a_separator_ends_as_after_a_refusal(ran):
    full = OSError(errno.ENOSPC, "No space left on device", "/there")
    assert ran(ComparisonFigures([OUTCOME.entries[1]], [LeftOut("a", "x", full)]))[0] == 0


def test_whole_traceback_of_a_bug_is_shown_where_it_is_asked_for(ran, screen, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", "--traceback"])
    ran(ComparisonFigures([OUTCOME.entries[1]], [LeftOut("broken", "RuntimeError", BUG)]))
    assert "RuntimeError: mysql://me:***@host\n" in screen.getvalue()
    assert "--traceback" not in screen.getvalue()


def test_interrupted_comparison_publishes_nothing(ran):
    assert ran(None) == (130, [])


def test_comparison_without_a_search_says_so(ran, screen, monkeypatch, comparison):
    monkeypatch.setattr(publishing, "task_config", lambda given: Task())
    changed = comparison.changed(trials=0)
    ran(ComparisonFigures([], []))
    screen.truncate(0)
    monkeypatch.setattr(publishing, "contenders", lambda *given: (taking_part(), []))
    publishing.run(changed, {})
    assert "3 seeds, no trials of a search before" in screen.getvalue()
