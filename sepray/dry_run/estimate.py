"""The estimate of a dry run: its values, and how they are computed from a measured trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from ..arms import Arm
from ..console.exit_status import BAD_INPUT, BUG
from ..contracts import SPLITS, Signal, TaskData
from ..driver.prepared import PreparedStudy
from ..spec.study import StudySpec
from .measurement import Measurement
from .schedule import EstimateRange, early_stopping, makespan, mean
from .stored import StudyProgress


@dataclass(frozen=True)
class SplitSize:
    """A split of the task.

    Attributes:
        name: ``train``, ``validation`` or ``test``.
        items: number of its items.
        shape: shape of an item, ``(channel, *signal)``; longer than the task's signal where training takes crops.
        size: size of its mixtures and sources, in bytes.
    """

    name: str
    items: int
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Memory:
    """Memory that a study takes, in bytes.

    Attributes:
        trial: memory of one trial's process, without what processes share.
        shared: memory that the processes of all trials share, so that a machine holds it once: libraries and the
            training view.
        driver: memory of the driver, the process that runs the study. It is the memory that this process has now, with
            the task's data loaded as in a driver.
        total: memory of the driver and of all trials that run at once, on one machine; without Ray's and MLflow's own
            processes.
        machine: memory that this machine or container has.
        available: memory of this machine or container that is free.
        gpu: memory of one trial on its GPU.
        gpu_machine: memory that the GPU has; 0 where there is no GPU.
    """

    trial: int
    shared: int
    driver: int
    total: int
    machine: int
    available: int
    gpu: int
    gpu_machine: int


@dataclass(frozen=True)
class Disk:
    """Space on the disk that a study takes at most, in bytes; without its databases and the report.

    Attributes:
        checkpoint: size of one trial's last checkpoint.
        files: largest number of checkpoints on the disk at any time.
        model: size of the champion's weights, counted twice: in the study's folder and among MLflow's artifacts.
        total: size of all checkpoints and of the model together.
        free: free space of the disk that holds the checkpoints; None for an object store.
    """

    checkpoint: int
    files: int
    model: int
    total: int
    free: int | None


@dataclass(frozen=True)
class Estimate:
    """Estimate of what a study would run, and of the time, memory and disk that it would take.

    Attributes:
        spec: description of the study, of one trial where it fixes every hyperparameter.
        supervision: what the separator may see of the training split.
        signal: kind of signal of the task.
        splits: sizes of the training, validation and test split.
        space: search space; the names of its hyperparameters hold the names of the task's sources.
        reference_points: published settings by name, with the same names of hyperparameters.
        controls: changes to the best settings by name, with the same names of hyperparameters.
        progress: how far the study is.
        slots: number of trials that run at once; 0 where a cluster decides.
        left_out: names of published settings that are not tried, because they differ from those that the study fixes.
        arms: arms of the study by name, with the same names of hyperparameters.
        tried: settings of the trial that is measured, beside the defaults.
        objectives: number of values that the study optimises.
        measurement: what a trial takes; None where nothing is left to train, or where ``failure`` says why.
        epoch_seconds: seconds of an epoch of a trial; None where nothing was measured.
        seconds: seconds of all that is left of the study, until the table is shown; None where nothing was measured.
        search_seconds: seconds of the search among them; None where nothing was measured.
        memory: memory that the study takes; None where nothing was measured.
        disk: space on the disk that the study takes; None where nothing was measured.
        failure: traceback of the trial that was tried, or why it ended; empty where it trained.
        bug: whether ``failure`` is a bug in the code of the trial.
        refused: whether ``failure`` is an error of the trial that the user can put right.
        warnings: one sentence for each thing that does not fit.
    """

    spec: StudySpec
    supervision: str
    signal: Signal
    splits: tuple[SplitSize, ...]
    space: Mapping[str, BaseDistribution]
    reference_points: Mapping[str, Mapping[str, Any]]
    controls: Mapping[str, Mapping[str, Any]]
    progress: StudyProgress
    slots: int
    left_out: tuple[str, ...] = ()
    arms: Mapping[str, Arm] = field(default_factory=dict)
    tried: Mapping[str, Any] = field(default_factory=dict)
    objectives: int = 1
    measurement: Measurement | None = None
    epoch_seconds: EstimateRange | None = None
    seconds: EstimateRange | None = None
    search_seconds: EstimateRange | None = None
    memory: Memory | None = None
    disk: Disk | None = None
    failure: str = ""
    bug: bool = False
    refused: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def final_seeds(self) -> int:
        """Number of new seeds of each retraining."""
        return self.spec.budget.seeds(len(self.arms), self.objectives)

    @property
    def status(self) -> int:
        """Exit status of the dry run: 0; where the trial failed 2 if the user can put it right, 3 for a bug, else 1."""
        if not self.failure:
            return 0
        return BAD_INPUT if self.refused else BUG if self.bug else 1


def split_sizes(data: TaskData) -> tuple[SplitSize, ...]:
    """Return the sizes of a task's splits."""
    found = []
    for name in SPLITS:
        split = getattr(data, name)
        tensors = (t for t in (split.mixture, split.sources, split.observed, split.parts) if t is not None)
        size = sum(t.numel() * t.element_size() for t in tensors)
        found.append(SplitSize(name, len(split), tuple(split.mixture.shape[1:]), size))
    return tuple(found)


def tried_settings(prepared: PreparedStudy) -> dict[str, Any]:
    """Return the settings of the trial that is measured: the first reference point's, or the defaults.

    A hyperparameter that skips phases where it is 0 gets a value that does not, if any trial of the study may have one,
    because every phase has to be measured.
    """
    first: dict[str, Any] = dict(next(iter(prepared.reference_points.values()), {}))
    for name in {phase.active for phase in prepared.separator.phases() if phase.active}:
        default = prepared.separator.hyperparameters()[name]
        arms = [arm.settings for arm in prepared.arms.values()]
        given = (*prepared.reference_points.values(), *prepared.controls.values(), *arms)
        others = [settings[name] for settings in given if name in settings]
        active = [value for value in (*_choices(prepared.space.get(name)), *others, default) if value]
        if not first.get(name, default) and active:
            first[name] = active[0]
    return first


def _choices(distribution: BaseDistribution | None) -> list[Any]:
    """Return all values of a categorical distribution, or the ends of a range."""
    if distribution is None:
        return []
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return [getattr(distribution, "high", None), getattr(distribution, "low", None)]


def share_active(prepared: PreparedStudy, name: str) -> EstimateRange:
    """Return the least, the likely and the largest share of the sampler's trials in which a hyperparameter is not 0."""
    if prepared.arms:
        return _mean([_share_in_arm(prepared, name, arm) for arm in prepared.arms.values()])
    return _share(prepared, name, prepared.space.get(name))


def _share_in_arm(prepared: PreparedStudy, name: str, arm: Arm) -> EstimateRange:
    if name in arm.settings:
        return EstimateRange(*[float(bool(arm.settings[name]))] * 3)
    return _share(prepared, name, prepared.space[name] if name in arm.searched else None)


def _mean(ranges: Sequence[EstimateRange]) -> EstimateRange:
    return EstimateRange(*(mean([getattr(each, part) for each in ranges]) for part in ("least", "expected", "most")))


def _share(prepared: PreparedStudy, name: str, distribution: BaseDistribution | None) -> EstimateRange:
    if isinstance(distribution, CategoricalDistribution):
        share = sum(bool(value) for value in distribution.choices) / len(distribution.choices)
        return EstimateRange(float(share == 1), share, float(share > 0))
    if distribution is not None:
        return EstimateRange(1.0, 1.0, 1.0)
    value = float(bool(prepared.separator.hyperparameters()[name]))
    return EstimateRange(value, value, value)


class TimeModel:
    """Computes how long the parts of a study take from the measured times of one of its trials.

    Args:
        prepared: the study.
        progress: how far the study is.
        measured: times of one of its trials.
        slots: number of trials that run at once.
    """

    def __init__(self, prepared: PreparedStudy, progress: StudyProgress, measured: Measurement, slots: int) -> None:
        self._prepared, self._progress, self._measured, self._slots = prepared, progress, measured, slots
        self._names = sorted({phase.active for phase in measured.phases if phase.active})
        self._members = prepared.spec.budget.seeds_per_trial

    def epoch(self) -> EstimateRange:
        """Return the seconds of an epoch of a trial of the search."""
        return self._each(self._measured.epoch_seconds)

    def trial(self) -> EstimateRange:
        """Return the seconds of a trial of the search that runs its whole budget."""
        budget = self._prepared.spec.budget.max_epochs
        return self._each(lambda shares: self._measured.trial_seconds(budget, shares))

    def search(self) -> EstimateRange:
        """Return the seconds of the trials of the search that are still to be run."""
        spec, left, points = self._prepared.spec, self._progress.left, self._progress.points_left
        if not left:
            return EstimateRange(0.0, 0.0, 0.0)
        stopping = early_stopping(spec, len(points), left - len(points), len(self._prepared.arms))
        least, likely, most = self._shares()
        start = self._measured.worker_start
        return EstimateRange(
            start + self._makespan(stopping.least, least),
            start + mean([self._makespan(epochs, likely) for epochs in stopping.likely]) if stopping.likely else None,
            start + self._makespan(stopping.most, most),
        )

    def finals(self) -> EstimateRange:
        """Return the seconds of the retrainings that are still to be run; finalists are retrained before controls."""
        left = self._progress.retrainings_left
        if not left:
            return EstimateRange(0.0, 0.0, 0.0)
        budget, controls = self._prepared.spec.budget, self._prepared.controls
        changes: list[Mapping[str, Any]] = [{}] * budget.finalists
        if len(self._prepared.arms) > 1:  # at the best settings, and at their own
            changes = [arm.settings for arm in self._prepared.arms.values()] * 2
        changes += controls.values()
        trained_for = [(change, budget.max_epochs) for change in changes]
        for label, point in self._prepared.references.items():
            trained_for.append((point, self._prepared.reference_epochs(label) or budget.max_epochs))
        each = [one for one in trained_for for _ in range(self._prepared.final_seeds)][-left:]

        def seconds(shares: Mapping[str, float]) -> float:
            trained = (
                self._measured.trial_seconds(epochs, {**shares, **self._active(change)}) / self._members
                for change, epochs in each
            )
            return self._measured.worker_start + makespan(trained, self._slots)

        return self._each(seconds)

    def scoring(self) -> EstimateRange:
        """Return the seconds of scoring the champion, the controls and the reference points on the test split."""
        data, prepared = self._prepared.data, self._prepared
        systems = 1 + len(prepared.controls) + len(prepared.arms)
        systems += len(prepared.references) * prepared.final_seeds
        systems += len(prepared.reference_points.keys() - prepared.references.keys())
        item = self._measured.validation / self._members / len(data.validation)
        items = len(data.test)
        if data.tracks is not None:  # windows overlap: each brings three eighths of its length
            items = sum(math.ceil(8 / 3 * m.shape[-1] / data.signal.shape[0]) for m in data.tracks.mixtures)
        return EstimateRange(*[systems * item * items] * 3)

    def _makespan(self, epochs: tuple[float, ...], shares: Mapping[str, float]) -> float:
        """Return the seconds from the start of the first trial to the end of the last one.

        Args:
            epochs: number of epochs of each trial, in the order in which they start; the reference points come first.
            shares: hyperparameter that activates phases -> share of the sampler's trials in which it does.
        """
        points = [self._active(self._prepared.reference_points[name]) for name in self._progress.points_left]
        active = [*points, *[{}] * (len(epochs) - len(points))]
        each = (self._measured.trial_seconds(n, {**shares, **own}) for n, own in zip(epochs, active, strict=True))
        return makespan(each, self._slots)

    def _active(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """Return 1.0 for each phase that these settings activate and 0.0 for each that they skip, by hyperparameter."""
        return {name: float(bool(settings[name])) for name in self._names if name in settings}

    def _shares(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        """Return the least, the likely and the largest share of the sampler's trials in which each phase is active."""
        ranges = {name: share_active(self._prepared, name) for name in self._names}
        return (
            {name: share.least for name, share in ranges.items()},
            {name: share.expected for name, share in ranges.items()},
            {name: share.most for name, share in ranges.items()},
        )

    def _each(self, seconds: Callable[[Mapping[str, float]], float]) -> EstimateRange:
        return EstimateRange(*(seconds(shares) for shares in self._shares()))
