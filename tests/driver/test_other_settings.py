"""A study of other settings under the same name is refused before its data is built, setting by setting."""

from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution

from sepray import registry
from sepray.driver import driver, other_settings
from sepray.driver.other_settings import refuse_other_settings, under_former_name
from sepray.driver.prepared import prepare
from sepray.driver.stores import StudyStores
from sepray.search.storage import FingerprintMismatchError
from sepray.tasks import chords, ecg

from .conftest import DATA


def refused(spec) -> list[str]:
    """Return what differs, line by line; none where the study is not refused."""
    try:
        refuse_other_settings(spec)
    except FingerprintMismatchError as error:
        first, *lines = str(error).splitlines()
        assert first == (
            f"study 'small' exists in {spec.stores.storage} with other settings; choose another name, or go back to:"
        )
        return [line.strip() for line in lines]
    return []


def attribute(spec, name: str, value: object) -> None:
    """Change what the storage keeps of a study."""
    study = optuna.load_study(study_name=spec.name, storage=spec.stores.storage)
    study.set_user_attr(name, value)


@pytest.fixture
def begun(spec, tracker):
    """A study that has begun."""
    StudyStores(prepare(spec, DATA)).close()
    return spec


def test_first_start_and_the_same_command_are_not_refused(spec, tracker):
    assert refused(spec) == []
    assert not Path(spec.stores.storage.removeprefix("sqlite:///")).exists()
    StudyStores(prepare(spec, DATA)).close()
    assert refused(spec) == []
    assert refused(spec.changed(trials=40, concurrency=7, storage_path="elsewhere")) == []


def test_settings_are_named(begun):
    other = begun.changed(
        task=replace(ecg.DEBUG, seed=1),
        max_epochs=5,
        separator=replace(begun.separator, width=8),
        objective=("si_sdr",),
        space={**begun.space, "beta": FloatDistribution(0.0, 0.5)},
    )
    assert refused(begun.changed(task=other.task)) == ["task.seed: 0 -> 1"]
    assert refused(begun.changed(max_epochs=5)) == ["max_epochs: 3 -> 5"]
    assert refused(begun.changed(separator=other.separator)) == ["separator.config.width: 4 -> 8"]
    assert refused(begun.changed(space=other.space)) == ["search space.beta: 0 to 1 -> 0 to 0.5"]
    assert refused(begun.changed(objective=other.objective)) == [
        'objectives.validation/relative_l2: "minimize" -> (absent)',
        'objectives.validation/si_sdr: (absent) -> "maximize"',
    ]
    # The rest depends on the task's sources.
    assert refused(other) == ["task.seed: 0 -> 1", "max_epochs: 3 -> 5", "separator.config.width: 4 -> 8"]
    assert refused(begun.changed(task=chords.DEBUG)) == ['task: "ecg" -> "chords"']
    assert refused(begun.changed(task="ecg:varied")) == ['task: "ecg" -> "ecg:varied"']


def test_a_study_of_a_variant_that_has_another_name_now_is_told_the_name(spec, tracker):
    before = registry.config("sepray.separators", "cass:logarithmic_debug")
    rates = {"autoencoder_learning_rate": FloatDistribution(1e-4, 1e-2, log=True)}
    former = spec.changed(separator=before, space=rates, reference_points={}, controls={}, arms={})
    StudyStores(prepare(former, DATA)).close()
    assert refused(former) == []
    now = former.changed(separator=registry.config("sepray.separators", "cass:published_debug"))
    assert refused(now) == ['separator: "cass:logarithmic" -> "cass:published"']
    assert refused(under_former_name(now)) == []
    wider = now.changed(separator=replace(now.separator, width=8))
    assert refused(under_former_name(wider)) == ["separator.config.width: 4 -> 8"]
    other = now.changed(separator=registry.config("sepray.separators", "cass:debug"))
    assert under_former_name(other) is other
    assert under_former_name(former) is former


def test_names_that_templates_stand_for_are_the_same_space(begun):
    distribution = begun.space["cross.{i}_to_{j}"]
    written = {f"cross.{name}": distribution for name in ("low_to_high", "high_to_low")}
    points = {"published": {"beta": 0.5} | dict.fromkeys(written, 0.25)}
    assert refused(begun.changed(space={"beta": begun.space["beta"], **written}, reference_points=points)) == []


def test_study_of_an_older_version_is_compared_by_task_and_budget(begun):
    attribute(begun, "signal", None)
    study = optuna.load_study(study_name=begun.name, storage=begun.stores.storage)
    study.set_user_attr("spec", {**study.user_attrs["spec"], "task": {"module": "ecg", "config": {"gone": 1}}})
    assert refused(begun.changed(max_epochs=5, task=replace(ecg.DEBUG, seed=1))) == ["max_epochs: 3 -> 5"]


def test_another_seed_is_refused_and_a_study_that_has_kept_none_goes_on(begun):
    assert refused(begun.changed(seed=3)) == ["seed: 0 -> 3"]
    study = optuna.load_study(study_name=begun.name, storage=begun.stores.storage)
    attribute(begun, "signal", None)  # as older versions left it
    assert refused(begun.changed(seed=3)) == ["seed: 0 -> 3"]
    attribute(begun, "spec", {name: value for name, value in study.user_attrs["spec"].items() if name != "seed"})
    assert refused(begun.changed(seed=3)) == []


@dataclass(frozen=True)
class Recordings:
    """A task with recordings."""

    folder: str = "here"
    rate: float = 8.0


def test_what_others_have_put_in_its_place_is_compared_as_far_as_it_goes(begun):
    study = optuna.load_study(study_name=begun.name, storage=begun.stores.storage)
    fingerprint, kept = study.user_attrs["fingerprint"], study.user_attrs["spec"]
    for signal in ({"sources": 5}, {**study.user_attrs["signal"], "of_a_later_version": 1}):
        attribute(begun, "signal", signal)
        assert refused(begun) == []
        assert refused(begun.changed(max_epochs=5)) == [f"max_epochs: {begun.budget.max_epochs} -> 5"]
    attribute(begun, "signal", study.user_attrs["signal"])
    attribute(begun, "fingerprint", {"objectives": fingerprint["objectives"], "max_epochs": 4, "task": {}})
    assert "max_epochs: 4 -> 3" in refused(begun)
    attribute(begun, "spec", {name: kept[name] for name in kept if name != "task"})
    assert refused(begun) == []  # said when it is opened


def test_place_of_files_is_no_setting(spec, monkeypatch):
    monkeypatch.setattr(other_settings, "rebuilt", lambda *_: Recordings("there"))
    stored = {"module": "recordings", "config": {}}
    assert other_settings._task_changes(stored, spec.changed(task=Recordings("here"))) == []
    assert other_settings._task_changes(stored, spec.changed(task=Recordings("here", 4.0))) == ["task.rate: 8.0 -> 4.0"]


def test_no_data_is_built_for_a_study_that_is_refused(begun, monkeypatch):
    monkeypatch.setattr(driver, "load_task", lambda *_: pytest.fail("built"))
    with pytest.raises(FingerprintMismatchError, match=r"task\.seed: 0 -> 1"):
        driver.run(begun.changed(task=replace(ecg.DEBUG, seed=1)))


def test_other_content_of_the_data_is_told_without_digests(begun, tracker):
    with pytest.raises(FingerprintMismatchError) as refusal:
        StudyStores(prepare(begun, replace(DATA, fingerprint="cd" * 32)))
    assert str(refusal.value).splitlines()[1:] == [
        "  task.data: other content, of its files or by another version of the task"
    ]
