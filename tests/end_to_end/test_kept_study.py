"""Studies begun and models registered by an older commit still work; tests/kept/make.py made them with it."""

import json
import re
import time

import mlflow
import optuna
import pytest
from optuna.trial import TrialState
from packaging.version import Version

from sepray.cli.main import main

from ..kept.make import COMMANDS, EPOCHS
from .conftest import Laboratory

MODEL = "cass-kept-task"

pytestmark = [
    # Less than a minute each on an idle machine; whole studies, in processes of their own, wait for busy ones.
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        Version(mlflow.__version__) < Version("3.17") or Version(optuna.__version__) < Version("5"),
        reason="the kept databases are of MLflow 3.17 and Optuna 5, which older ones cannot read",
    ),
]


def run(kept: Laboratory, study: str, *arguments: str, status: int = 0) -> str:
    """Give the command again that made a kept study."""
    script, *given = COMMANDS[study]
    return kept.run(*given, *arguments, script=script, status=status)


def runs(kept: Laboratory) -> dict[tuple[str, str], str]:
    """Return the id of every run by its study and its trial."""
    rows = kept.query(
        "select s.value, t.value, s.run_uuid from tags s join tags t using (run_uuid) "
        "where s.key = 'sepray.study' and t.key = 'sepray.trial'"
    )
    return {(study, trial): run_id for study, trial, run_id in rows}


def names(kept: Laboratory, study: str) -> list[str]:
    """Return the names of a study's runs."""
    statement = "select name from runs join tags using (run_uuid) where key = 'sepray.study' and value like ?"
    return [name for (name,) in kept.query(statement, f"{study}-%")]


def versions(kept: Laboratory) -> list[tuple[int, str]]:
    """Return number and run of every registered version."""
    return kept.query("select version, run_id from model_versions where name = ? order by version", MODEL)


def recorded(kept: Laboratory, study: str, file: str) -> dict:
    """Return a JSON file of a study's folder."""
    [path] = (kept.folder / "sepray-results" / study).glob(f"*/{file}")
    return json.loads(path.read_text())


def address_of(kept: Laboratory, study: str) -> str:
    """Return the address of a study's registered model, by its alias where it has it."""
    version = recorded(kept, study, "registration.json")["version"]
    [(champion,)] = kept.query("select version from registered_model_aliases where alias = 'champion'")
    return f"models:/{MODEL}@champion" if str(champion) == version else f"models:/{MODEL}/{version}"


def test_interrupted_study_goes_on(kept):
    before, known, registered = kept.trials("halfway"), runs(kept), versions(kept)
    logged = set(kept.query("select run_uuid, key, step, timestamp, value from metrics"))
    [middle] = [t for t in before if t.state is TrialState.RUNNING and t.intermediate_values]
    [folder] = (kept.folder / "sepray-results" / "halfway").glob(f"*/search/trial-{middle.number:05d}")
    saved = max(int(path.name.split("-")[1]) for path in folder.glob("epoch-*.safetensors"))
    assert 1 < saved < EPOCHS
    assert {t.state for t in before} == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING}

    start = time.time() * 1000
    printed = run(kept, "halfway", "--concurrency", "1")  # each worker takes seconds to start

    after = kept.trials("halfway")
    assert [t.number for t in after] == list(range(7))
    assert {t.state for t in after} == {TrialState.COMPLETE, TrialState.PRUNED}
    for old, new in zip(before, after, strict=False):
        assert (new.params, new.user_attrs["seed"]) == (old.params, old.user_attrs["seed"])
        assert old.intermediate_values.items() <= new.intermediate_values.items()
        if old.state is not TrialState.RUNNING:
            assert (new.state, new.values, new.intermediate_values) == (old.state, old.values, old.intermediate_values)
    assert max(after[middle.number].intermediate_values) >= saved
    # The same runs go on, and no epoch that a checkpoint holds was trained again: each has its old time, and once.
    assert known.items() <= runs(kept).items()
    assert logged <= set(kept.query("select run_uuid, key, step, timestamp, value from metrics"))
    repeated = "select run_uuid, key, step, count(*) from metrics group by 1, 2, 3 having count(*) > 1"
    assert kept.query(repeated) == []
    [(_, middle_run)] = [(k, v) for k, v in known.items() if k[0].startswith("halfway") and k[1] == str(middle.number)]
    times = kept.query("select step, timestamp from metrics where run_uuid = ? and step > 0", middle_run)
    assert {step for step, _ in times} == set(after[middle.number].intermediate_values)
    for step, moment in times:
        assert (start <= moment <= time.time() * 1000) == (step > saved), step
    new = versions(kept)
    assert new[:-1] == registered
    assert f"{MODEL} version {new[-1][0]}" in printed


@pytest.mark.parametrize("study", ["finished", pytest.param("published", marks=pytest.mark.slow)])
def test_registered_model_scores_as_it_did(kept, study, monkeypatch, capsys):
    address, result = address_of(kept, study), recorded(kept, study, "result.json")
    monkeypatch.chdir(kept.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # Its code is older than what is installed here, and than the list of what this user's studies have packaged.
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", address, "--json", "--trust-model-code"])
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)["scores"][address]
    assert found.keys() >= result["scores"].keys()  # later measures too
    for metric, items in result["scores"].items():
        for item, scores in zip(items, found[metric]["items"], strict=True):
            assert scores == pytest.approx(item, rel=1e-3, abs=1e-3), metric


@pytest.mark.slow
@pytest.mark.parametrize("study", ["finished", "published"])
def test_registered_model_loads_without_sepray(kept, study):
    assert "shape (3, 2, 1, 50)" in kept.load_elsewhere(address_of(kept, study))


@pytest.mark.slow
@pytest.mark.parametrize("study", ["finished", "published"])
def test_finished_study_repeats_nothing(kept, study):
    known, registered = runs(kept), versions(kept)
    before = [(t.state, t.params, t.values, t.datetime_complete) for t in kept.trials(study)]
    version = recorded(kept, study, "registration.json")["version"]

    printed = run(kept, study)

    assert f"{MODEL} version {version}" in printed
    assert (runs(kept), versions(kept)) == (known, registered)
    assert [(t.state, t.params, t.values, t.datetime_complete) for t in kept.trials(study)] == before
    assert "RUNNING" not in {status for (status,) in kept.query("select status from runs")}


@pytest.mark.slow
@pytest.mark.parametrize("study", ["halfway", "published"])
def test_report_and_reconcile_read_it(kept, study):
    known, registered = runs(kept), versions(kept)
    page = kept.folder / kept.sepray("report", study).stdout.strip().splitlines()[0]
    assert len(page.read_text()) > 10_000
    printed = kept.sepray("reconcile", study).stdout
    assert "0 waiting updates delivered, 0 runs created, 0 states corrected" in printed
    assert "0 refused" in printed
    # What older versions did not tell: names with values, the best so far.
    ended = [t for t in kept.trials(study) if t.state.is_finished()]
    assert sum(bool(re.match(r"\d{3} · ", name)) for name in names(kept, study)) == len(ended)
    best = kept.query("select count(*) from metrics where key = 'best so far/relative_l2' group by run_uuid")
    assert 0 < best[0][0] <= len(ended)
    assert "0 states corrected, 0 missing values completed, 0 refused" in kept.sepray("reconcile", study).stdout
    assert (runs(kept), versions(kept)) == (known, registered)


@pytest.mark.slow  # in this process: tests/driver/test_other_settings.py
def test_another_fingerprint_is_refused_saying_what_differs(kept):
    before = [(t.state, t.params, t.values) for t in kept.trials("finished")]
    refused = run(kept, "finished", "--max-epochs", "9", "--task.seed", "3", "--separator.width", "4", status=2)
    first, *lines = [line for line in refused.splitlines() if not line.endswith(" ...")]  # what it waited for
    assert first.endswith("with other settings; choose another name, or go back to:")
    assert lines == ["  task.seed: 0 -> 3", "  max_epochs: 6 -> 9", "  separator.config.width: 2 -> 4"]
    assert [(t.state, t.params, t.values) for t in kept.trials("finished")] == before
