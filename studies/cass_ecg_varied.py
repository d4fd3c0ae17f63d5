"""CASS on abdominal ECG of every shape and polarity: a model for recordings, and whether adversaries help it.

Autoencoders alone, CASS, and CASS with cross adversarial training, each trained once and then on a new seed; ``sepray
evaluate MODEL --recordings FOLDER`` scores the model. ``--budget full`` searches, among other losses of critics too.
Structure belongs to a study of another name: ``--name framed --separator.n-fft 32 --separator.critic-sees-mixture``.
"""

from optuna.distributions import FloatDistribution

from sepray.arms import Arm
from sepray.study import StudySpec, main

RATE, LOSSES = "autoencoder_learning_rate", ("hinge", "least_squares", "feature_matching")
CASS, TUNED = {"adversarial": 1, "cross.*": 0.0}, ("beta", RATE, "discriminator_learning_rate")
FIRST = {"beta": 1e-3, RATE: 3e-3, "discriminator_learning_rate": 3e-4, "cross.{i}_to_{j}": 0.0}
STUDY = StudySpec(
    *("cass-ecg-varied", "cass:ecg", "ecg:varied"),
    space={
        "beta": FloatDistribution(1e-4, 0.1, log=True),
        "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0),
        RATE: FloatDistribution(1e-3, 1e-2, log=True),
        "discriminator_learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    },
    arms={
        "no adversaries": Arm({"adversarial": 0}, (RATE,)),
        "CASS": Arm(CASS, TUNED),
        "cross all": Arm({"adversarial": 1}, (*TUNED, "cross.{i}_to_{j}")),
        **{loss.replace("_", " "): Arm({**CASS, "cross_entropy": 0, loss: 1}, TUNED) for loss in LOSSES},
    },
    first_settings={"AE": {**FIRST, "adversarial": 0}, "CASS": FIRST, "cross": {**FIRST, "cross.{i}_to_{j}": 0.1}},
    objective=("fetal/relative_l2", "fetal/beat_f1:max"),
    only_arms=("no adversaries", "CASS", "cross all"),
    trials=3,
    max_epochs=45,
    final_seeds=1,
)
FULL = STUDY.changed(name="cass-ecg-varied-full", only_arms=(), trials=120, max_epochs=200, final_seeds=9)

if __name__ == "__main__":
    main(STUDY, FULL)
