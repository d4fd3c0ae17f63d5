"""A study by a user who has three files and no copy of sepray's repository."""

from optuna.distributions import FloatDistribution

from sepray.study import StudySpec, main

if __name__ == "__main__":
    main(
        StudySpec(
            name="smoke",
            separator="my_separator",
            task="my_task",
            space={"learning_rate": FloatDistribution(1e-4, 1e-1, log=True)},
            trials=12,
            max_epochs=60,
            finalists=1,
            final_seeds=1,
            checkpoint_seconds=3,
        )
    )
