"""S-SepGAN: its terms by hand with stand-in networks, its windows, and that it separates."""

import dataclasses

import pytest
import torch
from torch import nn

from sepray.contracts import Signal
from sepray.separators import sepgan
from sepray.training.trainer import build

from .separation import improvement, notes_and_bursts, trained
from .waveforms import SOURCES, Gain, MeanScore, trainer


def losses(wanted: tuple[str, ...] = ("a",), objective: str = "relativistic", **hyperparameters: float):
    """Both phases' losses for constant signals.

    In units of the mixture's level, m = 1, a = 0.75 and b = 0.25. With gains 0.5 and 0.1, G_a(m) = 0.5, G_a(a) =
    0.375, G_b(m) = 0.1, G_b(b) = 0.025; D_a(a) = 1.5, D_a(G_a(m)) = 1, D_a(m) = 2; D_b is 0.
    """
    config = dataclasses.replace(sepgan.DEBUG, wanted=wanted, objective=objective)
    separator = build(config, Signal(SOURCES, 1, (64,), 8.0), 0)
    separator.generators = nn.ModuleList(Gain({"a": 0.5, "b": 0.1}[name]) for name in wanted)
    separator.discriminators = nn.ModuleList(MeanScore({"a": 2.0, "b": 0.0}[name]) for name in wanted)
    sources = torch.tensor([1.5, 0.5])[:, None, None].expand(4, 2, 1, 64)
    values = separator.hyperparameters() | hyperparameters
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    batch = {"mixture": sources.sum(1), "sources": sources}
    first = sepgan.generators_loss(separator, batch, tensors, {})
    return first, sepgan.discriminators_loss(separator, {**batch, **first.carry}, tensors, {})


def test_identity_adversarial_and_paired_term():
    """A generator that is shown the clean source instead of the mixture would have a paired error of 0.375."""
    loss, _ = losses()
    assert loss.parts["identity/a"].item() == pytest.approx(0.75 - 0.375)
    assert loss.parts["paired/a"].item() == pytest.approx(0.75 - 0.5)
    assert loss.parts["adversarial/a"].item() == pytest.approx((1 - 1.5 - 1) ** 2 + (1.5 - 1 + 1) ** 2)
    assert loss.total.item() == pytest.approx(0.5 * 0.375 + 4.5 + 10 * 0.25)
    weighed, _ = losses(identity_weight=2.0, adversarial_weight=0.1, paired_weight=3.0)
    assert weighed.total.item() == pytest.approx(2 * 0.375 + 0.1 * 4.5 + 3 * 0.25)


def test_discriminator_rejects_mixtures():
    # Mean fake score (1 + 0.25 * 2) / 1.25 = 1.2.
    _, loss = losses(rejection_weight=0.25)
    assert loss.total.item() == pytest.approx((1.5 - 1.2 - 1) ** 2 + (1 - 1.5 + 1) ** 2 + 0.25 * (2 - 1.5 + 1) ** 2)
    assert loss.parts["discriminator/a"].item() == pytest.approx(loss.total.item())
    _, plain = losses(rejection_weight=0.0)
    assert plain.total.item() == pytest.approx((1.5 - 1 - 1) ** 2 + (1 - 1.5 + 1) ** 2)


def test_equation_of_section_3_3():
    _, loss = losses(objective="cross-entropy")
    probability = torch.sigmoid(torch.tensor([1.5, 1.0, 2.0]))  # of source, estimate and mixture being real
    expected = -probability[0].log() - (1 - probability[1]).log() - (1 - probability[2]).log()
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_terms_are_summed_over_wanted_sources():
    loss, _ = losses(wanted=("b", "a"))
    # Of b: identity 0.225, paired 0.15, and scores of 0, so (0 - 0 - 1)^2 + (0 - 0 + 1)^2.
    assert loss.parts["paired/b"].item() == pytest.approx(0.15)
    assert loss.total.item() == pytest.approx(0.5 * (0.375 + 0.225) + 4.5 + 2 + 10 * (0.25 + 0.15))


def test_windows_of_mixture_and_sources_begin_together_and_go_to_the_second_phase():
    run = trainer(sepgan, window=64)
    random = run.separator.draw(run.data, torch.Generator().manual_seed(3))
    assert len(set(random["start"].tolist())) > 3
    mixture, sources = run.separator.windows(run.data, random)
    assert mixture.shape == (16, 1, 64)
    torch.testing.assert_close(sources.sum(1), mixture)  # which they would not, at other places or levels
    tensors = {name: torch.tensor(value) for name, value in run.hyperparameters.items()}
    carry = sepgan.generators_loss(run.separator, run.data, tensors, random).carry
    assert torch.equal(carry["windows"], mixture)
    assert torch.equal(carry["targets"], sources)


# The bursts are what the notes leave of the mixture.
FAST = {"generator_learning_rate": 5e-3, "discriminator_learning_rate": 1e-3}
SMALL = dataclasses.replace(sepgan.SMALL, wanted=("notes",))


def test_separates_notes_from_bursts_somewhat():
    data = notes_and_bursts(128, 32)
    config = dataclasses.replace(SMALL, width=8, blocks=2, window=1024)
    assert improvement(trained(config, FAST, 6, 0, data).separator.separate, data) > 2  # 4.3 to 4.4 dB, seeds 0 to 3


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    hyperparameters = {**FAST, "generator_learning_rate": 3e-3}
    run = trained(SMALL, hyperparameters, 8, seed, notes_and_bursts())
    assert improvement(run.separator.separate, notes_and_bursts()) >= 3
