"""MNIST digits 0-4 against 5-9, mixed pairwise, as in section 4.1.1 of the neural egg separation paper (NES, 2018).

A mixture is the sum of an image of each class, pixels in 0..1 (the paper: "additively combine"). Images have 32 x 32
pixels, the files' 28 x 28 with a black margin, because those of appendix A.1 have 32 x 32 (it does not say how they
were made). 12,000 training images of the observed class (B, the last source) are shown alone, and each of another
12,000 is mixed with an image of the other class (X), drawn at random. 5,000 mixtures of test images are scored, by PSNR
and SSIM. The paper has both directions (``observed``). Chosen here, where the paper is silent:

- The validation split has a tenth of the training images of either class, in a seeded order.
- Where the observed class has fewer images than there are mixtures (4,861 test images of 5-9), each is used once before
  any is used twice.
- Sums above 1 are kept, and images with the same pixels count as one.

Where a folder has only one pair of files, it is divided among the splits: 60, 20 and 20 percent of its images.

Example: a study of ``StudySpec(separator="neural_egg", task="mnist_split", ...)``, started with
``--task.folder ~/mnist``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..contracts import SPLITS, TaskData
from ..data import digits, images, limits
from ..data.images import Images, Pair
from ..disk.files import refuse_links
from ..errors import UsageError

EXAMPLE = "example"
_VALIDATION_SHARE = 0.1
_SHARES_OF_ONE_SET = (0.6, 0.2, 0.2)
# The bars of a seven-segment display (top, upper left, upper right, middle, lower left, lower right, bottom), by digit.
_BARS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011")


@dataclass(frozen=True)
class Config:
    """Needs the MNIST files (IDX, gzipped or not) in folder; 12,000, 1,000 and 5,000 mixtures."""

    folder: str = ""
    """Folder with MNIST's four files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-...,
    t10k-labels-...), gzipped (.gz) or not; or example, which makes a few digits to try the task."""
    observed: Literal["5-9", "0-4"] = "5-9"
    """Class that separators of one observed source are shown alone (the paper's B); it is the last source."""
    train: int = 12000
    """Number of mixtures in the training split, and of samples of the observed class in it."""
    validation: int = 1000
    """Number of mixtures in the validation split."""
    test: int = 5000
    """Number of mixtures in the test split."""
    size: int = 32
    """Height and width in pixels; more than 28 adds a black margin. PSNR and SSIM count it."""
    seed: int = 0
    """Random seed of the split and of the mixtures."""

    def __post_init__(self) -> None:
        limits.check(self, {"size": (28, 256), "seed": limits.SEED, **limits.items(10**6)})
        digits.check_observed(self.observed)

    def load(self, cache: Path) -> TaskData:
        """Return the data, mixed anew from the files each time, which takes seconds.

        Raises:
            UsageError: a file is missing or damaged; the message says which.
        """
        counts = {name: getattr(self, name) for name in SPLITS}
        return images.task_data(self._pools(cache), counts, self.seed, digits.sources(self.observed))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
        return images.recordings(self._pools(cache))

    def _pools(self, cache: Path) -> dict[str, Pair]:
        """Return the images of each split, by class in the order of the sources."""
        pools = digits.pools(self._read(cache), self.observed, self.seed, _divided)
        first, second = pools["train"]
        # As in the paper: as many images to show alone as there are mixtures, and no more.
        return {**pools, "train": Pair(first, second[: max(2, 2 * self.train)])}

    def _read(self, cache: Path) -> list[digits.Labelled]:
        """Return images and labels of the training and the test files, or of one pair if there is only one."""
        if not self.folder:
            raise UsageError(
                "mnist_split needs the MNIST files (train-images-idx3-ubyte.gz and the other three, "
                "http://yann.lecun.com/exdb/mnist): name their folder with --task.folder; digits_split needs none"
            )
        folder = Path(self.folder).expanduser()
        if self.folder == EXAMPLE:
            folder = cache / "mnist-example"
            _write_example(folder)
        pairs = [pair for prefix in ("train", "t10k") if (pair := _pair_of_files(folder, prefix)) is not None]
        if not pairs:
            raise UsageError(f"{folder} holds neither train-images-idx3-ubyte(.gz) nor t10k-images-idx3-ubyte(.gz)")
        margin = self.size - pairs[0][0].shape[-1]
        widths = ((0, 0), (0, 0), (margin // 2, margin - margin // 2), (margin // 2, margin - margin // 2))
        return [(np.pad(pixels, widths), labels) for pixels, labels in pairs]


def _divided(collections: list[Images], random: np.random.Generator) -> list[Images]:
    """Divide the images of one class, given for training and test files (or one of them), among the splits."""
    if len(collections) == 1:
        return images.divide(collections[0], _SHARES_OF_ONE_SET, random)
    return [*images.divide(collections[0], (1 - _VALIDATION_SHARE, _VALIDATION_SHARE), random), collections[1]]


def _pair_of_files(folder: Path, prefix: str) -> digits.Labelled | None:
    """Return images ``[image, 1, 28, 28]`` and labels ``[image]``; None if there are no such files."""
    paths = [_file(folder, f"{prefix}-{kind}") for kind in ("images{}idx3-ubyte", "labels{}idx1-ubyte")]
    if paths[0] is None:
        return None
    if paths[1] is None:
        raise UsageError(f"{folder} has {paths[0].name}, but not the labels, {prefix}-labels-idx1-ubyte(.gz)")
    refuse_links([path for path in paths if path is not None], folder)
    pixels, labels = (images.read_idx(path) for path in paths if path is not None)
    if pixels.ndim != 3 or pixels.shape[1:] != (28, 28):
        raise UsageError(f"{paths[0]} holds no images of 28 x 28 pixels, but an array of {list(pixels.shape)}")
    if labels.shape != pixels.shape[:1]:
        raise UsageError(f"{paths[1]} has {labels.size} labels, and {paths[0].name} has {len(pixels)} images")
    if labels.size and labels.max() > 9:
        raise UsageError(f"{paths[1]} has the label {labels.max()}, which is no digit")
    return pixels[:, None], labels


def _file(folder: Path, pattern: str) -> Path | None:
    names = [pattern.format(dot) + ending for dot in "-." for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _write_example(folder: Path) -> None:
    """Write made-up digits in MNIST's files: a seven-segment display, moved about and of varying strength."""
    random = np.random.default_rng(0)
    for prefix, count in (("train", 120), ("t10k", 60)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = np.zeros((count, 28, 28), dtype=np.uint8)
        for digit, label in zip(pixels, labels, strict=True):
            top, left = random.integers(1, 6, size=2)
            _draw(digit[top : top + 20, left : left + 14], _BARS[label], int(random.integers(120, 256)))
        images.write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels)
        images.write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)


def _draw(canvas: NDArray[np.uint8], bars: str, strength: int) -> None:
    """Draw the bars of a digit, two pixels wide, into 20 x 14 pixels."""
    top, middle, bottom, across = slice(0, 2), slice(9, 11), slice(18, 20), slice(0, 14)
    left, right, upper, lower = slice(0, 2), slice(12, 14), slice(0, 11), slice(9, 20)
    crosswise = (top, across), (middle, across), (bottom, across)
    upright = (upper, left), (upper, right), (lower, left), (lower, right)
    order = (crosswise[0], *upright[:2], crosswise[1], *upright[2:], crosswise[2])
    for bar, pixels in zip(bars, order, strict=True):
        if bar == "1":
            canvas[pixels] = strength


DEBUG = Config(folder=EXAMPLE, train=24, validation=8, test=8)
"""Made-up digits, written as IDX files and read again, in a tenth of a second."""
