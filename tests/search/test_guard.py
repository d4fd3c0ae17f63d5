"""A guarded storage writes only where the check allows it, and reads always."""

import inspect

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from sepray.search.guard import _WRITES, guard


def test_every_method_of_a_storage_that_writes_is_guarded():
    """A newer Optuna may have more of them."""
    writing = ("create_", "delete_", "set_")
    methods = {name for name, _ in inspect.getmembers(BaseStorage, inspect.isfunction) if name.startswith(writing)}
    assert methods == set(_WRITES)


class LostError(Exception):
    """Another driver owns the study."""


def test_writes_ask_first_and_reads_do_not():
    storage, asked, lost = InMemoryStorage(), [], []

    def check():
        asked.append(1)
        if lost:
            raise LostError

    guard(storage, check)
    study = storage.create_new_study([StudyDirection.MINIMIZE], "small")
    trial = storage.create_new_trial(study)
    distribution = optuna.distributions.FloatDistribution(0, 1)
    writes = [
        lambda: storage.set_study_user_attr(study, "a", 1),
        lambda: storage.set_study_system_attr(study, "a", 1),
        lambda: storage.set_trial_param(trial, "x", 0.5, distribution),
        lambda: storage.set_trial_intermediate_value(trial, 1, 0.5),
        lambda: storage.set_trial_user_attr(trial, "a", 1),
        lambda: storage.set_trial_system_attr(trial, "a", 1),
        lambda: storage.set_trial_state_values(trial, TrialState.COMPLETE, values=[1.0]),
        lambda: storage.create_new_study([StudyDirection.MINIMIZE], "other"),
        lambda: storage.create_new_trial(study),
        lambda: storage.delete_study(study),
    ]
    assert len(asked) == 2
    lost.append(1)
    for write in writes:
        with pytest.raises(LostError):
            write()
    kept = storage.get_trial(trial)
    assert (kept.state, kept.params, kept.user_attrs, kept.intermediate_values) == (TrialState.RUNNING, {}, {}, {})
    assert [each.study_name for each in storage.get_all_studies()] == ["small"]
    assert (storage.get_study_user_attrs(study), storage.get_n_trials(study)) == ({}, 1)
    assert len(asked) == 2 + len(writes)
    lost.clear()
    assert writes[6]() is True  # what the storage answers comes back
    assert storage.get_trial(trial).values == [1.0]
