import itertools

import numpy as np
import pytest

from sepray.data.instruments import INSTRUMENTS, harmony, play, tone

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
