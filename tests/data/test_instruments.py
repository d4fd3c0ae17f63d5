import itertools

import numpy as np
import pytest

from sepray.data import instruments
from sepray.data.instruments import INSTRUMENTS, Note, harmony, play, tone

RATE = 8000


def partials(instrument: str, pitch: float, count: int) -> list[float]:
    """Amplitudes at multiples of the pitch of a tone of a second."""
    made = tone(instrument, pitch, 1.0, RATE, np.random.default_rng(0))[:RATE] * np.hanning(RATE)
    spectrum = np.abs(np.fft.rfft(made)) / (RATE / 4)  # the mean of a Hann window is a half; half of a sine's peak
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    return [float(spectrum[round(n * frequency) - 3 : round(n * frequency) + 4].max()) for n in range(1, count + 1)]


def test_reed_has_odd_partials() -> None:
    first, second, third, fourth, fifth = partials("reed", 69 - 12, 5)
    assert second / first == pytest.approx(0.05 / 2, rel=0.05)
    assert third / first == pytest.approx(1 / 3, rel=0.05)
    assert fourth / first == pytest.approx(0.05 / 4, rel=0.1)
    assert fifth / first == pytest.approx(1 / 5, rel=0.05)


def test_plucked_tone_dies_away_and_the_others_are_held() -> None:
    for instrument in INSTRUMENTS:
        made = tone(instrument, 57, 0.8, RATE, np.random.default_rng(0))
        early, late = (np.sqrt(np.square(made[start : start + 800]).mean()) for start in (1600, 4800))
        assert (late < 0.4 * early) == (instrument == "plucked")


def test_high_tones_do_not_fold_back() -> None:
    made = tone("brass", 69 + 24, 1.0, RATE, np.random.default_rng(0))  # 1760 Hz: partials at 1760 and 3520 Hz
    spectrum = np.abs(np.fft.rfft(made[:RATE] * np.hanning(RATE)))
    outside = np.concatenate((spectrum[:1700], spectrum[1820:3460], spectrum[3580:]))
    assert outside.max() < 0.01 * spectrum.max()


def test_harmony_is_of_four_parts_that_do_not_cross() -> None:
    for seed in range(20):
        voices = harmony(np.random.default_rng(seed), 5.0)
        starts = sorted({note.start for note in voices[0]} & {note.start for note in voices[3]})
        assert starts[0] == 0
        for start in starts:
            pitches = [
                next(n.pitch for n in voice if n.start == start)
                for voice in voices
                if start in {n.start for n in voice}
            ]
            assert pitches == sorted(pitches, reverse=True)
            assert len(set(pitches)) == len(pitches)
        everything = {note.pitch % 12 for voice in voices for note in voice}
        assert any(all((p - tonic) % 12 in (0, 2, 4, 5, 7, 9, 11) for p in everything) for tonic in range(12))


def test_parts_are_level_and_seeded() -> None:
    parts = play(np.random.default_rng(3), 8000, RATE)
    assert parts.shape == (4, 8000)
    np.testing.assert_allclose(np.square(parts).mean(axis=1), 1, rtol=1e-4)
    assert np.array_equal(parts, play(np.random.default_rng(3), 8000, RATE))
    assert np.abs(np.corrcoef(parts) - np.eye(4)).max() < 0.5


def test_every_voice_sounds_all_the_time_and_a_quarter_of_its_tones_are_struck_twice() -> None:
    chords = struck = 0
    for seed in range(10):  # in none of them do all four strike a tone twice together
        voices = harmony(np.random.default_rng(seed), 5.0)
        changes = sorted(set.intersection(*({note.start for note in voice} for voice in voices)))
        for voice in voices:
            for note, following in itertools.pairwise(voice):
                assert note.start + note.seconds == pytest.approx(following.start, abs=1e-12)
            assert changes[-1] < 5.0 <= voice[-1].start + voice[-1].seconds < 5.7
            for start, end in itertools.pairwise(changes):
                own = [note for note in voice if start <= note.start < end]
                chords, struck = chords + 1, struck + (len(own) == 2)
                assert len(own) in (1, 2)
                assert len({(note.pitch, round(note.seconds, 9)) for note in own}) == 1
                assert 0.3 <= end - start <= 0.7
    assert struck / chords == pytest.approx(0.25, abs=0.05)


class Phases:
    """Stands in for a random generator: all partials begin with the phase ``first``, but for one that is opposite."""

    def __init__(self, first: float, opposite: int = 0) -> None:
        self.first, self.opposite = first, opposite

    def uniform(self, size: tuple[int, int]) -> np.ndarray:
        phases = np.full(size, self.first)
        if self.opposite:
            phases[self.opposite - 1] += 0.5
        return phases


def partial(instrument: str, n: int, seconds: float = 0.5, rate: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude and phase (in cycles) over time of one of the two partials of a tone of 400 Hz."""
    pitch = 69 + 12 * np.log2(400 / 440)  # 0.45 x 2000 / 400 = 2.25: two partials
    parts = [
        (
            tone(instrument, pitch, seconds, rate, Phases(phase))
            - tone(instrument, pitch, seconds, rate, Phases(phase, n))
        )
        for phase in (0.25, 0.0)
    ]
    whole = parts[0] + 1j * parts[1]  # twice the partial: what both tones share is gone
    return np.abs(whole) / 2 * np.sqrt(1 + 1 / 4), np.unwrap(np.angle(whole)) / (2 * np.pi)


@pytest.mark.parametrize(
    ("instrument", "n", "expected"),
    [
        # at 0.5 s it is released; a linear attack and a linear release
        ("reed", 1, {0.0: 0, 0.01: 0.5, 0.02: 1, 0.25: 1, 0.5: 1, 0.53: 0.5}),
        ("reed", 2, {0.01: 0.5 * 0.05 / 2, 0.25: 0.05 / 2, 0.53: 0.5 * 0.05 / 2}),
        ("strings", 1, {0.0: 0, 0.045: 0.5, 0.09: 1, 0.25: 1, 0.5: 1, 0.53: 0.5}),
        ("strings", 2, {0.045: 0.25, 0.25: 0.5, 0.53: 0.25}),
        # it swells from 0.6 to 1 and back; the second partial grows with the power 0.7 + 0.6
        ("brass", 1, {0.0: 0, 0.025: 0.5 * (0.6 + 0.4 * np.sin(np.pi / 20)), 0.25: 1, 0.5: 0.6, 0.53: 0.3}),
        ("brass", 2, {0.25: 2**-0.7, 0.5: 2**-0.7 * 0.6**1.3, 0.53: 2**-0.7 * 0.3**1.3}),
        # it dies away with 4 and 5.5 a second
        ("plucked", 1, {0.0: 0, 0.0015: 0.5 * np.exp(-0.006), 0.1: np.exp(-0.4), 0.51: 0.5 * np.exp(-2.04)}),
        ("plucked", 2, {0.1: 2**-1.2 * np.exp(-0.55), 0.51: 2**-1.2 * 0.5 * np.exp(-2.805)}),
    ],
)
def test_partials_grow_and_die_away_as_the_table_says(instrument: str, n: int, expected: dict[float, float]) -> None:
    amplitude, phase = partial(instrument, n)
    assert len(amplitude) == 2000 * (0.52 if instrument == "plucked" else 0.56)
    for time, value in expected.items():
        assert amplitude[round(2000 * time)] == pytest.approx(value, abs=1e-9), time
    cycles = np.diff(phase[2:1000]) * 2000
    if instrument == "strings":  # 5.5 times a second 15 cents up and down
        assert [cycles.max(), cycles.min()] == pytest.approx([n * 400 * 1.009, n * 400 * 0.991], rel=1e-4)
        peaks = np.flatnonzero((cycles[1:-1] > cycles[:-2]) & (cycles[1:-1] >= cycles[2:]))
        assert np.diff(peaks) / 2000 == pytest.approx([1 / 5.5], abs=1e-3)
    else:
        assert cycles == pytest.approx(n * 400)


@pytest.mark.parametrize(("frequency", "partials"), [(4000, 1), (3600, 1), (1799, 2), (100, 16), (225, 16), (226, 15)])
def test_partials_end_below_the_highest_frequency_and_there_are_sixteen_at_most(frequency: int, partials: int) -> None:
    counted = []

    class Counting(Phases):
        def uniform(self, size: tuple[int, int]) -> np.ndarray:
            counted.append(size)
            return super().uniform(size)

    tone("reed", 69 + 12 * np.log2(frequency / 440), 0.01, RATE, Counting(0.0))
    assert counted == [(partials, 1)]


def test_notes_are_played_at_their_times_and_parts_are_made_equally_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    class Middle:
        """Stands in for a random generator: draws the middle, or a little more."""

        def uniform(self, low: float, high: float) -> float:
            return (low + high) / 2 + (0.0025 if high < 0.1 else 0)

        def normal(self, mean: float, deviation: float) -> float:
            return mean + deviation

    notes = [[Note(0.2 * k, 0.2, 60 + k), Note(0.6, 0.3, 50)] for k in range(3)] + [[Note(-0.1, 0.4, 40)]]
    played = []

    def flat(instrument: str, pitch: float, seconds: float, rate: int, random: object) -> np.ndarray:
        played.append((instrument, pitch, seconds, rate))
        return np.ones(round(seconds * rate)) * (2 if seconds == 0.3 else 1)

    monkeypatch.setattr(instruments, "harmony", lambda random, seconds: notes if seconds == 0.8 else [])
    monkeypatch.setattr(instruments, "tone", flat)
    parts = play(Middle(), 800, 1000)
    assert played[:3] == [("strings", 60.03, 0.2, 1000), ("strings", 50.03, 0.3, 1000), ("reed", 61.03, 0.2, 1000)]
    assert [instrument for instrument, *_ in played[2:]] == ["reed", "reed", "brass", "brass", "plucked"]
    assert parts.dtype == np.float32
    # 2.5 ms late (0.0025 s, rounded to even): 200 samples of 1, and of 2 what is left of 300 at the end.
    for part, start in zip(parts, (2, 202, 402), strict=False):
        level = np.sqrt((200 * 1 + 198 * 4) / 800)
        expected = np.zeros(800)
        expected[start : start + 200], expected[602:] = 1 / level, 2 / level
        np.testing.assert_allclose(part, expected, rtol=1e-4)
    np.testing.assert_allclose(parts[3], [np.sqrt(2)] * 400 + [0] * 400, rtol=1e-4)


def test_voices_stay_in_their_ranges_and_move_to_the_nearest_tone() -> None:
    moves = []
    for seed in range(20):
        voices = harmony(np.random.default_rng(seed), 8)
        for (low, high), voice in zip(((60, 79), (55, 72), (48, 65), (38, 55)), voices, strict=True):
            pitches = [note.pitch for note in voice]
            assert low <= min(pitches) <= max(pitches) <= high
            moves.append([abs(a - b) for a, b in itertools.pairwise([(low + high) // 2, *pitches])])
    # Tones of a triad are at most 5 semitones apart; the bass has but one tone, which may lie an octave off.
    assert max(max(several) for several in moves[0::4] + moves[1::4] + moves[2::4]) <= 5


def test_other_sounds_need_another_version() -> None:
    assert instruments.VERSION == 1  # it is in the key of cached items; the values below go with it
    parts = play(np.random.default_rng(3), 2000, RATE)
    assert parts[:, 1000] == pytest.approx([-1.9715, -1.2247, -0.0726, 0.9564], abs=1e-3)
