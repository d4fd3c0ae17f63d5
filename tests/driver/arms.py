"""The arms of a study of CASS on two sources, as they are prepared, and trials of them."""

from sepray.arms import Arm
from sepray.driver.finished_trials import Finished

OFF = {"cross.low_to_high": 0.0, "cross.high_to_low": 0.0}


def trial_of_arm(number, value, arm, **searched):
    return Finished(number, None, {**searched, **prepared_arms()[arm].settings}, value, "", {}, arm)


def prepared_arms():
    low, high = {"cross.low_to_high": 0.0}, {"cross.high_to_low": 0.0}
    both = ("beta", "autoencoder_learning_rate")
    return {
        "no adversaries": Arm({"adversarial": 0}, ("autoencoder_learning_rate",)),
        "CASS": Arm({"adversarial": 1, **OFF}, both),
        "cross low to high": Arm({"adversarial": 1, **high}, (*both, "cross.low_to_high")),
        "cross high to low": Arm({"adversarial": 1, **low}, (*both, "cross.high_to_low")),
    }
