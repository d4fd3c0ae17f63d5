"""What SSGAN makes of notes and bursts from unpaired samples of each, and what its weights are worth.

The networks are the paper's, made for music at 44.1 kHz. On a CPU, in minutes::

    python studies/ssgan_notes_and_bursts.py --separator.n-fft 256 --separator.hop 128 --separator.critic-steps 2 \
        --separator.encoder-filters 8 16 16 32 32 --separator.decoder-filters 32 16 16 8 \
        --separator.critic-filters 8 8 16 16 32 32 --separator.skips 4

``--separator.skips 0`` is the paper's ablation LoU; its ablations GAN and ENG are this study's controls.
"""

from search_spaces import ssgan as space
from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="ssgan-notes-and-bursts",
    separator="ssgan",
    task="notes_and_bursts",
    space=space.SPACE,
    reference_points=space.PAPER,
    controls=space.CONTROLS,
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
