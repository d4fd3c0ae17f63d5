"""The study file of comparisons, the search spaces that they find, and the entry point."""

import runpy
import sys
from types import SimpleNamespace

import pytest

from sepray import shipped
from sepray.comparison import command, dry_run, publishing
from sepray.comparison.spec import Comparison
from sepray.execution import cluster
from sepray.spec.permissions import Permissions

from .conftest import STUDY


def test_study_file_is_short_and_has_the_supervised_mask_in_every_table():
    assert runpy.run_path(str(STUDY))["STUDY"] == Comparison(baselines=("supervised_mask",))
    assert Comparison().task == "notes_and_bursts"
    assert len(STUDY.read_text().splitlines()) <= 40


def test_comparison_knows_every_published_search_space():
    found = Comparison().spaces()
    assert set(found) == set(shipped.search_spaces())
    assert found["cass"][1]["CASS"]["beta"] == 0.1


def test_comparison_knows_the_search_space_of_a_users_own_separator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "my_filter.py").write_text("SPACE = {'a': 1}\nPAPER = {'theirs': {'a': 2}}\n")
    (tmp_path / "my_filter.py").write_text("Config = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = Comparison(separators=("my_filter", "nmf")).spaces()
    assert found["my_filter"] == ({"a": 1}, {"theirs": {"a": 2}}, {})
    assert "my_filter" not in Comparison(separators=("nmf",)).spaces()


@pytest.fixture
def front_door(monkeypatch, tmp_path):
    """Notes what the entry point asks of others; nothing is checked, and nothing runs."""
    told = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(Comparison, "check", lambda self: told.append(("checked", self.name)))
    monkeypatch.setattr(command.study, "refuse_bad_input", lambda spec: told.append(("first study", spec.name)))
    monkeypatch.setattr(publishing, "run", lambda *given: told.append(("run", *given)) or 1)
    monkeypatch.setattr(cluster, "run_on_head", lambda *given: told.append(("sent", *given)) or 7)
    return told


SPACES = {"cass": ({}, {})}


@pytest.mark.parametrize("address", [None, "auto", "10.0.0.1:6379"])
def test_comparison_is_checked_before_it_runs_here(front_door, tmp_path, address):
    comparison = Comparison(name="lab", address=address)
    assert command.run(comparison, SPACES) == 1
    assert command.run(comparison, SPACES) == 1
    assert front_door == [("checked", "lab"), ("first study", "lab"), ("run", comparison, SPACES, None)] * 2
    assert sys.path.count(str(tmp_path)) == 1  # the user's own modules are found
    assert sys.path[-1] == str(tmp_path)


def test_comparison_for_a_remote_cluster_is_sent_there_with_the_users_modules(front_door, tmp_path):
    (tmp_path / "mine.py").touch()
    (tmp_path / "my_task.py").touch()
    comparison = Comparison(name="lab", task="my_task", separators=("cass", "mine:slow"), address="ray://head:10001")
    assert command.run(comparison, SPACES) == 7
    [_, _, (_, address, function, given, modules)] = front_door
    assert (address, function) == ("ray://head:10001", command.run)
    assert given == [comparison.changed(address="auto"), SPACES, None]
    assert modules == ["sepray", "my_task", "mine"]


def test_shipped_and_missing_modules_are_not_sent():
    assert command._own(["sepray", "ecg", "cass", "cass:published", "no_such_module"]) == ["sepray"]


def test_command_line_changes_the_comparison_and_its_status_is_the_exit_status(front_door, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", "--max-epochs", "3"])
    with pytest.raises(SystemExit) as ended:
        command.main(Comparison(name="lab"), SPACES)
    assert ended.value.code == 1
    assert front_door[-1] == ("run", Comparison(name="lab", max_epochs=3), SPACES, Permissions())


def test_published_search_spaces_are_used_where_none_are_given(front_door):
    comparison = Comparison(name="lab")
    assert command.run(comparison) == 1
    assert front_door[-1] == ("run", comparison, comparison.spaces(), None)


def test_dry_run_checks_and_shows_and_runs_nothing(front_door, monkeypatch):
    shown = []
    monkeypatch.setattr(dry_run, "estimate", lambda *given: SimpleNamespace(given=given, status=3))
    monkeypatch.setattr(dry_run, "show", lambda found: shown.append(found.given))
    monkeypatch.setattr(sys, "argv", ["compare.py", "--dry-run", "--max-epochs", "3"])
    with pytest.raises(SystemExit) as ended:
        command.main(Comparison(name="lab"), SPACES)
    assert ended.value.code == 3
    assert shown == [(Comparison(name="lab", max_epochs=3), SPACES)]
    assert [what for what, *_ in front_door] == ["checked", "first study"]


def test_command_of_the_user_is_told_how_the_comparison_ended(front_door, monkeypatch, tmp_path):
    flags = ["--on-finish", 'echo "$SEPRAY_STUDY $SEPRAY_STATUS" > told']
    monkeypatch.setattr(sys, "argv", ["compare.py", *flags])
    with pytest.raises(SystemExit) as ended:
        command.main(Comparison(name="lab"), SPACES)
    assert ended.value.code == 1
    assert (tmp_path / "told").read_text() == "lab 1\n"
