"""Template input: whose beats are found, and what the networks get."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from sepray import registry
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.loading import build_separator
from sepray.separators import cass, cyclegan, supervised_mask
from sepray.signals.template import residual
from sepray.signals.template_input import input_channels, network_input, strongest_beats

RATE = 250.0
SIGNAL = Signal(("maternal", "fetal"), 1, (1000,), RATE, template=True)
SEEDED = torch.Generator().manual_seed(1)


def heart(bpm: float, first: float, height: float, width: float = 0.012, samples: int = 2500) -> torch.Tensor:
    times = torch.arange(first, samples / RATE, 60 / bpm, dtype=torch.float64)
    grid = torch.arange(samples, dtype=torch.float64)[:, None] / RATE - times
    return height * torch.exp(-0.5 * (grid / width) ** 2).sum(-1)


def test_beats_of_the_mother_are_found_beside_a_fetus_a_wandering_baseline_and_an_offset() -> None:
    fetus = heart(140, 0.1, 0.5, 0.007)
    baseline = 5 + 2 * torch.sin(torch.arange(2500).double() / 700)
    leads = torch.stack([heart(70, 0.4, 1.0) + fetus + baseline, -heart(115, 0.2, 1.0), heart(55, 0.9, 3.0)])[:, None]
    found = strongest_beats(leads.float(), RATE)
    for item, (bpm, first) in enumerate(((70, 0.4), (115, 0.2), (55, 0.9))):
        times = found[item][found[item].isfinite()]
        expected = torch.arange(first, 10.0, 60 / bpm)
        assert len(times) == len(expected)
        torch.testing.assert_close(times.float(), expected, atol=0.03, rtol=0)


def test_a_beat_that_one_lead_does_not_see_is_found_in_another() -> None:
    both = torch.stack([heart(70, 0.4, 0.0) + 0.01 * torch.randn(2500, generator=SEEDED), heart(70, 0.4, 0.1)])[None]
    found = strongest_beats(both, RATE)[0]
    torch.testing.assert_close(found, torch.arange(0.4, 10, 60 / 70), atol=0.03, rtol=0, check_dtype=False)


@pytest.mark.parametrize("mixture", [torch.zeros(2, 1, 1000), torch.ones(1, 2, 16), torch.randn(1, 1, 40)])
def test_without_beats_there_is_nothing_to_take_away(mixture: torch.Tensor) -> None:
    seen = network_input(mixture, replace(SIGNAL, channels=mixture.shape[1]))
    assert torch.equal(seen[:, : mixture.shape[1]], mixture)
    torch.testing.assert_close(seen[:, mixture.shape[1] :], mixture)


def test_networks_get_the_mixture_and_its_residual_of_each_channel() -> None:
    mother, fetus = heart(70, 0.4, 1.0), heart(140, 0.17, 0.1, 0.007)
    mixture = torch.stack([mother + fetus, -0.5 * mother + fetus])[None].float()
    signal = replace(SIGNAL, channels=2)
    seen = network_input(mixture, signal)
    assert input_channels(signal) == seen.shape[1] == 4
    assert torch.equal(seen[:, :2], mixture)
    beats = strongest_beats(mixture, RATE)
    torch.testing.assert_close(seen[0, 3], residual(mixture[0, 1], RATE, beats[0]))
    assert seen[0, 2, 200:2300].abs().max() < 0.2  # of a maternal R peak
    plain = replace(signal, template=False)
    assert input_channels(plain) == 2
    assert network_input(mixture, plain) is mixture


@pytest.mark.parametrize("module", [cass, supervised_mask])
def test_separators_that_take_it_see_it_and_estimate_the_real_channels(module: object) -> None:
    signal = replace(SIGNAL, channels=2)
    torch.manual_seed(0)
    separator = build_separator(module.DEBUG, signal)  # type: ignore[attr-defined]
    mixture = torch.stack([heart(70, 0.4, 1.0, samples=1000) + 0.1 * torch.randn(1000) for _ in range(2)])[None].float()
    estimates = separator.separate(mixture)
    assert estimates.shape == (1, 2, 2, 1000)
    object.__setattr__(separator, "signal", replace(signal, template=False))
    with pytest.raises(RuntimeError):  # without it there are too few channels
        separator.separate(mixture)


def test_masks_still_sum_to_the_mixture() -> None:
    separator = build_separator(supervised_mask.DEBUG, SIGNAL)
    mixture = torch.randn(2, 1, 1000)
    torch.testing.assert_close(separator.separate(mixture).sum(1), mixture, atol=1e-5, rtol=1e-5)


def test_others_refuse_it_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^cyclegan does not take .*: leave out --task\.template$"):
        build_separator(cyclegan.DEBUG, SIGNAL)
    takers = {n for n in registry.names("sepray.separators") if _takes(n)}
    assert takers == {"cass", "supervised_mask"}


def _takes(name: str) -> bool:
    config = registry.find("sepray.separators", name).DEBUG
    try:
        return build_separator(config, dataclasses.replace(SIGNAL)).takes_template
    except UsageError:
        return False


@pytest.mark.parametrize(("strong", "found"), [(3, 6), (4, 4)])
def test_the_usual_energy_is_that_of_the_beats_which_the_slowest_heart_would_have(strong, found):
    """The slowest heart has six beats in eight seconds: if three are strong, the median is weak, and all six count."""
    seconds = torch.arange(1024, dtype=torch.float64)[:, None] / 128
    sizes = torch.tensor([1.0, 0.4] * 3) if strong == 3 else torch.tensor([1.0, 0.4, 1.0, 0.4, 1.0, 1.0])
    signal = (sizes * torch.exp(-0.5 * ((seconds - 0.8 - 1.3 * torch.arange(6)) / 0.012) ** 2)).sum(-1)
    beats = strongest_beats(signal[None, None], 128.0)
    assert beats.shape == (1, found)


def test_of_less_than_two_slow_beats_the_strongest_alone_is_usual():
    seconds = torch.arange(192, dtype=torch.float64) / 128
    signal = sum(a * torch.exp(-0.5 * ((seconds - at) / 0.012) ** 2) for a, at in ((1.0, 0.3), (0.4, 1.1)))
    assert strongest_beats(signal[None, None], 128.0)[0].tolist() == [pytest.approx(0.3, abs=0.01)]
