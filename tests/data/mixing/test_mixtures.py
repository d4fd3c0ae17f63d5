"""Crops of pieces and mixtures of these."""

import numpy as np
import pytest

from sepray.contracts import SPLITS
from sepray.data.mixing import mixtures
from sepray.data.mixing.mixtures import Crops

from .pieces import piece


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
