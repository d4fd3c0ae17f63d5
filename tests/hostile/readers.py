"""A table of all readers of data, each with one small good file (or a few) that it reads."""

from __future__ import annotations

import gzip
import io
import json
import math
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from PIL import Image

from sepray.data import images
from sepray.scoring import museval_results
from sepray.signals import decoding, heart_annotations
from sepray.signals.overlap_add import resampled
from sepray.signals.recording_types import RateError, check_change
from sepray.signals.recordings import open_recording

RATE = 8000
_TIME = np.arange(4000) / RATE
_TONES = 0.5 * np.stack([np.sin(2 * np.pi * 200 * _TIME), np.cos(2 * np.pi * 300 * _TIME)])
_MOST_DECODED = 1 << 22  # samples; more are not decoded here, where it is the reading that is tried


class Reader(NamedTuple):
    """A reader of a kind of file.

    Attributes:
        name: name of the file that is given to it.
        content: its content, and that of files beside it, by name.
        read: reads it.
        pack: makes the file of what is changed; None: the file itself is.
    """

    name: str
    content: Callable[[], dict[str, bytes]]
    read: Callable[[Path], object]
    pack: Callable[[bytes], bytes] | None = None


def read_recording(path: Path) -> None:
    """Read a recording as tasks and ``sepray separate`` do: check it, decode it, change its rate."""
    try:
        recording = open_recording(path)
    except RateError:
        recording = open_recording(path, 250)
    check_change(recording.rate, 250, str(path))
    if recording.frames * max(1.0, RATE / recording.rate) < _MOST_DECODED:
        for block in resampled(recording.blocks(), recording.rate, 250):
            assert block.ndim == 2
        plan = (
            decoding.of_recording(recording, RATE, 1) if recording.rate >= 1000 else None
        )  # Hz, below which is no sound
        if plan is not None and math.prod(plan.shapes["samples"]) < _MOST_DECODED:
            plan.fill({"samples": np.zeros(plan.shapes["samples"], np.float32)})


def read_pictures(path: Path) -> None:
    """Read the pictures of an archive."""
    for picture in images.pictures(path):
        images.decode(picture, 8, colour=True)


def read_picture(path: Path) -> None:
    """Read one picture."""
    images.decode(images.Picture(str(path), path.read_bytes), 8, colour=True)


def read_results(path: Path) -> None:
    """Read imported results of BSS Eval."""
    museval_results.read("method", path.parent, ("vocals",))


def read_stems(path: Path) -> None:
    """Read a file of MUSDB18."""
    plan = decoding.of_stem_file(path, RATE, 1)
    plan.fill({name: np.zeros(shape, np.float32) for name, shape in plan.shapes.items()})


def read_annotation(path: Path) -> None:
    """Read what stands beside a recording of a heart, as ``sepray evaluate --recordings`` does."""
    rows = heart_annotations.read_rates(path.parent)
    row = heart_annotations.row_of(rows, "x.csv")
    for source in ("maternal", "fetal"):
        known = heart_annotations.annotation(path.with_name("x.csv"), source, ("maternal", "fetal"), 250.0, row)
        assert known is None or known.rate_in(0, 10) >= 0 or known.beats is not None


def _sound(kind: str, subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, _TONES.T, RATE, subtype, format=kind)
    return stream.getvalue()


def _array(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def _table(header: str, separator: str, time: bool) -> bytes:
    rows = []
    for number, pair in enumerate(_TONES.T[:400]):
        cells = [f"{number / 250:.3f}"] if time else []
        rows.append(separator.join([*cells, *(f"{value:.5f}" for value in pair)]))
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


def edf(wide: int = 2) -> bytes:
    """Return an EDF (or with 3 bytes a sample BDF) file of two signals at 250 and 25 Hz, of four seconds."""
    most = 2 ** (8 * wide - 1) - 1
    columns = [("ECG", 16), ("", 80), ("mV", 8), ("-2", 8), ("2", 8), (str(-most - 1), 8), (str(most), 8), ("", 80)]
    head = [("", 8), ("", 160), ("01.01.20", 8), ("10.00.00", 8), (str(256 * 3), 8), ("", 44), ("4", 8), ("1", 8)]
    head += [("2", 4), *(cell for column in columns for cell in (column, column))]
    head += [("250", 8), ("25", 8), ("", 32), ("", 32)]
    text = "".join(value.ljust(width) for value, width in head)
    content = (b"\xffBIOSEMI" if wide == 3 else b"0       ") + text[8:].encode("latin-1")
    for second in range(4):
        samples = np.concatenate([_TONES[0, second * 250 : second * 250 + 250], _TONES[1, second * 25 :][:25]])
        content += np.round(samples * most / 2).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :wide].tobytes()
    return content


def wfdb_record() -> dict[str, bytes]:
    """Return a WFDB record of two signals."""
    header = "r 2 250 1000\nr.dat 16 200(0)/mV 16 0 0 0 0 I\nr.dat 16 200(0)/mV 16 0 0 0 0 II\n"
    return {"r.hea": header.encode(), "r.dat": np.round(_TONES.T[:1000] * 200).astype("<i2").tobytes()}


def wfdb_segments() -> dict[str, bytes]:
    """Return a WFDB record of two segments."""
    parts = wfdb_record()
    one = parts["r.hea"].replace(b"r.dat", b"a.dat").replace(b"r 2", b"a 2")
    two = one.replace(b"a 2", b"b 2")
    return {"r.hea": b"r/2 2 250 2000\na 1000\nb 1000\n", "a.hea": one, "b.hea": two, "a.dat": parts["r.dat"]}


def wfdb_annotation() -> bytes:
    """Return a WFDB annotation file of eight beats, with a note of the rate, a definition, a skip and a text."""
    texts = (b"## time resolution: 250", b"## annotation type definitions", b"42 Z own", b"## end of definitions")
    notes = b"".join(b"\0\x58" + bytes((len(text), 0xFC)) + text + b"\0" * (len(text) % 2) for text in texts)
    skip, text = b"\0\xec\1\0\x20\3", b"\3\xfcV1\0\0"
    return notes + b"\xc8\4" * 4 + skip + b"\xc8\x14" + text + b"\xc8\4\1\xf4" * 3 + b"\0\0"


def idx() -> bytes:
    """Return an IDX file of three images."""
    sizes = b"".join(size.to_bytes(4, "big") for size in (3, 28, 28))
    return bytes((0, 0, 8, 3)) + sizes + bytes(range(256)) * 9 + bytes(48)


def picture(kind: str, **options: Any) -> bytes:
    """Return a picture of 24 x 16 pixels."""
    stream = io.BytesIO()
    pixels = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)
    Image.fromarray(pixels).save(stream, format=kind, **options)
    return stream.getvalue()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("a/1.png"), picture("png"))
        archive.writestr(zipfile.ZipInfo("a/2.bmp"), picture("bmp"))
    return stream.getvalue()


def _tar(mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in (("a/1.png", picture("png")), ("a/2.bmp", picture("bmp"))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _results() -> bytes:
    frame = {"time": 0.0, "duration": 1.0, "metrics": {"SDR": 5.1, "SIR": 9.0, "SAR": 4.0, "ISR": 8.5}}
    return json.dumps({"targets": [{"name": "vocals", "frames": [frame, frame]}]}).encode()


@cache
def _stems() -> bytes:
    import tempfile

    import stempeg

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.stem.mp4"
        stems = np.stack([_TONES.T] * 5)
        stempeg.write_stems(str(path), stems, sample_rate=RATE, writer=stempeg.StreamsWriter())
        return path.read_bytes()


def _alone(name: str, content: Callable[[], bytes], read: Callable[[Path], object], **options: Any) -> Reader:
    return Reader(name, lambda: {name: content()}, read, **options)


def _readers() -> dict[str, Reader]:
    sounds = {
        "wav": ("WAV", "PCM_16"),
        "float.wav": ("WAV", "FLOAT"),
        "adpcm.wav": ("WAV", "IMA_ADPCM"),
        "flac": ("FLAC", None),
        "ogg": ("OGG", None),
        "mp3": ("MP3", None),
        "aiff": ("AIFF", None),
        "au": ("AU", None),
        "w64": ("W64", None),
        "rf64": ("RF64", None),
        "caf": ("CAF", None),
    }
    table = {name: _alone(f"x.{name}", partial(_sound, *kind), read_recording) for name, kind in sounds.items()}
    arrays = {"npy": _TONES, "vector.npy": _TONES[0].astype(np.float32), "whole.npy": (_TONES * 99).astype(np.int16)}
    table |= {name: _alone(f"x.{name}", partial(_array, own), read_recording) for name, own in arrays.items()}
    tables = {
        "csv": ("time (s),lead I,lead II", ",", True),
        "plain.csv": ("", ",", False),
        "tsv": ("# sampling rate: 250 Hz\nI\tII", "\t", False),
        "txt": (
            '# OpenSignals\n# {"d": {"column": ["n", "A1", "A2"], "label": ["A1"], "sampling rate": 250}}',
            " ",
            True,
        ),
    }
    table |= {name: _alone(f"x.{name}", partial(_table, *how), read_recording) for name, how in tables.items()}
    table |= {"edf": _alone("x.edf", edf, read_recording), "bdf": _alone("x.bdf", partial(edf, 3), read_recording)}
    table |= {
        "wfdb": Reader("r.hea", wfdb_record, read_recording),
        "segments": Reader("r.hea", wfdb_segments, read_recording),
        "annotation": _alone("x.atr", wfdb_annotation, read_annotation),
        "beats": _alone("x.fetal.csv", lambda: b"time (s)\n0.31\n0.74\n1.16\n1.6\n", read_annotation),
        "rates": _alone(
            "rates.csv", lambda: b"record,source,rate,leads\nx,fetal,141,1-3\nx.csv,maternal,0,2 4;6\n", read_annotation
        ),
        "idx": _alone("x-idx3-ubyte", idx, images.read_idx),
        "idx.gz": _alone("x-idx3-ubyte.gz", lambda: gzip.compress(idx(), mtime=0), images.read_idx),
        "in idx.gz": _alone("x-idx3-ubyte.gz", idx, images.read_idx, pack=partial(gzip.compress, mtime=0)),
        "zip": _alone("x.zip", _zip, read_pictures),
        "tar": _alone("x.tar", _tar, read_pictures),
        "tar.gz": _alone("x.tar.gz", partial(_tar, "w:gz"), read_pictures),
        "tar.bz2": _alone("x.tar.bz2", partial(_tar, "w:bz2"), read_pictures),
        "tar.xz": _alone("x.tar.xz", partial(_tar, "w:xz"), read_pictures),
        "in tar.gz": _alone("x.tar.gz", _tar, read_pictures, pack=partial(gzip.compress, mtime=0)),
        "results": _alone("track.json", _results, read_results),
    }
    pictures: dict[str, tuple[str, dict[str, Any]]] = {
        "png": ("png", {}),
        "jpg": ("jpeg", {}),
        "bmp": ("bmp", {}),
        "gif": ("gif", {}),
        "webp": ("webp", {}),
        "tif": ("tiff", {}),
        "lzw.tif": ("tiff", {"compression": "tiff_lzw"}),
        "deflated.tif": ("tiff", {"compression": "tiff_adobe_deflate"}),
    }
    for name, (kind, options) in pictures.items():
        table[name] = _alone(f"x.{name}", partial(picture, kind, **options), read_picture)
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        table["stem.mp4"] = _alone("x.stem.mp4", _stems, read_stems)
    return table


READERS = _readers()
"""All readers, by the kind of file."""
SLOW = ("stem.mp4",)
"""Those that start programs, a second a file."""
