"""``sepray show``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..arms import ARM
from . import application
from .explain import print_path

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from ..results.study_result import StudyResult
    from ..scoring.answers import Answer

_TRIALS_SHOWN = 10


@application.command("show")
def show(
    study: application.StudyArgument,
    settings: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False,
    json: application.Json = False,
) -> None:
    """Show what a study found: its answer, the champion's settings, its trials, the final table and its files.

    A study that is running, was interrupted or failed is shown as far as it has come.

    Example: sepray show cass-ecg --settings > best.toml

    Args:
        settings: Print only the champion's settings, as the TOML file that a study takes with its flag --settings.
    """
    study.require()
    from ..results import document
    from ..results.study_result import load_study

    result = load_study(study.name, study.storage, study.storage_path, study.tracking_uri, study.cache)
    if settings and json:
        application.print_json(document.settings(result))
    elif settings:
        print(result.settings(), end="")
    elif json:
        application.print_json(document.study(result))
    else:
        _print(result)


def _print(result: StudyResult) -> None:
    from ..console.shell_commands import from_this_shell
    from ..console.terminal import console
    from ..results import summary

    console.print(summary.title(result), style="bold", soft_wrap=True)
    if result.answer is not None:
        _print_answer(result.answer)
    if result.result is not None:
        settings = result.settings()
        console.print(f"Settings of the champion, {settings.trial}:", style="bold", soft_wrap=True)
        values = settings.hyperparameters.items()
        _print_pairs({name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in values})
        console.print(summary.CHAMPION)
        for sentence in result.edges:
            console.print(f"{sentence}.", soft_wrap=True)
        if result.ablation_path is None:
            explain = from_this_shell(f"sepray explain {result.name}")
            console.print(f"Which of them earned what: {explain}\n", soft_wrap=True)
        else:
            console.print()
            print_path(result.ablation_path)
    for line in (*result.facts, *summary.trials(result)):
        console.print(line)
    _print_front(result)
    _print_trials(result)
    if result.result is not None:
        _print_table(result.result)
    console.print("Where things are:", style="bold")
    _print_pairs(summary.locations(result))


def _print_front(result: StudyResult) -> None:
    """Print the Pareto front of a study with several objectives."""
    from ..choices import Objective
    from ..console.terminal import console
    from ..report.wording import trial_name
    from ..spec import choosing

    objectives = [Objective(key, direction) for key, direction in result.saved.objectives.items()]
    if len(objectives) > 1 and result.best:
        from ..scoring.tables import front_table  # torch

        rows = [(trial_name(t).removeprefix("trial "), t.values) for t in result.best]
        console.print(front_table("Pareto front on the validation split", [o.column for o in objectives], rows))
        if choose := result.saved.description.get("choose"):
            console.print(choosing.words(choose, objectives))


def _print_trials(result: StudyResult) -> None:
    """Print the first ten trials of the search: the best first, those without a sound value last."""
    from ..choices import Objective
    from ..console.shell_commands import from_this_shell
    from ..console.terminal import console
    from ..report.wording import OUTCOMES
    from ..search.outcomes import is_feasible, outcome

    sign = 1 if next(iter(result.saved.objectives.values())) == "minimize" else -1

    def rank(trial: FrozenTrial) -> tuple[bool, bool, float, int]:
        # A trial that was stopped early has a value too, and one that collapsed: they compare with none of the others.
        value = sign * trial.values[0] if trial.values else 0.0
        return not is_feasible(trial), not trial.values, value, trial.number

    trials = sorted(result.trials_of["search"], key=rank)
    if not trials:
        return
    first, *others = result.saved.objectives
    by = f" in {Objective(first, '').words}" if others else ""
    console.print(f"\nTrials, the best{by} first:", style="bold")
    values = {t.number: " ".join(f"{value:.4f}" for value in t.values or ()) for t in trials[:_TRIALS_SHOWN]}
    width = max(8, *map(len, values.values()))
    for trial in trials[:_TRIALS_SHOWN]:
        found = values[trial.number]
        last = max(trial.intermediate_values, default=0)
        label = trial.user_attrs.get("label") or trial.params.get(ARM, "")
        words = OUTCOMES.get(outcome(trial), outcome(trial).replace("_", " "))
        console.print(
            f"  {trial.number:4}  {found or '-':{width}}  epoch {last:3}  {words:20} {label}".rstrip(), soft_wrap=True
        )
    if len(trials) > _TRIALS_SHOWN:
        rest = from_this_shell(f"sepray show {result.name} --json")
        console.print(f"  and {len(trials) - _TRIALS_SHOWN} more: {rest}", soft_wrap=True)


def _print_answer(answer: Answer) -> None:
    """Print what the study says about its question: a sentence, and a table of all arms."""
    from ..console.terminal import console
    from ..scoring.tables import answer_table  # torch

    console.print(str(answer))
    if answer.contrasts:
        console.print(answer_table(answer, console.width))


def _print_table(found: Mapping[str, Any]) -> None:
    """Print the final table."""
    from ..choices import MEASURES, measure_words
    from ..console.terminal import console
    from ..scoring.tables import ResultRow, result_table, shows_objectives  # torch

    rows = [ResultRow(**row) for row in found["rows"]]
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    unit = f" in {MEASURES[found['metric']].unit}" if MEASURES[found["metric"]].unit else ""
    title = f"{measure_words(found['metric'])}{unit} on the test split"
    if shows_objectives(found.get("columns", ())):
        columns, title = found["columns"], "All objectives on the test split"
    console.print()
    console.print(result_table(title, columns, rows, width=console.width))


def _print_pairs(pairs: dict[str, str]) -> None:
    """Print names and values in two columns; a path is never broken, so that it can be copied."""
    from ..console.terminal import console

    width = max(map(len, pairs), default=0) + 2
    for name, value in pairs.items():
        console.print(f"  {name:{width}}{value}", soft_wrap=True)
