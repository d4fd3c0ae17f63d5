"""Delivers operations from the outbox to MLflow; a delivery that is repeated after an interruption changes nothing.

Runs are found again by their tags (``run_finding``). Metrics carry the time of their epoch: MLflow keeps one row for
the same key, step, time and value. If another outbox has delivered to a run before, epochs that MLflow has already are
not sent again. Parameters and tags are overwritten with the same values.

If a user has deleted a trial's run in MLflow, the trial's operations are kept as refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import mask
from .artifact_locations import DEFAULT_EXPERIMENT, refusal
from .calls import FailedError, RefusedError, UnavailableError, call, reason_of
from .connection import connect
from .outbox import Operation, Outbox, OutboxError, Rejected, RunKey
from .run_finding import RunFinder
from .stored_forms import as_key, name_of
from .stored_operations import is_sound

ENTRIES_A_REQUEST = {"metrics": 800, "params": 100, "tags": 100}  # MLflow's limits: 1000 together, 100, 100
_DAMAGED = "it is not as sepray writes it"
ATTEMPTS = 8  # tries to deliver a run's operations, if they fail although the server answers


@dataclass
class _Update:
    """The waiting operations of one run, merged; of several values of a tag, a status or a name the last one counts."""

    key: RunKey
    operations: list[Operation] = field(default_factory=list)
    creation: dict[str, Any] | None = None
    metrics: dict[tuple[str, int, int, str], list[Any]] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    others: list[Operation] = field(default_factory=list)
    status: Operation | None = None
    name: str | None = None

    def add(self, operation: Operation) -> None:
        self.operations.append(operation)
        body = operation.body
        if operation.kind == "run":
            self.creation = self.creation or body
            self.status = None
            self.tags.update(_keyed(body["tags"]))
        elif operation.kind == "log":
            for key, value, step, time_ms in body.get("metrics", ()):
                name = as_key(key)
                self.metrics[name, step, time_ms, repr(value)] = [name, value, step, time_ms]
            self.params.update(_keyed(body.get("params", {})))
            self.tags.update(_keyed(body.get("tags", {})))
        elif operation.kind == "status":
            self.status = operation
        elif operation.kind == "name":
            self.name = body["name"]
        else:
            self.others.append(operation)


class Delivery:
    """Delivers from one outbox to one address. Not thread-safe: one sender uses it.

    Args:
        outbox: queue of operations.
        uri: MLflow's address, with its secrets.
        on_run_id: called with the key, the id and the experiment's id of each run that was created or found.
    """

    def __init__(self, outbox: Outbox, uri: str, on_run_id: Callable[[RunKey, str, str], None] | None = None) -> None:
        self.outbox = outbox
        self._uri = uri
        self._client: Any = None
        self._attempts: dict[RunKey, int] = {}
        self._placed: set[str] = set()  # runs whose files go where they should
        self._experiments: dict[str, str] = {}  # id -> where its files go
        ignored: Callable[[RunKey, str, str], None] = lambda key, run_id, experiment_id: None  # noqa: E731
        self.runs = RunFinder(outbox, uri, lambda: self.client, on_run_id or ignored)

    @property
    def client(self) -> Any:
        """The MlflowClient, connected at first use (a new local database takes seconds to create).

        Raises:
            UnavailableError: there is no answer.
        """
        if self._client is None:
            try:
                client = connect(self._uri)
            except Exception as error:
                raise UnavailableError(reason_of(error)) from None
            self.outbox.set_target(mask(self._uri))
            self._client = client
        return self._client

    def deliver(self, limit: int) -> tuple[int, str | None]:
        """Deliver the oldest operations; return how many were settled, and why others were not (None: all were).

        An operation is settled once MLflow has taken it, or has refused it for good.

        Args:
            limit: number of operations at most.

        Raises:
            UnavailableError: the server does not answer; what was not settled stays in the outbox.
        """
        updates: dict[RunKey, _Update] = {}
        taken = self.outbox.take(limit)
        sound = [operation for operation in taken if is_sound(operation.kind, operation.body)]
        damaged = [operation for operation in taken if not is_sound(operation.kind, operation.body)]
        self.outbox.acknowledge(damaged, [Rejected(o.key, o.kind, o.body, _DAMAGED) for o in damaged])
        for operation in sound:
            updates.setdefault(operation.key, _Update(operation.key)).add(operation)
        if updates:
            _ = self.client  # connects first, because the outbox then forgets the runs of another address
        settled, trouble, blocked = len(damaged), None, set()  # blocked: studies whose own run cannot be created yet
        for update in sorted(updates.values(), key=lambda update: update.key.label != ""):  # a study's own run first
            if update.key.study in blocked:
                continue
            try:
                refused = self._deliver(update)
            except RefusedError as error:
                refused = [Rejected(o.key, o.kind, o.body, str(error)) for o in update.operations]
            except FailedError as error:
                trouble = str(error)
                attempts = self._attempts[update.key] = self._attempts.get(update.key, 0) + 1
                if attempts < ATTEMPTS:
                    blocked |= set() if update.key.label else {update.key.study}
                    continue
                refused = [Rejected(o.key, o.kind, o.body, trouble) for o in update.operations]
            self._attempts.pop(update.key, None)
            self.outbox.acknowledge(update.operations, refused)
            settled += len(update.operations)
        self.outbox.checkpoint()
        return settled, trouble

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call MLflow as ``calls.call`` does, and return its answer."""
        return call(self.client, function, *arguments, **named)

    def _deliver(self, update: _Update) -> list[Rejected]:
        """Make all waiting changes to one run; return what MLflow refused of them."""
        run_id, status, update.tags = self.runs.find_or_create(update.key, update.creation, update.tags)
        if update.key.label and update.metrics:
            there = self.runs.steps(update.key, run_id, {row[0] for row in update.metrics.values()})
            update.metrics = {k: row for k, row in update.metrics.items() if (row[0], row[2]) not in there}
        refused: list[Rejected] = []
        for group in _requests(update):
            refused += self._log(update.key, run_id, group)
        for operation in update.others:
            try:
                self._add_input_or_artifact(run_id, operation)
            except RefusedError as error:
                refused.append(Rejected(update.key, operation.kind, operation.body, str(error)))
        if update.name is not None:
            self.call(self.client.update_run, run_id, name=update.name)
        wanted = update.status.body if update.status else {"status": "RUNNING"} if update.creation else None
        if wanted is not None and (wanted["status"] != status or wanted.get("end")):
            if wanted["status"] == "RUNNING":
                self.call(self.client.update_run, run_id, status="RUNNING")
            else:
                self.call(self.client.set_terminated, run_id, wanted["status"], wanted.get("end"))
            known = self.outbox.run(update.key)
            self.outbox.save_run(update.key, run_id, (known and known.experiment_id) or "", wanted["status"])
        return refused

    def _log(self, key: RunKey, run_id: str, entries: list[tuple[str, Any]]) -> list[Rejected]:
        """Log entries in one request; halve a refused request until each refused entry stands alone."""
        from mlflow.entities import Metric, Param, RunTag

        try:
            self.call(
                self.client.log_batch,
                run_id,
                metrics=[Metric(k, v, t, s) for kind, (k, v, s, t) in _of_kind(entries, "metrics")],
                params=[Param(k, v) for kind, (k, v) in _of_kind(entries, "params")],
                tags=[RunTag(k, v) for kind, (k, v) in _of_kind(entries, "tags")],
            )
        except RefusedError as error:
            if len(entries) > 1 and self.runs.lifecycle(run_id) != "active":
                raise RefusedError(f"run {run_id} was deleted in MLflow") from None
            if len(entries) > 1:
                half = len(entries) // 2
                return self._log(key, run_id, entries[:half]) + self._log(key, run_id, entries[half:])
            kind, entry = entries[0]
            if kind == "params" and "Changing param" in str(error):
                # A parameter keeps its first value in MLflow; the newest (e.g. more trials) becomes a tag.
                return self._log(key, run_id, [("tags", (f"param.{entry[0]}", entry[1]))])
            own = [name_of(entry[0]), *entry[1:]]  # in the form of the outbox, where it may be queued again
            body = {kind: [own] if kind == "metrics" else {own[0]: own[1]}}
            return [Rejected(key, "log", body, str(error))]
        return []

    def _add_input_or_artifact(self, run_id: str, operation: Operation) -> None:
        body = operation.body
        if operation.kind == "dataset":
            from mlflow.entities import Dataset, DatasetInput, InputTag

            dataset = Dataset(
                name=body["name"],
                digest=body["digest"],
                source_type="code",
                source=body["source"],
                profile=body["profile"],
            )
            tags = [InputTag("mlflow.data.context", body["context"])]
            self.call(self.client.log_inputs, run_id, datasets=[DatasetInput(dataset, tags)])
            return
        self._require_own_location(run_id)
        folder, _, name = body["name"].rpartition("/")
        if "text" in body:
            self.call(self.client.log_text, run_id, body["text"], body["name"])
        else:
            path = self.outbox.files / body["file"]
            if path.name != name:
                raise RefusedError(f"artifact {body['name']}: the copy {path} has another name")
            try:
                self.outbox.refuse_links(path)
            except OutboxError as error:
                raise RefusedError(f"artifact {body['name']}: {error}") from None
            self.call(self.client.log_artifact, run_id, str(path), folder or None)

    def _require_own_location(self, run_id: str) -> None:
        """Refuse a run whose files would go to a folder that is not its experiment's, or to an unknown host.

        Raises:
            RefusedError: the files would go there.
        """
        if run_id not in self._placed:
            info = self.call(self.client.get_run, run_id).info
            if info.experiment_id not in self._experiments:
                found = self.call(self.client.get_experiment, info.experiment_id)
                self._experiments[info.experiment_id] = str(found.artifact_location)
            experiment = self._experiments[info.experiment_id]
            if reason := refusal(str(info.artifact_uri), experiment, self._uri, self._default_location):
                raise RefusedError(f"run {run_id}: {reason}")
            self._placed.add(run_id)

    def _default_location(self) -> str | None:
        """Return where the files of the default experiment are; None if the server does not tell."""
        try:
            return str(self.call(self.client.get_experiment, DEFAULT_EXPERIMENT).artifact_location)
        except RefusedError:
            return None


def _keyed(values: Mapping[str, str]) -> dict[str, str]:
    return {as_key(name): value for name, value in values.items()}


def _requests(update: _Update) -> list[list[tuple[str, Any]]]:
    """Return the entries (kind, entry) of a run, divided into requests of the size that MLflow takes."""
    waiting: dict[str, list[Any]] = {
        "metrics": list(update.metrics.values()),
        "params": list(update.params.items()),
        "tags": list(update.tags.items()),
    }
    requests = []
    while any(waiting.values()):
        requests.append([(kind, e) for kind, size in ENTRIES_A_REQUEST.items() for e in waiting[kind][:size]])
        waiting = {kind: entries[ENTRIES_A_REQUEST[kind] :] for kind, entries in waiting.items()}
    return requests


def _of_kind(entries: list[tuple[str, Any]], kind: str) -> list[tuple[str, Any]]:
    return [entry for entry in entries if entry[0] == kind]
