"""The supervised mask on held notes and bursts of noise: the upper bound for methods that observe only the bursts.

Searches the learning rate.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="supervised-mask-notes-and-bursts",
    separator="supervised_mask",
    task="notes_and_bursts",
    objective=("si_sdr",),
    max_epochs=40,
    grace_period=5,
)

if __name__ == "__main__":
    main(STUDY)
