"""The command-line flags of a study: a flag for every field, fields of the separator and the task among them."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from .. import registry
from ..console.arguments import described, parsed
from ..console.json_output import HELP as JSON_HELP
from ..errors import UsageError, nearest
from ..module_names import shown_name
from .permissions import Permissions
from .settings import Settings, SettingsError
from .study import GIVEN, StudySpec

EXIT_STATUS = "Exit status: 0 done, 1 nothing to register, 2 bad input, 3 a bug, 129, 130 or 143 after a signal."
"""Part of the help of every study and comparison."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a command that runs a study or a comparison, beside the fields of that."""

    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")] = False
    """Only show what would run, with sizes of data and an estimate of time, memory and disk."""
    on_finish: Annotated[str, tyro.conf.arg(metavar="COMMAND", help_behavior_hint="")] = ""
    """Shell command to run at the end, however the study ends. Variables SEPRAY_... have the results."""
    permitted: Annotated[Permissions, tyro.conf.arg(name="")] = field(default_factory=Permissions)
    """Permissions for what a study's driver otherwise refuses to do."""


@dataclass(frozen=True)
class StudyOptions(RunOptions):
    """Options of a command that runs a study, beside the study's fields."""

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help=JSON_HELP, help_behavior_hint="")] = False

    def __post_init__(self) -> None:
        """Refuse ``--json`` with ``--dry-run``: an estimate has no JSON form."""
        if self.json and self.dry_run:
            raise UsageError("--json prints the result of a study, which --dry-run does not run; leave out one")


@dataclass(frozen=True)
class Changes:
    """Flags that change a study as its file gives it, beside those of its fields."""

    budget: Annotated[str, tyro.conf.arg(metavar="full", help_behavior_hint="")] = ""
    """The long form of the study, where its file has one, instead of the one that ends in minutes."""
    settings: Annotated[str, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = ""
    """TOML file with hyperparameters to fix, as `sepray show STUDY --settings` prints it. Only the others vary."""
    first_settings: Annotated[str, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = ""
    """TOML file with hyperparameters to try first. Their trial is never stopped early; the search goes on from it."""

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Let refusals of settings name their file, until the block ends; some come only once the data is loaded."""
        try:
            yield
        except SettingsError as error:
            file = self.settings if error.field == "fixed_settings" else self.first_settings
            if not file:
                raise
            raise UsageError(f"settings file {file}: it {error.why}") from None


Options = Annotated[RunOptions, tyro.conf.arg(name="")]
_StudyOptions = Annotated[StudyOptions, tyro.conf.arg(name="")]
_Changes = Annotated[Changes, tyro.conf.arg(name="")]
_Study = Annotated[StudySpec, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class _Command:
    """A study's command line."""

    study: _Study
    changes: _Changes = field(default_factory=Changes)
    options: _StudyOptions = field(default_factory=StudyOptions)


def with_budget(spec: StudySpec, full: StudySpec | None, arguments: Sequence[str]) -> StudySpec:
    """Return the study that the flag ``--budget`` chooses; the flag itself stays among the arguments.

    Args:
        spec: the study as its file gives it.
        full: its long form; None where it has none.
        arguments: arguments of the command line.

    Raises:
        UsageError: the flag names another budget, or the study has no long form.
    """
    given = value_given("--budget", arguments)
    if given is None:
        return spec
    if given != "full":
        raise UsageError(f"--budget takes full, not {given!r}")
    if full is None:
        raise UsageError("this study has no long form: give --max-epochs, --trials and --final-seeds instead")
    return full


def parse(spec: StudySpec, arguments: Sequence[str] | None = None) -> StudySpec:
    """Return the study with the command line's changes, without the options that ``parse_command`` returns too."""
    return parse_command(spec, arguments)[0]


def parse_command(spec: StudySpec, arguments: Sequence[str] | None = None) -> tuple[StudySpec, StudyOptions, Changes]:
    """Return the study with the command line's changes, the options of the command, and the flags that changed it.

    Args:
        spec: the study as its file gives it.
        arguments: arguments of the command line; default: those of this process.

    Raises:
        UsageError: an unknown flag, a value that it does not take, or settings that are not for the separator.
    """
    text = description(StudySpec)
    given = parsed(lambda args: tyro.cli(_Command, default=_Command(spec), args=args, description=text), arguments)
    return _with_settings(given.study, given.changes), given.options, given.changes


def description(documented: type) -> str:
    """Return the beginning of a study's or a comparison's help: its docstring, without the part for Python."""
    text = cleandoc(documented.__doc__ or "").partition("\n\nFields of the four parts")[0]
    return f"{described(text)}\n{EXIT_STATUS}"


def name_given(default: str, arguments: Sequence[str] | None = None) -> str:
    """Return the name that the command line gives the study, or its default; nothing is refused."""
    return value_given("--name", sys.argv[1:] if arguments is None else arguments) or default


def value_given(flag: str, arguments: Sequence[str]) -> str | None:
    """Return the value of a flag, as tyro reads it: of a repeated flag the last one.

    It is read from ``--flag value`` and ``--flag=value``.

    Args:
        flag: the flag, with its dashes.
        arguments: arguments of the command line.

    Returns:
        The value; empty where none follows the flag; None where the flag is not given.
    """
    found = None
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, is_joined, value = argument.partition("=")
        if name == flag:
            found = value if is_joined else "" if following.startswith("--") else following
    return found


def parse_early(spec: StudySpec, arguments: Sequence[str] | None = None) -> StudySpec | None:
    """Return the study with the changes of all flags but ``--separator.*`` and ``--task.*``, without importing torch.

    The fields of separator and task are known only where their modules are imported, which brings torch. Their flags
    are only compared with the fields that their source names, and files with settings are only read.

    Returns:
        The study, its separator and task still unresolved names where the file gives names; None where help is asked
        for.

    Raises:
        UsageError: an unknown flag, a value that it does not take, or a file with settings that is none.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in ("-h", "--help") or a.startswith("--tyro-") for a in given):
        return None
    named = ("separator", "task")
    hints = get_type_hints(StudySpec, include_extras=True)
    own = [f.name for f in fields(StudySpec) if f.name not in (*named, *GIVEN)]
    flags = make_dataclass(
        "Flags",
        [
            *((name, hints[name], field(default=getattr(spec, name))) for name in own),
            ("changes", _Changes, field(default_factory=Changes)),
            ("options", _StudyOptions, field(default_factory=StudyOptions)),
        ],
    )
    kept: list[str] = []
    elsewhere = False
    for argument in given:
        if argument.startswith("--"):
            elsewhere = argument.startswith(("--separator.", "--task."))
        if not elsewhere:
            kept.append(argument)
    early: Any = parsed(lambda args: tyro.cli(flags, args=args), kept)
    for file in (early.changes.settings, early.changes.first_settings):
        if file:
            Settings.read(file)
    for part in named:
        refuse_unknown_fields(part, spec.__dict__[part], given)
    unresolved = {name: spec.__dict__[name] for name in (*named, *GIVEN)}
    return StudySpec(**unresolved, **{name: getattr(early, name) for name in own})


def _with_settings(spec: StudySpec, changes: Changes) -> StudySpec:
    for file, change in ((changes.settings, StudySpec.with_fixed), (changes.first_settings, StudySpec.with_first)):
        if file:
            settings = Settings.read(file)
            try:
                spec = change(spec, settings)
            except UsageError as error:
                raise UsageError(f"settings file {file}: {error}") from None
    return spec


def refuse_unknown_fields(part: str, config: Any, arguments: Sequence[str]) -> None:
    """Refuse flags of a separator or task that no field of its Config has, where its source tells without torch.

    Args:
        part: ``"separator"`` or ``"task"``.
        config: its configuration, or its name.
        arguments: of the command line; flags of the part are ``--separator.FIELD`` and ``--task.FIELD``.

    Raises:
        UsageError: there is no such field.
    """
    package, prefix = f"sepray.{part}s", f"--{part}."
    known: Collection[str] | None
    if isinstance(config, str):
        known = None
        with contextlib.suppress(ImportError, ValueError, SyntaxError):  # what is wrong with it is said elsewhere
            known = registry.fields(package, config)
    else:
        known = [f.name for f in fields(config)]
    if known is None:
        return
    for flag in (a.partition("=")[0] for a in arguments if a.startswith(prefix)):
        name = flag.removeprefix(prefix).replace("-", "_").partition(".")[0]
        if not {name, name.removeprefix("no_")} & set(known):
            close = nearest(name, known)
            meant = f"perhaps you meant {prefix}{close.replace('_', '-')}; " if close else ""
            others = _with_field(package, name)
            have = f"{flag} is a flag of the {part}s {', '.join(others)}; " if others else ""
            shown = config if isinstance(config, str) else shown_name(config)
            see = f"see {Path(sys.argv[0]).name} --help"
            raise UsageError(f"unknown: {flag}, which the {part} {shown} does not have; {meant}{have}{see}")


def _with_field(package: str, field: str) -> list[str]:
    """Return the separators or tasks whose Config has a field, from their sources."""
    return [name for name in registry.names(package) if field in (registry.fields(package, name) or ())]
