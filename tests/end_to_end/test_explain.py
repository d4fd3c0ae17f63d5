"""The ablation path of a study that an older commit has finished: trained by Ray, told to MLflow, and read again."""

import json

import pytest

from ..kept.make import EPOCHS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_path_is_trained_once_told_to_mlflow_and_shown_again(kept):
    flags = ("--order", "given", "--seeds", "2", "--json")
    said = json.loads(kept.sepray("explain", "finished", *flags, "--yes").stdout)

    names = [step["change"]["name"] for step in said["steps"]]
    assert said["origin"] in said["start"]
    assert "autoencoder_learning_rate" in names
    assert (said["epochs"], said["seeds"]) == (EPOCHS, 2)
    gaps = [step["gap"]["difference"] for step in said["steps"]]
    assert sum(gaps) == pytest.approx(said["total"]["difference"])
    assert said["first"] + sum(gaps) == pytest.approx(said["steps"][-1]["mean"])

    trained = kept.query("select count(*) from tags where key = 'stage' and value = 'explain'")
    assert trained == [((len(names) + 1) * 2,)]
    [(status, note)] = kept.query(
        "select r.status, n.value from runs r join tags s using (run_uuid) join tags n using (run_uuid) "
        "where r.name = 'finished' and s.key = 'stage' and s.value = 'study' and n.key = 'mlflow.note.content'"
    )
    assert status == "FINISHED"
    assert said["sentence"] in note
    page = next((kept.folder / "sepray-results" / "finished").glob("*/report.html")).read_text()
    assert '<h2 id="explanation">' in page

    assert json.loads(kept.sepray("explain", "finished", *flags).stdout) == said
    assert kept.query("select count(*) from tags where key = 'stage' and value = 'explain'") == trained
    shown = json.loads(kept.sepray("show", "finished", "--json").stdout)
    assert shown["explanation"]["sentence"] == said["sentence"]
    assert shown["state"] == "finished"
