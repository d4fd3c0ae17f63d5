"""Windows join without seams, and a rate is changed block by block as if at once."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from sepray.signals.overlap_add import cut, each_channel, resampled, resampled_length, separated

RANDOM = np.random.default_rng(7)


def blocks(signal, size):
    """Cut ``[channel, time]`` into blocks of uneven sizes around ``size``."""
    start = 0
    while start < signal.shape[-1]:
        stop = start + size + start % 7
        yield signal[..., start:stop]
        start = stop


def joined(stream):
    return np.concatenate(list(stream), axis=-1)


def filters(taps):
    """A linear time-invariant separator of two sources, zero beyond the ends of what it sees."""

    def separate(mixture):
        def one(signal, kernel):
            return np.convolve(signal, kernel, mode="same")

        return np.stack([np.apply_along_axis(one, -1, mixture, kernel) for kernel in taps], axis=1)

    return separate


@pytest.mark.parametrize("frames", [64, 65, 95, 96, 97, 1000, 4096])
@pytest.mark.parametrize("block", [1, 50, 5000])
def test_identity_comes_back_whole(frames, block):
    signal = RANDOM.normal(size=(2, frames)).astype(np.float32)
    calls = []

    def identity(mixture):
        assert mixture.shape[1:] == (2, 64)
        calls.append(len(mixture))
        return np.stack([mixture, -mixture], axis=1)

    estimates = joined(separated(blocks(signal, block), frames, identity, window=64))
    assert estimates.shape == (2, 2, frames)
    np.testing.assert_allclose(estimates, np.stack([signal, -signal]), atol=1e-6, rtol=0)
    assert max(calls) <= 64
    hop = (64 - 16) // 2
    assert sum(calls) == (1 if frames == 64 else -(-(frames - 64) // hop) + 1)


def test_linear_time_invariant_separator_gives_what_it_gives_of_the_whole():
    signal = RANDOM.normal(size=(1, 5003)).astype(np.float32)
    separate = filters(RANDOM.normal(size=(2, 17)) / 17)
    estimates = joined(separated(blocks(signal, 700), 5003, separate, window=128))
    np.testing.assert_allclose(estimates, separate(signal[None])[0], atol=1e-6, rtol=0)
    # with a reach beyond what is thrown away the windows' own ends would show
    seams = joined(separated(blocks(signal, 700), 5003, separate, window=128, context=0))
    assert np.abs(seams - separate(signal[None])[0]).max() > 1e-4


def test_an_estimate_that_differs_from_window_to_window_is_faded_over():
    count = iter(range(100))

    def stepwise(mixture):
        levels = np.array([next(count) for _ in mixture], dtype=np.float32)
        return np.broadcast_to(levels[:, None, None, None], (len(mixture), 1, 1, 80)).copy()

    estimates = joined(separated(iter([np.ones((1, 400), np.float32)]), 400, stepwise, window=80))[0, 0]
    assert np.abs(np.diff(estimates)).max() < np.pi / 2 / 30 * 1.01  # steepest slope of a squared sine over 30 samples
    assert (estimates[0], estimates[-1]) == (0, 11)  # 1 + ceil((400 - 80) / 30) windows


def test_short_recording_is_mirrored_up_to_a_window():
    seen = []

    def keep(mixture):
        seen.append(mixture.copy())
        return mixture[:, None]

    signal = np.array([[1, 2, 3, 4, 5]], dtype=np.float32)
    estimates = joined(separated(blocks(signal, 2), 5, keep, window=12))
    np.testing.assert_array_equal(seen[0][0, 0], [1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 1, 2])
    np.testing.assert_array_equal(estimates, signal[None])


def test_window_must_be_longer_than_what_is_thrown_away():
    with pytest.raises(ValueError, match=r"^a window of 10 samples leaves nothing between its unused ends of 5$"):
        list(separated(iter([np.ones((1, 30), np.float32)]), 30, lambda m: m[:, None], window=10, context=5))


@pytest.mark.parametrize(
    ("rate", "new"), [(44100, 128), (360, 128), (128, 250), (100, 128), (8000, 44100), (61.7, 128)]
)
@pytest.mark.parametrize("block", [1000, 200_000])
def test_rate_changes_block_by_block_as_if_at_once(rate, new, block):
    frames = 150_001 if rate > 10_000 else 9001
    signal = RANDOM.normal(size=(2, frames)).astype(np.float32)
    by_block = joined(resampled(blocks(signal, block), rate, new))
    at_once = joined(resampled(iter([signal]), rate, new))
    assert by_block.shape[-1] == at_once.shape[-1] == resampled_length(frames, rate, new)
    assert abs(by_block.shape[-1] - frames * new / rate) <= 1
    np.testing.assert_allclose(by_block, at_once, atol=2e-6, rtol=0)


def test_a_tone_keeps_its_level_and_its_place_at_another_rate_and_back():
    time = np.arange(20_000) / 1000
    tone = (3 + 0.5 * np.sin(2 * np.pi * 11 * time + 0.3)).astype(np.float32)[None]
    there = joined(resampled(blocks(tone, 3000), 1000, 128))
    expected = 3 + 0.5 * np.sin(2 * np.pi * 11 * np.arange(there.shape[-1]) / 128 + 0.3)
    np.testing.assert_allclose(there[0, 40:-40], expected[40:-40], atol=2e-4)
    back = joined(cut(resampled(blocks(there, 100), 128, 1000), 20_000))
    assert back.shape == tone.shape
    np.testing.assert_allclose(back[0, 300:-300], tone[0, 300:-300], atol=4e-4)
    assert np.abs(back - tone).max() < 0.3  # and no ringing of the offset at the ends


def test_what_the_lower_rate_cannot_hold_is_removed():
    time = np.arange(8000) / 1000
    hum = np.sin(2 * np.pi * 150 * time).astype(np.float32)[None]
    there = joined(resampled(blocks(hum, 500), 1000, 128))
    assert np.abs(there[0, 40:-40]).max() < 1e-3
    naive = resample_poly(hum, 128, 1000, axis=-1)
    assert np.abs(there[0, 40:-40]).max() < np.abs(naive[0, 40:-40]).max()


def test_equal_rates_change_nothing():
    signal = RANDOM.normal(size=(1, 100)).astype(np.float32)
    np.testing.assert_array_equal(joined(resampled(blocks(signal, 30), 128, 128.0)), signal)
    assert resampled_length(100, 128, 128.0) == 100


def test_each_channel_by_itself():
    def one(mixture):
        assert mixture.shape[1] == 1
        return np.stack([mixture, 2 * mixture], axis=1)

    mixture = RANDOM.normal(size=(3, 4, 50)).astype(np.float32)
    np.testing.assert_array_equal(each_channel(one)(mixture), np.stack([mixture, 2 * mixture], axis=1))


@pytest.mark.parametrize(("frames", "sizes"), [(7, [5, 2]), (5, [5]), (0, []), (11, [5, 5, 1]), (99, [5, 5, 5])])
def test_stream_of_several_channels_is_cut_after_so_many_samples(frames, sizes):
    signal = np.arange(30.0).reshape(2, 15)
    found = list(cut((signal[:, start : start + 5] for start in (0, 5, 10)), frames))
    assert [block.shape for block in found] == [(2, size) for size in sizes]
    if found:
        np.testing.assert_array_equal(joined(found), signal[:, :frames])
