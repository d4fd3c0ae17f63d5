"""MNIST digits 0-4 against 5-9, mixed pairwise, as in section 4.1.1 of the neural egg separation paper (NES, 2018).

A mixture is the sum of an image of each class, pixels in 0..1 (the paper: "additively combine"), 28 x 28. Of the class
that is observed (B, the last source) 12,000 training images are shown alone, and each of another 12,000 is mixed with
an image of the other class (X), drawn at random; 5,000 mixtures of test images are scored, by PSNR and SSIM. The paper
has both directions: ``observed``. Where it is silent: a tenth of the training images of either class, in a seeded
order, is the validation split's; a class that has fewer images than mixtures (there are 4,861 test images of 5-9) uses
each of them once before any twice; no pixel is cut off at 1. Images with the same pixels count as one.

In a folder with one pair of files only, all splits are dealt from that one: 60, 20 and 20 percent of its images.

Example: a study of ``StudySpec(separator="neural_egg", task="mnist_split", ...)``, started with
``--task.folder ~/mnist``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..contracts import Signal, TaskData
from ..data import images
from ..data.cache import content_hash
from ..data.images import Images, Pair

EXAMPLE = "example"
_SPLITS = ("train", "validation", "test")
_CLASSES = ("0-4", "5-9")
_VALIDATION_SHARE = 0.1
_SHARES_OF_ONE_SET = (0.6, 0.2, 0.2)
# The bars of a seven-segment display (top, upper left, upper right, middle, lower left, lower right, bottom), by digit.
_BARS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011")


@dataclass(frozen=True)
class Config:
    """Needs the MNIST files (IDX, gzipped or not) in ``folder``; 12,000, 1,000 and 5,000 mixtures."""

    folder: str = ""
    """Folder of train-images-idx3-ubyte, train-labels-idx1-ubyte and the same of t10k, with .gz or without; ``example``
    for a few made-up digits, to try things."""
    observed: Literal["5-9", "0-4"] = "5-9"
    """The class that separators of one observed source are shown alone (the paper's B); it is the last source."""
    train: int = 12000
    """Mixtures in the training split, and samples of the observed class."""
    validation: int = 1000
    """Mixtures in the validation split."""
    test: int = 5000
    """Mixtures in the test split."""
    size: int = 28
    """Pixels a side; more than 28 gives a black margin, for networks that need a power of two."""
    seed: int = 0
    """Of all choices."""

    def __post_init__(self) -> None:
        limits = {"size": (28, 256), "seed": (0, 2**63 - 1)} | dict.fromkeys(_SPLITS, (1, 10**6))
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        if self.observed not in _CLASSES:
            raise ValueError(f"observed must be 5-9 or 0-4, not {self.observed}")

    def load(self, cache: Path) -> TaskData:
        """Return the data, mixed anew from the files each time, which takes seconds.

        Raises:
            ValueError: the files are not there or damaged; the message says which.
        """
        splits = images.splits(self._pools(cache), {name: getattr(self, name) for name in _SPLITS}, self.seed)
        signal = Signal(self._sources(), 1, (self.size, self.size), None)
        fingerprint = content_hash(images.content(splits), {"sources": signal.sources})
        return TaskData(signal, splits["train"], splits["validation"], splits["test"], fingerprint)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
        pools = self._pools(cache)
        return {n: images.digests(pair.first) + images.digests(pair.second) for n, pair in pools.items()}

    def _sources(self) -> tuple[str, str]:
        return (_CLASSES[1], _CLASSES[0]) if self.observed == _CLASSES[0] else _CLASSES

    def _pools(self, cache: Path) -> dict[str, Pair]:
        """Return the images of each split, by class in the order of the sources."""
        sets = self._read(cache)
        order = [_CLASSES.index(source) for source in self._sources()]
        dealt: list[list[Images]] = []
        for place in order:
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, place)))
            own = images.without_copies(*(_of_class(digits, labels, place) for digits, labels in sets))
            if len(own) == 1:
                dealt.append(images.deal(own[0], _SHARES_OF_ONE_SET, random))
            else:
                training = images.deal(own[0], (1 - _VALIDATION_SHARE, _VALIDATION_SHARE), random)
                dealt.append([*training, own[1]])
        first, second = dealt
        # As the paper: as many images to show alone as there are mixtures, and no more.
        second[0] = second[0][: max(2, 2 * self.train)]
        return {name: Pair(first[k], second[k]) for k, name in enumerate(_SPLITS)}

    def _read(self, cache: Path) -> list[tuple[Images, NDArray[np.uint8]]]:
        """Return images and labels of the training and the test files, or of those that are there."""
        if not self.folder:
            raise ValueError(
                "mnist_split needs the MNIST files (train-images-idx3-ubyte.gz and the other three, "
                "http://yann.lecun.com/exdb/mnist): name their folder with --task.folder; digits_split needs none"
            )
        folder = Path(self.folder).expanduser()
        if self.folder == EXAMPLE:
            folder = cache / "mnist-example"
            _write_example(folder)
        found = [one for prefix in ("train", "t10k") if (one := _pair_of_files(folder, prefix)) is not None]
        if not found:
            raise ValueError(f"{folder} holds neither train-images-idx3-ubyte(.gz) nor t10k-images-idx3-ubyte(.gz)")
        margin = self.size - found[0][0].shape[-1]
        widths = ((0, 0), (0, 0), (margin // 2, margin - margin // 2), (margin // 2, margin - margin // 2))
        return [(np.pad(digits, widths), labels) for digits, labels in found]


def _of_class(digits: Images, labels: NDArray[np.uint8], place: int) -> Images:
    """Return the images of digits 0-4 (place 0) or 5-9 (place 1)."""
    found: Images = digits[(labels >= 5) == bool(place)]
    return found


def _pair_of_files(folder: Path, prefix: str) -> tuple[Images, NDArray[np.uint8]] | None:
    """Return images ``[image, 1, 28, 28]`` and labels; None where there are no such files."""
    paths = [_file(folder, f"{prefix}-{kind}") for kind in ("images{}idx3-ubyte", "labels{}idx1-ubyte")]
    if paths[0] is None:
        return None
    if paths[1] is None:
        raise ValueError(f"{folder} has {paths[0].name}, but not the labels, {prefix}-labels-idx1-ubyte(.gz)")
    digits, labels = (images.read_idx(path) for path in paths if path is not None)
    if digits.ndim != 3 or digits.shape[1:] != (28, 28):
        raise ValueError(f"{paths[0]} holds no images of 28 x 28 pixels, but an array of {list(digits.shape)}")
    if labels.shape != digits.shape[:1]:
        raise ValueError(f"{paths[1]} has {labels.size} labels, and {paths[0].name} has {len(digits)} images")
    if labels.size and labels.max() > 9:
        raise ValueError(f"{paths[1]} has the label {labels.max()}, which is no digit")
    return digits[:, None], labels


def _file(folder: Path, pattern: str) -> Path | None:
    names = [pattern.format(dot) + ending for dot in "-." for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _write_example(folder: Path) -> None:
    """Write made-up digits in MNIST's files: a seven-segment display, moved about and of varying strength."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", 120), ("t10k", 60)):
        labels = np.arange(count, dtype=np.uint8) % 10
        digits = np.zeros((count, 28, 28), dtype=np.uint8)
        for digit, label in zip(digits, labels, strict=True):
            top, left = random.integers(1, 6, size=2)
            _draw(digit[top : top + 20, left : left + 14], _BARS[label], int(random.integers(120, 256)))
        for kind, array in (("images-idx3", digits), ("labels-idx1", labels)):
            partial = folder / f".{prefix}-{kind}-{os.getpid()}"
            images.write_idx(partial, array)
            partial.replace(folder / f"{prefix}-{kind}-ubyte")


def _draw(canvas: NDArray[np.uint8], bars: str, strength: int) -> None:
    """Draw the bars of a digit, two pixels wide, into 20 x 14 pixels."""
    top, middle, bottom, across = slice(0, 2), slice(9, 11), slice(18, 20), slice(0, 14)
    left, right, upper, lower = slice(0, 2), slice(12, 14), slice(0, 11), slice(9, 20)
    crosswise = (top, across), (middle, across), (bottom, across)
    upright = (upper, left), (upper, right), (lower, left), (lower, right)
    places = (crosswise[0], *upright[:2], crosswise[1], *upright[2:], crosswise[2])
    for bar, place in zip(bars, places, strict=True):
        if bar == "1":
            canvas[place] = strength


DEBUG = Config(folder=EXAMPLE, train=24, validation=8, test=8)
"""Made-up digits, written as IDX files and read again, in a tenth of a second."""
