"""What SSGAN makes of notes and bursts from unpaired samples of each, and what its weights are worth.

The networks of ``ssgan:small`` suit these short items; ``ssgan`` has the paper's, for music at 44.1 kHz.
``--separator.skips 0`` is the paper's ablation LoU; its ablations GAN and ENG are this study's controls.
"""

from search_spaces import ssgan as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="ssgan-notes-and-bursts",
    separator="ssgan:small",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
