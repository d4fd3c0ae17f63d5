"""The CASS authors' published code on bassoon and saxophone of Bach10 (section 4.2 of the CASS paper).

    python studies/cass_published_bach10.py --task.folder ~/data/Bach10_v1.1

The networks are meant for a GPU: ``--gpus-per-trial 0.5``.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-published-bach10",
    separator="cass:published",
    task="bach10",
    objective=("si_sdr",),
)

if __name__ == "__main__":
    main(STUDY)
