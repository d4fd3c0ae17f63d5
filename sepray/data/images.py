"""Images as data: IDX files, picture files and archives of them; their division among the splits; mixtures of pairs.

Images are uint8 ``[image, channel, height, width]`` until they are mixed; mixtures and sources are float32, sources in
0..1. Imports Pillow where it is used. A file that cannot be read is refused by a UsageError of one line that names it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import SPLITS, Signal, Split, TaskData
from ..disk.files import is_clutter, refuse_links, replace_file
from ..errors import UsageError, one_line
from .archives import FREE, MOST_GROWTH, TarMembers, ZipMembers, read_at_most, unpacked
from .cache import content_hash

Images = NDArray[np.uint8]
"""Images ``[image, channel, height, width]``."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
"""Suffixes of the files that are taken for pictures."""

_MOST_PIXELS = 50_000_000  # a picture of more is a mistake or an attack
_MOST_BYTES = 256 << 20  # a picture file of more is a mistake or an attack, too
_MOST_SCANS = 200  # of a JPEG: each goes over all pixels, and a progressive one has twenty
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")  # of Pillow's others, some run programs (EPS)
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_TIFF = (b"II", b"MM")  # first bytes
_OFFSETS_OF_TIFF = (273, 324)  # tags with the places of strips and of tiles
_MOST_PARTS_OF_TIFF = 50_000  # strips of a row each, or tiles of 32 x 32: Pillow takes microseconds for each
_FEW_PARTS = 4_000  # reads of a picture that any file may take: one of millions of empty parts takes minutes
_PART_BYTES = {b"\x89PNG": 20}  # bytes of a file for each further read: rows of a PNG may be chunks of their own
_MOST_PART_BYTES = 1000  # the same for other formats
_IDX_GROWTH = 250  # largest factor by which a packed file grows: drawings in black and white grow by twenty
_MOST_AXES = 8  # of an array


class Pair(NamedTuple):
    """The images of the two sources that the mixtures of one split are drawn from."""

    first: Images
    second: Images


class Picture(NamedTuple):
    """A picture file, or a member of an archive: its name for messages, and a function that reads its content."""

    name: str
    read: Callable[[], bytes]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of an IDX file of bytes, the format of MNIST, gzipped or not.

    It is ``[item, height, width]`` for images and ``[item]`` for labels.

    Raises:
        UsageError: the file is no IDX, or is shorter or longer than its header says; the message names it.
    """
    try:
        size = path.stat().st_size
        with unpacked(path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not head[3]:
                raise UsageError(f"{path} is no IDX file of bytes: it begins with {head.hex() or 'nothing'}")
            sizes = file.read(4 * head[3])
            shape = [int.from_bytes(sizes[at : at + 4], "big") for at in range(0, 4 * head[3], 4)]
            start, promised = 4 + 4 * head[3], math.prod(shape)
            is_honest = len(sizes) == 4 * head[3] and promised <= max(FREE, _IDX_GROWTH * size)
            content = file.read(promised + 1) if is_honest else b""
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {str(error) or type(error).__name__}") from None
    if len(content) != promised or not is_honest or len(shape) > _MOST_AXES:
        there = (
            f"{start + len(content)} bytes{' or more' * (len(content) > promised)}" if is_honest else f"{size} bytes"
        )
        raise UsageError(f"{path} is damaged: {there}, where {shape[:_MOST_AXES]} need {min(start + promised, 10**15)}")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array of any shape as an IDX file of bytes, as ``read_idx`` reads it; whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    replace_file(path, bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes())


def pictures(folder: Path) -> list[Picture]:
    """Return the picture files in a folder (and below) or an archive, in the same order on every machine.

    Args:
        folder: a folder, or a zip or tar file, which is read in place.

    Raises:
        UsageError: there is no picture, the archive is damaged, or a path in it leads out of it.
    """
    if not folder.exists():
        raise UsageError(f"{folder} does not exist: a folder of pictures is needed, or a zip or tar file of them")
    if folder.is_dir():
        files = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        files = [p for p in files if not is_clutter(p.relative_to(folder))]
        refuse_links(files, folder)
        files.sort(key=lambda p: p.relative_to(folder).as_posix())
        found = [Picture(str(p), functools.partial(_bytes, p)) for p in files]
    elif folder.name.lower().endswith(_ARCHIVES):
        found = sorted(_members(folder), key=lambda picture: picture.name)
    else:
        raise UsageError(f"{folder} is neither a folder nor an archive ({', '.join(_ARCHIVES)})")
    if not found:
        raise UsageError(f"{folder} holds no picture ({', '.join(SUFFIXES)})")
    return found


def _members(archive: Path) -> Iterator[Picture]:
    """Yield the pictures in an archive. Nothing is unpacked, but an archive with paths out of it is not trusted."""
    try:
        opened = ZipMembers(archive) if archive.name.lower().endswith(".zip") else TarMembers(archive)
    except Exception as error:  # damaged archives raise errors of any kind
        raise UsageError(f"{archive} is no sound archive: {one_line(error)[:200]}") from None
    for name in opened.names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.as_posix().partition("/")[0]:
            raise UsageError(f"{archive} has the path {name!r}, which leads out of it")
        if path.suffix.lower() in SUFFIXES and not name.endswith("/"):
            yield Picture(f"{archive}/{name}", functools.partial(opened.read, name, _most))


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_at_most(file, path.stat().st_size, _MOST_BYTES)


def _most(size: int) -> int:
    """Return the most bytes that a picture of an archive may have unpacked; ``size`` is its packed size."""
    return min(_MOST_BYTES, max(FREE, MOST_GROWTH * size))


def decode(picture: Picture, size: int, colour: bool, part: str = "whole") -> NDArray[np.uint8]:
    """Return a picture as ``[channel, size, size]``: its middle square, resampled bilinearly.

    Args:
        picture: the file.
        size: pixels a side.
        colour: three channels (RGB), else one (luma). Transparent pixels are shown on white.
        part: ``"whole"``, or its ``"left"`` or ``"right"`` half, for files that hold a drawing and a photograph.

    Raises:
        UsageError: the picture is damaged, cut short or enormous; the message names it.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file may have thousands of odd entries, with a warning for each
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            content = picture.read()
            if content.startswith(b"\xff\xd8") and (scans := content.count(b"\xff\xda")) > _MOST_SCANS:
                raise UsageError(f"{scans} scans are too many")
            if content[:2] in _TIFF:
                _refuse_many_parts(content)
            opened = Image.open(_Content(content), formats=_FORMATS)
            if math.prod(opened.size) > _MOST_PIXELS:
                raise UsageError(f"{opened.size[0]} x {opened.size[1]} pixels are too many")
            image = opened.convert("RGBA")
    except Exception as error:  # Pillow's decoders raise errors of any kind
        why = one_line(error).partition(" <")[0].strip()[:200]  # what follows is the repr of the content
        raise UsageError(f"{picture.name} is no sound picture: {why}") from None
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image)
    width, height = flat.size
    left, right = {"whole": (0, width), "left": (0, width // 2), "right": (width // 2, width)}[part]
    side = min(right - left, height)
    x, y = left + (right - left - side) // 2, (height - side) // 2
    if side < 1:
        raise UsageError(f"{picture.name} is no sound picture: {width} x {height} pixels are too few")
    square = flat.crop((x, y, x + side, y + side)).convert("RGB" if colour else "L")
    square = square.resize((size, size), Image.Resampling.BILINEAR)  # averages where it makes smaller
    array = np.asarray(square, dtype=np.uint8)
    return array.transpose(2, 0, 1) if colour else array[None]


def _refuse_many_parts(content: bytes) -> None:
    """Refuse a TIFF of more strips or tiles than pictures have: in a small file all may lie at one place."""
    from PIL import TiffImagePlugin

    file = _Content(content)
    head = file.read(8)
    found = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(8) if head[2:3] == b"+" else head)
    file.seek(found.next)
    found.load(file)
    for tag in _OFFSETS_OF_TIFF:
        offsets = found.get(tag, ())
        if isinstance(offsets, tuple) and len(offsets) > _MOST_PARTS_OF_TIFF:
            raise UsageError(f"{len(offsets)} strips or tiles are too many")


class _Content(io.BytesIO):
    """The content of a picture, which may be read only as often as honest pictures of its size need.

    Pillow goes through chunks, markers and comments one by one, however small they are.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.left = _FEW_PARTS + len(content) // _PART_BYTES.get(content[:4], _MOST_PART_BYTES)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        self.left -= 1
        if self.left < 0:
            raise UsageError("it is made of too many parts")
        return super().read(size)


def digests(images: Images) -> tuple[str, ...]:
    """Return the SHA-256 of each image's pixels, which identifies it."""
    return tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images)


def without_copies(*collections: Images) -> list[Images]:
    """Return the collections without images that occur before, in the same collection or an earlier one."""
    seen: set[str] = set()
    different = []
    for images in collections:
        first = {digest: k for k, digest in reversed(list(enumerate(digests(images)))) if digest not in seen}
        seen |= first.keys()
        different.append(images[sorted(first.values())])
    return different


def divide(images: Images, shares: Sequence[float], random: np.random.Generator) -> list[Images]:
    """Return the images in a random order, cut into parts of these shares (which add up to 1), of at least one each.

    Raises:
        UsageError: there are fewer images than parts.
    """
    if len(images) < len(shares):
        raise UsageError(f"{len(images)} different images cannot be divided among {len(shares)} splits")
    spare = len(images) - len(shares)
    ends = [k + 1 + round(spare * math.fsum(shares[: k + 1])) for k in range(len(shares))]
    return np.split(images[random.permutation(len(images))], ends[:-1])


def task_data(pools: Mapping[str, Pair], counts: Mapping[str, int], seed: int, sources: tuple[str, str]) -> TaskData:
    """Return the data of a task that mixes pairs of images.

    Args:
        pools: images of each split.
        counts: mixtures of each split.
        seed: random seed of the mixtures.
        sources: names of the two sources; the second one is observed.

    Raises:
        UsageError: there are too few images.
    """
    splits = mixed(pools, counts, seed)
    channels, height, width = splits["train"].mixture.shape[1:]
    signal = Signal(sources, channels, (height, width), None)
    content: dict[str, Tensor] = {f"{name}/sources": split.sources for name, split in splits.items()}
    if splits["train"].observed is not None:
        content["train/observed"] = splits["train"].observed
    fingerprint = content_hash(content, {"sources": signal.sources})  # the mixtures follow from the sources
    train, validation, test = (splits[name] for name in SPLITS)
    return TaskData(signal, train, validation, test, fingerprint, unit_names=("images", "images"))


def recordings(pools: Mapping[str, Pair]) -> dict[str, tuple[str, ...]]:
    """Return for each split the digests of the images that its mixtures, and observed samples, are drawn from."""
    return {split: digests(pair.first) + digests(pair.second) for split, pair in pools.items()}


def mix(pair: Pair, items: int, random: np.random.Generator, observed: bool) -> Split:
    """Return mixtures, each the sum of two images, as in the NES paper (4.1).

    Images of the second source are used in turn, each again only after all others. Those of the first are drawn at
    random.

    Args:
        pair: the images.
        items: number of mixtures.
        random: random generator of all choices.
        observed: whether to keep one half of the second source's images out of the mixtures, as samples for methods
            that observe that source.

    Raises:
        UsageError: there are too few images.
    """
    second = pair.second
    shown = None
    if observed:
        if len(second) < 2:
            raise UsageError("at least two images of the observed source are needed for training")
        shown, second = np.array_split(second, [len(second) // 2])
    which = (random.integers(len(pair.first), size=items), _cycle(len(second), items, random))
    chosen = (pair.first[which[0]], second[which[1]])
    names = [digests(own) for own in (pair.first, second)]
    units = tuple((names[0][a], names[1][b]) for a, b in zip(*which, strict=True))
    sources = torch.from_numpy(np.stack(chosen, axis=1)).float() / 255
    samples = None if shown is None else torch.from_numpy(shown[_cycle(len(shown), items, random)]).float() / 255
    return Split(sources.sum(1), sources, samples, units)


def mixed(pools: Mapping[str, Pair], counts: Mapping[str, int], seed: int) -> dict[str, Split]:
    """Return the splits, each mixed from its own images; the training split has ``observed`` samples.

    Args:
        pools: images of each split.
        counts: mixtures of each split.
        seed: random seed; each split has random numbers of its own.

    Raises:
        UsageError: there are too few images.
    """
    splits = {}
    for k, name in enumerate(SPLITS):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, k)))
        splits[name] = mix(pools[name], counts[name], random, observed=name == "train")
    return splits


def _cycle(count: int, items: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return ``items`` indices below ``count``: random orders of all of them, one after the other."""
    rounds = [random.permutation(count) for _ in range(-(-items // count))]
    indices: NDArray[np.int64] = np.concatenate(rounds)[:items]
    return indices
