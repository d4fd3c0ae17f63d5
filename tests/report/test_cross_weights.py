"""The map of the cross weights: correlations by hand, and directions that differ from chance."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from sepray.choices import Objective
from sepray.execution import checkpoint
from sepray.report import cross_weights

from .studies import EACH, SPACE, data, spec, study_results, trial


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

    # Of few trials, or where an arm does not have the weights, nothing is said.
    assert cross_weights.cross_weights(study_results(tmp_path, trials[:4], EACH, data=data())) is None
    without = [trial(14 + k, [0.5], values=[0.5, 0.5], params={"adversarial": 1}) for k in range(5)]
    assert cross_weights.cross_weights(study_results(tmp_path, [*trials[:4], *without], EACH, data=data())) is None


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


# --- what is drawn


@pytest.fixture
def mapped(tmp_path, drawn):
    """The section of twelve trials in which low -> high lowers the error of high."""
    noise = np.random.default_rng(5).permutation(12) / 12
    trials = []
    for k in range(12):
        params = {"adversarial": 1, "cross.low_to_high": k / 12, "cross.high_to_low": float(noise[k])}
        trials.append(trial(k, [0.5], values=[0.3 + 0.01 * float(noise[-k]), 0.9 - k / 24], params=params))
    results = study_results(tmp_path, trials, EACH, data=data(), spec=spec(objective=("relative_l2:each",)))
    return cross_weights.cross_weights(results)


def test_map_has_a_panel_for_the_error_of_each_source(mapped, drawn):
    low, high, _ = drawn["cross-map.svg"].axes
    assert [panel.get_title(loc="left") or panel.get_title() for panel in (low, high)] == [
        "low relative L2 error",
        "high relative L2 error",
    ]
    for panel in (low, high):
        values = panel.images[0].get_array()
        assert np.ma.getmaskarray(values).tolist() == [[True, False], [False, True]]
        assert panel.images[0].get_clim() == (-1, 1)
        assert [label.get_text() for label in panel.get_xticklabels()] == ["low", "high"]
        assert [label.get_text() for label in panel.get_yticklabels()] == ["low", "high"]
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("to the discriminator of", "from the estimate of")
        assert not any(line.get_visible() for line in panel.get_xgridlines())
    assert high.images[0].get_array()[0, 1] == pytest.approx(-1)  # low -> high: row 0, column 1
    alpha = high.images[0].get_alpha()
    assert alpha.tolist() == [[1, 1], [0.35, 1]]
    texts = {text.get_position(): text for text in high.texts}
    assert texts[1, 0].get_text().startswith("-1.00\n[-1.00, ")
    assert (texts[1, 0].get_weight(), texts[0, 1].get_weight()) == ("bold", "normal")
    assert texts[0, 0].get_text() == texts[1, 1].get_text() == "own"


def test_dots_are_each_weight_against_both_errors(mapped, drawn):
    first, second = drawn["cross-trials.svg"].axes
    assert (first.get_xlabel(), second.get_xlabel()) == ("weight low → high (factor)", "weight high → low (factor)")
    assert (first.get_ylabel(), second.get_ylabel()) == ("relative L2 error (ratio)", "")
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["low", "high"]
    assert second.get_legend() is None
    of_high = [c.get_offsets() for c in first.collections if c.get_label() == "high"]
    np.testing.assert_allclose(of_high[0], [[k / 12, 0.9 - k / 24] for k in range(12)])
    assert mapped.figures[1].description == "The 12 trials of the map: each weight against the errors."


def test_errors_of_a_maximised_measure_are_drawn_as_they_are(tmp_path, drawn):
    objectives = tuple(Objective(f"validation/{name}/si_sdr", "maximize") for name in ("low", "high"))
    trials = [
        trial(
            k,
            [0.5],
            values=[float(k), 2.0],
            params={"adversarial": 1, "cross.low_to_high": k / 6, "cross.high_to_low": 0.5},
        )
        for k in range(6)
    ]
    results = study_results(tmp_path, trials, objectives, data=data(), spec=spec(objective=("si_sdr:each",)))
    made = cross_weights.cross_weights(results)
    assert made.sentence.startswith("Over 6 trials with adversaries, more weight on low → high went with a better low")
    first = drawn["cross-trials.svg"].axes[0]
    dots = next(c.get_offsets() for c in first.collections if c.get_label() == "low")
    np.testing.assert_allclose(dots, [[k / 6, k] for k in range(6)])
    assert first.get_ylabel() == "SI-SDR (dB)"


def test_without_scores_of_sources_the_objective_is_mapped(tmp_path, drawn):
    trials = [
        trial(k, [5.0 - k], params={"adversarial": 1, "cross.low_to_high": k / 6, "cross.high_to_low": 1.0})
        for k in range(6)
    ]
    made = cross_weights.cross_weights(study_results(tmp_path, trials, data=data()))
    first, *_ = drawn["cross-map.svg"].axes
    assert first.get_title(loc="left") == "relative L2 error"
    assert made.sentence.startswith(
        "Over 6 trials with adversaries, more weight on low → high went with a better relative L2 error (-1.00"
    )
    assert drawn["cross-trials.svg"].axes[0].get_ylabel() == "relative L2 error (ratio)"


def test_map_without_a_direction_is_not_drawn(tmp_path, drawn):
    """Twelve trials in which neither weight has anything to do with the error."""
    order = np.random.default_rng(3).permutation(12)
    trials = [
        trial(k, [0.5 + int(order[k]) / 100], params={"adversarial": 1, "cross.low_to_high": k / 12,
              "cross.high_to_low": int(order[-k]) / 12})
        for k in range(12)
    ]  # fmt: skip
    made = cross_weights.cross_weights(study_results(tmp_path, trials, data=data()))
    assert (made.figures, drawn) == ((), {})
    assert made.sentence.startswith("Over 12 trials with adversaries, no direction differs from chance, so no map is")


def test_study_without_cross_weights_has_no_map(tmp_path):
    plain = [trial(k, [0.5], params={"learning_rate": 0.01}) for k in range(6)]
    assert cross_weights.cross_weights(study_results(tmp_path, plain, data=data())) is None


def correlation(value, low, high):
    return cross_weights.Correlation(value, low, high)


def test_sentence_tells_the_three_strongest_links(tmp_path):
    results = study_results(tmp_path, [], data=data())
    strong = {"low": {(0, 1): correlation(-0.9, -0.95, -0.5), (1, 0): correlation(0.7, 0.1, 0.9)}}
    strong["high"] = {(0, 1): correlation(-0.8, -0.9, -0.2), (1, 0): correlation(0.6, 0.05, 0.8)}
    assert cross_weights._sentence(results, strong, 20) == (
        "Over 20 trials with adversaries, more weight on low → high went with a better low relative L2 error (-0.90 "
        "[-0.95, -0.50]); more weight on low → high went with a better high relative L2 error (-0.80 [-0.90, -0.20]); "
        "more weight on high → low went with a worse low relative L2 error (+0.70 [+0.10, +0.90]); 1 more link is in "
        "bold."
    )
    strong["high"][1, 0] = correlation(0.99, -0.05, 1.0)
    assert "more links" not in cross_weights._sentence(results, strong, 20)
    weak = {"low": {(0, 1): correlation(0.1, -0.5, 0.6), (1, 0): correlation(-0.2, -0.7, 0.0)}}
    assert cross_weights._sentence(results, weak, 20) == (
        "Over 20 trials with adversaries, no direction differs from chance, so no map is drawn. The strongest link: "
        "more weight on high → low went with a better low relative L2 error (-0.20 [-0.70, +0.00])."
    )


def test_interval_that_ends_at_zero_does_not_exclude_it():
    assert not correlation(0.5, 0.0, 1.0).significant
    assert not correlation(-0.5, -1.0, 0.0).significant
    assert correlation(0.5, 1e-9, 1.0).significant
    assert correlation(-0.5, -1.0, -1e-9).significant
    assert cross_weights.rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).value == pytest.approx(1)


def test_weights_that_an_arm_fixes_count_with_the_value_that_it_gives_them(tmp_path, drawn, monkeypatch):
    is_drawn = correlation(-0.9, -1.0, -0.1)
    monkeypatch.setattr(cross_weights, "rank_correlation", lambda *given: is_drawn)
    trials = []
    for k in range(9):
        searched = {"low": {"cross.low_to_high": k / 9}, "high": {"cross.high_to_low": k / 9}, "off": {}}
        arm = ("low", "high", "off")[k % 3]
        params = {"arm": arm, "learning_rate": 0.01, **searched[arm]}
        space = {n: SPACE.get(n, CategoricalDistribution(["low", "high", "off"])) for n in params}
        made = trial(k, [0.5 + k / 20], params=params, distributions=space)
        given = {"cross.low_to_high": 0.0, "cross.high_to_low": 0.0, "adversarial": int(arm != "off"), **searched[arm]}
        made.set_user_attr("hyperparameters", {"learning_rate": 0.01, **given})
        trials.append(made)
    made = cross_weights.cross_weights(study_results(tmp_path, trials, data=data()))
    assert made.sentence.startswith("Over 6 trials with adversaries, ")
    first, _ = drawn["cross-trials.svg"].axes
    assert [x for x, _ in first.collections[0].get_offsets()] == pytest.approx([0, 0, 3 / 9, 0, 6 / 9, 0])
