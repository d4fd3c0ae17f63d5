"""The digests of the source files that a study's trainings run."""

import importlib
import sys

import pytest

from sepray.driver import code
from sepray.separators import cass, nmf

OWN = """
from dataclasses import dataclass
from digest_helper import FACTOR

@dataclass(frozen=True)
class Config:
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's separator of two files."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "digest_separator.py").write_text(OWN)
    (tmp_path / "digest_helper.py").write_text("FACTOR = 1\n")
    yield importlib.import_module("digest_separator").Config()
    for name in ("digest_separator", "digest_helper"):
        sys.modules.pop(name, None)


def test_files_are_those_of_the_separator_and_of_the_training():
    found = code.files(cass.DEBUG)
    assert {"sepray.separators.cass", "sepray.networks.residual", "sepray.training.trainer"} <= found.keys()
    assert "sepray.scoring.metrics" in found
    assert "sepray.separators.nmf" not in found
    assert "sepray.separators.nmf" in code.files(nmf.DEBUG)
    assert all(len(value) == 16 for value in found.values())


def test_digest_changes_with_any_file_and_says_which(own, tmp_path):
    before = code.files(own)
    assert code.digest_of(code.files(own)) == code.digest_of(before)
    assert code.attribute(before) == f"code.{code.digest_of(before)}"
    (tmp_path / "digest_helper.py").write_text("FACTOR = 2\n")
    after = code.files(own)
    assert code.digest_of(after) != code.digest_of(before)
    assert code.changed(before, after) == ["digest_helper"]
    assert code.changed({"a": "1", "b": "2"}, {"b": "2", "c": "3"}) == ["a", "c"]


def test_separator_without_source_files_has_none():
    assert code.files(type("Config", (), {"__module__": "__main__"})()) == {}


def test_modules_are_named_by_their_files_from_here(own, tmp_path, monkeypatch):
    assert code.in_words(["no.such.module"]) == "no.such.module has"
    names = ["digest_helper", "digest_separator", "no_such_module"]
    files = f"{tmp_path}/digest_helper.py, {tmp_path}/digest_separator.py"
    assert code.in_words(names) == f"{files} and no_such_module have"
    monkeypatch.chdir(tmp_path)
    assert code.in_words(names[:2]) == "digest_helper.py and digest_separator.py have"
