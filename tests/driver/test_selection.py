"""Which trials are trained again, which of those wins, and the lines of the final table."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sepray.contracts import Signal, Split
from sepray.driver.selection import Finished, best_member, champion, finalists, retrainings
from sepray.execution import checkpoint, weights
from sepray.scoring import tables
from sepray.separators import cass
from sepray.training.trainer import Trainer, build

SIGNAL = Signal(("low", "high"), 1, (64,), 64.0)


def trial(number, value, settings=None, label=None, role=None) -> Finished:
    attributes = {"role": role} if role else {}
    return Finished(number, label, settings or {"beta": number / 10}, value, f"trial-{number}", attributes)


def test_finalists_are_the_best_with_settings_of_their_own_best_first():
    searched = [
        trial(0, 0.5),
        trial(1, 0.2),
        trial(2, 0.3, {"beta": 0.1, "rate": 1.0}),
        trial(3, 0.1, {"rate": 1.0, "beta": 0.1}),  # those of trial 2 in another order
        trial(4, 0.4),
        trial(5, 0.2, {"beta": 0.1}),  # those of trial 1
    ]
    assert [t.number for t in finalists(searched, 3)] == [3, 1, 4]
    assert [t.number for t in finalists(searched, 9)] == [3, 1, 4, 0]
    assert finalists([], 2) == []


def test_of_equal_trials_the_earlier_one_is_the_finalist():
    assert [t.number for t in finalists([trial(7, 0.2), trial(3, 0.2), trial(5, 0.2)], 2)] == [3, 5]


def test_every_finalist_and_control_is_trained_on_the_same_seeds():
    chosen = [trial(4, 0.1, {"beta": 0.2, "adversarial": 1}), trial(2, 0.2, {"beta": 0.3, "adversarial": 0})]
    plan = retrainings(chosen, {"plain": {"adversarial": 0}}, 3, study_seed=7)
    assert [p.role for p in plan] == [
        *["trial 4"] * 3,
        *["trial 2"] * 3,
        *["plain at the settings of trial 4"] * 3,
    ]
    seeds = [p.seed for p in plan]
    assert seeds == seeds[:3] * 3
    assert len(set(seeds)) == 3
    assert len({p.label for p in plan}) == len(plan)
    assert plan[1].label == "trial 4 seed 2"
    assert plan[3].hyperparameters == {"beta": 0.3, "adversarial": 0}
    assert plan[6].hyperparameters == {"beta": 0.2, "adversarial": 0}
    assert chosen[0].hyperparameters == {"beta": 0.2, "adversarial": 1}


def test_seeds_hang_on_the_study_alone_and_more_of_them_begin_with_the_same():
    few, more = (retrainings([trial(0, 0.1)], {}, n, study_seed=7) for n in (2, 4))
    assert more[:2] == few
    other = retrainings([trial(0, 0.1)], {}, 2, study_seed=8)
    assert not {p.seed for p in few} & {p.seed for p in other}


def test_control_that_is_the_finalist_itself_is_left_out():
    plan = retrainings([trial(1, 0.1, {"beta": 0.1, "adversarial": 0})], {"plain": {"adversarial": 0}}, 2, 0)
    assert [p.role for p in plan] == ["trial 1", "trial 1"]


def test_nothing_is_trained_again_without_a_finalist():
    assert retrainings([], {"plain": {"adversarial": 0}}, 3, 0) == []


def test_champion_has_the_best_mean_and_a_lucky_seed_does_not_win():
    finals = [
        trial(0, 0.05, role="trial 8"),
        trial(1, 0.60, role="trial 8"),
        trial(2, 0.30, role="trial 9"),
        trial(3, 0.20, role="trial 9"),
        trial(4, 0.01, role="plain at the settings of trial 8"),  # a control is no candidate
        trial(5, 0.00),
    ]
    role, mean, member = champion(finals, ["trial 8", "trial 9"])
    assert (role, member.number) == ("trial 9", 3)
    assert mean == pytest.approx(0.25)


def test_there_is_no_champion_where_no_candidate_was_trained_to_its_end():
    assert champion([trial(0, 0.1, role="plain at the settings of trial 1")], ["trial 1"]) is None
    assert champion([], []) is None


def test_best_member_is_the_least_and_of_equals_the_first():
    assert best_member([trial(3, 0.2), trial(2, 0.1), trial(1, 0.1)]).number == 1


def test_separator_is_loaded_with_the_weights_of_a_trials_newest_checkpoint(tmp_path):
    generator = torch.Generator().manual_seed(0)
    mixture = torch.randn(8, 1, 64, generator=generator)
    sources = torch.randn(8, 2, 1, 64, generator=generator)
    trainer = Trainer(
        build(cass.DEBUG, SIGNAL, 3), {"mixture": mixture, "sources": sources}, {}, 3, 4, cass.DEBUG.betas
    )
    for epoch in (1, 2):
        trainer.epoch()
        named, state = trainer.state()
        tensors = {f"0/{name}": tensor for name, tensor in named.items()}
        checkpoint.save(str(tmp_path / "trial"), epoch, tensors, {"members": [state]})
    loaded = weights.load_separator(cass.DEBUG, SIGNAL, str(tmp_path / "trial"))
    assert not loaded.training
    assert torch.equal(loaded.separate(mixture), trainer.separator.eval().separate(mixture))
    with pytest.raises(FileNotFoundError, match=r"no sound checkpoint in .*other"):
        weights.load_separator(cass.DEBUG, SIGNAL, str(tmp_path / "other"))
    with pytest.raises(RuntimeError, match=r"size mismatch"):
        weights.load_separator(replace(cass.DEBUG, width=8), SIGNAL, str(tmp_path / "trial"))


def test_scores_are_of_every_item_and_source_without_the_energies():
    sources = torch.ones(5, 2, 1, 64)
    split = Split(sources.sum(1), sources)
    # The mixture is 2: a quarter of it is half a source, and all of it twice one.
    gain = torch.tensor([0.25, 1.0]).reshape(1, 2, 1, 1)
    found = tables.score(lambda mixture: mixture[:, None] * gain, split, batch_size=2)
    assert set(found) == {"relative_l1", "relative_l2", "relative_linf", "si_sdr"}
    np.testing.assert_allclose(found["relative_l2"], [[0.5, 1.0]] * 5, rtol=1e-6)


def test_references_are_the_mixture_and_the_oracles_by_readable_names():
    time = torch.arange(256) / 64
    sources = torch.stack([torch.sin(3 * time), 0.5 * torch.sin(40 * time)])[None, :, None].repeat(4, 1, 1, 1)
    found = tables.references(Split(sources.sum(1), sources), n_fft=32, hop=8)
    assert list(found) == [
        "unprocessed mixture",
        "oracle: ideal ratio mask",
        "oracle: phase sensitive mask",
        "oracle: mixture phase",
    ]
    # The mixture as an estimate is off by the other source.
    ratio = float(sources[0, 1].norm() / sources[0, 0].norm())
    np.testing.assert_allclose(found["unprocessed mixture"]["relative_l2"], [[ratio, 1 / ratio]] * 4, rtol=1e-5)
    for name in list(found)[1:]:
        assert found[name]["relative_l2"].mean() < 0.5 * found["unprocessed mixture"]["relative_l2"].mean()
        assert "estimate_energy" not in found[name]


def test_row_has_means_and_intervals_per_source_and_over_sources():
    values = np.random.default_rng(0).uniform(0.1, 0.3, (200, 2)) + np.array([0.0, 0.4])
    row = tables.row("champion", {"relative_l2": values}, "relative_l2", ["low", "high"], bold=True)
    assert (row.system, row.bold, list(row.values)) == ("champion", True, ["low", "high", "mean"])
    for name, column in {"low": values[:, 0], "high": values[:, 1], "mean": values.mean(1)}.items():
        mean, low, high = row.values[name]
        assert mean == pytest.approx(column.mean())
        # Of 200 items the bootstrap's interval is nearly the normal one.
        half = 1.96 * column.std(ddof=1) / np.sqrt(200)
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)
    assert all(type(number) is float for cell in row.values.values() for number in cell), "they go into JSON"


def test_a_mean_over_fewer_seeds_is_no_match_for_one_over_all():
    finals = [
        trial(0, 0.01, role="trial 8"),  # its other seeds diverged
        trial(1, 0.30, role="trial 9"),
        trial(2, 0.40, role="trial 9"),
    ]
    role, value, member = champion(finals, ["trial 8", "trial 9"])
    assert (role, value, member.number) == ("trial 9", pytest.approx(0.35), 1)


def test_row_of_a_measure_that_some_sources_have_not() -> None:
    scores = {"heart_rate_error": np.array([[1.0, np.nan], [3.0, np.nan]])}
    found = tables.row("it", scores, "heart_rate_error", ("heart", "breath")).values
    assert list(found) == ["heart", "mean"]
    assert found["heart"] == found["mean"]
    assert found["mean"][0] == 2
    assert tables.over_sources("heart_rate_error", scores["heart_rate_error"]).tolist() == [1, 3]
    broken = {"heart_rate_error": np.array([[1.0, np.nan], [np.nan, np.nan]])}  # an estimate that is not finite
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        tables.row("it", broken, "heart_rate_error", ("heart", "breath"))


def test_row_of_bss_eval_is_a_median_without_silent_items() -> None:
    scores = {"sdr": np.array([[1.0, 5.0], [2.0, np.nan], [9.0, 7.0], [np.nan, np.nan]])}
    found = tables.row("it", scores, "sdr", ("a", "b")).values
    assert [found[name][0] for name in ("a", "b", "mean")] == [2, 6, 3]
    assert found["a"][1] >= 1
    assert found["a"][2] <= 9


def test_a_failed_score_is_never_left_out() -> None:
    with pytest.raises(ValueError, match="1 of 2 values are not finite"):
        tables.row("it", {"si_sdr": np.array([[1.0], [np.nan]])}, "si_sdr", ("a",))
