"""``sepray compare`` on two packaged models: the better one is found, and every setting arrives."""

import json

import pytest
import torch

from ..models.packaged import TASK
from .test_evaluate import OWN_TASK


@pytest.fixture
def compare(run, tmp_path):
    def compare(first, second, *flags, cache=tmp_path / "cache"):
        return json.loads(run("compare", first, second, "--json", "--cache", cache, *flags))

    return compare


def test_better_one_is_found_whichever_comes_first(models, tmp_path, compare, run):
    forth = compare(models.most, models.half)
    test = TASK.load(tmp_path / "cache").test
    norm = test.sources.flatten(2).norm(dim=-1)

    def errors(share):
        estimates = torch.stack([share * test.mixture, (1 - share) * test.mixture], 1)
        return ((estimates - test.sources).flatten(2).norm(dim=-1) / norm).mean(1)

    differences = errors(0.9) - errors(0.5)
    assert forth["metric"] == "relative_l2"  # which the first model was chosen by
    assert forth["items"] == len(test)
    assert forth["difference"] == pytest.approx(float(differences.mean()), rel=1e-3)
    assert forth["wins"] == int((differences < 0).sum())
    back = compare(models.half, models.most)
    assert back["difference"] == pytest.approx(-forth["difference"])
    assert back["rank_biserial"] == pytest.approx(-forth["rank_biserial"])
    same = run("compare", models.half, models.half, "--cache", tmp_path / "cache")
    assert same.splitlines()[-1] == f"Conclusion: {models.half} and {models.half} do the same by relative L2 error."


@pytest.mark.parametrize(("split", "items"), [("train", 7), ("validation", 5), ("test", 6)])
def test_split_says_whose_items_are_compared(models, compare, split, items):
    result = compare(models.most, models.half, "--split", split)
    assert (result["split"], result["items"]) == (split, items)


def test_metric_says_by_what(models, compare):
    result = compare(models.most, models.half, "--metric", "si_sdr")
    assert (result["metric"], result["unit"], result["direction"]) == ("si_sdr", "dB", "maximize")


def test_metric_of_sources_with_a_heart_rate(models, compare):
    assert compare(models.most, models.half, "--metric", "heart_rate_error")["unit"] == "bpm"


def test_task_batch_size_cache_and_tracking_uri_arrive(models, compare, tmp_path, monkeypatch):
    from sepray.models.model import Model
    from sepray.tracking import models as registry

    sizes, asked = [], []
    separate, load = Model.separate, registry.load
    monkeypatch.setattr(Model, "separate", lambda self, given: sizes.append(len(given)) or separate(self, given))
    monkeypatch.setattr(registry, "load", lambda model, uri: asked.append(uri) or load(model, uri))
    (tmp_path / "compared_task.py").write_text(OWN_TASK.replace("items: int = 3", "items: int = 9"))
    where = ["--tracking-uri", "sqlite:///elsewhere.db", "--batch-size", "5"]
    assert compare(models.most, models.half, "--task", "compared_task", *where)["items"] == 9
    assert sizes == [5, 4, 5, 4]
    assert asked == ["sqlite:///elsewhere.db"] * 2
    compare(models.most, models.half, cache=tmp_path / "there")
    assert list((tmp_path / "there").rglob("*.*"))
