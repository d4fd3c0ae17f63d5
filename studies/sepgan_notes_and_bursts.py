"""How much its adversary, and the rejection of mixtures, help S-SepGAN on notes and bursts.

Searches the weights of all terms and both learning rates; the settings of the paper's notebook come first.
"""

from search_spaces import sepgan as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="sepgan-notes-and-bursts",
    separator="sepgan",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
