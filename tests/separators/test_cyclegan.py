"""CycleGAN on waveforms: its terms by hand with stand-in networks, its windows, and what it separates."""

import dataclasses

import pytest
import torch
from torch import nn

from sepray.contracts import Signal
from sepray.separators import cyclegan
from sepray.training.trainer import build

from .separation import UNPAIRED, improvement, notes_and_bursts, trained
from .waveforms import SOURCES, Gain, MeanScore, trainer


def losses(both_cycles: bool = False, wanted: tuple[str, ...] = ("a",), **hyperparameters: float):
    """Both phases' losses for constant signals.

    In units of the mixtures' level, m = 1 and s = 0.75 (of a; b is 0.25). e = G_B2A(m) = 0.5, G_B2A(s) = 0.375,
    G_A2B(e) = 1.5, G_A2B(s) = 2.25, G_B2A(G_A2B(s)) = 1.125; D_A doubles, D_B leaves.
    """
    config = dataclasses.replace(cyclegan.DEBUG, wanted=wanted, both_cycles=both_cycles)
    separator = build(config, Signal(SOURCES, 1, (64,), 8.0), 0)
    for name, module in {"generators": Gain(0.5), "remixers": Gain(3.0)}.items():
        setattr(separator, name, nn.ModuleList(module for _ in wanted))
    separator.discriminators = nn.ModuleList(MeanScore(2.0) for _ in wanted)
    separator.mixture_discriminators = nn.ModuleList(MeanScore(1.0) for _ in wanted)
    batch = {"mixture": torch.full((4, 1, 64), 2.0)}
    batch["sources"] = torch.tensor([1.5, 0.5])[:, None, None].expand(4, 2, 1, 64)
    separator.prepare(batch)
    values = separator.hyperparameters() | hyperparameters
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    first = cyclegan.generators_loss(separator, batch, tensors, {})
    return first, cyclegan.discriminators_loss(separator, {**batch, **first.carry}, tensors, {})


def test_identity_cycle_and_adversarial_terms():
    loss, _ = losses()
    assert loss.parts["identity/a"].item() == pytest.approx(0.75 - 0.375)
    assert loss.parts["cycle/a"].item() == pytest.approx(1.5 - 1)
    # Scores: D_A 1.5 of s and 1 of e; D_B 1 of m and 1.5 of G_A2B(e).
    assert loss.parts["adversarial/a"].item() == pytest.approx((1 - 1.5 - 1) ** 2 + (1.5 - 1 + 1) ** 2)
    assert loss.parts["adversarial_mixture/a"].item() == pytest.approx((1.5 - 1 - 1) ** 2 + (1 - 1.5 + 1) ** 2)
    assert loss.total.item() == pytest.approx(0.5 * 0.375 + 10 * 0.5 + 4.5 + 0.5)
    weighed, _ = losses(identity_weight=2.0, adversarial_weight=0.1, cycle_weight=3.0)
    assert weighed.total.item() == pytest.approx(2 * 0.375 + 3 * 0.5 + 0.1 * (4.5 + 0.5))


def test_both_discriminators():
    _, loss = losses()
    assert loss.parts["discriminator/a"].item() == pytest.approx((1.5 - 1 - 1) ** 2 + (1 - 1.5 + 1) ** 2)
    assert loss.parts["discriminator_mixture/a"].item() == pytest.approx((1 - 1.5 - 1) ** 2 + (1.5 - 1 + 1) ** 2)
    assert loss.total.item() == pytest.approx(0.5 + 4.5)


def test_both_cycles_of_zhu_et_al():
    loss, critics = losses(both_cycles=True)
    assert loss.parts["cycle/a"].item() == pytest.approx(0.5 + (1.125 - 0.75))
    # D_B now sees G_A2B(s) = 2.25.
    assert loss.parts["adversarial_mixture/a"].item() == pytest.approx(2 * 0.25**2)
    assert critics.parts["discriminator_mixture/a"].item() == pytest.approx((1 - 2.25 - 1) ** 2 + (2.25 - 1 + 1) ** 2)


def test_terms_are_summed_over_wanted_sources():
    loss, critics = losses(wanted=("b", "a"))
    assert loss.parts["identity/b"].item() == pytest.approx(0.25 - 0.125)
    # D_A of b: 0.5 of s and 1 of e.
    assert loss.parts["adversarial/b"].item() == pytest.approx((1 - 0.5 - 1) ** 2 + (0.5 - 1 + 1) ** 2)
    assert loss.total.item() == pytest.approx(0.5 * (0.375 + 0.125) + 10 * 2 * 0.5 + 4.5 + 0.5 + 0.5 + 0.5)
    assert critics.total.item() == pytest.approx(sum(part.item() for part in critics.parts.values()))


def test_windows_of_mixtures_and_of_each_source_are_drawn_apart():
    run = trainer(cyclegan, window=64)
    random = run.separator.draw(run.data, torch.Generator().manual_seed(3))
    assert {name: tuple(start.shape) for name, start in random.items()} == {
        "mixture_start": (16,),
        "source_start": (16, 2),
    }
    starts = torch.cat((random["mixture_start"][:, None], random["source_start"]), 1)
    assert all(len(set(item.tolist())) > 1 for item in starts)
    mixture, sources = run.separator.windows(run.data, random)
    for item, (at, *places) in enumerate(starts.tolist()):
        whole = run.data["mixture"][item]
        torch.testing.assert_close(mixture[item], whole[:, at : at + 64] / run.separator.source_level)
        for k, place in enumerate(places):
            expected = run.data["sources"][item, k, :, place : place + 64] / run.separator.source_level
            torch.testing.assert_close(sources[item, k], expected)


def test_sources_are_in_units_of_all_training_mixtures():
    run = trainer(cyclegan)
    assert run.separator.source_level.item() == pytest.approx(run.data["mixture"].square().mean().sqrt().item())


# What separated the validation items best of eleven settings; the notes are what the bursts leave of the mixture.
SETTINGS = {
    "cycle_weight": 2.0,
    "identity_weight": 10.0,
    "generator_learning_rate": 5e-4,
    "discriminator_learning_rate": 2e-3,
}
SMALL = dataclasses.replace(cyclegan.SMALL, wanted=("bursts",))


def test_small_configuration_has_a_way_around_its_networks():
    assert (cyclegan.SMALL.shortcut, cyclegan.Config().shortcut) == (True, False)
    assert (cyclegan.SMALL.width, cyclegan.SMALL.discriminator_width, cyclegan.SMALL.window) == (8, 8, 1024)


@pytest.mark.slow
def test_separates_bursts_somewhat_without_pairs():
    data = notes_and_bursts(256, 32)  # half of them are samples of the sources
    config = dataclasses.replace(SMALL, blocks=2)
    faster = {**SETTINGS, "generator_learning_rate": 1e-3, "discriminator_learning_rate": 4e-3}
    assert (
        improvement(trained(config, faster, 5, 0, data).separator.separate, data, ("bursts",)) > 1
    )  # 2.7 to 3.2 dB, seeds 0 to 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts_without_pairs(seed):
    run = trained(SMALL, SETTINGS, 10, seed, notes_and_bursts(UNPAIRED))
    assert improvement(run.separator.separate, notes_and_bursts(UNPAIRED)) >= 1
