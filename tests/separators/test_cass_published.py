"""The CASS authors' code: its losses by hand, what it is trained on, who learns from what, statistics, old studies."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from search_spaces import cass_published as space
from sepray import registry
from sepray.comparison import separators_flag
from sepray.comparison.contenders import contender
from sepray.comparison.spec import Comparison
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators import cass_published
from sepray.separators.cass_published import LEVEL
from sepray.spec.flags import parse
from sepray.spec.study import StudySpec
from sepray.tracking.sources import collect
from sepray.training.trainer import build

from .separation import improvement, notes_and_bursts, trained

SIGNAL = Signal(("a", "b"), 1, (96,), 8.0)
FAST = {"autoencoder_learning_rate": 2e-3}


def separator(seed: int = 0, **changes: object) -> cass_published.MaskCass:
    return build(dataclasses.replace(cass_published.DEBUG, **changes), SIGNAL, seed)


def batch() -> dict[str, torch.Tensor]:
    sources = torch.randn(5, 2, 1, 96, generator=torch.Generator().manual_seed(0))
    return {"mixture": sources.sum(1), "sources": sources}


def tensors(module: cass_published.MaskCass, **changes: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in {**module.hyperparameters(), **changes}.items()}


def noise(module: cass_published.MaskCass) -> dict[str, torch.Tensor]:
    return module.noise(batch(), torch.Generator().manual_seed(0))


class Constant(nn.Module):
    """Stands in for a network."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = nn.ParameterList(torch.tensor(value) for value in values)


class Code(Constant):
    def forward(self, image):
        self.image = image
        return tuple(value.expand(len(image), 3) for value in self.values)


class Mask(Constant):
    """A mask that is the mean of the code times a gain."""

    def decode(self, batches):
        return tuple(self(code) for code in batches)

    def forward(self, code):
        return (code.mean(-1) * self.values[0])[:, None, None, None]


class Critic(Constant):
    """A logit and a feature that are gains times the image's mean; it counts what it is shown together."""

    def features(self, batches):
        self.shown = [image.mean().item() for image in batches]
        return tuple(self.values[1] * image.mean(dim=(1, 2, 3)) for image in batches)

    def judge(self, features):
        return [self.values[0] / self.values[1] * values for values in features]


def stand_in(**changes: object) -> cass_published.MaskCass:
    """Constant magnitudes of two sources, 0.5 and 1.5, and of their mixture, 1."""
    module = separator(**changes)
    module.encoders = nn.ModuleList([Code(0.5, 2 * math.log(0.25)), Code(0.25, 2 * math.log(0.5))])
    module.decoders = nn.ModuleList([Mask(1.0), Mask(2.0)])
    module.discriminators = nn.ModuleList([Critic(1.0, 2.0), Critic(-1.0, 3.0)])
    true = torch.tensor([0.5, 1.5])[None, :, None, None, None].expand(5, 2, 1, 4, 4)
    module.true_magnitudes = lambda mixture, sources: true
    module.magnitudes = lambda mixture: torch.ones(5, 1, 4, 4)
    return module


def entropy(logit: float, real: bool) -> float:
    return math.log(1 + math.exp(-logit if real else logit))


@pytest.mark.parametrize(("trained_on", "given"), [("summed", 2.0), ("mixture", 1.0)])
def test_lost_workers_are_those_worked_out_by_hand(trained_on, given):
    module = stand_in(trained_on=trained_on)
    loss = cass_published.variational_loss(module, batch(), tensors(module), {"noise": torch.ones(5, 2, 3)})
    assert module.encoders[0].image.unique().item() == pytest.approx(math.log(1 + given))
    # Codes are 0.5 + 0.25 and 0.25 + 0.5, so masks 0.75 and 1.5, of magnitudes that are summed (2) or the mixture's.
    a, b = 0.75 * given, 1.5 * given
    log = math.log1p
    expected = {
        "l1/a": abs(a - 0.5),
        "l1/b": abs(b - 1.5),
        "feature/a": 2 * abs(log(a) - log(0.5)),
        "feature/b": 3 * abs(log(b) - log(1.5)),
        "gan/a": entropy(log(a), True),
        "gan/b": entropy(-log(b), True),
        "code/a": 0.5 * (0.25 + 1 / 16 - 1 - 2 * math.log(0.25)),
        "code/b": 0.5 * (1 / 16 + 0.25 - 1 - 2 * math.log(0.5)),
    }
    assert {name: value.item() for name, value in loss.parts.items()} == pytest.approx(expected, rel=1e-4)
    weights = {"l1": 5.0, "feature": 1.0, "gan": 0.1, "code": 0.01}
    total = sum(weights[name.partition("/")[0]] * value for name, value in expected.items())
    assert loss.total.item() == pytest.approx(total, rel=1e-5)

    loss = cass_published.rejection_loss(
        module, {**batch(), **loss.carry}, tensors(module, **{"cross.b_to_a": 0.3}), {}
    )
    assert module.discriminators[0].shown == pytest.approx([log(a), log(0.5), log(b)])
    own = (
        (entropy(log(a), False) + entropy(log(0.5), True)) / 2,
        (entropy(-log(b), False) + entropy(-log(1.5), True)) / 2,
    )
    assert [loss.parts[f"discriminator/{s}"].item() for s in "ab"] == pytest.approx(own, rel=1e-5)
    crossed = 0.3 * entropy(log(b), False) + 0.1 * entropy(-log(a), False)
    assert loss.total.item() == pytest.approx(sum(own) + crossed, rel=1e-5)


@pytest.mark.parametrize("weight", ["l1_weight", "feature_weight", "gan_weight", "code_weight"])
def test_the_adversarial_term_is_the_decoders_alone_and_the_divergence_the_encoders(weight):
    module = separator()
    weights = {f"{name}_weight": 0.0 for name in ("l1", "feature", "gan", "code")}
    loss = cass_published.variational_loss(module, batch(), tensors(module, **{**weights, weight: 1.0}), noise(module))
    loss.total.backward()
    reached = [
        any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
        for part in (module.encoders, module.decoders)
    ]
    assert reached == [weight != "gan_weight", weight != "code_weight"]


def test_nothing_leaks_between_the_phases():
    module = separator()
    first = cass_published.variational_loss(module, batch(), tensors(module), noise(module))
    second = cass_published.rejection_loss(module, {**batch(), **first.carry}, tensors(module), {})
    own = [*module.encoders.parameters(), *module.decoders.parameters()]
    assert all(g is None for g in torch.autograd.grad(second.total, own, allow_unused=True))


def test_summed_magnitudes_are_those_of_the_sources_at_the_mixtures_level():
    module, given = separator(), batch()
    true = module.true_magnitudes(given["mixture"], given["sources"])
    gain = LEVEL / given["mixture"].square().mean((1, 2)).sqrt()
    expected = module.spectrogram.transform(gain[:, None, None, None] * given["sources"]).abs()
    torch.testing.assert_close(true, expected, rtol=1e-4, atol=1e-6)
    assert (true.sum(1) >= module.magnitudes(given["mixture"]) - 1e-4).all()  # the triangle's inequality
    louder = module.true_magnitudes(1000 * given["mixture"], 1000 * given["sources"])
    torch.testing.assert_close(louder, true, rtol=1e-4, atol=1e-6)


def test_kinds_of_images_are_judged_each_by_its_own_statistics():
    critic = separator().discriminators[0]
    quiet, loud = (torch.rand(4, 1, 9, 8, generator=torch.Generator().manual_seed(k)) for k in range(2))
    together = critic.judge(critic.features([quiet, 10 * loud]))
    for found, images in zip(together, (quiet, 10 * loud), strict=True):
        torch.testing.assert_close(found, critic(images), rtol=1e-4, atol=1e-5)
    assert (critic(torch.cat([quiet, 10 * loud]))[:4] - together[0]).abs().max() > 0.01


def test_training_keeps_statistics_and_separation_takes_them_for_each_item_alone():
    module = separator()
    loss = cass_published.variational_loss(module, batch(), tensors(module), noise(module))
    names = {name for name, _ in module.named_buffers() if name.endswith((".mean", ".variance"))}
    assert set(loss.kept) == names
    assert {name.partition(".")[0] for name in names} == {"encoders", "decoders"}
    mixture = batch()["mixture"]
    before = module.separate(mixture)
    for name, value in loss.kept.items():
        module.get_buffer(name).copy_(value)
    after = module.separate(mixture)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(module.separate(mixture[:1]), after[:1], rtol=1e-4, atol=1e-5)
    assert torch.equal(module.eval().separate(mixture), after)


def test_masks_of_one_give_back_the_mixture_at_any_length_and_level():
    module = separator()
    module.masks = lambda magnitudes: [torch.ones_like(magnitudes), 0.25 * torch.ones_like(magnitudes)]
    for length, gain in ((96, 1.0), (16, 1e-3), (1000, 1e3)):
        mixture = gain * torch.randn(2, 1, length, generator=torch.Generator().manual_seed(0))
        estimates = module.separate(mixture)
        torch.testing.assert_close(estimates[:, 0], mixture, rtol=0, atol=1e-5 * gain)
        torch.testing.assert_close(estimates[:, 1], mixture / 4, rtol=0, atol=1e-5 * gain)


def test_configuration_is_the_authors_and_is_stored_under_another_name_than_what_was_called_so():
    study = StudySpec(name="s", separator="cass:published", task="ecg", space={})
    study.check()
    config = study.separator
    assert (config.n_fft, config.hop, config.width, config.stages, config.dense, config.code) == (
        *(1024, 768, 32, 5, 1024, 100),
    )
    assert (config.batch_size, config.betas, config.trained_on) == (4, (0.5, 0.999), "summed")
    stored = study.plain()["separator"]
    assert (stored["module"], stored["config"]["variant"]) == ("sepray.separators.cass", "published_code")
    assert StudySpec.restored(study.plain()).separator == config
    mixture = registry.config("sepray.separators", "cass:published_mixture")
    assert mixture == dataclasses.replace(config, trained_on="mixture")
    changed = parse(study, ["--separator.dense", "64", "--separator.trained-on", "mixture"])
    assert changed.separator == dataclasses.replace(mixture, dense=64)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dense", 0, "dense must be at least 1, not 0"),
        ("trained_on", "sum", "trained_on must be one of summed, mixture, not 'sum'"),
        ("batch_size", 1, "batch_size must be at least 2: batches are normalised"),
        ("betas", (0.5, 1.0), r"betas must be at least 0 and below 1, not \(0.5, 1.0\)"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        cass_published.Config(**{field: value})


def test_registered_models_ship_no_file_of_the_other_separators():
    own = {
        f"sepray.{name}"
        for name in ("contracts", "errors", "secrecy", "secret_forms", "signals.stft", "separators.cass_published")
    }
    networks = ["batch_norm", "batch_variational", "checks", "cross_adversarial", "levels"]
    networks += ["normalisation", "variational"]
    assert set(collect("sepray.separators.cass_published")) == own | {f"sepray.networks.{name}" for name in networks}


def test_a_comparison_takes_a_named_configuration_for_a_separator_of_its_own():
    spaces = {"cass_published_debug": (space.SPACE, space.PAPER), "cass": ({}, {})}
    found = contender(separators_flag.read("cass:published_debug"), Comparison(), spaces, SIGNAL)
    assert (found.key, found.config) == ("cass-published_debug", cass_published.DEBUG)
    assert found.points["authors' code"] == separator().hyperparameters()


def test_search_space_has_every_hyperparameter_and_holds_the_authors_settings():
    defaults = separator().hyperparameters()
    expanded = {"cross.{i}_to_{j}" if name.startswith("cross.") else name: v for name, v in defaults.items()}
    assert set(space.SPACE) == set(expanded)
    assert space.PAPER["authors' code"] == expanded


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    data = notes_and_bursts()
    run = trained(cass_published.SMALL, FAST, 6, seed, data)
    assert improvement(run.separator.separate, data) > 3
