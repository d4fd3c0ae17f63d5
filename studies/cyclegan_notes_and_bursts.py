"""CycleGAN on notes and bursts: how well does it separate without pairs, and by which of its terms?

Searches the weights of all terms and both learning rates; the settings of the S-SepGAN paper's notebook come first.
``cyclegan:small`` has networks for these short items; ``cyclegan`` has the notebook's, for seconds at 16 kHz.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cyclegan-notes-and-bursts",
    separator="cyclegan:small",
    task="notes_and_bursts",
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
