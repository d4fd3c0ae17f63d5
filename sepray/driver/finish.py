"""Ends a study: chooses the champion, scores it on test, packages and registers it, and shows report and table."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from ..console.shell_commands import from_this_shell
from ..console.terminal import console
from ..contracts import Oracle, TaskData
from ..disk import links
from ..errors import SeprayError, UsageError, one_line
from ..scoring.answers import Importance
from ..scoring.tables import answer_table, result_table
from ..search import dashboard
from ..search.storage import STORAGE_FAILURES, load_study
from ..spec import edges
from ..spec.folder import LEVELS, write
from ..spec.study import StudySpec
from ..tracking.packaging import is_whole
from ..tracking.sources import PackagingError
from ..tracking.tracker import Tracker
from . import failed_trials, mean_rows, notes, pairs, selection
from .champion import Registration, next_commands, package, register
from .final_scores import Result, has_weights, load_result, save_result, score_all
from .selection import Finished, Retraining
from .study_commands import on_study

_FLUSH_SECONDS = 20.0

if TYPE_CHECKING:
    from ..report.study_results import StudyResults


class Finish:
    """Ends a study whose trials and retrainings are done; what an earlier run has finished is not done again.

    Args:
        spec: description of the study.
        data: data of its task.
        folder: local folder of the study's files.
        tracker: tells MLflow about the study.
        ranges: function from an arm (empty where there are none) to the distributions that its trials are searched in.
        references: name of published settings -> role of the retrainings that have them.
    """

    def __init__(
        self,
        spec: StudySpec,
        data: TaskData,
        folder: Path,
        tracker: Tracker,
        ranges: Callable[[str], Mapping[str, BaseDistribution]] = lambda arm: {},
        references: Mapping[str, str] | None = None,
    ) -> None:
        self._spec, self._data, self._folder, self._tracker = spec, data, folder, tracker
        self._ranges = ranges
        self._references = dict(references or {})
        self._oracle = isinstance(spec.separator.build(data.signal), Oracle)
        self._model = folder / "model"

    def without_weights(self, finals: Sequence[Finished], plan: Sequence[Retraining]) -> list[Finished]:
        """Return the finished retrainings that are still to be scored or packaged, and whose checkpoints are lost."""
        champion = selection.champion(finals, selection.may_win(plan))
        if champion is None:
            return []
        systems, kept, needed = pairs.compared(finals, plan, self._spec.controls), load_result(self._folder), {}
        rows = self._rows(finals, champion, systems)
        is_scored = (
            kept is not None
            and kept["member"] == champion.member.number
            and not self._lacks(kept, systems)
            and not self._lacks_rows(kept, rows)
        )
        if not is_scored:
            compared = (*systems.systems, *systems.best)
            needed = {t.number: t for system in compared for t in system.members.values()}
            needed |= {t.number: t for row in rows for t in row.members}
        if not is_scored or not (self._oracle or self._is_packaged()):
            needed[champion.member.number] = champion.member
        return [trial for trial in needed.values() if not has_weights(trial)]

    def run(
        self,
        searched: Sequence[Finished],
        finals: Sequence[Finished],
        plan: Sequence[Retraining],
        trials: Sequence[FrozenTrial] = (),
    ) -> int:
        """Choose the champion on validation, score it on test, package, register and show it.

        Args:
            searched: finished trials of the search.
            finals: finished retrainings.
            plan: all retrainings of the study; only their roles may win.
            trials: Optuna's trials of all retrainings, which say why none has finished, if that is so.

        Returns:
            The exit status: 0, or where there is nothing to register that of ``without_champion``.
        """
        champion = selection.champion(finals, selection.may_win(plan))
        if champion is None:
            return self.without_champion("none of the best configurations could be trained again", trials)
        systems = pairs.compared(finals, plan, self._spec.controls)
        rows = self._rows(finals, champion, systems)
        kept = load_result(self._folder)
        is_other = kept is None or kept["member"] != champion.member.number
        if is_other:
            links.remove(self._model, links.ancestor(self._folder, LEVELS))  # the model of an earlier champion
        if kept is None or is_other or self._lacks(kept, systems) or self._lacks_rows(kept, rows):
            result = score_all(self._spec, self._data, champion, searched, systems, rows)
        else:
            result = kept
        if kept is not None and "explanation" in kept and kept["hyperparameters"] == result["hyperparameters"]:
            result = {**result, "explanation": kept["explanation"]}
        at_edges = edges.sentences(champion.member.hyperparameters, self._ranges(champion.member.arm))
        result = {**self._with_answer(result), "edges": at_edges}
        if result != kept:
            save_result(self._folder, result)
        problem = self._package(champion.member)
        self.announce(result, problem)
        return 1 if problem else 0

    def _lacks(self, result: Result, systems: pairs.Compared) -> bool:
        """Say whether a result lacks retrainings that have finished, or measures that are objectives, or has others.

        One of an older version without pairs may, and one without the best of each arm.
        """
        finished = {trial.number for system in systems.systems for trial in system.members.values()}
        if "pairs" not in result:
            return False
        if "best_of_arms" in result:
            best = {trial.number for system in systems.best for trial in system.members.values()}
            if set(result["best_of_arms"]) != best:
                return True
        wanted = {objective.measure for objective in self._spec.objectives(self._data.signal)}
        there = pairs.measures(result["pairs"], result["metric"])
        return pairs.numbers(result["pairs"]) != finished or (bool(finished) and not wanted <= there)

    def _rows(
        self, finals: Sequence[Finished], champion: selection.Champion, systems: pairs.Compared
    ) -> list[mean_rows.Row]:
        """Return the rows of means over seeds beside those that are compared: the champion's, and published settings'.

        A study of an older version has no such retrainings, and keeps its table.
        """
        return mean_rows.rows(self._spec, finals, champion, systems, self._references)

    def _lacks_rows(self, result: Result, rows: Sequence[mean_rows.Row]) -> bool:
        """Say whether a result lacks retrainings of published settings that have finished, or has others."""
        there = set(result.get("references", ()))
        return there != {t.number for row in rows if row.label for t in row.members}

    def _with_answer(self, result: Result) -> Result:
        """Return a result with the answer that its pairs and the trials give; one of an older version as it is."""
        if "pairs" not in result:
            return result
        importance = most_important_setting(self._spec, self._data, self._folder)
        answer = pairs.answer(result["pairs"], self._spec, self._data.signal, importance, result.get("units"))
        return {**result, "answer": None if answer is None else answer.plain()}

    def without_champion(self, reason: str, trials: Sequence[FrozenTrial]) -> int:
        """End a study that has nothing to register.

        Args:
            reason: why there is nothing, in words.
            trials: Optuna's trials of the stage that has no complete trial.

        Returns:
            The exit status (``failed_trials.exit_status``).
        """
        console.print(f"{reason}: there is nothing to register")
        for paragraph in failed_trials.words(trials):
            console.print(paragraph, soft_wrap=True)
        make_report(self._spec, self._data, self._folder, self._tracker)
        note = f"Study `{self._spec.name}` has ended, and there is nothing to register: {reason}."
        self._tracker.study_finished({}, {"outcome": "nothing to register"}, note)
        return failed_trials.exit_status(trials)

    def announce(self, result: Result, problem: str = "") -> None:
        """Register the packaged champion, unless it is registered already, and show the result.

        An oracle is never registered: it is told the true sources.

        Args:
            result: result of the study.
            problem: reason why there is no packaged model; empty if there is one.
        """
        if self._oracle:
            sentence = "An oracle is told the true sources: it is a bound, and no model is registered."
            registration = Registration(self._spec.model_name, None, False, sentence)
        elif problem:
            registration = Registration(self._spec.model_name, None, False, f"No model is registered: {problem}.")
        else:
            registration = self._register(result)
        commands = next_commands(registration, self._spec.stores.tracking_uri, self._tracker.experiment_id())
        # The report is made from files alone, so that it can be made again without MLflow.
        write(self._folder, "registration.json", json.dumps({**asdict(registration), "commands": commands}))
        report = make_report(self._spec, self._data, self._folder, self._tracker)
        self._show(result, registration, commands, report)

    def _register(self, result: Result) -> Registration:
        """Register the packaged champion; a server that did not answer is asked again once it has taken all else."""
        registration = register(self._spec, self._data, result, self._model, self._tracker)
        if registration.waits and not self._tracker.flush(_FLUSH_SECONDS):
            registration = register(self._spec, self._data, result, self._model, self._tracker)
        return registration

    def _note_for_dashboard(self, note: str) -> None:
        """Keep a note that optuna-dashboard shows; an older study is at most without one."""
        with contextlib.suppress(SeprayError, *STORAGE_FAILURES):
            dashboard.save_note(load_study(self._spec.stores.storage, self._spec.name), note)

    def _package(self, member: Finished) -> str:
        """Package the champion, unless that is done; return why it cannot be packaged, or an empty text."""
        if self._oracle or self._is_packaged():
            return ""
        if links.any_below(self._model):  # which its files would be written through, or sent from
            links.remove(self._model, links.ancestor(self._folder, LEVELS))
        try:
            package(self._spec, self._data, member, self._model)
        except PackagingError as error:
            return str(error)
        return ""

    def _is_packaged(self) -> bool:
        """Say whether the folder of the model holds one, as it was packaged."""
        return not links.any_below(self._model) and is_whole(self._model)

    def _show(self, result: Result, registration: Registration, commands: Sequence[str], report: Path | None) -> None:
        """Show answer, settings, final table and what to do next, in the terminal and in the study's run."""
        answer = notes.answer_of(result)
        title, columns, rows, caption = notes.table_words(self._spec, self._data, result)
        console.print()
        if answer is not None:
            console.print(str(answer), style="bold")
            if answer.contrasts:
                console.print(answer_table(answer, console.width))
        if settings := notes.readable(result["hyperparameters"]):
            exactly = on_study("show", self._spec, "--settings")
            console.print(f"Settings of the champion, {result['role']}:")
            width = max(map(len, settings)) + 2
            console.print("\n".join(f"  {name:{width}}{value}" for name, value in settings.items()))
            console.print(f"  with all digits, as a file: {exactly}", soft_wrap=True)
            console.print("".join(f"{sentence}.\n" for sentence in result.get("edges", ())))
        console.print(result_table(title, columns, rows, caption, console.width))
        console.print(registration.sentence)
        reading = [f"python -m webbrowser {_from_here(report)}"] if report else []
        here = [from_this_shell(command) for command in (*reading, *commands)]
        console.print("\nNext:\n" + "\n".join(f"  {command}" for command in here), soft_wrap=True)
        told = registration.sentence
        self._note_for_dashboard(notes.describe_study(self._spec, self._data, result, told, commands, has_report=False))
        note = notes.describe_study(self._spec, self._data, result, told, commands, has_report=report is not None)
        version = registration.version or ("waiting" if self._is_packaged() else "none")
        tags = {"outcome": "finished", "champion": result["role"], "model_version": version}
        self._tracker.study_finished(notes.test_metrics(self._spec, self._data, result), tags, note)


def make_report(spec: StudySpec, data: TaskData, folder: Path, tracker: Tracker) -> Path | None:
    """Write the report of a study and add it to the study's run.

    Returns:
        The HTML page; None if it could not be made. A finished study loses nothing but its report then.
    """
    try:
        from ..report import report  # brings matplotlib

        return report.publish(_study_results(spec, data, folder), tracker)
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        later = on_study("report", spec)
        console.print(f"the report could not be made ({why}); later: {later}", soft_wrap=True)
        return None


def most_important_setting(spec: StudySpec, data: TaskData, folder: Path) -> Importance | None:
    """Return the setting that explains most of what the trials differ by; None where that cannot be estimated."""
    try:
        from ..report import importance  # brings scikit-learn

        return importance.most_important(_study_results(spec, data, folder))
    except Exception as error:  # a finished study loses nothing but a sentence then
        why = f"{type(error).__name__}: {one_line(error)}"
        console.print(f"which setting matters most is not known ({why})", soft_wrap=True)
        return None


def _study_results(spec: StudySpec, data: TaskData, folder: Path) -> StudyResults:
    from ..report.study_results import StudyResults

    finals = None
    with contextlib.suppress(UsageError):
        finals = load_study(spec.stores.storage, f"{spec.name}/finals")
    return StudyResults.read(spec, load_study(spec.stores.storage, spec.name), finals, folder, data)


def _from_here(path: Path) -> str:
    """Return a path for a command line, relative to the current folder where it lies below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
