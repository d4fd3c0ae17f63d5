from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.tasks.chords import DEBUG, Config


def test_parts_share_frequencies_and_differ_in_level_by_at_most_three_decibels(tmp_path: Path) -> None:
    data = replace(DEBUG, item_samples=8192).load(tmp_path)
    assert data.signal.sources == ("strings", "reed", "brass", "plucked")
    level = 10 * torch.log10(data.train.sources.square().mean((2, 3)))
    assert float(level.abs().max()) <= 3.01
    assert float(level.max() - level.min()) > 4
    torch.testing.assert_close(data.train.mixture, data.train.sources.sum(1))
    spectra = torch.fft.rfft(data.train.sources[:, :, 0]).abs().numpy()
    ideal = spectra == spectra.max(axis=1, keepdims=True)
    leaked = [(spectra[:, k] ** 2 * ~ideal[:, k]).sum() / (spectra[:, k] ** 2).sum() for k in range(4)]
    assert all(0.01 < one < 0.5 for one in leaked)  # no bin of 1 Hz is one instrument's alone
    assert max(leaked) > 0.05


def test_instruments_and_mixture_are_chosen(tmp_path: Path) -> None:
    everything = DEBUG.load(tmp_path)
    two = replace(DEBUG, instruments=("plucked", "reed")).load(tmp_path)
    assert torch.equal(two.train.sources, everything.train.sources[:, [3, 1]])
    assert torch.equal(two.train.mixture, two.train.sources.sum(1))
    one = replace(DEBUG, instruments=("brass",), mixture="all").load(tmp_path)
    torch.testing.assert_close(one.train.mixture, everything.train.mixture)


def test_items_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = (replace(DEBUG, train=count).load(tmp_path) for count in (5, 30))
    assert torch.equal(few.train.sources, many.train.sources[:5])
    assert np.array_equal(few.test.mixture.numpy(), many.test.mixture.numpy())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruments": ("tuba", "reed")}, "there is no instrument 'tuba'; there are: strings, reed, brass, plucked"),
        ({"instruments": ("reed",)}, "one instrument alone is no mixture: choose more, or mixture = all"),
        ({"instruments": ()}, "instruments must be one or more of strings, reed, brass, plucked, each once, not none"),
        ({"mixture": "none"}, "mixture must be chosen or all, not 'none'"),
        ({"item_samples": 8}, "item_samples must be between 256 and 4194304, not 8"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Config(**changes)
    assert str(refusal.value) == message
