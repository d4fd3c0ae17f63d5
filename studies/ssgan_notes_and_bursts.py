"""SSGAN on notes and bursts: how well does it separate from unpaired samples, and which of its weights matter?

``ssgan:small`` has networks for these short items; ``ssgan`` has the paper's, for music at 44.1 kHz.
``--separator.skips 0`` is the paper's ablation LoU; the paper's ablations GAN and ENG are arms of this study.

At learning rates of 4e-3, 20 epochs change SI-SDR on seeds 0, 1 and 2 by 4.2, 9.6 and 8.1 dB (mean 7.3). LoU has
-10.7, -5.7 and 4.5 dB (-3.9), GAN -15.5, -3.4 and -1.9 (-7.0), ENG -6.8, -6.9 and -1.5 (-5.1). The paper's order holds
(tests/separators/test_ssgan.py). Seed 0 is late: the distances of its critics fall all the time. It has -3.8 dB after 8
epochs, 2.1 after 16 and 5.8 after 24, where seed 1 has 3.4 dB after 8. In seed 0 sources are neither
exchanged nor moved in time.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="ssgan-notes-and-bursts",
    separator="ssgan:small",
    task="notes_and_bursts",
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
