"""Units that items were cut from: their words, and the values of units that stand for those of items."""

import numpy as np
import pytest
import torch

from sepray.contracts import Split
from sepray.scoring.units import UNTOLD, Units, sample_words


def pairs(rows, columns, names=("recordings", "recordings")) -> Units:
    return Units(tuple((f"m{a}", f"f{b}") for a, b in zip(rows, columns, strict=True)), names)


def test_units_are_named_as_captions_have_them():
    assert Units((("a",), ("b",), ("a",)), ("pieces",)).words == "2 pieces"
    assert Units((("a",), ("a",)), ("pieces",)).words == "1 piece"
    assert pairs([0, 1, 0], [0, 1, 1]).words == "2 x 2 recordings"
    assert pairs([0, 1, 2], [0, 1, 0], ("speakers", "clips")).words == "3 speakers x 2 clips"
    assert Units.each(80).words == "80 items"


def test_split_whose_task_does_not_say_has_units_of_an_item_each():
    mixture, sources = torch.zeros(3, 1, 4), torch.zeros(3, 2, 1, 4)
    untold = Units.of_split(Split(mixture, sources), ("recordings",))
    assert (untold.told, untold.count, untold.words) == (False, 3, "3 items")
    told = Units.of_split(Split(mixture, sources, units=(("a",), ("b",), ("a",))), ("pieces",))
    assert (told.told, told.count) == (True, 2)


def test_value_of_a_unit_is_the_mean_of_its_items():
    units = Units((("b",), ("a",), ("b",)), ("pieces",))
    assert units.of(np.array([1.0, 5.0, 2.0])).tolist() == [5.0, 1.5]
    assert units.of(np.array([[1.0, 5.0, 2.0], [0.0, 1.0, 0.0]])).tolist() == [[5.0, 1.5], [1.0, 0.0]]


def test_values_of_crossed_units_have_the_effect_of_a_row_and_of_a_column_each():
    """Four mothers and six fetuses, each with each: the mean stays, and no effect is in two values."""
    rows, columns = np.divmod(np.arange(24), 6)
    units = pairs(rows, columns)
    assert (units.counts, units.count) == ((4, 6), 4)
    of_rows, of_columns = np.array([1.0, 2.0, 4.0, 8.0]), 100.0 * np.arange(6)
    found = units.of(of_rows[rows] + of_columns[columns])
    assert found.shape == (4,)
    assert found.mean() == pytest.approx(
        of_rows.mean() + np.mean([np.mean(g) for g in ([0, 4], [1, 5], [2], [3])]) * 100, abs=150
    )
    centred = units.of((of_rows - of_rows.mean())[rows])
    assert sorted(centred) == pytest.approx(sorted(of_rows - of_rows.mean()))


def test_part_within_another_is_not_resampled_on_its_own():
    nested = pairs([0, 0, 1, 1], [0, 1, 2, 3])  # each fetus has one mother only
    assert len(nested.parts) == 1
    assert nested.count == 2
    assert nested.of(np.array([1.0, 3.0, 5.0, 9.0])).tolist() == [2.0, 7.0]
    once = pairs([0, 1, 2], [5, 6, 7])
    assert (len(once.parts), once.count) == (1, 3)


def test_units_of_some_items():
    units = Units((("a",), ("b",), ("c",)), ("pieces",))
    assert units.take(np.array([True, False, True])).of_items == (("a",), ("c",))
    assert units.take(np.array([True] * 3)) is units


def test_json_and_back():
    units = pairs([0, 1], [1, 0])
    again = Units.restored(units.plain(), 2)
    assert (again.of_items, again.names, again.told) == (units.of_items, units.names, True)
    assert not Units.restored(None, 5).told
    assert Units.restored(units.plain(), 3).count == 3  # of other items: not these


def test_captions():
    assert sample_words(None, 24) == ("24 test items", "95% bootstrap interval")
    kept = pairs([0, 1, 0], [0, 1, 1]).plain()
    assert sample_words(kept, 3) == ("3 test items of 2 x 2 recordings", "95% interval over recordings")
    assert sample_words(Units.each(3).plain(), 3) == ("3 test items", f"95% interval over items: {UNTOLD}")


def test_items_of_two_parts_are_dealt_to_units_in_one_order_for_ever():
    of_items = tuple((f"speaker {k % 3}", f"clip {k % 4}") for k in range(12))
    values = np.arange(12.0) ** 2
    found = Units(of_items, ("speakers", "clips")).of(np.stack([values, 2 * values]))
    np.testing.assert_allclose(found[1], 2 * found[0])
    np.testing.assert_allclose(found[0], [54.5, 36.0, 35.0])
