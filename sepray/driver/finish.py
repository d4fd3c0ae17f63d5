"""Ends a study: has its champion chosen, scored on test, packaged, registered and told, in this order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from ..console.terminal import console
from ..contracts import Oracle, TaskData
from ..report.kept_result import NO_MODEL
from ..spec import edges
from ..spec.folder import write
from ..spec.study import StudySpec
from ..tracking.tracker import Tracker
from . import announcement, failed_trials, mean_rows, packaged_champion, pairs, registration, study_report
from .champion import Champion, choose_champion, may_win
from .final_scores import KeptResult, has_weights, load_result, save_result, score_all
from .finished_trials import Finished
from .registration import Registration
from .retrainings import Retraining
from .stale_result import is_stale

_FLUSH_SECONDS = 20.0


class Finish:
    """Ends a study whose trials and retrainings are done; what an earlier start has finished is not done again.

    Args:
        spec: description of the study.
        data: data of its task.
        folder: local folder of the study's files.
        tracker: tells MLflow about the study.
        ranges: function from an arm (empty if there are none) to the distributions that its trials are searched in.
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
        champion = choose_champion(finals, may_win(plan))
        if champion is None:
            return []
        systems, kept, needed = pairs.compared(finals, plan, self._spec.controls), load_result(self._folder), {}
        rows = self._rows(finals, champion, systems)
        is_scored = kept is not None and not self._is_stale(kept, champion, systems, rows)
        if not is_scored:
            compared = (*systems.systems, *systems.best)
            needed = {t.number: t for system in compared for t in system.members.values()}
            needed |= {t.number: t for row in rows for t in row.members}
        if not is_scored or not (self._oracle or self._is_packaged(champion.member.number)):
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
        champion = choose_champion(finals, may_win(plan))
        if champion is None:
            return self.without_champion("none of the best configurations could be trained again", trials)
        systems = pairs.compared(finals, plan, self._spec.controls)
        rows = self._rows(finals, champion, systems)
        kept = load_result(self._folder)
        if kept is None or kept["member"] != champion.member.number:
            packaged_champion.remove(self._model)  # the model of an earlier champion
        if kept is None or self._is_stale(kept, champion, systems, rows):
            result = score_all(self._spec, self._data, champion, searched, systems, rows)
        else:
            result = kept
        if kept is not None and "explanation" in kept and kept["hyperparameters"] == result["hyperparameters"]:
            result = {**result, "explanation": kept["explanation"]}
        at_edges = edges.sentences(champion.member.hyperparameters, self._ranges(champion.member.arm))
        result = {**self._with_answer(result), "edges": at_edges}
        if result != kept:
            save_result(self._folder, result)
        problem = ""
        if not self._oracle:
            problem = packaged_champion.ensure_packaged(self._spec, self._data, champion.member, self._model)
        self.announce(result, problem)
        return 1 if problem else 0

    def _is_stale(
        self, result: KeptResult, champion: Champion, systems: pairs.Compared, rows: Sequence[mean_rows.MeanRow]
    ) -> bool:
        return is_stale(result, self._spec, self._data.signal, champion, systems, rows)

    def _rows(self, finals: Sequence[Finished], champion: Champion, systems: pairs.Compared) -> list[mean_rows.MeanRow]:
        """Return the rows of means over seeds that are in no pair: the champion's, and published settings'.

        A study of an older version has no such retrainings, and keeps its table.
        """
        return mean_rows.rows(self._spec, finals, champion, systems, self._references)

    def _with_answer(self, result: KeptResult) -> KeptResult:
        """Return a result with the answer that its pairs and the trials give; without pairs, as it is."""
        if "pairs" not in result:
            return result
        importance = study_report.most_important_setting(self._spec, self._data, self._folder)
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
        study_report.make_report(self._spec, self._data, self._folder, self._tracker)
        note = f"Study `{self._spec.name}` has ended, and there is nothing to register: {reason}."
        self._tracker.study_finished({}, {"outcome": "nothing to register"}, note)
        return failed_trials.exit_status(trials)

    def announce(self, result: KeptResult, problem: str = "") -> None:
        """Register the packaged champion, unless it is registered already, and show the result.

        An oracle is never registered: it is told the true sources.

        Args:
            result: result of the study.
            problem: reason why there is no packaged model; empty if there is one.
        """
        spec, data, tracker = self._spec, self._data, self._tracker
        if self._oracle:
            sentence = "An oracle is told the true sources: it is a bound, and no model is registered."
            registered = Registration(spec.model_name, None, False, sentence)
        elif problem:
            registered = Registration(spec.model_name, None, False, f"{NO_MODEL}: {problem}.")
        else:
            registered = self._register(result)
        commands = registration.next_commands(registered, spec.stores.tracking_uri, tracker.experiment_id())
        # The report is made from files alone, so that it can be made again without MLflow.
        write(self._folder, "registration.json", json.dumps({**asdict(registered), "commands": commands}))
        report = study_report.make_report(spec, data, self._folder, tracker)
        announcement.show(spec, data, result, registered, commands, report)
        version = registered.version or ("waiting" if self._is_packaged(int(result["member"])) else "none")
        announcement.keep(spec, data, result, registered, commands, report is not None, version, tracker)

    def _is_packaged(self, member: int) -> bool:
        """Say whether the model of the champion, a retraining with this number, is there as it was packaged."""
        return packaged_champion.is_packaged(self._model, self._spec, member)

    def _register(self, result: KeptResult) -> Registration:
        """Register the packaged champion; a server that did not answer is asked again once it has taken all updates."""
        spec, data, tracker = self._spec, self._data, self._tracker
        registered = registration.register(spec, data, result, self._model, tracker)
        if registered.waits and not tracker.flush(_FLUSH_SECONDS):
            registered = registration.register(spec, data, result, self._model, tracker)
        return registered
