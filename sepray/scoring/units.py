"""The units that intervals and tests resample: the recordings, pieces, subjects or images that items were cut from.

Items of one recording resemble each other, so that 80 crops of 2 pieces are no 80 samples: what holds for these pieces
need not hold for others. Statistics therefore are of units (``contracts.Split.units``), and not of items.

Where a mixture is a pair of recordings, as of a mother and a fetus, items are crossed: two mixtures may share one of
their recordings. A table of such scores, a row for each mother and a column for each fetus, has an effect of each row
and of each column. ``Units.of`` makes from it as many
values as the shorter side has units, each the effect of a row and of a column that no other value has, around the mean.
These are independent as far as recordings go, so that tests of single samples hold for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # torch is not needed to read results
    from ..contracts import Split, Tracks

Values = NDArray[np.float64]
UnitCodes = NDArray[np.int64]

ITEMS, TRACKS = "test items", "whole tracks"
"""Words of captions for items and for whole tracks of a test split."""

UNTOLD = "the task does not say which recordings they are cut from"
"""Part of a caption where each item is taken for a unit of its own."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of some items.

    Attributes:
        of_items: for each item its unit, of a mixture of independent recordings one for each (``Split.units``).
        names: what they are called, in the plural (``TaskData.unit_names``).
        told: whether the task says what the units are; else each item is a unit.
    """

    of_items: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    told: bool = True

    @classmethod
    def of_split(cls, split: Split | Tracks, names: tuple[str, ...]) -> Units:
        """Return the units of a split, or of whole tracks; where the task does not say, each item is one."""
        return cls.each(len(split)) if split.units is None else cls(split.units, names)

    @classmethod
    def each(cls, items: int) -> Units:
        """Return units for items of which nothing is known: each item is a unit."""
        return cls(tuple((str(item),) for item in range(items)), ("items",), told=False)

    def __len__(self) -> int:
        return len(self.of_items)

    def take(self, chosen: NDArray[np.bool_]) -> Units:
        """Return the units of the chosen items ``[item]``."""
        kept = tuple(unit for unit, is_chosen in zip(self.of_items, chosen, strict=True) if is_chosen)
        return self if len(kept) == len(self) else Units(kept, self.names, self.told)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of different units of each part of a mixture."""
        return tuple(len({unit[part] for unit in self.of_items}) for part in range(len(self.names)))

    @property
    def words(self) -> str:
        """Numbers and names of the units: ``2 pieces``, ``15 x 15 recordings``, ``8 speakers x 40 clips``."""
        alike = len(set(self.names)) == 1
        each = [f"{n} {_name(name, n)}" for n, name in zip(self.counts, self.names, strict=True)]
        if alike and len(self.counts) > 1:
            return f"{' x '.join(map(str, self.counts))} {_name(self.names[0], max(self.counts))}"
        return " x ".join(each)

    @property
    def name(self) -> str:
        """Name of the units, in the plural."""
        return self.names[0] if len(set(self.names)) == 1 else " and ".join(self.names)

    @cached_property
    def parts(self) -> tuple[UnitCodes, ...]:
        """Numbers of the units ``[item]`` of each part of a mixture that has to be resampled on its own.

        A part whose units each lie within one unit of another part is left out: resampling the latter is enough.
        """
        kept: list[UnitCodes] = []
        for part in range(len(self.names)):
            _, codes = np.unique([unit[part] for unit in self.of_items], return_inverse=True)
            if any(_within(codes, other) for other in kept):
                continue
            kept = [other for other in kept if not _within(other, codes)]
            kept.append(codes.astype(np.int64))
        return tuple(kept)

    @cached_property
    def count(self) -> int:
        """Number of independent units: of a mixture of several the fewest."""
        return min(int(codes.max()) + 1 for codes in self.parts)

    def of(self, values: Values) -> Values:
        """Return one value for each independent unit ``[..., unit]``, from scores or differences ``[..., item]``.

        If the units have one part, the value is the mean over the unit's items; for several parts, see the module. The
        mean of the result is that over units, which is the mean over items where all units have as many.
        """
        means = [_means(values, codes) for codes in self.parts]
        if len(means) == 1:
            return means[0]
        total = values.mean(-1)[..., None]
        random = np.random.default_rng(0)
        dealt = []
        for own in means:
            order = random.permutation(own.shape[-1])
            groups = np.arange(own.shape[-1]) % self.count
            dealt.append(_means(own[..., order], groups))
        combined: Values = np.sum(dealt, axis=0) - (len(dealt) - 1) * total
        return combined

    def plain(self) -> dict[str, Any]:
        """Return the units as JSON values, which ``restored`` reads."""
        return {"names": list(self.names), "of_items": [list(unit) for unit in self.of_items], "told": self.told}

    @classmethod
    def restored(cls, values: Mapping[str, Any] | None, items: int) -> Units:
        """Return the units that ``plain`` described; for a result of an older version without any, each item is one.

        Args:
            values: what ``plain`` returned, or None.
            items: number of items.
        """
        if values is None or len(values["of_items"]) != items:
            return cls.each(items)
        return cls(tuple(map(tuple, values["of_items"])), tuple(values["names"]), bool(values["told"]))


def _name(plural: str, count: int) -> str:
    return plural.removesuffix("s") if count == 1 else plural


def _within(codes: UnitCodes, other: UnitCodes) -> bool:
    """Say whether all items of a unit of ``codes`` are of one unit of ``other``."""
    pairs = np.unique(np.stack([codes, other]), axis=1).shape[1]
    return bool(pairs == len(np.unique(codes)))


def _means(values: Values, codes: UnitCodes) -> Values:
    """Return the mean of ``[..., item]`` over the items of each code, ``[..., code]``."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    counts = np.diff(np.append(starts, len(codes)))
    means: Values = np.add.reduceat(values[..., order], starts, axis=-1) / counts
    return means


def sample_words(kept: Mapping[str, Any] | None, items: int, what: str = ITEMS) -> tuple[str, str]:
    """Return two parts of a caption: what a mean is over, and what its 95% interval is.

    Args:
        kept: what ``Units.plain`` returned; None for the result of an older version, whose intervals are over items.
        items: number of items.
        what: what they are called, in the plural.
    """
    if kept is None:
        return f"{items} {what}", "95% bootstrap interval"
    units = Units.restored(kept, items)
    if not units.told:
        return f"{items} {what}", f"95% interval over items: {UNTOLD}"
    if what == TRACKS and units.counts == (items,):  # each track is a unit, and the unit's name tells it
        return f"{items} whole {_name(units.name, items)}", f"95% interval over {units.name}"
    return f"{items} {what} of {units.words}", f"95% interval over {units.name}"
