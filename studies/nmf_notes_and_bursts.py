"""Sparse NMF on notes and bursts: how sparse should activations be? Only the bursts are observed.

The published sparsity comes first; plain NMF is the control arm. An epoch is 30 updates.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="nmf-notes-and-bursts",
    separator="nmf",
    task="notes_and_bursts",
    trials=12,
    max_epochs=4,
    grace_period=1,
)

if __name__ == "__main__":
    main(STUDY)
