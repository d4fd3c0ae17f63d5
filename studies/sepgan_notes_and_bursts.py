"""S-SepGAN on notes and bursts: do its adversarial loss and the rejection of mixtures help?

Searches the weights of all terms and both learning rates; the settings of the paper's notebook come first.
Three seeds keep it short and show which arm wins; a claim about arms needs ``--final-seeds 7``.
``sepgan:small`` has networks for these short items; ``sepgan`` has the paper's, for windows of a second at 16 kHz.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="sepgan-notes-and-bursts",
    separator="sepgan:small",
    task="notes_and_bursts",
    objective=("si_sdr",),
    final_seeds=3,
)

if __name__ == "__main__":
    main(STUDY)
