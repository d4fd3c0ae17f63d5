"""CASS with losses of logarithmic magnitudes: who learns from which of them, masks, lengths, old studies."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from search_spaces import cass_logarithmic as space
from sepray import identity, registry
from sepray.comparison import separators_flag
from sepray.comparison.contenders import contender
from sepray.comparison.spec import Comparison
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.separators import cass_logarithmic
from sepray.spec.flags import parse, parse_early
from sepray.spec.study import StudySpec, key
from sepray.tracking.sources import collect
from sepray.training.trainer import build

from .separation import improvement, notes_and_bursts, trained

SIGNAL = Signal(("a", "b"), 1, (96,), 8.0)
FAST = {"autoencoder_learning_rate": 2e-3}


def separator(seed: int = 0) -> cass_logarithmic.LogarithmicCass:
    return build(cass_logarithmic.DEBUG, SIGNAL, seed)


def batch() -> dict[str, torch.Tensor]:
    sources = torch.randn(5, 2, 1, 96, generator=torch.Generator().manual_seed(0))
    return {"mixture": sources.sum(1), "sources": sources}


def tensors(module: cass_logarithmic.LogarithmicCass, **changes: float) -> dict[str, torch.Tensor]:
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
        return self.judge(image)[0]

    def judge(self, image):
        mean = image.mean(dim=(1, 2, 3))
        return self.values[0] * mean, self.values[1] * mean


def stand_in() -> tuple[cass_logarithmic.LogarithmicCass, torch.Tensor]:
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


def test_lost_workers_are_those_worked_out_by_hand():
    module, noise = stand_in()
    loss = cass_logarithmic.variational_loss(module, batch(), tensors(module), {"noise": noise})
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
    loss = cass_logarithmic.rejection_loss(
        module, {**batch(), **loss.carry}, tensors(module, **{"cross.b_to_a": 0.3}), {}
    )
    own = (entropy(a, False) + entropy(0.5, True)) / 2, (entropy(-b, False) + entropy(-1.5, True)) / 2
    assert [loss.parts[f"discriminator/{s}"].item() for s in "ab"] == pytest.approx(own, rel=1e-5)
    crossed = 0.3 * entropy(b, False) + 0.1 * entropy(-a, False)
    assert loss.total.item() == pytest.approx(sum(own) + crossed, rel=1e-5)


@pytest.mark.parametrize("weight", ["l1_weight", "feature_weight", "gan_weight", "code_weight"])
def test_the_adversarial_term_is_the_decoders_alone_and_the_divergence_the_encoders(weight):
    module = separator()
    random = module.noise(batch(), torch.Generator().manual_seed(0))
    weights = {f"{name}_weight": 0.0 for name in ("l1", "feature", "gan", "code")}
    loss = cass_logarithmic.variational_loss(module, batch(), tensors(module, **{**weights, weight: 1.0}), random)
    loss.total.backward()
    reached = [
        any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
        for part in (module.encoders, module.decoders)
    ]
    assert reached == [weight != "gan_weight", weight != "code_weight"]


def test_nothing_leaks_between_the_phases():
    module = separator()
    random = module.noise(batch(), torch.Generator().manual_seed(0))
    first = cass_logarithmic.variational_loss(module, batch(), tensors(module), random)
    second = cass_logarithmic.rejection_loss(module, {**batch(), **first.carry}, tensors(module), {})
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


def test_configuration_is_known_by_name_to_studies_and_in_their_records():
    study = StudySpec(name="s", separator="cass:logarithmic", task="ecg", space={})
    study.check()
    config = cass_logarithmic.Config()
    assert study.separator == config == registry.config("sepray.separators", "cass:logarithmic")
    assert StudySpec.restored(study.plain()).separator == config
    assert (study.model_name, key(study.separator)) == ("cass-ecg", "cass")
    assert (config.n_fft, config.hop, config.width, config.stages, config.dense, config.code) == (
        *(1024, 768, 32, 5, 1024, 100),
    )
    assert (config.batch_size, config.betas) == (4, (0.5, 0.999))


# Digests of studies' fingerprints, and their stored configurations, from when cass:logarithmic was a Config of cass.
FORMER = {
    "cass": "7920b58ba0a63247ed276a82eb746b763a5c01fb5526a3f8918ff7a96960dcf2",
    "cass:small": "8dc6c1c6ad109c5f14a6eb3c2a73c777cfc98992cea36fc5417df14cf4f28b68",
    "cass:logarithmic": "891c8276a79c00eb22241d552ff84ef4e14adc2f40c6cb9c3dcabf8addcefe32",
    "cass:logarithmic_small": "2c22e0b928747a13dc1bfacabe3873b62dec06e9952d16a57012125095884dd6",
    "cass:logarithmic_debug": "35f0f6d7a9fdaafd1b2516db790eb61f3d6054c79e80997414951bc7d98ed0ca",
}
STORED = {
    "cass": {
        "batch_size": 50,
        "betas": [0.9, 0.999],
        "code": 100,
        "dense": 1024,
        "depth": 4,
        "discriminator_stages": 3,
        "discriminator_width": 8,
        "hop": 7,
        "n_fft": 14,
        "precision": "auto",
        "representation": "complex",
        "stages": 1,
        "variant": "paper",
        "width": 16,
    },
    "cass:logarithmic_small": {
        "batch_size": 16,
        "betas": [0.5, 0.999],
        "code": 32,
        "dense": 128,
        "depth": 4,
        "discriminator_stages": 3,
        "discriminator_width": 8,
        "hop": 64,
        "n_fft": 256,
        "precision": "float32",
        "representation": "magnitude",
        "stages": 3,
        "variant": "published",
        "width": 8,
    },
}


@pytest.mark.parametrize("name", FORMER)
def test_studies_begun_before_the_file_was_split_have_the_same_fingerprint(name):
    config = registry.config("sepray.separators", name)
    assert identity.digest({"name": key(config), "config": config}) == FORMER[name]


@pytest.mark.parametrize("name", STORED)
def test_stored_specs_stay_what_they_were_and_are_restored(name):
    study = StudySpec(name="s", separator=name, task="ecg", space={})
    stored = {"module": "sepray.separators.cass", "config": STORED[name]}
    assert study.plain()["separator"] == stored
    assert StudySpec.restored({**study.plain(), "separator": stored}).separator == study.separator


def test_flags_set_fields_and_refuse_those_of_the_papers_separator():
    study = StudySpec(name="s", separator="cass:logarithmic_small", task="ecg", space={})
    changed = parse(study, ["--separator.dense", "64", "--trials", "3"])
    assert changed.separator == dataclasses.replace(cass_logarithmic.SMALL, dense=64)
    with pytest.raises(UsageError, match=r"--separator\.depth"):
        parse(study, ["--separator.depth", "2"])
    fields = {field.name for field in dataclasses.fields(cass_logarithmic.Config)}
    assert registry.fields("sepray.separators", "cass:logarithmic_small") == fields
    early = parse_early(dataclasses.replace(study, name="t"), ["--separator.dense", "64"])
    assert early is not None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dense", 0, "dense must be at least 1, not 0"),
        ("code", 0, "code must be at least 1, not 0"),
        ("stages", 0, "stages must be at least 1, not 0"),
        ("betas", (0.5, 1.0), r"betas must be at least 0 and below 1, not \(0.5, 1.0\)"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        cass_logarithmic.Config(**{field: value})


def test_registered_models_of_either_separator_ship_no_file_of_the_other():
    paper, own_files = (set(collect(f"sepray.separators.{name}")) for name in ("cass", "cass_logarithmic"))
    own = {f"sepray.{name}" for name in ("contracts", "errors", "secrecy", "secret_forms", "signals.stft")}
    own |= {f"sepray.networks.{name}" for name in ("checks", "cross_adversarial", "levels", "normalisation")}
    alone = ("networks.adversaries", "networks.residual", "networks.spectral_norm", "processor", "separators.cass")
    alone += ("signals.template", "signals.template_input")
    assert paper == own | {f"sepray.{name}" for name in alone}
    assert own_files == own | {"sepray.separators.cass_logarithmic", "sepray.networks.variational"}


def test_a_comparison_takes_a_named_configuration_for_a_separator_of_its_own():
    spaces = {"cass_logarithmic_debug": (space.SPACE, {}), "cass": ({}, {})}
    found = contender(separators_flag.read("cass:logarithmic_debug"), Comparison(), spaces, SIGNAL)
    assert (found.key, found.config) == ("cass-logarithmic_debug", cass_logarithmic.DEBUG)
    assert found.system.startswith("cass:logarithmic_debug")
    changed = contender(
        separators_flag.read("cass:logarithmic_debug"), Comparison(settings=("cass.dense=7",)), spaces, SIGNAL
    )
    assert changed.config == dataclasses.replace(cass_logarithmic.DEBUG, dense=7)
    with pytest.raises(UsageError, match="cass has no published setting 'publish'"):
        contender(separators_flag.read("cass:publish"), Comparison(), spaces, SIGNAL)


def test_search_space_has_every_hyperparameter():
    names = {"cross.{i}_to_{j}" if name.startswith("cross.") else name for name in separator().hyperparameters()}
    assert set(space.SPACE) == names


@pytest.mark.slow
def test_separates_notes_from_bursts_in_a_few_epochs():
    data = notes_and_bursts(64, 32)
    run = trained(cass_logarithmic.SMALL, FAST, 3, 0, data)
    assert improvement(run.separator.separate, data) > 1  # 2.3 to 2.7 dB, seeds 0 to 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_is_3_db_better_than_the_mixture(seed):
    data = notes_and_bursts()
    run = trained(cass_logarithmic.SMALL, FAST, 6, seed, data)
    assert improvement(run.separator.separate, data) > 3
