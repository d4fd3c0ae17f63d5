"""Figures of the best configurations: retrainings, error curves, outputs of the discriminators."""

import math
import warnings

import pytest
import torch

from sepray.choices import Objective
from sepray.contracts import Split
from sepray.execution import checkpoint
from sepray.report import best_trials

from .studies import SIGNAL, SharesSeparator, lines, study_results, trial


def test_retrainings_are_compared_with_the_range_over_seeds(finished):
    said = best_trials.retrainings(finished).sentence
    assert said == (
        "Trial 7 reached 0.41 on average (0.4 to 0.42) over 2 new seeds; next comes plain at the settings of trial 7 "
        "with 0.43 on average (0.41 to 0.45) over 2 new seeds: a difference of 0.02, less than the range over seeds."
    )


def test_error_curves_go_from_the_first_epoch_to_the_last(finished):
    said = best_trials.error_curves(finished, "finals", 0, "the champion").sentence
    assert said == (
        "In 4 epochs the relative L2 error of the champion went from 1 to 0.25 (low) and from 2 to 0.5 (high)."
    )
    section = best_trials.error_curves(finished, "finals", 0, "trial 4")
    assert section.title == "Error curve of trial 4"


def test_a_source_that_the_measure_is_not_defined_for_has_no_curve(finished):
    history = [{"epoch": e, "validation/low/relative_l2": 1 / e} for e in (1, 2)]
    checkpoint.save(str(finished.folder / "finals" / "trial-00001"), 2, {}, {"history": history, "members": []})
    said = best_trials.error_curves(finished, "finals", 1, "it").sentence
    assert said == "In 2 epochs the relative L2 error of it went from 1 to 0.5 (low)."
    assert best_trials.error_curves(finished, "finals", 2, "it") is None


def test_no_retraining_no_section(tmp_path):
    assert best_trials.retrainings(study_results(tmp_path, [])) is None
    only_failed = study_results(tmp_path, [], finals=[trial(0, [0.5], "diverged", role="trial 1")])
    assert best_trials.retrainings(only_failed) is None


def test_settings_that_failed_on_a_seed_rank_below_those_that_did_not(tmp_path):
    lucky = [trial(0, [0.1], role="trial 1"), trial(1, [0.05], "collapsed", role="trial 1")]
    finals = [*lucky, *(trial(k, [value], role="trial 2") for k, value in ((2, 0.4), (3, 0.5)))]
    section = best_trials.retrainings(study_results(tmp_path, [], finals=finals))
    assert section.sentence == (
        "Trial 2 reached 0.45 on average (0.4 to 0.5) over 2 new seeds; next comes trial 1 with 0.1 on a new seed: a "
        "difference of 0.35."
    )
    assert section.note.endswith("chosen. Settings with fewer trainings that ran their whole budget come last.")


@pytest.mark.parametrize("letter", ["W", "i", "\u5fc3"])
def test_long_names_leave_room_for_the_figure(tmp_path, letter):
    """matplotlib would give up its layout, and say so on standard error."""
    role = f"{letter * 400} at the settings of {letter * 300}\nz"
    finals = [trial(0, [0.5], role=role), trial(1, [0.4], role="trial 1")]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        section = best_trials.retrainings(study_results(tmp_path, [], finals=finals))
    assert not [str(warning.message) for warning in told if "constrained_layout" in str(warning.message)]
    assert role in section.figures[0].description


def test_discriminator_outputs_are_probabilities_of_truth_own_and_foreign():
    class Critics(torch.nn.Module):
        """Logits are the first value of what is shown, plus the discriminator's number."""

        def __init__(self):
            super().__init__()
            self.discriminators = [lambda x, k=k: x[:, 0] + k for k in range(2)]

        def estimate(self, mixture):
            return [mixture, 2 * mixture]

        def targets(self, mixture, sources):
            return [sources[:, 0], sources[:, 1]]

    split = Split(torch.tensor([[1.0], [2.0]]), torch.tensor([[[0.0], [5.0]], [[-1.0], [6.0]]]))
    found = best_trials.discriminator_outputs(Critics(), split, ("a", "b"))

    def sigmoid(*x):
        return pytest.approx([1 / (1 + math.exp(-v)) for v in x])

    assert found["a"] == {"truth": sigmoid(0, -1), "a estimate": sigmoid(1, 2), "b estimate": sigmoid(2, 4)}
    assert found["b"] == {"truth": sigmoid(6, 7), "b estimate": sigmoid(3, 5), "a estimate": sigmoid(2, 3)}
    assert best_trials.discriminator_outputs(SharesSeparator(SIGNAL), split, ("a", "b")) is None


# --- what is drawn


def retrained(*groups):
    """Retrainings by role: (role, values)."""
    rows = [(role, value) for role, values in groups for value in values]
    return [trial(k, [value], role=role) for k, (role, value) in enumerate(rows)]


def test_best_configuration_is_drawn_on_top_with_its_mean(finished, drawn):
    made = best_trials.retrainings(finished)
    (axes,) = drawn["seeds.svg"].axes
    dots = [[tuple(map(float, at)) for at in c.get_offsets()] for c in axes.collections[::2]]
    assert dots == [[(0.41, 0), (0.45, 0)], [(0.40, 1), (0.42, 1)]]
    means = [c.get_segments()[0].tolist() for c in axes.collections[1::2]]
    assert means == [
        [[pytest.approx(0.43), -0.28], [pytest.approx(0.43), 0.28]],
        [[pytest.approx(0.41), 0.72], [pytest.approx(0.41), 1.28]],
    ]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["plain\nat the settings of trial 7", "trial 7"]
    assert axes.get_ylim() == (-0.6, 1.6)
    assert axes.get_xlabel() == "validation relative L2 error (ratio)"
    assert (made.key, made.title) == ("seeds", "The best settings on new seeds")


@pytest.mark.parametrize(
    ("second", "compared"),
    [((0.425, 0.445), "a difference of 0.025, more"), ((0.42, 0.441), "a difference of 0.0205, less")],
)
def test_difference_is_compared_with_the_larger_range(tmp_path, drawn, second, compared):
    finals = retrained(("trial 1", (0.4, 0.42)), ("trial 2", second))
    said = best_trials.retrainings(study_results(tmp_path, [], finals=finals)).sentence
    assert said.endswith(f"{compared} than the range over seeds.")


def test_configurations_of_a_maximised_objective_are_ranked_from_the_greatest(tmp_path, drawn):
    finals = retrained(("trial 1", (3.0,)), ("trial 2", (5.0,)))
    results = study_results(tmp_path, [], (Objective("validation/si_sdr", "maximize"),), finals=finals)
    assert best_trials.retrainings(results).sentence == (
        "Trial 2 reached 5 on a new seed; next comes trial 1 with 3 on a new seed: a difference of 2."
    )
    alone = study_results(tmp_path, [], finals=finals[:1])
    assert best_trials.retrainings(alone).sentence == "Trial 1 reached 3 on a new seed."


def test_error_of_each_source_is_a_curve(finished, drawn):
    best_trials.error_curves(finished, "finals", 0, "the champion")
    (axes,) = drawn["errors.svg"].axes
    thirds = [(1, 1), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]
    assert lines(axes) == {"low": thirds, "high": [(e, 2 * v) for e, v in thirds]}
    assert axes.get_yscale() == "linear"  # 2 is eight times 0.25, not more
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch (number)", "validation relative L2 error (ratio)")


class Critics:
    """Two discriminators: the logit of what is shown is its first value."""

    def __init__(self):
        self.discriminators = [lambda x: x[:, 0]] * 2

    def estimate(self, mixture):
        return [mixture, mixture + 1]

    def targets(self, mixture, sources):
        return [mixture + 2, mixture + 3]


@pytest.mark.parametrize(("gain", "is_drawn"), [(0.0, False), (0.1, False), (2.0, True)])
def test_discriminators_that_tell_nothing_apart_are_not_drawn(drawn, gain, is_drawn):
    """Logits are the gain times 0 for true sources and 1 for estimates: medians of 0.5, and of 0.525 or 0.881."""
    split = Split(torch.zeros(3, 1, 4), torch.zeros(3, 2, 1, 4))

    class Blind:
        discriminators = [lambda x: gain * x] * 2

        def estimate(self, mixture):
            return [torch.ones(3, 1)] * 2

        def targets(self, mixture, sources):
            return [torch.zeros(3, 1)] * 2

    made = best_trials.discriminators(Blind(), split, ("a", "b"), "the champion")
    assert bool(made.figures) == is_drawn == ("discriminators.svg" in drawn)
    if not is_drawn:
        high = "0.50" if gain == 0 else "0.52"
        assert made.sentence == (
            "The discriminators of the champion do not tell true sources from estimates: their median outputs lie "
            f"between 0.50 and {high} for both, so they are not drawn."
        )


def test_outputs_of_each_discriminator_are_boxes(drawn):
    split = Split(torch.tensor([[-1.0], [0.0], [1.0]]), torch.zeros(3, 2, 1))
    made = best_trials.discriminators(Critics(), split, ("a", "b"), "the champion")
    # The medians are those of the logits 2, 0, 1 for a and 3, 1, 0 for b.
    assert made.sentence == (
        "Median outputs of the discriminators of the champion: that of a gives 0.88 to true sources, 0.50 to estimates "
        "of a and at most 0.73 to estimates of another source; that of b gives 0.95 to true sources, 0.73 to estimates "
        "of b and at most 0.50 to estimates of another source."
    )
    first, second = drawn["discriminators.svg"].axes
    assert [t.get_text() for t in first.get_xticklabels()] == ["truth", "a\nestimate", "b\nestimate"]
    assert [t.get_text() for t in second.get_xticklabels()] == ["truth", "b\nestimate", "a\nestimate"]
    assert (first.get_title(loc="left") or first.get_title(), first.get_ylim()) == ("D of a", (-0.03, 1.03))
    medians = [
        line.get_ydata()[0] for line in first.lines if len(line.get_ydata()) == 2 and line.get_color() == "#000000"
    ]
    assert medians == pytest.approx([1 / (1 + math.exp(-v)) for v in (2, 0, 1)])
    assert not any(line.get_marker() == "o" for line in first.lines)  # no dots of single items
    assert [patch.get_path().vertices[:, 0].max() for patch in first.patches] == pytest.approx([1.3, 2.3, 3.3])
    assert first.get_ylabel() == "output (probability of “real”)"
    assert best_trials.discriminators(SharesSeparator(SIGNAL), split, ("a", "b"), "it") is None


def test_discriminator_of_the_only_source_sees_no_estimates_of_others(drawn):
    class Single(Critics):
        def __init__(self):
            self.discriminators = [lambda x: x[:, 0]]

    split = Split(torch.tensor([[-1.0], [0.0], [1.0]]), torch.zeros(3, 1, 1))
    made = best_trials.discriminators(Single(), split, ("a",), "it")
    told = "that of a gives 0.88 to true sources and 0.50 to estimates of a."
    assert made.sentence == f"Median outputs of the discriminators of it: {told}"


@pytest.mark.parametrize("missing", ["estimate", "targets", "one of two", "all"])
def test_separator_without_all_of_it_has_no_such_figure(missing):
    class Partial(Critics):
        pass

    made = Partial()
    if missing == "one of two":
        made.discriminators = made.discriminators[:1]
    elif missing == "all":
        made.discriminators = None
    else:
        made = type("Only", (), {n: getattr(Critics, n) for n in ("estimate", "targets") if n != missing})()
        made.discriminators = [lambda x: x[:, 0]] * 2
    split = Split(torch.zeros(3, 1), torch.zeros(3, 2, 1))
    assert best_trials.discriminator_outputs(made, split, ("a", "b")) is None


def test_output_of_an_item_is_the_mean_over_places_of_its_probabilities():
    critics = Critics()
    critics.discriminators = [lambda x: torch.stack([x, -x], 1)] * 2  # two places, whose logits cancel
    split = Split(torch.tensor([[5.0], [7.0]]), torch.zeros(2, 2, 1))
    found = best_trials.discriminator_outputs(critics, split, ("a", "b"))
    assert found["a"]["truth"].tolist() == pytest.approx([0.5, 0.5])
