"""The report: every kind of study has one, its page says what the stores hold, and its files are written whole."""

import dataclasses
import json
import math
import os
import re

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution

from sepray.choices import Objective
from sepray.cli import main as cli
from sepray.contracts import Signal, Split, TaskData
from sepray.errors import UsageError
from sepray.execution import checkpoint
from sepray.report import figures, report

from .studies import ONE, Shares, data, searched, spec, study_results, text_of, trial


def test_with_several_measures_the_champion_is_judged_by_the_first_objectives_column(finished):
    values = {"fetal error": 0.3, "fetal F1": 0.5}
    rows = [
        {**row, "values": {**row["values"], **{name: [k + v, k + v, k + v] for name, v in values.items()}}}
        for k, row in enumerate(finished.result["rows"])
    ]
    section = report._result_table(
        dataclasses.replace(finished, result={**finished.result, "rows": rows, "columns": list(values)})
    )
    trained = [row for row in rows[1:] if not row["system"].startswith(("oracle", "unprocessed"))]
    assert f"By fetal error, the champion is better than {len(trained)} of {len(trained)} other single" in section
    assert "(0.25)" not in section


class Artifacts:
    """Keeps what it is told to add to a run."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def log_file(self, number, name, path):
        assert path.is_file()
        self.told.append((number, name))


def test_page_holds_result_figures_and_commands_and_needs_nothing_else(finished):
    made = report.build(finished)
    text = text_of(made.html)
    assert "The champion, trial 7, has a relative L2 error of 0.3 on test (low 0.3, high 0.3)" in text
    assert "published setting" not in text.partition("Course of the search")[0]
    assert (
        "The champion is better than 1 of 2 other single trainings, and worse than plain at the settings of trial 7 "
        "(0.25), which validation did not choose; it reaches 1 of 2 oracle bounds (mixture phase)." in text
    )
    assert "0.300" in text
    assert "[0.290, 0.310]" in text
    assert '<h2 id="discriminators"' in made.html  # trained with adversaries, as by default
    assert "Registered as cass-ecg version 3." in text
    assert "sepray evaluate &lt;it&gt;\nsepray report small" in made.html
    scores = np.array(finished.result["scores"]["relative_l2"])
    order = scores.mean(1).argsort()
    for rank, index in zip(("best", "median", "worst"), order[[0, 2, 4]], strict=True):
        low, high = scores[index]
        assert f"The {rank} item, number {index}: relative L2 error low {low:.3f}, high {high:.3f}" in text

    outside = re.findall(r'(?:src|href)="(?!data:|#)', made.html) + re.findall(r"url\(|@import", made.html)
    assert not outside
    assert "<script" not in made.html
    assert len(made.html) < 8_000_000
    anchors = re.findall(r'href="#([^"]+)"', made.html)
    assert len(anchors) == len(set(anchors)) >= 10
    assert all(f'id="{anchor}"' in made.html for anchor in anchors)
    assert made.html.count("<img") == len(made.files) == made.html.count('alt="')
    assert {f"figures/{k}-{r}.png" for k in ("waveforms", "spectrograms") for r in ("best", "median", "worst")} < set(
        made.files
    )

    artifacts, stale = Artifacts(), finished.folder / "figures" / "of-an-earlier-report.svg"
    stale.parent.mkdir()
    stale.write_text("")
    page = report.publish(finished, artifacts)
    assert page == finished.folder / "report.html"
    assert page.read_text() == made.html  # equal stores, equal page
    assert not stale.exists()
    assert artifacts.told == [("", name) for name in (*sorted(made.files), "report.html")]
    assert all((finished.folder / name).read_bytes() == content for name, content in made.files.items())


def test_line_below_the_title_names_variants_in_full(finished):
    of_variants = finished.spec.changed(separator="cass:published", task="ecg:varied")
    assert report._subtitle(dataclasses.replace(finished, spec=of_variants)) == (
        "Hyperparameter study of cass:published on ecg:varied; objective: relative L2 error on validation"
    )


def test_summary_fits_a_screen_and_comes_before_the_first_section(finished, undrawn):
    """Answer, champion and mixture on test, trials, time and where, and the model: what one screen should tell."""
    known = {"processor": "Some(R) CPU", "device": "cpu"}
    on_gpu = {"processor": "Some(R) CPU", "device": "Some GPU"}
    trials = [trial(0, [0.5], conditions=known), trial(1, [0.4], conditions=on_gpu), *finished.trials[2:]]
    results = dataclasses.replace(finished, trials=trials, data=None)  # without items, which take long to draw
    made = report.build(results).html
    header = made.partition("<header>")[2].partition("</header>")[0]
    told = " ".join(text_of(header).split())
    assert "0.3 relative L2 error (ratio) of the champion on test 2 of the unprocessed mixture 9 trials" in told
    assert "from the first trial to the last, on Some CPU and Some GPU" in told
    assert told.endswith("Registered as cass-ecg version 3.")
    assert len(told) < 900
    older = report.build(dataclasses.replace(results, trials=finished.trials)).html
    assert "from the first trial to the last</span>" in older  # its trials do not say


@pytest.mark.parametrize(("low", "named"), [(0.31, True), (0.311, False)])
def test_systems_whose_intervals_overlap_with_the_champions_are_named(finished, low, named):
    worse = {"system": "paper: published", "bold": False, "values": {"mean": (0.9, low, 1.5)}}
    rows = [worse if row["system"] == worse["system"] else row for row in finished.result["rows"]]
    table = report._result_table(dataclasses.replace(finished, result={**finished.result, "rows": rows}))
    assert ("its interval overlaps with that of paper: published" in text_of(table)) is named


CATEGORICAL = {"kind": CategoricalDistribution(["a", "b", None]), "deep": CategoricalDistribution([True, False])}
THREE = tuple(Objective(f"validation/{s}/si_sdr", "maximize") for s in "abc")
ODD = {
    "no trial": ([], ONE, "No trial has started yet."),
    "all failed": (
        [trial(k, [], "error", reason="boom") for k in range(3)],
        ONE,
        "None of the 3 trials has a final value: 3 failed.",
    ),
    "one trial": ([trial(0, [0.5, 0.4])], ONE, "The best of 1 trial is trial 0: relative L2 error 0.4 on validation."),
    "one that runs": (
        [trial(0, [0.5], "running")],
        ONE,
        "1 trial reported values, up to epoch 1; none has run its whole budget.",
    ),
    "no pruned": (
        [trial(k, [0.5, 0.4]) for k in range(3)],
        ONE,
        "No trial was stopped early: 3 trials trained 6 epochs",
    ),
    "all equal": (
        [trial(k, [0.5]) for k in range(6)],
        ONE,
        "The importance of the parameters cannot be estimated: nothing varied",
    ),
    "negative values": (
        [trial(k, [-9.0, -5.0 + k]) for k in range(7)],
        (Objective("validation/si_sdr", "maximize"),),
        "The best of 7 trials is trial 6: SI-SDR 1 on validation",
    ),
    "categorical space": (
        [trial(k, [0.5 + k], params={"kind": "ab"[k % 2], "deep": k < 3}, distributions=CATEGORICAL) for k in range(8)],
        ONE,
        "deep is True in 2 of them",
    ),
    "three objectives": (
        [trial(k, [-1.0], values=[float(k), 5.0 - k, 2.0]) for k in range(6)],
        THREE,
        "6 of 6 finished trials are Pareto-optimal",
    ),
    "nothing finite": ([trial(k, [math.nan], "diverged", reason="nan") for k in range(2)], ONE, "2 failed"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_studies_have_a_report_too(tmp_path, kind):
    trials, objectives, sentence = ODD[kind]
    metric = objectives[0].key.rpartition("/")[2]
    made = report.build(study_results(tmp_path, trials, objectives, spec=spec(objective=(metric,))))
    assert sentence in text_of(made.html)


@pytest.mark.parametrize(
    "signal",
    [Signal(("a", "b", "c"), 1, (9, 7), None), Signal(("a", "b", "c"), 2, (8000,), 8000.0)],
    ids=["images", "stereo sound"],
)
def test_interrupted_study_shows_its_best_trial_on_validation(tmp_path, signal, one_drawn):
    """Three sources; the test split stays closed, the champion's part is that of the best trial so far."""
    checkpoint.save(str(tmp_path / "search/trial-00001"), 2, {"0/separator.one": torch.ones(1)}, {"history": []})
    task = data(signal, items_=3)
    object.__setattr__(task, "test", None)
    trials = [trial(0, [0.5]), trial(1, [0.4]), trial(2, [0.9], "running")]
    made = report.build(study_results(tmp_path, trials, data=task, spec=spec(separator=Shares())))
    text = text_of(made.html)
    assert "its best trial so far is trial 1, with a relative L2 error of 0.4 on validation" in text
    errors = (task.validation.mixture[:, None] / 3 - task.validation.sources).flatten(2).norm(dim=-1)
    errors = errors / task.validation.sources.flatten(2).norm(dim=-1)
    worst = int(errors.mean(1).argmax())
    assert f"The worst item, number {worst}: relative L2 error a {errors[worst, 0]:.3f}" in text
    kinds = {name.partition("/")[2].partition("-")[0] for name in made.files if name.endswith(".png")}
    assert kinds == ({"images"} if len(signal.shape) == 2 else {"waveforms", "spectrograms"})
    sounds = [name for name in made.files if name.startswith("audio/")]
    assert len(sounds) == (0 if len(signal.shape) == 2 else 3 * (1 + 2 * 3))
    assert made.html.count("<audio") == len(sounds)


IMAGES = Signal(("a", "b"), 1, (16, 16), None)
HEARTS = Signal(("heart", "breath"), 1, (512,), 64.0, heart_sources=("heart",))


def with_checkpoint(tmp_path, task: TaskData, metric: str):
    """A study that is not finished; the only trial with a checkpoint gives each source half of the mixture."""
    checkpoint.save(str(tmp_path / "search/trial-00000"), 2, {"0/separator.one": torch.ones(1)}, {"history": []})
    direction = "maximize" if metric == "psnr" else "minimize"
    objectives = (Objective(f"validation/{metric}", direction),)
    given = spec(separator=Shares(), objective=(metric,))
    return study_results(tmp_path, [trial(0, [0.5])], objectives, data=task, spec=given)


def test_items_of_images_are_ranked_by_a_measure_of_images(tmp_path, undrawn):
    generator = torch.Generator().manual_seed(3)
    sources = torch.rand(5, 2, 1, 16, 16, generator=generator)
    split = Split(sources.sum(1), sources)
    made = report.build(with_checkpoint(tmp_path, TaskData(IMAGES, split, split, split, "ab" * 32), "psnr"))
    # Half of a + b is off from either by half of a - b.
    error = (sources[:, 0] - sources[:, 1]).square().flatten(1).mean(1) / 4
    best, worst = int(error.argmin()), int(error.argmax())
    text = text_of(made.html)
    for rank, index in (("best", best), ("worst", worst)):
        ratio = -10 * math.log10(error[index])
        assert f"The {rank} item, number {index}: PSNR a {ratio:.3f}, b {ratio:.3f}" in text


@pytest.mark.slow
def test_items_with_a_heart_are_ranked_by_its_rate(tmp_path):
    time = torch.arange(512) / 64
    rates = torch.tensor([60.0, 75.0, 90.0])
    heart = torch.sin(2 * math.pi * rates[:, None] / 60 * time)
    loudness = torch.tensor([9.0, 9.0, 0.0])[:, None]
    breath = loudness * torch.sin(2 * math.pi * 75 / 60 * time)
    sources = torch.stack([heart, breath], 1)[:, :, None]
    split = Split(sources.sum(1), sources)
    made = report.build(with_checkpoint(tmp_path, TaskData(HEARTS, split, split, split, "ab" * 32), "heart_rate_error"))
    text = text_of(made.html)
    # The loud second source hides the heart: item 0 has a rate of 75 instead of 60, the others that of the heart.
    assert re.search(r"The worst item, number 0: heart rate error heart 1[45]\.\d+, breath nan", text)
    assert re.search(r"The best item, number [12]: heart rate error heart 0\.\d+, breath nan", text)


@pytest.mark.slow
def test_sounds_that_are_too_large_are_files_alone(tmp_path, monkeypatch):
    signal = Signal(("a", "b", "c"), 2, (2000,), 8000.0)
    monkeypatch.setattr(report, "_EMBEDDED", 100_000)
    made = report.build(with_checkpoint(tmp_path, data(signal, items_=3), "relative_l2"))
    assert sum(name.startswith("audio/") for name in made.files) == 21
    assert "<audio" not in made.html
    assert "They are too large to be played in this page." in text_of(made.html)


def test_sounds_are_in_the_page_up_to_their_limit_in_base64(monkeypatch):
    sounds = [figures.MediaFile("a.wav", b"RI", "sound"), figures.MediaFile("b.wav", b"FF", "sound")]
    monkeypatch.setattr(report, "_EMBEDDED", 6)  # 4 bytes are 5 1/3 bytes in base64
    assert report._sounds(sounds).count("<audio") == 2
    monkeypatch.setattr(report, "_EMBEDDED", 5)
    assert "<audio" not in report._sounds(sounds)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A study whose report is a page, a figure and a sound."""
    files = {"figures/history.svg": b"<svg>", "audio/best/mixture.wav": b"RIFF"}
    monkeypatch.setattr(report, "build", lambda results: report.Report("<!doctype html> µ", files))
    return study_results(tmp_path, [])


def test_publish_returns_the_page_and_leaves_no_other_file(small):
    folder = small.folder
    (folder / "audio").mkdir()
    (folder / "audio/old.wav").write_bytes(b"of an earlier report")
    assert report.publish(small) == folder / "report.html"
    contents = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert contents == {
        "report.html": "<!doctype html> µ".encode(),
        "figures/history.svg": b"<svg>",
        "audio/best/mixture.wav": b"RIFF",
    }
    names = ["figures/history.svg", "audio/best/mixture.wav", "report.html"]
    assert report.files_of(folder) == [(name, folder / name) for name in names]


def test_links_in_the_place_of_a_reports_folders_are_not_written_through_or_sent(small, tmp_path):
    theirs = tmp_path / "thesis"
    theirs.mkdir()
    (theirs / "history.svg").write_text("mine")
    (small.folder / "figures").symlink_to(theirs)
    with pytest.raises(UsageError, match=r"figures is a link"):
        report.files_of(small.folder)
    report.publish(small)
    assert (theirs / "history.svg").read_text() == "mine"
    assert (small.folder / "figures" / "history.svg").read_bytes() == b"<svg>"
    (small.folder / "audio" / "secret.wav").symlink_to(theirs / "history.svg")
    assert "audio/secret.wav" not in [name for name, _ in report.files_of(small.folder)]


def test_a_page_that_cannot_be_written_leaves_the_old_one(small, monkeypatch):
    page = report.publish(small)
    monkeypatch.setattr(report, "build", lambda results: report.Report("new", {}))

    def full_disk(source, target, **_):
        raise OSError(28, "No space left on device", source, None, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match=f"No space left on device: '{page}'$"):
        report.publish(small)
    assert page.read_text() == "<!doctype html> µ"
    assert [path.name for path in small.folder.iterdir() if path.is_file()] == ["report.html"]


@pytest.mark.slow
def test_command_makes_it_from_the_stores_alone(tmp_path, monkeypatch, capsys):
    """The tracking server is dead, and the task's data is built anew."""
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage="sqlite:///optuna.db", study_name="small")
    described = spec(storage_path="results")
    study.set_user_attr("fingerprint", {"objectives": {"validation/relative_l2": "minimize"}})
    study.set_user_attr("spec", json.loads(json.dumps(described.plain())))
    study.set_user_attr("uid", "12ab")
    study.add_trials([t for t in searched() if t.state.is_finished()])
    where = ["--storage-path", "results", "--cache", str(tmp_path), "--tracking-uri", "http://127.0.0.1:9"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", "small", *where])
    assert ended.value.code == 0, capsys.readouterr()
    page = tmp_path / "results" / "small" / "12ab" / "report.html"
    printed = capsys.readouterr().out
    assert str(page) in printed
    assert "the report is not added to MLflow: the tracking server http://127.0.0.1:9 does not answer" in printed
    assert "its best trial so far is trial 7" in page.read_text()
