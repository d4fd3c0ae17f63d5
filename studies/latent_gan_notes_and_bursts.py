"""The latent GAN on held notes and bursts of noise: one GAN a source, and a search for codes that explain a mixture.

Searches the GANs' learning rates and penalty, and the weights of critics and smoothness in the search for codes.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="latent-gan-notes-and-bursts",
    separator="latent_gan",
    task="notes_and_bursts",
    objective=("si_sdr",),
    max_epochs=60,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
