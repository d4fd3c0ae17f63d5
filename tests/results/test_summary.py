"""A result in words: as printed, and in a notebook; sentences and places, of results made by hand."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from sepray.results import summary

from ..simulation import Killed
from .conftest import found

ONE = {"validation/relative_l2": "minimize"}
TWO = {"validation/low/relative_l2": "minimize", "validation/si_sdr": "maximize"}


def trial(number, *values, **attributes):
    return SimpleNamespace(number=number, values=values, user_attrs=attributes, state=TrialState.COMPLETE)


def failed(number, why):
    attributes = {"outcome": {"tag": "error", "reason": why}}
    made = create_trial(state=TrialState.FAIL, user_attrs=attributes)
    made.number = number
    return made


def result(objectives=ONE, **fields):
    saved = SimpleNamespace(
        separator="cass",
        task="ecg",
        objectives=objectives,
        storage="postgresql://me:secret@host/db",
        folder=Path("out/small/ab"),
        storage_path="out",
        checkpoints="s3://key:secret@bucket/x",
        model_name="cass-ecg",
    )
    told = {
        "name": "small",
        "saved": saved,
        "state": "finished",
        "conclusion": "One.\nTwo.",
        "counts": {"complete": 4, "pruned": 2},
        "trials_of": {},
        "best": [],
        "run_id": None,
        "report": None,
        "mlflow": "http://host:5000",
        "runs_page": None,
        "model_uri": None,
        "disk": {"checkpoints": 2048, "outbox": 0, "report": 1024},
        "answer": None,
        "result": None,
        "edges": [],
        "ablation_path": None,
        "facts": ["A fact <1>."],
    }
    return SimpleNamespace(**told | fields)


def test_trials_are_counted_by_how_they_ended():
    assert summary.trials(result()) == ["6 trials: 4 ran the whole budget, 2 stopped early."]
    assert summary.trials(result(counts={})) == ["0 trials."]
    assert summary.trials(result(counts={"complete": 1})) == ["1 trial: 1 ran the whole budget."]
    every = {"complete": 1, "pruned": 2, "collapsed": 3, "diverged": 4, "error": 5, "lost": 6, "unfinished": 7}
    finals = {"finals": [trial(0, 0.5)] * 3}
    assert summary.trials(result(counts=every, trials_of=finals)) == [
        "28 trials: 1 ran the whole budget, 2 stopped early, 3 collapsed, 15 failed, 7 not finished; 3 retrainings of "
        "the best."
    ]


def test_best_trials_and_the_last_failure_are_told():
    labelled = [trial(7, 0.4, label="published")]
    assert summary.trials(result(best=labelled))[1:] == [
        "Best single training of the search: trial 7 (published), relative L2 error 0.4 on validation."
    ]
    front = [trial(k, 0.1 * k, 5.0) for k in range(21)]
    words = "On the Pareto front in low relative L2 error and SI-SDR on validation:"
    assert summary.trials(result(TWO, best=front[3:4]))[1:] == [f"{words} trial 3."]
    assert summary.trials(result(TWO, best=front[:20]))[1:] == [f"{words} trials {', '.join(map(str, range(20)))}."]
    assert summary.trials(result(TWO, best=front))[1].endswith(" 18, 19, ....")
    assert summary.trials(result(TWO))[1:] == []
    stages = {
        "search": [failed(3, "one"), trial(4, 0.5)],
        "finals": [],
        "explain": [failed(1, "two"), failed(2, "three")],
    }
    assert summary.trials(result(trials_of=stages))[1:] == ["The last failure, trial 2 of the ablation path: three"]
    assert summary.trials(result(trials_of={"search": stages["search"]}))[1:] == [
        "The last failure, trial 3 of the search: one"
    ]


def test_places_are_told_without_passwords():
    assert summary.locations(result()) == {
        "storage": "postgresql://me:***@host/db",
        "folder": "out/small/ab",
        "report": "none; sepray report small makes it",
        "MLflow": "http://host:5000",
        "experiment": "cass-ecg",
        "run": "none yet",
        "disk used": "3.0 KiB",
        "- checkpoints": "2.0 KiB",
        "- report": "1.0 KiB",
    }
    remote = result(report=Path("r.html"), run_id="12", runs_page="http://host/1", model_uri="models:/a/1", disk={})
    remote.saved.storage_path = "s3://bucket"
    assert summary.locations(remote) == {
        "storage": "postgresql://me:***@host/db",
        "folder": "out/small/ab",
        "checkpoints": "s3://key:***@bucket/x",
        "report": "r.html",
        "MLflow": "http://host:5000",
        "experiment": "cass-ecg",
        "run": "12",
        "runs' page": "http://host/1",
        "model": "models:/a/1",
        "disk used": "0 B",
    }
    local = result(runs_page="http://localhost/1", mlflow="sqlite:///mlflow.db")
    assert summary.locations(local)["runs' page"] == "http://localhost/1  (while mlflow ui runs)"


def test_text_has_a_line_for_each_fact():
    assert summary.text(result()).splitlines()[:6] == [
        "small: cass on ecg, finished",
        "  One.",
        "  Two.",
        "  6 trials: 4 ran the whole budget, 2 stopped early.",
        "  storage        postgresql://me:***@host/db",
        "  folder         out/small/ab",
    ]


@pytest.mark.parametrize("settings", [{}, {"beta": "<b>"}])
def test_html_escapes_what_it_shows(settings):
    told = SimpleNamespace(hyperparameters=settings, trial="trial <7>")
    whole = summary.html(
        result(
            result={},
            settings=lambda: told,
            edges=["at <an> edge"],
            table=pd.DataFrame({"low": [0.12345]}, index=["<x>"]),
        )
    )
    assert whole.startswith("<h3>small: cass on ecg, finished</h3>\n")
    table = (
        "<table><caption>Settings of the champion, trial &lt;7&gt;</caption><thead><tr><th>setting</th><th>value</th>"
        "</tr></thead><tbody><tr><td>beta</td><td>&lt;b&gt;</td></tr></tbody></table><p>They were chosen on "
    )
    assert (table in whole) == bool(settings)
    assert ("They were chosen" in whole) == bool(settings)
    assert "\n<p>at &lt;an&gt; edge.</p>\n<p>A fact &lt;1&gt;.</p>\n" in whole
    assert "border=" not in whole
    assert "<td>0.123</td>" in whole
    assert "&lt;x&gt;" in whole
    assert "\n<p>6 trials: 4 ran the whole budget, 2 stopped early.</p>\n<dl><dt>storage</dt><dd><code>post" in whole
    bare = summary.html(result())
    assert "<table" not in bare
    assert "edge" not in bare


def test_printed_result_is_readable(finished):
    lines = repr(finished).splitlines()
    assert lines[0] == "small: cass on ecg, finished"
    assert [line.strip() for line in lines[1:4]] == finished.conclusion.splitlines()
    assert lines[4] == "  4 trials: 4 ran the whole budget; 6 retrainings of the best."
    assert f"  folder         {finished.folder}" in lines
    assert "  model          models:/cass-ecg/3" in lines


def test_printed_result_commands_no_terminal(finished, monkeypatch):
    monkeypatch.setattr(type(finished), "conclusion", "\x1b]0;title\x07\n[/x]")
    assert repr(finished).splitlines()[1:3] == [r"  \x1b]0;title\x07", "  [/x]"]


def test_notebook_shows_conclusion_table_and_places_and_no_markup_of_the_user(finished, spec):
    told = {"name": "a", "version": "1", "champion": True, "sentence": "Registered <script>.", "commands": []}
    (finished.folder / "registration.json").write_text(json.dumps(told))
    page = found(spec)._repr_html_()
    assert "<h3>small: cass on ecg, finished</h3>" in page
    assert "<p>Registered &lt;script&gt;.</p>" in page
    answer, settings = page.index(f"<b>{finished.answer}</b>"), page.index("<caption>Settings of the champion, ")
    assert answer < page.index("difference to plain") < settings < page.index(f"<p>{finished.facts[0]}</p>")
    assert f"<td>{finished.settings().hyperparameters['beta']}</td>" in page
    assert "<script>" not in page
    assert f"<code>{finished.folder}</code>" in page
    value = finished.result["rows"][0]["values"]["mean"][0]
    assert f"<td>{value:.3f}</td>" in page


def test_notebook_shows_a_study_without_a_champion(run_study, simulation, spec):
    simulation.kill_after = 1
    with pytest.raises(Killed):
        run_study(spec)
    page = found(spec)._repr_html_()
    assert "not finished" in page
    assert "<table" not in page
