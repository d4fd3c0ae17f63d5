"""Permissions of a start: none unless a flag gives it, and the names of the flags."""

import dataclasses

import pytest

from sepray.spec.flags import parse_command
from sepray.spec.permissions import Permissions
from sepray.spec.study import StudySpec

SPEC = StudySpec(name="small", separator="cass", task="ecg")


def test_nothing_is_permitted_by_default():
    permitted = Permissions()
    assert (permitted.take_over, permitted.allow_changed_code) == (False, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        permitted.take_over = True


def test_flags_have_no_opposites(capsys):
    """`--no-take-over` would say nothing that its absence does not."""
    with pytest.raises(SystemExit):
        parse_command(SPEC, ["--help"])
    told = capsys.readouterr().out
    for flag in ("--take-over", "--allow-changed-code"):
        assert flag in told
        assert f"--no-{flag.removeprefix('--')}" not in told
    assert "(default: False)" not in told.partition("--take-over")[2].partition("--allow-changed-code")[0]
