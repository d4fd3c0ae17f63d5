"""Counts the beats of a synthetic ECG."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks


def mean_bpm(recording: NDArray[np.float32], sample_rate: int = 128) -> float:
    """Mean heart rate, from the first R peak to the last."""
    peaks, _ = find_peaks(recording, height=0.5, distance=round(0.2 * sample_rate))
    return float(60 * sample_rate / np.diff(peaks).mean())
