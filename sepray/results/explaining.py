"""Trains the ablation path of a finished study, which shows how much each of its champion's settings contributes.

The trainings are a stage of the study like its retrainings, on the same seeds, with an Optuna study of its own
(``<name>/explain``). A training that the retrainings or an earlier path have done with the same code is not repeated.
So a path that was interrupted goes on, and a complete one is only read.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial

from ..arms import ARM
from ..contracts import TaskData
from ..driver import closing, code, driver, final_scores, finished_trials, notes, retrainings, study_report
from ..driver.ablation import GREEDY, Ablation, Point, find_origin, origin_names, points, walk
from ..driver.prepared import prepare
from ..driver.stage import ENDED, fixed_stage, run_stage
from ..driver.stores import StudyStores
from ..driver.time_left import TimeLeft
from ..errors import UsageError, mask
from ..loading import load_task
from ..report import importance
from ..report.study_results import StudyResults
from ..report.wording import objective_words
from ..scoring.explanation import Explanation, Values, explained
from ..search.ledger import FixedTrial, settings
from ..spec import named_by_user
from .study_result import StudyResult

FEWEST_SEEDS, MOST_TRAININGS = 3, 60
"""Least number of seeds of a path by default, and the most trainings up to which a path has more seeds."""


@dataclass(frozen=True)
class PathOptions:
    """The user's choices for an ablation path.

    Attributes:
        origin: name of the settings that the path begins with (``ablation.find_origin``); empty for the published
            settings that are best on validation.
        order: ``greedy``, ``importance`` or ``given``; empty for greedy, or for importance if greedy would need too
            many trainings.
        seeds: number of seeds; 0 for that of the retrainings, or fewer if those would need too many trainings.
        epochs: epochs of each training; 0 for those of the study.
    """

    origin: str = ""
    order: str = ""
    seeds: int = 0
    epochs: int = 0

    def is_met_by(self, path: Explanation) -> bool:
        """Say whether a path has these options; an option that is left open fits every path."""
        wanted = (self.origin, self.order, self.seeds, self.epochs)
        there = (path.origin, path.order, path.seeds, path.epochs)
        return all(not want or want == found for want, found in zip(wanted, there, strict=True))


def training_seconds(retrainings: Sequence[FrozenTrial], epochs: int) -> float | None:
    """Return the seconds of a training, by those of an epoch of the retrainings; None if none has ended.

    Published settings may have been trained for another number of epochs, and retrainings that failed for fewer.
    """
    ended = [(trial.duration, trial.last_step) for trial in retrainings]
    each = [duration.total_seconds() / last for duration, last in ended if duration and last]
    return statistics.median(each) * epochs if each else None


class PathTraining:
    """An ablation path that is to be trained.

    Args:
        result: the study.
        options: the user's choices.
        data: data of the study's task; None: they are loaded.

    Attributes:
        origin: name of the settings that the path begins with.
        beginning: configuration that the path begins with.
        names: names of the settings that differ, in the order in which they change or are tried.
        order: ``greedy``, ``importance`` or ``given``.
        seeds: seeds of each step.
        epochs: epochs of each training.
        left: greatest number of trainings that are left.
        seconds: seconds that a training will take, estimated from the study's retrainings; None if there are none.

    Raises:
        UsageError: the study has no champion or nothing to compare it with, or the champion has the same settings.
    """

    def __init__(self, result: StudyResult, options: PathOptions, data: TaskData | None = None) -> None:
        if result.result is None:
            raise UsageError(f"{result.name} has no champion that could be explained: {result.state_in_words}")
        self._study, self._result, spec = result, result.result, result.spec
        self._prepared = prepare(spec, load_task(spec.task, spec.stores.cache) if data is None else data)
        self._code = code.digest_of(self._prepared.code)
        self._champion = self._champions_settings()
        self._rule = finished_trials.rule_of(self._prepared, result.trials_of["search"])
        searched = finished_trials.finished(result.trials_of["search"], self._rule, lambda number: "")
        self.origin, self.beginning = find_origin(options.origin, self._prepared, searched, self._champion)
        self._defaults = self._prepared.separator.hyperparameters()
        self._ablation = Ablation(self.beginning, self._champion, self._prepared.arms, self._defaults)
        if not self._ablation.names:
            others = [repr(name) for name in origin_names(self._prepared, searched) if name != self.origin]
            other = f"; begin with another: --from {' or '.join(others)}" if others else ""
            raise UsageError(f"{self.beginning.name} are the champion's own: there is nothing to explain{other}")
        count = len(self._ablation.names)
        cheap = points(count, greedy=True) * FEWEST_SEEDS <= MOST_TRAININGS
        self.order = options.order or (GREEDY if cheap else "importance")
        fitting = max(FEWEST_SEEDS, min(self._prepared.final_seeds, MOST_TRAININGS // points(count, self._is_greedy)))
        self.seeds = retrainings.new_seeds(options.seeds or fitting, spec.seed)
        self.epochs = options.epochs or spec.budget.max_epochs
        self.names = self._ordered()
        self.left = self._count_left()
        self.seconds = training_seconds(result.trials_of["finals"], self.epochs)

    def train(self) -> Explanation:
        """Train the missing steps, keep the path in the study's result, make the report again, and return the path.

        Raises:
            KeyboardInterrupt: the path was interrupted; training it again goes on.
            SeprayError: a store cannot be used, or another process runs the study.
        """
        there = str(self._study.saved.description.get("address") or "")
        if self.left and there and not named_by_user.is_named_cluster(there):
            raise UsageError(
                f"the storage says that the study ran on the Ray cluster {mask(there)}, which no command of yours has "
                f"named: if you trust it, set RAY_ADDRESS={mask(there)}"
            )
        stores = StudyStores(self._prepared, goes_on=False)
        try:
            with stores.lease.interrupt_when_lost():
                first, steps = self._walked(stores)
                path = self._explained(first, steps)
                stores.lease.check()
                self._keep(path, stores)
                return path
        except BaseException:
            closing.mark_interrupted(stores)
            raise
        finally:
            closing.close(stores)

    @property
    def _is_greedy(self) -> bool:
        return self.order == GREEDY

    def _champions_settings(self) -> Point:
        trial = self._study.trials_of["finals"][int(self._result["member"])]
        return Point("the champion's settings", settings(trial), trial.params.get(ARM, ""))

    def _ordered(self) -> list[str]:
        names = list(self._ablation.names)
        if self.order != "importance":
            return names
        stored = self._study.saved
        spec, folder = self._prepared.spec, stored.folder
        results = StudyResults.read(spec, stored.studies["search"], None, folder, self._prepared.data)
        counted = importance.points(results)
        shares: dict[str, float] = {}
        if importance.can_be_estimated(counted):
            shares = importance.shares(counted, sorted(importance.varied([trial for trial, _ in counted])))
        return sorted(names, key=lambda name: -shares.get(name, 0.0))

    def _known(self, trials: Sequence[FrozenTrial]) -> dict[tuple[Any, int], float | None]:
        """Return the trainings that can be steps and have ended: settings and seed -> value; None if it failed.

        Trainings with other code or another number of epochs are left out.

        Args:
            trials: Optuna's trials of the path's own stage.
        """
        is_whole = self.epochs == self._prepared.spec.budget.max_epochs
        finals = [t for t in self._study.trials_of["finals"] if is_whole and self._code_of(t) == self._code]
        finals = [t for t in finals if not t.user_attrs.get("epochs")]  # published settings may have their own budget
        own = [t for t in trials if (t.user_attrs.get("epochs"), t.user_attrs.get("code")) == (self.epochs, self._code)]
        known: dict[tuple[Any, int], float | None] = {}
        for stage in (finals, own):
            sound = {t.number: t.value for t in finished_trials.finished(stage, self._rule, lambda number: "")}
            for trial in stage:
                if trial.state in ENDED and trial.user_attrs.get("point"):
                    known[self._key(settings(trial)), int(trial.user_attrs["seed"])] = sound.get(trial.number)
        return known

    @staticmethod
    def _code_of(trial: FrozenTrial) -> str:
        """Return the digest of the source files that a retraining ran; empty if an older version trained it."""
        return str(trial.user_attrs.get("conditions", {}).get("code", ""))

    def _key(self, hyperparameters: Any) -> frozenset[tuple[str, Any]]:
        """Return all hyperparameters of a training, defaults included, without the seed."""
        return frozenset({**self._defaults, **hyperparameters}.items())

    def _count_left(self) -> int:
        """Return the greatest number of trainings that may be missing: the steps are known only one after the other."""
        known = self._known(self._study.trials_of.get("explain", ()))
        path, seen = walk(self._ablation, self.names, self._is_greedy), 0
        asked = next(path)
        while True:
            seen += len(asked)
            missing = sum((self._key(p.hyperparameters), seed) not in known for p in asked for seed in self.seeds)
            if missing:
                later = points(len(self.names), self._is_greedy) - seen
                target = self._key(self._champion.hyperparameters)
                there = sum((target, seed) in known for seed in self.seeds) if later else 0
                return missing + later * len(self.seeds) - there
            try:
                asked = path.send([self._values(point, known) for point in asked])
            except StopIteration:
                return 0

    def _values(self, point: Point, known: dict[tuple[Any, int], float | None]) -> Values:
        found = {seed: known.get((self._key(point.hyperparameters), seed)) for seed in self.seeds}
        return {seed: value for seed, value in found.items() if value is not None}

    def _walked(self, stores: StudyStores) -> Any:
        """Train the path step by step; return its values."""
        study = stores.open_explain()
        prepared = replace(self._prepared, spec=self._prepared.spec.changed(max_epochs=self.epochs))
        path, slots, left = walk(self._ablation, self.names, self._is_greedy), 0, self.left
        asked = next(path)
        while True:
            known = self._known(study.get_trials(deepcopy=False))
            missing = [
                self._training(point, seed, k)
                for point in asked
                for k, seed in enumerate(self.seeds, 1)
                if (self._key(point.hyperparameters), seed) not in known
            ]
            if missing:
                slots = slots or driver.connect(prepared.spec)
                left = max(0, left - len(missing))
                # At its end nothing is scored or packaged; only the report is made.
                time_left = TimeLeft(prepared, slots, after=left, end=0.0)
                run_stage(fixed_stage("explain", missing, study), prepared, stores, slots, time_left)
                known = self._known(study.get_trials(deepcopy=False))
                for trial in study.get_trials(deepcopy=False, states=ENDED):  # only their values are needed
                    stores.remove(stores.trial_folder("explain", trial.number))
            try:
                asked = path.send([self._values(point, known) for point in asked])
            except StopIteration as end:
                return end.value

    def _training(self, point: Point, seed: int, number: int) -> FixedTrial:
        own = {"role": point.name, "epochs": self.epochs, "code": self._code}
        own |= {ARM: point.arm} if point.arm else {}
        return FixedTrial(f"{point.name} seed {number}", point.hyperparameters, seed, own)

    def _explained(self, first: Values, steps: Sequence[tuple[Any, Values]]) -> Explanation:
        """Return the path in values of the objective that chooses the champion; if several do, in the rule's loss."""
        single = self._rule.measured
        of_rule = f"scaled sum of the objectives (--choose {' '.join(self._rule.choose)})"
        sign = single.sign if single else 1
        own = [(change, {seed: sign * value for seed, value in values.items()}) for change, values in steps]
        return explained(
            self.origin,
            self.beginning.name,
            objective_words(single) if single else of_rule,
            single.direction if single else "minimize",
            self.order,
            len(self.seeds),
            self.epochs,
            {seed: sign * value for seed, value in first.items()},
            own,
        )

    def _keep(self, path: Explanation, stores: StudyStores) -> None:
        """Write the path into the study's result, the report and MLflow."""
        spec, data, told = self._prepared.spec, self._prepared.data, self._study.registration
        result = {**self._result, "explanation": path.plain()}
        final_scores.save_result(stores.folder, result)
        page = study_report.make_report(spec, data, stores.folder, stores.tracker)
        sentence, commands = str(told.get("sentence") or ""), told.get("commands", ())
        note = notes.describe_study(spec, data, result, sentence, commands, page is not None)
        stores.tracker.trial_tags("", {"mlflow.note.content": note})
