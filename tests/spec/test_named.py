"""What a stored study may say of what runs here: nothing that no command of this user has named."""

import json

import pytest

from sepray import private_list, registry
from sepray.separators import neural_egg
from sepray.spec import named
from sepray.spec.study import StudySpec
from sepray.tasks import ecg


@pytest.fixture(autouse=True)
def _nothing_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv(registry.MODULES, raising=False)


def stored(**changes):
    spec = StudySpec(name="small", separator=neural_egg.DEBUG, task=ecg.DEBUG, space={})
    return json.loads(json.dumps(spec.plain())) | changes


def test_sampler_and_cluster_of_nobody_are_not_used():
    restored = StudySpec.restored(stored(sampler="os:system", address="attacker:6379"))
    assert (restored.search.sampler, restored.resources.address) == ("random", None)
    restored = StudySpec.restored(stored(sampler="gp", address=None))
    assert (restored.search.sampler, restored.resources.address) == ("gp", None)


def test_what_a_study_was_started_with_is_used(monkeypatch):
    spec = StudySpec(
        name="small",
        separator=neural_egg.DEBUG,
        task=ecg.DEBUG,
        space={},
        sampler="my_lab:Sampler",
        address="lab:6379",
        tracking_uri="http://me:secret-of-mine@lab:5000",
    )
    named.remember(spec.separator, spec.task, "my_lab:Sampler", "lab:6379", "http://me:secret-of-mine@lab:5000")
    restored = StudySpec.restored(json.loads(json.dumps(spec.plain())))
    assert (restored.search.sampler, restored.resources.address) == ("my_lab:Sampler", "lab:6379")
    assert private_list.is_named("module", "sepray.separators.neural_egg")
    assert private_list.is_named("tracking", "http://me:***@lab:5000")
    assert not private_list.is_named("tracking", "http://me:***@lab:5001")
    monkeypatch.setenv("RAY_ADDRESS", "other:6379")
    assert StudySpec.restored(stored(address="other:6379")).resources.address == "other:6379"


@pytest.mark.parametrize("start", ["os", "planted_start width=3", "planted_start:wide"])
def test_start_from_a_module_of_nobody_is_refused(start):
    values = stored()
    values["separator"]["config"]["start"] = start
    with pytest.raises(registry.UnknownNameError, match="which no command of yours has named"):
        StudySpec.restored(values)
    private_list.name("start", start)
    assert StudySpec.restored(values).separator.start == start


@pytest.mark.parametrize("start", ["constant", "glo_masking", "cass:small", "models:/cass-ecg@champion"])
def test_start_that_imports_nothing_of_others_is_taken(start):
    values = stored()
    values["separator"]["config"]["start"] = start
    assert StudySpec.restored(values).separator.start == start
