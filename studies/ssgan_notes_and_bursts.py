"""What SSGAN makes of notes and bursts from unpaired samples of each, and what its weights are worth.

The networks are the paper's, made for music at 44.1 kHz. On a CPU, in minutes::

    python studies/ssgan_notes_and_bursts.py --separator.n-fft 256 --separator.hop 128 --separator.critic-steps 2 \
        --separator.encoder-filters 8 16 16 32 32 --separator.decoder-filters 32 16 16 8 \
        --separator.critic-filters 8 8 16 16 32 32 --separator.skips 4

``--separator.skips 0`` is the paper's ablation LoU; its ablations GAN and ENG are this study's controls. With these
sizes, learning rates of 4e-3 and 256 mixtures, 20 epochs improve SI-SDR by 0.9, -1.3 and 3.0 dB (seeds 0, 1, 2), LoU by
-8.4 and GAN by -2.5 dB (seed 0), ENG by -33.5, -17.8 and -9.6 dB; 40 epochs of SSGAN by 4.9 dB (seed 0).
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
