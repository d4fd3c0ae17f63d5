"""Rows of means: the champion's where no pair has it, and the published settings' by their epochs."""

import dataclasses

import pytest

from sepray.driver.champion import Champion
from sepray.driver.finished_trials import Finished
from sepray.driver.mean_rows import MeanRow, rows
from sepray.driver.pairs import Compared, ComparedSystem

PUBLISHED = {"paper a": "final a", "paper b": "final b"}


def finished(number, role):
    return Finished(number, None, {}, 0.5, "", {"role": role})


OWN = [finished(0, "trial 7"), finished(1, "trial 7")]
PAPER = [finished(k, "final a") for k in (2, 3, 4)]
CHAMPION = Champion("trial 7", 0.5, OWN[1])
NONE = Compared((), ())


@pytest.fixture
def study(spec):
    return spec.changed(reference_epochs={"paper a": 500}, max_epochs=3)


def test_champion_comes_first_and_published_settings_follow(study):
    found = rows(study, [*PAPER, *OWN], CHAMPION, NONE, PUBLISHED)
    assert found == [MeanRow("trial 7", OWN), MeanRow("paper a (3 of 500 epochs)", PAPER, "paper a")]


def test_settings_that_were_trained_as_long_as_in_their_paper_are_called_the_papers(study):
    long = study.changed(reference_budget="published")
    [_, row] = rows(long, [*PAPER, *OWN], CHAMPION, NONE, PUBLISHED)
    assert row.title == "paper: paper a (500 epochs)"


def test_without_published_settings_there_is_no_row(study):
    assert rows(study, OWN, CHAMPION, NONE, {}) == []


@pytest.mark.parametrize("place", ["systems", "best"])
def test_champion_of_a_pair_has_its_row_there(study, place):
    system = ComparedSystem("trial 7", "trial 7", {3: OWN[0], 4: OWN[1]})
    pairs = dataclasses.replace(NONE, **{place: (system,)})
    assert [row.label for row in rows(study, [*OWN, *PAPER], CHAMPION, pairs, PUBLISHED)] == ["paper a"]


def test_single_training_is_no_mean(study):
    assert [row.label for row in rows(study, [OWN[1], *PAPER], CHAMPION, NONE, PUBLISHED)] == ["paper a"]
