"""Neural egg separation of held notes from bursts of noise, of which the bursts alone are known.

Searches the learning rate and the share of a mixture that the first estimates are. To start from GLO masking instead
(the paper's FT): ``--separator.start glo_masking``; from another study's model: ``--separator.start
models:/adversarial-masking-notes-and-bursts@champion``.
"""

from search_spaces import neural_egg as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="neural-egg-notes-and-bursts",
    separator="neural_egg",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    objective=("si_sdr",),
    max_epochs=50,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
