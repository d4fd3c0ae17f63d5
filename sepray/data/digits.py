"""Mixtures of two classes of digits, 0-4 and 5-9, as in section 4.1.1 of the NES paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..contracts import SPLITS
from ..errors import UsageError
from . import images
from .images import Images, Pair

CLASSES = ("0-4", "5-9")
"""Names of the classes, which are the sources."""

Labelled = tuple[Images, NDArray[np.uint8]]
"""Images ``[image, 1, height, width]`` and their labels ``[image]``, 0 to 9."""


def check_observed(observed: str) -> None:
    """Refuse a class that does not exist.

    Raises:
        UsageError: always in this case.
    """
    if observed not in CLASSES:
        raise UsageError(f"observed must be 5-9 or 0-4, not {observed}")


def sources(observed: str) -> tuple[str, str]:
    """Return the classes in the order of the sources: the observed one is the last."""
    return (CLASSES[1], CLASSES[0]) if observed == CLASSES[0] else CLASSES


def pools(
    labelled: Sequence[Labelled],
    observed: str,
    seed: int,
    divide: Callable[[list[Images], np.random.Generator], Sequence[Images]],
) -> dict[str, Pair]:
    """Return the images of each split, by class in the order of the sources.

    Args:
        labelled: one or more collections of images (training and test files); copies are left out.
        observed: class that is the last source.
        seed: random seed of the division.
        divide: function that divides the images of one class among the three splits; it is given a list with the images
            of each collection.
    """
    divided: Mapping[str, Sequence[Images]] = {
        name: divide(
            images.without_copies(*(digits[(labels >= 5) == bool(k)] for digits, labels in labelled)),
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, k))),
        )
        for k, name in enumerate(CLASSES)
    }
    first, second = (divided[source] for source in sources(observed))
    return {split: Pair(first[k], second[k]) for k, split in enumerate(SPLITS)}
