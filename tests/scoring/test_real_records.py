import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sepray.contracts import Signal
from sepray.scoring import fetal_baselines
from sepray.scoring.real_records import found_beats, score, segments
from sepray.signals.beats import ADULT, FETUS, Beats, locking
from sepray.signals.heart_annotations import Annotation

DAISY = Path("../shared/data/ecg/FOETAL_ECG.dat")
SIGNAL = Signal(
    ("maternal", "fetal"),
    1,
    (2500,),
    250.0,
    heart_sources=("maternal", "fetal"),
    heart_rates=(("maternal", *ADULT), ("fetal", *FETUS)),
)


def _heart(times: Tensor, sigma: float, seconds: float = 10.0) -> Tensor:
    grid = torch.arange(round(seconds * 250), dtype=torch.float64)[:, None] / 250 - times
    return torch.exp(-0.5 * (grid / sigma) ** 2).sum(-1)


def _every(period: float, start: float = 0.2, seconds: float = 10.0) -> Tensor:
    return torch.arange(start, seconds, period, dtype=torch.float64)


def test_segments_are_whole_and_short_recordings_are_one() -> None:
    assert segments(torch.zeros(3, 7600), 250).shape == (3, 3, 2500)
    assert segments(torch.arange(5100.0)[None], 250)[0, 1, 0] == 2500
    assert segments(torch.zeros(3, 1200), 250).shape == (3, 1, 1200)


def test_scores_by_hand() -> None:
    nan = math.nan
    rates = torch.tensor([[134.0, 130.0, 0.0], [120.0, 150.0, 133.0]])
    times = torch.tensor([[[1.0, 2.0, 3.0]] * 3, [[1.0, 2.0, nan]] * 3])
    found = Beats(times, rates, torch.ones(2, 3))
    given = score(found, Annotation(134.0, None, ""), 10.0)
    assert (given.leads, given.leads_right, given.segments, given.segments_right) == (2, 2, 6, 3)
    assert (given.invented, given.beat_f1) == (None, None)
    assert given.rate == 133  # of those that were found
    absent = score(found, Annotation(0.0, None, ""), 10.0)
    assert (absent.leads_right, absent.segments_right) == (None, None)
    assert absent.invented == pytest.approx(5 / 6)
    beats = Annotation(nan, np.array([1.0, 2.01, 3.1, 11.0, 12.0, 13.0]), "")  # 60 or so; none in the third segment
    known = score(found, beats, 10.0)
    assert (known.segments, known.segments_right, known.leads_right) == (4, 0, 0)
    by_hand = [4 / 6, 1, 0, 4 / 5, 4 / 5, 0]  # 3.1 is found by none; of the second segment the second lead misses one
    assert known.beat_f1 == pytest.approx(np.mean(by_hand))


def test_locking_tells_what_is_left_of_the_mother_from_a_fetus() -> None:
    mother = _every(0.8)
    assert float(locking(mother + 0.1, mother)) > 0.95  # once, twice and three times in each of her beats
    assert float(locking(torch.cat((mother + 0.1, mother + 0.5)).sort().values, mother)) > 0.95
    assert float(locking(_every(0.8 / 3), mother)) > 0.95
    assert float(locking(_every(0.43), mother)) < 0.5
    assert locking(torch.full((2, 3), math.nan), mother.expand(2, -1)).tolist() == [0, 0]
    assert locking(mother[None, :3], mother[None]).tolist() == [0]
    assert locking(_every(0.43), mother[:1]).item() == 0


def test_a_fetus_in_step_with_the_mother_is_not_found() -> None:
    mother = _every(0.8)
    left = _heart(torch.cat((mother + 0.1, mother + 0.5)), 0.006)[None, None]
    assert float(found_beats(left, 250, "fetal", SIGNAL).rate) == pytest.approx(150, abs=1)
    assert float(found_beats(left, 250, "fetal", SIGNAL, mother[None, None]).rate) == 0
    free = _heart(_every(0.43), 0.006)[None, None]
    assert float(found_beats(free, 250, "fetal", SIGNAL, mother[None, None]).rate) == pytest.approx(60 / 0.43, abs=1)


def test_baselines_find_a_fetus_that_the_mixture_hides() -> None:
    mother, fetus = _heart(_every(0.74), 0.012), _heart(_every(0.44, 0.1), 0.006)
    mixing = torch.tensor([[1.0, 0.15], [-0.8, 0.1], [0.5, -0.2]], dtype=torch.float64)
    noise = 0.005 * torch.randn(3, 2500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leads = (mixing @ torch.stack((mother, fetus)) + noise)[:, None]
    own = fetal_baselines.template(leads, 250, ADULT)
    torch.testing.assert_close(own.sum(0), leads)
    rates = found_beats(own[1], 250, "fetal", SIGNAL).rate
    assert rates.flatten().tolist() == pytest.approx([60 / 0.44] * 3, abs=1)
    both = fetal_baselines.components(leads, 250, ADULT, FETUS)
    assert both.shape == (2, 1, 1, 2500)
    for k, (name, heart, bpm) in enumerate((("maternal", mother, 60 / 0.74), ("fetal", fetus, 60 / 0.44))):
        assert float(found_beats(both[k], 250, name, SIGNAL).rate) == pytest.approx(bpm, abs=1)
        own, other = torch.corrcoef(torch.stack((both[k, 0, 0], heart, (fetus, mother)[k])))[0, 1:].abs().tolist()
        assert own > 0.5 > 2.5 * other  # the components are between 1 and 45 Hz
    assert torch.equal(fetal_baselines.mixture(leads), torch.stack((leads, leads)))
    assert found_beats(leads, 250, "fetal", SIGNAL).rate.max() == 0


@pytest.mark.skipif(not DAISY.exists(), reason="needs ../shared/data/ecg")
def test_mother_and_fetus_of_daisy() -> None:
    leads = torch.from_numpy(np.loadtxt(DAISY)[:, 1:6].T.copy())[:, None]
    own = fetal_baselines.template(leads, 250, ADULT)
    assert found_beats(leads, 250, "maternal", SIGNAL).rate.flatten().tolist() == pytest.approx([81] * 5, abs=1)
    assert found_beats(own[1], 250, "fetal", SIGNAL).rate.flatten().tolist() == pytest.approx([134] * 5, abs=1)
    both = fetal_baselines.components(leads, 250, ADULT, FETUS)
    assert float(found_beats(both[1], 250, "fetal", SIGNAL).rate) == pytest.approx(134, abs=1)
