"""Adversarial semi-supervised separation on notes and bursts: what do unpaired items add to a few paired ones?

``--separator.paired-fraction`` is the share of paired items; the control arm is trained on these alone.
``semi_adversarial:small`` has networks for these short items; ``semi_adversarial`` has the public code's, for music.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="semi-adversarial-notes-and-bursts",
    separator="semi_adversarial:small",
    task="notes_and_bursts",
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
