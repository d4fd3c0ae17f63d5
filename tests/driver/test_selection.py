"""Which trials are trained again, which of those wins, and the lines of the final table."""

import dataclasses

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sepray.choices import Objective
from sepray.driver.selection import Finished, best_member, champion, finalists, finished, retrainings
from sepray.spec import choosing


def trial(number, value, settings=None, label=None, role=None) -> Finished:
    attributes = {"role": role} if role else {}
    return Finished(number, label, settings or {"beta": number / 10}, value, f"trial-{number}", attributes)


def test_finalists_are_the_best_with_settings_of_their_own_best_first():
    searched = [
        trial(0, 0.5),
        trial(1, 0.2),
        trial(2, 0.3, {"beta": 0.1, "rate": 1.0}),
        trial(3, 0.1, {"rate": 1.0, "beta": 0.1}),  # those of trial 2 in another order
        trial(4, 0.4),
        trial(5, 0.2, {"beta": 0.1}),  # those of trial 1
    ]
    assert [t.number for t in finalists(searched, 3)] == [3, 1, 4]
    assert [t.number for t in finalists(searched, 9)] == [3, 1, 4, 0]
    assert finalists([], 2) == []


def test_of_equal_trials_the_earlier_one_is_the_finalist():
    assert [t.number for t in finalists([trial(7, 0.2), trial(3, 0.2), trial(5, 0.2)], 2)] == [3, 5]


def test_every_finalist_and_control_is_trained_on_the_same_seeds():
    chosen = [trial(4, 0.1, {"beta": 0.2, "adversarial": 1}), trial(2, 0.2, {"beta": 0.3, "adversarial": 0})]
    plan = retrainings(chosen, {"plain": {"adversarial": 0}}, 3, study_seed=7)
    assert [p.role for p in plan] == [
        *["trial 4"] * 3,
        *["trial 2"] * 3,
        *["plain at the settings of trial 4"] * 3,
    ]
    seeds = [p.seed for p in plan]
    assert seeds == seeds[:3] * 3
    assert len(set(seeds)) == 3
    assert len({p.label for p in plan}) == len(plan)
    assert plan[1].label == "trial 4 seed 2"
    assert plan[3].hyperparameters == {"beta": 0.3, "adversarial": 0}
    assert plan[6].hyperparameters == {"beta": 0.2, "adversarial": 0}
    assert chosen[0].hyperparameters == {"beta": 0.2, "adversarial": 1}


def test_seeds_hang_on_the_study_alone_and_more_of_them_begin_with_the_same():
    few, more = (retrainings([trial(0, 0.1)], {}, n, study_seed=7) for n in (2, 4))
    assert more[:2] == few
    other = retrainings([trial(0, 0.1)], {}, 2, study_seed=8)
    assert not {p.seed for p in few} & {p.seed for p in other}


def test_control_that_is_the_finalist_itself_is_left_out():
    plan = retrainings([trial(1, 0.1, {"beta": 0.1, "adversarial": 0})], {"plain": {"adversarial": 0}}, 2, 0)
    assert [p.role for p in plan] == ["trial 1", "trial 1"]


def test_nothing_is_trained_again_without_a_finalist():
    assert retrainings([], {"plain": {"adversarial": 0}}, 3, 0) == []


def test_champion_has_the_best_mean_and_a_lucky_seed_does_not_win():
    finals = [
        trial(0, 0.05, role="trial 8"),
        trial(1, 0.60, role="trial 8"),
        trial(2, 0.30, role="trial 9"),
        trial(3, 0.20, role="trial 9"),
        trial(4, 0.01, role="plain at the settings of trial 8"),  # a control is no candidate
        trial(5, 0.00),
    ]
    won = champion(finals, ["trial 8", "trial 9"])
    assert (won.role, won.member.number) == ("trial 9", 3)
    assert won.value == pytest.approx(0.25)


def test_there_is_no_champion_where_no_candidate_was_trained_to_its_end():
    assert champion([trial(0, 0.1, role="plain at the settings of trial 1")], ["trial 1"]) is None
    assert champion([], []) is None


def test_best_member_is_the_least_and_of_equals_the_first():
    assert best_member([trial(3, 0.2), trial(2, 0.1), trial(1, 0.1)]).number == 1


def test_a_mean_over_fewer_seeds_is_no_match_for_one_over_all():
    finals = [
        trial(0, 0.01, role="trial 8"),  # its other seeds diverged
        trial(1, 0.30, role="trial 9"),
        trial(2, 0.40, role="trial 9"),
    ]
    won = champion(finals, ["trial 8", "trial 9"])
    assert (won.role, won.value, won.member.number) == ("trial 9", pytest.approx(0.35), 1)


def frozen(number, values):
    """An Optuna record."""
    attributes = {"hyperparameters": {"beta": number / 10}}
    return create_trial(state=TrialState.COMPLETE, values=values, user_attrs=attributes)


ERROR, SDR = Objective("validation/relative_l2", "minimize"), Objective("validation/si_sdr", "maximize")


def test_finished_trial_has_the_losses_and_what_the_rule_makes_of_them():
    values = [[0.1, 0.0], [0.5, 10.0]]  # the ends of the front
    rule = choosing.rule(("weights", "3", "1"), (ERROR, SDR), np.array([(e, -s) for e, s in values]))
    [found] = finished([frozen(0, [0.2, 8.0])], rule, lambda number: f"folder-{number}")
    assert found.losses == (0.2, -8.0)
    assert found.value == pytest.approx(0.75 * 0.25 + 0.25 * 0.2)
    assert (found.hyperparameters, found.folder) == ({"beta": 0.0}, f"folder-{found.number}")


def test_finalists_of_several_objectives_are_of_the_front_first():
    """The second best by the knee is beaten by the best, and so comes after what is on the front."""
    values = [[0.1, 0.0], [0.5, 10.0], [0.2, 8.0], [0.22, 7.9]]
    rule = choosing.rule(("knee",), (ERROR, SDR), np.array([(e, -s) for e, s in values]))
    searched = finished([frozen(k, v) for k, v in enumerate(values)], rule, str)
    searched = [dataclasses.replace(t, number=k) for k, t in enumerate(searched)]
    by_value = sorted(searched, key=lambda t: t.value)
    assert [t.number for t in by_value][:2] == [2, 3]
    assert [t.number for t in finalists(searched, 3)] == [2, 0, 1]
    assert [t.number for t in finalists(searched, 4)] == [2, 0, 1, 3]


def test_trial_at_the_boundary_of_its_constraint_is_finished_and_one_beyond_is_not():
    study = optuna.create_study()
    for constraint in (-1.0, 0.0, 1.0):
        trial = study.ask()
        trial.set_constraint("collapsed", constraint)
        trial.set_user_attr("hyperparameters", {"c": constraint})
        study.tell(trial, 0.5)
    found = finished(study.trials, choosing.rule(("knee",), (ERROR,), np.zeros((0, 1))), str)
    assert [t.hyperparameters["c"] for t in found] == [-1.0, 0.0]
