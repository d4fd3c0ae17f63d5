"""The small digits that scikit-learn ships, 0-4 against 5-9, mixed pairwise: as section 4.1.1 of the NES paper, but
without a download.

There are 1,797 scans of 8 x 8 pixels in 17 levels of grey (Alpaydin and Kaynak, "Optical recognition of handwritten
digits", UCI 1998). They are not MNIST: the task ``mnist_split`` has that, with the paper's protocol, which is followed
here with fewer images. Each class is divided among the splits, 60, 20 and 20 percent. A mixture is the sum of an image
of each class, pixels in 0..1. Half of the training images of the observed class (the last source) are in mixtures, the
others are shown alone. Each pixel becomes a block of 2 x 2, so that networks can halve the images and SSIM's window
fits.

Example: a study of ``StudySpec(separator="neural_egg", task="digits_split", ...)``.
"""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..contracts import SPLITS, TaskData
from ..data import digits, images, limits
from ..data.images import Pair

_SHARES = (0.6, 0.2, 0.2)
_LEVELS = 16


@dataclass(frozen=True)
class Config:
    """Digits 0-4 and 5-9 of scikit-learn; needs no files."""

    observed: Literal["5-9", "0-4"] = "5-9"
    """Class that separators of one observed source are shown alone (the paper's B); it is the last source."""
    train: int = 1000
    """Number of mixtures in the training split, and of samples of the observed class in it."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    enlarge: int = 2
    """Side of the block of pixels that each pixel of the 8 x 8 becomes."""
    seed: int = 0
    """Random seed of the split and of the mixtures."""

    def __post_init__(self) -> None:
        limits.check(self, {"enlarge": (1, 32), "seed": limits.SEED, **limits.items(10**6)})
        digits.check_observed(self.observed)

    def load(self, cache: Path) -> TaskData:
        """Return the data, mixed anew each time, in a fraction of a second."""
        counts = {name: getattr(self, name) for name in SPLITS}
        return images.task_data(self._pools(), counts, self.seed, digits.sources(self.observed))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
        return images.recordings(self._pools())

    def _pools(self) -> dict[str, Pair]:
        scans, labels = _read()
        block = np.ones((self.enlarge, self.enlarge), dtype=np.uint8)
        return digits.pools(
            [(np.kron(scans, block), labels)],
            self.observed,
            self.seed,
            lambda collections, random: images.divide(collections[0], _SHARES, random),
        )


def _read() -> digits.Labelled:
    """Return scikit-learn's digits, 0 to 255, ``[image, 1, 8, 8]``, and their labels."""
    package = importlib.util.find_spec("sklearn")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    files = [path for folder in folders if (path := Path(folder, "datasets", "data", "digits.csv.gz")).is_file()]
    if files:  # the file has been there since 2010; importing sklearn.datasets takes two seconds
        with gzip.open(files[0], "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)
        pixels, labels = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

        pixels, labels = load_digits(return_X_y=True)
    scans = np.round(pixels.reshape(-1, 1, 8, 8) * (255 / _LEVELS)).astype(np.uint8)
    return scans, labels.astype(np.uint8)


DEBUG = Config(train=24, validation=8, test=8)
"""A few mixtures."""
