"""Reading IDX files, pictures and archives of them, good and bad; division and mixtures."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sepray.contracts import Signal
from sepray.data import images
from sepray.data.images import Pair, Picture
from sepray.errors import UsageError


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="png")
    return stream.getvalue()


def _picture(array: np.ndarray) -> Picture:
    return Picture("it.png", lambda: _png(array))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_as_written(tmp_path: Path, ending: str) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / f"x{ending}"
    images.write_idx(path, array)
    if ending:
        path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(images.read_idx(path), array)
    content = gzip.decompress(path.read_bytes()) if ending else path.read_bytes()
    assert content[:16] == bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4))  # as yann.lecun.com/exdb/mnist says


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file of bytes: it begins with nothing"),
        (b"\x89PNG\r\n", "is no IDX file of bytes: it begins with 89504e47"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 5, 1, 2)), r"is damaged: 10 bytes, where \[5\] need 13"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 1, 1, 2)), r"is damaged: 10 bytes or more, where \[1\] need 9"),
        (bytes((0, 0, 8, 2, 0, 0)), "is damaged: 6 bytes"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, "is damaged: 16 bytes"),  # promises 2^96 bytes
        (bytes((0, 0, 8, 255)) + b"\xff" * 1020, "is damaged: 1024 bytes"),  # and 2^8160, which no float holds
        (gzip.compress(bytes((0, 0, 8, 1, 0, 0, 0, 90)) + bytes(90), mtime=0)[:-9], "cannot be read"),
    ],
    ids=[
        "empty",
        "png",
        "short vector",
        "long vector",
        "no sizes",
        "endless",
        "endless in all directions",
        "torn gzip",
    ],
)
def test_corrupt_idx_files_are_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"{path} {message}") as refusal:
        images.read_idx(path)
    assert "\n" not in str(refusal.value)


def test_pictures_of_folders_and_archives_come_in_one_order(tmp_path: Path) -> None:
    contents = {f"{name}.png": _png(np.full((4, 4), k * 9, np.uint8)) for k, name in enumerate(("b", "a/c", "a/a"))}
    folder = tmp_path / "folder"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed, tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
            packed.writestr(name, content)
            tar.add(folder / name, name)
    (folder / "notes.txt").write_text("no picture")
    for place in (folder, tmp_path / "x.zip", tmp_path / "x.tar.gz"):
        found = images.pictures(place)
        assert [Path(p.name).relative_to(place).as_posix() for p in found] == ["a/a.png", "a/c.png", "b.png"]
        assert [p.read() for p in found] == [contents[n] for n in ("a/a.png", "a/c.png", "b.png")]


@pytest.mark.parametrize("path", ["../out.png", "/etc/out.png", "a/../../out.png", "C:\\out.png", "..\\out.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_path_that_climbs_out_is_refused(tmp_path: Path, path: str, kind: str) -> None:
    archive = tmp_path / f"x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("fine.png", b"")
            packed.writestr(path, b"")
    else:
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo(path))
    with pytest.raises(UsageError, match="leads out of it") as refusal:
        images.pictures(archive)
    assert str(archive) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [archive.name]


def test_places_with_nothing_usable_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.zip").write_bytes(b"no archive")
    (tmp_path / "empty").mkdir()
    for name, why in (
        ("none", "does not exist"),
        ("a.txt", "is neither a folder nor an archive"),
        ("b.zip", "is no sound archive"),
        ("empty", "holds no picture"),
    ):
        with pytest.raises(UsageError, match=f"{tmp_path / name} {why}"):
            images.pictures(tmp_path / name)


def test_a_picture_becomes_its_middle_square() -> None:
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6] = (255, 0, 10)
    found = images.decode(_picture(wide), 4, colour=True)
    assert found.shape == (3, 4, 4)
    assert (found.reshape(3, -1).T == (255, 0, 10)).all()
    assert images.decode(_picture(wide), 2, colour=False).tolist() == [[[77, 77], [77, 77]]]  # 0.299 R + 0.114 B


def test_halves_and_transparency() -> None:
    both = np.zeros((4, 8), np.uint8)
    both[:, 4:] = 200
    assert images.decode(_picture(both), 4, colour=False, part="left").max() == 0
    assert images.decode(_picture(both), 4, colour=False, part="right").min() == 200
    clear = np.zeros((4, 4, 4), np.uint8)
    assert images.decode(_picture(clear), 4, colour=False).min() == 255  # nothing at all, on white


@pytest.mark.parametrize("cut", [0, 20, -30])
def test_damaged_pictures_are_named_in_one_line(cut: int) -> None:
    random = np.random.default_rng(0)
    content = _png(random.integers(256, size=(16, 16), dtype=np.uint8))[: cut or None]
    content = content if cut else b"no picture"
    with pytest.raises(UsageError, match=r"it\.png is no sound picture: ") as refusal:
        images.decode(Picture("it.png", lambda: content), 8, colour=True)
    assert "\n" not in str(refusal.value)


def test_division_gives_each_image_once_by_the_seed_alone() -> None:
    many = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    parts = images.divide(many, (0.6, 0.2, 0.2), np.random.default_rng(3))
    assert [len(part) for part in parts] == [29, 11, 10]
    assert sorted(np.concatenate(parts).ravel()) == list(range(50))
    again = images.divide(many, (0.6, 0.2, 0.2), np.random.default_rng(3))
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))
    assert [len(part) for part in images.divide(many[:3], (0.9, 0.05, 0.05), np.random.default_rng(0))] == [1, 1, 1]
    with pytest.raises(UsageError, match="2 different images cannot be divided among 3 splits"):
        images.divide(many[:2], (0.6, 0.2, 0.2), np.random.default_rng(0))


def test_copies_are_left_out_within_and_across_collections() -> None:
    a, b, c = (np.full((1, 2, 2), value, np.uint8) for value in (1, 2, 3))
    first, second = images.without_copies(np.stack([a, b, a]), np.stack([b, c, c]))
    np.testing.assert_array_equal(first, np.stack([a, b]))
    np.testing.assert_array_equal(second, np.stack([c]))


def test_mixtures_are_sums_and_observed_images_are_in_none() -> None:
    pair = Pair(*(np.arange(n, dtype=np.uint8).reshape(-1, 1, 1, 1) + base for n, base in ((5, 0), (8, 100))))
    split = images.mix(pair, 8, np.random.default_rng(0), observed=True)
    assert split.mixture.dtype == split.sources.dtype == torch.float32
    torch.testing.assert_close(split.mixture, split.sources.sum(1), atol=0, rtol=0)
    levels = (split.sources * 255).round().int()
    assert set(levels[:, 0].flatten().tolist()) <= set(range(5))
    mixed, shown = levels[:, 1].flatten().tolist(), (split.observed * 255).round().int().flatten().tolist()
    assert sorted(mixed) == sorted([104, 105, 106, 107] * 2)  # each image once, then each again
    assert sorted(shown) == sorted([100, 101, 102, 103] * 2)
    assert images.mix(pair, 8, np.random.default_rng(0), observed=False).observed is None
    names = {name: int(own[0, 0, 0]) for part in pair for name, own in zip(images.digests(part), part, strict=True)}
    assert [[names[name] for name in unit] for unit in split.units] == levels.flatten(1).tolist()


def test_header_without_sizes_is_a_damaged_file(tmp_path: Path) -> None:
    for content, why in (
        (b"\0\0\x08\x01", "is damaged: 4 bytes, where "),
        (b"\0\0\x08", "is no IDX file of bytes: it begins with 000008"),
        (b"\0\0\x08\0", "is no IDX file of bytes: it begins with 00000800"),
        (b"", "is no IDX file of bytes: it begins with nothing"),
    ):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(UsageError, match=why):
            images.read_idx(tmp_path / "a")


def test_data_of_a_task_of_images() -> None:
    def pixels(*values: int) -> np.ndarray:
        return np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 5), np.uint8)

    pools = {
        name: images.Pair(pixels(k), pixels(k + 10, k + 20)) for k, name in enumerate(("train", "validation", "test"))
    }
    counts = {"train": 3, "validation": 2, "test": 4}
    data = images.task_data(pools, counts, 0, ("one", "other"))
    assert data.signal == Signal(("one", "other"), 3, (4, 5), None)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [3, 2, 4]
    assert data.test.sources[0, 0].unique().tolist() == pytest.approx([2 / 255])
    assert data.train.observed is not None
    others = [
        images.task_data(pools, counts, 1, ("one", "other")),
        images.task_data(pools, counts, 0, ("other", "one")),
        images.task_data({**pools, "test": pools["train"]}, counts, 0, ("one", "other")),
    ]
    assert images.task_data(pools, counts, 0, ("one", "other")).fingerprint == data.fingerprint
    assert data.fingerprint not in {other.fingerprint for other in others[1:]}
    # An observed sample that differs is other data too.
    shown = {**pools, "train": images.Pair(pixels(0), pixels(10, 20)[::-1].copy())}
    assert images.task_data(shown, counts, 0, ("one", "other")).fingerprint != data.fingerprint
