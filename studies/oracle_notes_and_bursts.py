"""The ideal ratio mask on notes and bursts, a yardstick for every separator. --separator.kind chooses another oracle.

An oracle knows the true sources, so the study ends with its table and registers no model.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="oracle-notes-and-bursts",
    separator="oracle",
    task="notes_and_bursts",
    trials=2,
    max_epochs=1,
    finalists=1,
    final_seeds=1,
)

if __name__ == "__main__":
    main(STUDY)
