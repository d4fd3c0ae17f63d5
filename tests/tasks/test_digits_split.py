"""The small digits that scikit-learn ships, divided, mixed and enlarged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.tasks import digits_split


def test_scikit_learns_digits_are_all_there_and_in_their_classes(tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn.datasets")
    expected, labels = sklearn.load_digits(return_X_y=True)
    config = digits_split.Config(enlarge=1, train=2000, validation=400, test=400)
    data = config.load(tmp_path)
    known = {tuple(np.round(row * 255 / 16).astype(int)): label for row, label in zip(expected, labels, strict=True)}
    for k, digits in enumerate((range(5), range(5, 10))):
        pixels = (data.test.sources[:, k].reshape(-1, 64) * 255).round().int().tolist()
        assert {known[tuple(row)] for row in pixels} == set(digits)
    counts = {name: len(ids) for name, ids in config.recordings(tmp_path).items()}
    assert counts == {"train": 1077, "validation": 359, "test": 361}
    blocks = digits_split.Config(train=2, validation=2, test=2).load(tmp_path).test.mixture
    assert torch.equal(blocks[..., ::2, ::2], blocks[..., 1::2, 1::2])


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="observed must be 5-9 or 0-4, not 3-7"):
        digits_split.Config(observed="3-7")  # type: ignore[arg-type]
    for side in (0, 33):
        with pytest.raises(UsageError, match=f"enlarge must be between 1 and 32, not {side}"):
            digits_split.Config(enlarge=side)


@pytest.mark.parametrize(("observed", "sources"), [("5-9", ("0-4", "5-9")), ("0-4", ("5-9", "0-4"))])
def test_observed_class_is_the_last_source(tmp_path: Path, observed: str, sources: tuple[str, str]) -> None:
    data = replace(digits_split.DEBUG, observed=observed, enlarge=3).load(tmp_path)
    assert data.signal.sources == sources
    assert (data.signal.channels, data.signal.shape) == (1, (24, 24))
    assert [len(getattr(data, name)) for name in ("train", "validation", "test")] == [24, 8, 8]
    assert data.train.observed is not None
    assert torch.equal(data.test.mixture, data.test.sources.sum(1))
