"""Delivers operations from the outbox to MLflow, so that a repetition after any interruption changes nothing.

Runs are found again by their tags. Metrics carry the time of their epoch: MLflow keeps one row for the same key, step,
time and value. Equal parameters and tags are overwritten by the same values.

What a user deleted in MLflow stays deleted: the operations of a deleted trial are kept as refused. The study's own run
is restored, because running the study again asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import how_to_install, mask
from .connection import connect
from .entries import as_key, name_of
from .environment import artifact_location
from .outbox import Operation, Outbox, Rejected, RunKey

STUDY_TAG = "sepray.study"
TRIAL_TAG = "sepray.trial"
ENTRIES_A_REQUEST = {"metrics": 800, "params": 100, "tags": 100}  # MLflow's limits: 1000 together, 100, 100
ATTEMPTS = 8  # of a run whose operations fail although the server answers
PERMANENT = {
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "BAD_REQUEST",
    "MALFORMED_REQUEST",
    "INVALID_STATE",
    "NOT_IMPLEMENTED",
}


class RefusedError(Exception):
    """MLflow will never take this; the message is masked."""


class UnavailableError(Exception):
    """MLflow does not take anything now; the message is masked."""


class FailedError(Exception):
    """MLflow did not take this, for a reason that may pass; the message is masked."""


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets, of at most 500 characters; what to install."""
    text = mask(str(error))
    if text.startswith("API request to"):  # the reason is inside the names of five nested exceptions
        match = re.search(r"\[Errno -?\d+\] ([\w ]+)|(timed out)|(too many \d+ error responses)", text)
        if match:
            return next(part for part in match.groups() if part)
    lines = text.strip().splitlines() or [type(error).__name__]
    return "; ".join(part for part in (lines[0][:500], how_to_install(error)) if part)


@dataclass
class _Update:
    """The waiting operations of one run, merged. Their order matters only to tags, status and name: the last wins."""

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
        self._on_run_id = on_run_id or (lambda key, run_id, experiment_id: None)
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self._attempts: dict[RunKey, int] = {}
        self._searched: set[str] = set()  # studies whose runs were looked for

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
        """Deliver the oldest operations; return how many were settled, and what went wrong with the others.

        Settled are those that MLflow took, and those that it refused for good.

        Args:
            limit: number of operations at most.

        Raises:
            UnavailableError: the server does not answer; what was not settled stays in the outbox.
        """
        updates: dict[RunKey, _Update] = {}
        for operation in self.outbox.take(limit):
            updates.setdefault(operation.key, _Update(operation.key)).add(operation)
        if updates:
            _ = self.client  # connected first: the outbox forgets the runs of another address then
        settled, trouble, blocked = 0, None, set()  # blocked: studies whose own run cannot be created yet
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
        """Call MLflow and return its answer; turn what it raises into one of three errors by what to do about it.

        Raises:
            RefusedError: it will refuse the same call again.
            FailedError: it failed, although the server answers other requests.
            UnavailableError: the server does not answer.
        """
        try:
            return function(*arguments, **named)
        except FileNotFoundError as error:
            raise RefusedError(reason_of(error)) from None
        except Exception as error:
            if getattr(error, "error_code", None) in PERMANENT:
                raise RefusedError(reason_of(error)) from None
            if getattr(error, "error_code", None) != "INTERNAL_ERROR" and hasattr(error, "error_code"):
                raise UnavailableError(reason_of(error)) from None
            self._require_answer()
            raise FailedError(reason_of(error)) from None

    def _require_answer(self) -> None:
        try:
            self.client.search_experiments(max_results=1)
        except UnavailableError:
            raise
        except Exception as error:
            raise UnavailableError(reason_of(error)) from None

    def _deliver(self, update: _Update) -> list[Rejected]:
        """Make all waiting changes to one run; return what MLflow refused of them."""
        run_id, status = self._find_or_create(update)
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
            if len(entries) > 1 and self._lifecycle(run_id) != "active":
                raise RefusedError(f"run {run_id} was deleted in MLflow") from None
            if len(entries) > 1:
                half = len(entries) // 2
                return self._log(key, run_id, entries[:half]) + self._log(key, run_id, entries[half:])
            kind, entry = entries[0]
            if kind == "params" and "Changing param" in str(error):
                # A parameter keeps its first value in MLflow; the newest (e.g. more trials) becomes a tag.
                return self._log(key, run_id, [("tags", (f"param.{entry[0]}", entry[1]))])
            own = [name_of(entry[0]), *entry[1:]]  # as it was put into the outbox, where it may be queued again
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
        folder, _, name = body["name"].rpartition("/")
        if "text" in body:
            self.call(self.client.log_text, run_id, body["text"], body["name"])
        else:
            path = self.outbox.files / body["file"]
            if path.name != name:
                raise RefusedError(f"artifact {body['name']}: the copy {path} has another name")
            self.call(self.client.log_artifact, run_id, str(path), folder or None)

    # ---- finding and creating runs ------------------------------------------------------------------------------

    def _find_or_create(self, update: _Update) -> tuple[str, str | None]:
        """Return the id and the last known status of a run, creating it where it does not exist."""
        key, creation = update.key, update.creation
        known = self.outbox.run(key)
        if known and known.run_id and creation and not key.label and not self._restore(key, known.run_id):
            known = None
        unknown = known is None and creation is not None and key.study not in self._searched  # to this outbox
        if unknown or (known is None and not key.label) or (known and not known.run_id):
            self._find_runs(key.study, creation)
            known = self.outbox.run(key)
        if known and known.run_id:
            if creation:
                self._on_run_id(key, known.run_id, known.experiment_id or "")
            return known.run_id, known.status
        if creation is None:
            raise RefusedError(f"no run is known for {key.label or key.study!r}")
        return self._create(update, creation), "RUNNING"

    def _create(self, update: _Update, creation: dict[str, Any]) -> str:
        key = update.key
        tags = {STUDY_TAG: key.study, TRIAL_TAG: key.label, **update.tags}
        if key.label:
            parent = self.outbox.run(RunKey(key.study))
            if not parent or not parent.run_id or not parent.experiment_id:
                raise RefusedError(f"the study {key.study!r} has no run of its own")
            experiment = parent.experiment_id
            tags["mlflow.parentRunId"] = parent.run_id
        else:
            experiment = self._experiment(creation["experiment"])
        self.outbox.begin_creation(key)
        first = dict(list(tags.items())[: ENTRIES_A_REQUEST["tags"]])
        run = self.call(
            self.client.create_run, experiment, start_time=creation["start"], tags=first, run_name=creation["name"]
        )
        run_id = str(run.info.run_id)
        self.outbox.save_run(key, run_id, experiment, "RUNNING")
        update.tags = {name: value for name, value in tags.items() if name not in first}
        self._on_run_id(key, run_id, experiment)
        return run_id

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, creating or restoring it."""
        if name not in self._experiments:
            experiment = self.call(self.client.get_experiment_by_name, name)
            if experiment is None:
                experiment_id = self.call(
                    self.client.create_experiment,
                    name,
                    artifact_location=artifact_location(self._uri, name),
                    tags={"mlflow.experimentKind": "custom_model_development"},  # the view that MLflow's pages open
                )
            else:
                experiment_id = experiment.experiment_id
                if experiment.lifecycle_stage == "deleted":
                    self.call(self.client.restore_experiment, experiment_id)
            self._experiments[name] = str(experiment_id)
        return self._experiments[name]

    def _restore(self, key: RunKey, run_id: str) -> bool:
        """Restore the study's own run if it was deleted; return False if the database no longer has it."""
        stage = self._lifecycle(run_id)
        if stage is None:
            self.outbox.forget_runs(key.study)
        elif stage == "deleted":
            self.call(self.client.restore_run, run_id)
        return stage is not None

    def _lifecycle(self, run_id: str) -> str | None:
        """Return ``active`` or ``deleted``; None where there is no such run."""
        try:
            return str(self.call(self.client.get_run, run_id).info.lifecycle_stage)
        except RefusedError:
            return None

    def _find_runs(self, study: str, creation: dict[str, Any] | None) -> None:
        """Save in the outbox all runs of a study that the server has and the outbox does not know.

        Of several runs with the same label the oldest counts.
        """
        from mlflow.entities import ViewType

        parent = self.outbox.run(RunKey(study))
        if parent and parent.experiment_id:
            experiment = parent.experiment_id
        elif creation and "experiment" in creation:
            experiment = self._experiment(creation["experiment"])
        else:
            raise RefusedError(f"the study {study!r} has no run of its own")
        known, token = set(self.outbox.run_ids(study)), None
        quoted = study.replace("'", "''")
        while True:
            page = self.call(
                self.client.search_runs,
                [experiment],
                filter_string=f"tags.`{STUDY_TAG}` = '{quoted}'",
                run_view_type=ViewType.ALL,
                order_by=["attributes.start_time ASC"],
                max_results=500,
                page_token=token,
            )
            for run in page:
                label = run.data.tags.get(TRIAL_TAG, "")
                if label not in known:
                    known.add(label)
                    self.outbox.save_run(RunKey(study, label), run.info.run_id, experiment, run.info.status)
                    if not label:
                        self._restore(RunKey(study), run.info.run_id)
            token = page.token
            if not token:
                self._searched.add(study)
                return


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
