"""The study file of comparisons, and the search spaces that a comparison finds."""

import runpy

from sepray import shipped
from sepray.comparison.spec import Comparison

from .conftest import STUDY


def test_study_file_is_short_and_is_the_default_comparison():
    assert runpy.run_path(str(STUDY))["STUDY"] == Comparison()
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
    assert found["my_filter"] == ({"a": 1}, {"theirs": {"a": 2}})
    assert "my_filter" not in Comparison(separators=("nmf",)).spaces()
