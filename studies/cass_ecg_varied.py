"""CASS on abdominal ECG of every shape and polarity: a model for recordings, and whether adversaries help it.

Trains autoencoders alone, CASS, and CASS with cross adversarial training, each once and then once more on a new seed. ``sepray
evaluate MODEL --recordings FOLDER`` scores its champion on real leads. ``--budget full`` searches, and has arms for
other losses of the critics. Structure is a flag of a study of its own: ``--name framed --separator.n-fft 32
--separator.hop 16``, ``--separator.representation magnitude``, ``--separator.critic-sees-mixture``.
"""

from optuna.distributions import FloatDistribution

from sepray.arms import Arm
from sepray.study import StudySpec, main

RATES = ("autoencoder_learning_rate", "discriminator_learning_rate")
PLAIN = {"adversarial": 1, "cross.*": 0.0}
ARMS = {
    "no adversaries": Arm({"adversarial": 0}, RATES[:1]),
    "CASS": Arm(PLAIN, ("beta", *RATES)),
    "cross all": Arm({"adversarial": 1}, ("beta", "cross.{i}_to_{j}", *RATES)),
    "hinge": Arm({**PLAIN, "cross_entropy": 0, "hinge": 1}, ("beta", *RATES)),
    "least squares": Arm({**PLAIN, "cross_entropy": 0, "least_squares": 1}, ("beta", *RATES)),
    "feature matching": Arm({**PLAIN, "cross_entropy": 0, "feature_matching": 1}, ("beta", *RATES)),
}
SPACE = {
    "beta": FloatDistribution(1e-4, 0.1, log=True),
    "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0),
    "autoencoder_learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
}
SETTINGS = {"beta": 1e-3, "autoencoder_learning_rate": 3e-3, "discriminator_learning_rate": 3e-4}
WEIGHTS = {
    "no adversaries": {"adversarial": 0},
    "CASS": {"cross.{i}_to_{j}": 0.0},
    "cross all": {"cross.{i}_to_{j}": 0.1},
}
FIRST = {name: {**SETTINGS, **own} for name, own in WEIGHTS.items()}
SHARED = {"objective": ("fetal/relative_l2", "fetal/beat_f1:max"), "arms": ARMS, "first_settings": FIRST}
ON = ("cass:ecg", "ecg:varied", SPACE)

STUDY = StudySpec("cass-ecg-varied", *ON, **SHARED, only_arms=tuple(FIRST), trials=3, max_epochs=54, final_seeds=1)
FULL = StudySpec("cass-ecg-varied-full", *ON, **SHARED, trials=120, max_epochs=200, final_seeds=9)

if __name__ == "__main__":
    main(STUDY, FULL)
