"""Lists of words that only this user can have written."""

import os

import pytest

from sepray.disk import private_list


@pytest.fixture
def listed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "sepray" / "words"


def test_words_are_kept_once_and_only_by_their_list(listed):
    assert not private_list.contains("words", "one")
    for word in ("one", "two", "one"):
        private_list.add("words", word)
    assert listed.read_text() == "one\ntwo\n"
    assert private_list.contains("words", "two")
    assert not private_list.contains("words", "on")
    assert not private_list.contains("others", "one")
    assert (listed.stat().st_mode & 0o777, listed.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_another_process_adds_is_seen_and_half_a_word_is_none(listed):
    private_list.add("words", "one")
    with listed.open("a") as file:
        file.write("two\nthr")
    assert private_list.contains("words", "two")
    assert not private_list.contains("words", "thr")
    with listed.open("a") as file:
        file.write("ee\n")
    assert private_list.contains("words", "three")
    listed.write_text("four\n")  # shorter
    assert private_list.contains("words", "four")
    assert not private_list.contains("words", "one")
    listed.unlink()
    assert not private_list.contains("words", "four")


def test_folder_that_cannot_be_written_keeps_words_for_this_process(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    private_list.add("words", "here")
    assert private_list.contains("words", "here")


def test_what_is_own(tmp_path):
    (tmp_path / "file").touch()
    for mode, own in ((0o600, True), (0o644, True), (0o664, False), (0o646, False)):
        (tmp_path / "file").chmod(mode)
        found = os.stat(tmp_path / "file")
        assert private_list.is_own(found) is own
        theirs = os.stat_result([*found[:4], 4_000_000, *found[5:]])
        assert not private_list.is_own(theirs)
