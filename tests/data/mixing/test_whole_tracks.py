"""Whole tracks: names, sums of stems block by block, and noise that is as long as the speech."""

import numpy as np
import pytest
import torch

from sepray.data.mixing import whole_tracks
from sepray.data.mixing.splitting import Piece


def test_names_are_those_of_folders_or_files_and_all_different():
    paths = ["/a/Track 1.5", "/a/Song.stem.mp4", "/b/x/take.wav", "/b/y/take.WAV", "/c/take.flac"]
    assert whole_tracks.track_names(paths) == ["Track 1.5", "Song", "take", "take (2)", "take (3)"]


@pytest.mark.parametrize("at_once", [2, 100])
def test_a_track_of_a_piece_is_its_parts_and_their_sum(at_once, monkeypatch):
    monkeypatch.setattr(whole_tracks, "_SAMPLES_AT_ONCE", at_once)
    first, second, third = (torch.tensor([[1.0, 2, 3, 4, 5]]) * k for k in (1, 10, 100))
    parts = {"a": ((1, lambda: first),), "b": ((1, lambda: second), (-1, lambda: first)), "rest": ((1, lambda: third),)}
    plan = whole_tracks.of_pieces([Piece("/x/Song", "id", 1, 5, parts)], 2, 1)
    out = {name: np.zeros(shape, np.float32) for name, shape in plan.shapes.items()}
    plan.fill(out)
    assert out["0/sources"].tolist() == [[[2, 3, 4, 5]], [[18, 27, 36, 45]]]
    assert out["0/mixture"].tolist() == [[220, 330, 440, 550]]
    assert plan.facts == {"names": ["Song"], "units": [["id"]]}


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(1, 2, [2, 3]), (0, 3, [1, 2, 3]), (2, 3, [3, 1, 2]), (1, 7, [2, 3, 1, 2, 3, 1, 2])],
)
def test_noise_is_taken_from_a_place_on_and_repeated_where_it_ends(start, length, expected):
    assert whole_tracks._repeated(np.array([[1.0, 2, 3]], np.float32), start, length).tolist() == [expected]


def test_pairs_have_their_ratio_over_the_whole_track_and_are_seeded():
    generator = np.random.default_rng(0)
    noise = torch.from_numpy(generator.standard_normal((1, 50)).astype(np.float32))
    quiet = [0.1 * generator.standard_normal((1, n)) for n in (80, 120, 40)]
    speech = [torch.from_numpy(samples.astype(np.float32)) for samples in quiet]
    own = [Piece(f"{k}.wav", f"s{k}", 0, s.shape[1], {"s": ((1, lambda s=s: s),)}) for k, s in enumerate(speech)]
    other = [Piece("n.wav", "n", 0, 50, {"n": ((1, lambda: noise),)})]
    units = ({f"s{k}": f"speaker {k}" for k in range(3)}, {"n": "clip"})
    made = []
    for _ in range(2):
        plan = whole_tracks.of_pairs(own, other, ("s", "n"), (-5.0, 5.0), 3, 9, units)
        out = {name: np.zeros(shape, np.float32) for name, shape in plan.shapes.items()}
        plan.fill(out)
        made.append(out)
    assert all(np.array_equal(made[0][name], made[1][name]) for name in made[0])
    assert plan.facts["units"] == [[f"speaker {k}", "clip"] for k in range(3)]
    for k in range(3):
        assert np.array_equal(made[0][f"{k}/sources"][0], speech[k])
        levels = np.sqrt((made[0][f"{k}/sources"] ** 2).mean((1, 2)))
        assert -5 < 20 * np.log10(levels[0] / levels[1]) < 5
    assert len(whole_tracks.of_pairs(own, other, ("s", "n"), (0, 0), 3, 2, units).facts["names"]) == 2
