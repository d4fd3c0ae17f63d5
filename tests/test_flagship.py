"""The flagship study declares what it promises: arms, losses, structure by flags, and first settings for each arm."""

import sys

import pytest

from sepray import identity
from sepray.arms import expand, of_settings
from sepray.contracts import Signal
from sepray.separators import cass
from sepray.spec.flags import parse
from studies.cass_ecg_varied import FULL, STUDY

SOURCES = ("maternal", "fetal")
LOSSES = ("cross_entropy", "hinge", "least_squares", "feature_matching")


@pytest.fixture(scope="module")
def defaults() -> dict[str, float]:
    return cass.ECG.build(Signal(SOURCES, 1, (1000,), 250.0)).hyperparameters()


def arms(defaults):
    return expand(STUDY.arms, SOURCES, identity.expand(STUDY.space, SOURCES), defaults)


def test_trains_the_three_forms_of_cass_and_the_long_form_every_loss_of_critics(defaults):
    assert STUDY.search.only_arms == ("no adversaries", "CASS", "cross all")
    assert FULL.search.only_arms == ()
    assert list(FULL.arms) == [*STUDY.search.only_arms, "hinge", "least squares", "feature matching"]
    assert FULL.objective == STUDY.objective == ("fetal/relative_l2", "fetal/beat_f1:max")
    for name, arm in arms(defaults).items():
        weights = {**defaults, **arm.settings}
        loss = name.replace(" ", "_") if name.replace(" ", "_") in LOSSES else "cross_entropy"
        assert {key: weights[key] for key in LOSSES} == {key: float(key == loss) for key in LOSSES}
        crossed = {key for key in arm.searched if key.startswith("cross.")}
        assert crossed == ({"cross.maternal_to_fetal", "cross.fetal_to_maternal"} if name == "cross all" else set())


def test_first_settings_are_one_of_each_arm_that_is_trained_and_equal_but_for_it(defaults):
    points = [identity.expand(point, SOURCES) for point in STUDY.first_settings.values()]
    assert [of_settings(arms(defaults), {**defaults, **point}) for point in points] == list(STUDY.search.only_arms)
    assert STUDY.budget.trials == len(points)
    assert len({tuple(point[name] for name in ("beta", "autoencoder_learning_rate")) for point in points}) == 1


def test_long_form_has_seeds_for_a_claim_about_every_arm():
    assert FULL.budget.final_seeds >= 9
    assert 2 / 2**FULL.budget.final_seeds * (len(FULL.arms) - 1) * len(FULL.objective) < 0.05


def test_structure_is_given_by_flags(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cass_ecg_varied.py"])
    flags = ["--separator.critic-sees-mixture", "--separator.spectral-norm", "--separator.n-fft", "32"]
    config = parse(STUDY, [*flags, "--separator.hop", "16", "--separator.representation", "magnitude"]).separator
    assert (config.critic_sees_mixture, config.spectral_norm) == (True, True)
    assert (config.n_fft, config.hop, config.representation) == (32, 16, "magnitude")
    assert (config.width, config.critic_losses) == (cass.ECG.width, "weighted")
