"""Adversarial masking on held notes and bursts of noise; only the bursts are observed.

Searches the weight of the magnitude prior and both learning rates.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="adversarial-masking-notes-and-bursts",
    separator="adversarial_masking",
    task="notes_and_bursts",
    objective=("si_sdr",),
    max_epochs=60,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
