"""The small digits that scikit-learn ships, 0-4 against 5-9, mixed pairwise: NES section 4.1.1 without a download.

1,797 scans of 8 x 8 pixels in 17 levels of grey (Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI
1998), not MNIST: the task ``mnist_split`` has that, and the paper's protocol, which is followed here with fewer images.
Each class is dealt to the splits, 60, 20 and 20 percent. A mixture is the sum of an image of each, pixels in 0..1.
Half of the training images of the observed class (the last source) are in mixtures, the others are shown alone.
Pixels are enlarged to blocks of 2 x 2, so that networks have something to halve and SSIM's window something to see.

Example: a study of ``StudySpec(separator="neural_egg", task="digits_split", ...)``.
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..contracts import Signal, TaskData
from ..data import images
from ..data.cache import content_hash
from ..data.images import Images, Pair

_SPLITS = ("train", "validation", "test")
_CLASSES = ("0-4", "5-9")
_SHARES = (0.6, 0.2, 0.2)
_LEVELS = 16


@dataclass(frozen=True)
class Config:
    """The task; its images come with scikit-learn."""

    observed: Literal["5-9", "0-4"] = "5-9"
    """The class that separators of one observed source are shown alone (the paper's B); it is the last source."""
    train: int = 1000
    """Mixtures in the training split, and samples of the observed class."""
    validation: int = 200
    """Mixtures in the validation split."""
    test: int = 200
    """Mixtures in the test split."""
    enlarge: int = 2
    """Pixels a side that each pixel of the 8 x 8 becomes."""
    seed: int = 0
    """Of all choices."""

    def __post_init__(self) -> None:
        limits = {"enlarge": (1, 32), "seed": (0, 2**63 - 1)} | dict.fromkeys(_SPLITS, (1, 10**6))
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        if self.observed not in _CLASSES:
            raise ValueError(f"observed must be 5-9 or 0-4, not {self.observed}")

    def load(self, cache: Path) -> TaskData:
        """Return the data, mixed anew each time, in a fraction of a second."""
        splits = images.splits(self._pools(), {name: getattr(self, name) for name in _SPLITS}, self.seed)
        signal = Signal(self._sources(), 1, (8 * self.enlarge,) * 2, None)
        fingerprint = content_hash(images.content(splits), {"sources": signal.sources})
        return TaskData(signal, splits["train"], splits["validation"], splits["test"], fingerprint)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
        pools = self._pools()
        return {n: images.digests(pair.first) + images.digests(pair.second) for n, pair in pools.items()}

    def _sources(self) -> tuple[str, str]:
        return (_CLASSES[1], _CLASSES[0]) if self.observed == _CLASSES[0] else _CLASSES

    def _pools(self) -> dict[str, Pair]:
        digits, labels = _read()
        block = np.ones((self.enlarge, self.enlarge), dtype=np.uint8)
        enlarged = np.kron(digits, block)
        dealt = []
        for source in self._sources():
            place = _CLASSES.index(source)
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, place)))
            (own,) = images.without_copies(enlarged[(labels >= 5) == bool(place)])
            dealt.append(images.deal(own, _SHARES, random))
        first, second = dealt
        return {name: Pair(first[k], second[k]) for k, name in enumerate(_SPLITS)}


def _read() -> tuple[Images, np.ndarray[tuple[int], np.dtype[np.uint8]]]:
    """Return scikit-learn's digits, 0 to 255, ``[image, 1, 8, 8]``, and their labels."""
    found = importlib.util.find_spec("sklearn")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    files = [path for place in places if (path := Path(place, "datasets", "data", "digits.csv.gz")).is_file()]
    if files:  # where it has been since 2010; importing sklearn.datasets takes two seconds
        with gzip.open(files[0], "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)
        digits, labels = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

        digits, labels = load_digits(return_X_y=True)
    levels = np.round(digits.reshape(-1, 1, 8, 8) * (255 / _LEVELS)).astype(np.uint8)
    return levels, labels.astype(np.uint8)


DEBUG = Config(train=24, validation=8, test=8)
"""A few mixtures of them."""
