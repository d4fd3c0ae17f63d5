"""Figures of the hyperparameters: the importance of each, and the values of the best trials."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sepray.choices import Objective
from sepray.report import hyperparameters, importance

from .studies import EACH, SPACE, lines, study_results, trial


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


@pytest.mark.slow
def test_most_important_setting_is_the_first_of_the_figure(tmp_path):
    trials = []
    for k in range(12):
        made = trial(k, [0.0])
        trials.append(trial(k, [abs(math.log10(made.params["learning_rate"]) + 2)], params=made.params))
    results = study_results(tmp_path, trials)
    found = importance.most_important(results)
    assert found.name == "learning_rate"
    assert f"learning_rate explains {found.share:.0%} of" in hyperparameters.importances(results).sentence
    assert importance.most_important(study_results(tmp_path, trials[:4])) is None
    assert importance.most_important(study_results(tmp_path, [trial(k, [0.5]) for k in range(6)])) is None


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


def with_dead_weights(values) -> list:
    """Trials with a learning rate and two weights; ``values`` are a function of the logarithm of the first."""
    random = np.random.default_rng(3)
    space = {"rate": FloatDistribution(1e-4, 1e-1, log=True), "dead": FloatDistribution(0, 1)}
    space["switch"] = CategoricalDistribution([0, 1])
    found = []
    for k in range(20):
        params = {"rate": 10 ** random.uniform(-4, -1), "dead": random.uniform(), "switch": int(random.integers(2))}
        found.append(trial(k, [values(math.log10(params["rate"]))], params=params, distributions=space))
    return found


def test_inert_parameters_have_no_importance(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(hyperparameters, "_RESAMPLES", 1)  # which take most of the time
    results = study_results(tmp_path, with_dead_weights(lambda rate: 0.3 + abs(rate + 2)))
    made = hyperparameters.importances(results)
    assert [label.get_text() for label in drawn["importances.svg"].axes[0].get_yticklabels()] == ["rate"]
    assert made.sentence.startswith("rate explains ")
    assert "next comes" not in made.sentence
    assert "Left out, because they explain no more than shuffled values would: dead, switch." in made.note
    assert importance.most_important(results).name == "rate"


def test_where_nothing_matters_nothing_has_an_importance(tmp_path):
    random = np.random.default_rng(5)
    results = study_results(tmp_path, with_dead_weights(lambda rate: random.normal()))
    made = hyperparameters.importances(results)
    assert made.sentence == (
        "Over 20 trials none of the 3 parameters explains more of the differences than its shuffled values would."
    )
    assert not made.figures
    assert importance.most_important(results) is None


# --- what is drawn


@pytest.fixture
def shares(monkeypatch):
    """Importances that are given, in turn: first those of the trials, then those of the resamples."""
    given, asked = [], []

    def importances(points, names):
        asked.append(([value for _, value in points], list(names)))
        return dict(zip(names, given[min(len(asked), len(given)) - 1], strict=True))

    monkeypatch.setattr(importance, "shares", importances)
    monkeypatch.setattr(importance, "above_chance", lambda points, names: list(names))
    return given, asked


def varied_trials(count=5, **attributes):
    space = {"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1), "c": FloatDistribution(0, 1)}
    rows = [{"a": k / 10, "b": 1 - k / 10, "c": 0.5} for k in range(count)]
    return [trial(k, [k + 1.0], params=row, distributions=space, **attributes) for k, row in enumerate(rows)]


def test_importances_are_drawn_with_their_range_over_resamples(tmp_path, drawn, shares):
    given, asked = shares
    given += [(0.7, 0.3), (0.8, 0.2), (0.5, 0.35), (0.75, 0.31)]
    made = hyperparameters.importances(study_results(tmp_path, varied_trials()))
    (axes,) = drawn["importances.svg"].axes
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.patches]
    assert bars == [(pytest.approx(0), 0.3), (pytest.approx(1), 0.7)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    whiskers = [s.tolist() for c in axes.collections for s in c.get_segments()]
    expected = [[[0.2, 0], [0.35, 0]], [[0.5, 1], [0.8, 1]]]
    np.testing.assert_allclose(whiskers, expected)
    assert axes.get_xlim() == (0, 1)
    assert made.sentence == (
        "a explains 70% of the differences between 5 trials (between 50% and 80% when the trials are resampled); next "
        "comes b with 30%."
    )
    assert made.note == (
        "fANOVA over the trials that the sampler proposed; whiskers: range over 12 bootstrap resamples."
    )
    assert asked[0] == ([1.0, 2.0, 3.0, 4.0, 5.0], ["a", "b"])
    assert len(asked) == 13
    assert all(len(values) == 5 and len(set(values)) > 1 for values, _ in asked[1:])
    assert len({tuple(values) for values, _ in asked[1:]}) > 6


def test_a_resample_has_values_that_differ():
    drawn = iter([[1, 1, 1], [0, 2, 2], [2, 0, 1]])
    source = SimpleNamespace(integers=lambda low, high, size: np.array(next(drawn))[:size] + low)
    values = [0.25, 0.5, 0.25]
    assert hyperparameters._resample(source, values).tolist() == [2, 0, 1]  # the first two have one value alone


def test_single_parameter_and_stopped_trials(tmp_path, drawn, shares):
    given, asked = shares
    given += [(1.0,)]
    space = {"a": FloatDistribution(0, 1)}
    trials = [
        trial(k, [9.0, k], "pruned" if k else "complete", params={"a": k / 9}, distributions=space) for k in range(5)
    ]
    trials += [trial(5, [1.0], "collapsed", params={"a": 0.5}, distributions=space)]
    made = hyperparameters.importances(study_results(tmp_path, trials))
    assert made.sentence.startswith("a explains 100% of the differences between 5 trials (between 100% and 100%")
    assert "next comes" not in made.sentence
    assert made.note.endswith(" Trials that were stopped early count with their last value.")
    assert asked[0][0] == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        (varied_trials(4), "only 4 proposed trials with a value"),
        (varied_trials(9, label="paper"), "only 0 proposed trials with a value"),
        ([trial(k, [0.5]) for k in range(5)], "nothing varied"),
    ],
)
def test_importance_cannot_always_be_estimated(tmp_path, trials, why):
    said = hyperparameters.importances(study_results(tmp_path, trials)).sentence
    assert said == (
        f"The importance of the parameters cannot be estimated: {why} (at least 5 trials that differ are needed)."
    )


@pytest.mark.parametrize(
    ("values", "distribution", "positions", "ticks"),
    [
        ([1e-2, 1e-4], FloatDistribution(1e-4, 1e-1, log=True), [2 / 3, 0], ["0.0001", "0.00316", "0.1"]),
        ([0.75, 1.0], FloatDistribution(0.5, 1.5), [0.25, 0.5], ["0.5", "1", "1.5"]),
        ([4, 2], IntDistribution(2, 10), [0.25, 0], ["2", "6", "10"]),
        ([3.0], FloatDistribution(3.0, 3.0), [0], ["3"]),
        ([2.0, 5.0, 3.5], None, [0, 1, 0.5], ["2", "3.5", "5"]),
        (["b", None], CategoricalDistribution(["a", "b", None]), [0.5, 1], ["a", "b", "None"]),
        (["a"], CategoricalDistribution(["a"]), [0], ["a"]),
    ],
)
def test_places_on_a_row_are_those_of_its_scale(values, distribution, positions, ticks):
    found = hyperparameters._positions(values, distribution)
    assert found.values == pytest.approx(positions)
    places = [0, 0.5, 1] if len(ticks) == 3 else [0]
    assert [(at, text) for at, text in found.ticks] == list(zip(places, ticks, strict=True))


def test_every_trial_is_a_line_and_the_best_stand_out(tmp_path, drawn):
    rates = [0.02, 0.021, 1e-4, 1e-3, 3e-4, 0.09, 5e-4, 2e-4]
    space = {"learning_rate": SPACE["learning_rate"], "one": CategoricalDistribution([1])}
    trials = [
        trial(k, [value], params={"learning_rate": rate, "one": 1}, distributions=space)
        for k, (rate, value) in enumerate(zip(rates, (1.0, 2.0, 9.0, 4.0, 5.0, 6.0, 7.0, 8.0), strict=True))
    ]
    made = hyperparameters.parallel_coordinates(study_results(tmp_path, trials))
    (axes,) = drawn["parallel.svg"].axes
    drawn_lines = [line for line in axes.lines if len(line.get_xdata())]
    assert [line.get_linewidth() for line in drawn_lines] == [0.9] * 6 + [1.7, 2.4]  # the worst first, the best on top
    place = lambda rate: math.log(rate / 1e-4) / math.log(1e3)  # noqa: E731
    np.testing.assert_allclose(drawn_lines[-1].get_xydata(), [[0, 1], [place(0.02), 0]], atol=1e-12)
    np.testing.assert_allclose(drawn_lines[0].get_xydata(), [[1, 1], [place(1e-4), 0]], atol=1e-12)
    assert [label for label in lines(axes) if not label.startswith("_")] == ["the best", "the best quarter", "others"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["relative L2 error", "learning_rate"]
    assert [(t.get_text(), t.xy) for t in axes.texts] == [
        ("1", (0, 1)),
        ("5", (0.5, 1)),
        ("9", (1, 1)),
        ("0.0001", (0, 0)),
        ("0.00316", (0.5, 0)),
        ("0.1", (1, 0)),
    ]
    assert {(t.xyann, t.anncoords, t.get_ha()) for t in axes.texts} == {((0, -13), "offset points", "center")}
    assert axes.get_ylim() == (-0.6, pytest.approx(1.3))
    assert made.note.startswith("Each line is a trial that ran its whole budget.")


def test_with_several_objectives_the_best_are_those_of_the_studys_rule(tmp_path, drawn):
    """The trial of the least mean is the second; by the second objective alone it is the last."""
    space = {"rate": FloatDistribution(0.0, 1.0)}
    rows = [(0.0, [5.0, 1.0]), (0.2, [0.0, 4.0]), (0.4, [5.0, 2.0]), (1.0, [6.0, 3.0])]
    trials = [trial(k, [1.0], values=v, params={"rate": r}, distributions=space) for k, (r, v) in enumerate(rows)]
    results = study_results(tmp_path, trials, EACH)
    results = replace(results, spec=results.spec.changed(choose=("high/relative_l2",)))
    assert [t.number for t in results.ranked] == [0, 2, 3, 1]
    made = hyperparameters.parallel_coordinates(results)
    drawn_lines = [line for line in drawn["parallel.svg"].axes[0].lines if len(line.get_xdata())]
    assert [line.get_xdata()[1] for line in drawn_lines] == [0.2, 1.0, 0.4, 0.0]  # the best on top
    assert made.note.endswith("decided as for the champion: --choose high/relative_l2.")
    assert results.best is results.ranked[0] is trials[0]


def test_best_quarter_is_two_trials_at_least_and_the_greatest_of_a_maximised_objective(tmp_path, drawn):
    space = {"kind": CategoricalDistribution(["a", "b"]), "width": IntDistribution(1, 11)}

    def said(rows, objective="minimize"):
        trials = [
            trial(k, [v], params={"kind": a, "width": w}, distributions=space) for k, (v, a, w) in enumerate(rows)
        ]
        objectives = (Objective("validation/si_sdr", objective),)
        return hyperparameters.parallel_coordinates(study_results(tmp_path, trials, objectives)).sentence

    rows = [(1.0, "a", 1), (2.0, "a", 11), (3.0, "b", 5), (4.0, "b", 6)]
    assert said(rows) == "The best 2 of 4 trials agree most in one parameter: kind is 'a' in 2 of them."
    assert said(rows, "maximize") == (
        "The best 2 of 4 trials agree most in one parameter: width lies between 5 and 6 (searched: 1 to 11)."
    )
    apart = [(1.0, "a", 1), (2.0, "b", 11), (3.0, "b", 5), (4.0, "b", 6)]
    assert said(apart).startswith("The best 2 of 4 trials agree in no parameter; the narrowest range: kind is ")
    many = [(float(k), "ab"[k % 2], 3) for k in range(12)]
    assert said(many).startswith("The best 3 of 12 trials ")
    assert said(rows[:3]) == "There is nothing to compare: it takes four finished trials with different settings."


def test_parameters_that_only_some_arms_search_are_left_out_and_named(tmp_path, drawn, shares):
    given, asked = shares
    given += [(0.2, 0.8)]
    space = {
        "arm": CategoricalDistribution(["off", "on"]),
        "rate": FloatDistribution(0, 1),
        "b": FloatDistribution(0, 1),
    }
    rows = [{"arm": ["off", "on"][k % 2], "rate": k / 10, **({"b": k / 9} if k % 2 else {})} for k in range(8)]
    trials = [trial(k, [k + 1.0], params=row, distributions={n: space[n] for n in row}) for k, row in enumerate(rows)]
    made = hyperparameters.importances(study_results(tmp_path, trials))
    assert asked[0][1] == ["arm", "rate"]
    assert "Left out, because only some arms search it: b." in made.note
    parallel = hyperparameters.parallel_coordinates(study_results(tmp_path, trials))
    assert [label.get_text() for label in drawn["parallel.svg"].axes[0].get_yticklabels()][1:] == ["arm", "rate"]
    assert "agree" in parallel.sentence
