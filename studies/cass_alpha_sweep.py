"""CASS on maternal and fetal ECG: does adversarial training help, and in which direction should information flow?

Its arms are autoencoders without adversaries, CASS, and cross adversarial training in each direction and in both.
Every arm is searched, and all of them are trained with the same settings on the same seeds. ``--budget full`` runs the
long form.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="cass-ecg",
    separator="cass:quick",
    task="ecg:quick",
    trials=25,
    max_epochs=12,
    reference_points={},  # the published learning rates are for 500 epochs: in 12 they learn nothing
)
# The paper's network, items, settings and epochs, and ten seeds: days on two cores.
FULL = StudySpec(
    name="cass-ecg-full",
    separator="cass",
    task="ecg",
    trials=100,
    max_epochs=500,
    final_seeds=10,
)

if __name__ == "__main__":
    main(STUDY, FULL)
