"""The champion's place in the registry, and the commands that come next."""

import contextlib
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import torch

from sepray.contracts import Split
from sepray.driver import promotion
from sepray.driver.registration import Registration, next_commands, register
from sepray.tracking import models

from .conftest import FakeTracker
from .hearts import HEARTS, SPEC


@pytest.fixture
def registry(monkeypatch):
    """A registry whose version 3 is the champion and gives the true sources on validation, or what it is told."""
    stands = {"champion": "3", "estimates": HEARTS.validation.sources.numpy(), "asked": [], "files": True}
    stands["data"] = HEARTS.fingerprint

    class Loaded:
        def predict(self, mixture):
            assert torch.equal(mixture, HEARTS.validation.mixture)
            return stands["estimates"]

    def load(model, uri):
        stands["asked"].append((model, uri))
        return Loaded()

    monkeypatch.setattr(models, "incumbent", lambda name, uri: "3")
    monkeypatch.setattr(
        models, "register", lambda tracker, label, *_, **given: stands.update(given, label=label) or "4"
    )
    monkeypatch.setattr(models, "set_champion", lambda name, version, uri, description: stands.update(champion=version))
    monkeypatch.setattr(models, "has_files", lambda name, version, uri: stands["files"])
    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(models, "describe", lambda model, uri: {"data_fingerprint": stands["data"]})
    monkeypatch.setattr(models, "as_function", lambda loaded: lambda x: torch.from_numpy(loaded.predict(x)))
    return stands


ITEMS = len(HEARTS.validation)


def challenge(errors: list[float], tmp_path, **changes) -> Registration:
    """Register a model with these heart-rate errors of the validation items (none: not kept); breath has no rate."""
    (tmp_path / "MLmodel").touch()
    tracker = FakeTracker()
    tracker.uri = "http://tracker"
    result = {"member": 5, "metric": "heart_rate_error"}
    if errors:
        result["validation_scores"] = {"heart_rate_error": [[e, np.nan] for e in errors]}
    row = {"system": "champion (trial 1)", "bold": True, "values": {"heart": [3.0, 2, 4], "mean": [3.0, 2, 4]}}
    result |= {"role": "trial 1", "hyperparameters": {}, "rows": [row]}
    return register(
        SPEC.changed(objective=("heart_rate_error",)), replace(HEARTS, **changes), result, tmp_path, tracker
    )


def test_challenge_measures_what_only_some_sources_have(registry, tmp_path):
    found = challenge([9.0] * ITEMS, tmp_path)
    assert registry["champion"] == "3"
    assert (found.version, found.champion) == ("4", False)
    assert registry["label"] == "final-5"
    metrics = {"test/heart/heart_rate_error": 3.0, "test/heart_rate_error": 3.0}
    assert registry["scored"] == models.Scored(metrics, "ppg", HEARTS.fingerprint)
    assert registry["asked"] == [("models:/cass-ppg/3", "http://tracker")]
    assert (
        "version 3 stays the champion (validation: heart rate error, mean over the sources, 9.0000 bpm against 0.0000"
        in found.sentence
    )


def test_challenger_that_finds_the_heart_rate_wins_against_one_that_does_not(registry, tmp_path):
    registry["estimates"] = HEARTS.validation.sources.flip(1).numpy()  # the breath in the place of the heart
    found = challenge([0.0] * ITEMS, tmp_path)
    assert registry["champion"] == "4"
    assert found.champion
    assert (
        "the new champion: it beats version 3 (validation: heart rate error, mean over the sources, 0.0000 bpm against "
        in found.sentence
    )


def test_champion_of_other_data_does_not_defend_the_alias_and_keeps_it(registry, tmp_path):
    """The champion may have learned from the recordings that would be scored, so its scores say nothing."""
    registry["data"] = "of another task"
    registry["estimates"] = HEARTS.validation.sources.flip(1).numpy()
    found = challenge([0.0] * ITEMS, tmp_path)
    assert (found.champion, registry["champion"], registry["asked"]) == (False, "3", [])
    assert found.sentence == (
        "Registered as cass-ppg version 4; version 3 keeps the alias without a contest: it was trained on other data, "
        "and may have learned from what would be scored; train its settings on these data, or decide yourself "
        '(mlflow.MlflowClient("http://tracker").set_registered_model_alias("cass-ppg", "champion", VERSION) moves it).'
    )


def test_champion_that_does_not_say_what_it_was_trained_on_does_not_defend_either(registry, tmp_path):
    registry["data"] = None
    found = challenge([0.0] * ITEMS, tmp_path)
    assert "without a contest: it does not say what it was trained on, and may have learned" in found.sentence


def test_items_of_too_few_recordings_decide_nothing(registry, tmp_path):
    registry["estimates"] = HEARTS.validation.sources.flip(1).numpy()
    one = Split(HEARTS.validation.mixture, HEARTS.validation.sources, units=(("a",), ("b",)) * (ITEMS // 2))
    found = challenge([0.0] * ITEMS, tmp_path, validation=one, unit_names=("subjects",))
    assert registry["champion"] == "3"
    assert (
        "version 3 stays the champion: on validation there are too few subjects to say anything (2); " in found.sentence
    )


def test_result_of_an_older_version_is_scored_on_validation_anew(registry, tmp_path, monkeypatch):
    registry["estimates"] = HEARTS.validation.sources.flip(1).numpy()
    load = models.load

    class Packaged:
        def predict(self, mixture):
            return HEARTS.validation.sources.numpy()

    monkeypatch.setattr(models, "load", lambda at, uri: Packaged() if at == str(tmp_path) else load(at, uri))
    found = challenge([], tmp_path)
    assert found.champion
    assert "0.0000 bpm against" in found.sentence


PAGE = "/#/experiments/3/runs?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("uri", "experiment", "command"),
    [
        ("sqlite:///mlflow.db", "", "mlflow ui"),
        ("sqlite:///mlflow.db", "3", f"mlflow ui  # shows the study's runs at\n# http://127.0.0.1:5000{PAGE}"),
        ("sqlite:////data/runs.db", "", "mlflow ui --backend-store-uri sqlite:////data/runs.db"),
        ("http://tracker:5000", "", "python -m webbrowser http://tracker:5000"),
        ("http://tracker:5000/lab/", "3", f"python -m webbrowser 'http://tracker:5000/lab{PAGE}'"),
        ("https://me:secret@tracker:5000", "", "python -m webbrowser 'https://me:***@tracker:5000'"),
        ("https://me:secret@tracker:5000", "3", f"python -m webbrowser 'https://tracker:5000{PAGE}'"),
    ],
)
def test_next_command_shows_the_studys_runs_without_a_password(uri, experiment, command):
    assert next_commands(Registration("m", None, False, ""), uri, experiment) == command.splitlines()


@pytest.mark.parametrize(
    ("version", "champion", "command"),
    [
        ("7", True, ["sepray evaluate models:/cass-ecg@champion"]),
        ("7", False, ["sepray evaluate models:/cass-ecg/7"]),
        (None, False, []),
        (None, True, []),  # a champion that waits for the server has no version yet
    ],
)
def test_next_command_scores_the_registered_version(version, champion, command):
    registration = Registration("cass-ecg", version, champion, "")
    assert next_commands(registration, "sqlite:///mlflow.db")[1:] == command


@pytest.mark.parametrize(
    ("uri", "variable", "flag"),
    [
        ("sqlite:////data/runs.db", None, " --tracking-uri sqlite:////data/runs.db"),
        ("http://lab:5000", None, " --tracking-uri http://lab:5000"),
        ("http://lab:5000", "http://lab:5000", ""),
        ("mlflow.db", None, ""),
        ("mlflow.db", "http://lab:5000", " --tracking-uri mlflow.db"),
        ("http://me:secret@lab:5000", None, ""),  # MLFLOW_TRACKING_URI has to have it
    ],
)
def test_next_command_finds_the_model_where_it_is_registered(uri, variable, flag, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    registration = Registration("cass-ecg", "7", True, "")
    assert next_commands(registration, uri)[-1] == f"sepray evaluate models:/cass-ecg@champion{flag}"


def test_strange_database_in_the_current_folder_ends_no_study_that_is_tracked_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("CREATE VIEW tags AS SELECT 1")
    registration = Registration("cass-ecg", "7", True, "")
    assert next_commands(registration, "sqlite:////data/runs.db") == [
        "mlflow ui --backend-store-uri sqlite:////data/runs.db",
        "sepray evaluate models:/cass-ecg@champion --tracking-uri sqlite:////data/runs.db",
    ]


def test_version_that_is_the_champion_already_stays_it_without_a_challenge(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "register", lambda *_, **__: "3")
    found = challenge([9.0] * ITEMS, tmp_path)
    assert found == Registration("cass-ppg", "3", True, "cass-ppg version 3 is the champion.")
    assert registry["asked"] == []


def test_first_version_becomes_the_champion(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "incumbent", lambda name, uri: None)
    found = challenge([9.0] * ITEMS, tmp_path)
    sentence = "Registered as cass-ppg version 4, the first champion."
    assert found == Registration("cass-ppg", "4", True, sentence)
    assert registry["champion"] == "4"
    assert registry["asked"] == []


def test_champion_that_cannot_separate_the_validation_split_stays_it(registry, tmp_path):
    registry["estimates"] = np.zeros((1, 2, 3))
    found = challenge([0.0] * ITEMS, tmp_path)
    assert (found.champion, registry["champion"]) == (False, "3")
    assert "; version 3 stays the champion, but cannot separate this validation split (" in found.sentence


def test_champion_whose_files_are_gone_gives_way(registry, tmp_path):
    registry["files"] = False
    found = challenge([9.0] * ITEMS, tmp_path)
    assert (found.version, found.champion, registry["champion"]) == ("4", True, "4")
    assert found.sentence == "Registered as cass-ppg version 4, the new champion: the files of version 3 are gone."
    assert registry["asked"] == []


def test_seed_of_the_study_is_that_of_the_challenge(registry, tmp_path, monkeypatch):
    given = []
    compared = promotion.paired_difference

    def difference(*arguments):
        given.append(arguments[3])
        return compared(*arguments)

    monkeypatch.setattr(promotion, "paired_difference", difference)
    monkeypatch.setattr("tests.driver.test_registration.SPEC", SPEC.changed(seed=17))
    challenge([9.0] * ITEMS, tmp_path)
    assert given == [17]


def test_without_a_package_nothing_is_registered(registry, tmp_path):
    tracker = FakeTracker()
    tracker.uri = "http://tracker"
    result = {"member": 5, "metric": "relative_l2", "role": "trial 1", "hyperparameters": {}, "rows": []}
    found = register(SPEC, HEARTS, result, tmp_path, tracker)
    sentence = f"No model is registered: there is none in {tmp_path}."
    assert found == Registration("cass-ppg", None, False, sentence)


def test_next_command_of_the_default_database_by_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    assert next_commands(Registration("m", None, False, ""), uri) == ["mlflow ui"]


def test_champion_whose_code_is_not_trusted_stays_it_without_a_comparison(registry, tmp_path, monkeypatch):
    def load(address, uri):
        raise models.ModelError(f"{address} (logged by eve) brings code that is not what is installed here")

    monkeypatch.setattr(models, "load", load)
    found = challenge([0.0] * 5, tmp_path)
    assert (found.champion, registry["champion"]) == (False, "3")
    assert (
        "; version 3 stays the champion, with which it was not compared (models:/cass-ppg/3 (logged by eve) brings"
        in (found.sentence)
    )
