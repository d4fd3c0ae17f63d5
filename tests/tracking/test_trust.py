"""Whose code may run: the list of a user's own, signatures, consent."""

import os

import pytest

from sepray.errors import UsageError
from sepray.tracking import trust

CODE, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def listed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "sepray" / "model-code"


def test_what_was_packaged_is_the_users_own(listed):
    assert not trust.is_own(CODE)
    trust.remember(CODE)
    trust.remember(CODE)
    trust.remember(OTHER)
    assert trust.is_own(CODE)
    assert trust.is_own(OTHER)
    assert not trust.is_own("ab")
    assert listed.read_text() == f"{CODE}\n{OTHER}\n"
    assert listed.stat().st_mode & 0o777 == 0o600
    assert listed.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_list_that_others_could_write_is_not_believed(listed, mode):
    trust.remember(CODE)
    listed.chmod(mode)
    assert not trust.is_own(CODE)


def test_list_of_somebody_else_is_not_believed(listed, monkeypatch):
    trust.remember(CODE)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not trust.is_own(CODE)


def test_link_in_the_place_of_the_list_is_not_followed(listed, tmp_path):
    listed.parent.mkdir()
    (tmp_path / "theirs").write_text(f"{CODE}\n")
    listed.symlink_to(tmp_path / "theirs")
    assert not trust.is_own(CODE)
    trust.remember(OTHER)
    assert (tmp_path / "theirs").read_text() == f"{CODE}\n"


def test_signature_is_that_of_the_key_and_the_digest(monkeypatch):
    monkeypatch.delenv(trust.KEY, raising=False)
    assert trust.signature(CODE) is None
    assert trust.is_signed(CODE, "anything") is None
    monkeypatch.setenv(trust.KEY, "k" * 16)
    signed = trust.signature(CODE)
    assert trust.is_signed(CODE, signed) is True
    for wrong in (trust.signature(OTHER), trust.signature(CODE, {"a": 1}), None, "", signed.upper(), "ü", "\ud800"):
        assert trust.is_signed(CODE, wrong) is False
    monkeypatch.setenv(trust.KEY, "l" * 16)
    assert trust.is_signed(CODE, signed) is False
    monkeypatch.setenv(trust.KEY, "k" * 15)
    with pytest.raises(UsageError, match=r"^SEPRAY_MODEL_KEY is too short"):
        trust.signature(CODE)


def test_signature_is_over_the_facts_too_whatever_their_order(monkeypatch):
    monkeypatch.setenv(trust.KEY, "k" * 16)
    signed = trust.signature(CODE, {"hop": 8, "task": {"train": 7, "rates": [1.5, None]}})
    assert trust.is_signed(CODE, signed, {"task": {"rates": [1.5, None], "train": 7}, "hop": 8}) is True
    for wrong in ({}, {"hop": 8}, {"hop": 9, "task": {"train": 7, "rates": [1.5, None]}}):
        assert trust.is_signed(CODE, signed, wrong) is False


def test_consent_lasts_as_long_as_it_is_given(monkeypatch):
    monkeypatch.delenv(trust.CONSENT, raising=False)
    with trust.consent(False):
        assert not trust.consented()
    with trust.consent(True), trust.consent(False):
        assert trust.consented()
    assert not trust.consented()
    for value, given in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv(trust.CONSENT, value)
        assert trust.consented() is given
