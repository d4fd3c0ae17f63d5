"""Runs the study of each separator in a comparison, and scores its retrainings on the test split."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from .. import study
from ..choices import BSS_EVAL, SUMMED_MAGNITUDES
from ..console import interruption
from ..console.exit_status import BUG
from ..console.terminal import console
from ..contracts import Separator, Signal, TaskData
from ..disk.files import read_json
from ..driver import failed_trials
from ..driver.closing import one_ray
from ..errors import SeprayError, one_line
from ..execution import checkpoint, weights
from ..report.study_results import StudyResults
from ..scoring import evaluation, summed_magnitudes, tables
from ..search.outcomes import is_feasible
from ..search.storage import load_study
from ..shapes import fits, is_table
from ..spec.folder import checked_uid, study_folder, write
from ..spec.permissions import Permissions
from ..spec.study import StudySpec
from .contenders import Contender, LeftOut
from .spec import Comparison

_GONE = "its checkpoints are damaged or gone"

Scores = Mapping[str, NDArray[np.float64]]
"""Measure -> ``[seed, item, source]``."""


class _KeptScores(TypedDict):
    seconds: float
    scores: Mapping[str, list[list[float]]]


@dataclass(frozen=True)
class Training:
    """A training whose scores are in the table.

    Attributes:
        history: results of every epoch, oldest first.
        folder: path or URI of its checkpoints.
        number: its number among the retrainings of its study.
        seed: its random seed.
    """

    history: Sequence[Mapping[str, float]]
    folder: str
    number: int
    seed: int | None

    def separator(self, contender: Contender, signal: Signal) -> Separator:
        """Return the trained separator.

        Raises:
            FileNotFoundError: its checkpoints are damaged or gone.
        """
        return weights.load_separator(
            contender.config, signal, self.folder, checkpoint.of_trial(self.number, self.seed)
        )


@dataclass(frozen=True)
class SeparatorFigures:
    """Figures of a separator.

    Attributes:
        contender: the separator.
        scores: scores on the test split, of one training for each seed.
        hyperparameters: settings of these trainings.
        training_seconds: seconds of a training on one seed, validation included; mean over seeds, by the trial's clock.
        separation_seconds: seconds of separating one test item, mean over seeds.
        missing: note about seeds whose training failed; empty if no training failed.
        uid: id of its study.
        validation: values of the objectives on validation, mean over seeds; empty where they are not known.
        trainings: the trainings themselves, one for each seed.
    """

    contender: Contender
    scores: Scores
    hyperparameters: Mapping[str, float]
    training_seconds: float
    separation_seconds: float
    missing: str
    uid: str
    validation: tuple[float, ...] = ()
    trainings: tuple[Training, ...] = ()


@dataclass
class ComparisonFigures:
    """Figures of all separators.

    Attributes:
        entries: separators with figures, in the order of the comparison.
        left_out: separators without, and why.
    """

    entries: list[SeparatorFigures] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def run_all(
    comparison: Comparison,
    task: object,
    data: TaskData,
    taking_part: Sequence[Contender],
    permitted: Permissions | None = None,
) -> ComparisonFigures:
    """Run the study of every separator to its end and score it; an error in one does not stop the others.

    Args:
        comparison: the comparison.
        task: configuration of the task.
        data: data of the task.
        taking_part: the separators.
        permitted: what the user allows the studies; default: nothing.

    Raises:
        KeyboardInterrupt: a signal; the study that was running has said how to go on.
    """
    of_separators = ComparisonFigures()
    with one_ray():
        for number, contender in enumerate(taking_part, 1):
            console.print(f"\n{number} of {len(taking_part)}: {contender.system}", style="bold", soft_wrap=True)
            name = f"{comparison.name}-{contender.key}"
            spec = comparison.study(name, contender.config, task, contender.space, contender.points, contender.epochs)
            try:
                found = _run(spec, contender, data, permitted, comparison.measures)
            except SeprayError as error:
                found = LeftOut(contender.system, one_line(error))
            except Exception as error:
                found = LeftOut(contender.system, f"{type(error).__name__}: {one_line(error)}", error)
            if isinstance(found, SeparatorFigures):
                of_separators.entries.append(found)
            else:
                console.print(f"{contender.system} has no figures: {found.reason}", soft_wrap=True, markup=False)
                of_separators.left_out.append(found)
    return of_separators


def _run(
    spec: StudySpec, contender: Contender, data: TaskData, permitted: Permissions | None, measures: Sequence[str] = ()
) -> SeparatorFigures | LeftOut:
    """Run one study, and score all seeds of the settings that it has chosen."""
    status = study.execute(spec, permitted)
    if status in interruption.STATUSES:
        raise interruption.of_status(status)
    searched = load_study(spec.stores.storage, spec.name)
    uid = checked_uid(searched.user_attrs["uid"])
    folder = study_folder(spec.stores.storage_path, spec.name, uid)
    if status:
        return LeftOut(contender.system, _why(spec, searched), in_trials=status == BUG)
    finals = load_study(spec.stores.storage, f"{spec.name}/finals")
    results = StudyResults.read(spec, searched, finals, folder, data)
    assert results.result is not None  # a study that ends with 0 has written it
    role = results.result["role"]
    mine = [
        t for t in results.finals if t.user_attrs.get("role") == role and _is_of_first_seeds(t, spec.budget.seeds())
    ]
    feasible = [t for t in mine if is_feasible(t)]
    if not feasible:
        return LeftOut(contender.system, _why(spec, searched), in_trials=failed_trials.exit_status(mine) == BUG)
    scored = {t.number: found for t in feasible if (found := _scores_of(spec, results, t, data, measures)) is not None}
    if not scored:
        return LeftOut(contender.system, _GONE)
    sound, measured = [t for t in feasible if t.number in scored], list(scored.values())
    lost = [t for t in mine if t not in sound]
    why = _GONE if lost and lost[-1] in feasible else _reason(lost[-1]) if lost else ""
    return SeparatorFigures(
        contender=contender,
        scores={
            m: np.stack([one[m] for one, _ in measured]) for m in measured[0][0] if all(m in s for s, _ in measured)
        },
        hyperparameters=dict(results.result["hyperparameters"]),
        training_seconds=float(np.mean([_training_seconds(results, t) for t in sound])),
        separation_seconds=float(np.mean([seconds for _, seconds in measured])) / len(data.scored("test")),
        missing=f"{len(lost)} of {len(mine)} seeds failed: {why}" if lost else "",
        uid=uid,
        validation=tuple(np.mean([trial.values for trial in sound], axis=0).tolist()),
        trainings=tuple(_training(results, t) for t in sound),
    )


def _training(results: StudyResults, trial: FrozenTrial) -> Training:
    folder = results.trial_folder("finals", trial.number)
    return Training(results.history("finals", trial.number), folder, trial.number, trial.user_attrs.get("seed"))


def _scores_of(
    spec: StudySpec, results: StudyResults, trial: FrozenTrial, data: TaskData, measures: Sequence[str] = ()
) -> tuple[tables.Scores, float] | None:
    """Return the scores ``[item, source]`` of one training and the seconds of separating; they are kept in a file.

    A measure that takes a separation of its own is there only where it is one of ``measures``. None where scores are
    not kept yet and the training's checkpoints are gone.
    """
    kept = results.folder / f"test-{trial.number:05d}.json"
    found = read_json(kept)
    own_pass = {*SUMMED_MAGNITUDES, *BSS_EVAL} & set(measures)
    if not _are_scores(found) or own_pass - found["scores"].keys():
        trial_folder, own = results.trial_folder("finals", trial.number), (trial.number, trial.user_attrs.get("seed"))
        try:
            separator = weights.load_separator(spec.separator, data.signal, trial_folder, checkpoint.of_trial(*own))
        except FileNotFoundError:
            return None
        test, threads = data.scored("test"), torch.get_num_threads()
        torch.set_num_threads(max(1, int(spec.resources.cpus_per_trial)))  # as in training: seconds mean the same
        started = time.monotonic()
        try:
            measured = tables.score(separator, test, signal=data.signal)
        finally:
            torch.set_num_threads(threads)
        seconds = time.monotonic() - started
        if own_pass & {*SUMMED_MAGNITUDES}:
            measured |= summed_magnitudes.score(separator, test, data.signal)
        if own_pass & {*BSS_EVAL}:
            measured |= evaluation.bss_eval(evaluation.system_of(separator), test, data.signal)
        found = {"seconds": seconds, "scores": {m: v.tolist() for m, v in measured.items()}}
        write(results.folder, kept.name, json.dumps(found))
    scores = {name: np.array(values, dtype=np.float64) for name, values in found["scores"].items()}
    # An item with a silent source, or without any error, has no score of BSS Eval.
    finite = {m: values for m, values in scores.items() if m not in BSS_EVAL}
    if bad := [m for m, values in finite.items() if not np.isfinite(tables.over_sources(m, values)).all()]:
        raise ValueError(f"{', '.join(bad)} of some test items is not a number")
    return scores, float(found["seconds"])


def _are_scores(found: Any) -> bool:
    """Say whether a file of scores is as this module writes it; others may have written it where a folder is shared."""
    return fits(found, _KeptScores) and all(map(is_table, found["scores"].values()))


def _is_of_first_seeds(trial: FrozenTrial, seeds: int) -> bool:
    """Say whether a retraining belongs to the first ``seeds`` seeds; its label ends in the seed's number."""
    return int(trial.user_attrs["label"].rpartition(" ")[2]) <= seeds


def _training_seconds(results: StudyResults, trial: FrozenTrial) -> float:
    """Return the seconds of a training, together with those of the separator that it started from."""
    history = results.history("finals", trial.number)
    return float(sum(epoch["epoch_seconds"] + epoch.get("start_seconds", 0.0) for epoch in history))


def _why(spec: StudySpec, searched: optuna.Study) -> str:
    """Return why a study has nothing to register: how its last trial failed."""
    stages = [searched]
    if any(is_feasible(t) for t in searched.get_trials(deepcopy=False)):
        stages = [load_study(spec.stores.storage, f"{spec.name}/finals")]
    ended = [t for stage in stages for t in stage.get_trials(deepcopy=False) if t.state.is_finished()]
    failed = [t for t in ended if not is_feasible(t)]
    return f"no training ran to its end: {_reason(failed[-1])}" if failed else "no training ran to its end"


def _reason(trial: FrozenTrial) -> str:
    outcome = trial.user_attrs.get("outcome", {})
    return str(outcome.get("reason") or outcome.get("tag") or trial.state.name.lower())
