"""A study with arms: what is prepared, which retrainings are paired, and a whole study on simulated trials."""

import pytest
import torch
from optuna.distributions import FloatDistribution

from sepray import identity
from sepray.arms import Arm
from sepray.contracts import Augmentation
from sepray.driver import driver, packaged_champion, registration, study_report
from sepray.driver.prepared import prepare
from sepray.driver.registration import Registration
from sepray.errors import UsageError
from sepray.execution.members import Members
from sepray.search.storage import load_study
from sepray.separators import cass

from .arms import OFF, prepared_arms
from .conftest import DATA, SIGNAL

RATE = FloatDistribution(0.0, 1.0)
SPACE = {"beta": RATE, "cross.{i}_to_{j}": RATE, "autoencoder_learning_rate": RATE}
ARMS = {
    "no adversaries": Arm({"adversarial": 0}, ("autoencoder_learning_rate",)),
    "CASS": Arm({"adversarial": 1, "cross.*": 0.0}, ("beta", "autoencoder_learning_rate")),
    "cross {i} to {j}": Arm(
        {"adversarial": 1, "cross.*": 0.0}, ("beta", "autoencoder_learning_rate", "cross.{i}_to_{j}")
    ),
}
POINTS = {
    "baseline": {"adversarial": 0, "beta": 0.5, "cross.{i}_to_{j}": 0.0, "autoencoder_learning_rate": 0.5},
    "published": {"adversarial": 1, "beta": 0.5, "cross.{i}_to_{j}": 0.0, "autoencoder_learning_rate": 0.5},
    "both": {"adversarial": 1, "beta": 0.5, "cross.{i}_to_{j}": 0.25, "autoencoder_learning_rate": 0.5},
}
NAMES = ["no adversaries", "CASS", "cross low to high", "cross high to low"]


@pytest.fixture
def spec(spec):
    return spec.changed(space=SPACE, reference_points=POINTS, controls={}, arms=ARMS, trials=8)


@pytest.fixture
def made(spec):
    return prepare(spec, DATA)


def test_arms_have_the_sources_names_and_published_settings_an_arm(made):
    assert list(made.arms) == NAMES
    assert {n: (dict(a.settings), set(a.searched)) for n, a in made.arms.items()} == {
        n: (dict(a.settings), set(a.searched)) for n, a in prepared_arms().items()
    }
    assert made.reference_points == {
        "baseline": {"autoencoder_learning_rate": 0.5, "adversarial": 0},
        "published": {"beta": 0.5, "autoencoder_learning_rate": 0.5, "adversarial": 1, **OFF},
    }
    assert made.left_out == ("both",)  # no arm has both weights


def test_arms_are_part_of_the_fingerprint_and_a_study_without_has_none(spec, made):
    assert made.fingerprint["arms"]["CASS"] == {
        "settings": {"adversarial": 1, **OFF},
        "searched": ["beta", "autoencoder_learning_rate"],
    }
    assert "arms" not in prepare(spec.changed(arms={}, reference_points={}), DATA).fingerprint
    fewer = prepare(spec.changed(only_arms=("no adversaries", "CASS")), DATA)
    lines = identity.differences(made.fingerprint, fewer.fingerprint)
    assert {line.partition(":")[0] for line in lines} == {
        "arms.cross high to low",
        "arms.cross low to high",
        "search space.cross.high_to_low",
        "search space.cross.low_to_high",
    }


def test_fewer_arms_and_unknown_ones(spec):
    fewer = prepare(spec.changed(only_arms=("CASS", "no adversaries")), DATA)
    assert list(fewer.arms) == NAMES[:2]
    assert set(fewer.space) == {"beta", "autoencoder_learning_rate"}
    with pytest.raises(
        UsageError, match=r"^there is no arm 'CAS'; perhaps you meant 'CASS'; there are: no adversaries, "
    ):
        prepare(spec.changed(only_arms=("CAS",)), DATA)


def test_arm_that_contradicts_the_fixed_settings_is_left_out(spec):
    made = prepare(spec.changed(fixed_settings={"adversarial": 1, "beta": 0.25}), DATA)
    assert list(made.arms) == NAMES[1:]
    assert made.left_out == ("baseline", "published", "both", "no adversaries")
    assert made.arms["CASS"] == Arm({"adversarial": 1, **OFF, "beta": 0.25}, ("autoencoder_learning_rate",))
    assert "beta" not in made.space
    with pytest.raises(UsageError, match=r"^the fixed settings leave none of the study's arms: no adversaries, CASS, "):
        prepare(spec.changed(fixed_settings={"adversarial": 2}), DATA)


def test_fixed_settings_of_a_champion_leave_its_arm_and_a_trial(spec):
    champion = {"adversarial": 1, "beta": 0.25, "autoencoder_learning_rate": 0.5, **OFF, "cross.low_to_high": 0.5}
    made = prepare(spec.changed(fixed_settings=champion), DATA)
    assert (list(made.arms), made.spec.budget.trials) == (["cross low to high"], 1)
    assert (made.space, made.reference_points) == ({}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only_arms": ("CASS",), "arms": {}}, "--only-arms CASS: the study has no arms"),
        ({"sampler": "grid"}, "sampler 'grid' lays out points in one search space, but each arm has its own; use tpe"),
        ({"sampler": "QMCSampler"}, "sampler 'QMCSampler' lays out points in one search space"),
        ({"scheduler": "pbt"}, "pbt would copy the weights of one arm into another"),
    ],
)
def test_what_arms_cannot_be_searched_with_is_refused_early(spec, changes, message):
    with pytest.raises(UsageError) as caught:
        spec.changed(**changes).check()
    assert str(caught.value).startswith(message)


def test_number_of_seeds_lets_a_claim_fall_below_the_level(spec, made):
    budget = spec.changed(final_seeds=0).budget
    assert [budget.seeds(arms) for arms in (0, 1, 2, 3, 4, 5, 11, 12)] == [3, 3, 6, 7, 7, 8, 9, 9]
    for arms in (2, 3, 5, 12):
        assert 2 / 2 ** budget.seeds(arms) * (arms - 1) < 0.05 <= 2 / 2 ** (budget.seeds(arms) - 1) * (arms - 1)
    assert prepare(spec.changed(final_seeds=0), DATA).final_seeds == 7
    both = spec.changed(final_seeds=0, objective=("relative_l2", "si_sdr"))
    assert prepare(both, DATA).final_seeds == 8  # six tests, of three arms by two objectives
    assert made.final_seeds == 2


def test_study_with_arms_runs_to_its_end(spec, tracker, simulation, screen, monkeypatch):
    """The objective of a simulated trial is its beta, 0 where it has none."""
    monkeypatch.setattr(driver, "load_task", lambda task, cache: DATA)
    monkeypatch.setattr(registration, "register", lambda *_: Registration("x", "1", True, "Registered."))
    monkeypatch.setattr(packaged_champion, "package", lambda *_: None)
    monkeypatch.setattr(study_report, "make_report", lambda *_: None)
    spec = spec.changed(controls={"louder": {"adversarial": 2}})
    assert driver.run(spec) == 0
    trained = list(simulation.trained)
    assert driver.run(spec) == 0  # the same command again repeats nothing
    assert simulation.trained == trained
    storage = spec.stores.storage
    trials = load_study(storage, "small").get_trials()
    assert [t.params["arm"] for t in trials].count("CASS") == 2
    finals = load_study(storage, "small/finals").get_trials()
    told = [tuple(t.user_attrs.get(n) for n in ("arm", "pairing", "base")) for t in finals]
    paired = [each for each in told if each[1] == "same settings"]
    assert [arm for arm, _, _ in paired[::2]] == NAMES
    assert len({base for _, _, base in paired}) == 1
    assert told[-1] == (None, None, None)
    assert finals[-1].user_attrs["role"].startswith("louder at the settings of trial ")
    by_role = {t.user_attrs["role"]: set() for t in finals}
    for t in finals:
        by_role[t.user_attrs["role"]].add(t.user_attrs["seed"])
    assert len({frozenset(seeds) for seeds in by_role.values()}) == 1  # all on the same seeds
    started = [args[1] for args, _ in tracker.named("trial_started")]
    assert "trial 000 · no adversaries · baseline" in started
    assert any(name.startswith("trial 002 · cross low to high · beta=") for name in started)
    assert "not tried, because no arm of the study has them: both" in screen.getvalue()


def test_a_study_of_one_arm_has_nothing_to_compare(spec, tracker, simulation, screen, monkeypatch):
    monkeypatch.setattr(driver, "load_task", lambda task, cache: DATA)
    monkeypatch.setattr(registration, "register", lambda *_: Registration("x", "1", True, "Registered."))
    monkeypatch.setattr(packaged_champion, "package", lambda *_: None)
    monkeypatch.setattr(study_report, "make_report", lambda *_: None)
    assert driver.run(spec.changed(only_arms=("CASS",), trials=2)) == 0
    trials = load_study(spec.stores.storage, "small").get_trials()
    assert [t.params.get("arm") for t in trials] == ["CASS"] * 2
    assert "compared" not in screen.getvalue()


def test_arms_that_the_search_does_not_reach_are_told_before_it(spec, tracker, simulation, screen, monkeypatch):
    monkeypatch.setattr(driver, "load_task", lambda task, cache: DATA)
    monkeypatch.setattr(registration, "register", lambda *_: Registration("x", "1", True, "Registered."))
    monkeypatch.setattr(packaged_champion, "package", lambda *_: None)
    monkeypatch.setattr(study_report, "make_report", lambda *_: None)
    assert driver.run(spec.changed(trials=2, reference_points={})) == 0
    left = ", ".join(NAMES[2:])
    told = " ".join(screen.getvalue().split())
    assert f"warning: The arms {left} would get no trial of 2: give --trials {len(NAMES)} or more." in told
    assert told.index("would get no trial") < told.index("0 of 2 done")


@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_seed_decides_initial_weights_and_batches_whatever_the_arm(weight):
    """Adversaries that weigh nothing in the autoencoders' loss train the same autoencoders as no adversaries."""
    data = {"mixture": DATA.train.mixture, "sources": DATA.train.sources}

    def trained(**settings):
        made = Members(
            cass.DEBUG,
            SIGNAL,
            seed=7,
            count=1,
            train=data,
            hyperparameters={"autoencoder_learning_rate": 1e-3, **settings},
            device="cpu",
            augmentation=Augmentation(),
        )
        for _ in range(2):
            made.trainers[0].epoch()
        return made.trainers[0].separator.state_dict()

    on, off = trained(adversarial=weight, beta=0.0), trained(adversarial=0.0, beta=0.5)
    own = [name for name in on if name.startswith(("encoders", "decoders"))]
    assert own
    assert all(torch.equal(on[name], off[name]) for name in own)
