"""CASS on notes and bursts: how much its adversaries add to the plain autoencoder on sounds of unlike structure.

The paper's three settings come first. ``cass:small`` has frames for these sounds; ``cass`` has those of an ECG.
"""

from search_spaces import cass as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-notes-and-bursts",
    separator="cass:small",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
