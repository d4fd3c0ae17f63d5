import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sepray.contracts import Signal, Split
from sepray.scoring import beat_scores, metrics
from sepray.scoring.beat_scores import counts, score, with_beats

NAN = math.nan
SIGNAL = Signal(
    ("maternal", "fetal"),
    1,
    (2500,),
    250.0,
    heart_sources=("maternal", "fetal"),
    heart_rates=(("maternal", 55.0, 115.0), ("fetal", 105.0, 185.0)),
)


def test_counts_by_hand() -> None:
    true = torch.tensor([[1.0, 2.0, 3.0, 4.0, NAN]])
    beats = torch.tensor([[1.049, 2.051, 2.96, 3.5, NAN]])  # found, too late, found, invented; 4 is missed
    found = counts(beats, true, 10.0)
    assert [float(n) for n in found] == [2, 2, 2]
    assert float(found.f1) == pytest.approx(4 / 8)
    assert (float(found.missed_share), float(found.invented_share)) == (0.5, 0.5)
    assert [float(n) for n in counts(beats, true, 10.0, tolerance=0.06)] == [3, 1, 1]


def test_each_beat_has_one_partner_and_a_tolerance_is_met_exactly() -> None:
    both, one = torch.tensor([1.04, 1.00], dtype=torch.float64), torch.tensor([1.02], dtype=torch.float64)
    assert [float(n) for n in counts(both, one, 10.0)] == [1, 0, 1]
    assert [float(n) for n in counts(one, both, 10.0)] == [1, 1, 0]
    chain = torch.tensor([1.0, 1.08, 1.16], dtype=torch.float64)  # each is near two of the others
    assert [float(n) for n in counts(chain, chain + 0.04, 10.0)] == [3, 0, 0]
    true = torch.arange(1, 9, dtype=torch.float64)
    for shift in (0.05, -0.05):
        assert [float(n) for n in counts(true + shift, true, 10.0)] == [8, 0, 0]


def test_an_estimate_is_silent_beside_what_it_was_separated_from_in_any_unit() -> None:
    sources = _sources()
    dust = torch.cat([sources[:, :1], 1e-7 * sources[:, 1:]], dim=1)
    for unit in (1.0, 1e-7, 1e7):
        same = score(unit * sources, unit * sources, SIGNAL)
        assert same["beat_f1"].tolist() == [[1, 1]]
        none = score(unit * dust, unit * sources, SIGNAL)
        assert none["beat_f1"].tolist() == [[1, 0]]
        assert none["heart_rate_error"][0, 1] == pytest.approx(60 / 0.44, abs=0.1)
        assert score(unit * dust, unit * dust, SIGNAL)["beat_f1"].tolist() == [[1, 1]]  # no fetus, and none is found
        split = with_beats(Split(dust.sum(1), unit * dust), SIGNAL)
        assert split.beats.isfinite().sum(-1).tolist() == [[13, 0]]


def test_beats_at_the_ends_need_no_partner_but_may_have_one() -> None:
    true, beats = torch.tensor([0.05, 1.0, 9.95]), torch.tensor([0.06, 1.0])
    assert [float(n) for n in counts(beats, true, 10.0)] == [2, 0, 0]
    assert [float(n) for n in counts(true, beats, 10.0)] == [2, 0, 0]
    assert [float(n) for n in counts(true, torch.tensor([1.0]), 10.0)] == [1, 0, 0]
    assert [float(n) for n in counts(torch.tensor([0.11, 1.0]), torch.tensor([1.0]), 10.0)] == [1, 0, 1]


def test_without_beats() -> None:
    none, some = torch.full((1, 3), NAN), torch.tensor([[1.0, 2.0, NAN]])
    for beats, true, f1, missed, invented in (
        (none, none, 1, 0, 0),
        (none, some, 0, 1, 0),
        (some, none, 0, 0, 1),
        (none[:, :0], some, 0, 1, 0),
        (some, none[:, :0], 0, 0, 1),
        (none[:, :0], none[:, :0], 1, 0, 0),
    ):
        found = counts(beats, true, 10.0)
        assert (float(found.f1), float(found.missed_share), float(found.invented_share)) == (f1, missed, invented)


def _heart(times: Tensor, sigma: float) -> Tensor:
    grid = torch.arange(2500)[:, None] / 250 - times
    return torch.exp(-0.5 * (grid / sigma) ** 2).sum(-1)


MATERNAL, FETAL = 0.3 + 0.75 * torch.arange(13), 0.2 + 0.44 * torch.arange(22)


def _sources() -> Tensor:
    return torch.stack([_heart(MATERNAL, 0.012), 0.2 * _heart(FETAL, 0.006)])[None, :, None].float()


def test_perfect_inverted_exchanged_and_halved_estimates() -> None:
    sources = _sources()
    halved = sources.clone()
    halved[0, 1, 0, 1250:] = 0
    broken = sources.clone()
    broken[0, 1, 0, 7] = NAN
    estimates = torch.cat([sources, -3 * sources, sources.flip(1), halved, 0 * sources, broken])
    found = score(estimates, sources.expand_as(estimates), SIGNAL)
    assert found["beat_f1"][:2].tolist() == [[1, 1], [1, 1]]
    assert found["heart_rate_error"][:2].max() < 1e-3
    assert found["beat_f1"][2].max() < 0.4
    assert found["missed_beats"][3].tolist() == [0, 0.5]  # 11 of 22 are in the first half
    assert found["invented_beats"][3].tolist() == [0, 0]
    assert found["beat_f1"][4].tolist() == [0, 0]
    assert found["heart_rate_error"][4].tolist() == pytest.approx([80, 60 / 0.44], abs=0.1)
    assert bool(found["beat_f1"][5, 1].isnan())
    assert found["beat_f1"][5, 0] == 1


def test_true_beats_of_the_task_are_used_where_there_are_any() -> None:
    sources = _sources()
    true = torch.full((1, 2, 22), NAN, dtype=torch.float64)
    true[0, 0, :13], true[0, 1] = MATERNAL, FETAL
    assert score(sources, sources, SIGNAL, true)["beat_f1"].tolist() == [[1, 1]]
    other = score(sources, sources, SIGNAL, true + 0.1)
    assert other["beat_f1"].max() < 0.1
    assert other["heart_rate_error"].max() < 0.1
    true[0, 1] = NAN  # no fetus
    without = score(sources, sources, SIGNAL, true)
    assert (without["beat_f1"][0, 1], without["invented_beats"][0, 1]) == (0, 1)
    scores = metrics.score(sources, sources, SIGNAL, true)
    assert scores["beat_f1"].tolist() == [[1, 0]]
    assert scores["heart_rate_error"][0, 1] == pytest.approx(60 / 0.44, abs=0.1)


@pytest.mark.parametrize("hearts", [("maternal", "fetal"), ("fetal",)])
def test_beats_that_are_detected_once_give_the_scores_of_those_detected_each_time(hearts) -> None:
    signal = replace(SIGNAL, heart_sources=hearts)
    whole = _sources()
    silent, fewer = whole.clone(), whole.clone()
    silent[0, 1], fewer[..., 1250:] = 0, 0
    sources = torch.cat([whole, silent, fewer])
    split = with_beats(Split(sources.sum(1), sources), signal)
    assert split.beats.isfinite().sum(-1)[:, 1].tolist() == [22, 0, 11]
    assert split.beats.isfinite().sum(-1)[:, 0].tolist() == ([13, 13, 7] if len(hearts) == 2 else [0, 0, 0])
    estimates = sources + 0.3 * whole.flip(-1)
    again, once = (score(estimates, sources, signal, beats) for beats in (None, split.beats))
    assert all(once[name].nan_to_num(-1).equal(again[name].nan_to_num(-1)) for name in once)
    assert 0 < again["beat_f1"][0, 1] < 1
    assert with_beats(split, signal) is split
    assert with_beats(without := Split(sources.sum(1), sources), replace(SIGNAL, heart_sources=())) is without


def test_sources_without_a_heart_have_no_score_and_means_leave_them_out() -> None:
    signal = replace(SIGNAL, heart_sources=("fetal",), heart_rates=SIGNAL.heart_rates[1:])
    sources = _sources()
    scores = metrics.score(sources, sources, signal)
    assert bool(scores["beat_f1"][0, 0].isnan())
    means = metrics.summary(scores, signal.sources, signal.heart_sources)
    assert means["beat_f1"] == means["fetal/beat_f1"] == 1
    assert "maternal/beat_f1" not in means


def test_leads_of_opposite_polarity_do_not_cancel() -> None:
    leads = torch.cat([_sources(), -_sources(), 0.1 * _sources()], dim=2)
    found = score(leads, leads, replace(SIGNAL, channels=3))
    assert found["beat_f1"].tolist() == [[1, 1]]
    assert found["heart_rate_error"].max() == 0
    times = torch.full((1, 2, 22), NAN, dtype=torch.float64)
    times[0, 0, :13], times[0, 1] = MATERNAL, FETAL
    assert score(leads, leads, SIGNAL, times)["beat_f1"].tolist() == [[1, 1]]


def test_without_a_range_any_usual_rate_is_found_and_low_sample_rates_have_pulses() -> None:
    sources = _sources()
    assert score(sources, sources, replace(SIGNAL, heart_rates=()))["beat_f1"].tolist() == [[1, 1]]
    seconds = torch.arange(512) / 64
    pulse = torch.cos(2 * math.pi * 1.25 * seconds)[None, None, None]
    hearts = Signal(("heart",), 1, (512,), 64.0, ("heart",))
    found = score(torch.cat([pulse, -pulse]), torch.cat([pulse, pulse]), hearts)
    assert found["beat_f1"][:, 0].tolist() == [1, 0]


def test_images_have_no_beats() -> None:
    with pytest.raises(ValueError, match="beats need"):
        score(torch.ones(1, 1, 1, 4, 4), torch.ones(1, 1, 1, 4, 4), SIGNAL)


def test_the_loudest_is_that_of_any_source_and_channel():
    sources = torch.zeros(2, 2, 3, 4)
    sources[0, 1, 2, :2], sources[1, 0, 0, ::2] = 3.0, -5.0
    assert beat_scores._loudest(sources).tolist() == pytest.approx([1.5 * 2**0.5, 2.5 * 2**0.5])
