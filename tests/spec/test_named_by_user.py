"""A Ray cluster that only a storage names is not joined, also where masking would hide which one it is."""

from types import SimpleNamespace

import pytest

from sepray.disk import private_list
from sepray.errors import mask
from sepray.spec import named_by_user


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ray://lab:x@evil/?@head:10001", "ray://lab:***@evil/?@head:10001"),
        ("ray://evil:10001/?@head:10001", "ray://evil:10001/:***@head:10001"),
        ("ray://evil?@head:10001", "ray://evil?@head:10001"),
        ("ray://evil#:x@head:10001", "ray://evil#:***@head:10001"),
        ("ray://lab:x@evil\\@head:10001", "ray://lab:***@evil\\@head:10001"),
        ("ray://lab:x@evil:10001", "ray://lab:***@evil:10001"),
    ],
)
def test_masking_hides_no_host(address, shown, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for own in ("ray://lab:***@head:10001", "ray://***@head:10001", "ray://evil:***@head:10001"):
        private_list.remember_named("address", own)
    assert mask(address) == shown
    assert not named_by_user.is_named_cluster(address)
    assert named_by_user.usable({"address": address})["address"] is None
    private_list.remember_named("address", shown)  # of which it is not known where it has led
    assert named_by_user.is_named_cluster(address) == (address in (shown, "ray://lab:x@evil:10001"))


@pytest.mark.parametrize("address", ["ray://lab:x@mine:10001", "auto-mine", "mine:6379"])
def test_cluster_that_a_command_has_named_is_joined(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert not named_by_user.is_named_cluster(address)
    private_list.remember_named("address", mask(address))
    assert named_by_user.usable({"address": address})["address"] == address


def test_a_ray_of_ones_own_is_no_cluster_that_must_be_named():
    assert named_by_user.usable({"address": "local"})["address"] == "local"


def test_odd_address_whose_hash_was_kept_by_an_older_version_is_not_joined(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    address = "ray://evil:x/y@head:10001"
    private_list.remember_named("address", mask(address))
    assert not named_by_user.is_named_cluster(address)


@pytest.mark.parametrize(
    ("start", "module"),
    [
        ("", ""),
        ("constant", ""),
        ("nmf", "sepray.separators.nmf"),
        ("glo_masking:paper size=32", "sepray.separators.glo_masking"),
        ("models:/cass-ecg/1", ""),
        (".", ""),
    ],
)
def test_only_a_separator_that_training_starts_from_has_a_module(start, module):
    assert named_by_user._warm_start_module(SimpleNamespace(start=start, start_epochs=1)) == module
    assert named_by_user._warm_start_module(SimpleNamespace(start=start)) == ""
    assert named_by_user._warm_start_module(SimpleNamespace()) == ""


def test_command_names_the_modules_of_separator_task_sampler_and_warm_start(monkeypatch):
    named, starts = [], SimpleNamespace(start="nmf", start_epochs=1)
    monkeypatch.setattr(named_by_user.own_modules, "remember", named.append)
    monkeypatch.setattr(named_by_user.registry, "stored_module", lambda module: f"stored {module}")
    named_by_user.remember(starts, starts, "my_sampler:Mine", "", "")
    assert named == ["stored types", "stored types", "my_sampler", "sepray.separators.nmf"]
    assert private_list.is_named("sampler-at", "my_sampler:Mine")
    named.clear()
    named_by_user.remember(SimpleNamespace(), starts, "tpe", "", "")
    assert named == ["stored types"] * 2
    assert not private_list.is_named("sampler-at", "tpe")


@pytest.mark.parametrize(
    ("address", "user"), [("ray://lab:x@head:1", "lab"), ("ray://token@head:1", "***"), ("ray://head:1", "")]
)
def test_user_of_an_address_is_a_name_and_what_stands_alone_is_a_secret(address, user):
    assert named_by_user.endpoint(address)[:4] == ("ray", user, "head", "1")
