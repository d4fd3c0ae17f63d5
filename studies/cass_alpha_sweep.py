"""CASS on maternal and fetal ECG: does adversarial training help, and in which direction should the cross terms act?

Searches beta = 1 - alpha, both cross adversarial weights and the learning rates; the paper's three settings come first.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-ecg",
    separator="cass",
    task="ecg",
)

if __name__ == "__main__":
    main(STUDY)
