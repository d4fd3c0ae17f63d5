"""Which losses help the variant of CASS that its authors published as code, on notes and bursts.

Their settings come first. ``cass:published`` itself is meant for music at 44.1 kHz: of these items it would see six
frames, so this is the same with shorter frames and narrower networks.
"""

from search_spaces import cass_published as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-published-notes-and-bursts",
    separator="cass:published_small",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    max_epochs=12,
)

if __name__ == "__main__":
    main(STUDY)
