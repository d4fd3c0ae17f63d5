"""A recording through a model: resampled, in windows, channel by channel; what a model cannot do is refused."""

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.models.stream import (
    check_window,
    estimates_of,
    levels_of,
    notes_on,
    shortest_window,
    wanted_sources,
)
from sepray.signals.recordings import open_array, open_recording

from .functions import model, shares_of_the_mixture

NOISE = np.random.default_rng(1).normal(size=(3, 1000)).astype(np.float32)


def noted(shapes):
    def separate(mixture):
        shapes.append(mixture.shape[1:])
        return np.stack([mixture, -mixture], axis=1)

    return separate


@pytest.mark.parametrize(
    ("rate", "window", "samples"), [(64.0, None, 64), (64.0, 0.5, 32), (16.0, None, 64), (640.0, 2.0, 128)]
)
def test_window_is_of_the_models_samples_whatever_the_recordings_rate(rate, window, samples):
    shapes, blocks = [], []
    recording = open_array(NOISE[0], rate)
    estimates = np.concatenate(list(estimates_of(recording, model("m", noted(shapes)), window, blocks.append)), axis=-1)
    assert set(shapes) == {(1, samples)}
    assert estimates.shape == (2, 1, 1000)
    np.testing.assert_allclose(estimates[1], -estimates[0], atol=1e-6)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), NOISE[:1])
    if rate == 64:
        np.testing.assert_allclose(estimates[0], NOISE[:1], atol=1e-6)


def test_model_of_one_channel_separates_each_by_itself():
    shapes = []
    estimates = list(estimates_of(open_array(NOISE, 64), model("m", noted(shapes))))
    assert set(shapes) == {(1, 64)}
    np.testing.assert_allclose(np.concatenate(estimates, axis=-1)[1], -NOISE, atol=1e-6)


def test_model_of_several_channels_gets_them_together_or_refuses():
    shapes = []
    stereo = model("m", noted(shapes), channels=3)
    assert np.concatenate(list(estimates_of(open_array(NOISE, 64), stereo)), axis=-1).shape == (2, 3, 1000)
    assert set(shapes) == {(3, 64)}
    with pytest.raises(UsageError, match=r"^m takes 3 channels, and the recording has 2$"):
        estimates_of(open_array(NOISE[:2], 64), stereo)


@pytest.mark.parametrize("window", [0, -1, np.inf, np.nan])
def test_windows_without_a_length_are_refused(window):
    with pytest.raises(UsageError, match=r"^window must be more than 0 seconds, not "):
        check_window(window)


def test_window_of_fewer_than_16_samples_is_refused():
    ready = shares_of_the_mixture("m", 0.5)
    assert shortest_window(ready) == 0.25
    check_window(0.25, ready)
    check_window(None, ready)
    check_window(0.1)
    with pytest.raises(UsageError) as refusal:
        check_window(0.24, ready)
    assert str(refusal.value) == "window must be at least 0.25 s at the model's 64 Hz, not 0.24"


def test_sources_that_are_wanted():
    ready = shares_of_the_mixture("m", 0.5)
    assert wanted_sources(ready, None) == ("heart", "breath")
    assert wanted_sources(ready, "breath") == ("breath",)
    with pytest.raises(UsageError, match=r"^m has no source 'lung'; it separates heart, breath$"):
        wanted_sources(ready, "lung")


LEVELS = {"low": -0.5, "usual": 0.25, "high": 0.5}


def trained(separate, levels=LEVELS):
    """A model that was trained on mixtures of such levels."""
    made = model("m", separate)
    made.metadata = {**made.metadata, "mixture_level": levels}
    return made


def test_an_offset_of_a_million_is_taken_away_before_float32_rounds_the_samples():
    values = NOISE[:1].astype(np.float64)
    given = open_array(values + 1e6, 64)
    assert [block.dtype for block in given.blocks()] == [np.float64]
    found = np.concatenate(list(estimates_of(given, trained(noted([])))), axis=-1)[0, 0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found - np.median(found), values[0] - np.median(values), atol=1e-5)


@pytest.mark.parametrize("offset", [0.75, -3.0, 2048.0])
def test_an_offset_beyond_the_training_mixtures_is_taken_away_and_in_no_estimate(offset):
    recording = open_array(NOISE[:2] + np.array([[0.1], [offset]], np.float32), 64)
    middle, spread = recording.locations[1]
    usual, taken = NOISE[1] + offset - middle + 0.25 * spread, middle - 0.25 * spread
    mixture, offsets = [], levels_of(recording, trained(noted([]))).offsets
    assert offsets == pytest.approx((0, taken))
    found = list(estimates_of(recording, trained(noted([])), None, mixture.append))
    estimates = np.concatenate(found, axis=-1)
    np.testing.assert_allclose(estimates[0], np.stack([NOISE[0] + 0.1, usual]), atol=1e-3)
    np.testing.assert_allclose(np.concatenate(mixture, axis=1), estimates[0], atol=1e-6)
    (note,) = notes_on(recording, trained(noted([])))
    assert note == (
        f"the recording has an offset that no training mixture had, and that is in no estimate: {taken:.6g} (channel 2)"
    )


@pytest.mark.parametrize("levels", [None, {"low": -1, "usual": 0, "high": 5}])
def test_recordings_in_the_range_and_older_models_are_separated_as_they_are(levels):
    recording = open_array(NOISE + 3, 64)
    assert levels_of(recording, model("m", noted([]))).offsets == (0, 0, 0)
    estimates = np.concatenate(list(estimates_of(recording, trained(noted([]), levels))), axis=-1)
    np.testing.assert_allclose(estimates[0], NOISE + 3, atol=1e-5)
    assert notes_on(recording, trained(noted([]), levels)) == ()


RISE = np.arange(1000) > 640
WANDERS = {
    "step": 3 * RISE,
    "large step": 1e6 * RISE,
    "drift": np.arange(1000) / 64,
    "steep drift": 9.0 * np.arange(1000),
}


@pytest.mark.parametrize("kind", WANDERS)
def test_a_level_that_changes_by_more_than_the_training_mixtures_did_is_taken_away(kind):
    usual = {"low": -0.1, "usual": 0.0, "high": 0.1}
    recording = open_array(NOISE[:2] + np.array([[0.0], [1.0]]) * WANDERS[kind], 64)
    levels = levels_of(recording, trained(noted([]), usual))
    assert (levels.medians, levels.offsets) == ((0, 64), (0, 0))
    slope = 0 if "step" in kind else WANDERS[kind][1]
    assert levels.drifts == (0, pytest.approx(slope, abs=0.01))
    estimates = np.concatenate(list(estimates_of(recording, trained(noted([]), usual))), axis=-1)[0]
    np.testing.assert_allclose(estimates[0], NOISE[0], atol=1e-6)
    left = estimates[1] - NOISE[1]  # 64 samples of noise have a median within half of their spread, but near the step
    away = np.abs(np.arange(1000) - 640) > 32
    assert np.abs(left[away]).max() < 0.7
    assert np.abs(left).max() < 4  # and there within the noise
    assert notes_on(recording, trained(noted([]), usual)) == (
        "the level changes by more than in any training mixture; its running median is in no estimate: over 1 s "
        "(channel 2)",
    )


def test_a_wander_is_taken_away_down_to_the_usual_level():
    recording = open_array(NOISE[:1] + 1000 * RISE, 64)
    levels = levels_of(recording, trained(noted([])))
    assert levels.offsets == pytest.approx((-0.25 * 1,), abs=0.05)
    estimates = np.concatenate(list(estimates_of(recording, trained(noted([])))), axis=-1)[0, 0]
    assert [np.median(estimates[:600]), np.median(estimates[700:])] == pytest.approx([0.25, 0.25], abs=0.1)


@pytest.mark.parametrize("frames", [17, 64, 65, 1000])
def test_a_level_that_is_elsewhere_for_a_short_time_is_taken_away_by_a_shorter_median(frames):
    """A recording may be shorter than an item, and an electrode lose its hold for less than half of one."""
    away = (np.arange(frames) >= frames - 12) & (np.arange(frames) < frames + 12)
    for height, samples in ((5.0, 0), (1000.0, 16)):
        recording = open_array(NOISE[0, :frames] + height * away, 64)
        assert levels_of(recording, trained(noted([]))).medians == (samples,)
    estimates = np.concatenate(list(estimates_of(recording, trained(noted([])))), axis=-1)[0, 0]
    assert np.abs(estimates - 0.25 - NOISE[0, :frames]).max() < 4
    shorter = open_array(NOISE[0, :16] + 1000.0 * (np.arange(16) > 8), 64)
    assert levels_of(shorter, trained(noted([]))).medians == (0,)  # a quarter of an item: nothing to compare with


@pytest.mark.parametrize("frames", [40, 250, 500, 640])
def test_a_step_in_a_recording_shorter_than_a_quarter_of_an_item_is_taken_away(frames):
    made = model("m", noted([]), shape=(2560,))
    made.metadata = {"mixture_level": LEVELS}
    recording = open_array(NOISE[0, :frames] + 1000.0 * (np.arange(frames) > 0.7 * frames), 64)
    assert levels_of(open_array(NOISE[0, :frames], 64), made).medians == (0,)
    assert levels_of(recording, made).medians == (frames // 2,)
    estimates = np.concatenate(list(estimates_of(recording, made)), axis=-1)[0, 0]
    assert np.abs(estimates - 0.25 - NOISE[0, :frames]).max() < 4


def test_a_recording_that_lacks_most_of_the_models_frequencies_is_told_of():
    assert notes_on(open_array(NOISE, 32), trained(noted([]))) == ()
    (note,) = notes_on(open_array(NOISE, 31), trained(noted([])))
    assert note.startswith(
        "the recording has nothing above 15.5 Hz, and the model has learned from signals up to 32 Hz: "
    )


def test_unsigned_numbers_are_separated_as_the_signed_ones(tmp_path):
    signed = np.rint(100 * NOISE[:1])
    for name, samples in (("signed", signed), ("unsigned", (signed + 2**15).astype(np.uint16))):
        np.save(tmp_path / f"{name}.npy", samples)
    found = [
        np.concatenate(list(estimates_of(open_recording(tmp_path / f"{name}.npy", 64), trained(noted([])))), axis=-1)
        for name in ("signed", "unsigned")
    ]
    usual = 0.25 * signed.std()
    np.testing.assert_allclose(found[1][0] - usual, found[0][0] - np.median(signed), atol=0.05)


BREATH = np.sin(2 * np.pi * 0.25 * np.arange(4000) / 64)
BEATS = np.where(np.arange(4000) % 48 == 0, 8.0, 0) + np.random.default_rng(2).normal(size=4000) / 4  # 80 a minute


def of_hearts(sources=("maternal", "fetal")):
    """A model of ECGs at 64 Hz, of items of four seconds, that was trained on mixtures whose median is 0."""
    made = model("m", noted([]), sources, shape=(256,))
    made.metadata = {"mixture_level": {"low": 0.0, "usual": 0.0, "high": 0.0}, "source_baseline": 0.2}
    if "maternal" in sources:
        made.metadata["hearts"] = {"rates": [["maternal", 60, 115], ["fetal", 105, 185]], "pulses": []}
    return made


@pytest.mark.parametrize("height", [0.4, 1.0, 2.0])
def test_a_baseline_that_breathes_is_in_no_estimate_of_a_heart(height):
    recording = open_array(np.stack([BEATS, BEATS + 8 * height * BREATH]).astype(np.float32), 64)
    levels = levels_of(recording, of_hearts())
    assert [share > 0.4 for share in levels.baseline.shares] == [False, True]
    mixture = []
    found = np.concatenate(list(estimates_of(recording, of_hearts(), None, mixture.append)), axis=-1)[0]
    np.testing.assert_allclose(np.concatenate(mixture, axis=-1), found, atol=1e-5)
    assert np.abs(found - BEATS)[:, 64:-64].max() < 0.5
    assert np.abs(found - BEATS).max() < 1.5
    assert np.median(found[1]) == pytest.approx(0, abs=0.1)
    assert notes_on(recording, of_hearts(), levels) == (
        "the baseline moves as a breath moves it; what is slower than hearts beat is in no estimate: below 0.75 Hz "
        "(channel 2)",
    )


def test_a_baseline_stays_where_a_source_may_be_slow_and_where_there_is_no_beat():
    moving = (BEATS + 4 * BREATH).astype(np.float32)[None]
    levels = levels_of(open_array(moving, 64), of_hearts(("heart", "breath")))
    assert levels.baseline is None
    assert levels_of(open_array(moving[:, :64], 64), of_hearts()).baseline is None
    assert levels_of(open_array(moving[:, :640], 64), of_hearts()).baseline is not None
    beside = levels_of(open_array(np.concatenate([0 * moving, moving]), 64), of_hearts()).baseline
    assert beside.shares[0] == beside.levels[0] == 0 < beside.shares[1]  # one is silent
    for share in (0.21, None):  # the hearts that it was trained on have one of their own, or may have
        other = of_hearts()
        other.metadata["source_baseline"] = share
        assert levels_of(open_array(moving, 64), other).baseline is None
        assert levels_of(open_array(moving, 64), other).disturbances is None


def separated_by(ready, values):
    """Return what the model of hearts is given of ``[time]``, and the notes."""
    recording = open_array(values.astype(np.float32), 64)
    levels = levels_of(recording, ready)
    found = np.concatenate(list(estimates_of(recording, ready, levels=levels)), axis=-1)[0, 0]
    return found, notes_on(recording, ready, levels)


@pytest.mark.parametrize("height", [40.0, 1e6])
@pytest.mark.parametrize("seconds", [0.05, 0.45])
def test_a_pop_spoils_no_beats_around_it_and_is_told(seconds, height):
    pop = np.abs(np.arange(4000) / 64 - 20.3) < seconds / 2
    found, notes = separated_by(of_hearts(), BEATS + height * pop)
    away = np.abs(np.arange(4000) / 64 - 20.3) > seconds / 2 + 0.06
    assert np.abs(found - BEATS)[away].max() < 0.8
    assert np.abs(found).max() < 9
    (note,) = notes
    assert note.startswith(
        "some samples lie too far away to be of beats (a pop of an electrode?), and nothing is separated there: 0."
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("frames", [60, 128, 256])
def test_a_step_is_taken_away_wherever_it_is_in_a_recording_of_an_item_or_less(frames, share):
    found, notes = separated_by(of_hearts(), BEATS[:frames] + 1000.0 * (np.arange(frames) >= share * frames))
    assert np.abs(found).max() < 12
    assert abs(np.median(found)) < 1
    assert notes


def test_a_step_in_a_long_recording_is_told_and_no_beat_is_changed():
    found, notes = separated_by(of_hearts(), BEATS + 1000.0 * (np.arange(4000) >= 2000))
    away = np.abs(np.arange(4000) - 2000) > 60
    assert np.abs(found - BEATS)[away].max() < 0.8
    assert "the level steps, and its steps are in no estimate: 1 (channel 1)" in notes


@pytest.mark.parametrize(("hertz", "height"), [(0.05, 80), (0.1, 40), (0.25, 20)])
def test_a_slow_breath_of_any_height_leaves_beats_as_they_are(hertz, height):
    """A running median before it is not smooth, and its corners stayed in the beats."""
    breath = height * np.sin(2 * np.pi * hertz * np.arange(4000) / 64)
    found, notes = separated_by(of_hearts(), BEATS + breath)
    assert np.abs(found - BEATS)[64:-64].max() < 0.8
    assert [note[:32] for note in notes if "offset" not in note] == ["the baseline moves as a breath m"]


def test_one_breath_in_a_long_recording_is_taken_away_and_told():
    breath = np.where(np.abs(np.arange(4000) - 2000) < 64, 16 * np.cos(np.pi * (np.arange(4000) - 2000) / 128), 0)
    found, notes = separated_by(of_hearts(), BEATS + breath)
    assert np.abs(found - BEATS).max() < 3
    assert [note[:32] for note in notes] == ["the baseline moves as a breath m"]


@pytest.mark.parametrize("rate", [40, 45, 75])
def test_slow_hearts_and_high_t_waves_are_no_breath(rate):
    time = np.arange(4000) / 64
    after = np.mod(time, 60 / rate)
    beats = np.exp(-0.5 * ((after - 0.1) / 0.02) ** 2) + 0.8 * np.exp(-0.5 * ((after - 0.42) / 0.08) ** 2)
    found, notes = separated_by(of_hearts(), beats)
    assert np.ptp((found - beats)[128:-128]) < 0.1
    assert not [note for note in notes if "breath" in note]
