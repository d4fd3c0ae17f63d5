"""A study that was cleaned goes on in real processes; a study that was deleted is begun anew."""

import json

import mlflow
import optuna
import pytest
from packaging.version import Version

from .test_kept_study import MODEL, run

pytestmark = [
    pytest.mark.slow,
    # Less than a minute each on an idle machine; whole studies, in processes of their own, wait for busy ones.
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        Version(mlflow.__version__) < Version("3.17") or Version(optuna.__version__) < Version("5"),
        reason="the kept databases are of MLflow 3.17 and Optuna 5, which older ones cannot read",
    ),
]


def shown(kept, study):
    return json.loads(kept.sepray("show", study, "--json").stdout)


def test_cleaned_study_is_reported_and_extended_and_keeps_its_model(kept):
    before = shown(kept, "finished")
    kept.sepray("report", "finished")
    page = (kept.folder / before["folder"] / "report.html").read_text()

    assert "are freed" in kept.sepray("clean", "--yes").stdout

    kept.sepray("report", "finished")
    assert (kept.folder / before["folder"] / "report.html").read_text() == page
    assert "shape (3, 2, 1, 50)" in kept.load_elsewhere(f"models:/{MODEL}/1")
    run(kept, "finished", "--trials", "3")
    after = shown(kept, "finished")
    assert (after["state"], after["status"]) == ("finished", 0)
    assert len([trial for trial in after["trials"] if trial["stage"] == "search"]) == 3
    assert {row["system"]: row for row in after["table"]}["paper: paper"] == (
        {row["system"]: row for row in before["table"]}["paper: paper"]
    )


def test_deleted_study_leaves_nothing_and_the_others_alone(kept):
    other = shown(kept, "published")

    kept.sepray("delete", "finished", "--runs", "--yes")

    assert kept.sepray("show", "finished", status=2).stderr == (
        "sepray: no study 'finished' in sqlite:///optuna.db; there are: halfway, published\n"
    )
    assert not (kept.folder / "sepray-results" / "finished").exists()
    assert shown(kept, "published") == other
    assert "shape (3, 2, 1, 50)" in kept.load_elsewhere(f"models:/{MODEL}/1")  # which --models would have deleted
