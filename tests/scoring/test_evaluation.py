import numpy as np
import pytest
import torch
from torch import Tensor

from sepray.contracts import Signal, Split
from sepray.scoring import evaluation, metrics
from sepray.scoring.evaluation import bounds, score_split


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
    found = metrics.summary({name: torch.from_numpy(values) for name, values in scores.items()}, ("a", "b"))
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


@pytest.mark.parametrize(
    ("rate", "samples", "expected"),
    [(128.0, 504, (62, 16)), (8000.0, 4096, (256, 64)), (44100.0, 10**5, (1412, 353)), (8000.0, 101, (100, 25))],
)
def test_default_transform_has_frames_of_32_ms_that_fit_into_an_item(rate, samples, expected):
    assert evaluation.default_transform(Signal(("a", "b"), 1, (samples,), rate)) == expected


def test_mixtures_and_sources_go_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def score(estimates: Tensor, sources: Tensor, signal: Signal | None, beats: object = None) -> dict[str, Tensor]:
        seen.append((estimates.device.type, sources.device.type, signal))
        return {"si_sdr": torch.zeros(len(sources), 1)}

    monkeypatch.setattr(metrics, "score", score)
    x, signal = _noise(3), Signal(("a",), 1, (200,), 8.0)
    found = score_split(lambda mixture: mixture[:, None], _split(x, x), 2, "meta", signal)
    assert seen == [("meta", "meta", signal)] * 2
    assert found["si_sdr"].tolist() == [[0]] * 3


def test_bounds_are_scored_in_batches_with_the_measures_of_the_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def score(system: object, split: Split, batch_size: int, signal: Signal | None) -> dict[str, np.ndarray]:
        given.append((batch_size, signal))
        return {}

    monkeypatch.setattr(evaluation, "_score", score)
    x, signal = _noise(3), Signal(("a",), 1, (200,), 8.0)
    assert len(bounds(_split(x, x), 32, 8, 5, signal)) == 4
    assert given == [(5, signal)] * 4


@pytest.mark.parametrize(
    ("rate", "samples", "expected"),
    [(None, 504, (62, 16)), (1960.0, 504, (62, 16)), (2100.0, 504, (68, 17)), (8.0, 3, (4, 1)), (8.0, 63, (62, 16))],
)
def test_default_transform_at_its_bounds(rate: float | None, samples: int, expected: tuple[int, int]) -> None:
    assert evaluation.default_transform(Signal(("a", "b"), 1, (samples,), rate)) == expected
