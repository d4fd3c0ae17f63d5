"""The CASS authors' published code on notes and bursts: which of its losses help?

The authors' settings come first. ``cass:published`` is meant for music at 44.1 kHz and would see six frames of these
items; ``cass:published_small`` has shorter frames and narrower networks.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-published-notes-and-bursts",
    separator="cass:published_small",
    task="notes_and_bursts",
    max_epochs=12,
)

if __name__ == "__main__":
    main(STUDY)
