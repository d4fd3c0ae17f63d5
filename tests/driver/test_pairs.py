"""The retrainings that are compared, and the answer that their scores give."""

import json

import numpy as np
import pytest

from sepray.driver import pairs
from sepray.driver.finished_trials import Finished
from sepray.driver.pairs import compared
from sepray.driver.retrainings import Retraining
from sepray.scoring.answers import Importance

from .hearts import SIGNAL, SPEC

SPEC = SPEC.changed(objective=("relative_l2",))


def member(number: int, role: str, **attributes) -> Finished:
    return Finished(number, None, {}, 0.5, "", {"role": role, **attributes})


def arm(number: int, name: str, seed: int, base: int = 19, pairing: str = "same settings") -> Finished:
    return member(number, f"{name} of {base}", arm=name, seed=seed, base=base, pairing=pairing)


def plan(trials) -> list[Retraining]:
    return [Retraining(f"{t.number}", t.attributes["role"], {}, t.attributes.get("seed", 0)) for t in trials]


def members(found) -> dict[str, dict]:
    return {s.name: {key: t.number for key, t in s.members.items()} for s in found.systems}


def test_arms_are_compared_with_the_first_one_where_their_settings_are_the_same():
    trials = [arm(0, "CASS", 1), arm(1, "no adversaries", 1), arm(2, "no adversaries", 2), arm(3, "CASS", 2)]
    trials.append(arm(4, "CASS", 1, base=7, pairing="best of arm"))
    found = compared(trials, plan([trials[1], *trials]), ())  # a plan has the arms in their order
    assert members(found) == {"no adversaries": {(19, 1): 1, (19, 2): 2}, "CASS": {(19, 1): 0, (19, 2): 3}}
    assert [s.title for s in found.systems] == ["no adversaries", "CASS"]
    assert found.contrasts == [("CASS", "no adversaries")]
    [best] = found.best  # at settings of its own, so in no contrast
    assert (best.name, best.title) == ("CASS", "best of CASS (trial 7)")
    assert {key: t.number for key, t in best.members.items()} == {(7, 1): 4}


def test_a_single_arm_is_compared_with_nothing():
    trials = [arm(0, "CASS", 1)]
    found = compared(trials, plan(trials), ())
    assert members(found) == {"CASS": {(19, 1): 0}}
    assert found.contrasts == []


def test_best_arm_is_compared_with_controls_too():
    control = "plain at the settings of trial 19"
    trials = [arm(0, "no adversaries", 1), arm(1, "CASS", 1), member(2, control, seed=1)]
    trials[1] = member(1, "trial 19 (best of CASS)", **{k: v for k, v in trials[1].attributes.items() if k != "role"})
    found = compared(trials, plan(trials), ("plain",))
    assert [s.name for s in found.systems] == ["no adversaries", "CASS", "plain"]
    assert found.contrasts == [("CASS", "no adversaries"), ("CASS", "plain")]


def test_retrainings_of_an_earlier_finalist_do_not_count():
    trials = [arm(0, "CASS", 1), arm(1, "no adversaries", 1), arm(2, "CASS", 1, base=3)]
    assert members(compared(trials, plan(trials[:2]), ())) == {"no adversaries": {(19, 1): 1}, "CASS": {(19, 1): 0}}


def test_retrainings_that_have_not_finished_are_left_out():
    trials = [arm(0, "CASS", 1), arm(1, "CASS", 1, base=7, pairing="best of arm"), member(2, "trial 7", seed=1)]
    later = [arm(3, "CASS", 1, base=3, pairing="best of arm"), member(4, "plain at the settings of trial 7", seed=1)]
    found = compared([*trials, member(5, "trial 7")], plan([*later, *trials]), ("plain",))  # of old studies: no seed
    assert members(found) == {"CASS": {(19, 1): 0}}
    assert [s.title for s in found.best] == ["best of CASS (trial 7)"]
    assert found.contrasts == []


def test_finalist_is_compared_with_every_control_at_its_settings():
    control, other = "plain at the settings of trial 7", "no L1 at the settings of trial 7"
    trials = [member(0, "trial 7", seed=1), member(1, control, seed=1), member(2, other, seed=1)]
    trials.append(member(3, "trial 2", seed=1))  # the second finalist has no controls
    found = compared(trials, plan(trials), ("plain", "no L1"))
    assert members(found) == {"trial 7": {(7, 1): 0}, "plain": {(7, 1): 1}, "no L1": {(7, 1): 2}}
    assert [s.title for s in found.systems] == ["trial 7", control, other]
    assert found.contrasts == [("trial 7", "plain"), ("trial 7", "no L1")]


def test_study_without_arms_and_controls_compares_nothing():
    trials = [member(0, "trial 7", seed=1)]
    found = compared(trials, plan(trials), ())
    assert (found.systems, found.contrasts) == ([], [])
    kept = pairs.as_json(found, {})
    assert pairs.answer(kept, SPEC, SIGNAL, None) is None
    told = pairs.answer(kept, SPEC, SIGNAL, Importance("beta", 0.5))
    assert str(told) == "What matters most is beta: it explains 50% of what trials differ by."


def kept_of(*entries: tuple[Finished, float]) -> dict:
    """Return the scores that are kept of retrainings; all items and sources of a retraining have one score."""
    found = compared([t for t, _ in entries], plan([t for t, _ in entries]), ())
    scores = {t.number: np.full((3, 2), value) for t, value in entries}
    return json.loads(json.dumps(pairs.as_json(found, scores)))


def test_pairs_are_of_the_same_seed():
    kept = kept_of(
        (arm(0, "no adversaries", 1), 0.5), (arm(1, "no adversaries", 2), 0.7), (arm(2, "no adversaries", 3), 0.9),
        (arm(3, "CASS", 3), 0.8), (arm(4, "CASS", 2), 0.5), (arm(5, "CASS", 9), 0.1),
    )  # fmt: skip
    assert pairs.numbers(kept) == {0, 1, 2, 3, 4, 5}
    [contrast] = pairs.answer(kept, SPEC, SIGNAL, None).contrasts
    assert (contrast.seeds, contrast.items) == (2, 3)
    assert contrast.effects["mean"].difference == pytest.approx(-0.15)
    assert contrast.effects["mean"].control == pytest.approx(0.8)


def test_several_settings_are_averaged_in_each_seed_and_not_counted_as_more_seeds():
    kept = kept_of(
        *((arm(10 * base + seed, "no adversaries", seed, base), 0.5) for base in (1, 2) for seed in (1, 2)),
        (arm(101, "CASS", 1, 1), 0.4), (arm(102, "CASS", 1, 2), 0.6), (arm(103, "CASS", 2, 1), 0.1),
    )  # fmt: skip
    [contrast] = pairs.answer(kept, SPEC, SIGNAL, None).contrasts
    assert contrast.seeds == 1  # the second has finished with one of the settings alone
    assert contrast.effects["mean"].difference == pytest.approx(0.0)


def test_training_without_scores_is_no_pair():
    trials = [arm(0, "no adversaries", 1), arm(1, "CASS", 1)]
    kept = pairs.as_json(compared(trials, plan(trials), ()), {0: np.ones((3, 2))})
    assert pairs.numbers(kept) == {0, 1}
    assert pairs.answer(kept, SPEC, SIGNAL, None) is None


@pytest.mark.parametrize(
    ("objective", "column"),
    [(("relative_l2",), "mean"), (("breath/relative_l2",), "breath"), (("relative_l2:each",), "heart")],
)
def test_claims_are_about_what_the_study_optimises(objective, column):
    kept = kept_of((arm(0, "no adversaries", 1), 0.5), (arm(1, "CASS", 1), 0.4))
    assert pairs.answer(kept, SPEC.changed(objective=objective), SIGNAL, None).column == column


def test_scores_are_kept_with_six_digits():
    trials = [arm(0, "no adversaries", 1), arm(1, "CASS", 1)]
    kept = pairs.as_json(compared(trials, plan(trials), ()), {0: np.array([[1 / 3, 2e-5 / 3]]), 1: np.ones((1, 2))})
    assert kept["systems"]["no adversaries"] == [
        {"trial": 0, "base": 19, "seed": 1, "scores": [[0.333333, 6.66667e-06]]}
    ]


def test_each_objective_has_its_answer_and_all_are_corrected_together():
    """Six pairs that all agree, by two measures: p is 2 / 2^6, and with two tests twice that, which is no claim."""
    spec = SPEC.changed(objective=("relative_l2", "breath/si_sdr:max"))
    trials = [arm(10 * k + seed, name, seed) for k, name in enumerate(("no adversaries", "CASS")) for seed in range(6)]
    errors = {t.number: np.full((3, 2), 0.5 if t.number < 10 else 0.4) for t in trials}
    ratios = {t.number: np.array([[9.0, 2.0]] * 3) + (t.number >= 10) for t in trials}  # dB, one more in the arm
    kept = pairs.as_json(compared(trials, plan(trials), ()), errors, {"si_sdr": ratios})
    kept = json.loads(json.dumps(kept))
    assert pairs.measures(kept, "relative_l2") == {"relative_l2", "si_sdr"}
    first = pairs.answer(kept, spec, SIGNAL, Importance("beta", 0.5))
    [second] = first.others
    assert (first.metric, first.column, second.metric, second.column) == ("relative_l2", "mean", "si_sdr", "breath")
    error, ratio = first.contrasts[0].effects["mean"], second.contrasts[0].effects["breath"]
    assert (error.difference, ratio.difference) == (pytest.approx(-0.1), pytest.approx(1.0))
    assert error.p == ratio.p == pytest.approx(2 / 2**6)
    assert error.p_holm == ratio.p_holm == pytest.approx(2 * 2 / 2**6)
    assert not first.contrasts[0].claim
    assert first.tests == 2
    assert str(first) == (
        "CASS changed the relative L2 error by -20.0% against no adversaries: no effect that 6 seeds can show; about 7 "
        "seeds would decide. CASS changed the breath SI-SDR by +1.00 dB against no adversaries: no effect that 6 seeds "
        "can show; about 7 seeds would decide. What matters most is beta: it explains 50% of what trials differ by in "
        "relative L2 error."
    )
