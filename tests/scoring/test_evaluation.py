import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sepray.contracts import Signal, Split
from sepray.scoring import evaluation
from sepray.scoring.evaluation import bounds, confidence_interval, paired_bootstrap, score_split, summary


def _split(mixture: Tensor, *sources: Tensor) -> Split:
    """Mono items of ``[item, time]`` tensors."""
    return Split(mixture[:, None], torch.stack(sources, 1)[:, :, None])


def _noise(items: int, time: int = 200, seed: int = 0) -> Tensor:
    return torch.randn(items, time, generator=torch.Generator().manual_seed(seed))


def test_score_split_scores_every_item_whatever_the_batch() -> None:
    x = _noise(5)
    split = _split(x, 0.25 * x, 0.75 * x)
    sizes: list[int] = []

    def halve(mixture: Tensor) -> Tensor:
        sizes.append(len(mixture))
        assert mixture.shape[1:] == (1, 200)
        return (mixture / 2)[:, None].expand(-1, 2, -1, -1)

    for batch_size in (2, 5):
        scores = score_split(halve, split, batch_size)
        # Half the mixture is off by 1/4 of it: as much as the first source, a third of the second.
        for name in ("relative_l1", "relative_l2", "relative_linf"):
            np.testing.assert_allclose(scores[name], [[1, 1 / 3]] * 5, rtol=1e-5)
        assert scores["relative_l2"].dtype == np.float64
    assert sizes == [2, 2, 1, 5]
    found = summary(scores, ("a", "b"))
    assert found["relative_l2"] == pytest.approx(2 / 3)
    assert found["a/energy_ratio"] == pytest.approx(4)
    assert found["b/energy_ratio"] == pytest.approx(4 / 9)


def test_score_split_keeps_the_order_of_items() -> None:
    x = _noise(6)
    gains = torch.arange(1.0, 7).reshape(6, 1)
    scores = score_split(lambda mixture: mixture[:, None], _split(x * gains, x), batch_size=4)
    np.testing.assert_allclose(scores["relative_l2"][:, 0], [0, 1, 2, 3, 4, 5], atol=1e-6)


def test_estimates_of_a_wrong_shape_are_refused() -> None:
    x = _noise(3)
    with pytest.raises(ValueError, match=r"one shape, not \[3, 1, 1, 200\] and \[3, 2, 1, 200\]"):
        score_split(lambda mixture: mixture[:, None], _split(x, x, x))


def _relative_l2(split: Split) -> dict[str, list[float]]:
    return {name: scores["relative_l2"].mean(0).tolist() for name, scores in bounds(split, 32, 8).items()}


def test_bounds_of_sources_in_phase() -> None:
    x = _noise(2)
    found = _relative_l2(_split(x, 0.2 * x, 0.8 * x))
    assert found.pop("unprocessed_mixture") == pytest.approx([4, 0.25], rel=1e-5)
    assert found.keys() == {"ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase"}
    for errors in found.values():
        assert errors == pytest.approx([0, 0], abs=1e-5)


def test_bounds_of_sources_in_opposite_phase() -> None:
    x = _noise(2)
    found = _relative_l2(_split(x, 2 * x, -x))
    # Estimates of 2x and -x: x and x; 2/3 x and 1/3 x; the masks 2 and -1 cut to 1 and 0; 2x and x.
    assert found["unprocessed_mixture"] == pytest.approx([0.5, 2], rel=1e-5)
    assert found["ideal_ratio_mask"] == pytest.approx([2 / 3, 4 / 3], rel=1e-4)
    assert found["phase_sensitive_mask"] == pytest.approx([0.5, 1], rel=1e-4)
    assert found["mixture_phase"] == pytest.approx([0, 2], abs=1e-4)


def test_noise_takes_its_part_of_the_ideal_ratio_mask() -> None:
    x = _noise(2)
    # The mixture is 4x: 1x and 2x are sources, 1x is noise; masks 1/4 and 2/4.
    assert _relative_l2(_split(4 * x, x, 2 * x))["ideal_ratio_mask"] == pytest.approx([0, 0], abs=1e-5)


def test_no_mask_beats_the_phase_sensitive_one() -> None:
    a, b = _noise(4, seed=1), _noise(4, seed=2) / 3
    found = _relative_l2(_split(a + b, a, b))
    for source in (0, 1):
        assert found["phase_sensitive_mask"][source] < 0.95 * found["ideal_ratio_mask"][source]


def test_images_have_no_spectral_bounds() -> None:
    sources = torch.rand(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = bounds(Split(sources.sum(1), sources))
    assert found.keys() == {"unprocessed_mixture"}
    expected = sources.flip(1).flatten(2).norm(dim=-1) / sources.flatten(2).norm(dim=-1)
    np.testing.assert_allclose(found["unprocessed_mixture"]["relative_l2"], expected, rtol=1e-5)


def test_confidence_interval_is_that_of_normal_theory() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    mean, low, high = confidence_interval(values)
    half = 1.96 * values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.05 * half), pytest.approx(mean + half, abs=0.05 * half))
    assert confidence_interval(values) == (mean, low, high)
    assert confidence_interval(values, seed=1)[1] != low
    narrow = confidence_interval(values, level=0.5)
    assert narrow[2] - narrow[1] == pytest.approx(2 * 0.6745 * values.std() / 20, rel=0.05)


def test_confidence_interval_follows_a_skew() -> None:
    mean, low, high = confidence_interval(np.random.default_rng(1).exponential(size=30) ** 2)
    assert high - mean > 1.2 * (mean - low)


def test_confidence_interval_of_equal_values_and_of_one() -> None:
    assert confidence_interval(np.full(5, 0.25)) == (0.25, 0.25, 0.25)
    assert confidence_interval(np.array([0.25])) == (0.25, -math.inf, math.inf)


def test_confidence_interval_of_a_few_values_is_finite() -> None:
    for seed in range(10):
        values = np.random.default_rng(seed).exponential(size=2)
        mean, low, high = confidence_interval(values)
        assert values.min() - 1e-9 < low < mean < high < values.max() + 1e-9


def test_paired_bootstrap_sees_a_small_gain_under_a_large_spread() -> None:
    random = np.random.default_rng(0)
    incumbent = random.uniform(0, 1, 200)
    challenger = incumbent - 0.01 + random.normal(0, 0.02, 200)
    found = paired_bootstrap(challenger, incumbent, "minimize")
    difference = challenger - incumbent
    half = 1.96 * difference.std() / math.sqrt(200)
    assert found.difference == pytest.approx(difference.mean())
    assert found.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.1 * half)
    assert found.p_value < 0.001
    assert found.better
    reverse = paired_bootstrap(incumbent, challenger, "minimize")
    assert (reverse.difference, reverse.better) == (pytest.approx(-found.difference), False)
    assert paired_bootstrap(incumbent, challenger, "maximize").better
    assert not paired_bootstrap(challenger, incumbent, "maximize").better


def test_paired_bootstrap_of_equals() -> None:
    scores = np.random.default_rng(0).uniform(0, 1, 50)
    same = paired_bootstrap(scores, scores, "minimize")
    assert (same.difference, same.low, same.high, same.p_value, same.better) == (0, 0, 0, 1, False)
    back_and_forth = paired_bootstrap(scores + np.tile([0.1, -0.1], 25), scores, "minimize")
    assert back_and_forth.p_value > 0.9
    assert not back_and_forth.better


def test_p_values_of_no_difference_are_uniform() -> None:
    random = np.random.default_rng(3)
    p_values = [
        paired_bootstrap(random.normal(size=60), random.normal(size=60), "minimize", seed).p_value
        for seed in range(200)
    ]
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.1
    assert 0.4 < np.mean(p_values) < 0.6


def test_one_item_decides_nothing() -> None:
    found = paired_bootstrap(np.array([0.1]), np.array([0.9]), "minimize")
    assert (found.low, found.high, found.p_value, found.better) == (-math.inf, math.inf, 1, False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confidence_interval(np.array([])), r"must be \[item\], of at least one, not \[0\]"),
        (lambda: confidence_interval(np.ones((2, 2))), r"not \[2, 2\]"),
        (lambda: confidence_interval(np.array([1, math.nan, math.inf])), "2 of 3 values are not finite"),
        (lambda: paired_bootstrap(np.ones(3), np.ones(4), "minimize"), "same items, not 3 and 4"),
        (lambda: paired_bootstrap(np.ones(3), np.ones(3), "down"), "minimize or maximize, not 'down'"),
    ],
)
def test_bad_input_is_refused_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("rate", "samples", "expected"),
    [(128.0, 504, (62, 16)), (8000.0, 4096, (256, 64)), (44100.0, 10**5, (1412, 353)), (8000.0, 101, (100, 25))],
)
def test_default_transform_has_frames_of_32_ms_that_fit_into_an_item(rate, samples, expected):
    assert evaluation.default_transform(Signal(("a", "b"), 1, (samples,), rate)) == expected
