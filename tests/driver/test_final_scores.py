"""The scores on the test split: of whom, by which measures, and kept so that the split is opened once."""

import json

import numpy as np
import pytest

from sepray.driver.final_scores import load_result, save_result, score_all, stft_of
from sepray.driver.selection import Champion, Finished, Retraining
from sepray.execution import weights
from sepray.scoring import metrics, tables
from sepray.separators import constant_mask

from .hearts import HEARTS, SPEC, save_weights

CONTROL = "plain at the settings of trial 1"
PLAN = [Retraining(f"{role} seed 1", role, {}, 1) for role in ("trial 1", CONTROL)]


def trial(folder, number: int, role: str | None = None, label: str | None = None) -> Finished:
    place = save_weights(folder / f"{role}-{number}", number)
    return Finished(number, label, {"beta": 0.2}, number / 10, place, {"role": role} if role else {})


@pytest.fixture
def scored(tmp_path):
    """The result of a study with a champion, a control on two seeds and a published setting."""
    finals = [trial(tmp_path, 0, "trial 1"), trial(tmp_path, 2, CONTROL), trial(tmp_path, 1, CONTROL)]
    searched = [trial(tmp_path, 7), trial(tmp_path, 8, label="CASS")]
    result = score_all(SPEC, HEARTS, Champion("trial 1", 0.05, finals[0]), searched, finals, PLAN)
    return result, finals, searched


def error(trial: Finished) -> float:
    """Heart-rate error of a trial's separator on test, worked out anew."""
    estimates = weights.load_separator(SPEC.separator, HEARTS.signal, trial.folder).separate(HEARTS.test.mixture)
    found = metrics.score(estimates, HEARTS.test.sources, HEARTS.signal)["heart_rate_error"]
    return float(found[:, 0].mean())


def test_everything_is_scored_by_measures_of_the_tasks_signal(scored):
    result, finals, searched = scored
    rows = {row["system"]: row["values"] for row in result["rows"]}
    assert rows["champion (trial 1)"]["heart"][0] == pytest.approx(error(finals[0]))
    assert rows[CONTROL]["heart"][0] == pytest.approx(error(finals[2]))  # the better seed on validation
    assert rows["paper: CASS"]["heart"][0] == pytest.approx(error(searched[1]))
    bounds = [name for name in rows if name not in ("champion (trial 1)", CONTROL, "paper: CASS")]
    assert bounds[0] == "unprocessed mixture"
    assert all(set(values) == {"heart", "mean"} for values in rows.values())  # breath has no heart rate
    mixture = HEARTS.test.mixture[:, None].expand_as(HEARTS.test.sources)
    expected = metrics.score(mixture, HEARTS.test.sources, HEARTS.signal)["heart_rate_error"][:, 0].mean()
    assert rows["unprocessed mixture"]["heart"][0] == pytest.approx(float(expected))


def test_result_says_who_won_and_has_the_scores_of_every_item(scored):
    result, finals, _ = scored
    assert (result["member"], result["role"], result["validation"]) == (0, "trial 1", 0.05)
    assert (result["metric"], result["hyperparameters"]) == ("heart_rate_error", {"beta": 0.2})
    scores = tables.score(
        weights.load_separator(SPEC.separator, HEARTS.signal, finals[0].folder), HEARTS.test, signal=HEARTS.signal
    )
    assert set(result["scores"]) == set(scores)
    np.testing.assert_allclose(result["scores"]["relative_l2"], scores["relative_l2"])


def test_champion_that_is_a_control_has_one_row(tmp_path):
    member = trial(tmp_path, 0, CONTROL)
    result = score_all(SPEC, HEARTS, Champion(CONTROL, 0.1, member), [], [member, trial(tmp_path, 3, CONTROL)], PLAN)
    systems = [row["system"] for row in result["rows"]]
    assert systems[:2] == [f"champion ({CONTROL})", "unprocessed mixture"]


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
