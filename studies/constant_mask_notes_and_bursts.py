"""What multiplying the mixture by a half gives on notes and bursts: the line that every method has to be above.

There is nothing to search, so one trial says it all.
"""

from search_spaces import constant_mask as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="constant-mask-notes-and-bursts",
    separator="constant_mask",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    trials=2,
    max_epochs=1,
    finalists=1,
    final_seeds=1,
)

if __name__ == "__main__":
    main(STUDY)
