"""Misspelt hyperparameters are refused before there is data, with the nearest name, and right ones never are."""

import importlib

import pytest
from optuna.distributions import FloatDistribution

from sepray import shipped
from sepray.arms import Arm
from sepray.contracts import Signal
from sepray.driver import driver
from sepray.driver.known_names import refuse_misspelt
from sepray.dry_run import estimator
from sepray.errors import UsageError
from sepray.separators import latent_gan, neural_egg, nmf
from sepray.spec.settings import SettingsError
from sepray.tasks import ecg

HALF = FloatDistribution(0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"betta": HALF}}, "the search space has betta, which cass does not have; perhaps you meant beta"),
        (
            {"reference_points": {"x": {"betta": 1.0}}},
            "reference point 'x' sets betta, which cass does not have; perh",
        ),
        ({"controls": {"x": {"adversrial": 0}}}, "control 'x' sets adversrial, which cass does not have; perhaps you"),
        ({"arms": {"x": Arm({"adversrial": 0})}}, "arm 'x' sets adversrial, which cass does not have; perhaps you "),
        ({"arms": {"x": Arm({}, ("betta",))}}, "arm 'x' searches betta, which cass does not have; perhaps you meant "),
        ({"fixed_settings": {"cros.low_to_high": 0.5}}, "fixed_settings sets cros.low_to_high, which cass does not "),
        ({"first_settings": {"mine": {"betta": 0.5}}}, "first_settings sets betta, which cass does not have; perhaps "),
    ],
)
def test_misspelt_name_is_refused_wherever_it_stands(spec, changes, message):
    with pytest.raises(UsageError) as caught:
        refuse_misspelt(spec.changed(**changes))
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(
        "; cass has the hyperparameters adversarial, beta, autoencoder_learning_rate, discriminator_learning_rate, "
        "cross.{i}_to_{j}"
    )
    assert isinstance(caught.value, SettingsError) is (next(iter(changes)) in ("fixed_settings", "first_settings"))


def test_names_with_any_sources_and_patterns_of_arms_are_left_to_the_data(spec):
    fixed = {"cross.low_to_high": 0.5, "cross.a_to_b": 0.5}
    refuse_misspelt(spec.changed(fixed_settings=fixed, arms={"x": Arm({"cross.*": 0.0}, ("cross.{i}_to_{j}",))}))


def test_separator_without_hyperparameters_says_so(spec):
    with pytest.raises(UsageError, match=r"has beta, which constant_mask does not have; constant_mask has no hyperpar"):
        refuse_misspelt(spec.changed(separator="constant_mask", space={"beta": HALF}))


def test_variant_is_named_in_full(spec):
    with pytest.raises(UsageError, match=r"which cass:published does not have; .*cass:published has the hyperparam"):
        refuse_misspelt(spec.changed(separator="cass:published", space={"none_has_this": HALF}))


@pytest.mark.parametrize("config", [nmf.DEBUG, neural_egg.DEBUG, latent_gan.DEBUG])
def test_kind_of_signal_does_not_matter(spec, config):
    with pytest.raises(UsageError, match="the search space has none_has_this"):
        refuse_misspelt(spec.changed(separator=config, space={"none_has_this": HALF}))


def test_stand_ins_are_a_sound_and_a_grey_image_that_any_separator_takes(spec, monkeypatch):
    seen = []
    monkeypatch.setattr(nmf.Config, "build", lambda self, signal: seen.append(signal) or signal.missing)
    refuse_misspelt(spec.changed(separator=nmf.DEBUG, space={"beta": HALF}))
    sources = ("{i}", "{j}")
    assert seen == [Signal(sources, 1, (4096,), 8000.0), Signal(sources, 1, (64, 64), None)]


def test_separator_that_needs_its_own_signal_is_left_to_the_data(spec, monkeypatch):
    monkeypatch.setattr(nmf.Config, "build", lambda self, signal: signal.missing)
    refuse_misspelt(spec.changed(separator=nmf.DEBUG, space={"none_has_this": HALF}))


@pytest.mark.parametrize("name", shipped.search_spaces())
def test_published_names_are_not_refused(spec, name):
    published = shipped.search_spaces()[name]
    separator = importlib.import_module(f"sepray.separators.{name}").DEBUG
    refuse_misspelt(
        spec.changed(
            separator=separator,
            space=published.space,
            reference_points=published.reference_points,
            controls=published.controls,
            arms=published.arms,
        )
    )


@pytest.mark.parametrize("start", [driver.run, estimator.estimate])
def test_misspelt_name_is_refused_before_data_is_loaded(spec, start, monkeypatch):
    monkeypatch.setattr(ecg.Config, "load", lambda self, cache: pytest.fail("the data was loaded"))
    with pytest.raises(UsageError, match=r"^reference point 'x' sets betta, which cass does not have; perhaps you m"):
        start(spec.changed(reference_points={"x": {"betta": 0.5}}))
