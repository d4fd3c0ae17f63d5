"""Small files that promise or hold much, read under a limit of memory: ``python -m tests.hostile.bombs FOLDER``.

For each bomb, an honest file of the size that it promises is read first, in a process of its own, to see what address
space that takes (64 MB at least); the bomb may take twice that. Prints JSON: what became of each bomb.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from sepray.data import images
from sepray.errors import SeprayError

from . import readers
from .fuzz import CPU_SECONDS, address_space

LEAST = 64 << 20
_ZEROS = bytes(1 << 24)


class Bomb(NamedTuple):
    """A bomb.

    Attributes:
        name: name of its file.
        make: writes the bomb.
        read: reads it.
        honest: writes an honest file of the promised size; None: it promises nothing that could be kept.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    honest: Callable[[Path], object] | None = None


def _idx(path: Path, images_: int, tail: bytes) -> None:
    head = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in (images_, 28, 28))
    path.write_bytes(gzip.compress(head, mtime=0) + tail)


def _zip(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.png", "w") as file,
    ):
        for _ in range(20):
            file.write(_ZEROS)


def _tar_gz(path: Path) -> None:
    member = tarfile.TarInfo("a.png")
    member.size = 60 * len(_ZEROS)
    path.write_bytes(gzip.compress(member.tobuf(), mtime=0) + gzip.compress(_ZEROS, 1, mtime=0) * 61)


def _sparse_tar(path: Path) -> None:
    """Write a tar file of one member of a terabyte, which is a hole."""
    head = bytearray(tarfile.TarInfo("a.png").tobuf(tarfile.GNU_FORMAT))
    head[156:157] = b"S"
    head[483:495] = b"%011o\0" % (1 << 33 - 1)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + bytes(1024))


def _png(path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def _tiff(path: Path, side: int) -> None:
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 4, side),
        (279, 4, 9),
    ]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(20))


def _wav(path: Path, rate: int, samples: int = 1000) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, min(samples, 10**6))
    soundfile.write(path, np.resize(noise, samples).astype(np.float32), rate, subtype="PCM_16", format="WAV")


def _lying_flac(path: Path) -> None:
    _wav(path, 8000)
    soundfile.write(path, soundfile.read(path)[0], 8000, format="FLAC")
    content = bytearray(path.read_bytes())
    content[21] |= 0xF  # the length in STREAMINFO
    content[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(content)


def _npy(path: Path, shape: str, length: int | None = None) -> None:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    path.write_bytes(b"\x93NUMPY\x02\0" + (len(head) if length is None else length).to_bytes(4, "little") + head)


def _streams(path: Path, count: int) -> None:
    """Write a stem file of many silent recordings of a minute, which AAC keeps in a few bytes a frame."""
    one = path.with_suffix(".m4a")
    source = ["-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo:d=60"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, "-c:a", "aac", "-b:a", "8k", str(one)], check=True)
    maps = ["-map", "0:a"] * count
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(one), *maps, "-c", "copy", str(path)], check=True)
    one.unlink()


def _long_stems(path: Path) -> None:
    """Write a stem file of half a second that says that it lasts for months, in each place where MP4 says it."""
    content = bytearray(readers.READERS["stem.mp4"].content()[path.name])
    for name, place in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24), (b"stts", 16)):
        at = content.find(name)
        while at >= 0:
            content[at + place : at + place + 4] = (2**31 - 1 if name != b"stts" else 1 << 25).to_bytes(4, "big")
            at = content.find(name, at + 4)
    path.write_bytes(content)


def _repeated(path: Path, part: bytes, size: int) -> None:
    with path.open("wb") as file:
        part *= 1 + (1 << 20) // len(part)
        for _ in range(size // len(part)):
            file.write(part)


def edf_of_rates(path: Path, slow: int, fast: int) -> None:
    """Write an EDF file of ten seconds, with slow signals of one sample a second, and a fast one."""
    sizes = [1] * slow + [fast]
    count = len(sizes)
    columns = [("s", 16), ("", 80), ("mV", 8), ("-1", 8), ("1", 8), ("-32768", 8), ("32767", 8), ("", 80)]
    head = ["0".ljust(8), " " * 160, "01.01.20", "10.00.00", str(256 * (count + 1)).ljust(8), " " * 44, "10".ljust(8)]
    head += ["1".ljust(8), str(count).ljust(4), *(value.ljust(width) * count for value, width in columns)]
    head += [*(str(size).ljust(8) for size in sizes), " " * 32 * count]
    values = np.random.default_rng(0).integers(-9999, 9999, 10 * sum(sizes)).astype("<i2")
    path.write_bytes("".join(head).encode() + values.tobytes())


def _record(path: Path, header: str) -> None:
    path.write_text(header)
    parts = readers.wfdb_segments()
    for name in ("a.hea", "a.dat"):
        path.with_name(name).write_bytes(parts[name])


_PACKED = gzip.compress(_ZEROS, 1, mtime=0)
BOMBS = {
    "IDX that unpacks to 1 GB": Bomb(
        "x.gz",
        lambda path: _idx(path, 8000, _PACKED * 60),
        images.read_idx,
        lambda path: _idx(path, 8000, gzip.compress(bytes(8000 * 28 * 28), mtime=0)),
    ),
    "IDX that promises 3 TB": Bomb("x.gz", lambda path: _idx(path, 2**32 - 1, _PACKED * 60), images.read_idx),
    "member of a zip file": Bomb("x.zip", _zip, readers.read_pictures),
    "member of a tar.gz file": Bomb("x.tar.gz", _tar_gz, readers.read_pictures),
    "hole in a tar file": Bomb("x.tar", _sparse_tar, readers.read_pictures),
    "PNG": Bomb("x.png", lambda path: _png(path, 60_000), readers.read_picture),
    "TIFF": Bomb("x.tif", lambda path: _tiff(path, 60_000), readers.read_picture),
    "FLAC that promises 2^36 samples": Bomb("x.flac", _lying_flac, readers.read_recording),
    "WAV of 1 Hz": Bomb("x.wav", lambda path: _wav(path, 1, 10**6), readers.read_recording),
    "WAV of 2 GHz": Bomb("x.wav", lambda path: _wav(path, 2 * 10**9), readers.read_recording),
    "NPY that promises 8 TB": Bomb("x.npy", lambda path: _npy(path, "(1099511627776,)"), readers.read_recording),
    "NPY with a header of 4 GB": Bomb("x.npy", lambda path: _npy(path, "(2,)", 2**32 - 1), readers.read_recording),
    "NPY with a deep header": Bomb("x.npy", lambda path: _npy(path, "(" * 4000), readers.read_recording),
    "CSV of one cell": Bomb("x.csv", lambda path: _repeated(path, b"1", 80 << 20), readers.read_recording),
    "CSV of one line": Bomb("x.csv", lambda path: _repeated(path, b"1,", 80 << 20), readers.read_recording),
    "CSV of one row in quotes": Bomb(
        "x.csv", lambda path: _repeated(path, b'"1\n",', 80 << 20), readers.read_recording
    ),
    "EDF of two rates": Bomb("x.edf", lambda path: edf_of_rates(path, 400, 20_000), readers.read_recording),
    "WFDB header of 2^40 samples": Bomb(
        "r.hea", lambda path: _record(path, f"r 1 250 {2**40}\na.dat 16 200 16 0 0 0 0 I\n"), readers.read_recording
    ),
    "WFDB record of one segment many times": Bomb(
        "r.hea", lambda path: _record(path, "r/50000 2 250 50000000\n" + "a 1000\n" * 50_000), readers.read_recording
    ),
    "WFDB record of many segments that are not there": Bomb(
        "r.hea",
        lambda path: _record(path, "r/50000 2 250 50000000\n" + "".join(f"s{k} 1000\n" for k in range(50_000))),
        readers.read_recording,
    ),
    "WFDB segment of itself": Bomb(
        "r.hea", lambda path: _record(path, "r/2 2 250 2000\nr 1000\nr 1000\n"), readers.read_recording
    ),
    "stem file of many recordings": Bomb("x.stem.mp4", lambda path: _streams(path, 60), readers.read_stems),
    "stem file that promises months": Bomb("x.stem.mp4", _long_stems, readers.read_stems),
    "deep results": Bomb("x.json", lambda path: path.write_text("[" * 10**6), readers.read_results),
}
"""All bombs, by what they are."""
if "stem.mp4" not in readers.READERS:  # which are read with ffmpeg
    BOMBS = {name: bomb for name, bomb in BOMBS.items() if not bomb.name.endswith(".stem.mp4")}
HONEST = {
    "long WAV": Bomb("x.wav", lambda path: _wav(path, 8000, 30 * 10**6), readers.open_recording),
    "CSV with a deep comment": Bomb(
        "x.csv",
        lambda path: path.write_text("# " + "[" * 30_000 + "\n" + "1,2\n5,3\n2,7\n" * 3),
        readers.read_recording,
    ),
    "many channels": Bomb(
        "x.npy",
        lambda path: np.save(path, np.ones((1500, 4000), np.int8).cumsum(1, dtype=np.int8)),
        lambda path: readers.open_recording(path, 250),
    ),
}
"""Files that are as large as they say and are read a block at a time, or have nothing that harms."""


def _apart(work: Callable[[], str]) -> str:
    """Return what a function returns in a process of its own, or how that ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            text = work()
        except BaseException as error:
            text = f"{type(error).__name__}: {str(error)[:300]}"
        os.write(writing, text.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return text if status == 0 else f"the process ended with {status}"


def _peak(bomb: Bomb, path: Path) -> str:
    """Return how much address space reading takes."""
    before = address_space()
    bomb.read(path)
    lines = Path("/proc/self/status").read_text().splitlines()
    return str(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmPeak:")) - before)


def _limited(bomb: Bomb, path: Path, allowed: int) -> str:
    """Return how a bomb is refused with so much more address space."""
    limit = address_space() + allowed
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        bomb.read(path)
    except (SeprayError, OSError) as error:
        return f"refused: {error}"
    return "read"


def outcomes(folder: Path) -> dict[str, str]:
    """Return what became of all of them."""
    import wfdb  # noqa: F401 # before the limits, as Pillow

    for name in ("png", "lzw.tif", "csv", *({"stem.mp4"} & readers.READERS.keys())):
        for file, content in readers.READERS[name].content().items():
            (folder / file).write_bytes(content)
        readers.READERS[name].read(folder / readers.READERS[name].name)
    found = {}
    for number, (name, bomb) in enumerate((BOMBS | HONEST).items()):
        place = folder / str(number)
        place.mkdir()
        path = place / bomb.name
        honest = 0
        if bomb.honest is not None:
            bomb.honest(path)
            honest = int(_apart(lambda bomb=bomb, path=path: _peak(bomb, path)))  # type: ignore[misc]
        bomb.make(path)
        allowed = 2 * max(LEAST, honest)
        found[name] = _apart(lambda bomb=bomb, path=path, allowed=allowed: _limited(bomb, path, allowed))  # type: ignore[misc]
        path.unlink()
    return found


if __name__ == "__main__":
    print(json.dumps(outcomes(Path(sys.argv[1]))))
