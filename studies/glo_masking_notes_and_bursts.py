"""GLO masking on held notes and bursts of noise; only the bursts are observed.

Searches lambda of equation 6, the weight of the mixtures' term, and the learning rate.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="glo-masking-notes-and-bursts",
    separator="glo_masking",
    task="notes_and_bursts",
    objective=("si_sdr",),
    max_epochs=60,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
