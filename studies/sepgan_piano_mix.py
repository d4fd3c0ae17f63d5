"""S-SepGAN on piano mixed with other instruments, in windows of a second (section 3.3 of the S-SepGAN paper).

    python studies/sepgan_piano_mix.py --task.piano ~/data/piano --task.others ~/data/IRMAS-TrainingData

The networks are meant for a GPU: ``--gpus-per-trial 0.5``. With ``--separator.wanted piano`` only the piano has a
generator, as in the paper.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="sepgan-piano-mix",
    separator="sepgan",
    task="piano_mix",
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
