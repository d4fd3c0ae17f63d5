"""Small files of tones whose frequencies tell which recording an item is of."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from torch import Tensor

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
RATE = 8000


def tone(frequency: float, seconds: float = 0.5, rate: int = RATE, amplitude: float = 0.2) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, *channels: NDArray[np.float64], rate: int = RATE, subtype: str = "FLOAT") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack(channels, axis=1), rate, subtype=subtype)
    return path


def heard(items: Tensor, rate: int = RATE) -> list[int]:
    """Frequency of each item ``[..., time]``, to the nearest 10 Hz."""
    signals = items.flatten(0, -2).numpy()
    spectra = np.abs(np.fft.rfft(signals * np.hanning(signals.shape[-1]), n=rate))
    return [round(int(peak) / 10) * 10 for peak in spectra.argmax(axis=1)]


def disjoint(several: Iterable[Iterable[object]]) -> bool:
    sets = [set(one) for one in several]
    return sum(map(len, sets)) == len(set.union(*sets))
