"""What every separator keeps, in its DEBUG configuration; a module of sepray.separators is enrolled by being there."""

import dataclasses
import math
import time
import warnings

import pytest
import torch

from sepray import registry
from sepray.contracts import Separator, Signal, Split
from sepray.training import NonFiniteLossError, Trainer, build, phase_gradients, phase_parameters, view

SIGNAL = Signal(("low", "high"), 1, (256,), 128.0)
NAMES = registry.names("sepray.separators")
pytestmark = pytest.mark.parametrize("name", NAMES)


def split(items: int = 32) -> Split:
    """Slow and fast saw teeth of random phase and amplitude, and their sum."""
    generator = torch.Generator().manual_seed(0)
    time_axis = torch.arange(SIGNAL.shape[0]) / 128.0
    phase, gain = torch.rand(2, items, 2, 1, 1, generator=generator)
    rate = torch.tensor([1.3, 7.7])[:, None, None]
    sources = (0.5 + gain) * (2 * ((rate * time_axis + phase) % 1.0) - 1) * torch.tensor([1.0, 0.3])[:, None, None]
    return Split(sources.sum(1), sources)


def data(separator: Separator) -> dict[str, torch.Tensor]:
    return view(split(), separator.supervision, torch.Generator().manual_seed(5))


def trainer(name: str, hyperparameters: dict[str, float] | None = None, seed: int = 0) -> Trainer:
    config = registry.find("sepray.separators", name).DEBUG
    separator = build(config, SIGNAL, seed)
    return Trainer(separator, data(separator), hyperparameters or {}, seed, 8, config.betas)


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.separator.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_debug_trains_an_epoch_in_about_a_second_and_from_its_seed_alone(name):
    runs = [trainer(name), trainer(name), trainer(name, seed=1)]
    start = time.process_time()
    parts = [run.epoch() for run in runs]
    assert (time.process_time() - start) / len(runs) < 1.5
    assert parts[0]
    assert all(math.isfinite(value) for value in parts[0].values())
    assert parts[0] == parts[1] != parts[2]
    assert equal(weights(runs[0]), weights(runs[1]))


def test_config_is_frozen_and_has_what_the_platform_reads(name):
    module = registry.find("sepray.separators", name)
    assert isinstance(module.DEBUG, module.Config)
    assert isinstance(module.Config().batch_size, int)
    assert len(module.Config().betas) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        module.DEBUG.batch_size = 1


@pytest.mark.parametrize("length", [256, 255, 100, 1000])
def test_separate_keeps_length_and_gives_every_source_without_gradients(name, length):
    separator = trainer(name).separator
    mixture = torch.randn(3, 1, length, generator=torch.Generator().manual_seed(0))
    estimates = separator.separate(mixture)
    assert estimates.shape == (3, 2, 1, length)
    assert estimates.isfinite().all()
    assert not estimates.requires_grad


def test_training_changes_what_is_separated(name):
    run = trainer(name, {k: 1e-2 for k in trainer(name).hyperparameters if k.endswith("learning_rate")})
    mixture = split().mixture
    before = run.separator.separate(mixture)
    run.epoch()
    assert (run.separator.separate(mixture) - before).abs().max() > 1e-3


def test_every_hyperparameter_is_read(name):
    reference = trainer(name)
    parts = reference.epoch()
    for key, value in reference.hyperparameters.items():
        changed = trainer(name, {key: 0.0 if value else 0.1})
        assert changed.epoch() != parts or not equal(weights(changed), weights(reference)), key


def test_unknown_hyperparameter_is_refused(name):
    with pytest.raises(ValueError, match=r"unknown hyperparameter no_such_name; there are: "):
        trainer(name, {"no_such_name": 1.0})


def test_restored_state_goes_on_bit_for_bit(name):
    run = trainer(name)
    run.epoch()
    tensors, values = run.state()
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    parts = run.epoch()
    other = trainer(name, seed=7)
    other.load_state(tensors, values)
    assert other.epoch() == parts
    assert equal(weights(other), weights(run))


def test_each_phase_touches_its_own_parameters_alone(name):
    rates = {phase.learning_rate for phase in trainer(name).phases}
    for phase in trainer(name).phases:
        run = trainer(name, {rate: 1e-3 if rate == phase.learning_rate else 0.0 for rate in rates})
        own = {
            k for p in run.phases if p.learning_rate == phase.learning_rate for k in phase_parameters(run.separator, p)
        }
        before = {k: p.detach().clone() for k, p in run.separator.named_parameters()}
        run.epoch()
        changed = {k for k, p in run.separator.named_parameters() if not torch.equal(p, before[k])}
        assert changed == own


def test_nan_input_stops_before_a_weight_changes(name):
    run = trainer(name)
    if not run.phases:
        pytest.skip("this method has no phases, so no loss of a phase to stop at")
    before = weights(run)
    run.data = {key: torch.full_like(value, math.nan) for key, value in run.data.items()}
    with pytest.raises(NonFiniteLossError, match=r"is not finite in epoch 0, step 0"):
        run.epoch()
    assert equal(weights(run), before)


def test_three_members_under_vmap_step_as_each_alone(name):
    """Different weights, losses and learning rates; gradients, losses and what a phase carries are compared."""
    runs = [trainer(name, seed=seed) for seed in range(3)]
    settings = [
        {key: value * (1 + 0.5 * k) if value else 0.1 * k for key, value in runs[0].hyperparameters.items()}
        for k in range(3)
    ]
    stack = lambda dicts: {key: torch.stack([d[key] for d in dicts]) for key in dicts[0]}  # noqa: E731
    members = [{key: torch.tensor(value) for key, value in setting.items()} for setting in settings]
    batches = [{key: value[8 * k : 8 * k + 8] for key, value in runs[k].data.items()} for k in range(3)]
    stacked_batch = stack(batches)
    for phase in runs[0].phases:
        random = [phase.draw(batches[k], runs[k].generator) if phase.draw else {} for k in range(3)]
        parameters = stack([dict(run.separator.named_parameters()) for run in runs])
        buffers = stack([dict(run.separator.named_buffers()) for run in runs])

        def step(parameters, buffers, batch, hyperparameters, random, phase=phase):
            gradients, loss = phase_gradients(
                runs[0].separator, phase, parameters, buffers, batch, hyperparameters, random
            )
            updates = {key: g * hyperparameters[phase.learning_rate] for key, g in gradients.items()}
            return updates, loss.total, loss.parts, loss.carry

        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an operation without a batching rule warns
            updates, totals, parts, carry = torch.func.vmap(step)(
                parameters, buffers, stacked_batch, stack(members), stack(random)
            )
        for k, run in enumerate(runs):
            loss = phase.loss(run.separator, batches[k], members[k], random[k])
            own = phase_parameters(run.separator, phase)
            named = dict(run.separator.named_parameters())
            gradients = torch.autograd.grad(loss.total, [named[key] for key in own])
            assert totals[k].item() == pytest.approx(loss.total.item(), rel=1e-4)
            for part, value in loss.parts.items():
                assert parts[part][k].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-6)
            scale = max(g.abs().max().item() for g in gradients) * settings[k][phase.learning_rate]
            assert scale > 0
            for key, gradient in zip(own, gradients, strict=True):
                expected = gradient * settings[k][phase.learning_rate]
                torch.testing.assert_close(updates[key][k], expected, rtol=1e-4, atol=1e-4 * scale)
            batches[k] |= loss.carry
        stacked_batch |= carry
