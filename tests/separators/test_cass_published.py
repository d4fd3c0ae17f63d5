"""The authors' variant of CASS: its losses by hand, who learns from which of them, masks, lengths, separation."""

import math

import pytest
import torch
from torch import nn

from search_spaces import cass_published as space
from sepray import registry
from sepray.comparison.contenders import contender
from sepray.comparison.spec import Comparison
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators import cass
from sepray.spec.study import StudySpec, key
from sepray.training.trainer import build

from .separation import improvement, notes_and_bursts, trained

SIGNAL = Signal(("a", "b"), 1, (96,), 8.0)
FAST = {"autoencoder_learning_rate": 2e-3}


def separator(seed: int = 0) -> cass.VariationalCass:
    return build(cass.PUBLISHED_DEBUG, SIGNAL, seed)


def batch() -> dict[str, torch.Tensor]:
    sources = torch.randn(5, 2, 1, 96, generator=torch.Generator().manual_seed(0))
    return {"mixture": sources.sum(1), "sources": sources}


def tensors(module: cass.VariationalCass, **changes: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in {**module.hyperparameters(), **changes}.items()}


class Constant(nn.Module):
    """Stands in for a network."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.ParameterList(torch.tensor(value) for value in values)


class Code(Constant):
    def forward(self, image):
        return tuple(value.expand(len(image), 3) for value in self.values)


class Mask(Constant):
    """A mask that is the mean of the code times a gain."""

    def forward(self, code):
        return (code.mean(-1) * self.values[0])[:, None, None, None]


class Critic(Constant):
    """A logit and a feature that are gains times the image's mean."""

    def forward(self, image):
        return self.judged(image)[0]

    def judged(self, image):
        mean = image.mean(dim=(1, 2, 3))
        return self.values[0] * mean, self.values[1] * mean


def stand_in() -> tuple[cass.VariationalCass, torch.Tensor]:
    """Constant magnitudes and targets, and a noise of 1 in the codes' every dimension."""
    module = separator()
    module.encoders = nn.ModuleList([Code(0.5, 2 * math.log(0.25)), Code(0.25, 2 * math.log(0.5))])
    module.decoders = nn.ModuleList([Mask(1.0), Mask(2.0)])
    module.discriminators = nn.ModuleList([Critic(1.0, 2.0), Critic(-1.0, 3.0)])
    module.magnitudes = lambda mixture: torch.full((5, 1, 4, 4), math.e - 1)
    module.targets = lambda mixture, sources: [torch.full((5, 1, 4, 4), value) for value in (0.5, 1.5)]
    return module, torch.ones(5, 2, 3)


def entropy(logit: float, real: bool) -> float:
    return math.log(1 + math.exp(-logit if real else logit))


def test_losses_are_those_worked_out_by_hand():
    module, noise = stand_in()
    loss = cass.variational_loss(module, batch(), tensors(module), {"noise": noise})
    # Codes are 0.5 + 0.25 and 0.25 + 0.5, so masks 0.75 and 1.5, of a magnitude of e - 1.
    a, b = math.log1p(0.75 * (math.e - 1)), math.log1p(1.5 * (math.e - 1))
    expected = {
        "l1/a": abs(a - 0.5),
        "feature/a": 2 * abs(a - 0.5),
        "gan/a": entropy(a, real=True),
        "code/a": 0.5 * (0.25 + 0.0625 - 1 - 2 * math.log(0.25)),
        "l1/b": abs(b - 1.5),
        "feature/b": 3 * abs(b - 1.5),
        "gan/b": entropy(-b, real=True),
        "code/b": 0.5 * (0.0625 + 0.25 - 1 - 2 * math.log(0.5)),
    }
    assert {name: value.item() for name, value in loss.parts.items()} == pytest.approx(expected, rel=1e-4)
    weights = {"l1": 5.0, "feature": 1.0, "gan": 0.1, "code": 0.01}
    total = sum(weights[name.partition("/")[0]] * value for name, value in expected.items())
    assert loss.total.item() == pytest.approx(total, rel=1e-5)
    loss = cass.rejection_loss(module, {**batch(), **loss.carry}, tensors(module, **{"cross.b_to_a": 0.3}), {})
    own = (entropy(a, False) + entropy(0.5, True)) / 2, (entropy(-b, False) + entropy(-1.5, True)) / 2
    assert [loss.parts[f"discriminator/{s}"].item() for s in "ab"] == pytest.approx(own, rel=1e-5)
    crossed = 0.3 * entropy(b, False) + 0.1 * entropy(-a, False)
    assert loss.total.item() == pytest.approx(sum(own) + crossed, rel=1e-5)


@pytest.mark.parametrize("weight", ["l1_weight", "feature_weight", "gan_weight", "code_weight"])
def test_the_adversarial_term_is_the_decoders_alone_and_the_divergence_the_encoders(weight):
    module = separator()
    random = module.noise(batch(), torch.Generator().manual_seed(0))
    weights = {f"{name}_weight": 0.0 for name in ("l1", "feature", "gan", "code")}
    loss = cass.variational_loss(module, batch(), tensors(module, **{**weights, weight: 1.0}), random)
    loss.total.backward()
    reached = [
        any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
        for part in (module.encoders, module.decoders)
    ]
    assert reached == [weight != "gan_weight", weight != "code_weight"]


def test_nothing_leaks_between_the_phases():
    module = separator()
    random = module.noise(batch(), torch.Generator().manual_seed(0))
    first = cass.variational_loss(module, batch(), tensors(module), random)
    second = cass.rejection_loss(module, {**batch(), **first.carry}, tensors(module), {})
    own = [*module.encoders.parameters(), *module.decoders.parameters()]
    assert all(g is None for g in torch.autograd.grad(second.total, own, allow_unused=True))


def test_masks_of_one_give_back_the_mixture_at_any_length_and_level():
    module = separator()
    module.masks = lambda magnitudes: [torch.ones_like(magnitudes), 0.25 * torch.ones_like(magnitudes)]
    for length, gain in ((96, 1.0), (16, 1e-3), (1000, 1e3)):
        mixture = gain * torch.randn(2, 1, length, generator=torch.Generator().manual_seed(0))
        estimates = module.separate(mixture)
        torch.testing.assert_close(estimates[:, 0], mixture, rtol=0, atol=1e-5 * gain)
        torch.testing.assert_close(estimates[:, 1], mixture / 4, rtol=0, atol=1e-5 * gain)


def test_every_piece_of_a_long_signal_gets_its_own_mask():
    module = separator()
    hop, frames = module.spectrogram.hop, module.frames
    assert frames == 8
    whole = torch.randn(1, 1, 3 * frames * hop, generator=torch.Generator().manual_seed(0))
    pieces = module.magnitudes(whole).unflatten(-1, (3, frames))
    masks = [torch.cat([module.masks(pieces[..., k, :])[i] for k in range(3)], -1) for i in range(2)]
    for i, mask in enumerate(masks):
        expected = module.spectrogram.inverse(mask * module.spectrogram.transform(whole), whole.shape[-1])
        torch.testing.assert_close(module.separate(whole)[:, i], expected, rtol=0, atol=1e-5)


def test_published_configuration_is_known_by_name_to_studies_and_in_their_records():
    study = StudySpec(name="s", separator="cass:published", task="ecg", space={})
    study.check()
    assert study.separator == cass.PUBLISHED == registry.config("sepray.separators", "cass:published")
    assert StudySpec.restored(study.plain()).separator == cass.PUBLISHED
    assert (study.model_name, key(study.separator)) == ("cass-ecg", "cass")
    config = cass.PUBLISHED
    assert (config.n_fft, config.hop, config.width, config.stages, config.dense, config.code) == (
        *(1024, 768, 32, 5, 1024, 100),
    )
    assert (config.batch_size, config.betas) == (4, (0.5, 0.999))


def test_a_comparison_takes_a_named_configuration_for_a_separator_of_its_own():
    spaces = {"cass_published_debug": (space.SPACE, space.PAPER), "cass": ({}, {})}
    found = contender("cass:published_debug", Comparison(), spaces, SIGNAL)
    assert (found.key, found.config) == ("cass-published_debug", cass.PUBLISHED_DEBUG)
    assert found.system.startswith("cass:published_debug")
    assert found.points["authors' code"] == separator().hyperparameters()
    with pytest.raises(UsageError, match="cass has no published setting 'publish'"):
        contender("cass:publish", Comparison(), spaces, SIGNAL)


def test_search_space_has_every_hyperparameter_and_holds_the_authors_settings():
    defaults = separator().hyperparameters()
    expanded = {"cross.{i}_to_{j}" if name.startswith("cross.") else name: v for name, v in defaults.items()}
    assert set(space.SPACE) == set(expanded)
    assert space.PAPER["authors' code"] == expanded


def test_separates_notes_from_bursts_in_a_few_epochs():
    data = notes_and_bursts(64, 32)
    run = trained(cass.PUBLISHED_SMALL, FAST, 3, 0, data)
    assert improvement(run.separator.separate, data) > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_is_3_db_better_than_the_mixture(seed):
    data = notes_and_bursts()
    run = trained(cass.PUBLISHED_SMALL, FAST, 6, seed, data)
    assert improvement(run.separator.separate, data) > 3
