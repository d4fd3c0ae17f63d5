"""Views of a training split hold what the supervision allows, and nothing from which a pair could be told."""

import pytest
import torch

from sepray.contracts import Split, Supervision
from sepray.disk.mapping import Scratch, slice_of
from sepray.errors import UsageError
from sepray.training.views import divides, note, sharing, view


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
    mixed = (unpaired["mixture"][:, 0, 0] - 10) / 2  # the mixture of item n is 10 + 2 n
    a, b = unpaired["sources"][:, 0, 0, 0], unpaired["sources"][:, 1, 0, 0] - 10
    assert len(mixed.unique()) == len(a.unique()) == len(b.unique()) == 25
    assert {*a.tolist()} == {*b.tolist()} == {*range(50)} - {*mixed.tolist()}
    assert (a == b).sum() < 6  # a random order keeps one item in place on average

    observed = view(data, Supervision.OBSERVED_SOURCE, generator())
    assert set(observed) == {"mixture", "observed"}
    mixed = (observed["mixture"][:, 0, 0] - 10) / 2
    assert {*(observed["observed"][:, 0, 0] - 10).tolist()} == {*range(50)} - {*mixed.tolist()}


@pytest.mark.parametrize(("fraction", "paired", "items"), [(0.2, 10, 20), (0.8, 40, 40)])
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
    assert len(unknown.unique()) == (50 - paired) / 2
    assert {*first.tolist()} == {*second.tolist()} == {*range(50)} - {*known.tolist()} - {*unknown.tolist()}


@pytest.mark.parametrize(
    ("fraction", "empty"),
    [
        (0.0, "no item with its sources"),
        (0.001, "no item with its sources"),
        (1.0, "fewer than two items without their sources"),
        (0.98, "fewer than two items without their sources"),
    ],
)
def test_semi_paired_view_needs_items_of_both_kinds(fraction, empty):
    line = rf"^paired_fraction = {fraction} of 50 training items leaves {empty}$"
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


# --- samples are in none of the mixtures


def of_units(*units: tuple[str, ...]) -> Split:
    data = split(len(units))
    return Split(data.mixture, data.sources, units=units)


def seen_units(data: Split, seed: int) -> tuple[set[tuple[str, ...]], list[set[tuple[str, ...]]]]:
    """The units of the mixtures of a view, and those of the samples of each source."""
    seen = view(data, Supervision.UNPAIRED_SOURCES, generator(seed))
    assert len({len(tensor) for tensor in seen.values()}) == 1
    mixed = {data.units[int(n)] for n in (seen["mixture"][:, 0, 0] - 10) / 2}
    return mixed, [{data.units[int(n)] for n in seen["sources"][:, k, 0, 0] - 10 * k} for k in range(2)]


@pytest.mark.parametrize("seed", range(5))
def test_samples_are_of_other_recordings_than_the_mixtures(seed):
    mixed, samples = seen_units(
        of_units(*(("piece a", "piece b", "piece c")[n % 3 : n % 3 + 1] for n in range(24))), seed
    )
    assert mixed
    assert all(own and not own & mixed for own in samples)
    assert mixed.union(*samples) == {("piece a",), ("piece b",), ("piece c",)}


@pytest.mark.parametrize("seed", range(5))
def test_independent_recordings_are_divided_source_by_source(seed):
    """Five speakers with four noises, each with each: a sample of speech is of a speaker who is in no mixture."""
    mixed, samples = seen_units(of_units(*((f"s{n % 5}", f"n{n // 5 % 4}") for n in range(40))), seed)
    for k, own in enumerate(samples):
        assert not {units[k] for units in own} & {units[k] for units in mixed}
    assert {len({units[k] for units in mixed}) for k in range(2)} <= {2, 3, 4}


@pytest.mark.parametrize("seed", range(3))
def test_too_few_recordings_are_divided_by_items_and_told(seed):
    data = of_units(*((f"s{n % 5}", "one noise") for n in range(20)))
    seen = view(data, Supervision.UNPAIRED_SOURCES, generator(seed))
    mixed = {*((seen["mixture"][:, 0, 0] - 10) / 2).tolist()}
    assert not mixed & {*(seen["sources"][:, 1, 0, 0] - 10).tolist()}
    assert {n % 5 for n in mixed}.isdisjoint({n % 5 for n in seen["sources"][:, 0, 0, 0].tolist()})
    names = ("speakers", "clips")
    assert sharing(data, Supervision.UNPAIRED_SOURCES, names, seed)
    assert sharing(data, Supervision.PAIRED, names, seed) == ""
    assert note(data, Supervision.OBSERVED_SOURCE, names, seed) == (
        "there are too few clips to be divided: unpaired samples are other crops than those in the mixtures, but of "
        "the same clips"
    )


def test_too_few_recordings_of_a_source_that_is_not_seen_alone_are_no_matter():
    data = of_units(*(("one piano", f"song {n % 5}") for n in range(20)))
    names = ("pianos", "songs")
    assert sharing(data, Supervision.UNPAIRED_SOURCES, names, 0)
    assert sharing(data, Supervision.OBSERVED_SOURCE, names, 0) == ""
    assert note(data, Supervision.OBSERVED_SOURCE, names, 0).startswith("unpaired samples are of recordings")


@pytest.mark.parametrize("supervision", [s for s in Supervision if s not in (Supervision.NONE, Supervision.PAIRED)])
def test_recordings_that_cannot_be_kept_apart_are_told(supervision):
    """Any two kinds of items have a recording in common, in three parts of two sources."""
    data = of_units(*(("a", "p", "x"), ("a", "q", "y"), ("b", "p", "y")) * 4)
    assert note(data, supervision, ("hearts", "leads", "days"), 1, 0.25) == (
        "the hearts and leads and days of the items could not be divided: unpaired samples are of other items than the "
        "mixtures, but perhaps of the same hearts and leads and days"
    )


def test_what_is_told_is_of_the_items_that_the_pairs_leave():
    """Only with some seeds are all items of the second piece among the pairs."""
    data, told = of_units(*[("one",)] * 9, ("another",)), set()
    for seed in range(6):
        order = torch.randperm(10, generator=generator(seed))
        alone = 9 in order[:5].tolist()
        told.add(alone)
        assert bool(sharing(data, Supervision.SEMI_PAIRED, ("pieces",), seed, 0.5)) == alone
    assert told == {True, False}


def test_notes_are_of_methods_that_see_unpaired_samples_alone():
    data = of_units(*((f"piece {n % 3}",) for n in range(9)))
    assert note(data, Supervision.UNPAIRED_SOURCES, ("pieces",), 0).startswith("unpaired samples are of recordings")
    assert "in none of the unpaired mixtures" in note(data, Supervision.SEMI_PAIRED, ("pieces",), 0, 0.3)
    assert [note(data, how, ("pieces",), 0) for how in (Supervision.PAIRED, Supervision.NONE)] == ["", ""]
    with_samples = Split(data.mixture, data.sources, torch.zeros(9, 1, 4))
    assert divides(with_samples, Supervision.UNPAIRED_SOURCES)
    assert not divides(with_samples, Supervision.OBSERVED_SOURCE)


def test_two_items_are_enough():
    for seed in range(4):
        seen = view(of_units(("a", "x"), ("b", "y")), Supervision.UNPAIRED_SOURCES, generator(seed))
        assert {name: len(tensor) for name, tensor in seen.items()} == {"mixture": 1, "sources": 1}
        assert (seen["mixture"][0, 0, 0] - 10) / 2 != seen["sources"][0, 0, 0, 0]


@pytest.mark.parametrize("supervision", list(Supervision))
def test_view_is_the_same_wherever_its_tensors_are_made(supervision, tmp_path):
    data, fraction = split(50), 0.3
    expected = view(data, supervision, generator(3), fraction)
    files = Scratch(tmp_path)
    found = view(data, supervision, generator(3), fraction, files.new)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    copied = supervision not in (Supervision.NONE, Supervision.PAIRED)
    assert all((slice_of(tensor) is not None) == copied for tensor in found.values())


def test_semi_paired_view_is_that_of_the_pairs_and_of_the_rest_by_itself():
    data, fraction = split(50), 0.3
    data = Split(data.mixture, data.sources, units=tuple((f"piece {n // 3}",) for n in range(50)))
    seen = view(data, Supervision.SEMI_PAIRED, generator(3), fraction)
    order = torch.randperm(50, generator=(random := generator(3)))
    rest = order[15:]
    others = Split(data.mixture[rest], data.sources[rest], units=tuple(data.units[k] for k in rest.tolist()))
    expected = view(others, Supervision.UNPAIRED_SOURCES, random)
    items = torch.arange(len(seen["mixture"]))
    for name in ("mixture", "sources"):
        assert torch.equal(seen[name], expected[name][items % len(expected[name])])
    assert torch.equal(seen["paired_mixture"], data.mixture[order[:15]][items % 15])


def test_the_observed_source_is_the_last_whatever_their_number():
    """Source k of item n is 1000 k + n; the samples are of the items that are in no mixture, each in an own order."""
    count, items = 3, 40
    sources = torch.arange(items)[:, None, None, None] + 1000.0 * torch.arange(count)[None, :, None, None]
    data = Split(sources.sum(1), sources)
    seen = view(data, Supervision.OBSERVED_SOURCE, generator(1))
    orders = view(data, Supervision.UNPAIRED_SOURCES, generator(1))["sources"][:, :, 0, 0]
    assert torch.equal(seen["observed"][:, 0, 0], orders[:, 2])
    assert len({tuple(order.tolist()) for order in (orders - 1000 * torch.arange(count)).T}) == count
