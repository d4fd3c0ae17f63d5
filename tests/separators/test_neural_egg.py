"""Neural egg separation: eq. 2 to 4 and algorithm 1 worked out by hand, its starts, its state, and separation."""

import dataclasses

import pytest
import torch

from search_spaces import neural_egg as space
from sepray import registry
from sepray.contracts import Supervision
from sepray.errors import UsageError
from sepray.separators import neural_egg
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .bars import IMAGES, Share, bars, gain
from .separation import UNPAIRED, improvement, mean_improvement, notes_and_bursts, trained

GENERATOR = torch.Generator()


def constants(*values: float) -> torch.Tensor:
    """Images of one number each."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 16, 16)


def shared(share: float = 0.25, **config: object) -> neural_egg.NeuralEgg:
    """A separator whose mask is one number, prepared for three mixtures."""
    separator = build(dataclasses.replace(neural_egg.DEBUG, **config), IMAGES, 0)
    separator.network = Share(share)
    separator.previous, separator.made_by = torch.zeros(1), torch.full((1,), torch.nan)
    separator.prepare({"mixture": constants(4, 8, 12), "start": torch.zeros(3, 2, 1, 16, 16)})
    return separator


def unknown(separator: neural_egg.NeuralEgg, epoch: int, **more: torch.Tensor) -> list[float]:
    data = {"mixture": constants(4, 8, 12), "observed": constants(1, 2, 3), **more}
    seen = separator.before_epoch(data, epoch, GENERATOR)
    assert torch.equal(seen["observed"], data["observed"])
    return seen["unknown"][:, 0, 0, 0].tolist()


def test_loss_is_equation_3_on_pairs_in_the_drawn_order():
    batch = {"unknown": constants(1, 2), "observed": constants(3, 7), "is_mixture": torch.zeros(2)}
    weights = {"start_fraction": torch.tensor(0.1)}
    loss = neural_egg.mask_loss(shared(0.25), batch, weights, {"order": torch.tensor([1, 0])})
    # y = 1 + 7 and 2 + 3, T(y) = y / 4, errors |2 - 7| and |1.25 - 3|, each in units of its y
    assert loss.total.item() == pytest.approx((5 / 8 + 1.75 / 5) / 2)


def test_constant_start_takes_its_share_of_the_mixture():
    batch = {"unknown": constants(10, 10), "observed": constants(3, 7), "is_mixture": torch.ones(2)}
    weights = {"start_fraction": torch.tensor(0.1)}
    loss = neural_egg.mask_loss(shared(0.25), batch, weights, {"order": torch.tensor([0, 1])})
    # y = 1 + 3 and 1 + 7, T(y) = y / 4, errors |1 - 3| and |2 - 7|
    assert loss.total.item() == pytest.approx((2 / 4 + 5 / 8) / 2)
    for fraction, part in ((1.0, 10.0), (0.5, 5.0)):
        batch = {"unknown": constants(10), "observed": constants(2), "is_mixture": torch.ones(1)}
        weights = {"start_fraction": torch.tensor(fraction)}
        loss = neural_egg.mask_loss(shared(0.25), batch, weights, {"order": torch.tensor([0])})
        assert loss.total.item() == pytest.approx(abs((part + 2) / 4 - 2) / (part + 2))


def test_estimates_are_refreshed_every_p_epochs_n_minus_one_times():
    separator = shared(0.25, iterations=3, epochs_per_iteration=2)
    assert unknown(separator, 0) == unknown(separator, 1) == [4, 8, 12]
    assert unknown(separator, 2) == [3, 6, 9]  # x = y - y / 4
    separator.network.share.data.fill_(0.5)
    assert unknown(separator, 3) == [3, 6, 9]  # of the network at the end of the first iteration
    assert unknown(separator, 4) == [2, 4, 6]
    separator.network.share.data.fill_(0.75)
    assert unknown(separator, 5) == unknown(separator, 6) == unknown(separator, 20) == [2, 4, 6]
    assert [epoch for epoch in range(20) if separator.resets(epoch)] == [2, 4]


def test_given_start_is_used_in_the_first_iteration_alone():
    separator = shared(0.25, start="glo_masking", epochs_per_iteration=2)
    start = torch.stack((constants(1, 1, 2), constants(3, 7, 10)), dim=1)
    assert unknown(separator, 0, start=start) == unknown(separator, 1, start=start) == [1, 1, 2]
    assert unknown(separator, 2, start=start) == [3, 6, 9]
    data = {"mixture": constants(4), "observed": constants(1), "start": start[:1]}
    assert separator.before_epoch(data, 0, GENERATOR)["is_mixture"].tolist() == [0.0]


def test_start_that_nobody_gave_is_refused():
    config = dataclasses.replace(neural_egg.DEBUG, start="glo_masking")
    with pytest.raises(ValueError, match=r"neural_egg with start='glo_masking' needs that separator's estimates as "):
        trainer(config)


def trainer(config: neural_egg.Config = neural_egg.DEBUG, seed: int = 0) -> Trainer:
    data = view(bars(64), Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
    return Trainer(build(config, IMAGES, seed), data, {"learning_rate": 3e-3}, seed, 8, config.betas)


def test_state_taken_within_an_iteration_goes_on_bit_for_bit_and_holds_no_item():
    config = dataclasses.replace(neural_egg.DEBUG, epochs_per_iteration=2)
    run = trainer(config)
    for _ in range(3):
        run.epoch()
    tensors, values = run.state()
    assert all(32 not in tensor.shape[:1] for name, tensor in tensors.items() if name.startswith("separator."))
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    expected = [run.epoch() for _ in range(3)]
    other = trainer(config, seed=5)
    for _ in range(4):  # has estimates of its own, of another iteration
        other.epoch()
    other.load_state(tensors, values)
    assert [other.epoch() for _ in range(3)] == expected
    assert all(torch.equal(a, b) for a, b in zip(run.state()[0].values(), other.state()[0].values(), strict=True))


def test_adam_begins_anew_with_each_iteration():
    run = trainer(dataclasses.replace(neural_egg.DEBUG, epochs_per_iteration=2, iterations=2))
    steps = []
    for _ in range(5):
        run.epoch()
        steps.append(next(v.item() for k, v in run.state()[0].items() if k.endswith(".step")))
    assert steps == [4, 8, 4, 8, 12]  # four batches an epoch


def test_hidden_source_is_not_looked_at():
    runs = []
    for hidden in (0.0, 100.0):
        split = bars(32)
        split.sources[:, 0] += hidden
        data = view(split, Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
        runs.append(Trainer(build(neural_egg.DEBUG, IMAGES, 0), data, {}, 0, 8, neural_egg.DEBUG.betas))
        runs[-1].epoch(), runs[-1].epoch()
    assert all(torch.equal(a, b) for a, b in zip(runs[0].state()[0].values(), runs[1].state()[0].values(), strict=True))


def test_search_space_has_every_hyperparameter_and_holds_the_papers_settings():
    names = build(neural_egg.DEBUG, IMAGES, 0).hyperparameters()
    assert set(space.SPACE) == set(names)
    assert space.PAPER["authors' code, speech"] == names == {"learning_rate": 1e-3, "start_fraction": 0.5}
    assert space.PAPER["authors' code, music"]["start_fraction"] == 0.1
    assert space.PAPER["paper's text"]["learning_rate"] == 0.01
    for settings in space.PAPER.values():
        assert set(settings) == set(names)
        assert all(space.SPACE[k]._contains(space.SPACE[k].to_internal_repr(v)) for k, v in settings.items())


def test_paper_has_ten_iterations_of_25_epochs():
    paper = neural_egg.PAPER
    assert (paper.iterations, paper.epochs_per_iteration, paper.batch_size) == (10, 25, 64)
    assert (paper.width, paper.layers, paper.start) == (64, 4, "constant")


@pytest.mark.parametrize("field", ["iterations", "epochs_per_iteration", "start_epochs", "layers"])
def test_bad_config_is_refused_in_one_line(field):
    with pytest.raises(UsageError, match=rf"^{field} must be at least 1, not 0$"):
        neural_egg.Config(**{field: 0})


def test_images_are_separated():
    config = neural_egg.Config(width=8, layers=2, batch_size=8, epochs_per_iteration=4)
    data = view(bars(64), Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
    run = Trainer(build(config, IMAGES, 0), data, {"learning_rate": 3e-3}, 0, config.batch_size, config.betas)
    for _ in range(16):
        run.epoch()
    assert gain(run.separator.separate, bars(16, seed=1)) > 5  # 11.2 to 12.7 dB, seeds 0 to 3


@pytest.mark.slow
def test_sounds_are_separated_in_seconds_and_better_with_each_iteration():
    data = notes_and_bursts(train=64, test=16)
    config = neural_egg.Config(width=8, epochs_per_iteration=5)
    first, third = (mean_improvement(config, {"learning_rate": 3e-3}, epochs, data) for epochs in (5, 15))
    assert first > 2
    assert third > first + 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    run = trained(neural_egg.Config(), {}, 30, seed, notes_and_bursts(UNPAIRED))
    assert improvement(run.separator.separate, notes_and_bursts(UNPAIRED)) >= 3


@pytest.mark.parametrize(("name", "start"), [("glo_start", "glo_masking"), ("am_start", "adversarial_masking")])
def test_starts_are_named_configurations_that_a_comparison_takes(name, start):
    config = registry.config("sepray.separators", f"neural_egg:{name}")
    assert config == dataclasses.replace(neural_egg.Config(), start=start)
