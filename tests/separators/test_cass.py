"""CASS: equations 7 to 9 against numbers worked out by hand, directions, levels, and what is refused."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from search_spaces import cass as space
from sepray.contracts import Signal, Split, Supervision
from sepray.errors import UsageError
from sepray.separators import cass
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

SOURCES = ("a", "b", "c")


class MeanLogit(nn.Module):
    """A discriminator whose logit is ``gain`` times the mean of the image."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.gain * image.mean(dim=(1, 2, 3))


def stand_in(sources: int, estimates: list[float], targets: list[float], gains: list[float]) -> cass.Cass:
    """A CASS whose estimates and targets are constant images, with stand-in discriminators."""
    separator = build(cass.DEBUG, Signal(SOURCES[:sources], 1, (64,), 8.0), 0)
    separator.discriminators = nn.ModuleList(MeanLogit(gain) for gain in gains)
    separator.estimate = lambda mixture: [torch.full((2, 2, 4, 4), value) for value in estimates]
    separator.targets = lambda mixture, sources: [torch.full((2, 2, 4, 4), value) for value in targets]
    return separator


def losses(separator: cass.Cass, **hyperparameters: float):
    """Return both phases' losses."""
    values = dict.fromkeys(separator.hyperparameters(), 0.0) | {"adversarial": 1.0}
    values |= {name.replace("cross_", "cross."): value for name, value in hyperparameters.items()}
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    batch = {"mixture": torch.zeros(2, 1, 64), "sources": torch.zeros(2, 2, 1, 64)}
    first = cass.autoencoder_loss(separator, batch, tensors, {})
    return first, cass.discriminator_loss(separator, {**batch, **first.carry}, tensors, {})


# Binary cross entropies of probabilities that are easy to write: logit log 3 is 3/4, logit 2 log 3 is 9/10.
L3 = math.log(3)
E0, T0, E1, T1 = L3, 2 * L3, -L3, L3 / 2


def two_sources() -> cass.Cass:
    """D_a gives AE_a 3/4, X_a 9/10 and AE_b 1/4; D_b gives AE_b 1/10, X_b 3/4 and AE_a 9/10."""
    return stand_in(2, [E0, E1], [T0, T1], gains=[1.0, 2.0])


def test_equation_7():
    loss, _ = losses(two_sources(), beta=0.1)
    assert loss.parts["mse/a"].item() == pytest.approx(L3**2)
    assert loss.parts["mse/b"].item() == pytest.approx(2.25 * L3**2)
    assert loss.parts["adversarial/a"].item() == pytest.approx(-math.log(3 / 4))
    assert loss.parts["adversarial/b"].item() == pytest.approx(-math.log(1 / 10))
    expected = 0.9 * 3.25 * L3**2 + 0.1 * (-math.log(3 / 4) - math.log(1 / 10))
    assert loss.total.item() == pytest.approx(expected)


def test_without_adversary_equation_7_is_the_squared_error():
    loss, _ = losses(two_sources(), beta=0.1, adversarial=0.0)
    assert loss.total.item() == pytest.approx(3.25 * L3**2)


def test_equation_8():
    _, loss = losses(two_sources())
    assert loss.parts["discriminator/a"].item() == pytest.approx(-math.log(1 / 4) - math.log(9 / 10))
    assert loss.parts["discriminator/b"].item() == pytest.approx(-math.log(9 / 10) - math.log(3 / 4))
    assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()))


@pytest.mark.parametrize(
    ("direction", "rejection"),
    [("cross_a_to_b", -math.log(1 / 10)), ("cross_b_to_a", -math.log(3 / 4))],
)
def test_equation_9_shows_the_estimate_of_the_first_source_to_the_discriminator_of_the_second(direction, rejection):
    _, plain = losses(two_sources())
    _, crossed = losses(two_sources(), **{direction: 0.3})
    assert (crossed.total - plain.total).item() == pytest.approx(0.3 * rejection, rel=1e-5)


def test_equation_9_sums_over_all_other_sources_of_three():
    estimates, gains = [0.5, -1.0, 2.0], [1.0, -0.5, 0.25]
    separator = stand_in(3, estimates, [0.0, 0.0, 0.0], gains)
    weights = {f"cross_{SOURCES[i]}_to_{SOURCES[j]}": 0.1 * i + 0.2 * j for i, j in itertools.permutations(range(3), 2)}
    assert {name.replace("cross_", "cross.") for name in weights} <= set(separator.hyperparameters())
    _, plain = losses(separator)
    _, crossed = losses(separator, **weights)
    softplus = lambda logit: math.log(1 + math.exp(logit))  # noqa: E731
    expected = sum(
        (0.1 * i + 0.2 * j) * softplus(gains[j] * estimates[i]) for i, j in itertools.permutations(range(3), 2)
    )
    assert (crossed.total - plain.total).item() == pytest.approx(expected, rel=1e-5)


def test_defaults_are_the_papers():
    separator = build(cass.DEBUG, Signal(("maternal", "fetal"), 1, (64,), 8.0), 0)
    assert separator.hyperparameters() == {
        "adversarial": 1.0,
        "beta": 0.1,
        "autoencoder_learning_rate": 1e-5,
        "discriminator_learning_rate": 1e-6,
        "cross.maternal_to_fetal": 0.01,
        "cross.fetal_to_maternal": 0.01,
    }
    config = cass.Config()
    assert 2 * config.depth + 1 == 9


def test_search_space_has_every_hyperparameter_and_holds_the_papers_settings():
    names = build(cass.DEBUG, Signal(("a", "b"), 1, (64,), 8.0), 0).hyperparameters()
    template = {"cross.{i}_to_{j}" if name.startswith("cross.") else name for name in names}
    assert set(space.SPACE) == template - {"adversarial"}  # which the arms decide
    assert space.PAPER["baseline autoencoder"]["adversarial"] == 0
    assert space.PAPER["CASS"]["cross.{i}_to_{j}"] == 0
    assert space.PAPER["CASS with cross adversarial training"] == {
        "cross.{i}_to_{j}" if name.startswith("cross.") else name: value for name, value in names.items()
    }
    for settings in space.PAPER.values():
        assert set(settings) == template
        for name, distribution in space.SPACE.items():
            value = settings[name]
            assert distribution._contains(distribution.to_internal_repr(value))


def split(sources: int = 2, items: int = 16) -> Split:
    generator = torch.Generator().manual_seed(0)
    gains = torch.tensor([1.0, 0.1, 0.3])[:sources, None, None]
    tones = torch.sin(torch.rand(items, sources, 1, 1, generator=generator) * torch.arange(128))
    return Split((tones * gains).sum(1), tones * gains)


def trainer(hyperparameters: dict[str, float], sources: int = 2, **config: object) -> Trainer:
    resolved = dataclasses.replace(cass.DEBUG, **config)
    separator = build(resolved, Signal(SOURCES[:sources], 1, (128,), 8.0), 0)
    data = view(split(sources), Supervision.PAIRED, torch.Generator())
    return Trainer(separator, data, hyperparameters, 0, 4, resolved.betas)


FAST = {"autoencoder_learning_rate": 1e-2, "discriminator_learning_rate": 1e-2}


def test_golden_losses_of_three_seeded_epochs():
    run = trainer({**FAST, "cross.a_to_b": 0.5})
    parts = [run.epoch() for _ in range(3)]
    names = [f"{part}/{source}" for source in "ab" for part in ("mse", "adversarial", "discriminator")]
    golden = [
        [1.05915, 0.48896, 1.40869, 1.08127, 0.76256, 1.41093],
        [0.86232, 0.48314, 1.41770, 1.00597, 0.76579, 1.41024],
        [0.76526, 0.47765, 1.43201, 0.97307, 0.78548, 1.40212],
    ]
    for epoch, expected in zip(parts, golden, strict=True):
        assert epoch == pytest.approx(dict(zip(names, expected, strict=True)), rel=2e-3)


def test_bfloat16_trains_float32_weights_to_nearly_the_same_losses():
    expected, run = trainer(FAST).epoch(), trainer(FAST, precision="bfloat16")
    parts = run.epoch()
    assert parts == pytest.approx(expected, rel=0.05)
    assert parts != expected
    assert {tensor.dtype for tensor in run.separator.state_dict().values()} == {torch.float32}
    assert run.separator.separate(split().mixture).dtype == torch.float32


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, False),
        ({}, False),
        (None, False),  # a torch that cannot tell
    ],
)
def test_bfloat16_is_native_with_either_instruction_set(monkeypatch, capabilities, native):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    if capabilities is not None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert cass._native_bfloat16.__wrapped__() is native


@pytest.mark.parametrize(
    ("precision", "native", "device", "enabled"),
    [
        ("auto", True, "cpu", True),
        ("auto", False, "cpu", False),
        ("auto", True, "cuda", False),
        ("float32", True, "cpu", False),
        ("bfloat16", False, "cpu", True),
    ],
)
def test_precision_says_where_networks_run_in_bfloat16(monkeypatch, precision, native, device, enabled):
    separator = build(dataclasses.replace(cass.DEBUG, precision=precision), Signal(("a", "b"), 1, (64,), 8.0), 0)
    monkeypatch.setattr(cass, "_native_bfloat16", lambda: native)
    monkeypatch.setattr(torch, "autocast", lambda *kind, enabled: (*kind, enabled))
    assert separator.autocast(torch.device(device)) == (device, torch.bfloat16, enabled)


def test_three_sources_and_magnitudes_train():
    run = trainer({**FAST, "adversarial": 0}, sources=3, representation="magnitude")
    first = run.epoch()
    for _ in range(7):
        last = run.epoch()
    assert all(last[f"mse/{source}"] < 0.8 * first[f"mse/{source}"] for source in SOURCES)
    assert run.separator.separate(split(3).mixture).shape == (16, 3, 1, 128)


def test_no_gradient_leaks_between_the_phases():
    run = trainer(FAST)
    separator = run.separator
    tensors = {name: torch.tensor(value) for name, value in run.hyperparameters.items()}
    batch = dict(run.data)
    first = cass.autoencoder_loss(separator, batch, tensors, {})
    assert not any(tensor.requires_grad for tensor in first.carry.values())
    second = cass.discriminator_loss(separator, {**batch, **first.carry}, tensors, {})
    autoencoders = [*separator.encoders.parameters(), *separator.decoders.parameters()]
    assert all(g is None for g in torch.autograd.grad(second.total, autoencoders, allow_unused=True))
    run.epoch()
    run.set_hyperparameters({**FAST, "discriminator_learning_rate": 0.0})
    before = [p.clone() for p in separator.discriminators.parameters()]
    run.epoch()
    assert all(torch.equal(a, b) for a, b in zip(before, separator.discriminators.parameters(), strict=True))


def test_carried_estimates_are_those_of_the_forward_pass():
    run = trainer(FAST)
    tensors = {name: torch.tensor(value) for name, value in run.hyperparameters.items()}
    carry = cass.autoencoder_loss(run.separator, run.data, tensors, {}).carry
    torch.testing.assert_close(carry["estimates"], torch.stack(run.separator.estimate(run.data["mixture"]), 1))


def test_plain_autoencoders_leave_the_discriminators_alone():
    run = trainer({**FAST, "adversarial": 0, "beta": 0.5})
    before = [p.clone() for p in run.separator.discriminators.parameters()]
    parts = run.epoch()
    assert set(parts) == {"mse/a", "mse/b"}
    assert all(torch.equal(a, b) for a, b in zip(before, run.separator.discriminators.parameters(), strict=True))
    other = trainer({**FAST, "adversarial": 0, "beta": 0.01})
    assert other.epoch() == parts


def test_every_target_has_unit_power_however_quiet_its_source():
    run = trainer({})
    targets = run.separator.targets(run.data["mixture"], run.data["sources"])
    assert [t.square().mean().item() for t in targets] == pytest.approx([1.0, 1.0], rel=1e-5)
    scale = run.separator.source_scale
    assert (scale[0] / scale[1]).item() == pytest.approx(10, rel=0.1)


def test_perfect_networks_give_back_the_sources():
    run = trainer({})
    separator, data = run.separator, run.data
    separator.estimate = lambda mixture: separator.targets(mixture, data["sources"])
    torch.testing.assert_close(separator.separate(data["mixture"]), data["sources"], rtol=0, atol=1e-5)


def test_a_louder_mixture_gives_louder_estimates_of_the_same_form():
    run = trainer(FAST)
    run.epoch()
    mixture = split().mixture
    torch.testing.assert_close(
        run.separator.separate(1000 * mixture), 1000 * run.separator.separate(mixture), rtol=1e-3, atol=1e-2
    )
    assert run.separator.separate(torch.zeros(1, 1, 128)).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("width", 0, "width must be at least 1, not 0"),
        ("stages", 5, "stages must be at most depth = 4, not 5"),
        ("precision", "half", "precision must be one of auto, float32, bfloat16, not 'half'"),
        ("betas", (0.9, 1.0), r"betas must be at least 0 and below 1, not \(0.9, 1.0\)"),
    ],
)
def test_bad_config_is_refused_in_one_line(field, value, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        cass.Config(**{field: value})
