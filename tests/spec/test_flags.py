"""Flags of a study before torch is there: names, budgets, and fields that no separator or task has.

That each flag sets its field: tests/spec/test_study.py.
"""

import dataclasses

import pytest
import tyro

from sepray.errors import UsageError
from sepray.spec import flags
from sepray.spec.flags import (
    Changes,
    StudyOptions,
    description,
    name_given,
    parse_early,
    refuse_unknown_fields,
    with_budget,
)
from sepray.spec.settings import SettingsError
from sepray.spec.study import StudySpec
from sepray.tasks import ecg

SPEC = StudySpec(name="small", separator="nmf", task="notes_and_bursts", space={}, trials=7)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "small"),
        (["--name", "b"], "b"),
        (["--name=b=c"], "b=c"),
        (["--trials", "3", "--name", "b", "--name=c"], "c"),
        (["--name=c", "--name", "b"], "b"),
        (["--name"], "small"),
        (["--name="], "small"),
        (["--name", "--trials", "3"], "small"),
        (["--names", "b"], "small"),
    ],
)
def test_name_is_the_last_that_the_command_line_gives(arguments, name):
    assert name_given("small", arguments) == name


@pytest.mark.parametrize(
    "arguments",
    [[], ["--name", "b"], ["--name=b=c"], ["--name", "b", "--name=c"], ["--name=c", "--name", "b"], ["--name", "-5"]],
)
def test_value_of_a_flag_is_the_one_that_tyro_takes(arguments):
    @dataclasses.dataclass
    class Flags:
        name: str = "default"

    assert (flags.value_given("--name", arguments) or "default") == tyro.cli(Flags, args=arguments).name


def test_early_study_has_the_flags_of_its_own_and_leaves_the_parts_names():
    early = parse_early(
        SPEC, ["--trials", "3", "--task.train", "8", "--max-epochs", "5", "--separator.components", "4"]
    )
    assert (early.budget.trials, early.budget.max_epochs) == (3, 5)
    assert (early.__dict__["separator"], early.__dict__["task"]) == ("nmf", "notes_and_bursts")
    assert parse_early(SPEC, []).budget.trials == 7


@pytest.mark.parametrize("flag", ["-h", "--help", "--tyro-print-completion"])
def test_help_is_for_later(flag):
    assert parse_early(SPEC, ["--trials", "x", flag]) is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--task.trian", "8"],
            r"^unknown: --task.trian, which the task notes_and_bursts does not have; perhaps you meant",
        ),
        (
            ["--separator.component=8"],
            r"^unknown: --separator.component, .* perhaps you meant --separator.components; see",
        ),
        (["--settings", "none.toml"], r"none\.toml"),
        (["--first-settings", "none.toml"], r"none\.toml"),
        (["--json", "--dry-run"], r"--json prints the result of a study, which --dry-run does not run; leave out one"),
        (["--trials", "x"], r"--trials"),
    ],
)
def test_what_is_wrong_is_told_early(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=told):
        parse_early(SPEC, arguments)


def test_fields_that_a_configuration_has_pass_in_every_form():
    arguments = ["--task.train", "8", "--task.item-samples=9", "--task.no-seed", "--separator.x", "--task.train.a"]
    refuse_unknown_fields("task", "notes_and_bursts", arguments[:2])
    refuse_unknown_fields(
        "task", ecg.DEBUG, ["--task.seed", "3", "--task.no-seed", "--task.seed.part", "--separator.x"]
    )
    refuse_unknown_fields("task", "no_such_task", arguments)  # which is refused elsewhere


def test_unknown_field_names_the_parts_that_have_it():
    with pytest.raises(
        UsageError, match=r"^unknown: --task\.colour, which the task ecg does not have; .*of the tasks im"
    ):
        refuse_unknown_fields("task", ecg.DEBUG, ["--task.train", "3", "--task.colour=red"])


@pytest.mark.parametrize(
    ("field", "changes", "told"),
    [
        ("fixed_settings", Changes(settings="a.toml", first_settings="b.toml"), "settings file a.toml: it is odd"),
        ("first_settings", Changes(settings="a.toml", first_settings="b.toml"), "settings file b.toml: it is odd"),
    ],
)
def test_refusal_that_comes_later_names_the_file(field, changes, told):
    with pytest.raises(UsageError) as refused, changes.named():
        raise SettingsError(field, "is odd")
    assert str(refused.value) == told


def test_refusal_of_what_no_file_gave_stays_as_it_is():
    error = SettingsError("fixed_settings", "is odd")
    with pytest.raises(SettingsError) as refused, Changes(first_settings="b.toml").named():
        raise error
    assert refused.value is error


def test_help_begins_with_the_docstring_and_ends_with_the_exit_statuses():
    text = description(StudySpec)
    assert text.endswith(f"\n{flags.EXIT_STATUS}")
    assert "Fields of the four parts" not in text


def test_json_and_an_estimate_go_not_together():
    assert dataclasses.replace(StudyOptions(json=True)).json
    with pytest.raises(UsageError, match="leave out one"):
        StudyOptions(json=True, dry_run=True)


@pytest.mark.parametrize(
    "arguments", [["--budget", "full"], ["--trials", "3", "--budget=full"], ["--budget", "small", "--budget", "full"]]
)
def test_budget_takes_the_long_form_where_there_is_one(arguments):
    full = SPEC.changed(max_epochs=500)
    assert with_budget(SPEC, full, arguments) is full
    assert with_budget(SPEC, full, ["--trials", "3"]) is SPEC
    with pytest.raises(UsageError, match=r"^this study has no long form: give --max-epochs"):
        with_budget(SPEC, None, arguments)


@pytest.mark.parametrize("arguments", [["--budget"], ["--budget=full", "--budget", "small"], ["--budget="]])
def test_other_budgets_are_refused(arguments):
    with pytest.raises(UsageError, match=r"^--budget takes full, not '(small)?'$"):
        with_budget(SPEC, SPEC, arguments)
