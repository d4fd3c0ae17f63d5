"""CASS on PPG, a photoplethysmogram of heart beat and breathing: does adversarial training help?

The experiment of section 4.1 of the CASS paper, whose three settings come first; the paper found that cross adversarial
training hurts both sources. The data are synthetic; ``--task.references FOLDER`` takes the pulses from recordings.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-ppg",
    separator="cass",
    task="ppg",
)

if __name__ == "__main__":
    main(STUDY)
