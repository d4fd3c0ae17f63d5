"""The choice of the champion among the retrainings."""

import pytest

from sepray.driver.champion import best_member, choose_champion, may_win
from sepray.driver.finished_trials import Finished
from sepray.driver.retrainings import Retraining


def trial(number, value, settings=None, label=None, role=None) -> Finished:
    attributes = {"role": role} if role else {}
    return Finished(number, label, settings or {"beta": number / 10}, value, f"trial-{number}", attributes)


def test_champion_has_the_best_mean_and_a_lucky_seed_does_not_win():
    finals = [
        trial(0, 0.05, role="trial 8"),
        trial(1, 0.60, role="trial 8"),
        trial(2, 0.30, role="trial 9"),
        trial(3, 0.20, role="trial 9"),
        trial(4, 0.01, role="plain at the settings of trial 8"),  # a control is no candidate
        trial(5, 0.00),
    ]
    won = choose_champion(finals, ["trial 8", "trial 9"])
    assert (won.role, won.member.number) == ("trial 9", 3)
    assert won.value == pytest.approx(0.25)


def test_there_is_no_champion_where_no_candidate_was_trained_to_its_end():
    assert choose_champion([trial(0, 0.1, role="plain at the settings of trial 1")], ["trial 1"]) is None
    assert choose_champion([], []) is None


def test_best_member_is_the_least_and_of_equals_the_first():
    assert best_member([trial(3, 0.2), trial(2, 0.1), trial(1, 0.1)]).number == 1


def test_a_mean_over_fewer_seeds_is_no_match_for_one_over_all():
    finals = [
        trial(0, 0.01, role="trial 8"),  # its other seeds diverged
        trial(1, 0.30, role="trial 9"),
        trial(2, 0.40, role="trial 9"),
    ]
    won = choose_champion(finals, ["trial 8", "trial 9"])
    assert (won.role, won.value, won.member.number) == ("trial 9", pytest.approx(0.35), 1)


def test_a_model_is_made_of_no_published_settings():
    plan = [
        Retraining(f"{role} {k}", role, {}, k, reference=of)
        for role, of in (("trial 2", ""), ("paper", "paper"), ("plain", ""))
        for k in (1, 2)
    ]
    assert may_win(plan) == ["trial 2", "plain"]
