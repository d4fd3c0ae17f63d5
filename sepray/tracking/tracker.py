"""Tracks a study in MLflow: every method appends to the outbox and returns at once.

If the outbox cannot take an operation because its disk is full, the operation waits in memory and is tried again; no
method raises because of that.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import mask
from .buffer import Buffer
from .environment import resolve_uri
from .outbox import Outbox, OutboxError, Rejected, RunKey
from .sender import Sender
from .stored_forms import NOTE, as_json, as_texts, dataset, finite_or_nan, inherited, now

OUTCOME = "outcome"
RUNNING = "running"
INTERRUPTED = "interrupted"
_log = logging.getLogger(__name__)


class Tracker:
    """Tracks one study: a parent run, and a nested run for each trial or retraining.

    Every method may be repeated, in this or a later process: nothing appears twice. A trial's label is its number; a
    retraining's is a text (``"final-2"``); the study's own run has the label "".

    Args:
        outbox: path of the outbox, beside the study's other files.
        study: identity of the study among all others on the same server, e.g. name and fingerprint.
        uri: MLflow's address; None: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.
        experiment: name of the MLflow experiment.
        interval: seconds between deliveries.
        longest_wait: greatest number of seconds between attempts while the server is down.
        on_run_id: called with (label, run id, id of its experiment) once MLflow has given a run its id, from a thread.
            ``run_ids()`` returns all ids of runs.
        on_trouble: called with the reason when nothing can be delivered, with None when it can again; from a thread.
        on_outbox_trouble: called once with the reason when the outbox cannot take something.
        last_words: line for the terminal if this process ends without closing the tracker; empty: none.

    Attributes:
        refused: operations that MLflow has refused for good; filled when the tracker is closed.

    Raises:
        OutboxError: the outbox cannot be opened.
    """

    def __init__(
        self,
        outbox: Path,
        study: str,
        *,
        uri: str | None = None,
        experiment: str = "sepray",
        interval: float = 5.0,
        longest_wait: float = 30.0,
        on_run_id: Callable[[str, str, str], None] | None = None,
        on_trouble: Callable[[str | None], None] | None = None,
        on_outbox_trouble: Callable[[str], None] | None = None,
        last_words: str = "",
    ) -> None:
        self.uri = resolve_uri(uri)
        self.study = study
        self.experiment = experiment
        self.outbox = Outbox(outbox)
        self._buffer = Buffer(on_outbox_trouble or (lambda reason: None))
        self.refused: list[Rejected] = []
        self._open: set[str] = set()
        self._inherited: Mapping[str, object] = {}
        self._dataset: dict[str, Any] | None = None
        self._has_told = self._has_run()  # asked before the sender looks in MLflow for a run that others have created
        self._sender: Sender | None = Sender(
            outbox,
            self.uri,
            interval=interval,
            longest_wait=longest_wait,
            on_run_id=lambda key, *ids: on_run_id(key.label, *ids) if on_run_id else None,
            on_trouble=on_trouble or (lambda reason: None),
            last_words=last_words,
        )

    def open_study(
        self,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, object],
        note: str = "",
        start_ms: int | None = None,
    ) -> None:
        """Create the study's own run, or open it again.

        A parameter that changes keeps its first value in MLflow; the new value becomes the tag ``param.<name>``. Trials
        that are started after this get some of these tags too (``stored_forms.inherited``).

        Args:
            name: name of the run.
            params: parameters.
            tags: tags.
            note: description of the run, in Markdown.
            start_ms: milliseconds since 1970; default: now.
        """
        note_tag = {NOTE: note} if note else {}
        creation = {"name": name, "experiment": self.experiment}
        self._inherited = inherited(tags)
        self._begin("", creation, params, {"stage": "study", **tags, **note_tag}, start_ms)

    def trial_started(
        self,
        number: int | str,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, object] | None = None,
        start_ms: int | None = None,
        stage: str = "search",
    ) -> None:
        """Create a trial's run, or open it again if it was interrupted; its input is the study's data.

        Args:
            number: number or label of the trial.
            name: name of the run.
            params: parameters.
            tags: tags.
            start_ms: milliseconds since 1970; default: now.
            stage: value of the tag ``stage``.
        """
        own = {"stage": stage, **self._inherited, **(tags or {})}
        self._begin(str(number), {"name": name}, params, own, start_ms)
        if self._dataset is not None:
            key, given = RunKey(self.study, str(number)), self._dataset
            self._buffer.perform(lambda: self.outbox.put_once(key, "dataset", given, f"dataset {given['digest']}"))

    def trial_epoch(
        self, number: int | str, metrics: Mapping[str, float], step: int, timestamp_ms: int | None = None
    ) -> None:
        """Log the metrics of an epoch; a second report of the same epoch, e.g. after a crash, is ignored.

        Infinite values become NaN: MLflow's databases would store the largest float, which would spoil its charts.

        Args:
            number: number or label of the trial.
            metrics: values by name.
            step: epoch.
            timestamp_ms: milliseconds since 1970; default: now.
        """
        self._metrics(str(number), metrics, step, timestamp_ms, f"epoch {int(step)}")

    def trial_tags(self, number: int | str, tags: Mapping[str, object]) -> None:
        """Set tags of a trial's run."""
        self._put(str(number), "log", {"tags": as_texts(tags)})

    def trial_finished(
        self,
        number: int | str,
        status: str,
        tags: Mapping[str, object] | None = None,
        end_ms: int | None = None,
        artifacts: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        """End a trial's run.

        Args:
            number: number or label of the trial.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            tags: e.g. ``{"outcome": "pruned"}``; the default outcome is the status in small letters.
            end_ms: milliseconds since 1970; default: now.
            artifacts: texts by file name, e.g. ``{"traceback.txt": ...}``.
            name: name that the run gets; empty: it keeps its own.
        """
        if name:
            self._put(str(number), "name", {"name": name})
        self._end(str(number), status, tags or {}, end_ms, artifacts or {})

    def trial_interrupted(self, number: int | str, end_ms: int | None = None) -> None:
        """End a trial's run with status KILLED and ``outcome=interrupted``; ``trial_started`` opens it again."""
        self._end(str(number), "KILLED", {OUTCOME: INTERRUPTED}, end_ms, {})

    def interrupted(self, note: str = "") -> None:
        """End all open runs with ``outcome=interrupted``: the trials' and the study's own.

        Args:
            note: description that the study's own run gets, in Markdown; empty: it keeps its own.
        """
        if note and "" in self._open:
            self._put("", "log", {"tags": as_texts({NOTE: note})})
        for label in sorted(self._open, reverse=True):
            self.trial_interrupted(label)

    def study_metrics(
        self, metrics: Mapping[str, float], step: int, timestamp_ms: int | None = None, *, known: bool = False
    ) -> None:
        """Log a step of metrics of the study's own run; a second report of the same step is ignored.

        Args:
            metrics: values by name.
            step: step.
            timestamp_ms: milliseconds since 1970; default: now.
            known: whether an earlier process may have logged this step. If that process's outbox was lost, the time of
                its entry is not known. Then nothing is logged here, and ``sepray reconcile`` adds what is missing.
        """
        mark = f"step {int(step)}"
        if known and not self._has_told:
            self._buffer.perform(lambda: self.outbox.mark(RunKey(self.study), mark))
        else:
            self._metrics("", metrics, step, timestamp_ms, mark)

    def study_finished(
        self,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, object] | None = None,
        note: str = "",
        end_ms: int | None = None,
        status: str = "FINISHED",
    ) -> None:
        """End the study's own run.

        Args:
            metrics: summary of the study, by name.
            tags: tags; the default outcome is the status in small letters.
            note: description of the run, in Markdown.
            end_ms: milliseconds since 1970; default: now.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        if metrics:
            self._metrics("", metrics, 0, end_ms, f"summary {as_json(metrics)}")
        note_tag = {NOTE: note} if note else {}
        self._end("", status, {**(tags or {}), **note_tag}, end_ms, {})

    def log_dataset(self, name: str, fingerprint: str, description: Mapping[str, object], context: str) -> None:
        """Log the data as an input of the study's run, and of the runs of all trials that are started after this.

        Args:
            name: name of the task.
            fingerprint: digest of the data's content, of which MLflow keeps the first 36 characters.
            description: the task's configuration, and the sizes of its splits.
            context: what the data are used for, e.g. ``"training"``.
        """
        self._dataset = dataset(name, fingerprint, description, context)
        self._put("", "dataset", self._dataset)

    def log_text(self, number: int | str, name: str, text: str) -> None:
        """Add a text, without secrets, as an artifact of a run; ``name`` may have folders."""
        key = RunKey(self.study, str(number))
        self._buffer.perform(lambda: self.outbox.put_text(key, name, mask(text)))

    def log_file(self, number: int | str, name: str, path: Path) -> None:
        """Add a copy of a file, as it is, as an artifact of a run; ``name`` may have folders."""
        key = RunKey(self.study, str(number))
        self._buffer.perform(lambda: self.outbox.put_file(key, name, path))

    def run_ids(self) -> dict[str, str]:
        """Return MLflow's run ids by label."""
        return self.outbox.run_ids(self.study)

    def experiment_id(self) -> str:
        """Return the id of the study's experiment; empty while MLflow has not given its run an id."""
        with contextlib.suppress(OutboxError):
            run = self.outbox.run(RunKey(self.study))
            return (run and run.experiment_id) or ""
        return ""

    def pending(self) -> int:
        """Return how many operations wait, in the outbox and in memory."""
        try:
            return self.outbox.pending() + len(self._buffer)
        except OutboxError:
            return max(1, len(self._buffer))  # the number in the outbox is not known

    def rejected(self) -> list[Rejected]:
        """Return the operations that MLflow refused for good, with the reasons; none if they cannot be read."""
        try:
            return self.outbox.rejected()
        except OutboxError:
            return []

    def flush(self, timeout: float) -> int:
        """Deliver now, and wait for it; return how many operations are left after at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        self._buffer.empty()
        if self._sender:
            self._sender.send("flush")
        while self.pending() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.pending()

    def close(self, timeout: float = 30.0) -> int:
        """Deliver for at most ``timeout`` seconds, then end; return how many operations are left. Never raises."""
        if self._sender is None:
            return 0
        sender, self._sender = self._sender, None
        self._buffer.empty()
        try:
            sender.send("finish")
            sender.wait(timeout)
        except OSError as error:
            _log.info("the process that delivers to MLflow has not ended: %s", error)
        self._buffer.empty()
        waiting, self.refused = self.pending(), self.rejected()
        with contextlib.suppress(OutboxError):
            self.outbox.close()
        return waiting

    def abandon(self) -> None:
        """End without delivering anything more; waiting operations stay in the outbox."""
        if self._sender:
            self._sender.kill()
            self._sender = None
            with contextlib.suppress(OutboxError):
                self.outbox.close()

    def _begin(
        self,
        label: str,
        creation: Mapping[str, object],
        params: Mapping[str, object],
        tags: Mapping[str, object],
        start_ms: int | None,
    ) -> None:
        start = now() if start_ms is None else int(start_ms)
        body = {**creation, "start": start, "tags": as_texts({OUTCOME: RUNNING, **tags})}
        self._put(label, "run", body)
        if params:
            self._put(label, "log", {"params": as_texts(params)})
        self._open.add(label)

    def _end(
        self,
        label: str,
        status: str,
        tags: Mapping[str, object],
        end_ms: int | None,
        artifacts: Mapping[str, str],
    ) -> None:
        for name, text in artifacts.items():
            self.log_text(label, name, text)
        self._put(label, "log", {"tags": as_texts({OUTCOME: status.lower(), **tags})})
        self._put(label, "status", {"status": status, "end": now() if end_ms is None else int(end_ms)})
        self._open.discard(label)

    def _metrics(
        self, label: str, metrics: Mapping[str, float], step: int, timestamp_ms: int | None, mark: str
    ) -> None:
        time_ms = now() if timestamp_ms is None else int(timestamp_ms)
        rows = [[k, finite_or_nan(v), int(step), time_ms] for k, v in metrics.items()]
        key = RunKey(self.study, label)
        self._buffer.perform(lambda: self.outbox.put_once(key, "log", {"metrics": rows}, mark))

    def _put(self, label: str, kind: str, body: dict[str, Any]) -> None:
        self._buffer.perform(lambda: self.outbox.put(RunKey(self.study, label), kind, body))

    def _has_run(self) -> bool:
        """Say whether this outbox knows the study's own run; True too if it cannot be read."""
        try:
            run = self.outbox.run(RunKey(self.study))
        except OutboxError:
            return True
        return bool(run and run.run_id)


def forget(outbox: Path, study: str) -> None:
    """Drop a study's waiting operations and run ids from an outbox, because another outbox has taken over since."""
    opened = Outbox(outbox)
    try:
        opened.acknowledge([operation for operation in opened.take(sys.maxsize) if operation.key.study == study])
        opened.forget_runs(study)
    finally:
        opened.close()
