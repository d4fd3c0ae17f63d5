"""Kernel additive modelling on notes and bursts: how long should the kernels be, horizontal and vertical?

Nothing is learned, so an epoch is enough. The sizes of other kernels are not searched: no source here has such kernels.
"""

from optuna.distributions import FloatDistribution, IntDistribution

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="kam-notes-and-bursts",
    separator="kam",
    task="notes_and_bursts",
    trials=12,
    max_epochs=1,
    final_seeds=1,
    space={
        "iterations": IntDistribution(1, 8),
        "horizontal_seconds": FloatDistribution(0.05, 2.0, log=True),
        "vertical_hertz": FloatDistribution(50.0, 2000.0, log=True),
    },
    first_settings={"defaults": {"iterations": 4, "horizontal_seconds": 0.4, "vertical_hertz": 200.0}},
)

if __name__ == "__main__":
    main(STUDY)
