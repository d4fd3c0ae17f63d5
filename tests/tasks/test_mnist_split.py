"""Digits of MNIST's files, dealt to the splits as in the paper."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Supervision
from sepray.data import images
from sepray.errors import UsageError
from sepray.scoring import metrics
from sepray.tasks import mnist_split
from sepray.training.views import view

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
SPLITS = ("train", "validation", "test")


def _files(folder: Path, prefix: str, count: int, start: int) -> None:
    """Images whose every pixel tells them apart: 16 bits, the number and whether the digit is 5 or more."""
    labels = np.arange(count, dtype=np.uint8) % 10
    digits = np.zeros((count, 28, 28), np.uint8)
    digits[:, 0, 0], digits[:, 0, 1] = (np.arange(count) + start) % 256, (np.arange(count) + start) // 256
    digits[:, 1:] = np.where(labels >= 5, 200, 100)[:, None, None]
    folder.mkdir(exist_ok=True)
    images.write_idx(folder / f"{prefix}-images-idx3-ubyte", digits)
    images.write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)


def _numbers(sources: torch.Tensor) -> set[int]:
    corner = (sources[..., 0, 0, :2] * 255).round().int().reshape(-1, 2)
    return {int(low) + 256 * int(high) for low, high in corner}


def _config(folder: Path, **changes: object) -> mnist_split.Config:
    return mnist_split.Config(folder=str(folder), **{"train": 60, "validation": 10, "test": 30, "size": 28, **changes})


@pytest.mark.parametrize("observed", ["5-9", "0-4"])
def test_papers_protocol(tmp_path: Path, observed: str) -> None:
    folder = tmp_path / "mnist"
    _files(folder, "train", 400, 0)
    _files(folder, "t10k", 100, 1000)
    config = _config(folder, observed=observed)
    data = config.load(tmp_path)
    assert data.signal.sources == (("0-4", "5-9") if observed == "5-9" else ("5-9", "0-4"))
    assert (data.signal.channels, data.signal.shape, data.signal.sample_rate) == (1, (28, 28), None)
    strength = {"0-4": 100, "5-9": 200}
    for name in SPLITS:
        split = getattr(data, name)
        torch.testing.assert_close(split.mixture, split.sources.sum(1), atol=0, rtol=0)
        for k, source in enumerate(data.signal.sources):
            assert (split.sources[:, k, 0, 1:] * 255).round().unique().tolist() == [strength[source]]
    assert data.train.observed is not None
    assert data.validation.observed is data.test.observed is None
    used = {name: _numbers(getattr(data, name).sources) for name in SPLITS}
    used["observed"] = _numbers(data.train.observed)
    assert all(a.isdisjoint(used[n]) for m, a in used.items() for n in used if m != n)
    assert len(used["observed"]) == len(_numbers(data.train.sources[:, 1])) == 60  # 60 shown, another 60 mixed
    fewer = replace(config, train=50).recordings(tmp_path)["train"]  # no more to mix, and to show, than are needed
    assert len(config.recordings(tmp_path)["train"]) - len(fewer) == 2 * (60 - 50)
    assert min(used["test"]) >= 1000 > max(used["train"] | used["validation"] | used["observed"])
    seen = view(data.train, Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
    assert torch.equal(seen["observed"], data.train.observed)


def test_one_pair_of_files_is_dealt_to_all_splits(tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    _files(folder, "t10k", 100, 0)
    data = _config(folder).load(tmp_path)
    used = [_numbers(getattr(data, name).sources) for name in SPLITS]
    assert all(one.isdisjoint(other) for k, one in enumerate(used) for other in used[:k])


def test_margin_is_black_and_on_all_sides(tmp_path: Path) -> None:
    larger = mnist_split.DEBUG.load(tmp_path)
    assert larger.signal.shape == (32, 32)  # as NES, appendix A.1
    data = replace(mnist_split.DEBUG, size=28).load(tmp_path)
    torch.testing.assert_close(larger.test.sources[..., 2:-2, 2:-2], data.test.sources)
    assert larger.test.sources.sum().item() == pytest.approx(data.test.sources.sum().item())
    assert larger.test.sources[..., :2, :].sum() == 0 < data.test.sources.sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "t10k-labels-idx1-ubyte").unlink(), "not the labels, t10k-labels-idx1-ubyte"),
        (lambda f: images.write_idx(f / "t10k-labels-idx1-ubyte", np.zeros(9, np.uint8)), "has 9 labels, and .* 100"),
        (lambda f: images.write_idx(f / "t10k-labels-idx1-ubyte", np.full(100, 12, np.uint8)), "label 12, which is no"),
        (lambda f: images.write_idx(f / "t10k-images-idx3-ubyte", np.zeros((100, 8, 8), np.uint8)), "no images of 28"),
        (lambda f: (f / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03"), "t10k-images-idx3-ubyte is damaged"),
        (lambda f: (f / "t10k-images-idx3-ubyte").unlink(), "holds neither train-images-idx3-ubyte"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path: Path, change: object, message: str) -> None:
    folder = tmp_path / "mnist"
    _files(folder, "t10k", 100, 0)
    change(folder)  # type: ignore[operator]
    with pytest.raises(UsageError, match=message) as refusal:
        _config(folder).load(tmp_path)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_without_a_folder_it_says_which_files_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte\.gz .* --task\.folder; digits_split needs none"):
        mnist_split.Config().load(tmp_path)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="size must be between 28 and 256, not 20"):
        mnist_split.Config(size=20)
    with pytest.raises(UsageError, match="observed must be 5-9 or 0-4, not 3-7"):
        mnist_split.Config(observed="3-7")  # type: ignore[arg-type]


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/mnist is not there")
def test_real_digits(tmp_path: Path) -> None:
    config = mnist_split.Config(folder=str(SHARED), train=500, validation=100, test=300)
    data = config.load(tmp_path)
    assert sum(len(ids) for ids in config.recordings(tmp_path).values()) <= 5000
    half = 0.5 * data.test.mixture[:, None].expand_as(data.test.sources)
    scores = metrics.score(half, data.test.sources, data.signal)
    assert 13 < scores["psnr"].mean() < 17
    assert 0.55 < scores["ssim"].mean() < 0.8
