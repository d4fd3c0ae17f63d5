"""One mask value for each source and frequency bin, on notes and bursts: a floor for networks that make masks.

There is nothing to search, so two trials are enough.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="bin-mask-notes-and-bursts",
    separator="bin_mask",
    task="notes_and_bursts",
    trials=2,
    max_epochs=1,
    finalists=1,
    final_seeds=1,
)

if __name__ == "__main__":
    main(STUDY)
