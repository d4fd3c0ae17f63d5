import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Signal
from sepray.scoring import fetal_baselines
from sepray.scoring.real_records import FAINT, HERS, found_beats, mother_and_fetus, score, segments, share_of_mothers
from sepray.signals.beats import ADULT, FETUS, Beats
from sepray.signals.heart_annotations import Annotation

from .hearts import SIGNAL, every, heart

DAISY = Path("../shared/data/ecg/FOETAL_ECG.dat")


def test_segments_are_whole_and_short_recordings_are_one() -> None:
    assert segments(torch.zeros(3, 7600), 250).shape == (3, 3, 2500)
    assert segments(torch.arange(5100.0)[None], 250)[0, 1, 0] == 2500
    assert segments(torch.zeros(3, 1200), 250).shape == (3, 1, 1200)


def test_a_mother_and_her_fetus_are_told_from_two_of_a_kind_and_from_pulses() -> None:
    def pair(*rates, pulses=()):
        names = tuple(name for name, *_ in rates)
        return mother_and_fetus(Signal(names, 1, (2500,), 250.0, names, heart_rates=rates, pulse_sources=pulses))

    mother, fetus = ("maternal", *ADULT), ("fetal", *FETUS)
    assert pair(mother, fetus) == pair(fetus, mother) == ("maternal", "fetal")
    assert pair(("a", 89.0, 185.0), ("b", 90.0, 100.0)) == ("a", "b")
    assert pair(("a", 60.0, 185.0), ("b", 89.0, 185.0)) is None
    assert pair(("a", 90.0, 185.0), ("b", 100.0, 185.0)) is None
    assert pair(mother) is pair(mother, fetus, ("twin", *FETUS)) is None
    assert pair(mother, fetus, pulses=("fetal",)) is None


def test_scores_by_hand() -> None:
    nan = math.nan
    rates = torch.tensor([[134.0, 130.0, 0.0], [120.0, 150.0, 133.0]])
    times = torch.tensor([[[1.0, 2.0, 3.0]] * 3, [[1.0, 2.0, nan]] * 3])
    found = Beats(times, rates, torch.tensor([[0.9, 0.8, 0.0], [0.7, 0.6, 0.5]]))
    given = score(found, Annotation(134.0, None, ""), 10.0)
    assert (given.leads, given.leads_right, given.segments, given.segments_right) == (2, 2, 6, 3)
    assert (given.invented, given.beat_f1, given.missed_beats, given.invented_beats) == (None, None, None, None)
    assert given.confidence == pytest.approx(0.65)
    assert given.rate == 133  # of those that were found
    absent = score(found, Annotation(0.0, None, ""), 10.0)
    assert (absent.leads_right, absent.segments_right) == (None, None)
    assert absent.invented == pytest.approx(5 / 6)
    beats = Annotation(nan, np.array([1.0, 2.01, 3.1, 11.0, 12.0, 13.0]), "")  # 60 or so; none in the third segment
    known = score(found, beats, 10.0)
    assert (known.segments, known.segments_right, known.leads_right) == (4, 0, 0)
    by_hand = [4 / 6, 1, 0, 4 / 5, 4 / 5, 0]  # 3.1 is found by none; of the second segment the second lead misses one
    assert known.beat_f1 == pytest.approx(np.mean(by_hand))
    assert known.missed_beats == pytest.approx(np.mean([1 / 3, 0, 0, 1 / 3, 1 / 3, 0]))
    assert known.invented_beats == pytest.approx(np.mean([1 / 3, 0, 1, 0, 0, 1]))
    nothing = score(found, Annotation(nan, np.array([31.0, 32.0, 33.0]), ""), 10.0)  # after the end
    assert (nothing.segments, nothing.segments_right, nothing.leads_right, nothing.beat_f1) == (0, None, None, None)
    few = score(found, Annotation(nan, np.array([1.0, 2.0]), ""), 10.0)  # two beats have no rate
    assert (few.segments, few.leads_right, few.beat_f1) == (0, None, pytest.approx(np.mean([4 / 5, 0, 0, 1, 0, 0])))


def test_a_fetus_that_is_faint_beside_the_mother_is_not_found() -> None:
    mother, times = heart(every(0.8), 0.006)[None, None], every(0.8)[None, None]
    fetus = heart(every(0.43), 0.006)[None, None]
    for size, rate in ((FAINT * 1.1, 60 / 0.43), (FAINT * 0.9, 0.0)):
        found = found_beats(size * fetus, 250, "fetal", SIGNAL, (mother, times))
        assert float(found.rate) == pytest.approx(rate, abs=1)
        assert (int(found.times.isfinite().sum()) > 0, float(found.confidence) > 0.9) == (rate > 0, rate > 0)
    assert float(found_beats(0.01 * fetus, 250, "fetal", SIGNAL).rate) == pytest.approx(60 / 0.43, abs=1)
    none = (mother, times[..., :0])  # beside a mother who has no beats nothing is faint
    assert float(found_beats(0.01 * fetus, 250, "fetal", SIGNAL, none).rate) == pytest.approx(60 / 0.43, abs=1)
    silent = torch.zeros_like(fetus)
    assert float(found_beats(silent, 250, "fetal", SIGNAL, (mother, times)).rate) == 0


def test_a_fetus_that_beats_when_the_mother_does_is_not_found() -> None:
    period = 60 / 110
    hers, mother = every(period)[None, None], heart(every(period), 0.012)[None, None]
    late = heart(every(period) + 0.04, 0.006)[None, None]
    assert float(found_beats(late, 250, "fetal", SIGNAL).rate) == pytest.approx(110, abs=1)
    found = found_beats(late, 250, "fetal", SIGNAL, (mother, hers))
    assert (float(found.rate), float(found.confidence), int(found.times.isfinite().sum())) == (0, 0, 0)
    between = heart(every(period) + 0.2, 0.006)[None, None]
    assert float(found_beats(between, 250, "fetal", SIGNAL, (mother, hers)).rate) == pytest.approx(110, abs=1)
    slow = every(2 * period)[None, None]  # of a fetus that beats twice as fast as she does
    twice = heart(every(period), 0.006)[None, None]
    assert float(found_beats(twice, 250, "fetal", SIGNAL, (mother, slow)).rate) == pytest.approx(110, abs=1)


def test_a_residual_of_nothing_but_rounding_has_no_fetus_in_any_unit() -> None:
    fetus = heart(every(0.43), 0.006)[None, None]
    for unit in (1.0, 1e-7):
        for size, found in ((1e-5, True), (1e-7, False)):
            beats = found_beats(unit * size * fetus, 250, "fetal", SIGNAL, beside=torch.full((1, 1), unit))
            assert (float(beats.rate) > 0) == found


def test_share_of_beats_that_are_the_mothers_by_hand() -> None:
    nan = math.nan
    beats = torch.tensor([[1.0, 2.0, 3.0, nan], [nan] * 4], dtype=torch.float64)
    mothers = torch.tensor([[1.04, 2.06, nan], [1.0, 2.0, 3.0]], dtype=torch.float64)
    assert share_of_mothers(beats, mothers).tolist() == [pytest.approx(1 / 3), 0]
    assert HERS > 0.5
    assert share_of_mothers(beats, mothers[:, :0]).tolist() == [0, 0]


def test_each_lead_and_segment_is_compared_with_its_own_mother() -> None:
    mother, fetus = heart(every(0.8), 0.006), heart(every(0.43), 0.006)
    sizes = torch.tensor([[1.0, 0.5], [10.0, 1.0]], dtype=torch.float64)[..., None]
    times = every(0.8).expand(2, 2, -1)
    found = found_beats((0.1 * fetus).expand(2, 2, -1), 250, "fetal", SIGNAL, (sizes * mother, times))
    assert (found.rate > 0).tolist() == [[True, True], [False, True]]


@pytest.mark.skipif(not DAISY.exists(), reason="needs ../shared/data/ecg")
def test_mother_and_fetus_of_daisy() -> None:
    leads = torch.from_numpy(np.loadtxt(DAISY)[:, 1:6].T.copy())[:, None]
    own = fetal_baselines.template(leads, 250, ADULT)
    assert found_beats(leads, 250, "maternal", SIGNAL).rate.flatten().tolist() == pytest.approx([81] * 5, abs=1)
    assert found_beats(own[1], 250, "fetal", SIGNAL).rate.flatten().tolist() == pytest.approx([134] * 5, abs=1)
    both = fetal_baselines.components(leads, 250, ADULT, FETUS)
    assert float(found_beats(both[1], 250, "fetal", SIGNAL).rate) == pytest.approx(134, abs=1)
