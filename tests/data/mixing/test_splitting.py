"""Pieces: what they are made of, and how they are divided among the splits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import SPLITS
from sepray.data.mixing import splitting
from sepray.data.mixing.mixtures import Crops
from sepray.data.mixing.splitting import Piece
from sepray.errors import UsageError

from .pieces import piece


def test_piece_adds_up_its_parts_within_its_stretch() -> None:
    first, second = torch.tensor([[1.0, 2, 3, 4, 5]]), torch.tensor([[10.0, 20, 30, 40, 50]])
    made = Piece("a", "a", 1, 5, {"rest": ((1, lambda: second), (-1, lambda: first)), "none": ()})
    assert len(made) == 4
    assert made.crop("rest", 1, 2).tolist() == [[27, 36]]
    assert made.crop("none", 1, 2).tolist() == [[0, 0]]
    assert made.level("rest") == pytest.approx(((18**2 + 27**2 + 36**2 + 45**2) / 4) ** 0.5)


def test_partition_is_seeded_and_complete() -> None:
    names = [f"{k:02d}" for k in range(20)]
    cut = splitting.partition(names, 3, 4, 0)
    assert [len(cut[split]) for split in ("train", "validation", "test")] == [13, 3, 4]
    assert sorted(cut["train"] + cut["validation"] + cut["test"]) == names
    assert splitting.partition(reversed(names), 3, 4, 0) == cut
    assert splitting.partition(names, 3, 4, 1) != cut
    assert splitting.partition(names[:12], 2, 3, 5) == {  # a study of this seed has had these
        "train": ["00", "03", "04", "06", "09", "10", "11"],
        "validation": ["02", "05"],
        "test": ["01", "07", "08"],
    }


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(100, 0.1, 10), (3, 0.1, 1), (3, 0.5, 1), (4, 0.5, 1), (5, 0.5, 2), (14, 0.2, 3)],
)
def test_share(count: int, fraction: float, expected: int) -> None:
    assert splitting.share_of(count, fraction) == expected


def test_groups_stay_together() -> None:
    pieces = [piece(f"{speaker}{take}", one=[0.0] * 10) for speaker in "abcdef" for take in range(3)]
    groups = {one.identity: one.name[0] for one in pieces}
    found = splitting.divide(pieces, groups, 0.2, 0.3, seed=0, samples=5)
    speakers = [{one.name[0] for one in found[split]} for split in SPLITS]
    assert [len(several) for several in speakers] == [3, 1, 2]
    assert set.union(*speakers) == set("abcdef")
    assert sum(len(found[split]) for split in SPLITS) == 18


def test_two_recordings_are_cut_in_time() -> None:
    pieces = [piece("a", one=list(range(100))), piece("b", one=list(range(50)))]
    found = splitting.divide(pieces, {"a": "a", "b": "b"}, 0.1, 0.2, seed=0, samples=5)
    assert [(p.identity, p.start, p.stop) for p in found["train"]] == [("a[0:70]", 0, 70), ("b[0:35]", 0, 35)]
    assert [(p.start, p.stop) for p in found["validation"]] == [(70, 80), (35, 40)]
    assert found["test"][0].crop("one", 0, 2).tolist() == [[80, 81]]
    with pytest.raises(UsageError, match=r"b is too short .* 5 samples for validation, and an item has 6"):
        splitting.divide(pieces, {"a": "a", "b": "b"}, 0.1, 0.2, seed=0, samples=6)


def test_level_is_of_the_piece_alone_and_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = torch.tensor([[100.0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100], [100.0, 2, 0, 1, 0, 3, 0, 2, 0, 5, 1, 100]])
    long = Piece("a", "a", 1, 11, {"one": ((1, lambda: signal),)})
    inner = signal[:, 1:11]
    for chunk in (1, 3, 4, 5, 9, 10, 11):
        monkeypatch.setattr(splitting, "_SAMPLES_AT_ONCE", chunk)
        assert long.level("one") == pytest.approx(float(inner.square().mean().sqrt()), rel=1e-7)


class Samples:
    """A decoded file of so many samples."""

    def __init__(self, samples: int, **stems: int) -> None:
        self.lengths = {"samples": samples, **stems}

    def tensor(self, name: str) -> torch.Tensor:
        return torch.arange(1.0, self.lengths[name] + 1)[None]


@pytest.mark.parametrize(("samples", "usable"), [(9, False), (10, True), (11, True)])
def test_a_recording_may_be_just_as_long_as_an_item(samples: int, usable: bool) -> None:
    path, problems = Path("a.wav"), []  # type: ignore[var-annotated]
    pieces = splitting.pieces_of_files("one", {path: Samples(samples)}, {path: "d"}, (10, 5), problems)
    assert [len(one) for one in pieces] == ([samples] if usable else [])
    assert problems == ([] if usable else ["a.wav is shorter than an item: 1.8 s, not 2 s"])
    track = splitting.Track("t", "", {"one": path})
    recipes = {"t": {"one": ((1, "one"),)}}
    of_track = splitting.pieces_of_tracks([track], recipes, {path: Samples(samples)}, {path: "d"}, (10, 5), [])
    assert [len(one) for one in of_track] == ([samples] if usable else [])


@pytest.mark.parametrize(("lengths", "usable"), [((20, 21), True), ((20, 22), False)])
def test_stems_may_differ_by_one_sample(lengths: tuple[int, int], usable: bool) -> None:
    paths = [Path("a.wav"), Path("b.wav")]
    track = splitting.Track("t", "", dict(zip("ab", paths, strict=True)))
    decoded = {path: Samples(length) for path, length in zip(paths, lengths, strict=True)}
    recipes = {"t": {"x": ((1, "a"),), "y": ((1, "b"),)}}
    problems: list[str] = []
    pieces = splitting.pieces_of_tracks([track], recipes, decoded, dict.fromkeys(paths, "d"), (10, 5), problems)
    assert [len(one) for one in pieces] == ([20] if usable else [])
    assert problems == ([] if usable else ["t has stems of unequal length: a.wav 4 s, b.wav 4.4 s"])


def test_stems_of_a_packed_file_are_told_apart_by_name() -> None:
    path = Path("a.stem.mp4")
    track = splitting.Track("t", "", {"x": path, "y": path}, packed=True)
    recipes = {"t": {"x": ((1, "x"),), "y": ((-1, "y"),)}}
    (one,) = splitting.pieces_of_tracks([track], recipes, {path: Samples(0, x=12, y=13)}, {path: "d"}, (10, 5), [])
    assert one.crop("x", 11, 1).tolist() == [[12]]
    assert one.crop("y", 0, 2).tolist() == [[-1, -2]]


def test_a_stretch_may_be_just_as_long_as_an_item() -> None:
    found = splitting.divide([piece("a", one=[1.0] * 100)], {"a": "a"}, 0.1, 0.2, seed=0, samples=10)
    assert [len(found[split][0]) for split in SPLITS] == [70, 10, 20]
    assert Crops(found["validation"], ("one",), 10).draw(np.random.default_rng(0))[0].shape == (1, 1, 10)
