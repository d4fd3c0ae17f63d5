"""Rules of CycleGAN and S-SepGAN: phases that keep apart, the notebook's settings, discriminators that can rest."""

import pytest
import torch

from search_spaces import cyclegan as cyclegan_space
from search_spaces import sepgan as sepgan_space
from sepray.separators import cyclegan, sepgan

from .waveforms import copied, losses_of_both_phases, same, trainer

GENERATORS = {cyclegan: ("generators", "remixers"), sepgan: ("generators",)}
DISCRIMINATORS = {cyclegan: ("discriminators", "mixture_discriminators"), sepgan: ("discriminators",)}
SPACES = {cyclegan: (cyclegan_space, "CycleGAN"), sepgan: (sepgan_space, "S-SepGAN")}
either = pytest.mark.parametrize("module", GENERATORS, ids=["cyclegan", "sepgan"])


def parameters(run, names):
    return [parameter for name in names for parameter in getattr(run.separator, name).parameters()]


@pytest.mark.parametrize(
    ("module", "config"),
    [(sepgan, {}), (cyclegan, {"both_cycles": False}), (cyclegan, {"both_cycles": True})],
    ids=["sepgan", "cyclegan", "both cycles"],
)
def test_no_gradient_leaks_between_the_phases(module, config):
    run = trainer(module, window=192, **config)
    first, second = losses_of_both_phases(module, run)
    assert not any(tensor.requires_grad for tensor in first.carry.values())
    generators, discriminators = (parameters(run, names[module]) for names in (GENERATORS, DISCRIMINATORS))
    assert all(g is None for g in torch.autograd.grad(second.total, generators, allow_unused=True))
    run.set_hyperparameters({"discriminator_learning_rate": 0.0})
    before, moved = copied(discriminators), copied(generators)
    run.epoch()
    assert same(before, discriminators)
    assert not same(moved, generators)


@either
def test_phases_update_generators_first_and_each_its_own_networks(module):
    phases = trainer(module).phases
    assert [(phase.name, phase.parameters, phase.learning_rate) for phase in phases] == [
        ("generators", GENERATORS[module], "generator_learning_rate"),
        ("discriminators", DISCRIMINATORS[module], "discriminator_learning_rate"),
    ]


@either
def test_without_adversary_discriminators_rest_and_their_weights_do_not_matter(module):
    run, other = (trainer(module, {"adversarial_weight": 0.0}) for _ in range(2))
    before = copied(parameters(run, DISCRIMINATORS[module]))
    parts = run.epoch()
    assert same(before, parameters(run, DISCRIMINATORS[module]))
    assert not any(name.startswith("discriminator") for name in parts)
    for parameter in parameters(other, DISCRIMINATORS[module]):
        parameter.data.mul_(2)
    assert other.epoch()["identity/a"] == parts["identity/a"]


@either
def test_items_no_longer_than_a_window_are_taken_whole(module):
    separator = trainer(module, window=64).separator
    drawn = [separator.draw({"mixture": torch.zeros(2, 1, time)}, torch.Generator()) for time in (64, 65)]
    assert drawn[0] == {}
    assert set(drawn[1]) == set(separator.starts(2))


@either
def test_defaults_and_space_hold_the_settings_of_the_notebook(module):
    space, title = SPACES[module]
    own = {cyclegan: {"cycle_weight": 10.0}, sepgan: {"paired_weight": 10.0, "rejection_weight": 1.0}}[module]
    shared = {"identity_weight": 0.5, "adversarial_weight": 1.0}
    rates = {"generator_learning_rate": 2e-4, "discriminator_learning_rate": 2e-4}
    defaults = trainer(module).separator.hyperparameters()
    assert defaults == space.PAPER[title] == shared | own | rates
    assert set(space.SPACE) == set(defaults)
    config = module.Config()
    assert (config.blocks, config.stages, config.window, config.batch_size) == (8, 2, 16384, 10)
    assert config.betas == (0.5, 0.9)
