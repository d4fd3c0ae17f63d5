"""Beats at fixed delays after another heart's are told from those of a heart of its own."""

import math

import pytest
import torch

from sepray.signals.locked_beats import MOST_LOCKED, locked

MOTHER = 0.3 + 0.8 * torch.arange(12, dtype=torch.float64)
PART = 0.02 / 0.8
CHANCE = 2 * PART - PART**2


def test_one_beat_at_a_fixed_delay_agrees_always():
    assert locked(MOTHER + 0.31, MOTHER).item() == pytest.approx(1 / CHANCE)


def test_two_beats_in_each_interval_agree_half_the_time():
    beats = torch.stack((MOTHER + 0.1, MOTHER + 0.5), 1).flatten()
    # Of the pairs in different intervals, each of the two delays is met by one of two.
    assert locked(beats, MOTHER).item() == pytest.approx(0.5 / CHANCE)


def test_delays_that_differ_by_more_than_twenty_milliseconds_do_not_agree():
    spread = MOTHER + 0.05 + 0.021 * torch.arange(12)
    assert locked(spread, MOTHER).item() == 0
    assert locked(MOTHER + 0.05 + 0.0199 * (torch.arange(12) % 2), MOTHER).item() == pytest.approx(1 / CHANCE)


def test_hearts_of_their_own_are_near_chance_and_remains_far_above():
    generator = torch.Generator().manual_seed(0)

    def heart(least: float, most: float, beats: int) -> torch.Tensor:
        period = least + (most - least) * torch.rand(400, 1, generator=generator, dtype=torch.float64)
        jitter = 1 + 0.02 * torch.randn(400, beats, generator=generator, dtype=torch.float64)
        return torch.rand(400, 1, generator=generator) * period + (period * jitter).cumsum(1)

    mother, fetus = heart(0.6, 1.0, 13), heart(0.35, 0.5, 22)
    own = locked(fetus, mother)
    assert own.mean().item() == pytest.approx(1, abs=0.15)
    assert (own > MOST_LOCKED).double().mean() < 0.2  # hearts in a ratio of small numbers
    noise = 0.006 * torch.randn(400, 13, 2, generator=generator, dtype=torch.float64)
    remains = (mother[..., None] + torch.tensor([0.02, 0.3]) + noise).flatten(1)
    assert (locked(remains, mother) > MOST_LOCKED).all()


def test_beats_before_the_first_and_long_after_the_last_count_for_nothing():
    first = torch.cat((torch.tensor([0.0, 0.1], dtype=torch.float64), MOTHER + 0.31))
    assert locked(first, MOTHER).item() == pytest.approx(1 / CHANCE)
    late = torch.cat((MOTHER + 0.31, torch.tensor([12.0, 13.0], dtype=torch.float64)))
    assert locked(late, MOTHER).item() == pytest.approx(1 / CHANCE)


def test_missing_beats_are_no_beats_and_too_few_say_nothing():
    missing = torch.full((3,), math.nan, dtype=torch.float64)
    padded = torch.cat((MOTHER + 0.31, missing))
    assert locked(padded, torch.cat((MOTHER, missing))).item() == pytest.approx(1 / CHANCE)
    few = torch.stack((MOTHER[:4], missing[[0, 0, 0, 0]]))
    assert locked(few, few).isnan().all()
    assert locked(MOTHER[None, :5] + 0.3, MOTHER[None]).shape == (1,)
