"""Signals are refused in one line where they are not as the contract says, those of old models less strictly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.signal_checks import check_signal, check_source_names


@pytest.mark.parametrize("name", ["a b", "a/b", "a.b", "-a", "é", "a\n", "a:b", 3, None])
def test_names_that_cannot_be_used_everywhere(name: Any) -> None:
    with pytest.raises(UsageError) as refusal:
        check_source_names(("voice", name))
    assert (
        str(refusal.value)
        == f"sources must be names of letters (a-z, A-Z), digits, _ and - (not first), one is {name!r}"
    )


@pytest.mark.parametrize("name", ["mean", "mixture", "Mixture"])
def test_names_that_tables_have_for_something_else(name: str) -> None:
    with pytest.raises(UsageError) as refusal:
        check_source_names((name, "voice"))
    assert str(refusal.value) == f"sources must not be called mean or mixture, one is {name!r}"


def test_names_that_some_file_systems_take_for_one() -> None:
    with pytest.raises(UsageError) as refusal:
        check_source_names(("Bass", "bass"), "instruments")
    assert str(refusal.value) == "instruments must be different names (not by capitals alone), are Bass, bass"


def test_names_of_sources_fit_into_names_of_files() -> None:
    check_source_names(["a" * 64])
    with pytest.raises(UsageError, match=r"^sources must be names of at most 64 letters, one is 'a{65}'$"):
        check_source_names(["a" * 65])


def test_what_old_models_say_of_their_signals_is_taken():
    old = Signal(("the voice", "mean"), 1, (8, 9), 3.0)
    check_signal(old, any_names=True)
    for wrong in (old, replace(old, sources=("a", "b")), replace(old, sample_rate=None)):
        with pytest.raises(UsageError):
            check_signal(wrong)
    for names in (("a", "a"), ("a", " "), ("a", 3)):
        with pytest.raises(UsageError, match=r"^signal\.sources must be (different )?names, are "):
            check_signal(replace(old, sources=names), any_names=True)
