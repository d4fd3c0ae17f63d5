"""Crops of pieces and mixtures of these."""

import numpy as np
import pytest
import torch

from sepray.contracts import SPLITS, Augmentation, Signal
from sepray.data.cache import Entry
from sepray.data.mixing import mixtures
from sepray.data.mixing.mixtures import Crops

from .pieces import piece


def test_crops_are_redrawn_until_every_source_is_heard() -> None:
    loud, late = [1.0] * 100, [0.0] * 60 + [1.0] * 40
    crops = Crops([piece("a", loud=loud, late=late)], ("loud", "late"), 10)
    random = np.random.default_rng(0)
    heard = [mixtures.rms(crops.draw(random)[0]) for _ in range(200)]
    assert np.min([one[1] for one in heard]) > 0
    alone = Crops([piece("a", loud=loud, late=late)], ("loud", "late"), 10, audible=1)
    silent = np.mean([mixtures.rms(alone.draw(random)[0])[1] == 0 for _ in range(500)])
    assert silent == pytest.approx(51 / 91, abs=0.08)  # starts 0 to 50 of 0 to 90


def test_turns_go_round() -> None:
    crops = Crops([piece(str(k), one=[float(k)] * 4) for k in (1, 2, 3)], ("one",), 2)
    random = np.random.default_rng(0)
    drawn = [crops.draw(random, turn) for turn in range(5)]
    assert [float(crop[0, 0, 0]) for crop, _ in drawn] == [1, 2, 3, 1, 2]
    assert [number for _, number in drawn] == [0, 1, 2, 0, 1]


def test_gain() -> None:
    assert mixtures.gain(20) == 10
    assert mixtures.gain(-6.0206) == pytest.approx(0.5, rel=1e-5)


def test_training_items_are_stretched_up_to_the_shortest_training_piece() -> None:
    class Sizes:
        train, validation, test, item_samples, stretch, sample_rate, skip_bad, seed = 3, 4, 5, 10, 2.5, 8, False, 0

    pieces = {split: [piece(split, one=[0.0] * 40), piece(f"{split}2", one=[0.0] * 30)] for split in SPLITS}
    plan = mixtures.cropped_plan(Sizes(), pieces, 2, 1, ["why"], lambda out: None)
    assert plan.shapes["train/sources"] == (3, 2, 1, 25)
    assert plan.shapes["validation/mixture"] == (4, 1, 10)
    assert plan.shapes["test/mixture"] == (5, 1, 10)
    assert plan.facts == {"recordings": {split: [split, f"{split}2"] for split in SPLITS}, "left_out": ["why"]}
    Sizes.stretch = 8
    assert mixtures.cropped_plan(Sizes(), pieces, 2, 1, [], lambda out: None).shapes["train/mixture"] == (3, 1, 30)


def test_best_of_sixteen_crops_is_taken_where_none_is_loud_enough() -> None:
    """Ever louder until the last sample: each crop is that of its start, and none is heard."""
    crops = Crops([piece("a", one=[*(1e-6 * k for k in range(91)), 300.0])], ("one",), 1)
    drawn = []

    class Starts:
        """Stands in for a random generator; the starts are in the quiet part."""

        def integers(self, below: int) -> int:
            drawn.append(below)
            return {1: 0}.get(below, (7 * len(drawn)) % 90)

    crop, number = crops.draw(Starts())  # type: ignore[arg-type]
    assert drawn == [1, 92] * 16
    starts = [(7 * k) % 90 for k in range(2, 33, 2)]
    assert (crop.shape, number) == ((1, 1, 1), 0)
    assert float(crop[0, 0, 0]) == pytest.approx(1e-6 * max(starts))


@pytest.mark.parametrize(("level", "draws"), [(0.0301, 1), (0.0299, 16)])
def test_crop_is_heard_from_30_decibels_below_its_piece_on(level: float, draws: int) -> None:
    samples = [level] * 10 + [(1 - level**2 * 10 / 20) ** 0.5 * 2**0.5] * 10  # a root mean square of 1
    crops = Crops([piece("a", one=samples)], ("one",), 10)
    assert crops.pieces[0].level("one") == pytest.approx(1)
    taken = []

    class AtTheStart:
        def integers(self, below: int) -> int:
            taken.append(below)
            return 0

    crops.draw(AtTheStart(), turn=0)  # type: ignore[arg-type]
    assert taken == [11] * draws


def test_silent_piece_is_no_division_by_zero() -> None:
    crops = Crops([piece("a", one=[0.0] * 4)], ("one",), 2)
    assert crops.draw(np.random.default_rng(0))[0].tolist() == [[[0, 0]]]


def test_shapes_of_the_items() -> None:
    counts = {"train": 3, "validation": 4, "test": 5}
    shapes = mixtures.tensor_shapes(counts, 2, 1, 10)
    assert shapes["train/mixture"] == (3, 1, 10)
    assert shapes["test/sources"] == (5, 2, 1, 10)
    longer = mixtures.tensor_shapes(counts, 2, 1, 10, 25)
    assert (longer["train/sources"], longer["validation/sources"]) == ((3, 2, 1, 25), (4, 2, 1, 10))


def empty(**samples: int) -> dict[str, np.ndarray]:
    lengths = {"train": 4, "validation": 2, "test": 2} | samples
    shapes = mixtures.tensor_shapes(dict.fromkeys(SPLITS, 3), 2, 1, 2)
    made = {
        name: np.zeros((*shape[:-1], lengths[name.partition("/")[0]]), np.float32) for name, shape in shapes.items()
    }
    return made | {f"{split}/pieces": np.full((3, 2), -1, np.float32) for split in SPLITS}


UNITS = mixtures.SplitUnits({split: ((split,),) * 3 for split in SPLITS}, ("pieces",))


def test_pair_says_which_pieces_it_was_cut_from() -> None:
    out = empty()
    voices = [piece(str(k), one=[k] * 5) for k in (1.0, 2.0, 3.0)]
    noises = [piece(str(k), two=[k] * 5) for k in (4.0, 5.0)]
    for seed in range(5):
        mixtures.fill_from_pairs(out, dict.fromkeys(SPLITS, (voices, noises)), ("one", "two"), (-60.0, 60.0), seed)
        for split in SPLITS:
            heard = out[f"{split}/sources"][:, 0, 0, 0]
            assert (heard == out[f"{split}/pieces"][:, 0] + 1).all()
            assert set(out[f"{split}/pieces"][:, 1]) <= {0, 1}


def test_items_in_turn_are_of_pieces_in_turn() -> None:
    entry = Entry(
        {f"{s}/mixture": torch.zeros(3) for s in SPLITS}, "", {"recordings": {s: [s, s + "2"] for s in SPLITS}}
    )
    units = mixtures.units_in_turn(entry, "tracks")
    assert units.names == ("tracks",)
    assert units.by_split["test"] == (("test",), ("test2",), ("test",))


def test_item_has_a_generator_of_its_own() -> None:
    out, drawn = empty(), {}

    def make(random: np.random.Generator, item: int) -> tuple[np.ndarray, np.ndarray]:
        drawn[item] = random.integers(1 << 40)
        return np.full((1, 2), item + 1), np.full((2, 1, 2), 10 * item)

    mixtures.fill_split(out, "test", 7, make)
    seeds = [np.random.SeedSequence(7, spawn_key=(2, item)) for item in range(3)]
    assert drawn == {k: np.random.default_rng(seed).integers(1 << 40) for k, seed in enumerate(seeds)}
    assert out["test/mixture"][:, 0, 0].tolist() == [1, 2, 3]
    assert out["test/sources"][:, 1, 0, 1].tolist() == [0, 10, 20]


def test_tracks_are_cropped_in_turn_and_the_mixture_has_all_their_parts() -> None:
    out = empty()
    tracks = [piece(str(k), one=[k] * 5, two=[10.0 * k] * 5, rest=[100.0 * k] * 5) for k in (1, 2)]
    mixtures.fill_from_tracks(out, dict.fromkeys(SPLITS, tracks), 2, 0)
    for split in SPLITS:
        assert out[f"{split}/mixture"][:, 0, 0].tolist() == [111, 222, 111]
        assert out[f"{split}/sources"][:, :, 0, -1].tolist() == [[1, 10], [2, 20], [1, 10]]
    assert out["train/mixture"].shape[-1] == 4


def test_pair_is_mixed_at_a_level_between_the_two_ends() -> None:
    out = empty()
    pairs = dict.fromkeys(SPLITS, ([piece("a", one=[3.0] * 5)], [piece("b", two=[50.0] * 5)]))
    mixtures.fill_from_pairs(out, pairs, ("one", "two"), (0.0, 20.0), 0)
    sources = out["train/sources"]
    assert sources[:, 0].tolist() == [[[3.0] * 4]] * 3
    levels = 20 * np.log10(3.0 / sources[:, 1, 0, 0])
    assert ((levels > 0) & (levels < 20)).all()
    assert len(set(levels.tolist())) == 3
    np.testing.assert_allclose(out["train/mixture"], sources.sum(1))


def test_silent_half_of_a_pair_leaves_the_other_as_it_is() -> None:
    for first, second in ((0.0, 5.0), (5.0, 0.0)):
        out = empty()
        pairs = dict.fromkeys(SPLITS, ([piece("a", one=[first] * 5)], [piece("b", two=[second] * 5)]))
        mixtures.fill_from_pairs(out, pairs, ("one", "two"), (10.0, 10.0), 0)
        assert out["test/sources"][0, :, 0, 0].tolist() == [first, second]


def test_longer_training_items_are_cropped_in_batches_and_remixed_where_asked() -> None:
    tensors = {name: torch.from_numpy(array) for name, array in empty().items()}
    entry = Entry(tensors, "digest", {})
    plain = mixtures.task_data(entry, ["one", "two"], 8000, UNITS)
    assert plain.signal == Signal(("one", "two"), 1, (2,), 8000.0)
    assert plain.augmentation == Augmentation(2, 0.0, (0.0, 0.0))
    assert plain.train.mixture is tensors["train/mixture"]
    assert plain.test.sources is tensors["test/sources"]
    assert (plain.test.units, plain.unit_names) == ((("test",),) * 3, ("pieces",))
    remixed = mixtures.task_data(entry, ["one", "two"], 8000, UNITS, 0.5, (-3.0, 3.0))
    assert remixed.augmentation == Augmentation(2, 0.5, (-3.0, 3.0))
    assert mixtures.task_data(entry, ["one", "two"], 8000, UNITS, 0.0, (-3.0, 3.0)).augmentation == plain.augmentation
    equal = Entry({name: torch.from_numpy(array) for name, array in empty(train=2).items()}, "digest", {})
    assert mixtures.task_data(equal, ["one", "two"], 8000, UNITS).augmentation == Augmentation()
    others = [Entry(tensors, "other", {}), entry, entry]
    changes = zip(others, ("ab", "ab", "ba"), (8000, 4000, 8000), strict=True)
    prints = {mixtures.task_data(*given, UNITS).fingerprint for given in changes}
    assert len(prints | {plain.fingerprint, remixed.fingerprint}) == 5


def test_recordings_are_those_of_the_plan() -> None:
    entry = Entry({}, "digest", {"recordings": {split: [f"{split} 1", f"{split} 2"] for split in SPLITS}})
    assert mixtures.recordings_of(entry)["test"] == ("test 1", "test 2")


def test_crop_that_is_just_loud_enough_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixtures, "_AUDIBLE", 0.5)
    crops = Crops([piece("a", one=[1.0] * 8)], ("one",), 4)
    crops._levels[0, "one"] = 2.0
    random = np.random.default_rng(0)
    crops.draw(random, turn=0)
    expected = np.random.default_rng(0)
    expected.integers(5)  # one draw, of the start
    assert random.integers(1 << 40) == expected.integers(1 << 40)
