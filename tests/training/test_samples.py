"""The division of items into mixtures and samples for unpaired training, where units cannot be kept apart."""

import torch

from sepray.contracts import Split
from sepray.training.samples import divide


def test_items_whose_units_always_meet_are_halved_one_by_one():
    """Any two of the three kinds of items have a unit in common, so no item shares none with a mixture."""
    units = (("a", "p", "x"), ("a", "q", "y"), ("b", "p", "y")) * 4
    sources = torch.randn(12, 2, 1, 8, generator=torch.Generator().manual_seed(0))
    division = divide(Split(sources.sum(1), sources, units=units), torch.Generator().manual_seed(1))
    assert len(division.mixtures) == 6
    for samples in division.samples:
        assert sorted([*division.mixtures.tolist(), *samples.tolist()]) == list(range(12))
