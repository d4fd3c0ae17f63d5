"""Brings MLflow into agreement with the record of a study: what is missing is added, once; nothing is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UnreachableError, mask
from .delivery import STUDY_TAG, TRIAL_TAG, Delivery, FailedError, UnavailableError
from .environment import PATIENCE, environment, resolve_uri
from .outbox import Outbox, Rejected, RunKey
from .tracker import as_texts, finite_or_nan

_AT_ONCE = 2000


@dataclass(frozen=True)
class RunRecord:
    """What a run should say, from the study's own record.

    Attributes:
        label: of the trial or retraining, as the tracker was given it; "" for the study's own run.
        name: of the run.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        start_ms: milliseconds since 1970.
        end_ms: milliseconds since 1970; None while it runs.
        params: that it must have.
        tags: that it must have.
        epochs: step -> metrics that it must have, e.g. the objective at each epoch.
        times_ms: step -> time of that epoch, as it was first told; default: the end, or else the start.
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


@dataclass
class Reconciled:
    """What was done; all zero and empty where MLflow agreed already.

    Attributes:
        delivered: operations that had been waiting.
        created: labels of runs that were missing.
        corrected: labels of runs whose status was wrong.
        completed: number of metric values, parameters and tags that were missing.
        deleted: labels of runs that a user deleted in MLflow; they stay deleted.
        rejected: what MLflow refuses.
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
    records: Sequence[RunRecord],
    *,
    uri: str | None = None,
    experiment: str = "sepray",
    wait: float = 5.0,
) -> Reconciled:
    """Deliver what waits in the outbox, then compare every run with its record and add what is missing.

    Args:
        outbox: path of the study's outbox; an empty one does where it was lost.
        study: as the tracker was given it.
        records: of all runs; the study's own has the label "".
        uri: MLflow's address, as for the tracker.
        experiment: as for the tracker.
        wait: seconds to wait for another process that delivers from the outbox.

    Raises:
        UnreachableError: the server does not answer.
        BusyError: the study is running.
    """
    address = resolve_uri(uri)
    box = Outbox(outbox)
    try:
        with environment(PATIENCE), box.exclusive(timeout=wait):
            return _Reconciliation(box, Delivery(box, address), study, experiment).run(records)
    except (UnavailableError, FailedError) as error:
        raise UnreachableError(f"MLflow at {mask(address)} does not take it: {error}") from None
    finally:
        box.close()


class _Reconciliation:
    def __init__(self, outbox: Outbox, delivery: Delivery, study: str, experiment: str) -> None:
        self.outbox, self.delivery, self.study, self.experiment = outbox, delivery, study, experiment
        self.done = Reconciled()

    def run(self, records: Sequence[RunRecord]) -> Reconciled:
        self.done.delivered = self._drain()
        ordered = sorted(records, key=lambda record: record.label != "")
        there = self._runs()
        if "" not in there:
            self.outbox.forget_runs(self.study)
        for record in ordered:
            if record.label not in there or (not record.label and _stage(there[""]) == "deleted"):
                self._put(record.label, "run", self._creation(record))
                self.done.created.append(record.label)
        self._drain()
        self.outbox.retry_rejected()
        self._drain()
        there = self._runs()
        for record in ordered:
            run = there.get(record.label)
            if run is not None and _stage(run) == "deleted":
                self.done.deleted.append(record.label)
            elif run is not None:
                self._compare(record, run)
        self._drain()
        self.done.rejected = self.outbox.rejected()
        return self.done

    def _creation(self, record: RunRecord) -> dict[str, Any]:
        where = {} if record.label else {"experiment": self.experiment}
        return {"name": record.name, "start": record.start_ms, "tags": as_texts(record.tags), **where}

    def _compare(self, record: RunRecord, run: Any) -> None:
        params = {k: v for k, v in as_texts(record.params).items() if k not in run.data.params}
        tags = {k: v for k, v in as_texts(record.tags).items() if run.data.tags.get(k) != v}
        metrics = self._missing_metrics(record, run)
        if params or tags or metrics:
            self._put(record.label, "log", {"params": params, "tags": tags, "metrics": metrics})
            self.done.completed += len(params) + len(tags) + len(metrics)
        if run.info.status != record.status:
            self._put(record.label, "status", {"status": record.status, "end": record.end_ms})
            if record.label not in self.done.created:
                self.done.corrected.append(record.label)

    def _missing_metrics(self, record: RunRecord, run: Any) -> list[list[Any]]:
        names = {name for metrics in record.epochs.values() for name in metrics}
        steps: dict[str, set[int]] = {}
        for name in names:
            history = []
            if name in run.data.metrics:
                history = self.delivery.call(self.delivery.client.get_metric_history, run.info.run_id, name)
            steps[name] = {int(metric.step) for metric in history}
        default = record.end_ms or record.start_ms
        return [
            [name, finite_or_nan(value), step, record.times_ms.get(step, default)]
            for step, metrics in sorted(record.epochs.items())
            for name, value in metrics.items()
            if step not in steps[name]
        ]

    def _runs(self) -> dict[str, Any]:
        """Return the runs of the study that the server has, by label; deleted ones too."""
        from mlflow.entities import ViewType

        client = self.delivery.client
        found = self.delivery.call(client.get_experiment_by_name, self.experiment)
        runs: dict[str, Any] = {}
        token: str | None = ""
        while found is not None and token is not None:
            page = self.delivery.call(
                client.search_runs,
                [found.experiment_id],
                filter_string="tags.`{}` = '{}'".format(STUDY_TAG, self.study.replace("'", "''")),
                run_view_type=ViewType.ALL,
                order_by=["attributes.start_time ASC"],
                max_results=500,
                page_token=token or None,
            )
            for run in page:
                label = run.data.tags.get(TRIAL_TAG, "")
                known = self.outbox.run(RunKey(self.study, label))
                if label not in runs or (known and known.run_id == run.info.run_id):
                    runs[label] = run
                if known is None and _stage(run) != "deleted":  # the outbox was lost; models are logged by these ids
                    self.outbox.know_run(
                        RunKey(self.study, label), run.info.run_id, run.info.experiment_id, run.info.status
                    )
            token = page.token or None
        return runs

    def _put(self, label: str, kind: str, body: dict[str, Any]) -> None:
        self.outbox.put(RunKey(self.study, label), kind, body)

    def _drain(self) -> int:
        total = 0
        while self.outbox.pending():
            settled, trouble = self.delivery.deliver(_AT_ONCE)
            if trouble and not settled:
                raise UnavailableError(trouble)
            total += settled
        return total


def _stage(run: Any) -> str:
    return str(run.info.lifecycle_stage)
