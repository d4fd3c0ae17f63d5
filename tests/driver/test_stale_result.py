"""Reasons to score a kept result again: another champion, retrainings that have finished since, other measures."""

import dataclasses

import pytest

from sepray.driver.champion import Champion
from sepray.driver.finished_trials import Finished
from sepray.driver.mean_rows import MeanRow
from sepray.driver.pairs import Compared, ComparedSystem
from sepray.driver.stale_result import is_stale

from .conftest import SIGNAL


def trial(number):
    return Finished(number, None, {}, 0.5, "", {})


def members(*numbers):
    return {(1, number): trial(number) for number in numbers}


CHAMPION = Champion("trial 7", 0.5, trial(0))
PAIRED = Compared((ComparedSystem("a", "a", members(0, 1)), ComparedSystem("b", "b", members(2, 3))), (("b", "a"),))
PAIRS = {
    "contrasts": [["b", "a"]],
    "systems": {
        name: [{"trial": n, "base": 1, "seed": n, "scores": [[0.5]], "others": {"si_sdr": [[1.0]]}} for n in numbers]
        for name, numbers in (("a", (0, 1)), ("b", (2, 3)))
    },
}
KEPT = {"member": 0, "metric": "relative_l2", "pairs": PAIRS, "best_of_arms": [], "references": []}


@pytest.fixture
def stale(spec):
    def found(result=KEPT, champion=CHAMPION, systems=PAIRED, rows=(), objective=("relative_l2",)):
        return is_stale(result, spec.changed(objective=objective), SIGNAL, champion, systems, rows)

    return found


def test_result_of_the_same_champion_and_retrainings_stays(stale):
    assert not stale()


def test_another_champion_is_scored(stale):
    assert stale(champion=dataclasses.replace(CHAMPION, member=trial(1)))


def test_retraining_that_has_finished_since_is_scored(stale):
    more = ComparedSystem("b", "b", members(2, 3, 4))
    assert stale(systems=dataclasses.replace(PAIRED, systems=(PAIRED.systems[0], more)))


def test_retraining_that_is_compared_no_more_leaves_the_result(stale):
    assert stale(systems=dataclasses.replace(PAIRED, systems=PAIRED.systems[:1]))


def test_best_of_an_arm_that_the_result_lacks_is_scored_and_old_results_have_none(stale):
    best = dataclasses.replace(PAIRED, best=(ComparedSystem("c", "c", members(5)),))
    assert stale(systems=best)
    assert not stale({**KEPT, "best_of_arms": [5]}, systems=best)
    assert not stale({name: kept for name, kept in KEPT.items() if name != "best_of_arms"}, systems=best)


def test_measure_that_is_an_objective_now_is_scored(stale):
    assert not stale(objective=("relative_l2", "si_sdr"))
    assert stale(objective=("relative_l2", "snr"))


def test_result_of_an_older_version_without_pairs_stays_as_it_is(stale):
    old = {name: kept for name, kept in KEPT.items() if name != "pairs"}
    assert not stale(old, objective=("relative_l2", "snr"))


def test_published_settings_that_have_finished_since_are_scored_and_the_champions_mean_is_none_of_them(stale):
    published, own = MeanRow("paper a", [trial(8), trial(9)], "paper a"), MeanRow("trial 7", [trial(0)])
    assert stale(rows=[published])
    assert not stale({**KEPT, "references": [8, 9]}, rows=[own, published])
    assert stale({**KEPT, "references": [8]}, rows=[published])
    assert not stale(rows=[own])
