"""The result of a study, read from its stores: of finished, unfinished, running and failed studies, and of old ones."""

import json
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from sepray.errors import UsageError
from sepray.results import summary
from sepray.results.study_result import load_study
from sepray.scoring.units import UNTOLD
from sepray.spec.folder import lock
from sepray.spec.settings import Settings

from ..simulation import Killed
from .conftest import found

REGISTERED = "Registered as cass-ecg version 3."


def test_champion_of_a_finished_study(finished, spec):
    assert (finished.name, finished.state, finished.status) == ("small", "finished", 0)
    assert finished.folder.parent == finished.folder.parents[1] / "small"
    assert str(finished.folder).startswith(spec.stores.storage_path)
    result = json.loads((finished.folder / "result.json").read_text())
    settings = finished.settings()
    assert settings == Settings("cass", result["hyperparameters"], "small", result["role"], "ecg")
    assert set(settings.hyperparameters) >= {"beta", "cross.low_to_high", "cross.high_to_low"}
    assert finished.report == finished.folder / "report.html"
    assert finished.model_uri == "models:/cass-ecg/3"
    low, high = result["rows"][0]["values"]["mean"][1:]
    assert finished.facts == [
        f"The champion, {result['role']}, on the test split: relative L2 error "
        f"{result['rows'][0]['values']['mean'][0]:.4g} [{low:.4g}, {high:.4g}], mean over 5 test items with its 95% "
        f"interval over items: {UNTOLD}; less is better.",
        REGISTERED,
    ]
    assert finished.conclusion.splitlines() == [str(finished.answer), *finished.facts]


def test_answer_is_that_of_the_pairs(finished):
    result, answer = finished.result, finished.answer
    assert str(answer) == result["answer"]["sentence"]
    [contrast] = answer.contrasts
    finalist = result["pairs"]["contrasts"][0][0]
    assert (contrast.arm, contrast.control, contrast.seeds, contrast.items) == (finalist, "plain", 2, 5)
    assert set(contrast.effects) == {"mean", "low", "high"}
    scores = {name: {m["seed"]: m["scores"] for m in members} for name, members in result["pairs"]["systems"].items()}
    differences = [np.subtract(scores[finalist][seed], scores["plain"][seed]).mean() for seed in scores["plain"]]
    assert contrast.effects["mean"].difference == pytest.approx(np.mean(differences))
    assert not contrast.claim  # of two seeds


def test_result_of_an_older_version_has_no_answer(finished, spec, run_study, simulation):
    kept = {name: value for name, value in finished.result.items() if name not in ("answer", "pairs")}
    (finished.folder / "result.json").write_text(json.dumps(kept))
    assert found(spec).answer is None
    assert found(spec).conclusion == "\n".join(finished.facts)
    assert run_study(spec) == 0  # nor does the same command score anything for one
    assert json.loads((finished.folder / "result.json").read_text()) == kept


def test_more_seeds_are_scored_when_they_have_been_trained(finished, spec, run_study):
    assert run_study(spec.changed(final_seeds=3)) == 0
    extended = found(spec)
    assert extended.answer.contrasts[0].seeds == 3
    assert finished.answer.contrasts[0].seeds == 2


def test_description_is_that_of_the_run_with_the_addresses_that_were_given(finished, spec):
    assert finished.spec == spec  # search space, published settings and controls too: it runs the study again


def test_page_of_the_runs_is_known_once_mlflow_has_answered(finished, spec):
    assert finished.runs_page is None
    assert "runs' page" not in summary.locations(finished)
    finished.saved.studies["search"].set_user_attr("mlflow_experiment_id", "7")
    page = "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning"
    assert found(spec).runs_page == page
    assert summary.locations(found(spec))["runs' page"] == f"{page}  (while mlflow ui runs)"
    there = load_study("small", spec.stores.storage, spec.stores.storage_path, "https://me:pw@host/lab")
    assert summary.locations(there)["runs' page"] == page.replace("http://127.0.0.1:5000", "https://host/lab")


def test_optuna_dashboard_has_the_answer_as_a_note(finished):
    search = finished.saved.studies["search"]
    note = search._storage.get_study_system_attrs(search._study_id)["dashboard:note_str:0"]
    assert note.startswith(f"{finished.answer}\n\n**relative L2 error on the test split: difference to plain**")
    assert search.metric_names == ["relative_l2"]


def test_tracking_address_is_the_environments_where_none_is_given(finished, spec, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker")
    stores = spec.stores
    again = load_study("small", stores.storage, stores.storage_path)
    assert again.spec.stores.tracking_uri == "http://tracker"
    assert again.spec.stores.storage_path == stores.storage_path


def test_collapsed_trial_is_never_the_best(finished, spec):
    first = found(spec).best[0].number
    storage = spec.stores.storage
    stored = optuna.load_study(study_name="small", storage=storage)
    stored.add_trial(optuna.trial.create_trial(value=-9.0, system_attrs={"constraints:collapsed": 1.0}))
    assert found(spec).best[0].number == first


@pytest.mark.slow
def test_several_objectives_have_a_front(run_study, spec):
    assert run_study(spec.changed(objective=("relative_l2:each",))) == 0
    result = found(spec)
    assert result.saved.objectives == {
        "validation/low/relative_l2": "minimize",
        "validation/high/relative_l2": "minimize",
    }
    search = result.trials[result.trials["stage"] == "search"]
    low, high = "values_low/relative_l2", "values_high/relative_l2"
    assert search[low].tolist() == search[high].tolist() == [t.values[0] for t in result.trials_of["search"]]
    # Both objectives of a simulated trial are equal, so one trial beats all others.
    assert [t.number for t in result.best] == [int(search.set_index("number")[low].idxmin())]
    storage = optuna.storages.get_storage(spec.stores.storage)
    storage.set_study_system_attr(result.saved.studies["search"]._study_id, "study:metric_names", None)
    assert {"values_0", "values_1"} <= set(found(spec).trials.columns)  # of a study of an older version


def test_killed_study_is_not_finished(run_study, simulation, spec):
    simulation.kill_after = 5
    with pytest.raises(Killed):
        run_study(spec)
    result = found(spec)
    ended = sum(t.state.is_finished() for t in result.trials_of["search"])
    assert (result.state, result.status) == ("not finished", 130)
    sentence = f"small is not finished: {ended} of 4 trials have ended; the same command continues it"
    assert result.conclusion == f"{sentence}."
    assert (result.report, result.model_uri, len(result.table)) == (None, None, 0)
    assert "unfinished" in set(result.trials["outcome"])
    for look in (result.settings, lambda: result.model):
        with pytest.raises(UsageError, match=f"^small has no .*: {sentence}$"):
            look()


def test_study_whose_retrainings_are_not_done_is_not_finished(finished, spec):
    stored = optuna.load_study(study_name="small/finals", storage=spec.stores.storage)
    stored.enqueue_trial({})
    result = found(spec)
    assert result.status == 130
    assert "4 of 4 trials have ended, and the best were being trained again" in result.conclusion


def test_running_study_has_no_status_yet(run_study, simulation, spec, finished):
    simulation.kill_after = 2
    with pytest.raises(Killed):
        run_study(spec.changed(trials=6))
    held = lock(finished.folder, "small")
    result = found(spec)
    assert (result.state, result.status) == ("running", None)
    assert result.conclusion.startswith("small is running: 4 of 6 trials have ended, ")
    assert result.conclusion.splitlines()[1] == str(result.answer)
    assert REGISTERED in result.conclusion
    held.close()


def test_finished_study_stays_finished_while_something_else_is_made_in_its_folder(spec, finished):
    """An ablation path is trained, or the report written again."""
    held = lock(finished.folder, "small")
    assert (found(spec).state, found(spec).status) == ("finished", 0)
    held.close()


def test_study_that_is_being_extended_has_its_old_result(run_study, simulation, spec, finished):
    simulation.kill_after = 2
    with pytest.raises(Killed):
        run_study(spec.changed(trials=6))
    result = found(spec)
    assert (result.state, result.status) == ("not finished", 130)
    first, second = result.facts[:2]
    assert first.startswith("small is not finished: 4 of 6 trials have ended")
    assert first.endswith("This is the result so far.")
    assert second == finished.facts[0]
    assert result.settings() == finished.settings()


@pytest.mark.parametrize(("outcome", "status"), [("diverged", 1), ("error", 3)])
def test_study_without_a_complete_trial(run_study, simulation, spec, outcome, status):
    simulation.endings = {n: {"outcome": outcome, "reason": "x", "traceback": ""} for n in range(4)}
    assert run_study(spec) == status
    result = found(spec)
    assert (result.state, result.status) == ("nothing to register", status)
    assert result.conclusion == "small has nothing to register: no trial has run its whole budget."
    assert len(result.failures) == 4


def test_study_whose_retrainings_fail_has_nothing_to_register(run_study, spec, finished):
    (finished.folder / "result.json").unlink()
    (finished.folder / "registration.json").unlink()
    storage = spec.stores.storage
    optuna.delete_study(study_name="small/finals", storage=storage)
    finals = optuna.create_study(study_name="small/finals", storage=storage)
    for tag in ("diverged", "error"):
        attributes = {"outcome": {"tag": tag, "reason": "x"}}
        finals.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=attributes))
        result = found(spec)
        assert result.status == {"diverged": 1, "error": 3}[tag]
        assert result.conclusion == (
            "small has nothing to register: none of the best configurations could be trained again."
        )


def test_status_of_the_run_is_told_where_there_was_one(finished, spec):
    assert found(spec, status=130).status == 130
    assert found(spec, status=0).status == 0


def test_champion_that_could_not_be_packaged_is_status_1(finished, spec):
    told = {
        "name": "cass-ecg",
        "version": None,
        "champion": False,
        "sentence": "No model is registered: secret_library.",
    }
    (finished.folder / "registration.json").write_text(json.dumps({**told, "commands": []}))
    (finished.folder / "model" / "MLmodel").unlink()
    result = found(spec)
    assert (result.status, result.model_uri) == (1, None)
    with pytest.raises(UsageError, match=r"^small has no model: No model is registered: secret_library\.$"):
        _ = result.model


def test_model_that_waits_for_the_registry_is_that_of_the_folder(finished, spec):
    told = {"name": "cass-ecg", "version": None, "champion": False, "sentence": "it waits", "commands": []}
    (finished.folder / "registration.json").write_text(json.dumps(told))
    result = found(spec)
    assert (result.model_uri, result.status) == (str(finished.folder / "model"), 0)


def test_model_is_loaded_once_when_it_is_looked_at(finished, spec, monkeypatch):
    from sepray.models import model

    asked = []
    monkeypatch.setattr(model, "load_model", lambda *args, **kwargs: asked.append((args, kwargs)) or "the model")
    assert (finished.model, finished.model) == ("the model", "the model")
    assert asked == [(("models:/cass-ecg/3",), {"tracking_uri": spec.stores.tracking_uri})]


def test_model_in_the_studys_folder_needs_no_address_that_the_storage_names(finished, spec, monkeypatch):
    from sepray.models import model

    monkeypatch.setattr(model, "load_model", lambda *args, **kwargs: (args, kwargs))
    registered = replace(finished, tracking_uri=None)
    optuna.load_study(study_name="small", storage=spec.stores.storage).set_user_attr("tracking_uri", "http://unknown:1")
    asked = []
    monkeypatch.setattr("sepray.driver.tracking_address.of_study", lambda *given: asked.append(given) or ("own", ""))
    assert registered.model == (("models:/cass-ecg/3",), {"tracking_uri": "own"})
    packaged = replace(registered, registration={**registered.registration, "version": None})
    assert packaged.model == ((str(finished.folder / "model"),), {"tracking_uri": None})
    assert len(asked) == 1


def test_study_that_is_not_there_or_of_another_program_is_refused(finished, spec):
    stores = spec.stores
    with pytest.raises(UsageError, match=r"^no study 'smaller' in .*; there are: small$"):
        load_study("smaller", stores.storage)
    with pytest.raises(UsageError, match=r"^there is no Optuna storage sqlite:///.*none\.db"):
        load_study("small", f"sqlite:///{finished.folder}/none.db")
    optuna.create_study(study_name="other", storage=stores.storage)
    with pytest.raises(UsageError, match=r"^other in sqlite:.* is not a study of sepray$"):
        load_study("other", stores.storage)


def test_reading_makes_nothing(finished, spec, tmp_path):
    elsewhere = load_study("small", spec.stores.storage, str(tmp_path / "elsewhere"))
    assert elsewhere.state == "not finished"
    assert repr(elsewhere)
    assert elsewhere.disk == {"checkpoints": 0, "model": 0, "report": 0, "outbox": 0, "other": 0}
    assert not (tmp_path / "elsewhere").exists()
