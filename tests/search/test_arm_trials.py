"""Trials of a study with arms: every arm has its share, a trial has the parameters of its arm and no others."""

import math
from collections import Counter

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from sepray.arms import Arm
from sepray.errors import UsageError
from sepray.execution.schedulers import make_scheduler
from sepray.search.arm_trials import WithinArms, arms_without_trials, next_arm, ranked
from sepray.search.ledger import FixedTrial, arms_by_number, history, settings
from sepray.search.samplers import make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study

from ..simulation import Controller, kill
from .studies import EPOCHS, KEY, take

SPACE = {"rate": FloatDistribution(0.0, 1.0), "beta": FloatDistribution(0.0, 1.0), "cross": FloatDistribution(0.0, 1.0)}
ARMS = {
    "off": Arm({"on": 0}, ("rate",)),
    "plain": Arm({"on": 1, "cross": 0.0}, ("rate", "beta")),
    "cross": Arm({"on": 1}, ("rate", "beta", "cross")),
}
POINTS = {"published": {"on": 1, "cross": 0.0, "rate": 0.5, "beta": 0.25}}
PARAMETERS = {"off": ["arm", "rate"], "plain": ["arm", "rate", "beta"], "cross": ["arm", "rate", "beta", "cross"]}


def study_at(url, sampler="random", name="s"):
    def made(existing):
        return make_sampler(sampler, 3, SPACE, existing=existing, arms=True)

    return open_study(url, name, ("minimize",), {}, made)


def searcher_of(study, trials=9, arms=ARMS, **more):
    return StudySearcher(study, SPACE, [KEY], trials, seed=11, arms=arms, **more)


def report(trial):
    """The rate that is best is 0.75 in every arm; the arms themselves differ by more."""
    epoch, given = trial.epoch + 1, trial.config["hyperparameters"]
    value = 1 / epoch + (given["rate"] - 0.75) ** 2 + {"off": 0.0, "plain": 5.0, "cross": 9.0}[trial.config["arm"]]
    return {"epoch": epoch, "objective": value, KEY: value, "outcome": "complete" if epoch == EPOCHS else ""}


def run(study, trials=9, scheduler="none", **more):
    searcher = searcher_of(study, trials, **more)
    options = {"history": history(study), "arms": arms_by_number(study), "grace_period": 1}
    Controller(searcher, report, make_scheduler(scheduler, EPOCHS, **options)).run()
    searcher.close()
    return study.get_trials()


@pytest.mark.parametrize(
    ("new", "points", "without"),
    [
        (2, [], ("cross",)),
        (2, [{"on": 1, "cross": 0.5}], ("plain",)),  # a point of the last arm, then the first arm
        (3, [{"on": 0}, {"on": 0}], ("cross",)),  # two points of one arm
        (1, [{"on": 0}, {"on": 1}], ("plain", "cross")),  # room for the first alone
        (0, [{"on": 0}], ("off", "plain", "cross")),
    ],
)
def test_arms_without_trials_are_those_that_neither_points_nor_further_trials_reach(new, points, without):
    assert arms_without_trials(ARMS, [], new, points) == without


def test_every_arm_has_its_share_and_a_trial_the_parameters_of_its_arm(url):
    trials = run(study_at(url), reference_points=POINTS)
    assert trials[0].params == {"arm": "plain", "rate": 0.5, "beta": 0.25}
    assert [t.params["arm"] for t in trials[1:6]] == ["off", "cross", "off", "plain", "cross"]
    assert Counter(t.params["arm"] for t in trials) == {"off": 3, "plain": 3, "cross": 3}
    assert all(list(t.params) == PARAMETERS[t.params["arm"]] for t in trials)
    assert {str(t.distributions["arm"]) for t in trials} == {str(CategoricalDistribution(list(ARMS)))}


def test_settings_of_a_trial_are_what_it_was_trained_with(url):
    trials = run(study_at(url), trials=3)
    for trial in trials:
        searched = {k: v for k, v in trial.params.items() if k != "arm"}
        assert settings(trial) == searched | ARMS[trial.params["arm"]].settings


def test_config_of_a_trial_names_its_arm(url):
    searcher = searcher_of(study_at(url), trials=2)
    first, second = take(searcher, "a"), take(searcher, "b")
    searcher.close()
    assert (first["arm"], second["arm"]) == ("off", "plain")
    assert first["hyperparameters"].keys() == {"rate", "on"}
    assert second["hyperparameters"] == {**second["hyperparameters"], "on": 1, "cross": 0.0}


def test_after_a_kill_the_same_trials_go_on_in_the_same_arms(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=6, reference_points=POINTS)
    before = [take(searcher, str(k)) for k in range(3)]
    kill(searcher)
    again = searcher_of(study_at(url), trials=6, reference_points=POINTS)
    after = [take(again, str(k)) for k in range(6)]
    again.close()
    for old, new in zip(before, after, strict=False):
        assert (old["number"], old["arm"], old["hyperparameters"]) == (
            new["number"],
            new["arm"],
            new["hyperparameters"],
        )
    assert Counter(config["arm"] for config in after) == {"off": 2, "plain": 2, "cross": 2}


def test_trial_whose_driver_was_killed_before_its_parameters_were_asked_for_keeps_its_arm(url):
    study = study_at(url)
    searcher_of(study, trials=0).close()  # nothing yet, but the sampler knows the arms
    study.enqueue_trial({"arm": "cross"})
    study.ask()
    again = searcher_of(study_at(url), trials=2)
    config = take(again)
    again.close()
    assert (config["number"], config["arm"], config["resume"]) == (0, "cross", True)
    assert config["hyperparameters"].keys() == {"rate", "beta", "cross", "on"}


def test_extended_study_goes_on_with_the_arm_that_has_least(url):
    run(study_at(url), trials=4)
    trials = run(study_at(url), trials=6)
    assert [t.params["arm"] for t in trials] == ["off", "plain", "cross"] * 2


def test_a_trial_that_was_run_again_counts_once_for_its_arm():
    study = optuna.create_study()
    for arm, attributes in (("off", {}), ("plain", {}), ("cross", {}), ("off", {"retry_of": 0})):
        study.enqueue_trial({"arm": arm}, user_attrs=attributes)
    assert next_arm(ARMS, study.get_trials()) == "off"


def test_an_arm_without_search_has_a_single_trial():
    arms = {"none": Arm({"on": 0}), "some": Arm({"on": 1}, ("rate",))}
    study = optuna.create_study()
    for _ in range(4):
        study.enqueue_trial({"arm": next_arm(arms, study.get_trials())})
    assert [t.system_attrs["fixed_params"]["arm"] for t in study.get_trials()] == ["none", "some", "some", "some"]
    assert next_arm({"none": arms["none"]}, study.get_trials()) == "none"


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "nsgaii", "nsgaiii", "random"])
def test_every_sampler_searches_within_arms(url, sampler, caplog):
    trials = run(study_at(url, sampler), trials=15)
    assert Counter(t.params["arm"] for t in trials) == {"off": 5, "plain": 5, "cross": 5}
    assert all(list(t.params) == PARAMETERS[t.params["arm"]] for t in trials)
    complaints = [r.getMessage() for r in caplog.records if "greenlet" not in r.getMessage()]  # a package for speed
    assert complaints == []  # of conditional parameters


def test_shared_parameter_is_learned_over_all_arms_although_they_differ_more(url):
    """Random search proposes rates that are 0.31 away from the best on average."""
    trials = run(study_at(url, "tpe"), trials=48)
    late = [abs(t.params["rate"] - 0.75) for t in trials if t.number >= 24]
    assert sum(late) / len(late) < 0.2


def test_sampler_proposes_together_only_what_the_arm_searches():
    together = make_sampler("tpe", 0, SPACE, {"multivariate": True, "group": True}, arms=True)
    study = optuna.create_study(sampler=together)
    for arm, params in {"off": {"rate": 0.5}, "plain": {"rate": 0.5, "beta": 0.5}}.items():
        names = {"arm": CategoricalDistribution(list(ARMS)), **{k: SPACE[k] for k in params}}
        study.add_trial(optuna.create_trial(params={"arm": arm, **params}, distributions=names, value=1.0))
    sampler = WithinArms(study.sampler, ARMS)
    for arm, expected in {"off": {"rate"}, "plain": {"rate", "beta"}}.items():
        study.enqueue_trial({"arm": arm})
        [waiting] = study.get_trials(states=[TrialState.WAITING])
        assert sampler.infer_relative_search_space(study, waiting).keys() == expected
        study.ask()


def test_early_stopping_compares_trials_of_one_arm(url):
    """The arm "cross" is worse than all others by far, and still its best trial runs its whole budget."""
    trials = run(study_at(url), trials=24, scheduler="asha")
    complete = Counter(t.params["arm"] for t in trials if t.state is TrialState.COMPLETE)
    assert complete.keys() == {"off", "plain", "cross"}
    for arm in ARMS:
        own = [t for t in trials if t.params["arm"] == arm]
        assert min(own, key=lambda t: abs(t.params["rate"] - 0.75)).state is TrialState.COMPLETE
        assert {t.state for t in own} == {TrialState.COMPLETE, TrialState.PRUNED}


@pytest.mark.parametrize("scheduler", ["median", "hyperband"])
def test_other_schedulers_end_every_arm(url, scheduler):
    trials = run(study_at(url), trials=12, scheduler=scheduler)
    assert Counter(t.params["arm"] for t in trials) == {"off": 4, "plain": 4, "cross": 4}
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert {t.params["arm"] for t in trials if t.state is TrialState.COMPLETE} == set(ARMS)


def test_fixed_trials_are_in_the_arm_that_they_stand_for_even_with_equal_settings(url):
    both = {"on": 1, "rate": 0.5, "beta": 0.5, "cross": 0.0}
    fixed = [FixedTrial(f"x in {arm}", both, 7, {"role": "x", "arm": arm}) for arm in ("plain", "cross")]
    fixed.append(FixedTrial("control", {**both, "rate": 1.0}, 7, {"role": "control"}))  # it is of no arm
    study = study_at(url)
    searcher = searcher_of(study, fixed=fixed)
    configs = [take(searcher, str(k)) for k in range(3)]
    searcher.close()
    trials = study.get_trials()
    assert [t.params.get("arm") for t in trials] == ["plain", "cross", None]
    assert [list(t.params) for t in trials] == [PARAMETERS["plain"], PARAMETERS["cross"], []]
    assert [c["hyperparameters"] for c in configs] == [both, both, {**both, "rate": 1.0}]
    assert [settings(t) for t in trials] == [both, both, {**both, "rate": 1.0}]
    assert [t.user_attrs.get("arm") for t in trials] == ["plain", "cross", None]


def test_reference_point_outside_the_space_of_its_arm_is_refused(url):
    for point in ({"on": 1, "cross": 0.0, "rate": 2.0, "beta": 0.5}, {"on": 3, "rate": 0.5}):
        with pytest.raises(UsageError, match=r"^reference point 'wild' sets "):
            searcher_of(study_at(url), reference_points={"wild": point})


def test_values_are_ranked_within_their_arm():
    names = {"arm": CategoricalDistribution(["a", "b"])}

    def made(arm, state=TrialState.COMPLETE, **more):
        return optuna.trial.create_trial(state=state, params={"arm": arm}, distributions=names, **more)

    trials = [
        made("a", value=3.0, intermediate_values={1: 7.0}),
        made("b", value=100.0, intermediate_values={1: 70.0}),
        made("a", value=1.0, intermediate_values={1: 5.0, 2: 2.0}),
        made("a", TrialState.PRUNED, value=9.0, intermediate_values={1: 9.0}),  # the value is Optuna's, the last one
        made("a", TrialState.PRUNED, intermediate_values={1: float("nan")}),
        made("a", TrialState.FAIL),
    ]
    found = ranked(trials)
    assert [t.values for t in found if t.state is TrialState.COMPLETE] == [[0.75], [0.5], [0.25]]
    shown = [t.intermediate_values for t in found]
    assert shown[:4] == [
        {1: pytest.approx(0.5)},
        {1: 0.5},
        {1: pytest.approx(1 / 6), 2: 0.5},
        {1: pytest.approx(5 / 6)},
    ]
    assert math.isnan(shown[4][1])
    assert trials[0].values == [3.0]  # the study's own stay as they are
    assert trials[0].intermediate_values == {1: 7.0}


def test_an_arm_that_is_worse_by_far_is_searched_as_well(url):
    """Beta is best at 0.25, but only arms that are worse by 5 and more have it; random is 0.31 away."""

    def with_beta(trial):
        result = report(trial)
        distance = (trial.config["hyperparameters"].get("beta", 0.25) - 0.25) ** 2
        return {**result, "objective": result["objective"] + distance, KEY: result[KEY] + distance}

    study = study_at(url, "tpe")
    searcher = searcher_of(study, trials=48)
    Controller(searcher, with_beta).run()
    searcher.close()
    late = [abs(t.params["beta"] - 0.25) for t in study.get_trials() if t.number >= 24 and "beta" in t.params]
    assert sum(late) / len(late) < 0.2
