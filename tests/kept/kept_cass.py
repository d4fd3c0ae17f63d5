"""A study of CASS as a user's file had it: flat keywords, a Config, a search space of its own."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from sepray.separators.cass import Config
from sepray.study import StudySpec, main

SMALL = Config(
    n_fft=16,
    hop=8,
    width=2,
    depth=1,
    stages=1,
    discriminator_width=2,
    discriminator_stages=1,
    precision="float32",
    batch_size=2,
)
STUDY = StudySpec(
    name="halfway",
    separator=SMALL,
    task="kept_task",
    space={
        "adversarial": CategoricalDistribution([1, 0]),
        "beta": FloatDistribution(1e-5, 0.2, log=True),
        "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0),
        "autoencoder_learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "discriminator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    },
    reference_points={
        "paper": {
            "adversarial": 1,
            "beta": 0.1,
            "cross.{i}_to_{j}": 0.01,
            "autoencoder_learning_rate": 1e-4,
            "discriminator_learning_rate": 1e-5,
        }
    },
    controls={"plain autoencoder": {"adversarial": 0}},
    trials=7,
    max_epochs=6,
    concurrency=1,
    scheduler="asha",
    grace_period=1,
    reduction_factor=2.0,
    finalists=1,
    final_seeds=1,
    checkpoint_seconds=0.001,
)

if __name__ == "__main__":
    main(STUDY)
