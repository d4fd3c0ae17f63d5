"""Adversarial semi-supervised separation: its three terms by hand, what it is shown, separation from few pairs."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from search_spaces import semi_adversarial as space
from sepray.contracts import Signal, Split, Supervision
from sepray.errors import UsageError
from sepray.separators import semi_adversarial
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .separation import UNPAIRED, improvement, mean_improvement, notes_and_bursts, trained

SIGNAL = Signal(("a", "b"), 1, (256,), 128.0)


class SumScore(nn.Module):
    """A critic whose score is ``gain`` times the sum over the image; in 6 values its slope is ``gain sqrt(6)``."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image.sum(dim=(1, 2, 3))


def losses(**hyperparameters: float):
    """Both losses of paired estimates 1 and 0.5, unpaired ones log 2 and log 4, in images of 2 x 3 values.

    Paired sources are log magnitudes of 3 and 1.5, unpaired ones 4 and 0, mixtures log 6: magnitudes of 5.
    """
    separator = build(semi_adversarial.DEBUG, SIGNAL, 0)
    separator.critics = nn.ModuleList((SumScore(1.0), SumScore(-0.125)))
    separator.source_level.fill_(2.0)
    separator.image = lambda signal: torch.full((len(signal), 1, 2, 3), math.log(6))
    separator.images = lambda sources: sources.mean(dim=-1)[..., None, None].expand(-1, -1, -1, 2, 3)

    def estimate(image: torch.Tensor) -> torch.Tensor:
        free = torch.tensor([math.log(2), math.log(4)])[:, None, None, None].expand(5, 2, 1, 2, 3)
        known = torch.tensor([1.0, 0.5])[:, None, None, None].expand(len(image) - 5, 2, 1, 2, 3)
        return torch.cat((known, free))

    separator.estimate = estimate
    values = separator.hyperparameters() | hyperparameters
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    constant = lambda *values: torch.tensor(values)[:, None, None].expand(5, 2, 1, 64)  # noqa: E731
    batch = {
        "mixture": torch.full((5, 1, 64), 7.0),
        "sources": constant(8.0, 0.0),
        "paired_mixture": torch.full((5, 1, 64), 100.0),  # its level is not what its sources are divided by
        "paired_sources": constant(6.0, 3.0),
    }
    random = {"position": torch.full((2, 5), 0.5)}
    first = semi_adversarial.separator_loss(separator, batch, tensors, random)
    return first, semi_adversarial.critic_loss(separator, batch, tensors, random)


SUPERVISED = (3 - 1.0) ** 2 + (1.5 - 0.5) ** 2
UNSUPERVISED = -(6 * math.log(2) - 0.125 * 6 * math.log(4))
ADDITIVE = (1 + 3 - 5) ** 2  # magnitudes, not their logarithms


def test_the_separators_three_terms():
    loss, _ = losses(alpha=0.3, beta=0.7)
    assert {name: part.item() for name, part in loss.parts.items()} == pytest.approx(
        {"supervised": SUPERVISED, "unsupervised": UNSUPERVISED, "additive": ADDITIVE}, rel=1e-5
    )
    assert loss.total.item() == pytest.approx(SUPERVISED + 0.3 * UNSUPERVISED + 0.7 * ADDITIVE, rel=1e-5)


def test_without_what_is_unpaired_the_error_of_the_pairs_is_all():
    loss, _ = losses(alpha=0.3, beta=0.7, unpaired=0.0)
    assert loss.total.item() == pytest.approx(SUPERVISED)
    run = trainer({"unpaired": 0.0})
    assert set(run.epoch()) == {"supervised", "additive"}  # nothing of the critics


def test_the_critics_terms_and_their_one_sided_penalty():
    _, loss = losses(gradient_penalty=5.0)
    expected = {
        "distance/a": 6 * (4 - math.log(2)),
        "distance/b": -0.125 * 6 * (0 - math.log(4)),
        "penalty/a": (math.sqrt(6) - 1) ** 2,
        "penalty/b": 0.0,  # its slope is 0.125 sqrt(6), below 1
    }
    assert {name: part.item() for name, part in loss.parts.items()} == pytest.approx(expected, rel=1e-5)
    distance, penalty = (sum(expected[f"{part}/{s}"] for s in "ab") for part in ("distance", "penalty"))
    assert loss.total.item() == pytest.approx(5 * penalty - distance, rel=1e-5)


def test_defaults_are_the_published_ones():
    separator = build(semi_adversarial.Config(), SIGNAL, 0)
    published = {
        "alpha": 1e-3,
        "beta": 1e-3,
        "gradient_penalty": 10.0,
        "separator_learning_rate": 5e-5,
        "critic_learning_rate": 5e-5,
    }
    assert separator.hyperparameters() == {"unpaired": 1.0, **published}
    assert space.PAPER["adversarial semi-supervised"] == published
    assert set(space.SPACE) == set(published)
    config = semi_adversarial.Config()
    assert (config.n_fft, config.hop, config.levels, config.filters, config.batch_size) == (512, 256, 4, 16, 64)
    assert [(phase.name, phase.repeats) for phase in separator.phases()] == [("critics", 5), ("separator", 1)]
    assert [phase.draws_batches for phase in separator.phases()] == [True, False]
    assert separator.spectrogram.shape(64 * 256) == (272, 64)


@pytest.mark.parametrize("length", [16, 64, 1000])
def test_critics_take_any_length_and_score_each_item_by_itself(length):
    critic = semi_adversarial.LogMagnitudeCritic(2, 3, 4)
    images = torch.randn(3, 2, 32, length, generator=torch.Generator().manual_seed(0))
    scores = critic(images)
    assert scores.shape == (3,)
    assert critic(images[1:2]).item() == pytest.approx(scores[1].item(), rel=1e-4)


def test_slope_of_a_critic_hardly_depends_on_the_length():
    """A repeated image has the same slope, but for what the padding adds at the ends."""
    torch.manual_seed(0)
    critic = semi_adversarial.LogMagnitudeCritic(1, 4, 2)
    image = torch.rand(1, 1, 16, 64)
    norms = []
    for repeats in (1, 8):
        points = image.repeat(1, 1, 1, repeats).requires_grad_()
        norms.append(torch.autograd.grad(critic(points).sum(), points)[0].norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.2)


def tones(items: int, seed: int, sources: int = 2, channels: int = 1) -> Split:
    """Slow and fast sines of random phase and amplitude, and their sum."""
    generator = torch.Generator().manual_seed(seed)
    phase, gain = torch.rand(2, items, sources, channels, 1, generator=generator)
    rate = torch.tensor([0.05, 0.3, 0.15])[:sources, None, None]
    made = (0.5 + gain) * torch.sin(2 * math.pi * (rate * torch.arange(256) + phase))
    return Split(made.sum(1), made)


def trainer(hyperparameters: dict[str, float], sources: int = 2, channels: int = 1, **config: object) -> Trainer:
    resolved = dataclasses.replace(semi_adversarial.DEBUG, batch_size=8, **config)
    separator = build(resolved, Signal(("a", "b", "c")[:sources], channels, (256,), 128.0), 0)
    generator = torch.Generator().manual_seed(0)
    seen = view(tones(32, 0, sources, channels), separator.supervision, generator, separator.paired_fraction)
    return Trainer(separator, seen, hyperparameters, 0, resolved.batch_size, resolved.betas)


def test_pairs_that_are_hidden_change_nothing():
    """Samples that were dealt anew among their items give the same view, up to the order of each source."""
    data, generator = tones(32, 0), torch.Generator()
    seen = view(data, Supervision.SEMI_PAIRED, generator.manual_seed(0), 0.25)
    dealt = data.sources.clone()
    first = {row: k for k, row in enumerate(map(tuple, data.sources[:, 0, 0].tolist()))}
    shown = torch.tensor(sorted({first[row] for row in map(tuple, seen["sources"][:, 0, 0].tolist())}))
    assert len(shown) == 12
    dealt[shown, 1] = data.sources[shown.roll(1), 1]  # the mixtures stay
    other = view(Split(data.mixture, dealt), Supervision.SEMI_PAIRED, generator.manual_seed(0), 0.25)
    for name in ("mixture", "paired_mixture", "paired_sources"):
        assert torch.equal(seen[name], other[name])
    assert torch.equal(seen["sources"][:, 0], other["sources"][:, 0])
    rows = [sorted(map(tuple, shown["sources"][:, 1, 0].tolist())) for shown in (seen, other)]
    assert rows[0] == rows[1]


def test_three_sources_in_two_channels_train():
    run = trainer({}, sources=3, channels=2)
    assert {f"distance/{source}" for source in "abc"} < set(run.epoch())
    assert run.separator.separate(torch.randn(2, 2, 300)).shape == (2, 3, 2, 300)


def test_each_estimate_begins_near_the_mixture():
    """Thus no ReLU is shut where there is sound: the head takes the mixture, channel by channel, as it is."""
    weight = build(semi_adversarial.DEBUG, Signal(("a", "b"), 2, (256,), 128.0), 0).network.head.weight
    assert weight[:, -2:, 0, 0].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_a_louder_mixture_gives_louder_estimates_of_the_same_form():
    separator, mixture = trainer({}).separator, tones(4, 1).mixture
    expected = 1000 * separator.separate(mixture)
    torch.testing.assert_close(separator.separate(1000 * mixture), expected, rtol=1e-3, atol=1e-2)
    assert separator.separate(torch.zeros(1, 1, 128)).isfinite().all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"paired_fraction": 0.0}, r"paired_fraction must be above 0 and below 1, not 0.0"),
        ({"paired_fraction": 1.0}, r"paired_fraction must be above 0 and below 1, not 1.0"),
        ({"filters": 0}, r"filters must be at least 1, not 0"),
        ({"critic_layers": 5}, r"critic_layers must be at most levels = 4, not 5"),
        ({"betas": (0.5, 1.0)}, r"betas must be at least 0 and below 1, not \(0.5, 1.0\)"),
    ],
)
def test_bad_config_is_refused_in_one_line(fields, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        semi_adversarial.Config(**fields)


@pytest.mark.parametrize("signal", [Signal(("a",), 1, (256,), 128.0), Signal(("a", "b"), 1, (64, 64), None)])
def test_one_source_and_images_are_refused(signal):
    with pytest.raises(UsageError, match=r"semi_adversarial separates one-dimensional signals of at least 2 sources"):
        build(semi_adversarial.DEBUG, signal, 0)


FAST = {"separator_learning_rate": 3e-3, "critic_learning_rate": 3e-3}


@pytest.mark.slow
def test_separates_in_seconds():
    data = notes_and_bursts(128, 16)  # half of them are samples of the sources
    config = dataclasses.replace(
        semi_adversarial.DEBUG, n_fft=256, hop=128, filters=8, levels=3, batch_size=8, critic_steps=1
    )
    assert mean_improvement(config, FAST, 6, data) > 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    data = notes_and_bursts(UNPAIRED)
    assert improvement(trained(semi_adversarial.SMALL, FAST, 15, seed, data).separator.separate, data) >= 3
