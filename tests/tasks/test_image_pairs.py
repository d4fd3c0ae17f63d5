"""Two folders of pictures mixed pairwise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sepray.errors import UsageError
from sepray.tasks import image_pairs
from sepray.tasks.image_pairs import DEBUG, Config


def _folder(folder: Path, count: int, hue: tuple[int, int, int], start: int = 0) -> Path:
    """Pictures of one colour, of rising strength."""
    folder.mkdir(parents=True)
    for k in range(count):
        colour = np.round(np.array(hue) * (100 + start + k) / 255).astype(np.uint8)
        Image.fromarray(np.broadcast_to(colour, (12, 10, 3)).copy()).save(folder / f"{k:03d}.png")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    first, second = _folder(tmp_path / "shoes", 40, (255, 0, 0)), _folder(tmp_path / "bags", 60, (0, 255, 0))
    return Config(first=str(first), second=str(second), train=30, validation=5, test=5, size=8)


def test_pairs_of_either_folder_are_summed(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path / "cache")
    assert (data.signal.sources, data.signal.channels, data.signal.shape) == (("shoes", "handbags"), 3, (8, 8))
    assert data.signal.sample_rate is None
    for split in (data.train, data.validation, data.test):
        torch.testing.assert_close(split.mixture, split.sources.sum(1), atol=0, rtol=0)
        assert split.sources[:, 0, 1:].max() == 0 < split.sources[:, 0, 0].min()
        assert split.sources[:, 1, (0, 2)].max() == 0 < split.sources[:, 1, 1].min()
    assert data.train.observed is not None
    shown, mixed = (set(x[:, 1, 0, 0].tolist()) for x in (data.train.observed, data.train.sources[:, 1]))
    assert shown.isdisjoint(mixed)
    grey = replace(config, colour=False).load(tmp_path / "cache")
    assert grey.test.mixture.shape == (5, 1, 8, 8)


def test_part_and_size_are_those_of_the_configuration(config: Config, tmp_path: Path) -> None:
    for path in sorted(Path(config.first).iterdir()):  # each is dark on its left, and bright on its right
        pixels = np.asarray(Image.open(path))
        Image.fromarray(np.concatenate([pixels // 4, pixels], axis=1)).save(path)
    levels = {}
    for part in ("left", "right"):  # from one cache
        data = replace(config, part=part, size=10).load(tmp_path / "cache")
        assert data.signal.shape == (10, 10)
        levels[part] = data.train.sources[:, 0, 0]
    assert levels["left"].max() < 0.15 < 0.35 < levels["right"].min()


def test_pictures_are_decoded_once(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = config.load(tmp_path / "cache").fingerprint
    monkeypatch.setattr("sepray.data.images.decode", lambda *_, **__: pytest.fail("decoded again"))
    assert config.load(tmp_path / "cache").fingerprint == fingerprint
    assert replace(config, seed=1).load(tmp_path / "cache").fingerprint != fingerprint


def test_names_of_files_and_place_do_not_matter(config: Config, tmp_path: Path) -> None:
    expected = config.load(tmp_path / "cache")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for k, path in enumerate(sorted(Path(config.first).iterdir(), reverse=True)):
        path.rename(moved / f"{k}.png")
    found = replace(config, first=str(moved)).load(tmp_path / "cache")
    assert found.fingerprint == expected.fingerprint


def test_a_picture_in_both_folders_is_in_one_split(config: Config, tmp_path: Path) -> None:
    for k, path in enumerate(sorted(Path(config.first).iterdir())[:10]):
        (Path(config.second) / f"copy-{k}.png").write_bytes(path.read_bytes())
    found = config.recordings(tmp_path / "cache")
    everything = [one for ids in found.values() for one in ids]
    assert len(everything) == len(set(everything)) == 100


def test_damaged_pictures_are_refused_or_left_out_by_name(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = config.load(tmp_path / "cache")
    bad = Path(config.second) / "017.png"
    (Path(config.second) / "zero.jpg").write_bytes(b"")
    for _ in range(2):  # decoded, and from the cache
        bad.write_bytes(bad.read_bytes()[:45])
        with pytest.raises(
            UsageError, match=rf"{bad} is no sound picture: .* \(and 1 more\); --task.skip-bad"
        ) as error:
            config.load(tmp_path / "cache")
        assert "\n" not in str(error.value)
    capsys.readouterr()
    data = replace(config, skip_bad=True).load(tmp_path / "cache")
    told = capsys.readouterr().err
    assert "left out 2 of 61 pictures" in told
    assert str(bad) in told
    assert "zero.jpg" in told
    assert data.fingerprint != sound.fingerprint
    everything = replace(config, skip_bad=True).recordings(tmp_path / "cache")
    assert sum(map(len, everything.values())) == 99


def test_what_is_missing_is_said(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs two folders .* of pictures: give --task.second"):
        replace(config, second="").load(tmp_path)
    few = _folder(tmp_path / "few", 2, (0, 0, 255))
    with pytest.raises(UsageError, match=f"{few}: 2 different images cannot be divided among 3 splits"):
        replace(config, second=str(few)).load(tmp_path)
    for path in few.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UsageError, match=f"{few} holds nothing usable: "):
        replace(config, second=str(few), skip_bad=True).load(tmp_path)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match=r"names must be different names \(not by capitals alone\), are a, a"):
        replace(DEBUG, names=("a", "a"))
    with pytest.raises(UsageError, match="size must be between 8 and 1024, not 4"):
        replace(DEBUG, size=4)


def test_examples_are_discs_and_upright_stripes(tmp_path: Path) -> None:
    for name, discs in (("stripes", False), ("discs", True)):
        (tmp_path / name).mkdir()
        for _ in range(2):
            image_pairs._write_example(tmp_path / name, discs)
        paths = sorted((tmp_path / name).iterdir())
        assert [path.name for path in paths] == [f"{index:02d}.png" for index in range(40)]
        for path in paths:
            pixels = np.asarray(Image.open(path)).astype(int)
            lit = pixels.sum(2) > 0
            assert pixels.shape == (16, 16, 3)
            assert len(np.unique(pixels[lit], axis=0)) == 1  # of one colour
            assert pixels[lit].min() >= 80
            if discs:
                rows, columns = np.nonzero(lit)
                distance = np.hypot(rows - rows.mean(), columns - columns.mean())
                assert 1.4 < distance.max() < 5.6
                assert lit.sum() == pytest.approx(np.pi * distance.max() ** 2, rel=0.45)
            else:
                assert (lit == lit[0]).all()
                edges = np.flatnonzero(np.diff(lit[0].astype(int)))
                assert len(set(np.diff(edges))) == 1  # lit and dark stripes are as wide as each other
                assert set(np.diff(edges)) <= {2, 3, 4}


def test_examples_can_be_exchanged_so_that_the_other_source_is_the_observed_one(tmp_path: Path) -> None:
    pairs = ("example", "example"), ("example:discs", "example:stripes"), ("example:stripes", "example:discs")
    usual, named, turned = (
        image_pairs.Config(first=first, second=second, train=24, validation=4, test=4, size=16)._pools(tmp_path)[
            "train"
        ]
        for first, second in pairs
    )
    for k in (0, 1):
        assert np.array_equal(named[k], usual[k])
        assert sorted(map(bytes, turned[k])) != sorted(map(bytes, usual[k]))
    discs, stripes = ({bytes(image) for image in own} for own in usual)
    assert len({bytes(image) for image in turned[1]} & discs) > len(discs) / 2
    assert len({bytes(image) for image in turned[0]} & stripes) > len(stripes) / 2
