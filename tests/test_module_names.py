"""Messages and commands name a variant with its colon, and other modules as they are given."""

import pytest

from sepray import registry
from sepray.module_names import given_name, name_of_stored, shown_name, variant_of_stored

CASS = "sepray.separators.cass"


class Own:
    pass


Own.__module__ = "lab.mine"


@pytest.mark.parametrize("name", ["cass", "cass:published", "cass:logarithmic", "nmf"])
def test_separators(name):
    config = registry.config("sepray.separators", name)
    assert shown_name(config) == given_name(type(config).__module__) == name


@pytest.mark.parametrize("name", ["ecg", "ecg:varied"])
def test_tasks(name):
    config = registry.config("sepray.tasks", name)
    assert shown_name(config) == given_name(type(config).__module__) == name


def test_modules_of_users():
    assert (shown_name(Own()), given_name("lab.mine")) == ("mine", "lab.mine")
    assert (name_of_stored("lab.mine", {"variant": "published"}), variant_of_stored("lab.mine", {})) == ("lab.mine", "")


def test_stored_configurations():
    assert name_of_stored(CASS, {"variant": "published_code"}) == "cass:published"
    assert variant_of_stored(CASS, {"variant": "published_code"}) == "published"
    assert name_of_stored(CASS, {"variant": "paper"}) == name_of_stored(CASS, {}) == "cass"
