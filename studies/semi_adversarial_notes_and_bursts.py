"""How much unpaired mixtures and sources add to a few paired ones, on notes and bursts.

``--separator.paired-fraction`` is what part of the items is paired; the control is trained on those alone. The networks
of ``semi_adversarial:small`` suit these short items; ``semi_adversarial`` has those of the public code, for music.
"""

from search_spaces import semi_adversarial as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="semi-adversarial-notes-and-bursts",
    separator="semi_adversarial:small",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
