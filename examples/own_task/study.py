"""A study of a separator that comes with sepray on a task of your own."""

from optuna.distributions import FloatDistribution

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="heart-and-motor",
    separator="supervised_mask",
    task="csv_columns",
    space={"learning_rate": FloatDistribution(1e-4, 1e-1, log=True)},
    objective=("si_sdr",),
    trials=8,
    max_epochs=10,
)

if __name__ == "__main__":
    main(STUDY)
