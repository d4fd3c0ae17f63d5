"""Fields that take a configuration or its name, and the published space of either."""

import dataclasses
import re
from types import SimpleNamespace

import pytest

from sepray import registry, shipped
from sepray.errors import UsageError
from sepray.registry import UnknownNameError
from sepray.separators import cass, constant_mask
from sepray.spec import named_fields
from sepray.spec.named_fields import NamedConfig, published_space, require_own_types
from sepray.spec.study import StudySpec


class Holder:
    separator = NamedConfig("sepray.separators")


def test_name_is_looked_up_when_it_is_first_read_and_once(monkeypatch):
    asked = []
    monkeypatch.setattr(registry, "config", lambda package, name: asked.append((package, name)) or cass.DEBUG)
    holder = Holder()
    holder.separator = "cass:debug"
    assert (vars(holder), asked) == ({"separator": "cass:debug"}, [])
    assert holder.separator is cass.DEBUG
    assert holder.separator is cass.DEBUG
    assert asked == [("sepray.separators", "cass:debug")]
    holder.separator = cass.Config()
    assert holder.separator == cass.Config()
    assert len(asked) == 1


def test_field_has_no_default():
    with pytest.raises(AttributeError, match="separator"):
        _ = Holder.separator
    fields = {each.name: each for each in dataclasses.fields(StudySpec)}
    assert all(fields[name].default is dataclasses.MISSING for name in ("separator", "task"))


def test_config_of_a_script_is_refused():
    script = type("Config", (), {"__module__": "__main__"})()
    with pytest.raises(UsageError, match=r"^put the Config of the separator into a file of its own: "):
        Holder().separator = script


OWN = {
    "name": "small",
    "seed": 1,
    "objective": ("si_sdr",),
    "choose": (),
    "start": "",
    "space": {},
    "arms": {},
    "reference_points": {},
    "controls": {},
    "fixed_settings": {},
    "first_settings": {},
    "reference_epochs": {},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"name": 3}, "name must be a text (str), not 3"),
        ({"seed": 1.5}, "seed must be a whole number (int), not 1.5"),
        ({"objective": "si_sdr"}, "objective must be a tuple of names, such as ('si_sdr',), not 'si_sdr'"),
        ({"choose": ["si_sdr"]}, "choose must be a tuple of texts (str), not ['si_sdr']"),
        ({"space": {"beta": 1.0}}, "space['beta'] must be a distribution of Optuna"),
        ({"arms": {"a": {}}}, "arms['a'] must be an Arm (sepray.arms), not {}"),
        ({"reference_points": {"a": 1}}, "reference_points['a'] must be a dictionary of hyperparameters, not 1"),
        ({"controls": {"a": 1}}, "controls['a'] must be a dictionary of hyperparameters, not 1"),
        ({"reference_epochs": {"a": 0}}, "reference_epochs['a'] must be a whole number above 0, not 0"),
        ({"fixed_settings": 3}, "fixed_settings must be a dictionary that gives each name a value, not 3"),
        ({"first_settings": {"a": 1}}, "first_settings['a'] must be a dictionary of hyperparameters, not 1"),
    ],
)
def test_each_field_is_checked(changes, message):
    if message is None:
        require_own_types(OWN)
        return
    with pytest.raises(UsageError, match="^" + re.escape(message)):
        require_own_types(OWN | changes)


def test_published_space_is_that_of_the_name_or_the_configuration():
    assert published_space("cass") == published_space(cass.Config()) == shipped.search_spaces()["cass"]


@pytest.mark.parametrize("separator", ["constant_mask", constant_mask.Config()])
def test_separator_without_a_published_space_says_where_one_would_be(separator, monkeypatch):
    monkeypatch.setattr(shipped, "search_space", lambda separator: None)
    message = (
        "constant_mask has no published search space: give the study a `space`, or put SPACE into "
        "search_spaces/constant_mask.py or into the separator's own file"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        published_space(separator)


def test_users_module_is_named_whole_and_its_file_by_its_last_part(monkeypatch):
    monkeypatch.setattr(shipped, "search_space", lambda separator: None)
    monkeypatch.setattr(named_fields, "separator_name", lambda separator: "lab.mine")
    with pytest.raises(UsageError, match=r"^lab\.mine has no .* search_spaces/mine\.py or into"):
        published_space(SimpleNamespace())


def test_unknown_separator_is_refused_as_unknown():
    with pytest.raises(UnknownNameError, match=r"cas.* cass"):
        published_space("cas")
