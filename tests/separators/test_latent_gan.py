"""The latent GAN: its terms against numbers worked out by hand, the search for codes, units, and what is refused."""

import dataclasses
import math

import pytest
import torch

from search_spaces import latent_gan as space
from sepray.contracts import Signal, Split, Supervision
from sepray.errors import UsageError
from sepray.separators import latent_gan
from sepray.separators.latent_gan import DEBUG, SourceLinear, poisson, roughness
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .separation import UNPAIRED, improvement, notes_and_bursts, trained

SIGNAL = Signal(("low", "high"), 1, (128,), 64.0)
BINS = 9
SMALL = latent_gan.Config(n_fft=512, hop=128, code=32, hidden=64, critic_hidden=64)


def separator(signal: Signal = SIGNAL, **config: object) -> latent_gan.LatentGan:
    return build(dataclasses.replace(DEBUG, **config), signal, 0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_poisson_likelihood_by_hand():
    rate = torch.tensor([[1.0, 2.0], [math.e, 1.0]])
    observed = torch.tensor([[3.0, 0.0], [2.0, 5.0]])
    assert poisson(rate, observed).tolist() == pytest.approx([(1 + 2) / 2, (math.e - 2 + 1) / 2])


def test_poisson_likelihood_is_that_of_the_distribution_but_for_a_constant():
    rate, observed = torch.tensor([[0.5, 2.0, 7.0]]), torch.tensor([[1.0, 0.0, 9.0]])
    direct = -torch.distributions.Poisson(rate).log_prob(observed).mean() - torch.lgamma(observed + 1).mean()
    assert poisson(rate, observed).item() == pytest.approx(direct.item(), rel=1e-5)


def test_roughness_by_hand():
    spectrogram = torch.tensor([[0.0, 0.0], [1.0, 2.0], [1.0, 4.0]])
    assert roughness(spectrogram).tolist() == [(1 + 4) / 2, (0 + 4) / 2]


def linear_critics(gan: latent_gan.LatentGan, slopes: tuple[float, float]) -> None:
    """Give each source a critic whose score is a multiple of one bin, of another bin for each."""
    gan.critics = SourceLinear(2, BINS, 1, bias=False)
    weight = torch.zeros(2, BINS, 1)
    weight[0, 0, 0], weight[1, 3, 0] = slopes
    gan.critics.weight = torch.nn.Parameter(weight)


def constant(value: float, *shape: int) -> torch.Tensor:
    return torch.full((*shape, BINS), value)


def losses(gan: latent_gan.LatentGan, real: float, fake: float):
    """Both phases' losses where all real and all generated magnitudes are the same."""
    gan.frames = lambda signal: constant(real, 2, 4, 1, 5)  # source, item, channel, frame
    gan.generate = lambda codes: constant(fake, 2, 20)
    random = {"codes": noise(2, 20, 4), "position": torch.rand(2, 20, 1)}
    weights = {"gradient_penalty": torch.tensor(10.0)}
    batch = {"sources": torch.ones(4, 2, 1, 64)}
    return latent_gan.critic_loss(gan, batch, weights, random), latent_gan.generator_loss(gan, batch, weights, random)


def test_wasserstein_objective_of_linear_critics():
    gan = separator()
    linear_critics(gan, (3.0, -1.0))
    critic, generator = losses(gan, real=2.0, fake=0.5)
    assert critic.parts["critic/low"].item() == pytest.approx(3 * (0.5 - 2.0))
    assert critic.parts["critic/high"].item() == pytest.approx(-1 * (0.5 - 2.0))
    penalties = (3 - 1) ** 2 + (1 - 1) ** 2
    assert critic.total.item() == pytest.approx(-4.5 + 1.5 + 10 * penalties, rel=1e-5)
    assert generator.total.item() == pytest.approx(-(3 * 0.5) + 1 * 0.5)


def test_standard_objective_is_the_cross_entropy():
    gan = separator(objective="standard")
    linear_critics(gan, (math.log(3), -math.log(3)))  # of a magnitude of one: 3/4, and 1/4
    critic, generator = losses(gan, real=1.0, fake=2.0)  # of two: 9/10, and 1/10
    assert critic.parts["critic/low"].item() == pytest.approx(-math.log(3 / 4) - math.log(1 / 10))
    assert critic.parts["critic/high"].item() == pytest.approx(-math.log(1 / 4) - math.log(9 / 10))
    assert generator.parts["generator/low"].item() == pytest.approx(-math.log(9 / 10))
    assert generator.parts["generator/high"].item() == pytest.approx(-math.log(1 / 10))


def test_networks_have_two_layers_softplus_in_generators_and_tanh_in_critics():
    gan = separator()
    codes, frames = noise(2, 7, 4), noise(2, 7, BINS).abs()
    first, _, second, _ = gan.generators
    last = gan.critics[2].weight
    for k in range(2):
        hidden = torch.log1p(torch.exp(codes[k] @ first.weight[k] + first.bias[k]))
        expected = torch.log1p(torch.exp(hidden @ second.weight[k] + second.bias[k]))
        torch.testing.assert_close(gan.generate(codes)[k], expected)
        score = torch.tanh(frames[k] @ gan.critics[0].weight[k] + gan.critics[0].bias[k]) @ last[k]
        torch.testing.assert_close(gan.scores(frames)[k], score[:, 0])


def test_separation_minimises_likelihood_less_scores_plus_roughness():
    gan = separator(code=BINS)
    gan.generate = lambda codes: codes
    linear_critics(gan, (3.0, -1.0))
    gan.set_hyperparameters({"critic_weight": 0.5, "smoothness": 2.0})
    codes = torch.ones(2, 1, 3, BINS)  # source, item, frame, bin
    codes[0, 0, 1] = 2.0
    frames = torch.full((1, 3, BINS), 4.0)
    likelihood = 2 * (2 - 4 * math.log(2)) + (3 - 4 * math.log(3))
    scores = 3 * (1 + 2 + 1) - (1 + 1 + 1)
    expected = likelihood - 0.5 * scores + 2.0 * (1 + 1)
    assert gan.objective(codes, frames).item() == pytest.approx(expected, rel=1e-5)


def halves() -> latent_gan.LatentGan:
    """Untrained generators of which one makes the lower half of all bins, and the other one the upper half."""
    gan = separator(Signal(("low", "high"), 1, (512,), 64.0), separation_steps=150)
    with torch.no_grad():
        gan.generators[2].bias[0, :, 5:] = -30.0
        gan.generators[2].bias[1, :, :5] = -30.0
    gan.set_hyperparameters({"critic_weight": 0.0, "smoothness": 0.0})
    return gan


def tones() -> torch.Tensor:
    """``[item, source, channel, time]``: in bins 2 and 7 of 9, of changing loudness."""
    time = torch.arange(512)
    loudness = 1 + 0.8 * torch.sin(time * torch.tensor([0.02, 0.03])[:, None])
    return (loudness * torch.sin(2 * math.pi * time * torch.tensor([2.0, 7.0])[:, None] / 16))[None, :, None]


@pytest.mark.parametrize("reconstruction", ["mask", "magnitude"])
def test_each_source_is_what_its_own_generator_can_make(reconstruction):
    gan, sources = halves(), tones()
    gan.config = dataclasses.replace(gan.config, reconstruction=reconstruction)
    estimates = gan.separate(sources.sum(1))
    error = (estimates - sources).square().sum(-1) / sources.square().sum(-1)
    # Without a mask an estimate is no better than what an untrained generator can be brought to make.
    assert error.max() < (0.01 if reconstruction == "mask" else 0.5)


def test_masked_estimates_sum_to_the_mixture():
    mixture = noise(3, 2, 200)
    gan = separator(Signal(("a", "b", "c"), 2, (128,), 64.0))
    torch.testing.assert_close(gan.separate(mixture).sum(1), mixture, rtol=0, atol=1e-4)


def test_search_lowers_the_objective_and_its_weights_act():
    frames = separator().frames(noise(4, 256))
    found = {}
    for name, weights in {"plain": (0.0, 0.0), "critic": (2.0, 0.0), "smooth": (0.0, 5.0)}.items():
        gan = separator(separation_steps=60)
        gan.set_hyperparameters({"critic_weight": weights[0], "smoothness": weights[1]})
        codes = gan.infer(frames)
        gan.config = dataclasses.replace(gan.config, separation_steps=1, separation_learning_rate=1e-9)
        assert gan.objective(codes, frames) < gan.objective(gan.infer(frames), frames)
        made = gan.generate(codes)
        found[name] = (poisson(made.sum(0), frames).sum(), gan.scores(made).sum(), roughness(made).sum())
    assert found["plain"][0] < min(found["critic"][0], found["smooth"][0])
    assert found["critic"][1] > found["plain"][1]
    assert found["smooth"][2] < 0.5 * found["plain"][2]


def test_item_is_separated_the_same_alone_louder_in_parts_and_in_inference_mode(monkeypatch):
    gan = separator(separation_steps=30)
    mixture = noise(3, 1, 128)
    together = gan.separate(mixture)
    with monkeypatch.context() as patch:
        patch.setattr(latent_gan, "_FRAMES_AT_ONCE", 2 * gan.frames(mixture).shape[2])  # of two items
        torch.testing.assert_close(gan.separate(mixture), together, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gan.separate(mixture[1:2]), together[1:2], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gan.separate(1000 * mixture), 1000 * together, rtol=1e-3, atol=0.1)
    with torch.inference_mode():
        torch.testing.assert_close(gan.separate(mixture + 0), together)
    assert all(parameter.grad is None for parameter in gan.parameters())
    assert gan.separate(torch.zeros(1, 1, 128)).abs().max() < 1e-6


def split() -> Split:
    sources = noise(16, 2, 1, 128) * torch.tensor([1.0, 0.3])[:, None, None]
    return Split(sources.sum(1), sources)


def trainer(hyperparameters: dict[str, float]) -> Trainer:
    data = view(split(), Supervision.UNPAIRED_SOURCES, torch.Generator().manual_seed(0))
    return Trainer(separator(), data, hyperparameters, 0, 8, DEBUG.betas)


def test_weights_of_separation_are_the_hyperparameters_and_part_of_the_model():
    run = trainer({"critic_weight": 0.25, "smoothness": 0.0})
    state = run.separator.state_dict()
    assert (state["critic_weight"].item(), state["smoothness"].item()) == (0.25, 0.0)
    run.set_hyperparameters({"smoothness": 3.0})
    assert run.separator.state_dict()["smoothness"].item() == 3.0


def test_white_noise_of_unit_power_has_magnitudes_of_about_one_and_mixtures_are_the_unit_of_sources():
    gan = separator()
    assert gan.frames(noise(50, 256)).square().mean().sqrt().item() == pytest.approx(1, rel=0.05)
    run = trainer({})
    assert run.separator.mixture_level.item() == pytest.approx(math.sqrt(1 + 0.3**2), rel=0.05)


def test_search_space_has_every_hyperparameter_and_holds_the_published_settings():
    names = separator().hyperparameters()
    assert set(space.SPACE) == set(names)
    assert space.PAPER["latent GAN"] == names
    assert names["generator_learning_rate"] == names["critic_learning_rate"] == 1e-3
    for settings in space.PAPER.values():
        assert set(settings) == set(names)
        assert all(space.SPACE[k]._contains(space.SPACE[k].to_internal_repr(v)) for k, v in settings.items())
    assert (latent_gan.PAPER.separation_steps, latent_gan.PAPER.separation_learning_rate) == (2000, 1e-3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("code", 0, "code must be at least 1, not 0"),
        ("objective", "hinge", "objective must be one of wasserstein, standard, not 'hinge'"),
        ("reconstruction", "phase", "reconstruction must be one of mask, magnitude, not 'phase'"),
        ("separation_learning_rate", 0.0, "separation_learning_rate must be above 0, not 0"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        latent_gan.Config(**{field: value})


@pytest.mark.parametrize("signal", [Signal(("a", "b"), 1, (16, 16), None), Signal(("a",), 1, (128,), 64.0)])
def test_images_and_single_sources_are_refused(signal):
    with pytest.raises(
        UsageError, match=r"^latent_gan separates sounds of at least 2 sources by their spectrogram, not"
    ):
        build(DEBUG, signal, 0)


def test_sounds_are_separated_in_seconds():
    data = notes_and_bursts(train=64, test=16)
    config = dataclasses.replace(SMALL, critic_steps=2, separation_steps=40, separation_learning_rate=0.1)
    assert improvement(trained(config, {}, 12, 0, data).separator.separate, data) > 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    run = trained(latent_gan.Config(), {}, 10, seed, notes_and_bursts(UNPAIRED))
    assert improvement(run.separator.separate, notes_and_bursts(UNPAIRED)) >= 3
