"""Packed files are unpacked no further than an honest one goes."""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib

import pytest
from PIL import Image

from sepray.data import archives, images
from sepray.errors import UsageError


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"])
def test_tar_files_are_read_whatever_packs_them(tmp_path, pack):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in (("a", b"one"), ("b", bytes(70_000))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (tmp_path / "x").write_bytes(pack(plain.getvalue()))
    with archives.open_tar(tmp_path / "x") as found:
        assert {member.name: found.extractfile(member).read() for member in found} == {"a": b"one", "b": bytes(70_000)}
        inner = found.extractfile("b")
        assert (inner.seek(69_990), inner.read()) == (69_990, bytes(10))


def test_file_that_is_unpacked_ends_where_its_limit_is():
    file = archives._Limited(io.BytesIO(bytes(range(10))), 5)
    assert file.readable()
    assert (file.seek(5), file.seek(2), file.seek(3, io.SEEK_CUR), file.tell()) == (5, 2, 5, 5)
    for wrong in ((6,), (1, io.SEEK_CUR)):
        with pytest.raises(UsageError, match=r"^it unpacks to more than 0 MB"):
            file.seek(*wrong)
    file.seek(0)
    assert (file.read(3), file.seek(0), file.read(9), file.seek(0)) == (bytes(range(3)), 0, bytes(range(6)), 0)
    assert file.read() == bytes(range(6))
    with pytest.raises(UsageError, match=r"^it unpacks to more than 0 MB"):
        file.read(1)
    with pytest.raises(UsageError, match=r"^it unpacks to more than 3 MB"):
        archives._Limited(io.BytesIO(b""), 3 << 20).seek((3 << 20) + 1)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_what_unpacks_to_much_more_is_refused_as_soon_as_it_does(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(archives, "FREE", 1 << 16)
    member = tarfile.TarInfo("a.png")
    member.size = 1 << 22
    (tmp_path / "x.tar.gz").write_bytes(pack(member.tobuf() + bytes(1 << 23)))
    with pytest.raises(UsageError, match=r"x\.tar\.gz is no sound archive: it unpacks to more than \d+ MB"):
        images.pictures(tmp_path / "x.tar.gz")


def test_a_file_is_read_up_to_what_it_may_have():
    assert archives.read_at_most(io.BytesIO(bytes(9)), 9, 9) == bytes(9)
    with pytest.raises(UsageError, match=r"^its 10 bytes are too many$"):
        archives.read_at_most(io.BytesIO(b""), 10, 9)
    with pytest.raises(UsageError, match=r"^more than 9 bytes are too many$"):
        archives.read_at_most(io.BytesIO(bytes(10)), 3, 9)


def test_first_bytes_say_whether_a_file_is_packed(tmp_path):
    for name, content in (("plain", b"text"), ("packed", gzip.compress(b"text"))):
        (tmp_path / name).write_bytes(content)
        with archives.unpacked(tmp_path / name) as file:
            assert file.read() == b"text"


@pytest.mark.parametrize("name", ["", ".", "./", "C:/a.png", "C:a.png"])
def test_members_of_any_name(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(UsageError, match=r"x\.zip (holds no picture|has the path 'C:)"):
        images.pictures(tmp_path / "x.zip")


def test_only_formats_of_pictures_are_opened():
    """A name says nothing: Pillow would have Ghostscript draw PostScript."""
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(UsageError, match=r"^x\.png is no sound picture: cannot identify image file$"):
        images.decode(images.Picture("x.png", lambda: postscript), 8, colour=True)


def test_scans_of_a_jpeg_are_counted_before_they_are_decoded():
    """Each of them goes over all pixels, so a short file may take hours."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), 99).save(stream, "jpeg", progressive=True)
    good = stream.getvalue()
    assert 2 <= good.count(b"\xff\xda") < 20
    assert images.decode(images.Picture("x.jpg", lambda: good), 8, colour=False).tolist() == [[[99] * 8] * 8]
    scan = good[good.index(b"\xff\xda") : -2]
    with pytest.raises(UsageError, match=r"^x\.jpg is no sound picture: \d+ scans are too many$"):
        images.decode(images.Picture("x.jpg", lambda: good[:-2] + scan * 100 + good[-2:]), 8, colour=False)


def test_bytes_that_an_archive_says_a_member_has_are_no_more_than_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "FREE", 1000)
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10**6))
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\1\2") + 20  # compressed size, in the directory
    content[place : place + 4] = (10**9).to_bytes(4, "little")
    path.write_bytes(content)
    [picture] = images.pictures(path)
    with pytest.raises(UsageError, match=r"^its 1000000 bytes are too many$"):
        picture.read()


def _tar_of(count, pack=bytes):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = 1
            archive.addfile(member, io.BytesIO(bytes([number])))
    return pack(content.getvalue())


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_gone_through_once_however_many_pictures_it_has(tmp_path, kind, monkeypatch):
    """Each picture went through the archive anew: a tar file of 70 kB took hours."""
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(9):
                archive.writestr(f"{number}.png", bytes([number]))
    else:
        path.write_bytes(_tar_of(9, gzip.compress if kind == "tar.gz" else bytes))
    opened = []
    for module, name in ((tarfile, "open"), (zipfile, "ZipFile"), (gzip, "open")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _real=real, _n=name, **k: [opened.append(_n), _real(*a, **k)][1])
    monkeypatch.setattr(archives, "_PACKERS", ((b"\x1f\x8b", gzip.open),))
    pictures = images.pictures(path)
    assert [picture.read() for picture in pictures] == [bytes([number]) for number in range(9)]
    assert len(opened) == {"zip": 1, "tar": 1, "tar.gz": 4}[kind]  # the last is listed, and then unpacked


@pytest.mark.parametrize("is_tiled", [False, True])
def test_strips_and_tiles_of_a_tiff_are_counted_before_they_are_gone_through(is_tiled, monkeypatch):
    """All of them may lie at one place: 15 MB of a picture of tiles of one pixel took minutes."""
    monkeypatch.setattr(images, "_MOST_PARTS_OF_TIFF", 16)

    def tiff(side):
        count = side * side if is_tiled else side
        size = [(322, 4, 1, 1), (323, 4, 1, 1)] if is_tiled else [(278, 4, 1, 1)]
        tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
        tags += [
            (324 if is_tiled else 273, 4, count, 200),
            (325 if is_tiled else 279, 4, count, 200 + 4 * count),
            *size,
        ]
        tags.sort()
        head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        sizes = struct.pack("<I", 1 if is_tiled else side) * count
        return head.ljust(200, b"\0") + struct.pack("<I", 4) * count + sizes

    few, many = (4, 5) if is_tiled else (16, 17)
    assert images.decode(images.Picture("x", lambda: tiff(few)), 2, colour=False).shape == (1, 2, 2)
    opened = []
    monkeypatch.setattr(Image, "open", lambda *given, **named: opened.append(given))
    with pytest.raises(UsageError, match=r"^x is no sound picture: \d\d strips or tiles are too many$"):
        images.decode(images.Picture("x", lambda: tiff(many)), 2, colour=False)
    assert not opened


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_has_no_more_members_than_its_bytes_hold_pictures(tmp_path, kind, monkeypatch):
    """13 MB of a packed tar file had three million, of which each takes microseconds."""
    monkeypatch.setattr(archives, "_FREE_MEMBERS", 4)
    monkeypatch.setattr(archives, "_MEMBER_BYTES", 10**6)
    path = tmp_path / f"x.{kind}"
    listed = []
    real = tarfile.TarFile.next
    monkeypatch.setattr(tarfile.TarFile, "next", lambda self: [listed.append(1), real(self)][1])
    for count in (4, 50):
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for number in range(count):
                    archive.writestr(f"{number}.png", b"")
        else:
            path.write_bytes(_tar_of(count, gzip.compress if kind == "tar.gz" else bytes))
        if count == 4:
            assert len(images.pictures(path)) == 4
    listed.clear()
    with pytest.raises(UsageError, match=r"is no sound archive: it has more than 4 members in \d+ bytes"):
        images.pictures(path)
    assert len(listed) <= 6


def test_a_header_in_an_archive_is_not_read_whole_whatever_length_it_says(tmp_path):
    """Names of any length stand in members of their own, which tarfile takes into memory."""
    for kind in (b"x", b"L"):
        member = tarfile.TarInfo("x")
        member.type, member.size = kind, 1 << 30
        (tmp_path / "x.tar").write_bytes(member.tobuf() + bytes(2048))
        with pytest.raises(UsageError, match=r"is no sound archive: a header in it has 1073741824 bytes$"):
            images.pictures(tmp_path / "x.tar")


def test_a_large_archive_may_grow_by_less_than_a_small_one(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE", 0)
    monkeypatch.setattr(archives, "_LARGE", 30_000)
    for content, wanted in (
        (os.urandom(200) + bytes(9_000), 1),
        (os.urandom(2_000) + bytes(30_000), 1),
        (os.urandom(2_000) + bytes(99_000), 0),
    ):
        member = tarfile.TarInfo("a.png")
        member.size = len(content)
        path = tmp_path / "x.tar.gz"
        path.write_bytes(gzip.compress(member.tobuf() + content + bytes(-len(content) % 512) + bytes(1024)))
        if wanted:
            assert len(images.pictures(path)) == 1
        else:
            with pytest.raises(UsageError, match="it unpacks to more than 0 MB"):
                images.pictures(path)


def _chunked(parts):
    stream = io.BytesIO()
    Image.new("L", (64, 64), 99).save(stream, "png")
    png = stream.getvalue()
    return png[:33] + (b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4, "big")) * parts + png[33:]


def _commented(parts):
    stream = io.BytesIO()
    Image.new("L", (64, 64), 99).save(stream, "gif")
    gif = stream.getvalue()
    at = 13 + (3 << (gif[10] & 7) + 1)
    return gif[:at] + b"\x21\xfe" + b"\1a" * parts + b"\0" + gif[at:]


def _filled(parts):
    stream = io.BytesIO()
    Image.new("L", (64, 64), 99).save(stream, "jpeg")
    return stream.getvalue()[:2] + b"\xff" * parts + stream.getvalue()[2:]


@pytest.mark.parametrize("made", [_chunked, _commented, _filled])
def test_a_picture_is_read_in_few_parts(made, monkeypatch):
    """Pillow went through sixteen million markers of a JPEG one by one, and copied the comments of a GIF each time."""
    read = []
    few = images.decode(images.Picture("x", lambda: made(100)), 8, colour=False)
    assert few.tolist() == [[[99] * 8] * 8]
    real = images._Content.read
    monkeypatch.setattr(images._Content, "read", lambda self, *a: [read.append(1), real(self, *a)][1])
    with pytest.raises(UsageError, match=r"^x is no sound picture: it is made of too many parts$"):
        images.decode(images.Picture("x", lambda: made(100_000)), 8, colour=False)
    assert len(read) < 100_000


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x-idx3-ubyte.gz"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    read = images.read_idx if "idx" in name else images.pictures
    with pytest.raises(UsageError, match=rf"/{name} (is no sound archive|cannot be read): .*it is no file"):
        read(tmp_path / name)
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(UsageError, match="holds no picture"):
        images.pictures(tmp_path)


def test_odd_notes_in_a_picture_are_no_lines_on_the_terminal(recwarn):
    """Pillow warned of each, with its own lines of code: a small TIFF filled the terminal."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), 99).save(stream, "tiff", tiffinfo={270: "x" * 500})
    content = stream.getvalue().replace(struct.pack("<HHI", 270, 2, 501), struct.pack("<HHI", 270, 2, 10**6))
    assert images.decode(images.Picture("x", lambda: content), 8, colour=False).tolist() == [[[99] * 8] * 8]
    assert not recwarn.list


def test_a_member_that_is_cut_short_is_none(tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(_tar_of(2))
    pictures = images.pictures(path)
    path.write_bytes(path.read_bytes()[:600])
    assert pictures[0].read() == b"\0"
    with pytest.raises(UsageError, match=r"^it is cut short$"):
        pictures[1].read()


def test_a_shortened_tar_is_not_said_to_unpack_to_too_much(tmp_path):
    path = tmp_path / "x.tar"
    content = tarfile.TarInfo("a.png")
    content.size = 4096
    path.write_bytes(content.tobuf() + bytes(1024))
    with pytest.raises(UsageError, match=r"x\.tar is no sound archive: unexpected end of data$"):
        images.pictures(path)


def test_packed_members_are_unpacked_up_to_the_limit_alone(tmp_path, monkeypatch):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(_tar_of(3, gzip.compress))
    [first, *_] = images.pictures(path)
    monkeypatch.setattr(archives, "FREE", 1000)
    monkeypatch.setattr(archives, "MOST_GROWTH", 0)
    with pytest.raises(UsageError, match=r"^it unpacks to more than 0 MB"):
        first.read()
