"""What CycleGAN separates of notes and bursts without pairs, and which of its terms does it.

Searches the weights of all terms and both learning rates; the settings of the S-SepGAN paper's notebook come first. The
networks of ``cyclegan:small`` suit these short items; ``cyclegan`` has the notebook's, for seconds at 16 kHz.
"""

from search_spaces import cyclegan as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cyclegan-notes-and-bursts",
    separator="cyclegan:small",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
