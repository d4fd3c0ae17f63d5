"""The description of a comparison of separators; every field has a command-line flag."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from typing import Annotated, Any

import tyro

from .. import registry, shipped
from ..choices import COLUMNS
from ..console.arguments import parsed, refused_in_one_line
from ..errors import UsageError
from ..spec import choosing, published_settings
from ..spec.field_types import require_texts, require_type
from ..spec.flags import Options, RunOptions, description, refuse_unknown_fields, value_given
from ..spec.parts import (
    Budget,
    BudgetFlags,
    Changeable,
    Resources,
    ResourcesFlags,
    Search,
    SearchFlags,
    Stores,
    StoresFlags,
    merged,
)
from ..spec.study import StudySpec
from . import imported, separators_flag

Spaces = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]], *tuple[Mapping[str, int], ...]]]
"""Separator -> (what a study may vary, the published settings by name), as its file in search_spaces has them.

A third part, where there is one, has the epochs that papers train them for, by the same names."""


@dataclass(frozen=True, init=False)
class Comparison(Changeable):
    """Separators on one task, with equal budgets and several seeds, in one table with intervals and tests.

    Each separator is a study of its own, named NAME-SEPARATOR: in Optuna, in MLflow, with a registered model. Running
    the same command again continues where it stopped. With 0 trials there is no search: separators are trained with
    published settings only.

    Fields of the four parts may be given by their own names, as for a ``StudySpec``: ``Comparison(max_epochs=3)``.
    """

    name: str = "comparison"
    """Name of the comparison, with which the names of its studies begin."""
    separators: tuple[str, ...] = ()
    """Names from sepray.separators or modules of your own; default: all that take the task's signal. NAME alone stands
    for the paper's sizes and published setting. If a method has several published settings, that is the one with the
    method's own name, or else the first one. NAME:CONFIGURATION is a named configuration (ssgan:lou, and
    neural_egg:defaults for its Config as it is), NAME:SETTING one of its published settings. A row may have a name and
    settings of its own, all in quotes: 'FT=neural_egg:paper start=glo_masking:paper start.learning_rate=0.002'."""
    baselines: tuple[str, ...] = ()
    """Further separators for the table, beside those of --separators, as far as they take the task's signal."""
    task: str = "notes_and_bursts"
    """Name from sepray.tasks, or a module of your own. --task.FIELD changes a field of it, as in studies."""
    settings: tuple[str, ...] = ()
    """Fixed settings, each SEPARATOR.FIELD=VALUE, or task.FIELD=VALUE for the task. FIELD is a field of the Config, or
    a hyperparameter, which is then not searched; it may be written as its flag is (batch-size). If --separators gives
    a separator a name of its own, SEPARATOR is that name. Values of a tuple are separated by commas. An empty VALUE
    empties a text or a tuple."""
    museval_results: tuple[str, ...] = ()
    """Results of other people's methods for rows of their own, each NAME=FOLDER with museval's files in FOLDER/test
    (SiSEC: OZE=sisec/OZE). The measures are then sdr, isr, sir and sar, on the tracks that all of them have."""
    reference: str = ""
    """Separator that the others are tested against. Default: the one that is best on validation by the objective."""
    measures: tuple[str, ...] = ("si_sdr", "relative_l2")
    """Columns of the table; the first one ranks the separators."""
    objective: tuple[str, ...] = ("relative_l2",)
    """Validation metrics that searches optimise, and by which the model of a separator is chosen."""
    choose: tuple[str, ...] = (choosing.KNEE,)
    """Rule that chooses the best by several objectives, in each study and as the reference: knee; the name of
    one objective; or weights W1 W2 ..., a number for each objective."""
    seed: int = 0
    """Random seed of samplers and trials, the same for all separators."""
    budget: BudgetFlags = field(default_factory=lambda: Budget(trials=0, finalists=1, final_seeds=3))
    """Amount of training."""
    search: SearchFlags = field(default_factory=Search)
    """Choice of the settings that are tried, and of the trials that are stopped early."""
    resources: ResourcesFlags = field(default_factory=Resources)
    """Machines that trials run on, and the CPUs and GPUs of a trial."""
    stores: StoresFlags = field(default_factory=Stores)
    """Stores of trials, runs, models, checkpoints and data."""

    def __init__(
        self,
        name: str = "comparison",
        separators: tuple[str, ...] = (),
        task: str = "notes_and_bursts",
        settings: tuple[str, ...] = (),
        reference: str = "",
        measures: tuple[str, ...] = ("si_sdr", "relative_l2"),
        objective: tuple[str, ...] = ("relative_l2",),
        choose: tuple[str, ...] = (choosing.KNEE,),
        seed: int = 0,
        budget: Budget | None = None,
        search: Search | None = None,
        resources: Resources | None = None,
        stores: Stores | None = None,
        baselines: tuple[str, ...] = (),
        museval_results: tuple[str, ...] = (),
        **fields: Any,
    ) -> None:
        """Refuse values of a wrong type or out of range; see the class for the fields."""
        parts = (budget or Budget(trials=0, finalists=1, final_seeds=3), search or Search())
        values: dict[str, Any] = {"name": name, "separators": separators, "task": task, "settings": settings}
        values |= {"reference": reference, "measures": measures, "objective": objective, "seed": seed}
        values["baselines"], values["choose"], values["museval_results"] = baselines, choose, museval_results
        for key in ("separators", "settings", "measures", "objective", "baselines", "choose", "museval_results"):
            require_texts(key, values[key])
        for key, kind in (("name", str), ("task", str), ("reference", str), ("seed", int)):
            require_type(key, values[key], kind)
        values |= merged(Comparison, *parts, resources or Resources(), stores or Stores(), fields)
        self.__dict__.update(values)
        if not measures or len(set(measures)) < len(measures) or set(measures) - set(COLUMNS):
            raise UsageError(f"--measures must be of {', '.join(COLUMNS)}, each once, not {' '.join(measures)!r}")
        if len(set(separators)) < len(separators):
            raise UsageError(f"--separators must name each once, not {' '.join(separators)!r}")
        entries = [separators_flag.read(each) for each in separators]
        known = {name for e in entries for name in (e.short, e.name)}
        known |= {separators_flag.read(each).short for each in baselines} if entries else set()
        for setting in settings:
            target = assignment(setting)[0]
            if not target or target not in (*(known or registry.names("sepray.separators")), "task"):
                raise UsageError(f"--settings {setting!r}: {target!r} is neither one of the separators nor task")
        if separators and reference and reference not in (*separators, *(e.name for e in entries)):
            raise UsageError(f"--reference {reference!r} is not among the separators {', '.join(separators)}")

    def check(self) -> None:
        """Check that separators, task, sampler, scheduler and objectives exist and fit together, without torch or Ray.

        Raises:
            UsageError: a name is unknown, or a value is out of range.
        """
        for entry in self.entries():
            registry.check("sepray.separators", entry.separator)
        separators_flag.refuse_stray_settings(self.separators)
        imported.check(self.museval_results, self.measures)
        self.first_study().check()

    def entries(self) -> list[separators_flag.NamedSeparator]:
        """Return the entries that take part: the separators, and the baselines that are not among them."""
        found = [separators_flag.read(each) for each in self.separators or registry.names("sepray.separators")]
        beside = (separators_flag.read(each) for each in self.baselines)
        return found + [each for each in beside if each.separator not in {e.separator for e in found}]

    def spaces(self) -> Spaces:
        """Return the published search spaces and settings of sepray's separators, and of the user's own named here."""
        found = shipped.search_spaces()
        for name in (entry.separator for entry in self.entries()):
            short = name.rpartition(".")[2]
            if short not in found and (own := shipped.search_space(name)):
                found[short] = own
        return {name: (s.space, s.reference_points, s.reference_epochs) for name, s in found.items()}

    def first_study(self) -> StudySpec:
        """Return a study of the comparison, its separator still an unresolved name, for checks before torch."""
        return self.study(self.name, self.entries()[0].separator, self.task, {}, {})

    def study(
        self,
        name: str,
        separator: Any,
        task: Any,
        space: Mapping[str, Any],
        points: Mapping[str, Mapping[str, Any]],
        epochs: int | None = None,
    ) -> StudySpec:
        """Return the study of a separator; fields that are not given here are as in the comparison.

        Args:
            name: name of the study.
            separator: configuration of the separator, or its name.
            task: configuration of the task, or its name.
            space: search space, hyperparameter -> Optuna distribution.
            points: settings that are tried first, by name.
            epochs: epochs of a training; None: those of the comparison.
        """
        # Without a search, or with nothing to search, one trial is the settings themselves.
        searched = self.budget.trials and not all(distribution.single() for distribution in space.values())
        return StudySpec(
            name=name,
            separator=separator,
            task=task,
            space=space,
            first_settings=points,
            objective=self.objective,
            choose=self.choose,
            seed=self.seed,
            budget=replace(
                self.budget,
                trials=self.budget.trials if searched else 1,
                max_epochs=epochs or self.budget.max_epochs,
                reference_budget=published_settings.NONE,  # the row of a separator is its champion's
            ),
            search=self.search,
            resources=self.resources,
            stores=self.stores,
        )

    def given(self, target: str) -> dict[str, str]:
        """Return the given settings of a separator or of ``task``, field -> text; of repeated ones the last."""
        found = (assignment(setting) for setting in self.settings)
        return {name: value for owner, name, value in found if owner == target}


def assignment(setting: str) -> tuple[str, str, str]:
    """Return owner, field and value of ``OWNER.FIELD=VALUE``; an empty value empties a text, or a tuple.

    The first dot ends the owner's name, so that hyperparameters may have dots (``cass.cross.a_to_b=0.1``). A user's own
    module in a package is named by its last part.

    Raises:
        UsageError: the text does not have that form.
    """
    owner, dot, rest = setting.partition(".")
    name, equals, value = rest.partition("=")
    if not (owner and dot and name and equals):
        raise UsageError(f"--settings {setting!r} does not have the form SEPARATOR.FIELD=VALUE or task.FIELD=VALUE")
    return owner, name, value


def configured(config: Any, given: Mapping[str, str], owner: str) -> Any:
    """Return a ``Config`` with some fields changed, their texts read as the fields' types.

    Raises:
        UsageError: a field does not take its value.
    """
    arguments: list[str] = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(getattr(config, name, None), bool) and value in ("True", "False"):
            arguments.append(f"--{flag}" if value == "True" else f"--no-{flag}")
        else:
            is_several = isinstance(getattr(config, name, None), tuple)
            entries = value.split(",") if value else []
            arguments += [f"--{flag}", *entries] if is_several else [f"--{flag}={value}"]
    if not arguments:
        return config
    try:
        with refused_in_one_line():
            return tyro.cli(type(config), default=config, args=arguments, prog=owner)
    except UsageError as error:
        raise UsageError(f"--settings of {owner}: {error}") from None


def parse(comparison: Comparison, arguments: Sequence[str] | None = None) -> Comparison:
    """Return the comparison with the command line's changes, without the options that ``parse_command`` returns too."""
    return parse_command(comparison, arguments)[0]


def parse_command(comparison: Comparison, arguments: Sequence[str] | None = None) -> tuple[Comparison, RunOptions]:
    """Return the comparison with the command line's changes, and the options of the command.

    A flag ``--task.FIELD VALUE`` becomes the setting ``task.FIELD=VALUE``. The flags of a task are those of its
    ``Config``, so its module is imported where they are given, or listed.

    Raises:
        UsageError: an unknown flag, or a value that it does not take.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    changed = [f.removeprefix("--task.").partition("=")[0] for f in given if f.startswith("--task.")]
    parts: list[tuple[str, Any, Any]] = [
        ("comparison", Annotated[Comparison, tyro.conf.arg(name="")], field(default=comparison)),
        ("options", Options, field(default_factory=RunOptions)),
    ]
    if changed or {"-h", "--help"} & set(given):
        task = value_given("--task", given) or comparison.task  # where a value is missing, tyro refuses the flag
        registry.check("sepray.tasks", task)
        refuse_unknown_fields("task", task, given)
        config = registry.config("sepray.tasks", task)
        parts.append(("task", type(config), field(default=config)))
    command = make_dataclass("_Command", parts, frozen=True)
    text = description(Comparison)
    chosen: Any = parsed(lambda args: tyro.cli(command, args=args, description=text), given)
    names = [name.replace("-", "_") for name in changed]
    names = [name if hasattr(chosen.task, name) else name.removeprefix("no_") for name in names]
    settings = [f"task.{name}={_text(getattr(chosen.task, name))}" for name in dict.fromkeys(names)]
    found: Comparison = chosen.comparison
    return found.changed(settings=(*found.settings, *settings)) if settings else found, chosen.options


def _text(value: Any) -> str:
    """Return a value as ``--settings`` takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
