"""``sepray list`` hands on what it was given."""

import pytest

from sepray.cli import list_command, lists, main


@pytest.fixture
def shown(monkeypatch):
    given = []
    monkeypatch.setattr(lists, "show", lambda *arguments: given.append(arguments))
    return given


def test_flags_arrive(shown):
    main.dispatch(["list", "studies", "--json", "--storage", "sqlite:///other.db", "--tracking-uri", "http://host"])
    assert shown == [("studies", True, "sqlite:///other.db", "http://host")]


def test_defaults_are_those_of_all_commands(shown):
    main.dispatch(["list", "models"])
    assert shown == [("models", False, list_command.application.STORAGE, None)]
