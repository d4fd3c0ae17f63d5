"""Figures of the best configurations: retrainings, error curves, outputs of the discriminators."""

import math

import pytest
import torch

from sepray.contracts import Split
from sepray.execution import checkpoint
from sepray.report import best_trials

from .studies import SIGNAL, SharesSeparator, study_results, trial


def test_retrainings_are_compared_with_the_range_over_seeds(finished):
    said = best_trials.retrainings(finished).sentence
    assert said == (
        "Trial 7 reached 0.41 on average (0.4 to 0.42) over 2 new seeds; next comes plain at the settings of trial 7 "
        "with 0.43 on average (0.41 to 0.45): a difference of 0.02, less than the range over seeds."
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
