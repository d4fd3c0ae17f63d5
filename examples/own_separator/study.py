"""A study of a separator of your own on a task that comes with sepray."""

from optuna.distributions import FloatDistribution

from sepray.arms import Arm
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="adversarial-filters",
    separator="adversarial_filters",
    task="notes_and_bursts",
    space={
        "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "discriminator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
        "adversarial": FloatDistribution(1e-3, 1.0, log=True),
    },
    reference_points={"first guess": {"learning_rate": 1e-2, "adversarial": 0.01}},
    arms={
        "no discriminator": Arm({"adversarial": 0.0}, ("learning_rate",)),
        "discriminator": Arm({}, ("learning_rate", "discriminator_learning_rate", "adversarial")),
    },
    trials=12,
    max_epochs=10,
)

if __name__ == "__main__":
    main(STUDY)
