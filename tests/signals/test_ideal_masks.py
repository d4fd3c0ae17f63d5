"""Oracles on a "spectrum" that is the signal itself, by hand."""

import pytest
import torch
from torch import Tensor

from sepray.signals.ideal_masks import ORACLES


class Identity:
    """Stands in for an STFT: the spectrum is the signal, as complex numbers; silence is added behind it."""

    def transform(self, signal: Tensor) -> Tensor:
        return torch.nn.functional.pad(signal, (0, 1)).to(torch.complex64)

    def inverse(self, spectrum: Tensor, time: int) -> Tensor:
        assert not spectrum.isnan().any()
        return spectrum.real[..., :time]


def estimates(name: str, mixture: list[float], *sources: list[float]) -> list[list[float]]:
    given = torch.tensor([mixture])[None], torch.tensor(sources)[None, :, None]
    found: Tensor = ORACLES[name](*given, Identity())
    assert found.shape == given[1].shape
    return found[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 1 of |1| + |2| + |1|, where the last is what is neither; 3 of |3| + |-1|; -2 of |-2| + |-6|
        ("ideal_ratio_mask", [[1, 1.5, -2, 0], [2, 0.5, -6, 0]]),
        # 1/4 and 2/4 of 4; 3/2 and -1/2 of 2, cut to 1 and 0; -2 and -6 of -8
        ("phase_sensitive_mask", [[1, 2, -2, 0], [2, 0, -6, 0]]),
        # the magnitudes, with the sign of the mixture (of silence: a plus)
        ("mixture_phase", [[1, 3, -2, 5], [2, 1, -6, 5]]),
    ],
)
def test_estimates_by_hand(name: str, expected: list[list[float]]) -> None:
    found = estimates(name, [4, 2, -8, 0], [1, 3, -2, 5], [2, -1, -6, -5])
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_there_are_three() -> None:
    assert list(ORACLES) == ["ideal_ratio_mask", "phase_sensitive_mask", "mixture_phase"]
