"""The supervised mask: eq. 1 on synthetic pairs worked out by hand, and that it separates sounds and images."""

import pytest
import torch

from search_spaces import supervised_mask as space
from sepray.contracts import Supervision
from sepray.errors import UsageError
from sepray.separators import supervised_mask
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .bars import IMAGES, Share, bars, gain
from .separation import improvement, notes_and_bursts, trained


def test_loss_is_equation_1_on_pairs_in_the_drawn_order():
    separator = build(supervised_mask.DEBUG, IMAGES, 0)
    separator.network = Share(0.25)
    unknown, observed = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 7.0])
    sources = torch.stack((unknown, observed), 1)[..., None, None, None].expand(-1, -1, 1, 16, 16)
    batch = {"mixture": sources.sum(1), "sources": sources}
    order = {"order": torch.tensor([1, 0])}
    loss = supervised_mask.mask_loss(separator, batch, {}, order)
    # y = 1 + 7 and 2 + 3, T(y) = y / 4, errors |2 - 7| and |1.25 - 3|, each in units of its y
    assert loss.total.item() == pytest.approx((5 / 8 + 1.75 / 5) / 2)
    assert loss.parts["l1"] is loss.total


def test_pairs_are_an_order_of_the_batch_drawn_from_the_generator():
    batch = {"mixture": torch.zeros(50, 1, 4)}
    first, second = (supervised_mask.pairs(batch, torch.Generator().manual_seed(s))["order"] for s in (0, 1))
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()


def test_search_space_has_every_hyperparameter_and_holds_the_papers_settings():
    names = build(supervised_mask.DEBUG, IMAGES, 0).hyperparameters()
    assert set(space.SPACE) == set(names)
    assert space.PAPER["authors' code"] == names == {"learning_rate": 1e-3}
    for settings in space.PAPER.values():
        assert set(settings) == set(names)
        assert all(space.SPACE[k]._contains(space.SPACE[k].to_internal_repr(v)) for k, v in settings.items())


def test_paper_has_64_filters_and_four_layers():
    assert (supervised_mask.PAPER.width, supervised_mask.PAPER.layers, supervised_mask.PAPER.batch_size) == (64, 4, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"betas": (0.9, 1.0)}, r"betas must be at least 0 and below 1, not \(0.9, 1.0\)"),
    ],
)
def test_bad_config_is_refused_in_one_line(settings, message):
    with pytest.raises(UsageError, match=rf"^{message}$"):
        supervised_mask.Config(**settings)


def test_images_are_separated():
    config = supervised_mask.Config(width=8, layers=2, batch_size=8)
    data = view(bars(64), Supervision.PAIRED, torch.Generator())
    run = Trainer(build(config, IMAGES, 0), data, {"learning_rate": 3e-3}, 0, config.batch_size, config.betas)
    for _ in range(10):
        run.epoch()
    assert gain(run.separator.separate, bars(16, seed=1)) > 6  # 11.8 to 12.9 dB, seeds 0 to 3


def test_sounds_are_separated_in_seconds():
    data = notes_and_bursts(train=64, test=16)
    run = trained(supervised_mask.Config(width=8), {"learning_rate": 3e-3}, 6, 0, data)
    assert improvement(run.separator.separate, data) > 3  # 6.1 to 7.8 dB, seeds 0 to 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    run = trained(supervised_mask.Config(), {}, 30, seed, notes_and_bursts())
    assert improvement(run.separator.separate, notes_and_bursts()) >= 3
