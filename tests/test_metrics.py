import math

import pytest
import torch
from torch import Tensor

from sepray import metrics
from sepray.metrics import METRICS, SI_SDR_LIMIT, score, summary


def _signals(*sources: list[float]) -> Tensor:
    """One item of mono sources: ``[1, source, 1, time]``."""
    return torch.tensor(sources, dtype=torch.float32).reshape(1, len(sources), 1, -1)


def test_relative_errors_by_hand() -> None:
    reference, estimate = _signals([3, -4], [0, 10]), _signals([3, -3], [2, 7])
    expected = {
        "relative_l1": [1 / 7, 5 / 10],
        "relative_l2": [1 / 5, math.sqrt(13) / 10],
        "relative_linf": [1 / 4, 3 / 10],
    }
    for name, values in expected.items():
        assert METRICS[name].function(estimate, reference)[0].tolist() == pytest.approx(values)


def test_si_sdr_by_hand() -> None:
    # Projection and distortion of (2, 1) on (1, 0) have energies 4 and 1; of (1, 2), 1 and 4; of (0, 3), 0 and 9.
    reference, estimate = _signals([1, 0], [1, 0], [0.001, 0], [1, 0]), _signals([2, 1], [1, 2], [-20, 10], [0, 3])
    expected = [10 * math.log10(4), -10 * math.log10(4), 10 * math.log10(4), -SI_SDR_LIMIT]
    assert METRICS["si_sdr"].function(estimate, reference)[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_norms_run_over_channels_and_every_dimension_of_an_image() -> None:
    reference = torch.ones(2, 1, 3, 4, 5)
    estimate = reference.clone()
    estimate[1, 0, 2, 3, 4] = 7.0
    assert METRICS["relative_l1"].function(estimate, reference)[:, 0].tolist() == pytest.approx([0, 6 / 60])
    assert METRICS["relative_l2"].function(estimate, reference)[1, 0].item() == pytest.approx(6 / math.sqrt(60))
    assert METRICS["relative_linf"].function(estimate, reference)[1, 0].item() == pytest.approx(6)


def test_si_sdr_is_torchmetrics_where_both_are_defined() -> None:
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    random = torch.Generator().manual_seed(0)
    reference = torch.randn(8, 3, 1, 500, generator=random)
    noise = torch.randn(8, 3, 1, 500, generator=random) * torch.logspace(-2, 1, 8).reshape(8, 1, 1, 1)
    expected = scale_invariant_signal_distortion_ratio(reference + noise, reference)[..., 0]
    torch.testing.assert_close(metrics.si_sdr(reference + noise, reference), expected, atol=2e-4, rtol=0)
    assert expected.max() > 38
    assert expected.min() < -17


def test_perfect_estimate_has_no_error_and_the_most_si_sdr() -> None:
    reference = torch.randn(3, 2, 1, 64, generator=torch.Generator().manual_seed(1))
    scores = score(reference, reference)
    for name in ("relative_l1", "relative_l2", "relative_linf"):
        assert scores[name].tolist() == [[0, 0]] * 3
    assert scores["si_sdr"].tolist() == [[SI_SDR_LIMIT] * 2] * 3


def test_silence() -> None:
    sound, silence = [0.5, -0.25], [0.0, 0.0]
    #              silent reference          | silent estimate | both but for a breath
    reference = _signals(silence, silence, sound, [1e-7, 0])
    estimate = _signals(silence, sound, silence, [0, 2e-7])
    scores = score(estimate, reference)
    for name in ("relative_l1", "relative_l2", "relative_linf"):
        assert scores[name][0].tolist() == [0, 1, 1, 0]
    assert scores["si_sdr"][0].tolist() == [SI_SDR_LIMIT, -SI_SDR_LIMIT, -SI_SDR_LIMIT, SI_SDR_LIMIT]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("reference", [[1.0, 2.0], [0.0, 0.0]])
def test_estimate_that_is_not_finite_shows(bad: float, reference: list[float]) -> None:
    scores = score(_signals([bad, 1], reference), _signals(reference, reference))
    for name in METRICS:
        assert scores[name].isfinite().tolist() == [[False, True]]


def test_scores_do_not_move_with_the_scale_of_both() -> None:
    random = torch.Generator().manual_seed(2)
    reference, estimate = torch.randn(2, 4, 2, 1, 100, generator=random)
    loud, quiet = score(100 * estimate, 100 * reference), score(estimate / 1000, reference / 1000)
    for name in METRICS:
        torch.testing.assert_close(loud[name], quiet[name], rtol=1e-5, atol=1e-4)


def test_summary_by_hand() -> None:
    reference = torch.cat((_signals([3, 4], [0, 1]), _signals([0, 2], [6, 8])))
    estimate = torch.cat((_signals([3, 3], [0, 0]), _signals([0, 1], [6, 8])))
    found = summary(score(estimate, reference), ("maternal", "fetal"))
    # Relative L2: maternal 1/5 and 1/2, fetal 1 and 0. Energies: maternal 18 + 1 of 25 + 4, fetal 100 of 101.
    assert found["maternal/relative_l2"] == pytest.approx(0.35)
    assert found["fetal/relative_l2"] == pytest.approx(0.5)
    assert found["relative_l2"] == pytest.approx(0.425)
    assert found["maternal/energy_ratio"] == pytest.approx(19 / 29)
    assert found["fetal/energy_ratio"] == pytest.approx(100 / 101)
    means = {f"{prefix}{name}" for prefix in ("", "maternal/", "fetal/") for name in METRICS}
    assert found.keys() == means | {"maternal/energy_ratio", "fetal/energy_ratio"}


def test_energy_ratio_of_a_collapsed_and_of_an_always_silent_source() -> None:
    found = summary(score(_signals([1e-4, 0], [0.5, 0]), _signals([1, 0], [0, 0])), ("collapsed", "silent"))
    assert found["collapsed/energy_ratio"] == pytest.approx(1e-8)
    assert found["silent/energy_ratio"] == 1


def test_directions() -> None:
    directions = {name: metric.direction for name, metric in METRICS.items()}
    assert directions == {
        "relative_l1": "minimize",
        "relative_l2": "minimize",
        "relative_linf": "minimize",
        "si_sdr": "maximize",
    }


@pytest.mark.parametrize(
    ("estimate", "reference", "message"),
    [
        ((2, 2, 1, 5), (2, 2, 1, 4), r"one shape, not \[2, 2, 1, 5\] and \[2, 2, 1, 4\]"),
        ((2, 1, 5), (2, 1, 5), r"must be \[item, source, channel, \*signal\], not \[2, 1, 5\]"),
        ((0, 2, 1, 5), (0, 2, 1, 5), r"not \[0, 2, 1, 5\]"),
    ],
)
def test_wrong_signals_are_refused_in_one_line(
    estimate: tuple[int, ...], reference: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        score(torch.ones(estimate), torch.ones(reference))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("shape", [(4, 3), (0, 2), (4,)])
def test_scores_of_other_sources_are_refused_in_one_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"relative_l2 must be \[item, 2 sources\], not \[") as refusal:
        summary({"relative_l2": torch.ones(shape)}, ("a", "b"))
    assert "\n" not in str(refusal.value)
