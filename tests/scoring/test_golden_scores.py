"""Scores, tests and intervals of signals and scores made of whole numbers are those of ``golden_scores.json``.

Published figures and stored answers were computed with them. ``WRITE_GOLDEN=1 pytest`` on this file keeps new values.
"""

import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Signal, Split
from sepray.scoring import (
    all_leads,
    beat_scores,
    fetal_baselines,
    intervals,
    many_systems,
    metrics,
    offsets,
    paired_statistics,
    real_records,
    statistics,
    summed_magnitudes,
)
from sepray.scoring.units import Units
from sepray.signals.heart_annotations import Annotation

GOLDEN = Path(__file__).with_name("golden_scores.json")
HEARTS = Signal(
    ("maternal", "fetal"),
    1,
    (1250,),
    250.0,
    ("maternal", "fetal"),
    heart_rates=(("maternal", 55.0, 115.0), ("fetal", 105.0, 185.0)),
)
SOUND = Signal(("a", "b"), 2, (4000,), 8000.0)
IMAGE = Signal(("a", "b"), 1, (16, 20), None)


def rough(*shape: int, seed: int = 0) -> torch.Tensor:
    """Noise of whole numbers alone, within 0.5 of 0."""
    place = torch.arange(math.prod(shape))
    return (((place * place * (7919 + seed) + 31 * place) % 1009).double() / 1009 - 0.5).reshape(shape).float()


def beating(bpm: float, sigma: float, samples: int = 1250, start: float = 0.2) -> torch.Tensor:
    times = start + 60 / bpm * torch.arange(int((samples / 250 - start) * bpm / 60), dtype=torch.float64)
    grid = torch.arange(samples, dtype=torch.float64)[:, None] / 250 - times
    return torch.exp(-0.5 * (grid / sigma) ** 2).sum(-1).float()


def hearts(noise: float) -> torch.Tensor:
    """Two items of a mother and her fetus, ``[item, source, channel, time]``, noisier from one to the next."""
    both = torch.stack([beating(78, 0.012), 0.3 * beating(141, 0.007, start=0.11)])[None, :, None].repeat(2, 1, 1, 1)
    return both + noise * torch.tensor([0.1, 0.4])[:, None, None, None] * rough(2, 2, 1, 1250, seed=5)


def leads() -> torch.Tensor:
    """Three leads ``[lead, segment, time]`` of five seconds, in which both hearts have other heights."""
    mother, fetus = beating(78, 0.012, 2500), beating(141, 0.007, 2500, 0.11)
    shares = torch.tensor([[1.0, 0.3], [-0.6, 0.05], [0.2, 0.25]])
    signal = shares @ torch.stack([mother, fetus]) + 0.1 * rough(3, 2500, seed=3)
    return signal.unflatten(-1, (2, 1250))


def estimates() -> torch.Tensor:
    """Estimates of both hearts in each lead, ``[source, lead, segment, time]``, which leave some noise."""
    whole = leads()
    fetal = (
        0.25 * beating(141, 0.007, 2500, 0.11).unflatten(-1, (2, 1250)) * torch.tensor([1.2, 0.2, 1.0])[:, None, None]
    )
    return torch.stack([0.9 * (whole - fetal), fetal + 0.05 * rough(3, 2, 1250, seed=9)])


def of_signals() -> dict[str, object]:
    found: dict[str, object] = {}
    for name, signal, shape in (("sound", SOUND, (3, 2, 2, 4000)), ("image", IMAGE, (3, 2, 1, 16, 20))):
        reference = rough(*shape) + 0.5
        estimate = 0.8 * reference + 0.1 * rough(*shape, seed=7)
        found |= {f"{name} {key}": value for key, value in metrics.score(estimate, reference, signal).items()}
    found |= {f"hearts {key}": value for key, value in metrics.score(hearts(1.0), hearts(0.0), HEARTS).items()}
    found |= {f"beats {key}": v for key, v in beat_scores.score(hearts(2.0), hearts(0.0), HEARTS).items()}
    split = Split(hearts(0.5).sum(1), hearts(0.5))
    found["beats of a split"] = beat_scores.with_beats(split, HEARTS).beats
    sounds = Split(rough(2, 1, 4000), rough(2, 2, 1, 4000, seed=2))
    mono = dataclasses.replace(SOUND, channels=1)
    found["transform"] = torch.tensor(summed_magnitudes.transform(mono))
    found |= {
        f"summed {k} {n}": v for k, each in summed_magnitudes.bounds(sounds, mono).items() for n, v in each.items()
    }
    return found


def of_leads() -> dict[str, object]:
    whole, both = leads(), estimates()
    found: dict[str, object] = {f"joined {k}": v for k, v in all_leads.joined(whole, both, HEARTS, 250.0).items()}
    found["mothers"], found["left"] = fetal_baselines.template(whole, 250.0, (55.0, 115.0))
    hers = real_records.found_beats(both[0], 250.0, "maternal", HEARTS)
    its = real_records.found_beats(both[1], 250.0, "fetal", HEARTS, (both[0], hers.times))
    found |= {f"hers {k}": v for k, v in hers._asdict().items()} | {f"its {k}": v for k, v in its._asdict().items()}
    known = Annotation(math.nan, np.arange(0.11, 10, 60 / 141), "r.atr")
    found["record"] = torch.tensor(
        [math.nan if v is None else float(v) for v in dataclasses.astuple(real_records.score(its, known, 5.0))]
    )
    return found


def of_scores() -> dict[str, object]:
    table = rough(6, 24).double().numpy() + np.arange(6)[:, None] / 40
    other = table + 0.1 * rough(6, 24, seed=4).double().numpy() + 0.03
    pieces = Units(tuple((f"piece {k // 3}",) for k in range(24)), ("pieces",))
    crossed = Units(tuple((f"m{k // 4}", f"f{k % 4}") for k in range(24)), ("mothers", "fetuses"))
    found: dict[str, object] = {}
    for name, units in (("items", Units.each(24)), ("pieces", pieces), ("crossed", crossed)):
        found[f"interval {name}"] = intervals.interval(table, units, resamples=1999)
        found[f"median {name}"] = intervals.interval(table[:1], units, centre="median", resamples=1999)
        found[f"student {name}"] = intervals.student_interval(table, units)
        found[f"paired {name}"] = dataclasses.astuple(statistics.paired_difference(other[0], table[0], units))
        compared = statistics.compare_systems(("x", "y"), other[1], table[1], "si_sdr", units)
        found[f"systems {name}"] = (*compared.means, compared.p_wilcoxon, compared.rank_biserial, compared.wins)
        found[f"pair {name}"] = dataclasses.astuple(many_systems.paired_test(other, table, units))
        summary = many_systems.summarise_seeds(table, units)
        found[f"seeds {name}"] = (summary.mean, summary.low, summary.high, summary.seed_sd)
        found[f"crossed {name}"] = paired_statistics.crossed_interval(table - other, 1, 1999, units)
    found["rank test"] = dataclasses.astuple(many_systems.mann_whitney(other[0], table[0]))
    found["signed rank"] = statistics.signed_rank(other[0] - table[0])
    found["flips"] = paired_statistics.sign_flips(rough(20, 3).double().numpy() + 0.1)
    found["flips of few"] = paired_statistics.sign_flips(rough(6, 3).double().numpy() + 0.1)
    found["needed"] = [
        paired_statistics.seeds_needed(rough(5).double().numpy() + shift, arms) or -1
        for shift in (0.1, 0.2, 0.5)
        for arms in (1, 3)
    ]
    found["fewest"] = [intervals.fewest(tests) for tests in (1, 2, 3, 10, 100)]
    found["offsets"] = list(
        offsets.offset_range(rough(2500, 1, 40).numpy() + np.arange(2500)[:, None, None] / 1e3).values()
    )
    return found


@pytest.mark.parametrize("make", [of_signals, of_leads, of_scores])
def test_scores_are_what_they_were(make):
    found = {key: brief(value) for key, value in make().items()}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("WRITE_GOLDEN"):
        each = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted({**golden, make.__name__: found}.items())]
        GOLDEN.write_text("{\n" + ",\n".join(each) + "\n}\n")
        return
    kept = golden[make.__name__]
    assert found == {key: pytest.approx(value, rel=2e-4, abs=1e-5) for key, value in kept.items()}


def brief(value: object) -> list[float]:
    """A few numbers as they are, -9 for NaN; of many their count, their root mean square and a sum by place."""
    flat = np.nan_to_num(np.asarray(value, dtype=np.float64).ravel(), nan=-9.0)
    if len(flat) > 24:
        flat = np.array(
            [len(flat), np.sqrt(np.square(flat).mean()), (np.cos(0.7 * np.sqrt(np.arange(len(flat)))) * flat).mean()]
        )
    return [float(f"{number:.7g}") for number in flat]
