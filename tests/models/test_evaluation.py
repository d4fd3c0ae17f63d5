"""Scores of a model on a split, as tables and as JSON."""

import json

import numpy as np
import pytest

from sepray.contracts import SPLITS
from sepray.errors import UsageError
from sepray.models import evaluation, items
from sepray.models.evaluation import evaluate

from .functions import DATA, FIRST, Config, shares_of_the_mixture


@pytest.fixture
def scores():
    """Return the scores of a model whose estimates are 0.9 of either source, so that every relative error is 0.1."""
    return evaluate(shares_of_the_mixture(FIRST, 0.45), Config(), split="validation")


def test_scores_of_every_item_and_system_are_there(scores):
    assert (scores.model, scores.split, scores.data_fingerprint) == (FIRST, "validation", DATA.fingerprint)
    assert (scores.sources, scores.item_count) == (("heart", "breath"), 6)
    masks = ["oracle: ideal ratio mask", "oracle: phase sensitive mask", "oracle: mixture phase"]
    assert list(scores.scores) == [FIRST, "unprocessed mixture", *masks]
    np.testing.assert_allclose(scores.scores[FIRST]["relative_l2"], np.full((6, 2), 0.1), rtol=1e-5)
    np.testing.assert_allclose(scores.scores["unprocessed mixture"]["relative_l2"], np.ones((6, 2)), rtol=1e-5)
    assert {"relative_l1", "si_sdr", "heart_rate_error"} <= set(scores.measures)
    assert repr(scores).startswith(f"Evaluation('{FIRST}' on 6 validation items: relative_l1, ")


@pytest.mark.filterwarnings("error")  # pandas warns of tables in whose columns it has to search
def test_table_has_one_row_for_each_system_with_mean_and_interval_by_source(scores):
    table = scores.table
    assert list(table.index) == list(scores.scores)
    assert table.columns.names == ["measure", "source", "statistic"]
    for source in ("heart", "breath", "mean"):
        own = table.loc[FIRST, ("relative_l2", source)]
        assert own.to_dict() == pytest.approx({"mean": 0.1, "low": 0.1, "high": 0.1}, rel=1e-4)
    assert np.isnan(table.loc[FIRST, ("heart_rate_error", "breath", "mean")])
    si_sdr = scores.scores["oracle: ideal ratio mask"]["si_sdr"]
    cell = table.loc["oracle: ideal ratio mask", ("si_sdr", "breath")]
    assert cell["mean"] == pytest.approx(si_sdr[:, 1].mean())
    assert cell["low"] <= cell["mean"] <= cell["high"]


def test_items_have_one_row_each(scores):
    found = scores.items
    assert found.shape == (5 * 6, 2 * len(scores.measures))
    assert found.index.names == ["system", "item"]
    assert found.columns.names == ["measure", "source"]
    expected = scores.scores["oracle: mixture phase"]["relative_l1"]
    np.testing.assert_array_equal(found.loc["oracle: mixture phase", "relative_l1"].to_numpy(), expected)


def test_document_is_written_as_json(scores, tmp_path):
    scores.save(tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written == json.loads(json.dumps(scores.document))
    assert {k: written[k] for k in ("model", "split", "data_fingerprint", "sources")} == {
        "model": FIRST,
        "split": "validation",
        "data_fingerprint": DATA.fingerprint,
        "sources": ["heart", "breath"],
    }
    own = written["scores"][FIRST]["relative_l2"]
    assert set(own) == {"heart", "breath", "mean", "items"}
    assert own["items"] == scores.scores[FIRST]["relative_l2"].tolist()
    row = next(row for row in scores.rows["relative_l2"] if row.system == FIRST)
    assert own["mean"] == dict(zip(("mean", "low", "high"), row.values["mean"], strict=True))
    assert [row.bold for row in scores.rows["relative_l2"]] == [True, False, False, False, False]


@pytest.mark.parametrize(("split", "count"), [("train", 5), ("validation", 6), ("test", 7)])
def test_split_and_batch_size_say_what_is_separated_at_once(split, count):
    sizes = []
    found = evaluate(shares_of_the_mixture(FIRST, 0.45, sizes), Config(), split, batch_size=4)
    assert found.item_count == count
    assert sizes == [4, count - 4]


def test_splits_are_those_of_the_contract():
    assert items.SPLITS == SPLITS


def test_transform_of_the_oracles_is_the_models(monkeypatch):
    from sepray.scoring import tables

    asked = []
    monkeypatch.setattr(tables, "references", lambda items, *transform, signal: asked.append(transform) or {})
    evaluate(shares_of_the_mixture(FIRST, 0.45), Config())
    assert asked == [(16, 4)]


def test_bss_eval_is_asked_for_by_either_setting(monkeypatch, tmp_path):
    asked = []

    def measured(model, separate, items, signal, transform, batch_size, folder):
        asked.append((model, len(items), transform, batch_size, folder))
        return {model: {"sdr": np.full((len(items), 2), 7.0)}}

    monkeypatch.setattr(evaluation, "_bss_eval", measured)
    ready = shares_of_the_mixture(FIRST, 0.45)
    assert "sdr" not in evaluate(ready, Config()).measures
    assert evaluate(ready, Config(), bss_eval=True, batch_size=3).scores[FIRST]["sdr"].tolist() == [[7.0, 7.0]] * 7
    evaluate(ready, Config(), split="train", museval=tmp_path / "frames")
    assert asked == [(FIRST, 7, (16, 4), 3, None), (FIRST, 5, (16, 4), 64, tmp_path / "frames" / "train")]


def test_what_does_not_fit_is_refused(tmp_path):
    ready = shares_of_the_mixture(FIRST, 0.45)
    (tmp_path / "file").touch()
    for settings, line in (
        ({"split": "all"}, "unknown split 'all'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"museval": "file/x"}, "cannot write to file/x"),
        ({"model": "nowhere"}, "nowhere is neither a folder with a model"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"bss_eval": True}, "BSS Eval fits filters of 512 taps"),
    ):
        with pytest.raises(UsageError, match=f"^{line}"):
            evaluate(**{"model": ready, "task": Config(), **settings})


def test_model_is_loaded_from_where_it_is_said_to_be(packaged, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation, "loaded", lambda *given: asked.append(given) or shares_of_the_mixture(FIRST, 0.45))
    evaluate(packaged.half, Config(), tracking_uri="sqlite:///x.db", device="cpu")
    assert asked == [(packaged.half, "sqlite:///x.db", "cpu")]


@pytest.mark.parametrize("missing", ["n_fft", "hop"])
def test_model_without_a_transform_is_refused_in_one_line(missing):
    ready = shares_of_the_mixture(FIRST, 0.45)
    ready.metadata = {name: value for name, value in ready.metadata.items() if name != missing}
    with pytest.raises(
        UsageError, match=r"does not say the n_fft and hop of its bounds: use another version of the model$"
    ):
        evaluate(ready, Config())
