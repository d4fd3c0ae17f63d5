"""SSGAN on songs, from unpaired samples of each source (section 3 of its paper), in the two-source form SSGAN-V.

    python studies/ssgan_stems.py --task.folder ~/data/DSD100
    python studies/ssgan_stems.py --name four --task.folder ~/data/DSD100 --task.sources vocals drums bass other

The networks are meant for a GPU: ``--gpus-per-trial 0.5``. ``sepray evaluate --bss-eval`` has the paper's measures.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="ssgan-stems",
    separator="ssgan",
    task="stems",
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
