"""Compares MLflow's runs with those that a study should have, and adds what is missing, once; removes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UnreachableError, mask
from .calls import FailedError, RefusedError, UnavailableError
from .delivery import Delivery
from .environment import REQUEST_LIMITS, default_variables, resolve_uri
from .outbox import Outbox, Rejected, RunKey
from .run_finding import TRIAL_TAG
from .sender import OPERATIONS_A_ROUND
from .stored_forms import as_key, as_texts, finite_or_nan


@dataclass(frozen=True)
class ExpectedRun:
    """A run that MLflow should have, with its content.

    Attributes:
        label: trial or retraining, as the tracker names it; "" for the study's own run.
        name: name of the run.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        start_ms: start in milliseconds since 1970.
        end_ms: end in milliseconds since 1970; None while it runs.
        params: parameters that the run must have; further ones may be there.
        tags: tags that the run must have; further ones may be there.
        epochs: step -> metrics that the run must have, e.g. the objective at each epoch.
        times_ms: step -> time of that epoch as it was first logged; default: the end, or else the start.
        former_name: name that the run was begun with. A run that still has it is renamed to ``name``; any other name
            stays, because a user may have given it.
        inherited: tags that are added if the run has none of that name.
        dataset: data that the run must have as an input (``stored_forms.dataset``); None: none.
    """

    label: str
    name: str
    status: str
    start_ms: int
    end_ms: int | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, object] = field(default_factory=dict)
    epochs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    times_ms: Mapping[int, int] = field(default_factory=dict)
    former_name: str = ""
    inherited: Mapping[str, object] = field(default_factory=dict)
    dataset: Mapping[str, Any] | None = None


@dataclass
class Reconciled:
    """Changes of a reconciliation; all counts are 0 and all lists empty if nothing was missing.

    Attributes:
        delivered: number of operations that were waiting in the outbox.
        created: labels of runs that were missing.
        corrected: labels of runs whose status was wrong.
        completed: number of metric values, parameters, tags, names and data that were missing.
        deleted: labels of runs that a user deleted in MLflow; they stay deleted.
        rejected: operations that MLflow refuses.
    """

    delivered: int = 0
    created: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    completed: int = 0
    deleted: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def reconcile(
    outbox: Path,
    study: str,
    expected: Sequence[ExpectedRun],
    *,
    uri: str | None = None,
    experiment: str = "sepray",
    wait: float = 5.0,
) -> Reconciled:
    """Deliver the updates that wait in the outbox, then compare every run with the expected one; add what is missing.

    Args:
        outbox: path of the study's outbox; if it was lost, a new one is made.
        study: identity of the study, as for the tracker.
        expected: all runs; the study's own has the label "".
        uri: MLflow's address, as for the tracker.
        experiment: name of the MLflow experiment, as for the tracker.
        wait: seconds to wait for another process that delivers from the outbox.

    Raises:
        UnreachableError: the server does not answer, or refuses to list the runs.
        BusyError: the study is running.
        OutboxError: the outbox cannot be opened.
    """
    address = resolve_uri(uri)
    box = Outbox(outbox)
    try:
        with default_variables(REQUEST_LIMITS), box.exclusive(timeout=wait):
            return _Reconciliation(box, Delivery(box, address), study, experiment).run(expected)
    except (UnavailableError, FailedError) as error:
        raise UnreachableError(f"MLflow at {mask(address)} does not take it: {error}") from None
    except RefusedError as error:
        raise UnreachableError(f"MLflow at {mask(address)} refuses it: {error}") from None
    finally:
        box.close()


def queue_everything(outbox: Path, study: str, experiment: str, expected: Sequence[ExpectedRun]) -> None:
    """Queue the whole content of a study's runs, for an MLflow that has none of them; the outbox forgets their ids.

    Args:
        outbox: path of the study's outbox.
        study: identity of the study, as for the tracker.
        experiment: name of the MLflow experiment.
        expected: the runs; the study's own run, with the label "", stays open.

    Raises:
        OutboxError: the outbox cannot be written.
    """
    box = Outbox(outbox)
    try:
        box.forget_runs(study)
        for run in sorted(expected, key=lambda run: run.label != ""):
            key = RunKey(study, run.label)
            box.put(key, "run", _creation(run, experiment))
            params, metrics = as_texts(run.params), _metrics(run, {})
            if params or metrics:
                box.put(key, "log", {"params": params, "metrics": metrics})
            if run.dataset is not None:
                box.put(key, "dataset", dict(run.dataset))
            if run.label:
                box.put(key, "status", {"status": run.status, "end": run.end_ms})
    finally:
        box.close()


def _creation(expected: ExpectedRun, experiment: str) -> dict[str, Any]:
    where = {} if expected.label else {"experiment": experiment}
    tags = as_texts({**expected.inherited, **expected.tags})
    return {"name": expected.name, "start": expected.start_ms, "tags": tags, **where}


def _metrics(expected: ExpectedRun, known: Mapping[str, set[int]]) -> list[list[Any]]:
    """Return the rows (name, value, step, time) of a run that are not among the known steps of each metric."""
    default = expected.end_ms or expected.start_ms
    return [
        [name, finite_or_nan(value), step, expected.times_ms.get(step, default)]
        for step, metrics in sorted(expected.epochs.items())
        for name, value in metrics.items()
        if step not in known.get(name, ())
    ]


class _Reconciliation:
    def __init__(self, outbox: Outbox, delivery: Delivery, study: str, experiment: str) -> None:
        self.outbox, self.delivery, self.study, self.experiment = outbox, delivery, study, experiment
        self.result = Reconciled()

    def run(self, expected_runs: Sequence[ExpectedRun]) -> Reconciled:
        self.result.delivered = self._drain()
        ordered = sorted(expected_runs, key=lambda expected: expected.label != "")
        runs = self._runs()
        if "" not in runs:
            self.outbox.forget_runs(self.study)
        for expected in ordered:
            if expected.label not in runs or (not expected.label and _stage(runs[""]) == "deleted"):
                self._put(expected.label, "run", _creation(expected, self.experiment))
                self.result.created.append(expected.label)
        self._drain()
        self.outbox.retry_rejected()
        self._drain()
        runs = self._runs()
        for expected in ordered:
            run = runs.get(expected.label)
            if run is not None and _stage(run) == "deleted":
                self.result.deleted.append(expected.label)
            elif run is not None:
                self._compare(expected, run)
        self._drain()
        self.result.rejected = self.outbox.rejected()
        return self.result

    def _compare(self, expected: ExpectedRun, run: Any) -> None:
        params = {k: v for k, v in as_texts(expected.params).items() if as_key(k) not in run.data.params}
        tags = {k: v for k, v in as_texts(expected.tags).items() if run.data.tags.get(as_key(k)) != v}
        tags |= {k: v for k, v in as_texts(expected.inherited).items() if as_key(k) not in run.data.tags}
        metrics = self._missing_metrics(expected, run)
        if params or tags or metrics:
            self._put(expected.label, "log", {"params": params, "tags": tags, "metrics": metrics})
            self.result.completed += len(params) + len(tags) + len(metrics)
        if expected.former_name and run.info.run_name == expected.former_name != expected.name:
            self._put(expected.label, "name", {"name": expected.name})
            self.result.completed += 1
        if expected.dataset is not None and expected.dataset["digest"] not in _digests(run):
            self._put(expected.label, "dataset", dict(expected.dataset))
            self.result.completed += 1
        if run.info.status != expected.status:
            self._put(expected.label, "status", {"status": expected.status, "end": expected.end_ms})
            if expected.label not in self.result.created:
                self.result.corrected.append(expected.label)

    def _missing_metrics(self, expected: ExpectedRun, run: Any) -> list[list[Any]]:
        names = {name for metrics in expected.epochs.values() for name in metrics}
        steps: dict[str, set[int]] = {}
        for name in names:
            history = []
            if (key := as_key(name)) in run.data.metrics:
                history = self.delivery.call(self.delivery.client.get_metric_history, run.info.run_id, key)
            steps[name] = {int(metric.step) for metric in history}
        return _metrics(expected, steps)

    def _runs(self) -> dict[str, Any]:
        """Return the runs of the study that the server has, by label; deleted ones too."""
        experiment = self.delivery.call(self.delivery.client.get_experiment_by_name, self.experiment)
        runs: dict[str, Any] = {}
        for run in self.delivery.runs.of_study(self.study, experiment.experiment_id) if experiment is not None else ():
            label = run.data.tags.get(TRIAL_TAG, "")
            key = RunKey(self.study, label)
            known = self.outbox.run(key)
            if label not in runs or (known and known.run_id == run.info.run_id):
                runs[label] = run
            if known is None and _stage(run) != "deleted":  # the outbox was lost; a model's run is found by its id
                self.outbox.save_run(key, run.info.run_id, run.info.experiment_id, run.info.status)
        return runs

    def _put(self, label: str, kind: str, body: dict[str, Any]) -> None:
        self.outbox.put(RunKey(self.study, label), kind, body)

    def _drain(self) -> int:
        """Deliver all operations that wait; return how many they were."""
        total = 0
        while self.outbox.pending():
            settled, trouble = self.delivery.deliver(OPERATIONS_A_ROUND)
            if trouble and not settled:
                raise UnavailableError(trouble)
            total += settled
        return total


def _digests(run: Any) -> set[str]:
    """Return the digests of a run's data."""
    return {given.dataset.digest for given in (run.inputs.dataset_inputs if run.inputs else ())}


def _stage(run: Any) -> str:
    return str(run.info.lifecycle_stage)
