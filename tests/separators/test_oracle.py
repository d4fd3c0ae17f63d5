"""Oracles: estimates that follow from the true sources by hand, and who is told them."""

import math

import numpy as np
import pytest
import torch

from sepray.contracts import Separator, Signal, Split, estimate
from sepray.errors import UsageError
from sepray.scoring import evaluation
from sepray.separators import constant_mask, oracle

from .separation import improvement, notes_and_bursts

SIGNAL = Signal(("a", "b"), 1, (200,), 100.0)


def opposed() -> Split:
    """Sources 2x and -x of a mixture x."""
    x = torch.randn(3, 1, 200, generator=torch.Generator().manual_seed(0))
    return Split(x, torch.stack((2 * x, -x), 1))


@pytest.mark.parametrize(
    ("kind", "gains"),
    [
        ("ideal_ratio_mask", (2 / 3, 1 / 3)),
        ("phase_sensitive_mask", (1.0, 0.0)),  # 2 and -1, cut
        ("mixture_phase", (2.0, 1.0)),
    ],
)
def test_sources_in_opposite_phase(kind, gains):
    split = opposed()
    estimates = estimate(oracle.Config(kind, 32, 8).build(SIGNAL), split.mixture, split.sources)
    for k, gain in enumerate(gains):
        torch.testing.assert_close(estimates[:, k], gain * split.mixture, rtol=0, atol=1e-5)


def test_scores_are_those_of_the_bounds_in_every_table():
    data = notes_and_bursts(16, 8)
    bounds = evaluation.bounds(data.test, 62, 16)
    for kind in ("ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase"):
        scores = evaluation.score_split(oracle.Config(kind).build(data.signal), data.test)
        for name, expected in bounds[kind].items():
            np.testing.assert_array_equal(scores[name], expected)


def test_gains_that_no_method_here_reaches():
    data = notes_and_bursts()
    for kind in ("ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase"):
        separator = oracle.Config(kind, 256, 64).build(data.signal)
        assert improvement(lambda mixture, s=separator: estimate(s, mixture, data.test.sources), data) > 12


def test_phase_sensitive_mask_is_better_than_the_other_oracles():
    """Neither of the others has the least error that a mask, or a network of magnitudes, can have."""
    data = notes_and_bursts(16, 8)
    error = {
        kind: evaluation.score_split(oracle.Config(kind).build(data.signal), data.test)["relative_l2"].mean(0)
        for kind in ("ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase")
    }
    assert (error["phase_sensitive_mask"] < 0.95 * error["mixture_phase"]).all()
    assert (error["phase_sensitive_mask"] < 0.95 * error["ideal_ratio_mask"]).all()


def test_sources_are_for_oracles_alone():
    split = opposed()
    hidden = Split(split.mixture, torch.full_like(split.sources, math.nan))
    plain = constant_mask.DEBUG.build(SIGNAL)
    assert torch.equal(estimate(plain, hidden.mixture, hidden.sources)[:, 0], split.mixture)

    class Presumptuous(Separator):
        def separate_given(self, mixture, sources):
            return sources

        def separate(self, mixture):
            return torch.stack((mixture, mixture), 1)

    assert torch.equal(estimate(Presumptuous(SIGNAL), split.mixture, split.sources)[:, 0], split.mixture)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kind", "ideal", "kind must be one of ideal_ratio_mask, phase_sensitive_mask, mixture_phase, not 'ideal'"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        oracle.Config(**{field: value})
