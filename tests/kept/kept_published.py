"""A study of the named configuration ``cass:published``; flags make its networks tiny."""

from optuna.distributions import FloatDistribution

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="published",
    separator="cass:published",
    task="kept_task",
    space={"autoencoder_learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
    reference_points={"slow": {"autoencoder_learning_rate": 1e-3}},
    trials=1,
    max_epochs=2,
    concurrency=1,
    scheduler="none",
    finalists=1,
    final_seeds=1,
)

if __name__ == "__main__":
    main(STUDY)
