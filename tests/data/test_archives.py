"""Packed files are unpacked no further than an honest one goes."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

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
