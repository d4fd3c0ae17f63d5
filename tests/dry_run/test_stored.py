"""The progress of a study, as a dry run tells it: from its storage, without changing it."""

import sqlite3
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from sepray.driver.driver import run
from sepray.driver.prepared import prepare
from sepray.driver.stores import StudyStores
from sepray.dry_run.stored import StudyProgress, attributes_of, progress
from sepray.errors import UsageError
from sepray.search.storage import FingerprintMismatchError
from sepray.spec.folder import RunningError

from .conftest import DATA

NEW = StudyProgress(False, 0, 0, 4, ("published",), 0, 3 * 2, 3 * 2)  # a finalist, a control, published settings


def study(spec, **changes) -> StudyProgress:
    return progress(prepare(spec.changed(**changes), DATA))


def content(spec) -> list[str]:
    """Everything that the storage holds."""
    connection = sqlite3.connect(spec.stores.storage.removeprefix("sqlite:///"))
    dump = list(connection.iterdump())
    connection.close()
    return dump


@pytest.fixture
def searched(spec, tracker):
    """A study whose driver died when one trial was complete, one stopped early, and one had begun."""
    made = prepare(spec, DATA)
    stores = StudyStores(made)
    settings = {"params": made.reference_points["published"], "distributions": dict(made.space)}
    attributes = {"user_attrs": {"label": "published", "seed": 1}}
    stores.search.add_trial(create_trial(value=1.0, **settings, **attributes))
    stores.search.add_trial(create_trial(state=TrialState.PRUNED, **settings))
    stores.search.add_trial(create_trial(state=TrialState.RUNNING, **settings))
    stores.close()
    return spec


def run_with_data(spec, monkeypatch):
    from sepray.driver import driver

    monkeypatch.setattr(driver, "load_task", lambda *_: DATA)
    return run(spec)


@pytest.fixture
def finished(spec, tracker, simulation, screen, monkeypatch):
    """A study that is done."""
    from sepray.driver import finish

    monkeypatch.setattr(finish.Finish, "run", lambda *_: 0)
    assert run_with_data(spec, monkeypatch) == 0
    return spec


def test_new_study_is_counted_and_nothing_is_made(spec, tmp_path):
    assert study(spec) == NEW
    assert NEW.trials == 4
    assert list(tmp_path.iterdir()) == []


def test_new_study_in_a_journal_makes_no_file(spec, tmp_path):
    assert study(spec, storage=f"journal://{tmp_path}/deep/journal.log") == NEW
    assert list(tmp_path.iterdir()) == []


def test_new_study_in_a_storage_of_others_leaves_it_as_it_is(spec):
    optuna.create_study(storage=spec.stores.storage, study_name="other")
    before = content(spec)
    assert study(spec) == NEW
    assert content(spec) == before


def test_attributes_are_those_of_the_stored_search(spec, searched):
    stored = optuna.load_study(study_name=spec.name, storage=spec.stores.storage)
    assert attributes_of(spec) == stored.user_attrs
    assert "uid" in stored.user_attrs
    assert attributes_of(spec.changed(name="another")) == {}


def test_interrupted_study_is_continued_and_left_as_it_is(searched):
    before = content(searched)
    assert study(searched) == StudyProgress(True, 4, 2, 2, (), 0, 6, 6)
    assert content(searched) == before


def test_longer_study_is_extended(searched):
    assert study(searched, trials=10) == StudyProgress(True, 4, 2, 8, (), 0, 6, 6)


def test_done_study_has_nothing_left(finished):
    before = content(finished)
    found = study(finished)
    assert (found.ended, found.left, found.retrained) == (4, 0, found.retrainings)
    assert found.retrainings_left == 0
    assert found.retrainings == 6
    assert content(finished) == before


def test_more_seeds_leave_more_retrainings(finished):
    assert study(finished, final_seeds=3).retrainings_left == 3
    assert study(finished, final_seeds=3).retrainings == 9
    assert study(finished, controls={}).retrainings_left == 0
    assert study(finished, controls={}).retrainings == 4
    assert study(finished, reference_budget="none").retrainings == 4
    own = {"reference_budget": "published", "reference_epochs": {"published": 9}}
    assert study(finished, **own).retrainings_left == 2


def test_done_study_that_is_extended_may_train_everything_again(finished):
    found = study(finished, trials=5)
    assert (found.ended, found.left, found.retrained, found.retrainings_left) == (4, 1, 6, 6)


def test_no_more_finalists_than_trials(spec):
    assert study(spec, trials=1, finalists=3).retrainings == (1 + 1 + 1) * 2
    assert study(spec, trials=4, finalists=3).retrainings == (3 + 1 + 1) * 2


def test_missing_reference_points_are_named(spec):
    points = {name: {"beta": 0.1 * k, "cross.{i}_to_{j}": 0.0} for k, name in enumerate("abc")}
    assert study(spec, reference_points=points, trials=9).points_left == ("a", "b", "c")
    assert study(spec, reference_points=points, trials=2).points_left == ("a", "b")


def test_sampler_that_comes_to_an_end_gives_fewer_trials(spec):
    space = {"beta": CategoricalDistribution([0.1, 0.2, 0.3])}
    found = study(spec, space=space, reference_points={}, sampler="grid", trials=50)
    assert (found.left, found.trials) == (3, 3)


def test_another_study_of_the_name_is_refused(searched):
    with pytest.raises(FingerprintMismatchError, match="max_epochs: 3 -> 8"):
        study(searched, max_epochs=8)


def test_study_that_runs_is_refused(spec, tracker):
    stores = StudyStores(prepare(spec, DATA))
    with pytest.raises(RunningError, match="small is running already"):
        study(spec)
    stores.close()
    assert study(spec) == StudyProgress(True, 4, 0, 4, ("published",), 0, 6, 6)


def test_study_whose_folder_was_deleted_makes_none(spec, tracker):
    StudyStores(prepare(spec, DATA)).close()
    import shutil

    shutil.rmtree(spec.stores.storage_path)
    assert study(spec).found
    assert not Path(spec.stores.storage_path).exists()


def test_point_outside_the_space_is_refused(spec):
    points = {"wild": {"beta": 3.0}}
    with pytest.raises(UsageError, match=r"'wild' sets beta to 3\.0, which is outside"):
        study(spec, reference_points=points)


def test_sampler_that_does_not_exist_is_refused_with_and_without_a_study(spec, tracker):
    for _ in range(2):
        with pytest.raises(UsageError, match="unknown sampler 'sobol'"):
            study(spec, sampler="sobol")
        StudyStores(prepare(spec, DATA)).close()


def test_study_without_a_record_of_its_trials_counts_as_new_ones(spec):
    made = prepare(spec, DATA)
    from sepray.dry_run.stored import _open

    _open(made, spec.stores.storage)
    assert progress(made) == StudyProgress(True, 0, 0, 4, ("published",), 0, 6, 6)


def test_states_that_count_as_ended():
    from sepray.driver.stage import ENDED

    assert set(ENDED) == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
