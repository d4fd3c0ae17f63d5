"""The flexible framework on notes and bursts: how many spectral patterns of a source, and iterations on a mixture?

Patterns are learned from samples of each source that are in no mixture. An epoch is 30 updates of them.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="flexible-nmf-notes-and-bursts",
    separator="flexible_nmf",
    task="notes_and_bursts",
    trials=12,
    max_epochs=4,
    grace_period=1,
    first_settings={"defaults": {"components": 30, "iterations": 50}},
)

if __name__ == "__main__":
    main(STUDY)
