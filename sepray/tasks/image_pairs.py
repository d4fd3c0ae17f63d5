"""Two collections of images mixed pairwise: shoes and handbags, as in section 4.1.2 of the NES paper, or your own.

A mixture is the sum of a random image of the first collection and one of the second, pixels in 0..1, nothing cut off.
The paper takes the Shoes of Yu and Grauman (2014) and the Handbags of Zhu et al. (2016), 5,000 images of the observed
collection to be shown alone, and other 5,000 for the mixtures; it has both directions: exchange the two folders. The
second one is observed. Where it is silent: 64 x 64 pixels (its size for GLO masking), colour, the middle square of a
picture, 80, 10 and 10 percent of each collection for the splits, in a seeded order that depends on the images alone.
Pictures with the same pixels count as one, in whichever folder they are, so that none is in two splits.

A collection is a folder (with all below it), or a zip or tar file, read in place. The files of edges2shoes and
edges2handbags, half drawing and half photograph, need ``--task.part right``.

Example: a study of ``StudySpec(separator="neural_egg", task="image_pairs", ...)``, started with
``--task.first ~/shoes --task.second ~/handbags.zip``.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import Signal, TaskData
from ..data import images
from ..data.cache import cached, content_hash, in_parallel
from ..data.images import Images, Pair, Picture

EXAMPLE = "example"
_SPLITS = ("train", "validation", "test")
_SHARES = (0.8, 0.1, 0.1)
_VERSION = 1


@dataclass(frozen=True)
class Config:
    """Needs two folders (or zip or tar files) of pictures: ``first`` and ``second``."""

    first: str = ""
    """Pictures of the first source, e.g. shoes: a folder, or a zip or tar file; ``example`` for a few made-up ones."""
    second: str = ""
    """Pictures of the second source, e.g. handbags, which is the observed one; likewise."""
    names: tuple[str, str] = ("shoes", "handbags")
    """What the two sources are called."""
    train: int = 5000
    """Mixtures in the training split, and samples of the observed source."""
    validation: int = 500
    """Mixtures in the validation split."""
    test: int = 1000
    """Mixtures in the test split."""
    size: int = 64
    """Pixels a side."""
    colour: bool = True
    """Red, green and blue as three channels; else one of grey."""
    part: Literal["whole", "left", "right"] = "whole"
    """The half of each picture that is used."""
    skip_bad: bool = False
    """Leave damaged pictures out, and say which, instead of refusing the folder."""
    seed: int = 0
    """Of all choices."""

    def __post_init__(self) -> None:
        limits = {"size": (8, 1024), "seed": (0, 2**63 - 1)} | dict.fromkeys(_SPLITS, (1, 10**6))
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        if len(set(self.names)) != 2 or not all(name and "/" not in name for name in self.names):
            raise ValueError(f"names must be two different ones without a slash, not {' and '.join(self.names)}")
        if self.part not in ("whole", "left", "right"):
            raise ValueError(f"part must be whole, left or right, not {self.part}")

    def load(self, cache: Path) -> TaskData:
        """Return the data; the pictures are decoded once and kept in the folder ``cache``.

        Raises:
            ValueError: a folder is not there or holds nothing usable, or a picture is damaged; the message says which.
        """
        splits = images.splits(self._pools(cache), {name: getattr(self, name) for name in _SPLITS}, self.seed)
        signal = Signal(tuple(self.names), 3 if self.colour else 1, (self.size, self.size), None)
        fingerprint = content_hash(images.content(splits), {"sources": signal.sources})
        return TaskData(signal, splits["train"], splits["validation"], splits["test"], fingerprint)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
        pools = self._pools(cache)
        return {n: images.digests(pair.first) + images.digests(pair.second) for n, pair in pools.items()}

    def _pools(self, cache: Path) -> dict[str, Pair]:
        """Return the images of each split, of the first source and of the second."""
        read = [self._decoded(place, k, cache) for k, place in enumerate((self.first, self.second))]
        dealt = []
        for k, own in enumerate(images.without_copies(*read)):
            ordered = own[np.argsort(images.digests(own))]  # not as the files are called or lie
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, k)))
            try:
                dealt.append(images.deal(ordered, _SHARES, random))
            except ValueError as error:
                raise ValueError(f"{(self.first, self.second)[k]}: {error}") from None
        return {name: Pair(dealt[0][k], dealt[1][k]) for k, name in enumerate(_SPLITS)}

    def _decoded(self, given: str, k: int, cache: Path) -> Images:
        """Return the images of a collection, from the cache where they are there; say which were left out."""
        if not given:
            name = ("first", "second")[k]
            raise ValueError(f"image_pairs needs two folders (or zip or tar files) of pictures: give --task.{name}")
        place = Path(given).expanduser()
        if given == EXAMPLE:
            place = cache / "image-pairs-example" / str(k)
            _write_example(place, round_ones=not k)
        pictures = images.pictures(place)
        files = [place] if place.is_file() else [Path(picture.name) for picture in pictures]
        key = {
            "files": [
                [file.relative_to(place).as_posix(), file.stat().st_size, file.stat().st_mtime_ns] for file in files
            ],
            "folder": str(place.absolute()),
            "form": [self.size, self.colour, self.part],
            "version": _VERSION,
        }
        found = cached(cache, "images", key, lambda: self._decode(place, pictures))
        left_out: list[str] = json.loads(found["left_out"].numpy().tobytes())
        if left_out and not self.skip_bad:
            more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
            raise ValueError(f"{left_out[0]}{more}; --task.skip-bad leaves such pictures out")
        if left_out:
            print(
                f"{place}: left out {len(left_out)} of {len(pictures)} pictures", *left_out, sep="\n  ", file=sys.stderr
            )
        return found["images"].numpy()

    def _decode(self, place: Path, pictures: list[Picture]) -> dict[str, torch.Tensor]:
        one = partial(_decoded_or_why, size=self.size, colour=self.colour, part=self.part)
        results = in_parallel(one, pictures, f"pictures of {place.name}")
        sound = [result for result in results if not isinstance(result, str)]
        left_out = [result for result in results if isinstance(result, str)]
        if not sound:
            raise ValueError(f"{place} holds nothing usable: {left_out[0]}")
        notes = np.frombuffer(json.dumps(left_out).encode(), dtype=np.uint8).copy()
        return {"images": torch.from_numpy(np.stack(sound)), "left_out": torch.from_numpy(notes)}


def _decoded_or_why(picture: Picture, size: int, colour: bool, part: str) -> NDArray[np.uint8] | str:
    try:
        return images.decode(picture, size, colour, part)
    except ValueError as error:
        return str(error)


def _write_example(folder: Path, round_ones: bool) -> None:
    """Write a few made-up pictures: discs, or upright stripes, of varying place and colour."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:16, :16]
    for index in range(40):
        path = folder / f"{index:02d}.png"
        if path.exists():
            continue
        random = np.random.default_rng((int(round_ones), index))
        centre, radius = random.uniform(4, 12, size=2), random.uniform(2, 5)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        stripes = (x + int(centre[0])) // max(1, int(radius)) % 2 == 0
        shape = disc if round_ones else stripes
        colours = shape[..., None] * random.integers(80, 256, size=3)
        written = folder / f".{index:02d}-{os.getpid()}.part"
        Image.fromarray(colours.astype(np.uint8)).save(written, format="png")
        written.replace(path)


DEBUG = Config(first=EXAMPLE, second=EXAMPLE, train=24, validation=4, test=4, size=16)
"""Eighty made-up pictures, written as PNG and read again, in half a second."""
