"""The map of the cross weights: correlations by hand, and directions that differ from chance."""

import math

import numpy as np
import pytest

from sepray.choices import Objective
from sepray.execution import checkpoint
from sepray.report import cross_weights

from .studies import EACH, data, spec, study_results, trial


def test_rank_correlation_against_a_hand_computation():
    found = cross_weights.rank_correlation([1, 2, 3, 4, 5, 6], [10, 30, 20, 50, 40, 60])
    # Differences of ranks 0, 1, 1, 1, 1, 0: rho = 1 - 6 * 4 / (6 * 35).
    assert found.value == pytest.approx(1 - 24 / 210)
    half = 1.959964 * math.sqrt((1 + found.value**2 / 2) / 3)
    assert found.low == pytest.approx(math.tanh(math.atanh(found.value) - half))
    assert found.high == pytest.approx(math.tanh(math.atanh(found.value) + half))
    assert found.low > 0
    assert found.significant
    four = cross_weights.rank_correlation([1, 2, 3, 4, 5, 6], [10, 30, 20, 50, 40, 60], together=4)
    assert math.atanh(found.value) - math.atanh(four.low) == pytest.approx(half * 2.497705 / 1.959964)  # z of 0.05 / 8
    assert not four.significant
    assert cross_weights.rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]) == cross_weights.Correlation(0.0, -1.0, 1.0)
    assert cross_weights.rank_correlation([1] * 9, list(range(9))).significant is False
    assert cross_weights.rank_correlation(list(range(12)), list(range(12, 0, -1))).high < 0


def test_cross_map_tells_a_direction_only_where_it_can(tmp_path):
    """12 trials of the sampler in which low -> high lowers the error of high, and nothing else does anything."""
    noise = np.random.default_rng(5).permutation(12) / 12
    trials = []
    for k in range(12):
        params = {"adversarial": 1, "cross.low_to_high": k / 12, "cross.high_to_low": float(noise[k])}
        values = [0.3 + 0.01 * float(noise[-k]), 0.9 - k / 24]
        trials.append(trial(k, [0.5], values=values, params=params))
    off = {"adversarial": 0, "cross.low_to_high": 1.0, "cross.high_to_low": 1.0}
    trials.append(trial(12, [0.5], values=[5.0, 5.0], params=off))
    trials.append(trial(13, [0.5], values=[5.0, 5.0], params=off | {"adversarial": 1}, label="published"))
    made = cross_weights.cross_weights(
        study_results(tmp_path, trials, EACH, data=data(), spec=spec(objective=("relative_l2:each",)))
    )
    assert made.sentence.startswith(
        "Over 12 trials with adversaries, more weight on low → high went with a better high relative"
    )
    assert "(-1.00 [" in made.sentence
    assert "high → low" not in made.sentence
    assert "Left out: 2 finished trials" in made.note
    assert [p.name for p in made.figures] == ["cross-map.svg", "cross-trials.svg"]

    few = cross_weights.cross_weights(study_results(tmp_path, trials[:4], EACH, data=data()))
    assert not few.figures
    assert "of 4 trials that ran their whole budget, only 4 were proposed by the sampler" in few.sentence


@pytest.mark.parametrize("metric", ["si_sdr", "relative_l2"])
def test_scores_of_sources_count_in_the_direction_of_the_measure(tmp_path, metric):
    """More low -> high brings a better score of high; objectives are means, sources' scores lie in checkpoints."""
    sign = 1 if metric == "si_sdr" else -1
    noise = np.random.default_rng(5).permutation(12) / 12
    trials = []
    for k in range(12):
        params = {"adversarial": 1, "cross.low_to_high": k / 12, "cross.high_to_low": float(noise[k])}
        trials.append(trial(k, [0.5], values=[1.0, 1.0 + k], params=params))
        scores = {f"validation/low/{metric}": float(noise[-k]), f"validation/high/{metric}": sign * k / 12}
        checkpoint.save(str(tmp_path / f"search/trial-{k:05d}"), 1, {}, {"history": [scores], "members": []})
    other = "relative_l1"
    objectives = (
        Objective(f"validation/{metric}", "maximize" if sign > 0 else "minimize"),
        Objective(f"validation/{other}", "minimize"),
    )
    made = cross_weights.cross_weights(
        study_results(tmp_path, trials, objectives, data=data(), spec=spec(objective=(metric, other)))
    )
    words = "SI-SDR" if sign > 0 else "relative L2 error"
    assert f"more weight on low → high went with a better high {words} (-1.00" in made.sentence
