"""Breath, heart beats and pulses of a PPG as functions of time, for all items at once; the ranges are the task's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .heart_records import PHASES


def breath(
    random: np.random.Generator, items: int, rates: tuple[float, float], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the phase of the breath in cycles, and the breath between -1 and 1, both ``[item, time]``.

    Args:
        random: source of all random numbers.
        items: number of items.
        rates: lowest and highest rate, in breaths a minute.
        seconds: times of the samples, ``[time]``, from 0 on.
    """
    hertz = random.uniform(*rates, (items, 1)) / 60
    drift, at = random.uniform(0, 0.05, (items, 1)), random.uniform(0, 1, (items, 1))
    period = seconds[-1] + seconds[1]
    phase = hertz * (seconds + drift * period / 6 * np.sin(2 * np.pi * (seconds / period + at)))
    phase += random.uniform(0, 1, (items, 1))
    inspiration = random.uniform(1 / 3, 0.45, (items, 1))
    cycle = phase % 1
    half = np.where(cycle < inspiration, cycle / inspiration, 1 + (cycle - inspiration) / (1 - inspiration))
    wave: NDArray[np.float64] = -np.cos(np.pi * half)
    return phase, wave


def beats(
    random: np.random.Generator,
    rates: tuple[float, float],
    seconds: NDArray[np.float64],
    breathing: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the phase of the heart ``[item, time]`` in beats; its rate varies about a mean with the breath.

    Args:
        random: source of all random numbers.
        rates: lowest and highest mean rate, in beats a minute.
        seconds: times of the samples, ``[time]``, at equal distances.
        breathing: phase of the breath in cycles, ``[item, time]``.
    """
    items = len(breathing)
    hertz = random.uniform(*rates, (items, 1)) / 60
    arrhythmia, slow = random.uniform(0, 0.05, (items, 1)), random.uniform(0, 0.03, (items, 1))
    rate = 1 + arrhythmia * np.sin(2 * np.pi * breathing)
    rate += slow * np.sin(2 * np.pi * (0.1 * seconds + random.uniform(0, 1, (items, 1))))
    phase: NDArray[np.float64] = np.cumsum(hertz * rate * (seconds[1] - seconds[0]), axis=1)
    return random.uniform(0, 1, (items, 1)) + phase


def synthetic_pulses(random: np.random.Generator, items: int) -> NDArray[np.float64]:
    """Return synthetic pulses ``[item, phase]``: 0 at the lowest, 1 at the highest."""
    phase = np.arange(PHASES) / PHASES
    pulse = np.zeros((items, PHASES))
    for height, centre, width in (
        ((1.0, 1.0), (0.22, 0.30), (0.07, 0.10)),
        ((0.25, 0.55), (0.54, 0.64), (0.10, 0.15)),
    ):
        mean, deviation = random.uniform(*centre, (items, 1)), random.uniform(*width, (items, 1))
        distance = (phase - mean + 0.5) % 1 - 0.5  # around the circle: one beat's end is the next one's beginning
        pulse += random.uniform(*height, (items, 1)) * np.exp(-0.5 * np.square(distance / deviation))
    pulse -= pulse.min(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = pulse / pulse.max(axis=1, keepdims=True)
    return scaled


def tops(pulse: NDArray[np.float64], beats: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Return the times of the pulses' tops, ``[item, beat]`` in seconds, NaN where an item has fewer.

    Args:
        pulse: each item's pulse, ``[item, phase]``.
        beats: phase of its heart, ``[item, time]``, rising.
        rate: samples a second.
    """
    position = pulse.argmax(axis=1) / PHASES
    seconds = np.arange(beats.shape[1]) / rate
    times = np.full((len(beats), int(np.ceil((beats[:, -1] - beats[:, 0]).max())) + 1), np.nan)
    for item, phase in enumerate(beats):
        own = np.arange(np.floor(phase[0]), np.ceil(phase[-1]) + 1) + position[item]
        own = own[(own >= phase[0]) & (own <= phase[-1])]
        times[item, : len(own)] = np.interp(own, phase, seconds)
    return times


def at_phase(pulse: NDArray[np.float64], beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``[item, time]``: each item's pulse ``[item, phase]`` at its heart's phase, linearly between phases."""
    position = beats % 1 * PHASES
    before = np.floor(position).astype(np.int64)
    weight = position - before
    rows = np.arange(len(pulse))[:, None]
    signal: NDArray[np.float64] = (1 - weight) * pulse[rows, before % PHASES]
    signal += weight * pulse[rows, (before + 1) % PHASES]
    return signal
