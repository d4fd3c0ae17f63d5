"""CASS on PPG, a photoplethysmogram of heart beat and breathing: does adversarial training help?

The experiment of section 4.1 of the CASS paper, whose three settings come first; the paper found that cross adversarial
training hurts both sources. The data are synthetic; ``--task.references FOLDER`` takes the pulses from recordings.
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
