"""Images as data: reading IDX files, picture files and archives of them; dealing them to splits and mixing pairs.

Images are uint8 ``[image, channel, height, width]`` until they are mixed, as float32 in 0..1. Imports numpy and torch,
Pillow where it is used. What cannot be read is refused with a ValueError of one line that names the file.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import math
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Split

Images = NDArray[np.uint8]
"""``[image, channel, height, width]``."""

KINDS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_PIXELS = 50_000_000  # beyond which a picture is a mistake or an attack
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


class Pair(NamedTuple):
    """The images that one split may be made of: of the first source, and of the second."""

    first: Images
    second: Images


class Picture(NamedTuple):
    """A picture file, or a member of an archive: what names it to a reader, and how to get its content."""

    name: str
    read: Callable[[], bytes]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes, the format of MNIST, gzipped or not.

    Raises:
        ValueError: it is none, is cut short or has more than it says; the message names it.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {str(error) or type(error).__name__}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not content[3]:
        raise ValueError(f"{path} is no IDX file of bytes: it begins with {content[:4].hex() or 'nothing'}")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise ValueError(f"{path} is damaged: {len(content)} bytes, where {shape} need {start + math.prod(shape)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an IDX file of bytes, as ``read_idx`` reads it."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes())


def pictures(place: Path) -> list[Picture]:
    """Return the picture files below a folder or in an archive (zip, tar), in an order that no machine changes.

    Raises:
        ValueError: there is nothing usable, the archive is damaged, or a path in it climbs out of it.
    """
    if not place.exists():
        raise ValueError(f"{place} is not there: a folder of pictures is needed, or a zip or tar file of them")
    if place.is_dir():
        files = [p for p in place.rglob("*") if p.suffix.lower() in KINDS and p.is_file()]
        found = [Picture(str(p), p.read_bytes) for p in sorted(files, key=lambda p: p.relative_to(place).as_posix())]
    elif place.name.lower().endswith(_ARCHIVES):
        found = sorted(_members(place), key=lambda picture: picture.name)
    else:
        raise ValueError(f"{place} is neither a folder nor an archive ({', '.join(_ARCHIVES)})")
    if not found:
        raise ValueError(f"{place} holds no picture ({', '.join(KINDS)})")
    return found


def _members(archive: Path) -> Iterator[Picture]:
    """Give the pictures in an archive. Nothing is unpacked, but what climbs out is no archive to trust in."""
    try:
        if archive.name.lower().endswith(".zip"):
            names = zipfile.ZipFile(archive).namelist()
        else:
            with tarfile.open(archive) as opened:
                names = [member.name for member in opened if member.isfile()]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"{archive} is no sound archive: {str(error) or type(error).__name__}") from None
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ValueError(f"{archive} has the path {name!r}, which climbs out of it")
        if path.suffix.lower() in KINDS and not name.endswith("/"):
            yield Picture(f"{archive}/{name}", functools.partial(_content, archive, name))


def _content(archive: Path, name: str) -> bytes:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            return opened.read(name)
    with tarfile.open(archive) as opened_tar:
        member = opened_tar.extractfile(name)
        return member.read() if member is not None else b""


def decode(picture: Picture, size: int, colour: bool, part: str = "whole") -> NDArray[np.uint8]:
    """Return a picture as ``[channel, size, size]``: its middle square, resampled bilinearly.

    Args:
        picture: the file.
        size: pixels a side.
        colour: three channels (RGB), else one (luma). What is transparent is shown on white.
        part: ``"whole"``, or its ``"left"`` or ``"right"`` half, for files that hold a drawing and a photograph.

    Raises:
        ValueError: it is damaged, cut short or enormous; the message names it.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(picture.read()))
            if math.prod(opened.size) > _PIXELS:
                raise ValueError(f"{opened.size[0]} x {opened.size[1]} pixels are too many")
            image = opened.convert("RGBA")
    except Exception as error:  # Pillow's decoders raise what they please
        why = str(error).partition("<_io")[0].strip() or type(error).__name__
        raise ValueError(f"{picture.name} is no sound picture: {why}") from None
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image)
    width, height = flat.size
    left, right = {"whole": (0, width), "left": (0, width // 2), "right": (width // 2, width)}[part]
    side = min(right - left, height)
    x, y = left + (right - left - side) // 2, (height - side) // 2
    if side < 1:
        raise ValueError(f"{picture.name} is no sound picture: {width} x {height} pixels are too few")
    square = flat.crop((x, y, x + side, y + side)).convert("RGB" if colour else "L")
    square = square.resize((size, size), Image.Resampling.BILINEAR)  # which averages over what it makes smaller
    array = np.asarray(square, dtype=np.uint8)
    return array.transpose(2, 0, 1) if colour else array[None]


def digests(images: Images) -> tuple[str, ...]:
    """Return what identifies each image: the SHA-256 of its pixels."""
    return tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images)


def without_copies(*several: Images) -> list[Images]:
    """Return the collections without images that came before, in the same collection or an earlier one."""
    seen: set[str] = set()
    found = []
    for images in several:
        first = {digest: k for k, digest in reversed(list(enumerate(digests(images)))) if digest not in seen}
        seen |= first.keys()
        found.append(images[sorted(first.values())])
    return found


def deal(images: Images, shares: Sequence[float], random: np.random.Generator) -> list[Images]:
    """Return the images in a random order, cut into parts of these shares (which add up to 1); each has at least one.

    Raises:
        ValueError: there are fewer images than parts.
    """
    if len(images) < len(shares):
        raise ValueError(f"{len(images)} different images cannot be dealt to {len(shares)} splits")
    spare = len(images) - len(shares)
    ends = [k + 1 + round(spare * math.fsum(shares[: k + 1])) for k in range(len(shares))]
    return np.split(images[random.permutation(len(images))], ends[:-1])


def mix(pair: Pair, items: int, random: np.random.Generator, observed: bool) -> Split:
    """Return mixtures of two images each: their sum, as NES (4.1) makes them.

    An image of the second source is used again only when all of them were; one of the first is drawn at random.

    Args:
        pair: the images.
        items: mixtures.
        random: of all choices.
        observed: hold one half of the second source's images back from the mixtures, as the samples that a method which
            observes that source is shown.

    Raises:
        ValueError: there are too few images.
    """
    second = pair.second
    shown = None
    if observed:
        if len(second) < 2:
            raise ValueError("at least two images of the observed source are needed for training")
        shown, second = np.array_split(second, [len(second) // 2])
    chosen = (pair.first[random.integers(len(pair.first), size=items)], second[_cycle(len(second), items, random)])
    sources = torch.from_numpy(np.stack(chosen, axis=1)).float() / 255
    samples = None if shown is None else torch.from_numpy(shown[_cycle(len(shown), items, random)]).float() / 255
    return Split(sources.sum(1), sources, samples)


def splits(pools: Mapping[str, Pair], items: Mapping[str, int], seed: int) -> dict[str, Split]:
    """Return the splits ``train``, ``validation`` and ``test``, each mixed of its own images.

    Args:
        pools: split -> its images.
        items: split -> mixtures.
        seed: of all choices; each split has its own random numbers. The training split has ``observed`` samples.
    """
    found = {}
    for place, (name, pair) in enumerate(pools.items()):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, place)))
        found[name] = mix(pair, items[name], random, observed=name == "train")
    return found


def content(splits: Mapping[str, Split]) -> dict[str, Tensor]:
    """Return the tensors that tell one set of splits from another, by name; the mixtures follow from them."""
    found = {f"{name}/sources": split.sources for name, split in splits.items()}
    observed = splits["train"].observed
    return found if observed is None else found | {"train/observed": observed}


def _cycle(count: int, items: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return indices below ``count``: in random orders, one after the other."""
    rounds = [random.permutation(count) for _ in range(-(-items // count))]
    found: NDArray[np.int64] = np.concatenate(rounds)[:items]
    return found
