"""Retrainings of published settings, and which others have these settings already."""

from types import SimpleNamespace

import numpy as np

from sepray.arms import Arm
from sepray.driver.published_retrainings import reference_retrainings, reference_roles, reference_settings
from sepray.driver.retrainings import Retraining

ARMS = {"off": Arm({"adversarial": 0}, ("beta",)), "on": Arm({"adversarial": 1}, ("beta",))}
SEEDS = [int(s) for s in np.random.SeedSequence([5, 0x5EED]).generate_state(2)]


def study(references, arms=None, epochs=None):
    """A prepared study of two final seeds; ``epochs`` are those of published settings by their name."""
    return SimpleNamespace(
        final_seeds=2,
        spec=SimpleNamespace(seed=5),
        references=references,
        arms=arms or {},
        separator=SimpleNamespace(hyperparameters=lambda: {"adversarial": 1, "beta": 0.1}),
        reference_epochs=(epochs or {}).get,
    )


def test_published_settings_are_trained_on_the_seeds_of_the_others():
    found = reference_retrainings(study({"paper a": {"beta": 0.5}}), [])
    assert found == [
        Retraining("paper a seed 1", "paper a", {"beta": 0.5}, SEEDS[0], reference="paper a"),
        Retraining("paper a seed 2", "paper a", {"beta": 0.5}, SEEDS[1], reference="paper a"),
    ]


def test_settings_that_others_have_are_not_trained_twice_unless_for_other_epochs():
    own = [Retraining("trial 3 seed 1", "trial 3", {"beta": 0.5}, SEEDS[0])]
    references = {"paper a": {"beta": 0.5}, "paper b": {"beta": 0.75}}
    assert [r.reference for r in reference_retrainings(study(references), own)] == ["paper b"] * 2
    longer = reference_retrainings(study(references, epochs={"paper a": 30}), own)
    assert [(r.reference, r.epochs) for r in longer] == [("paper a", 30)] * 2 + [("paper b", None)] * 2


def test_equal_settings_of_another_arm_are_trained():
    made = study({"paper": {"adversarial": 1, "beta": 0.5}}, ARMS)
    settings = {"adversarial": 1, "beta": 0.5}
    own = [Retraining("a", "a", settings, 1, "off"), Retraining("b", "b", settings, 1, "on")]
    assert [r.arm for r in reference_retrainings(made, own[:1])] == ["on"] * 2
    assert reference_retrainings(made, own) == []


def test_arm_of_published_settings_follows_from_them_and_the_separators_own():
    made = study({}, ARMS)
    assert reference_settings(made, {"adversarial": 0, "beta": 0.5}) == ("off", {"adversarial": 0, "beta": 0.5})
    assert reference_settings(made, {"beta": 0.5}) == ("on", {"adversarial": 1, "beta": 0.5})
    assert reference_settings(study({}), {"beta": 0.5}) == ("", {"beta": 0.5})


def test_role_of_published_settings_is_that_of_the_retrainings_that_have_them_and_their_epochs():
    made = study(
        {"paper a": {"beta": 0.5}, "paper b": {"beta": 0.75}, "paper c": {"beta": 1.0}}, epochs={"paper b": 30}
    )
    plan = [
        Retraining("x", "trial 3", {"beta": 0.5}, 1),
        Retraining("y", "trial 4", {"beta": 0.75}, 1),
        Retraining("z", "paper b", {"beta": 0.75}, 1, reference="paper b", epochs=30),
    ]
    assert reference_roles(made, plan) == {"paper a": "trial 3", "paper b": "paper b"}
