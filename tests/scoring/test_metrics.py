import math

import pytest
import torch
from torch import Tensor

from sepray.choices import MEASURES
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.scoring import metrics
from sepray.scoring.metrics import METRICS, PSNR_LIMIT, SI_SDR_LIMIT, score, summary


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
        assert METRICS[name](estimate, reference)[0].tolist() == pytest.approx(values)


def test_si_sdr_by_hand() -> None:
    # Projection and distortion of (2, 1) on (1, 0) have energies 4 and 1; of (1, 2), 1 and 4; of (0, 3), 0 and 9.
    reference, estimate = _signals([1, 0], [1, 0], [0.001, 0], [1, 0]), _signals([2, 1], [1, 2], [-20, 10], [0, 3])
    expected = [10 * math.log10(4), -10 * math.log10(4), 10 * math.log10(4), -SI_SDR_LIMIT]
    assert METRICS["si_sdr"](estimate, reference)[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_norms_run_over_channels_and_every_dimension_of_an_image() -> None:
    reference = torch.ones(2, 1, 3, 4, 5)
    estimate = reference.clone()
    estimate[1, 0, 2, 3, 4] = 7.0
    assert METRICS["relative_l1"](estimate, reference)[:, 0].tolist() == pytest.approx([0, 6 / 60])
    assert METRICS["relative_l2"](estimate, reference)[1, 0].item() == pytest.approx(6 / math.sqrt(60))
    assert METRICS["relative_linf"](estimate, reference)[1, 0].item() == pytest.approx(6)


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
    directions = {name: MEASURES[name].direction for name in METRICS}
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


IMAGES = Signal(("a", "b"), 1, (16, 16), None)
HEARTS = Signal(("heart", "breath"), 1, (512,), 64.0, heart_sources=("heart",))
SOUNDS = Signal(("a", "b"), 1, (512,), 64.0)


def test_snr_is_the_psnr_of_sounds_in_the_nes_paper() -> None:
    """Table 2: 10 log10(|x|^2 / |x - x^|^2), so that a mixture at 0 dB scores 0.0."""
    speech, noise = _signals([3, -4]), _signals([0, 5])
    assert metrics.snr(speech + noise, speech).item() == pytest.approx(0.0, abs=1e-5)
    assert metrics.snr(noise + speech, noise).item() == pytest.approx(0.0, abs=1e-5)
    # 5 dB more noise; half of the mixture; an error of a tenth; not scale-invariant; nothing at all; nothing wrong.
    louder = noise * 10 ** (5 / 20)
    assert metrics.snr(speech + louder, speech).item() == pytest.approx(-5, abs=1e-5)
    assert metrics.snr(1.1 * speech, speech).item() == pytest.approx(20, abs=1e-4)
    assert metrics.snr(0 * speech, speech).item() == 0
    assert metrics.snr(speech, speech).item() == PSNR_LIMIT
    silent = 0 * speech
    assert [metrics.snr(estimate, silent).item() for estimate in (silent, speech)] == [PSNR_LIMIT, -PSNR_LIMIT]
    assert math.isnan(metrics.snr(math.nan * speech, speech).item())
    estimate = torch.randn(4, 2, 2, 50, generator=torch.Generator().manual_seed(3))
    reference = torch.randn(4, 2, 2, 50, generator=torch.Generator().manual_seed(4))
    energies = reference.square().sum((2, 3)) / (reference - estimate).square().sum((2, 3))
    torch.testing.assert_close(score(estimate, reference, SOUNDS)["snr"], 10 * energies.log10())


def test_psnr_by_hand() -> None:
    reference = torch.zeros(2, 2, 3, 8, 8)
    estimate = reference.clone()
    estimate[0, 0] = 0.1  # a mean squared error of 0.01: 20 dB
    estimate[0, 1, 0] = 0.1  # in one of three channels
    estimate[1, 0, 0, 0, 0] = 1.0  # in one of 192 pixels
    expected = [[20, 20 + 10 * math.log10(3)], [10 * math.log10(192), PSNR_LIMIT]]
    torch.testing.assert_close(metrics.psnr(estimate, reference), torch.tensor(expected), atol=1e-3, rtol=0)


def test_ssim_of_equal_flat_and_inverted_images() -> None:
    random = torch.Generator().manual_seed(0)
    reference = torch.rand(1, 1, 1, 16, 16, generator=random).expand(1, 3, 1, 16, 16)
    flat = torch.full((1, 1, 16, 16), 0.5)
    found = metrics.ssim(torch.stack([reference[0, 0], flat[0], 1 - reference[0, 0]])[None], reference)[0]
    assert found[0].item() == pytest.approx(1)
    assert abs(found[1].item()) < 0.2
    assert found[2].item() < -0.5
    # Of two constant images, (2 x y + C1) / (x^2 + y^2 + C1) is all that is left, C1 being 0.01^2.
    constant = metrics.ssim(torch.full((1, 1, 1, 16, 16), 0.4), torch.full((1, 1, 1, 16, 16), 0.8))
    assert constant.item() == pytest.approx((2 * 0.32 + 1e-4) / (0.16 + 0.64 + 1e-4), abs=1e-4)


@pytest.mark.parametrize(
    "measure",
    [
        lambda e, r: metrics.relative_error(e, r, 2),
        metrics.si_sdr,
        lambda e, r: metrics.heart_rate_error(e, r, 64.0, (True, True)),
    ],
    ids=["relative_error", "si_sdr", "heart_rate_error"],
)
def test_every_measure_refuses_shapes_that_would_be_broadcast(measure) -> None:
    one, two = torch.ones(3, 1, 1, 16), torch.ones(3, 2, 1, 16)
    with pytest.raises(ValueError, match=r"one shape, not \[3, 1, 1, 16\] and \[3, 2, 1, 16\]"):
        measure(one, two)
    with pytest.raises(ValueError, match=r"\[item, source, channel, \*signal\], not \[3, 2, 16\]"):
        measure(two[:, :, 0], two[:, :, 0])


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim])
def test_measures_of_images_refuse_shapes_that_would_be_broadcast(measure) -> None:
    one, two = torch.ones(3, 1, 1, 8, 8), torch.ones(3, 2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"one shape, not \[3, 1, 1, 8, 8\] and \[3, 2, 1, 8, 8\]"):
        measure(one, two)


def test_heart_rate_needs_a_signal_over_time() -> None:
    images = torch.ones(1, 2, 1, 16, 16)
    with pytest.raises(ValueError, match=r"needs \[item, source, channel, time\], not \[1, 2, 1, 16, 16\]"):
        metrics.heart_rate_error(images, images, 64.0, (True, True))


def test_images_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"\[item, source, channel, height, width\], not \[1, 2, 1, 9\]"):
        metrics.psnr(torch.ones(1, 2, 1, 9), torch.ones(1, 2, 1, 9))
    with pytest.raises(UsageError, match=r"at least 6 x 6 pixels, not \[5, 9\]"):
        metrics.ssim(torch.ones(1, 2, 1, 5, 9), torch.ones(1, 2, 1, 5, 9))


def _beating(*bpm: float) -> Tensor:
    time = torch.arange(512) / 64
    return torch.stack([torch.sin(2 * math.pi * rate / 60 * time) for rate in bpm])[None, :, None]


def test_an_estimate_is_silent_beside_a_million_times_louder_source_of_its_item() -> None:
    both = torch.cat([_beating(75, 90), _beating(75, 90)])
    faint = both.clone()
    faint[0, 0] *= 1e-7
    found = metrics.heart_rate_error(faint, both, 64.0, (True, True))
    assert found.tolist() == [[pytest.approx(75, abs=0.5), 0], [0, 0]]
    alone = metrics.heart_rate_error(1e-7 * both, 1e-7 * both, 64.0, (True, True))
    assert alone.tolist() == [[0, 0], [0, 0]]
    assert metrics.heart_rate_error(1e-7 * both[:1], 0 * both[:1], 64.0, (True, True))[0, 0] == pytest.approx(
        75, abs=0.5
    )


def test_heart_rate_error_is_the_difference_of_the_rates_found() -> None:
    found = metrics.heart_rate_error(_beating(75, 90, 75), _beating(75, 75, 80), 64.0, (True, True, False))[0]
    assert found[0].item() == 0
    assert found[1].item() == pytest.approx(15, abs=0.5)
    assert math.isnan(found[2])
    silent = metrics.heart_rate_error(0 * _beating(75), _beating(75), 64.0, (True,))
    assert silent.item() == pytest.approx(75, abs=0.5)
    assert metrics.heart_rate_error(0 * _beating(75), 0 * _beating(75), 64.0, (True,)).item() == 0
    assert math.isnan(metrics.heart_rate_error(math.nan * _beating(75), _beating(75), 64.0, (True,)))


def test_the_kind_of_signal_says_what_is_measured() -> None:
    always = set(METRICS)
    assert set(metrics.of(SOUNDS)) == always | {"snr"}
    assert set(metrics.of(IMAGES)) == always | {"psnr", "ssim"}
    assert set(metrics.of(HEARTS)) == always | {"snr", "heart_rate_error", "beat_f1", "missed_beats", "invented_beats"}
    estimate = torch.rand(3, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    scores = score(estimate, estimate, IMAGES)
    assert set(scores) == set(metrics.of(IMAGES)) | {"estimate_energy", "reference_energy"}
    assert scores["psnr"].shape == scores["ssim"].shape == (3, 2)


def test_summary_leaves_out_sources_without_a_heart() -> None:
    found = summary(score(_beating(75, 20), _beating(80, 20), HEARTS), HEARTS.sources, HEARTS.heart_sources)
    assert found["heart/heart_rate_error"] == found["heart_rate_error"] == pytest.approx(5, abs=0.5)
    assert "breath/heart_rate_error" not in found
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("name", "signal", "source", "why"),
    [
        (
            "psnr",
            SOUNDS,
            "",
            "psnr measures images, and the task's signals are over time; of sounds NES calls snr the PSNR",
        ),
        ("snr", IMAGES, "", "snr measures sounds, and the task has images"),
        ("sdr", IMAGES, "", "sdr measures sounds, and the task has images"),
        ("heart_rate_error", SOUNDS, "", "heart_rate_error needs sources with a heart rate, and a, b have none"),
        (
            "heart_rate_error",
            HEARTS,
            "breath",
            "heart_rate_error needs sources with a heart rate, and breath has none; sources with one: heart",
        ),
        ("heart_rate_error", HEARTS, "heart", ""),
        ("psnr", IMAGES, "", ""),
        ("relative_l2", IMAGES, "", ""),
    ],
)
def test_what_does_not_fit_is_said_in_words(name: str, signal: Signal, source: str, why: str) -> None:
    found = metrics.unfit(name, signal, source)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_a_signal_of_a_millionth_is_not_silent() -> None:
    levels = torch.tensor([1e-6, 0.999e-6, 0.0], dtype=torch.float64)
    assert metrics._silent(levels[None, :, None, None].expand(1, 3, 1, 4)).tolist() == [[False, True, True]]
