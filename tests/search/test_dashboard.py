"""Attributes that optuna-dashboard reads; they were looked at in the dashboard, which the tests do not install."""

import optuna
import pytest

from sepray.search.dashboard import name_objectives, save_note


@pytest.fixture
def study():
    return optuna.create_study(directions=["minimize", "maximize"])


def attributes(study):
    return study._storage.get_study_system_attrs(study._study_id)


def note(study):
    """The note as optuna-dashboard puts it together: all parts, in the order of their numbers."""
    parts = {k: v for k, v in attributes(study).items() if k.startswith("dashboard:note_str:")}
    return "".join(parts[f"dashboard:note_str:{i}"] for i in range(len(parts)))


def test_objectives_are_named_without_a_warning(study, recwarn):
    for _ in range(2):
        name_objectives(study, ["validation/fetal/relative_l2", "validation/si_sdr"])
    assert study.metric_names == ["fetal/relative_l2", "si_sdr"]
    assert list(recwarn) == []


def test_note_is_kept_in_parts_and_replaced_whole(study):
    for version, text in enumerate(("é" * 5000, "short", "", "again"), 1):
        for _ in range(2):
            save_note(study, text)
        assert note(study) == text
        assert attributes(study)["dashboard:note_ver"] == version
        assert max(map(len, map(str, attributes(study).values()))) <= 2045


def test_what_is_no_note_stays_and_a_version_that_is_none_is_replaced(study):
    write = study._storage.set_study_system_attr
    write(study._study_id, "dashboard:note_ver", "new")
    save_note(study, "ours")
    assert attributes(study)["dashboard:note_ver"] == 1
    write(study._study_id, "dashboard:note_str:0", ["theirs"])
    save_note(study, "again")
    assert attributes(study)["dashboard:note_str:0"] == ["theirs"]


def test_users_own_note_stays(study):
    save_note(study, "ours")
    study._storage.set_study_system_attr(study._study_id, "dashboard:note_str:0", "theirs")
    save_note(study, "new")
    assert note(study) == "theirs"
