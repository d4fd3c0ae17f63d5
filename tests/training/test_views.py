"""Views of a training split hold what the supervision allows, and nothing from which a pair could be told."""

import pytest
import torch

from sepray.contracts import Split, Supervision
from sepray.errors import UsageError
from sepray.training.views import view


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split(items: int) -> Split:
    """Source k of item n is 10 k + n everywhere."""
    sources = torch.arange(items)[:, None, None, None] + 10.0 * torch.arange(2)[None, :, None, None]
    sources = sources.expand(-1, -1, 1, 4).contiguous()
    return Split(sources.sum(1), sources)


def test_views_hold_what_the_supervision_allows_and_no_pairs_beyond_it():
    data = split(50)
    assert set(view(data, Supervision.NONE, generator())) == {"mixture"}
    paired = view(data, Supervision.PAIRED, generator())
    assert torch.equal(paired["mixture"], data.mixture)
    assert torch.equal(paired["sources"], data.sources)

    unpaired = view(data, Supervision.UNPAIRED_SOURCES, generator())
    assert set(unpaired) == {"mixture", "sources"}
    assert torch.equal(unpaired["sources"].sort(0).values, data.sources.sort(0).values)
    a, b = unpaired["sources"][:, 0, 0, 0], unpaired["sources"][:, 1, 0, 0] - 10
    items = torch.arange(50.0)
    # A random order keeps one item in place on average.
    assert all((x == y).sum() < 6 for x, y in ((a, b), (a, items), (b, items)))

    observed = view(data, Supervision.OBSERVED_SOURCE, generator())
    assert set(observed) == {"mixture", "observed"}
    assert torch.equal(observed["observed"].sort(0).values, data.sources[:, 1])
    assert (observed["observed"][:, 0, 0] - 10 == items).sum() < 6


@pytest.mark.parametrize(("fraction", "paired", "items"), [(0.2, 10, 40), (0.8, 40, 40)])
def test_semi_paired_view_shows_a_fraction_of_the_pairs_and_hides_the_others(fraction, paired, items):
    data = split(50)
    seen = view(data, Supervision.SEMI_PAIRED, generator(), fraction)
    assert {name: len(tensor) for name, tensor in seen.items()} == dict.fromkeys(
        ("mixture", "sources", "paired_mixture", "paired_sources"), items
    )
    # The values tell the item n: the first source is n, the second 10 + n, the mixture 10 + 2 n.
    known = (seen["paired_mixture"][:, 0, 0] - 10) / 2
    assert torch.equal(seen["paired_sources"][:, 0, 0, 0], known)
    assert torch.equal(seen["paired_sources"][:, 1, 0, 0], known + 10)
    unknown = (seen["mixture"][:, 0, 0] - 10) / 2
    first, second = seen["sources"][:, 0, 0, 0], seen["sources"][:, 1, 0, 0] - 10
    assert len(known.unique()) == paired
    assert len(unknown.unique()) == 50 - paired
    assert sorted({*known.tolist()} | {*unknown.tolist()}) == list(range(50))
    assert {*first.tolist()} == {*second.tolist()} == {*unknown.tolist()}
    rows = slice(50 - paired)  # once each; then they recur
    assert all((x[rows] == y[rows]).sum() < 6 for x, y in ((first, second), (first, unknown), (second, unknown)))


@pytest.mark.parametrize(("fraction", "empty"), [(0.0, "with"), (0.001, "with"), (1.0, "without"), (0.995, "without")])
def test_semi_paired_view_needs_items_of_both_kinds(fraction, empty):
    line = rf"^paired_fraction = {fraction} of 50 training items leaves no item {empty} its sources$"
    with pytest.raises(UsageError, match=line):
        view(split(50), Supervision.SEMI_PAIRED, generator(), fraction)


def test_observed_samples_are_those_of_the_task_where_it_has_some():
    data = split(5)
    other = torch.full((5, 1, 4), 7.0)
    seen = view(Split(data.mixture, data.sources, other), Supervision.OBSERVED_SOURCE, generator())
    assert torch.equal(seen["observed"], other)
    assert torch.equal(seen["mixture"], data.mixture)
    with_pairs = view(Split(data.mixture, data.sources, other), Supervision.PAIRED, generator())
    assert set(with_pairs) == {"mixture", "sources"}


@pytest.mark.parametrize(
    "supervision", [Supervision.UNPAIRED_SOURCES, Supervision.OBSERVED_SOURCE, Supervision.SEMI_PAIRED]
)
def test_random_orders_come_from_the_generator_alone(supervision):
    first, again, other = (view(split(50), supervision, generator(seed), 0.4) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "observed" if supervision is Supervision.OBSERVED_SOURCE else "sources"
    assert not torch.equal(first[name], other[name])
    before = torch.random.get_rng_state()
    view(split(50), supervision, generator(), 0.4)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("supervision", [Supervision.PAIRED, Supervision.NONE])
def test_a_view_without_random_orders_draws_nothing(supervision):
    drawn = generator()
    view(split(5), supervision, drawn)
    assert torch.equal(drawn.get_state(), generator().get_state())
