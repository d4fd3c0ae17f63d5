"""How much adversarial training helps CASS on the heart's and the breath's part of a PPG.

Section 4.1 of the CASS paper, whose three settings come first; it found that cross adversarial training hurts both
sources. Synthetic; ``--task.references FOLDER`` takes the pulses of recordings.
"""

from search_spaces import cass as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-ppg",
    separator="cass",
    task="ppg",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
)

if __name__ == "__main__":
    main(STUDY)
