"""The scores on the test split: of whom, by which measures, and kept so that the split is opened once."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sepray.contracts import Tracks
from sepray.driver.champion import Champion
from sepray.driver.final_scores import load_result, save_result, score_all, stft_of
from sepray.driver.finished_trials import Finished
from sepray.driver.notes import table_words
from sepray.driver.pairs import compared
from sepray.driver.retrainings import BEST_OF_ARM, SAME_SETTINGS, Retraining
from sepray.execution import weights
from sepray.scoring import metrics, tables
from sepray.separators import constant_mask

from .hearts import HEARTS, SIGNAL, SPEC, save_weights

CONTROL = "plain at the settings of trial 1"
PLAN = [Retraining(f"{role} seed 1", role, {}, 1) for role in ("trial 1", CONTROL)]


def trial(folder, number: int, role: str | None = None, label: str | None = None) -> Finished:
    place = save_weights(folder / f"{role}-{number}", number)
    attributes = {"role": role, "seed": number} if role else {}
    return Finished(number, label, {"beta": 0.2}, number / 10, place, attributes)


@pytest.fixture
def scored(tmp_path):
    """The result of a study with a champion, a control on two seeds and a published setting."""
    finals = [trial(tmp_path, 0, "trial 1"), trial(tmp_path, 2, CONTROL), trial(tmp_path, 1, CONTROL)]
    searched = [trial(tmp_path, 7), trial(tmp_path, 8, label="CASS")]
    champion = Champion("trial 1", 0.05, finals[0])
    result = score_all(SPEC, HEARTS, champion, searched, compared(finals, PLAN, SPEC.controls))
    return result, finals, searched


def error(trial: Finished) -> float:
    """Heart-rate error of a trial's separator on test, worked out anew."""
    estimates = weights.load_separator(SPEC.separator, HEARTS.signal, trial.folder).separate(HEARTS.test.mixture)
    found = metrics.score(estimates, HEARTS.test.sources, HEARTS.signal)["heart_rate_error"]
    return float(found[:, 0].mean())


def test_everything_is_scored_by_measures_of_the_tasks_signal(scored):
    result, finals, searched = scored
    rows = {row["system"]: row["values"] for row in result["rows"]}
    assert rows["champion, trial 1"]["heart"][0] == pytest.approx(error(finals[0]))
    mean_of_seeds = (error(finals[1]) + error(finals[2])) / 2
    assert rows[f"{CONTROL}, mean of 2 seeds"]["heart"][0] == pytest.approx(mean_of_seeds)
    assert "trial 1" not in rows  # its only training is the champion
    assert rows["CASS (20 epochs; no published number)"]["heart"][0] == pytest.approx(error(searched[1]))
    bounds = [name for name in rows if name.split()[0] not in ("champion,", "plain", "CASS")]
    assert bounds[0] == "unprocessed mixture"
    assert all(set(values) == {"heart", "mean"} for values in rows.values())  # breath has no heart rate
    mixture = HEARTS.test.mixture[:, None].expand_as(HEARTS.test.sources)
    expected = metrics.score(mixture, HEARTS.test.sources, HEARTS.signal)["heart_rate_error"][:, 0].mean()
    assert rows["unprocessed mixture"]["heart"][0] == pytest.approx(float(expected))


def test_settings_that_were_tried_first_are_a_trial_of_the_search_whose_name_an_arm_may_have(tmp_path):
    finals, searched = [trial(tmp_path, 0, "trial 1")], [trial(tmp_path, 7, label="plain")]
    spec = SPEC.changed(first_settings={"plain": {"beta": 0.2}})
    result = score_all(spec, HEARTS, Champion("trial 1", 0.05, finals[0]), searched, compared(finals, PLAN, {}))
    rows = {row["system"]: row["values"] for row in result["rows"]}
    assert rows["trial 7: plain"]["heart"][0] == pytest.approx(error(searched[0]))
    assert "plain" not in rows


def test_result_says_who_won_and_has_the_scores_of_every_item(scored):
    result, finals, _ = scored
    assert (result["member"], result["role"], result["validation"]) == (0, "trial 1", 0.05)
    assert (result["metric"], result["hyperparameters"]) == ("heart_rate_error", {"beta": 0.2})
    scores = tables.score(
        weights.load_separator(SPEC.separator, HEARTS.signal, finals[0].folder), HEARTS.test, signal=HEARTS.signal
    )
    assert set(result["scores"]) == set(scores)
    np.testing.assert_allclose(result["scores"]["relative_l2"], scores["relative_l2"])


def test_figures_are_of_whole_tracks_where_the_task_has_them(tmp_path):
    whole = torch.cat([*HEARTS.test.sources], -1)
    sources = (whole, whole[..., : whole.shape[-1] - 100])
    tracks = Tracks(("A", "B"), tuple(own.sum(0) for own in sources), sources, (("piece A",), ("piece B",)))
    data = dataclasses.replace(HEARTS, tracks=tracks, unit_names=("pieces",))
    finals = [trial(tmp_path, 0, "trial 1")]
    result = score_all(SPEC, data, Champion("trial 1", 0.05, finals[0]), [], compared(finals, PLAN, SPEC.controls))
    separator = weights.load_separator(SPEC.separator, HEARTS.signal, finals[0].folder)
    expected = tables.score(separator, tracks, signal=HEARTS.signal)["heart_rate_error"]
    np.testing.assert_allclose(result["scores"]["heart_rate_error"], expected)
    assert np.shape(result["scores"]["relative_l2"]) == (2, 2)
    assert np.shape(result["validation_scores"]["relative_l2"]) == (len(HEARTS.validation), 2)  # crops, as ever
    assert result["rows"][0]["values"]["heart"][0] == pytest.approx(expected[:, 0].mean())
    assert result["units"]["of_items"] == [["piece A"], ["piece B"]]
    _, _, _, caption = table_words(SPEC, data, result)
    assert caption.startswith("mean over 2 whole pieces [")
    json.dumps(result, allow_nan=True)


def test_champion_that_is_a_control_trained_once_has_one_row(tmp_path):
    member = trial(tmp_path, 0, CONTROL)
    result = score_all(SPEC, HEARTS, Champion(CONTROL, 0.1, member), [], compared([member], PLAN, SPEC.controls))
    systems = [row["system"] for row in result["rows"]]
    assert systems[:2] == [f"champion, {CONTROL}", "unprocessed mixture"]


def test_scores_of_the_pairs_are_kept(scored):
    result, *_ = scored
    kept = result["pairs"]
    assert kept["contrasts"] == [["trial 1", "plain"]]
    assert [(m["trial"], m["base"], m["seed"]) for m in kept["systems"]["plain"]] == [(2, 1, 2), (1, 1, 1)]
    of_first = np.array(kept["systems"]["trial 1"][0]["scores"])
    np.testing.assert_allclose(of_first, result["scores"]["heart_rate_error"], rtol=1e-5)


def test_training_whose_estimates_are_not_finite_has_no_score(tmp_path, monkeypatch):
    finals = [trial(tmp_path, 0, "trial 1"), trial(tmp_path, 2, CONTROL), trial(tmp_path, 1, CONTROL)]
    score = tables.score

    def broken(separator, split, signal):
        found = score(separator, split, signal=signal)
        is_last = torch.equal(separator.state_dict()[name], wrong[name])
        return {measure: np.full_like(values, np.nan) if is_last else values for measure, values in found.items()}

    wrong = weights.load_separator(SPEC.separator, HEARTS.signal, finals[2].folder).state_dict()
    name = next(n for n, tensor in wrong.items() if tensor.ndim > 1)
    monkeypatch.setattr(tables, "score", broken)
    spec = SPEC.changed(objective=("relative_l2",))
    result = score_all(spec, HEARTS, Champion("trial 1", 0.05, finals[0]), [], compared(finals, PLAN, spec.controls))
    assert [m["scores"] is None for m in result["pairs"]["systems"]["plain"]] == [False, True]
    assert result["rows"][1]["system"] == CONTROL  # of one seed alone
    json.dumps(result["pairs"], allow_nan=False)


def test_objectives_of_several_measures_are_columns_with_their_own_units(tmp_path):
    finals = [trial(tmp_path, 0, "trial 1"), trial(tmp_path, 1, CONTROL), trial(tmp_path, 2, CONTROL)]
    spec = SPEC.changed(objective=("heart_rate_error", "breath/si_sdr:max"))
    result = score_all(spec, HEARTS, Champion("trial 1", 0.05, finals[0]), [], compared(finals, PLAN, spec.controls))
    assert result["columns"] == ["heart rate error (bpm)", "breath SI-SDR (dB)"]
    rows = {row["system"]: row["values"] for row in result["rows"]}
    found = [tables.score(weights.load_separator(SPEC.separator, HEARTS.signal, t.folder), HEARTS.test, signal=SIGNAL)
             for t in finals]  # fmt: skip
    own = rows["champion, trial 1"]
    assert own["breath SI-SDR (dB)"][0] == pytest.approx(found[0]["si_sdr"][:, 1].mean())
    assert own["heart rate error (bpm)"] == own["mean"] == own["heart"]  # the only source that has it
    control = rows[f"{CONTROL}, mean of 2 seeds"]["breath SI-SDR (dB)"][0]
    assert control == pytest.approx((found[1]["si_sdr"][:, 1].mean() + found[2]["si_sdr"][:, 1].mean()) / 2)
    kept = result["pairs"]["systems"]["trial 1"][0]["others"]["si_sdr"]
    np.testing.assert_allclose(kept, found[0]["si_sdr"], rtol=1e-5)
    sources = score_all(
        SPEC.changed(objective=("relative_l2:each",)), HEARTS, Champion("trial 1", 0.05, finals[0]), [],
        compared(finals, PLAN, spec.controls),
    )  # fmt: skip
    assert sources["columns"] == ["heart", "breath", "mean"]  # of one measure, as with one objective


def test_best_settings_of_each_arm_have_a_row(tmp_path):
    def retrained(number, arm, base, pairing):
        one = trial(tmp_path, number, f"{arm} of {base}")
        return dataclasses.replace(one, attributes={**one.attributes, "arm": arm, "base": base, "pairing": pairing})

    finals = [retrained(0, "no adversaries", 4, SAME_SETTINGS), retrained(1, "CASS", 4, SAME_SETTINGS)]
    finals += [retrained(2, "CASS", 9, BEST_OF_ARM), retrained(3, "CASS", 9, BEST_OF_ARM)]
    plan = [Retraining(f"{t.number}", t.attributes["role"], {}, t.attributes["seed"]) for t in finals]
    systems = compared(finals, plan, ())
    result = score_all(SPEC, HEARTS, Champion("CASS of 4", 0.05, finals[1]), [], systems)
    rows = {row["system"]: row["values"] for row in result["rows"]}
    mean = (error(finals[2]) + error(finals[3])) / 2
    assert rows["best of CASS (trial 9), mean of 2 seeds"]["heart"][0] == pytest.approx(mean)
    best = "best of CASS (trial 9), mean of 2 seeds"
    assert list(rows)[:4] == ["champion, CASS of 4", "no adversaries", "CASS", best]
    assert result["best_of_arms"] == [2, 3]
    assert sorted(result["pairs"]["systems"]) == ["CASS", "no adversaries"]  # no pairs


def test_result_is_kept_in_the_studys_folder(tmp_path, scored):
    assert load_result(tmp_path) is None
    save_result(tmp_path, scored[0])
    kept = load_result(tmp_path)
    assert json.dumps(kept) == json.dumps(scored[0])
    assert (tmp_path / "result.json").exists()


def test_bounds_use_the_separators_stft_where_it_has_one():
    assert stft_of(SPEC, HEARTS) == {"n_fft": SPEC.separator.n_fft, "hop": SPEC.separator.hop}
    other = SPEC.changed(separator=constant_mask.DEBUG)
    assert not hasattr(constant_mask.DEBUG, "n_fft")
    assert stft_of(other, HEARTS) == {"n_fft": 62, "hop": 16}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"n_fft": 32, "hop": 32}, (32, 32)),
        ({"n_fft": np.int64(32)}, (32, 16)),
        ({"hop": 0.25}, (62, 16)),  # a share of the frame, or whatever it is
        ({"n_fft": (64, 256), "hop": 16}, (62, 16)),
        ({"n_fft": 8}, (62, 16)),  # the usual hop is longer
        ({"hop": 0}, (62, 16)),
    ],
)
def test_fields_that_cannot_be_frame_and_hop_are_none_of_an_stft(own, expected):
    found = stft_of(SimpleNamespace(separator=SimpleNamespace(**own)), HEARTS)
    assert (found["n_fft"], found["hop"]) == expected
    assert [type(value) for value in found.values()] == [int, int]
