"""``sepray evaluate``: scores of a packaged model on the items of a task."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from sepray.cli.real_table import real_table
from sepray.models.model import Model
from sepray.models.real_recordings import RecordResult
from sepray.scoring.real_records import RecordScores

from ..models.packaged import TASK

OWN_TASK = """
from dataclasses import dataclass
import torch
from sepray.contracts import Signal, Split, TaskData


@dataclass(frozen=True)
class Config:
    items: int = 3

    def load(self, cache):
        sources = torch.rand(self.items, 2, 1, 96, generator=torch.Generator().manual_seed(0)) - 0.5
        split = Split(sources.sum(1), sources)
        return TaskData(Signal(("maternal", "fetal"), 1, (96,), 128.0), split, split, split, "ab" * 32)
"""


@pytest.fixture
def scores(models, tmp_path, run):
    """Run the command; return the document that it prints."""

    def evaluate(*flags, cache=tmp_path / "cache"):
        return json.loads(run("evaluate", models.half, "--json", "--cache", cache, *flags))

    return evaluate


def test_scores_of_each_item_are_written(models, tmp_path, scores):
    written = scores()
    test = TASK.load(tmp_path / "cache").test
    error = (test.mixture[:, None] / 2 - test.sources).flatten(2).norm(dim=-1) / test.sources.flatten(2).norm(dim=-1)
    np.testing.assert_allclose(written["scores"][models.half]["relative_l2"]["items"], error.tolist(), rtol=1e-4)
    assert {"unprocessed mixture", "oracle: ideal ratio mask"} < set(written["scores"])
    assert (written["split"], written["sources"]) == ("test", ["maternal", "fetal"])


@pytest.mark.parametrize(("split", "items"), [("train", 7), ("validation", 5), ("test", 6)])
def test_split_says_whose_items_are_scored(models, scores, split, items):
    written = scores("--split", split)
    assert written["split"] == split
    assert len(written["scores"][models.half]["si_sdr"]["items"]) == items


def test_measures_of_sources_with_a_heart_rate_are_scored_too(models, scores):
    assert "heart_rate_error" in scores()["scores"][models.half]  # the task says that its sources have one


def test_batch_size_is_how_many_items_the_model_gets_at_once(scores, monkeypatch):
    sizes = []
    separate = Model.separate
    monkeypatch.setattr(Model, "separate", lambda self, given: sizes.append(len(given)) or separate(self, given))
    scores("--batch-size", 4)
    assert sizes == [4, 2]


def test_cache_is_where_the_data_is_kept(scores, tmp_path):
    scores(cache=tmp_path / "there")
    assert list((tmp_path / "there").rglob("*.*"))


def test_task_of_the_users_own(models, tmp_path, scores):
    (tmp_path / "evaluated_task.py").write_text(OWN_TASK)
    written = scores("--task", "evaluated_task")
    assert len(written["scores"][models.half]["relative_l2"]["items"]) == 3
    assert "heart_rate_error" not in written["scores"][models.half]  # nothing says that these have one


def test_tracking_uri_is_where_the_model_is_loaded_from(scores, monkeypatch):
    from sepray.tracking import models as registry

    load, asked = registry.load, []
    monkeypatch.setattr(registry, "load", lambda model, uri: asked.append(uri) or load(model, uri))
    scores("--tracking-uri", "sqlite:///elsewhere.db")
    assert set(asked) == {"sqlite:///elsewhere.db"}


def test_table_names_the_systems_and_is_left_out_when_quiet(models, tmp_path, run, monkeypatch):
    from sepray.console import terminal

    monkeypatch.setattr(terminal.console, "width", 200)
    printed = run("evaluate", models.half, "--cache", tmp_path / "cache")
    assert "relative L2 error on test" in printed
    assert "mean over 6 items of 1 x 1 recording [95% interval over recordings]" in printed
    assert "[too few]" in printed
    assert "unprocessed mixture" in printed


def test_bss_eval_and_museval_add_its_measures_and_files(models, tmp_path, scores, monkeypatch):
    """The measure itself is replaced: here it counts that it is asked, of which systems, and what becomes of it."""
    from sepray.models import evaluation
    from sepray.scoring import tables
    from sepray.scoring.evaluation import reference_systems

    asked = []

    def measured(model, separate, items, signal, transform, batch_size, folder):
        asked.append((model, len(items), transform, batch_size, folder and folder.relative_to(tmp_path)))
        titles = map(tables.reference_title, reference_systems(items, *transform))
        return {name: {"sdr": np.full((len(items), 2), 7.0)} for name in (model, *titles)}

    monkeypatch.setattr(evaluation, "_bss_eval", measured)
    assert scores("--bss-eval", "--batch-size", 3)["scores"][models.half]["sdr"]["items"] == [[7.0, 7.0]] * 6
    scores("--museval", tmp_path / "frames", "--split", "validation")
    scores()
    folder = (tmp_path / "frames" / "validation").relative_to(tmp_path)
    assert asked == [(models.half, 6, (16, 8), 3, None), (models.half, 5, (16, 8), 64, folder)]


def test_other_sources_are_refused(models, tmp_path, run):
    (tmp_path / "other_sources.py").write_text(OWN_TASK.replace('"fetal"', '"noise"'))
    line = f"sepray: {models.half} separates maternal, fetal, but the task has maternal, noise\n"
    assert run("evaluate", models.half, "--task", "other_sources", status=2) == line


@pytest.fixture
def real(tmp_path):
    """A folder with one recording of a heart at 80 beats a minute, and no fetus."""
    times = np.arange(20 * 250) / 250
    heart = np.exp(-0.5 * ((times[:, None] - np.arange(0.2, 20, 0.75)) / 0.012) ** 2).sum(1)
    folder = tmp_path / "real"
    folder.mkdir()
    np.savetxt(folder / "a.csv", heart, fmt="%.5f")
    (folder / "rates.csv").write_text("record,source,rate\na,maternal,80\na,fetal,0\n")
    return folder


def test_real_recordings_are_scored_by_their_rates(wide, models, real, run, tmp_path):
    shown = run("evaluate", models.half, "--recordings", real, "--rate", 250, "--pictures", tmp_path / "drawn")
    assert "a.csv: 1 lead, 2 segments" in shown
    assert "fetal: none (rates.csv)" in shown
    assert (tmp_path / "drawn/a.csv.png").is_file()
    document = json.loads(run("evaluate", models.half, "--recordings", real, "--rate", 250, "--json"))
    (record,) = document["records"]
    maternal = record["scores"]["maternal"]
    assert maternal["mixture itself"]["segments_right"] == maternal["mixture itself"]["segments"] == 2
    assert record["scores"]["fetal"]["mixture itself"]["invented"] == 0
    assert set(maternal) == {models.half, "template subtraction", "mixture itself"}
    assert run("evaluate", models.half, "--recordings", real, "--rate", 250, "--quiet") == ""


def test_table_of_real_recordings_fits_80_columns(capsys):
    absent = RecordScores(2, None, 360, None, 0.25, None, 131.0)
    there = RecordScores(2, 1, 360, 340, None, 0.9876, 75.4)
    name = "models:/a-study-with-a-long-name-of-its-own/12"
    scores = {"maternal": {name: there}, "fetal": {name: absent, "mixture itself": replace(absent, rate=0.0)}}
    result = RecordResult("100.hea", 2, 180, scores, {"maternal": "2273 beats (100.atr)", "fetal": "none (rates.csv)"})
    Console(width=80).print(real_table(result, name))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(" ".join(lines).split())
    assert "bpm leads right segments right beat F1" in told
    assert "100.hea: 2 leads, 180 segments each" in told
    assert "75 1/2 340/360 0.988" in told
    assert "131 - 25.0% invented -" in told
    assert "mixture itself - - 25.0% invented -" in told


def test_flags_of_real_recordings_stand_alone(models, real, run):
    assert "leave out --task, --bss-eval and --museval" in run(
        "evaluate", models.half, "--recordings", real, "--task", "ecg", status=2
    )
    assert "--rate goes with --recordings only" in run("evaluate", models.half, "--rate", 250, status=2)
    assert "there is no folder" in run("evaluate", models.half, "--recordings", real / "none", status=2)
