"""Notes and bursts, worked out by hand with numbers that are not random; what the configuration refuses."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.tasks.notes_and_bursts import DEBUG, Config


class Given:
    """Stands in for a random generator: returns what is given, in turn, and notes the bounds that it was asked for."""

    def __init__(self, *values: float) -> None:
        self.values, self.bounds = list(values), []  # type: ignore[var-annotated]

    def uniform(self, *bounds: float) -> float:
        self.bounds.append(bounds)
        return self.values.pop(0)

    integers = uniform

    def standard_normal(self, samples: int) -> np.ndarray:
        return np.full(samples, 2.0)


CONFIG = replace(DEBUG, item_samples=2401, sample_rate=12000)  # 0.2 s, and the sample that ends it
HARMONIC = sum(1 / n for n in range(1, 7))


def test_a_note_is_followed_by_another_with_six_partials_and_a_tremolo() -> None:
    first = [0.5, 5.0, 0.0, *[0.25] * 6]  # 150 x 4^0.5 = 300 Hz, a tremolo of 5 Hz, partials that begin at their peaks
    second = [0.0, 0.0, 0.75, *[0.0] * 6]  # 150 Hz, steady at its least level, partials that begin at 0
    random = Given(0.5, *first, *second)
    made = CONFIG._notes(random)  # type: ignore[arg-type]
    assert made.shape == (2401,)
    assert random.bounds == [(0.25, 0.75), *([(), (3, 7), ()] + [()] * 6) * 2]
    at = lambda seconds: made[round(12000 * seconds)]  # noqa: E731
    # 15 periods later the partials are at their peaks again, the tremolo too; after 0.025 s at half of its rise.
    assert at(0.05) == pytest.approx(1.3 * HARMONIC, rel=1e-3)
    assert at(0.02) == pytest.approx((1 + 0.3 * math.sin(0.2 * math.pi)) * HARMONIC, rel=1e-3)
    # A quarter of a period later: cos(n pi / 2) / n = -1/2 + 1/4 - 1/6.
    quarter = 0.04 + 1 / 1200
    tremolo = 1 + 0.3 * math.sin(10 * math.pi * quarter)
    assert at(quarter) == pytest.approx(tremolo * (-1 / 2 + 1 / 4 - 1 / 6), rel=1e-3)
    # Half its level where it ends and the other one begins, which passes through 0; the tremolo is at its middle.
    assert at(0.1) == pytest.approx(HARMONIC / 2, rel=1e-6)
    # The second alone, a quarter of its 24th period: 1 - 1/3 + 1/5, at 0.7.
    assert at(23 / 150 + 1 / 600) == pytest.approx(0.7 * (1 - 1 / 3 + 1 / 5), rel=1e-3)


def test_one_note_fades_into_the_other_within_milliseconds() -> None:
    loud, silent = [0.0, 0.0, 0.0, *[0.25] * 6], [0.0, 0.0, 0.0, *[0.0] * 6]
    for seconds in (0.1 - 0.02, 0.1, 0.1 + 0.02):
        first = CONFIG._notes(Given(0.5, *loud, *silent))[round(12000 * seconds)]  # type: ignore[arg-type]
        gate = 1 / (1 + math.exp((seconds - 0.1) / 0.005))
        # 150 Hz x 0.08, 0.1 and 0.12 s are whole numbers: all partials at their peaks, or at 0.
        assert first == pytest.approx(gate * HARMONIC, abs=1e-9)


def test_bursts_die_away_to_a_third_in_three_milliseconds() -> None:
    random = Given(2, 100, 0.5, 150, 1.0)
    made = replace(DEBUG, item_samples=1024)._bursts(random)  # type: ignore[arg-type]
    assert random.bounds == [(4, 13), (960,), (0.5, 1), (960,), (0.5, 1)]
    assert made[:100].tolist() == [0] * 100
    assert made[100] == 2 * 0.5
    assert made[124] == pytest.approx(2 * 0.5 / math.e)  # 24 samples of 8000 Hz
    assert made[150] == pytest.approx(2 * (1 + 0.5 * math.exp(-50 / 24)))
    assert made[1023] == pytest.approx(2 * (math.exp(-873 / 24) + 0.5 * math.exp(-923 / 24)))


def test_sources_have_unit_power_within_three_decibels(tmp_path: Path) -> None:
    data = replace(DEBUG, train=80).load(tmp_path)
    assert (data.signal.sources, data.signal.channels) == (("notes", "bursts"), 1)
    level = 10 * torch.log10(data.train.sources.double().square().mean((2, 3)))
    for source in level.T:
        assert -3.01 < source.min() < -2.5
        assert 2.5 < source.max() < 3.01
    assert torch.equal(data.train.mixture, data.train.sources.sum(1))
    steps = data.train.sources.double() * 2**14
    assert torch.equal(steps, steps.round())
    assert not torch.equal(steps / 2, (steps / 2).round())


def test_items_depend_on_their_number_alone(tmp_path: Path) -> None:
    few, many = (replace(DEBUG, train=count).load(tmp_path) for count in (5, 9))
    assert torch.equal(few.train.sources, many.train.sources[:5])
    assert torch.equal(few.test.sources, many.test.sources)
    assert few.fingerprint != many.fingerprint
    assert len(set(replace(DEBUG, train=5).recordings(tmp_path)["train"])) == 10  # each source of each item


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_samples": 256, "sample_rate": 8000}, None),
        ({"item_samples": 2**20, "sample_rate": 48000, "train": 10**5}, None),
        ({"item_samples": 255}, "item_samples must be between 256 and 1048576, not 255"),
        ({"item_samples": 2**20 + 1}, "item_samples must be between 256 and 1048576, not 1048577"),
        ({"sample_rate": 7999}, "sample_rate must be between 8000 and 48000, not 7999"),
        ({"sample_rate": 48001}, "sample_rate must be between 8000 and 48000, not 48001"),
        ({"test": 10**5 + 1}, "test must be between 2 and 100000, not 100001"),
        ({"seed": -1}, "seed must be between 0 and 9223372036854775807, not -1"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, int], message: str | None) -> None:
    if message is None:
        Config(**changes)
        return
    with pytest.raises(UsageError) as refusal:
        Config(**changes)
    assert str(refusal.value) == message
