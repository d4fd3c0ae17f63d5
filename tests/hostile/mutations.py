"""Changes of good files, as a bad disk, a torn transfer and a bad neighbour make them; each follows from its seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_HEAD = 512
_EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
)
_NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"7",
    b"65536",
    b"99999999",
    b"2147483647",
    b"4294967296",
    b"1e308",
    b"1e-300",
    b"nan",
    b"inf",
    b"-0",
    b"9" * 40,
    b"9" * 400,
    b"9" * 5000,
)
_JUNK = (
    b"\0" * 64,
    b'"',
    b"\n",
    b"\r\n",
    b",",
    b"[" * 5000,
    b"\xff" * 16,
    b"../",
    b"%s\x1b[31m",
    b"'",
    b"#",
    b"{" * 50,
    b" " * 200,
)


def flip(content: bytearray, random_: random.Random, _: Sequence[bytes]) -> None:
    """Change some bytes, mostly of the beginning."""
    for _ in range(random_.randint(1, 12)):
        content[_place(content, random_)] = random_.randrange(256)


def cut(content: bytearray, random_: random.Random, _: Sequence[bytes]) -> None:
    """Leave out the end, or a part."""
    start = random_.randrange(len(content))
    stop = len(content) if random_.random() < 0.5 else start + random_.randint(1, 100)
    del content[start:stop]


def repeat(content: bytearray, random_: random.Random, _: Sequence[bytes]) -> None:
    """Repeat a part."""
    start, length = _place(content, random_), random_.randint(1, 2000)
    part = content[start : start + length]
    content[start:start] = part * random_.choice((1, 1, 2, 30))


def splice(content: bytearray, random_: random.Random, others: Sequence[bytes]) -> None:
    """Put a part of another good file over a part of this one."""
    other = random_.choice(others)
    start, length = random_.randrange(max(1, len(other))), random_.randint(1, 500)
    place = _place(content, random_)
    content[place : place + length] = other[start : start + length]


def number(content: bytearray, random_: random.Random, _: Sequence[bytes]) -> None:
    """Put an extreme number over some bytes."""
    width, order = random_.choice((1, 2, 4, 8)), random_.choice(("little", "big"))
    value = random_.choice(_EXTREMES) & (256**width - 1)
    place = _place(content, random_)
    content[place : place + width] = value.to_bytes(width, order)  # type: ignore[arg-type]


def digits(content: bytearray, random_: random.Random, _: Sequence[bytes]) -> None:
    """Put an extreme number in the place of one that is written in digits, in its width or not."""
    found = list(re.finditer(rb"[-+]?\d+(?:\.\d+)?", content[: 8 * _HEAD]))
    if not found:
        return
    match, other = random_.choice(found), random_.choice(_NUMBERS)
    content[match.start() : match.end()] = (
        other[: len(match[0])].ljust(len(match[0])) if random_.random() < 0.5 else other
    )


def insert(content: bytearray, random_: random.Random, _: Sequence[bytes]) -> None:
    """Insert what formats use as marks."""
    place = _place(content, random_)
    content[place:place] = random_.choice(_JUNK)


def _place(content: bytearray, random_: random.Random) -> int:
    end = len(content) if random_.random() < 0.4 else min(len(content), random_.choice((16, 64, _HEAD)))
    return random_.randrange(max(1, end))


Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], None]
MUTATIONS: tuple[Mutation, ...] = (flip, cut, repeat, splice, number, number, digits, digits, insert)


def mutated(content: bytes, seed: str, others: Sequence[bytes]) -> bytes:
    """Return a good file with one to three changes.

    Args:
        content: the good file.
        seed: what the changes follow from.
        others: other good files, of which parts are taken.
    """
    random_ = random.Random(seed)
    changed = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 3))):
        if changed:
            random_.choice(MUTATIONS)(changed, random_, others)
    return bytes(changed)
