"""The constant mask on notes and bursts: the mixture as the estimate of each source, which every method should beat.

There is nothing to search, so two trials are enough.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="constant-mask-notes-and-bursts",
    separator="constant_mask",
    task="notes_and_bursts",
    trials=2,
    max_epochs=1,
    finalists=1,
    final_seeds=1,
)

if __name__ == "__main__":
    main(STUDY)
