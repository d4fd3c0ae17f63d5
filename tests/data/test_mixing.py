from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import SPLITS
from sepray.data.mixing import mixtures, recording_folders, splitting
from sepray.data.mixing.mixtures import Crops
from sepray.data.mixing.splitting import Piece
from sepray.errors import UsageError


def piece(name: str, **sources: list[float]) -> Piece:
    parts = {source: ((1, lambda v=values: torch.tensor([v])),) for source, values in sources.items()}
    return Piece(name, name, 0, len(next(iter(sources.values()))), parts)


def test_piece_adds_up_its_parts_within_its_stretch() -> None:
    first, second = torch.tensor([[1.0, 2, 3, 4, 5]]), torch.tensor([[10.0, 20, 30, 40, 50]])
    made = Piece("a", "a", 1, 5, {"rest": ((1, lambda: second), (-1, lambda: first)), "none": ()})
    assert len(made) == 4
    assert made.crop("rest", 1, 2).tolist() == [[27, 36]]
    assert made.crop("none", 1, 2).tolist() == [[0, 0]]
    assert made.level("rest") == pytest.approx(((18**2 + 27**2 + 36**2 + 45**2) / 4) ** 0.5)


def test_crops_are_redrawn_until_every_source_is_heard() -> None:
    loud, late = [1.0] * 100, [0.0] * 60 + [1.0] * 40
    crops = Crops([piece("a", loud=loud, late=late)], ("loud", "late"), 10)
    random = np.random.default_rng(0)
    heard = [mixtures.rms(crops.draw(random)) for _ in range(200)]
    assert np.min([one[1] for one in heard]) > 0
    alone = Crops([piece("a", loud=loud, late=late)], ("loud", "late"), 10, audible=1)
    silent = np.mean([mixtures.rms(alone.draw(random))[1] == 0 for _ in range(500)])
    assert silent == pytest.approx(51 / 91, abs=0.08)  # starts 0 to 50 of 0 to 90


def test_turns_go_round() -> None:
    crops = Crops([piece(str(k), one=[float(k)] * 4) for k in (1, 2, 3)], ("one",), 2)
    random = np.random.default_rng(0)
    assert [float(crops.draw(random, turn)[0, 0, 0]) for turn in range(5)] == [1, 2, 3, 1, 2]


def test_partition_is_seeded_and_complete() -> None:
    names = [f"{k:02d}" for k in range(20)]
    cut = splitting.partition(names, 3, 4, 0)
    assert [len(cut[split]) for split in ("train", "validation", "test")] == [13, 3, 4]
    assert sorted(cut["train"] + cut["validation"] + cut["test"]) == names
    assert splitting.partition(reversed(names), 3, 4, 0) == cut
    assert splitting.partition(names, 3, 4, 1) != cut


@pytest.mark.parametrize(
    ("count", "fraction", "expected"), [(100, 0.1, 10), (3, 0.1, 1), (3, 0.5, 1), (4, 0.5, 1), (14, 0.2, 3)]
)
def test_share(count: int, fraction: float, expected: int) -> None:
    assert splitting.share(count, fraction) == expected


def test_groups_stay_together() -> None:
    pieces = [piece(f"{speaker}{take}", one=[0.0] * 10) for speaker in "abcdef" for take in range(3)]
    groups = {one.identity: one.name[0] for one in pieces}
    found = splitting.divided(pieces, groups, 0.2, 0.3, seed=0, samples=5)
    speakers = [{one.name[0] for one in found[split]} for split in SPLITS]
    assert [len(several) for several in speakers] == [3, 1, 2]
    assert set.union(*speakers) == set("abcdef")
    assert sum(len(found[split]) for split in SPLITS) == 18


def test_two_recordings_are_cut_in_time() -> None:
    pieces = [piece("a", one=list(range(100))), piece("b", one=list(range(50)))]
    found = splitting.divided(pieces, {"a": "a", "b": "b"}, 0.1, 0.2, seed=0, samples=5)
    assert [(p.identity, p.start, p.stop) for p in found["train"]] == [("a[0:70]", 0, 70), ("b[0:35]", 0, 35)]
    assert [(p.start, p.stop) for p in found["validation"]] == [(70, 80), (35, 40)]
    assert found["test"][0].crop("one", 0, 2).tolist() == [[80, 81]]
    with pytest.raises(UsageError, match=r"b is too short .* 5 samples for validation, and an item has 6"):
        splitting.divided(pieces, {"a": "a", "b": "b"}, 0.1, 0.2, seed=0, samples=6)


def test_gain() -> None:
    assert mixtures.gain(20) == 10
    assert mixtures.gain(-6.0206) == pytest.approx(0.5, rel=1e-5)


def test_synthesised_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "a").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recording_folders.synthesised(tmp_path, "x", fail)
    assert list(tmp_path.iterdir()) == []
    made = recording_folders.synthesised(tmp_path, "x", lambda folder: (folder / "a").touch())
    assert [path.name for path in made.iterdir()] == ["a"]
    assert recording_folders.synthesised(tmp_path, "x", lambda folder: pytest.fail("made again")) == made
