"""Figures of the hyperparameters: the importance of each, and the values of the best trials."""

import math

from optuna.trial import TrialState

from sepray.report import hyperparameters

from .studies import SPACE, study_results, trial


def test_importances_find_the_parameter_that_matters_and_leave_out_published_settings(tmp_path):
    trials = []
    for k in range(14):
        made = trial(k, [0.0] * 4)
        value = abs(math.log10(made.params["learning_rate"]) + 2)
        stopped = value > 1.2
        trials.append(
            trial(k, [value, value], "pruned", params=made.params)
            if stopped
            else trial(k, [value] * 4, params=made.params)
        )
    assert any(t.state is TrialState.PRUNED for t in trials)
    far = {"adversarial": 0, "cross.low_to_high": 1.0, "cross.high_to_low": 1.0, "learning_rate": 1e-2}
    trials += [trial(14 + k, [9.0] * 4, params=far, label=f"published {k}") for k in range(3)]
    said = hyperparameters.importances(study_results(tmp_path, trials)).sentence
    assert said.startswith("learning_rate explains ")
    assert "differences between 14 trials" in said


def test_parallel_coordinates_name_what_the_best_quarter_shares(tmp_path):
    rates = [0.02, 0.021, 1e-4, 1e-3, 3e-4, 0.09, 5e-4, 2e-4]
    trials = []
    for k, rate in enumerate(rates):
        params = {"adversarial": k % 2, "cross.low_to_high": [0.1, 0.9][k % 2], "learning_rate": rate}
        trials.append(trial(k, [k + 1.0], params=params, distributions={n: SPACE[n] for n in params}))
    said = hyperparameters.parallel_coordinates(study_results(tmp_path, trials)).sentence
    assert said == (
        "The best 2 of 8 trials agree most in one parameter: learning_rate lies between 0.02 and 0.021 "
        "(searched: 0.0001 to 0.1)."
    )
