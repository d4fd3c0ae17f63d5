"""Two collections of images mixed pairwise: shoes and handbags, as in section 4.1.2 of the NES paper, or your own.

A mixture is the sum of a random image of the first collection and one of the second. Pixels are in 0..1, and sums above
1 are kept. The paper takes the Shoes of Yu and Grauman (2014) and the Handbags of Zhu et al. (2016), 5,000 images of
the observed collection to be shown alone, and others for the mixtures. The second folder is the observed one; the paper
has both directions: exchange the folders. Chosen here, where the paper is silent: 64 x 64 pixels (its size for GLO
masking), colour, and the middle square of a picture. The splits get 80, 10 and 10 percent of each collection, in a
seeded order that depends only on the images. Pictures with the same pixels count as one, in whichever folder they are,
so that none is in two splits.

A collection is a folder (with all below it), or a zip or tar file, read in place. The files of edges2shoes and
edges2handbags, half drawing and half photograph, need ``--task.part right``.

Example: a study of ``StudySpec(separator="neural_egg", task="image_pairs", ...)``, started with
``--task.first ~/shoes --task.second ~/handbags.zip``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import SPLITS, TaskData
from ..data import images, left_out, limits
from ..data.cache import cached
from ..data.images import Images, Pair, Picture
from ..data.parallel import in_parallel
from ..disk.files import replace_file
from ..errors import UsageError
from ..signal_checks import check_source_names

EXAMPLE = "example"
_EXAMPLES = {"example:discs": True, "example:stripes": False}
_SHARES = (0.8, 0.1, 0.1)
_VERSION = 1


@dataclass(frozen=True)
class Config:
    """Needs two folders (or zip or tar files) of pictures: first and second."""

    first: str = ""
    """Pictures of the first source, e.g. shoes: a folder, a zip or a tar file; or example, which makes a few pictures
    of discs (example:stripes: of stripes)."""
    second: str = ""
    """Pictures of the second source, e.g. handbags, which is the observed one: a folder, a zip or a tar file; or
    example, which makes a few pictures of stripes (example:discs: of discs)."""
    names: tuple[str, str] = ("shoes", "handbags")
    """Names of the two sources."""
    train: int = 5000
    """Number of mixtures in the training split, and of samples of the observed source in it."""
    validation: int = 500
    """Number of mixtures in the validation split."""
    test: int = 1000
    """Number of mixtures in the test split."""
    size: int = 64
    """Height and width of an image in pixels."""
    colour: bool = True
    """Give images three channels (red, green, blue) instead of one (grey)."""
    part: Literal["whole", "left", "right"] = "whole"
    """Part of each picture that is used: all of it, or its left or right half."""
    skip_bad: bool = False
    """Leave out damaged pictures, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split and of the mixtures."""

    def __post_init__(self) -> None:
        limits.check(self, {"size": (8, 1024), "seed": limits.SEED, **limits.items(10**6)})
        if len(self.names) != 2:
            raise UsageError(f"names must be two, not {len(self.names)}")
        check_source_names(self.names, "names")
        if self.part not in ("whole", "left", "right"):
            raise UsageError(f"part must be whole, left or right, not {self.part}")

    def load(self, cache: Path) -> TaskData:
        """Return the data; the pictures are decoded once and kept in the folder ``cache``.

        Raises:
            UsageError: a folder is missing or holds nothing usable, or a picture is damaged; the message says which.
        """
        counts = {name: getattr(self, name) for name in SPLITS}
        first, second = self.names
        return images.task_data(self._pools(cache), counts, self.seed, (first, second))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
        return images.recordings(self._pools(cache))

    def _pools(self, cache: Path) -> dict[str, Pair]:
        """Return the images of each split, of the first source and of the second."""
        collections = [self._images(given, k, cache) for k, given in enumerate((self.first, self.second))]
        divided = []
        for k, own in enumerate(images.without_copies(*collections)):
            ordered = own[np.argsort(images.digests(own))]  # names and places of the files do not matter
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, k)))
            try:
                divided.append(images.divide(ordered, _SHARES, random))
            except UsageError as error:
                raise UsageError(f"{(self.first, self.second)[k]}: {error}") from None
        return {name: Pair(divided[0][k], divided[1][k]) for k, name in enumerate(SPLITS)}

    def _images(self, given: str, k: int, cache: Path) -> Images:
        """Return the images of collection ``k``, from the cache or newly decoded; list what was left out."""
        if not given:
            name = ("first", "second")[k]
            raise UsageError(f"image_pairs needs two folders (or zip or tar files) of pictures: give --task.{name}")
        folder = Path(given).expanduser()
        if given == EXAMPLE:
            folder = cache / "image-pairs-example" / str(k)
            _write_example(folder, discs=not k)
        elif given in _EXAMPLES:
            folder = cache / "image-pairs-example" / given.partition(":")[2]
            _write_example(folder, discs=_EXAMPLES[given])
        pictures = images.pictures(folder)
        files = [folder] if folder.is_file() else [Path(picture.name) for picture in pictures]
        key = {
            "files": [
                [file.relative_to(folder).as_posix(), file.stat().st_size, file.stat().st_mtime_ns] for file in files
            ],
            "folder": str(folder.absolute()),
            "form": [self.size, self.colour, self.part],
            "version": _VERSION,
        }
        tensors = cached(cache, "images", key, lambda: self._decode(folder, pictures))
        reasons = left_out.from_tensor(tensors["left_out"])
        if reasons and not self.skip_bad:
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            raise UsageError(f"{reasons[0]}{more}; --task.skip-bad leaves such pictures out")
        left_out.report(reasons, folder, len(pictures), "pictures")
        return tensors["images"].numpy()

    def _decode(self, folder: Path, pictures: list[Picture]) -> dict[str, torch.Tensor]:
        decode = partial(_image_or_reason, size=self.size, colour=self.colour, part=self.part)
        results = in_parallel(decode, pictures, f"pictures of {folder.name}")
        decoded = [result for result in results if not isinstance(result, str)]
        reasons = [result for result in results if isinstance(result, str)]
        if not decoded:
            raise UsageError(f"{folder} holds nothing usable: {reasons[0]}")
        return {"images": torch.from_numpy(np.stack(decoded)), "left_out": left_out.to_tensor(reasons)}


def _image_or_reason(picture: Picture, size: int, colour: bool, part: str) -> NDArray[np.uint8] | str:
    try:
        return images.decode(picture, size, colour, part)
    except UsageError as error:
        return str(error)


def _write_example(folder: Path, discs: bool) -> None:
    """Write a few made-up pictures: discs, or upright stripes, of varying place and colour."""
    from PIL import Image

    y, x = np.mgrid[:16, :16]
    for index in range(40):
        path = folder / f"{index:02d}.png"
        if path.exists():
            continue
        random = np.random.default_rng((int(discs), index))
        centre, radius = random.uniform(4, 12, size=2), random.uniform(2, 5)
        disc = np.hypot(y - centre[0], x - centre[1]) < radius
        stripes = (x + int(centre[0])) // max(1, int(radius)) % 2 == 0
        shape = disc if discs else stripes
        colours = shape[..., None] * random.integers(80, 256, size=3)
        content = io.BytesIO()
        Image.fromarray(colours.astype(np.uint8)).save(content, format="png")
        replace_file(path, content.getvalue(), durable=False)


DEBUG = Config(first=EXAMPLE, second=EXAMPLE, train=24, validation=4, test=4, size=16)
"""Eighty made-up pictures, written as PNG and read again, in half a second."""
