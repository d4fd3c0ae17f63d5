"""A trial that is trained again is identical to the last bit, or it is said from where on it is not, and why."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy
import optuna
import pytest
from rich.console import Console

from sepray.cli import main as cli
from sepray.console import terminal
from sepray.driver import finished_trials, packaged_champion
from sepray.driver.packaged_champion import package
from sepray.driver.saved_study import SavedStudy, read_saved_study
from sepray.errors import UsageError
from sepray.execution import cluster
from sepray.results import reproduction
from sepray.results.reproduction import Epoch, Reproduction
from sepray.spec import choosing

from ..driver.conftest import DATA
from ..simulation import Controller

CACHE = Path("cache")


def reproduce(record, stage, number, **more):
    return reproduction.reproduce(record, CACHE, stage, number, **more)


def train_for_real(trainable, parameters, *, searcher, scheduler, slots, name, **_):
    """Run trials as Ray's actors do, an epoch of each in turn, in this process."""

    class Bound(trainable):  # what tune.with_parameters makes of it
        def setup(self, config):
            super().setup(config, **parameters)

    actors = {}

    def report(trial):
        if trial.trial_id not in actors:
            actors[trial.trial_id] = Bound(trial.config)
        return actors[trial.trial_id].step()

    Controller(searcher, report, scheduler, slots=slots, name=name).run()
    for actor in actors.values():
        actor.cleanup()


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Folder of the study, which is run once."""
    return tmp_path_factory.mktemp("kept") / "trained"


@pytest.fixture
def trained(run_study, simulation, spec, tmp_path, kept, monkeypatch) -> SavedStudy:
    """A finished study of two trials of three epochs, trained for real."""
    monkeypatch.setattr(cluster, "run_trials", train_for_real)
    monkeypatch.setattr(reproduction, "load_task", lambda config, cache: DATA)
    if not kept.exists():
        assert run_study(spec.changed(trials=2, final_seeds=1)) == 0
        shutil.copytree(tmp_path, kept)
    else:
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(terminal, "console", Console(highlight=False, markup=False, width=80))
    stores = spec.stores
    return read_saved_study(spec.name, stores.storage, stores.storage_path)


def with_trial(trained: SavedStudy, number: int, values=None, **attributes) -> SavedStudy:
    """Return the study with other intermediate values, or other user attributes (None: without), of a trial."""
    copy = optuna.create_study()
    for key, value in trained.studies["search"].user_attrs.items():
        copy.set_user_attr(key, value)
    for trial in trained.studies["search"].trials:
        if trial.number == number:
            trial.user_attrs = {k: v for k, v in (trial.user_attrs | attributes).items() if v is not None}
            trial.intermediate_values |= values or {}
        copy.add_trial(trial)
    return dataclasses.replace(trained, studies={**trained.studies, "search": copy})


def test_every_trial_is_identical(trained):
    for stage, number in (("search", 0), ("search", 1), reproduction.champion(trained)):
        told: list[Epoch] = []
        again = reproduce(trained, stage, number, on_epoch=told.append)
        curve = trained.studies[stage].trials[number].intermediate_values
        assert {epoch.number: epoch.repeated for epoch in again.epochs} == curve
        assert (len(curve), again.identical, again.changes, again.conditions_known) == (3, True, (), True)
        assert told == list(again.epochs)
    assert reproduce(trained, "search", 1, epochs=2).sentence == "trial 1: identical over 2 epochs"


def test_device_of_the_trials_has_to_be_here(trained, monkeypatch):
    asked = []
    monkeypatch.setattr(reproduction, "require_here", lambda *given: asked.append(given))
    reproduce(trained, "search", 1, epochs=1)
    assert asked == [("cpu", "repeating trial 1")]


def test_departure_is_measured_and_what_has_changed_is_named(trained):
    trial = trained.studies["search"].trials[1]
    conditions, value = trial.user_attrs["conditions"], trial.intermediate_values[2]
    assert conditions["data"] == DATA.fingerprint
    files = trained.studies["search"].user_attrs[f"code.{conditions['code']}"]
    trained.studies["search"].set_user_attr("code.old", {**files, "sepray.training.trainer": "another", "gone": "x"})
    other = with_trial(trained, 1, {2: value + 0.25}, conditions=conditions | {"numpy": "1.0", "code": "old"})

    again = reproduce(other, "search", 1)

    assert [epoch.identical for epoch in again.epochs] == [True, False, True]
    assert again.epochs[1] == Epoch(2, value + 0.25, value)
    assert again.sentence == "trial 1: departs at epoch 2 by 0.25, and by 0 at epoch 3"
    assert again.changes == (f"numpy: 1.0 -> {numpy.__version__}", "code: gone, sepray.training.trainer")
    assert again.explanation == f"What differs: numpy: 1.0 -> {numpy.__version__}; code: gone, sepray.training.trainer"
    assert reproduce(other, "search", 1, epochs=1).explanation == ""  # these are the same

    elsewhere = {"conditions.2": conditions | {"numpy": "1.0"}, "conditions.3": conditions | {"python": "3.0"}}
    again = reproduce(with_trial(trained, 1, {2: value + 0.25}, **elsewhere), "search", 1, epochs=2)
    assert again.changes == (f"numpy: 1.0 -> {numpy.__version__} (from epoch 2 on)",)


def test_retraining_is_repeated_with_the_warm_start_of_its_own_seed(monkeypatch):
    shared = SimpleNamespace(threads=1, deterministic=False, separator=0, signal=0, device="cpu", augmentation=0)
    handed = {}

    def parameters(stage, members, prepared, checkpoints, seeds):
        estimates = {seed: (numpy.full((2, 1), seed, numpy.float32), 1.5) for seed in seeds}
        context = SimpleNamespace(**vars(shared), members=members)
        return {"context": context, "train": {}, "validation": {}, "warm_starts": estimates}

    monkeypatch.setattr(reproduction, "trial_parameters", parameters)
    monkeypatch.setattr(reproduction, "set_deterministic", lambda on: None)
    monkeypatch.setattr(reproduction, "Members", lambda *_, train, **__: handed.update(train))
    attributes = {"seed": 7, "hyperparameters": {}, "conditions": {"start": "of its own seed"}}
    trial = optuna.trial.create_trial(value=0.5, user_attrs=attributes)
    reproduction._trained_as("finals", None, SimpleNamespace(checkpoints=""), trial)
    assert handed["start"].tolist() == [[7], [7]]


def test_trial_of_an_older_version_says_that_nothing_is_known(trained):
    other = with_trial(trained, 0, {1: 9.0}, conditions=None)
    again = reproduce(other, "search", 0, epochs=1)
    assert (again.changes, again.conditions_known) == ((), False)
    assert again.explanation == (
        "The trial was trained by an older version, which did not store the machine and the versions."
    )


def test_equal_conditions_leave_the_separator_and_the_task():
    again = Reproduction("trial 3", (Epoch(1, 0.5, 0.25),), (), True)
    assert again.sentence == "trial 3: departs at epoch 1 by 0.25"
    assert again.explanation.startswith("The machine, the versions, the code and the data are those of the first")
    assert "draws random numbers of its own" in again.explanation


def test_what_cannot_be_repeated_is_refused_in_one_line(trained):
    with pytest.raises(UsageError, match=r"^small has no trial 2; it has 2, counted from 0$"):
        reproduce(trained, "search", 2)
    changed = with_trial(trained, 0, perturbations=[{"epoch": 1, "parent": 1, "hyperparameters": {}}])
    with pytest.raises(UsageError, match=r"^trial 0 was given the weights of other trials by pbt"):
        reproduce(changed, "search", 0)
    empty = with_trial(trained, 0)
    empty.studies["search"].enqueue_trial({})
    with pytest.raises(UsageError, match=r"^trial 2 has reported no epoch"):
        reproduce(empty, "search", 2)
    (trained.folder / "result.json").unlink()
    with pytest.raises(UsageError, match=r"^small has no champion; name a trial: --trial 0$"):
        reproduction.champion(trained)


def run(trained, *arguments: str) -> int:
    places = ["--storage", trained.storage, "--storage-path", trained.storage_path, "--cache", str(CACHE)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "small", *arguments, *places])
    return int(ended.value.code or 0)


def test_command_prints_each_epoch_and_the_result(trained, capsys):
    assert run(trained, "--trial", "1", "--epochs", "2") == 0
    first, second, last = capsys.readouterr().out.splitlines()
    value = trained.studies["search"].trials[1].intermediate_values[1]
    assert first == f"  epoch    1   recorded {value:.6g}   again {value:.6g}   identical"
    assert second.startswith("  epoch    2 ")
    assert last == "trial 1: identical over 2 epochs"

    assert run(trained, "--json", "--epochs", "1") == 0
    said = json.loads(capsys.readouterr().out)
    number = reproduction.champion(trained)[1]
    assert (said["trial"], said["identical"], len(said["epochs"])) == (f"final {number}", True, 1)
    assert run(trained, "--trial", f"final-{number}", "--epochs", "1") == 0
    assert f"final {number}: identical over 1 epoch" in capsys.readouterr().out


def test_command_ends_with_1_where_the_curves_differ(trained, capsys, monkeypatch):
    other = Reproduction("trial 1", (Epoch(1, 0.5, 0.25),), ("threads: 1 -> 2",), True)
    monkeypatch.setattr(reproduction, "reproduce", lambda *arguments: other)
    assert run(trained, "--trial", "1") == 1
    assert capsys.readouterr().out.splitlines() == [
        "trial 1: departs at epoch 1 by 0.25",
        "What differs: threads: 1 -> 2",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--trial", "best"], "sepray: --trial must be a number, or final-N for a retraining, not 'best'"),
        (["--epochs", "0"], "sepray: --epochs must be at least 1, not 0"),
    ],
)
def test_command_refuses_what_is_no_trial(trained, arguments, line, capsys):
    assert run(trained, *arguments) == 2
    assert capsys.readouterr().err.strip() == line


@pytest.fixture
def model(trained, monkeypatch) -> dict:
    """Return the metadata of the champion's model; the model itself is a folder without weights."""
    packaged = {}
    monkeypatch.setattr(packaged_champion, "package_model", lambda folder, **given: packaged.update(given))
    number = reproduction.champion(trained)[1]
    folders, spec = trained.folder / "finals", trained.spec(CACHE)
    rule = choosing.rule(spec.choose, spec.objectives(DATA.signal), numpy.zeros((0, 1)))
    finals = finished_trials.finished(trained.trials("finals"), rule, lambda n: str(folders / f"trial-{n:05d}"))
    [member] = [trial for trial in finals if trial.number == number]
    package(spec, DATA, member, trained.folder / "model")
    monkeypatch.setattr(reproduction.models, "describe", lambda model, uri: packaged["metadata"])
    return packaged["metadata"]


def run_model(trained, *arguments: str, storage: str | None = None) -> int:
    places = ["--storage", storage or trained.storage, "--storage-path", trained.storage_path]
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", str(trained.folder / "model"), *arguments, *places, "--cache", str(CACHE)])
    return int(ended.value.code or 0)


def test_model_is_the_training_that_its_weights_are_from(trained, model, capsys):
    number = reproduction.champion(trained)[1]
    assert (model["trial"], model["study"]) == (f"final-{number}", "small")
    assert run_model(trained, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["trial"], said["identical"], len(said["epochs"])) == (f"final {number}", True, 3)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"trial": None},
            "does not name its training, because an older version packaged it; name the training yourself: "
            "sepray reproduce small (its champion), or sepray reproduce small --trial final-0",
        ),
        ({"trial": None, "study": None}, "was not made by a study, so there is no training to repeat"),
    ],
)
def test_model_that_does_not_say_which_training_it_is_of_is_refused(trained, model, changes, line, capsys):
    for name in changes:
        del model[name]
    assert run_model(trained) == 2
    assert capsys.readouterr().err == f"sepray: {trained.folder / 'model'} {line}\n"


@pytest.mark.parametrize("changes", [{"seed": 1}, {"trial": "final-77"}, {"hyperparameters": {"beta": 0.0}}])
def test_other_study_of_the_same_name_is_not_the_models(trained, model, changes, capsys):
    model.update(changes, storage="sqlite:////elsewhere/optuna.db")
    assert run_model(trained) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"sepray: {model['trial']} of the study small here is not the training of ")
    assert line.endswith("another study of that name; the model's study was in sqlite:////elsewhere/optuna.db\n")


def test_storage_without_the_models_study_is_refused_and_the_right_one_named(trained, model, tmp_path, capsys):
    other = f"sqlite:///{tmp_path}/other.db"
    optuna.create_study(study_name="another", storage=other)
    assert run_model(trained, storage=other) == 2
    assert capsys.readouterr().err == (
        f"sepray: {trained.folder / 'model'} is {model['trial']} of the study small, which was in "
        f"{trained.storage}: no study 'small' in {other}; there are: another\n"
    )


def test_model_has_a_training_of_its_own(trained, model, capsys):
    assert run_model(trained, "--trial", "1") == 2
    assert capsys.readouterr().err == (
        "sepray: --trial 1: a model has one training only; leave out --trial, or name the study\n"
    )
