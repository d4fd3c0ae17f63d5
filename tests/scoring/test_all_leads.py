"""One estimate of a heart from the estimates of all leads: a spatial filter found from them."""

import math

import pytest
import torch
from torch import Tensor

from sepray.contracts import Signal
from sepray.scoring.all_leads import comparable, filtered, joined
from sepray.scoring.real_records import FAINT, found_beats
from sepray.signals.beats import ADULT, ADULT_PULSE, FETUS, detect, qrs_height

from .hearts import SIGNAL, every, heart

MOTHER, FETUS_BEATS = heart(every(0.74), 0.012), heart(every(0.44, 0.1), 0.006)
NOISE = torch.randn(3, 2500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _alike(one: Tensor, other: Tensor) -> float:
    return abs(float(torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1]))


def _leads() -> tuple[Tensor, Tensor]:
    """Two leads with the fetus in either sign and the same noise, and estimates: the mother, half of the fetus."""
    seen = torch.tensor([[[1.0], [0.8]], [[0.2], [-0.2]]], dtype=torch.float64)
    hearts = seen * torch.stack((MOTHER, FETUS_BEATS))[:, None]  # [source, lead, time]
    leads = hearts.sum(0) + 0.2 * NOISE[0] + 0.005 * NOISE[1:]
    estimates = torch.stack((hearts[0], 0.5 * hearts[1]))
    return leads[:, None], estimates[:, :, None]


def test_noise_that_all_leads_share_is_taken_away() -> None:
    leads, estimates = _leads()
    alone = leads[0] - estimates[0, 0]
    assert _alike(alone, FETUS_BEATS) < 0.4
    found = filtered(leads, estimates, 1, 250, FETUS[0])
    assert found.shape == (1, 1, 2500)
    assert _alike(found, FETUS_BEATS) > 0.98


def test_units_of_leads_do_not_matter_and_a_silent_lead_has_no_weight() -> None:
    leads, estimates = _leads()
    found = filtered(leads, estimates, 1, 250, FETUS[0])
    units = torch.tensor([1e-3, 1e4], dtype=torch.float64)[:, None, None]
    assert _alike(filtered(units * leads, units * estimates, 1, 250, FETUS[0]), found) == pytest.approx(1, abs=1e-9)
    silent = torch.nn.functional.pad(leads, (0, 0, 0, 0, 0, 1)), torch.nn.functional.pad(estimates, (0, 0) * 2 + (0, 1))
    assert _alike(filtered(*silent, 1, 250, FETUS[0]), found) == pytest.approx(1, abs=1e-9)


def test_segments_have_weights_of_their_own() -> None:
    leads, estimates = _leads()
    both = torch.cat((leads, leads.flip(0)), 1), torch.cat((estimates, estimates.flip(1)), 2)
    first, second = filtered(*both, 1, 250, FETUS[0])[0]
    assert _alike(first, second) == pytest.approx(1, abs=1e-9)


def test_estimates_that_sum_to_the_leads_give_their_principal_component() -> None:
    leads, estimates = _leads()
    estimates[1] = leads - estimates[0]
    leads = estimates.sum(0)
    found = filtered(leads, estimates, 1, 250, FETUS[0])
    assert found.isfinite().all()
    assert _alike(found, estimates[1].sum(0)) > 0.99  # of the noise, which is most of them


def test_the_fetus_is_as_high_beside_the_mother_as_in_the_lead_that_shows_it_best() -> None:
    leads, estimates = _leads()
    found = joined(leads, estimates, SIGNAL, 250)
    beats = [detect(found[name], 250, *rates).times for name, rates in (("maternal", ADULT), ("fetal", FETUS))]
    assert float(qrs_height(found["maternal"], 250, beats[0])) == pytest.approx(1)
    pair = [qrs_height(own, 250, own_beats.expand(2, -1, -1)) for own, own_beats in zip(estimates, beats, strict=True)]
    most = float((pair[1] / pair[0]).max())
    assert most == float((pair[1] / pair[0])[1])  # its half as high beside a mother of 0.8
    assert float(qrs_height(found["fetal"], 250, beats[1])) == pytest.approx(most)
    assert float(found_beats(found["fetal"], 250, "fetal", SIGNAL).rate) == pytest.approx(60 / 0.44, abs=1)


@pytest.mark.parametrize(("size", "there"), [(1.1, True), (0.9, False)])
def test_a_fetus_that_is_faint_in_every_lead_is_none(size: float, there: bool) -> None:
    leads, estimates = _leads()
    beats = [detect(own, 250, *rates).times for own, rates in ((MOTHER, ADULT), (FETUS_BEATS, FETUS))]
    alike = qrs_height(FETUS_BEATS, 250, beats[1]) / qrs_height(MOTHER, 250, beats[0])
    estimates[1] = size * FAINT / float(alike) * 0.8 * torch.sign(estimates[1]) * FETUS_BEATS
    found = joined(leads, estimates, SIGNAL, 250)
    hers = found_beats(found["maternal"], 250, "maternal", SIGNAL)
    its = found_beats(found["fetal"], 250, "fetal", SIGNAL, (found["maternal"], hers.times))
    assert bool(its.rate > 0) == there


def test_hearts_without_a_beat_have_no_height() -> None:
    silent, none = torch.zeros(1, 1, 2500, dtype=torch.float64), torch.full((1, 1, 3), math.nan, dtype=torch.float64)
    assert comparable((silent, silent), (none, none), (silent, silent), 250).abs().max() == 0


def test_a_pulse_has_its_own_band_and_no_unit() -> None:
    hearts = {"heart_rates": (("heart", *ADULT_PULSE),), "pulse_sources": ("heart",)}
    signal = Signal(("heart", "breath"), 2, (2500,), 250.0, ("heart",), **hearts)
    times = torch.arange(2500, dtype=torch.float64) / 250
    pulse, breath = torch.sin(2 * math.pi * 1.2 * times), torch.sin(2 * math.pi * 0.2 * times)
    leads = torch.stack((pulse + breath, 0.5 * pulse - breath))[:, None]
    estimates = torch.stack((torch.stack((pulse, 0.4 * pulse)), torch.stack((breath, -breath))))[:, :, None]
    found = joined(leads, estimates, signal, 250)
    assert list(found) == ["heart"]
    assert _alike(found["heart"], pulse) > 0.99
