"""The contest of a new model with the present champion, decided on validation, with an MLflow of the test's own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sepray.choices import Objective
from sepray.contracts import Split
from sepray.driver import promotion
from sepray.errors import UnreachableError
from sepray.scoring.statistics import PairedDifference
from sepray.tracking.packaged_model import ModelError

from .hearts import HEARTS, SPEC

ERRORS = SPEC.changed(objective=("relative_l2",))
ITEMS = len(HEARTS.validation)
RULES = (("knee",), ("breath/si_sdr",), ("weights", "1", "0"))
SPREAD = np.linspace(-0.01, 0.01, ITEMS)


def scores(heart: float, breath: float) -> np.ndarray:
    """Scores ``[item, source]`` around two means."""
    return np.stack([heart + SPREAD, breath - SPREAD], axis=1)


@pytest.fixture
def mlflow(monkeypatch):
    """The present champion: what it was trained on, what it scores, and how it fails."""
    state = SimpleNamespace(data=HEARTS.fingerprint, scores={"relative_l2": scores(0.8, 0.6)}, error=None, asked=[])

    def load(address, uri):
        state.asked.append((address, uri))
        if state.error is not None:
            raise state.error
        return address

    def score(separate, split, signal):
        assert split is HEARTS.validation or len(split) < ITEMS
        assert signal is HEARTS.signal
        return state.scores if separate == "models:/cass-ppg/2" else {"relative_l2": scores(0.1, 0.3)}

    monkeypatch.setattr(promotion.models, "describe", lambda address, uri: {"data_fingerprint": state.data})
    monkeypatch.setattr(promotion.models, "load", load)
    monkeypatch.setattr(promotion.models, "as_function", lambda loaded: loaded)
    monkeypatch.setattr(promotion.tables, "score", score)
    return state


def contest(heart: float, breath: float, tmp_path, spec=ERRORS, data=HEARTS, measure="relative_l2"):
    result = {"validation_scores": {measure: scores(heart, breath).tolist()}}
    return promotion.contest(spec, data, result, tmp_path, "http://mlflow", "2")


def test_the_better_model_on_validation_takes_the_alias(mlflow, tmp_path):
    won, why = contest(0.5, 0.4, tmp_path)
    assert won
    assert why.startswith(
        ", the new champion: it beats version 2 (validation: relative L2 error, mean over the sources, 0.4500 against "
        "0.7000, difference -0.2500 [-0.2500, -0.2500], p 0.0078 by sign flips, over "
    )
    assert why.endswith(f"over {ITEMS} items)")
    assert mlflow.asked == [("models:/cass-ppg/2", "http://mlflow")]


@pytest.mark.parametrize("heart", [0.8, 0.9])
def test_a_model_that_is_not_better_leaves_it(mlflow, tmp_path, heart):
    won, why = contest(heart, 0.6, tmp_path)
    assert not won
    assert why.startswith("; version 2 stays the champion (validation: relative L2 error, mean over the sources, ")


def test_more_is_better_where_the_measure_says_so(mlflow, tmp_path):
    mlflow.scores = {"si_sdr": scores(3, 3)}
    spec = SPEC.changed(objective=("si_sdr",))
    won, why = contest(5, 5, tmp_path, spec, measure="si_sdr")
    assert won
    assert "SI-SDR, mean over the sources, 5.0000 dB against 3.0000 dB, difference +2.0000 [+2.0000, +2.0000]" in why
    assert not contest(1, 1, tmp_path, spec, measure="si_sdr")[0]


@pytest.mark.filterwarnings("ignore:The BCa confidence interval")
def test_objective_of_one_source_compares_that_source(mlflow, tmp_path):
    spec = SPEC.changed(objective=("breath/relative_l2",))
    won, why = contest(0.1, 0.7, tmp_path, spec)
    assert not won
    assert "relative L2 error, breath, 0.7000 against 0.6000, difference +0.1000" in why
    assert contest(0.9, 0.5, tmp_path, spec)[0]


def test_model_of_an_older_result_is_scored_from_its_folder(mlflow, tmp_path):
    won, why = promotion.contest(ERRORS, HEARTS, {}, tmp_path, "http://mlflow", "2")
    assert won
    assert "0.2000 against 0.7000" in why
    assert mlflow.asked[1:] == [(str(tmp_path), "http://mlflow")]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ModelError("its code is eve's\nsee there"), ", with which it was not compared (its code is eve's; see there)"),
        (RuntimeError("shapes"), ", but cannot separate this validation split (shapes)"),
    ],
)
def test_a_champion_that_cannot_be_scored_stays(mlflow, tmp_path, error, why):
    mlflow.error = error
    assert contest(0.1, 0.1, tmp_path) == (False, f"; version 2 stays the champion{why}")


def test_a_server_that_does_not_answer_is_no_reason_to_decide(mlflow, tmp_path):
    mlflow.error = UnreachableError("no answer")
    with pytest.raises(UnreachableError, match=r"^no answer$"):
        contest(0.1, 0.1, tmp_path)


@pytest.mark.parametrize(
    ("data", "why"), [("others", "it was trained on other data"), (None, "it does not say what it was trained on")]
)
def test_a_champion_of_other_data_is_not_scored(mlflow, monkeypatch, tmp_path, data, why):
    mlflow.data = data
    won, told = contest(0.1, 0.1, tmp_path)
    assert not won
    assert told.startswith(
        f"; version 2 keeps the alias without a contest: {why}, and may have learned from what would"
    )
    moves = '.set_registered_model_alias("cass-ppg", "champion", VERSION) moves it)'
    assert f'(mlflow.MlflowClient("http://mlflow"){moves}' in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    assert f"(mlflow.MlflowClient(){moves}" in contest(0.1, 0.1, tmp_path)[1]
    assert mlflow.asked == []


@pytest.mark.parametrize(("items", "few"), [(5, True), (6, False)])
def test_too_few_recordings_decide_nothing(mlflow, tmp_path, items, few):
    some = Split(HEARTS.validation.mixture[:items], HEARTS.validation.sources[:items])
    mlflow.scores = {"relative_l2": scores(0.8, 0.6)[:items]}
    result = {"validation_scores": {"relative_l2": scores(0.5, 0.4)[:items].tolist()}}
    data = replace(HEARTS, validation=some)
    won, why = promotion.contest(ERRORS, data, result, tmp_path, "http://mlflow", "2")
    assert won is not few
    assert ("on validation there are too few recordings to say anything (5); mlflow.MlflowClient(" in why) is few


def test_the_interval_and_its_direction_decide_too():
    more = [PairedDifference(1.0, 0.5, 2.0, 0.01)]
    assert promotion.wins(more, ["maximize"])
    assert not promotion.wins(more, ["minimize"])
    assert not promotion.wins([PairedDifference(1.0, 0.0, 2.0, 0.01)], ["maximize"])
    assert not promotion.wins([PairedDifference(-1.0, -2.0, 0.0, 0.01)], ["minimize"])
    assert not promotion.wins([PairedDifference(1.0, 0.5, 2.0, 0.05)], ["maximize"])


def test_a_gap_in_words_has_the_unit_of_the_measure():
    difference = PairedDifference(-1.5, -2.25, -0.125, 0.03125)
    assert promotion._gap(Objective("heart_rate_error", "minimize"), 2.0, 3.5, difference) == (
        "heart rate error, mean over the sources, 2.0000 bpm against 3.5000 bpm, difference -1.5000 "
        "[-2.2500, -0.1250], p 0.031 by sign flips"
    )


def gain(difference: float, p: float, low: float | None = None) -> PairedDifference:
    low = difference / 2 if low is None else low
    return PairedDifference(difference, min(low, difference * 2), max(low, difference * 2), p)


@pytest.mark.parametrize(
    ("found", "won"),
    [
        ([gain(-1, 0.01)], True),
        ([gain(1, 0.01)], False),
        ([gain(-1, 0.06)], False),
        ([gain(-1, 0.01, low=1)], False),  # the interval holds zero
        ([gain(-1, 0.01), gain(0.1, 0.5)], True),
        ([gain(-1, 0.03), gain(0.1, 0.5)], False),  # of two tests, by Holm 0.06
        ([gain(-1, 0.01), gain(1, 0.01)], False),  # better in one, and worse in the other
        ([gain(0.1, 0.5), gain(-1, 0.01)], True),
    ],
)
def test_better_in_one_objective_and_worse_in_none(found, won):
    assert promotion.wins(found, ["minimize"] * len(found)) == won


def test_objective_that_the_rule_names_decides():
    spec = SPEC.changed(objective=("heart_rate_error", "breath/si_sdr"))
    names = [[o.name for o in promotion.deciding_objectives(spec.changed(choose=choose), HEARTS)] for choose in RULES]
    assert names == [["heart_rate_error", "breath/si_sdr"], ["breath/si_sdr"], ["heart_rate_error"]]
