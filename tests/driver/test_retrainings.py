"""The settings that are trained again after a search, and the seeds."""

import dataclasses

import numpy as np
from optuna.trial import TrialState, create_trial

from sepray.arms import Arm
from sepray.choices import Objective
from sepray.driver.finished_trials import Finished, finished
from sepray.driver.retrainings import arm_retrainings, finalist_retrainings, finalists, new_seeds
from sepray.spec import choosing

from .arms import OFF, prepared_arms, trial_of_arm

TO_HIGH = "cross.low_to_high"

ERROR, SDR = Objective("validation/relative_l2", "minimize"), Objective("validation/si_sdr", "maximize")


def trial(number, value, settings=None, label=None, role=None) -> Finished:
    attributes = {"role": role} if role else {}
    return Finished(number, label, settings or {"beta": number / 10}, value, f"trial-{number}", attributes)


def frozen(number, values):
    """An Optuna record."""
    attributes = {"hyperparameters": {"beta": number / 10}}
    return create_trial(state=TrialState.COMPLETE, values=values, user_attrs=attributes)


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
    plan = finalist_retrainings(chosen, {"plain": {"adversarial": 0}}, 3, study_seed=7)
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
    assert new_seeds(3, 5) == [2300964344, 1520362110, 2603020994]
    few, more = (finalist_retrainings([trial(0, 0.1)], {}, n, study_seed=7) for n in (2, 4))
    assert more[:2] == few
    other = finalist_retrainings([trial(0, 0.1)], {}, 2, study_seed=8)
    assert not {p.seed for p in few} & {p.seed for p in other}


def test_control_that_is_the_finalist_itself_is_left_out():
    plan = finalist_retrainings([trial(1, 0.1, {"beta": 0.1, "adversarial": 0})], {"plain": {"adversarial": 0}}, 2, 0)
    assert [p.role for p in plan] == ["trial 1", "trial 1"]


def test_nothing_is_trained_again_without_a_finalist():
    assert finalist_retrainings([], {"plain": {"adversarial": 0}}, 3, 0) == []


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


def test_pairs_have_the_best_settings_in_every_arm_and_the_best_of_each_arm_its_own():
    searched = [
        trial_of_arm(0, 0.5, "no adversaries", autoencoder_learning_rate=0.9),
        trial_of_arm(1, 0.1, "CASS", beta=0.2, autoencoder_learning_rate=0.3),
        trial_of_arm(2, 0.4, "CASS", beta=0.6, autoencoder_learning_rate=0.7),
        trial_of_arm(3, 0.3, "cross low to high", beta=0.8, autoencoder_learning_rate=0.9, **{TO_HIGH: 0.75}),
    ]
    found = arm_retrainings(searched, prepared_arms(), 2, 5)
    assert [(r.role, r.arm, r.pairing, r.base) for r in found[::2]] == [
        ("no adversaries at the settings of trial 1", "no adversaries", "same settings", 1),
        ("trial 1 (best of CASS)", "CASS", "same settings", 1),
        ("cross low to high at the settings of trial 1", "cross low to high", "same settings", 1),
        # "cross high to low" has no trial that its own weight could come from
        ("trial 0 (best of no adversaries)", "no adversaries", "best of arm", 0),
        ("trial 3 (best of cross low to high)", "cross low to high", "best of arm", 3),
    ]
    assert [r.hyperparameters for r in found[::2]] == [
        {"autoencoder_learning_rate": 0.3, "adversarial": 0},
        {"beta": 0.2, "autoencoder_learning_rate": 0.3, "adversarial": 1, **OFF},
        {
            "beta": 0.2,
            "autoencoder_learning_rate": 0.3,
            "cross.low_to_high": 0.75,
            "adversarial": 1,
            "cross.high_to_low": 0.0,
        },
        {"autoencoder_learning_rate": 0.9, "adversarial": 0},
        {
            "beta": 0.8,
            "autoencoder_learning_rate": 0.9,
            "cross.low_to_high": 0.75,
            "adversarial": 1,
            "cross.high_to_low": 0.0,
        },
    ]
    seeds = [int(s) for s in np.random.SeedSequence([5, 0x5EED]).generate_state(2)]
    assert [r.seed for r in found] == seeds * 5
    assert [r.label for r in found[2:4]] == ["trial 1 (best of CASS) seed 1", "trial 1 (best of CASS) seed 2"]
    assert found[0].fixed().attributes == {
        "role": "no adversaries at the settings of trial 1",
        "arm": "no adversaries",
        "pairing": "same settings",
        "base": 1,
    }


def test_what_the_best_trial_does_not_search_is_the_same_in_all_other_arms_too():
    """Each arm's own weights would be another comparison: arms would differ in them as well."""
    searched = [
        trial_of_arm(0, 0.1, "no adversaries", autoencoder_learning_rate=0.3),
        trial_of_arm(1, 0.2, "CASS", beta=0.6, autoencoder_learning_rate=0.7),
        trial_of_arm(2, 0.15, "cross low to high", beta=0.8, autoencoder_learning_rate=0.9, **{TO_HIGH: 0.75}),
    ]
    pairs = [r for r in arm_retrainings(searched, prepared_arms(), 1, 0) if r.pairing == "same settings"]
    assert {r.arm: (r.hyperparameters["autoencoder_learning_rate"], r.hyperparameters.get("beta")) for r in pairs} == {
        "no adversaries": (0.3, None),
        "CASS": (0.3, 0.8),
        "cross low to high": (0.3, 0.8),
    }


def test_best_trial_of_another_arm_at_equal_settings_is_not_trained_twice():
    searched = [
        trial_of_arm(0, 0.1, "no adversaries", autoencoder_learning_rate=0.5),
        trial_of_arm(1, 0.2, "CASS", beta=0.2, autoencoder_learning_rate=0.5),
    ]
    found = arm_retrainings(searched, prepared_arms(), 1, 0)
    assert [(r.role, r.pairing) for r in found] == [
        ("trial 0 (best of no adversaries)", "same settings"),
        ("CASS at the settings of trial 0", "same settings"),
    ]


def test_arms_with_equal_settings_are_retrainings_of_their_own():
    arms = {"a": Arm({}, ("beta",)), "b": Arm({"adversarial": 1}, ("beta",))}
    found = arm_retrainings([Finished(0, None, {"beta": 0.5, "adversarial": 1}, 0.1, "", {}, "b")], arms, 1, 0)
    assert len({r.fixed().point for r in found}) == len(found) == 2
