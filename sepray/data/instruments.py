"""Four synthetic instruments that play four-part harmony. Imports numpy only.

===========  =======  =====================================================  ==================================
instrument   voice    spectrum                                               envelope
===========  =======  =====================================================  ==================================
``strings``  soprano  all partials, as 1/n, with vibrato                     slow attack, held
``reed``     alto     odd partials, as 1/n; even ones at a twentieth         quick attack, held
``brass``    tenor    all partials, as n^-0.7, the high ones only when loud  medium attack, swells, held
``plucked``  bass     all partials, as n^-1.2                                at once, dies away, high ones first
===========  =======  =====================================================  ==================================

The harmony is a random walk through the chords of a random major key, one every 0.3 to 0.7 s. Every voice moves to the
nearest tone of the next chord that lies in its range and below the voice above, the bass to the root. So parts share
partials, move together, and differ by timbre and register as in a chorale.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INSTRUMENTS = ("strings", "reed", "brass", "plucked")

VERSION = 1
"""Version of the sounds; part of the key of cached items."""

Array = NDArray[np.float64]

_RANGES = ((60, 79), (55, 72), (48, 65), (38, 55))  # MIDI numbers of soprano, alto, tenor and bass
_SCALE = (0, 2, 4, 5, 7, 9, 11)
_NEXT = {0: (3, 4, 5, 1), 1: (4,), 3: (4, 0, 1), 4: (0, 5), 5: (3, 1, 4)}  # degrees of chords that may follow
_RESOLUTION = 2.0**-14  # of the loudest sample: CPUs whose sines differ in the last bit make the same samples


class Note(NamedTuple):
    """A tone of a voice: when it begins and how long it is held, in seconds, and its MIDI number."""

    start: float
    seconds: float
    pitch: int


def harmony(random: np.random.Generator, seconds: float) -> list[list[Note]]:
    """Return the notes of soprano, alto, tenor and bass, from 0 to ``seconds``."""
    tonic, degree, start = int(random.integers(12)), 0, 0.0
    voices: list[list[Note]] = [[], [], [], []]
    pitches = [sum(limits) // 2 for limits in _RANGES]
    while start < seconds:
        length = random.uniform(0.3, 0.7)
        chord = {(tonic + _SCALE[(degree + third) % 7]) % 12 for third in (0, 2, 4)}
        above = 128
        for voice, (low, high) in enumerate(_RANGES):
            tones = {(tonic + _SCALE[degree]) % 12} if voice == 3 else chord
            allowed = [pitch for pitch in range(low, high + 1) if pitch % 12 in tones and pitch < above]
            before = pitches[voice]
            above = pitches[voice] = min(allowed, key=lambda pitch: (abs(pitch - before), pitch))
            halves = 2 if random.uniform() < 0.25 else 1  # sometimes a tone is struck again
            voices[voice] += [Note(start + k * length / halves, length / halves, above) for k in range(halves)]
        degree, start = int(random.choice(_NEXT[degree])), start + length
    return voices


def play(random: np.random.Generator, samples: int, rate: int) -> NDArray[np.float32]:
    """Return ``[instrument, time]``: four parts, each of unit root mean square."""
    parts = np.zeros((4, samples))
    for part, instrument, notes in zip(parts, INSTRUMENTS, harmony(random, samples / rate), strict=True):
        for note in notes:
            begin = max(0, round((note.start + random.uniform(-0.01, 0.01)) * rate))
            sound = tone(instrument, note.pitch + random.normal(0, 0.03), note.seconds, rate, random)
            sound = sound[: max(0, samples - begin)]
            part[begin : begin + len(sound)] += random.uniform(0.7, 1) * sound
    parts = np.round(parts / np.abs(parts).max() / _RESOLUTION) * _RESOLUTION
    played: NDArray[np.float32] = (parts / np.sqrt(np.square(parts).mean(axis=1, keepdims=True))).astype(np.float32)
    return played


def tone(instrument: str, pitch: float, seconds: float, rate: int, random: np.random.Generator) -> Array:
    """Return a tone ``[time]``, with its release, of amplitude about 1.

    Args:
        instrument: one of ``INSTRUMENTS``.
        pitch: MIDI number; 69 is 440 Hz, and one more is a semitone higher.
        seconds: seconds from the start of the tone until it is released.
        rate: sampling rate in Hz.
        random: random generator of the phases of the partials.
    """
    release = 0.02 if instrument == "plucked" else 0.06
    time = np.arange(round((seconds + release) * rate)) / rate
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    n = np.arange(1, max(1, min(16, math.floor(0.45 * rate / frequency))) + 1)[:, None]  # none above half the rate
    angle = frequency * time
    attack = {"strings": 0.09, "reed": 0.02, "brass": 0.05, "plucked": 0.003}[instrument]
    weights: Array
    envelope: Array = np.minimum(1, time / attack) * np.clip((seconds + release - time) / release, 0, 1)
    match instrument:
        case "strings":
            angle = angle + frequency * 0.009 / (2 * math.pi * 5.5) * np.sin(2 * math.pi * 5.5 * time)  # 15 cents
            weights = envelope / n
        case "reed":
            weights = envelope / n * np.where(n % 2 == 1, 1, 0.05)
        case "brass":
            swell = envelope * (0.6 + 0.4 * np.sin(np.pi * np.minimum(1, time / seconds)))
            weights = np.power(swell, 0.7 + 0.3 * n) * n**-0.7
        case _:
            weights = envelope * n**-1.2 * np.exp(-time * (2.5 + 1.5 * n))
    sound: Array = (weights * np.sin(2 * math.pi * (n * angle + random.uniform(size=(len(n), 1))))).sum(axis=0)
    return sound / math.sqrt(float(np.square(n**-1.0).sum()))
