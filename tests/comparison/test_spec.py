"""The description of a comparison: flags, settings, refusals."""

import re
from dataclasses import MISSING, dataclass, fields, replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from sepray import registry
from sepray.comparison.contenders import task_config
from sepray.comparison.spec import Comparison, assignment, parse
from sepray.errors import UsageError
from sepray.registry import UnknownNameError
from sepray.spec.parts import Budget, Resources, Search, Stores


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--trials -1", "--trials must be at least 0, not -1"),
        ("--measures loudness", "--measures must be of relative_l1"),
        ("--measures si_sdr si_sdr", "each once"),
        ("--separators cass cass", "--separators must name each once"),
        ("--separators cass --settings nmf.width=3", "'nmf' is neither one of the separators nor task"),
        ("--settings width=3", "does not have the form SEPARATOR.FIELD=VALUE"),
        ("--separators cass --reference nmf", "--reference 'nmf' is not among the separators cass"),
        ("--max-epochs 0", "--max-epochs must be at least 1, not 0"),
        ("--separators casss", "unknown separator 'casss'"),
        (
            "--separators FT=neural_egg:paper start=glo_masking:paper",
            "put a separator and its settings in quotes: 'FT=neural_egg:paper start=glo_masking:paper'",
        ),
        ("--task eeg", "unknown task 'eeg'"),
        ("--sheduler none", "unknown: --sheduler"),
        ("--scheduler no", "unknown scheduler 'no'"),
    ],
)
def test_command_line_is_refused_in_one_line(arguments, line):
    with pytest.raises((UsageError, UnknownNameError), match=re.escape(line)) as refusal:
        parse(Comparison(), arguments.split()).check()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"separators": "cass"}, "separators must be a tuple of texts (str), not 'cass'"),
        ({"measures": ["si_sdr"]}, "measures must be a tuple of names, such as ('si_sdr',), not ['si_sdr']"),
        ({"task": 3}, "task must be a text (str), not 3"),
        ({"stores": "optuna.db"}, "stores must be a Stores, not 'optuna.db'"),
    ],
)
def test_fields_of_a_wrong_type_are_refused_in_one_line(fields, line):
    with pytest.raises(UsageError) as refusal:
        Comparison(**fields)
    assert str(refusal.value) == line


def test_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(
        UsageError, match=r"^unknown field seperators; perhaps you meant separators; there are name, sep"
    ):
        Comparison(seperators=("cass",))


def test_setting_may_name_a_hyperparameter_with_dots():
    assert assignment("cass.cross.a_to_b=0.1") == ("cass", "cross.a_to_b", "0.1")


def test_comparison_searches_nothing_by_default_and_trains_one_setting_on_three_seeds():
    assert Comparison().budget == Budget(trials=0, finalists=1, final_seeds=3)
    assert Comparison(max_epochs=4).budget == Budget(trials=0, finalists=1, max_epochs=4, final_seeds=3)


def test_study_of_a_separator_is_as_the_comparison_has_it():
    comparison = Comparison(
        objective=("si_sdr",), seed=7, trials=5, max_epochs=4, sampler="gp", concurrency=2, storage="journal://log"
    )
    varied, single = FloatDistribution(0.1, 1.0), CategoricalDistribution([1])
    points = {"paper": {"beta": 0.1}}
    spec = comparison.study("lab-cass", "cass", "ecg", {"beta": varied, "one": single}, points)
    assert (spec.name, spec.space, spec.first_settings) == ("lab-cass", {"beta": varied, "one": single}, points)
    budget = replace(comparison.budget, reference_budget="none")  # the settings have no rows beside the champion's
    assert (spec.objective, spec.seed, spec.budget) == (("si_sdr",), 7, budget)
    assert (spec.search, spec.resources, spec.stores) == (comparison.search, comparison.resources, comparison.stores)
    assert spec.budget.trials == 5
    for given, space in (
        (comparison, {"one": single}),
        (comparison, {}),
        (comparison.changed(trials=0), {"b": varied}),
    ):
        assert given.study("lab-cass", "cass", "ecg", space, {}).budget == replace(budget, trials=1)
    assert comparison.study("lab-cass", "cass", "ecg", {}, {}, 500).budget.max_epochs == 500


def test_first_study_is_of_the_first_separator():
    asked = Comparison(name="lab", separators=("nmf:x", "cass"), task="ecg")
    assert asked.first_study() == asked.study("lab", "nmf", "ecg", {}, {})
    assert asked.changed(separators=()).first_study().name == "lab"


def test_given_settings_are_sorted_by_their_owner_and_the_last_counts():
    asked = Comparison(settings=("cass.width=3", "task.items=4", "cass.width=5", "cass.cross.a_to_b=0.1"))
    assert asked.given("cass") == {"width": "5", "cross.a_to_b": "0.1"}
    assert asked.given("task") == {"items": "4"}
    assert asked.given("nmf") == {}
    for own in ("lab.mine.gain=1", "mine.gain=1"):
        with pytest.raises(UsageError, match="is neither one of the separators nor task"):
            Comparison(separators=("cass",), settings=(own,))
    assert Comparison(separators=("lab.mine:slow",), settings=("mine.gain=1",)).given("mine") == {"gain": "1"}


@pytest.mark.parametrize("setting", ["cass", "cass.", "cass.x", ".x=1", "cass.=1"])
def test_setting_without_all_three_parts_is_refused(setting):
    with pytest.raises(UsageError, match=r"does not have the form SEPARATOR\.FIELD=VALUE or task\.FIELD=VALUE"):
        assignment(setting)


@pytest.mark.parametrize(
    ("arguments", "settings", "field", "value"),
    [
        ("--task ecg --task.folder here/records", ("task.folder=here/records",), "folder", "here/records"),
        ("--task.seed=7 --task=ecg", ("task.seed=7",), "seed", 7),
        ("--task chords --task.folder a --task=ecg", ("task.folder=a",), "folder", "a"),
        ("--task ecg --task.seed 0 --settings task.seed=4", ("task.seed=4", "task.seed=0"), "seed", 0),
        ("--task ecg --task.seed 1 --task.seed 2", ("task.seed=2",), "seed", 2),
        ("--task ecg:quick --task.test 12", ("task.test=12",), "test", 12),
    ],
)
def test_flags_of_the_task_are_those_of_studies(arguments, settings, field, value):
    asked = parse(Comparison(), arguments.split())
    assert asked.settings == settings
    assert getattr(task_config(asked), field) == value


def test_tuples_and_switches_of_a_task_are_given_as_in_studies(monkeypatch):
    @dataclass(frozen=True)
    class Config:
        levels: tuple[float, ...] = (1.0,)
        noisy: bool = True

    monkeypatch.setattr(registry, "check", lambda *_: None)
    monkeypatch.setattr(registry, "config", lambda *_: Config())
    monkeypatch.setattr(registry, "fields", lambda *_: ["levels", "noisy"])
    asked = parse(Comparison(task="mine"), ["--task.levels", "0.5", "2", "--task.no-noisy"])
    assert asked.settings == ("task.levels=0.5,2.0", "task.noisy=False")
    assert task_config(asked) == Config((0.5, 2.0), False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--task.text", "", "--task.levels"],
        ["--task.text=", "--task.levels"],
        ["--settings", "task.text=", "task.levels="],
    ],
)
def test_a_text_and_a_tuple_of_a_task_can_be_emptied(monkeypatch, arguments):
    @dataclass(frozen=True)
    class Config:
        levels: tuple[float, ...] = (1.0,)
        text: str = "a"

    monkeypatch.setattr(registry, "check", lambda *_: None)
    monkeypatch.setattr(registry, "config", lambda *_: Config())
    monkeypatch.setattr(registry, "fields", lambda *_: ["levels", "text"])
    asked = parse(Comparison(task="mine"), arguments)
    assert asked.settings == ("task.text=", "task.levels=")
    assert task_config(asked) == Config((), "")


def test_empty_value_of_a_number_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^--settings of task: .*seed") as refusal:
        task_config(Comparison(task="ecg", settings=("task.seed=",)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "--task ecg --task.foldr x",
            "unknown: --task.foldr, which the task ecg does not have; perhaps you meant --task.folder",
        ),
        ("--task ecg --task.seed one", "--task.seed"),
        ("--task eeg --task.seed 1", "unknown task 'eeg'"),
        ("--task.seed 1 --task", "missing value for argument '--task'"),
    ],
)
def test_flags_that_the_task_does_not_have_are_refused_in_one_line(arguments, line):
    with pytest.raises((UsageError, UnknownNameError), match=re.escape(line)) as refusal:
        parse(Comparison(), arguments.split())
    assert "\n" not in str(refusal.value)


def test_help_lists_the_flags_of_the_chosen_task(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parse(Comparison(), ["--task", "ecg", "--help"])
    told = capsys.readouterr().out
    assert "--task.folder" in told
    assert "--task.seed" in told
    assert "--separators" in told


def test_help_shows_the_defaults_that_comparisons_have():
    """tyro reads those of the class, Python those of ``__init__``."""
    made = Comparison()
    for each in fields(Comparison):
        declared = each.default if each.default_factory is MISSING else each.default_factory()
        assert declared == getattr(made, each.name), each.name
    assert {each.name: getattr(made, each.name) for each in fields(Comparison)[:12]} == {
        "name": "comparison",
        "separators": (),
        "baselines": (),
        "task": "notes_and_bursts",
        "settings": (),
        "museval_results": (),
        "reference": "",
        "measures": ("si_sdr", "relative_l2"),
        "objective": ("relative_l2",),
        "choose": ("knee",),
        "seed": 0,
        "budget": Budget(trials=0, finalists=1, final_seeds=3),
    }
    assert (made.search, made.resources, made.stores) == (Search(), Resources(), Stores())
