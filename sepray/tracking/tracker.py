"""The study's side of tracking: every method appends to the outbox and returns at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import mask
from .environment import resolve_uri
from .outbox import Outbox, Rejected, RunKey
from .sender import Sender

OUTCOME = "outcome"
RUNNING = "running"
INTERRUPTED = "interrupted"


class Tracker:
    """Tells MLflow about one study: a parent run, and a nested run for each trial or retraining.

    Every method may be repeated, in this or a later process: nothing appears twice. A trial is addressed by
    its number, or by a text for what is no trial (``"final-2/seed-1"``).

    Args:
        outbox: path of the outbox, beside the study's other files.
        study: what tells this study from all others on the same server, e.g. name and fingerprint.
        uri: MLflow's address; None: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.
        experiment: name of the MLflow experiment.
        interval: seconds between deliveries.
        on_run_id: told (label of a trial or "" for the study, run id) once MLflow has given it; called
            from a thread. ``run_ids()`` gives all of them.
        on_trouble: told why nothing is delivered now, None when it goes on; called from a thread.
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
        on_run_id: Callable[[str, str], None] | None = None,
        on_trouble: Callable[[str | None], None] | None = None,
    ) -> None:
        self.uri = resolve_uri(uri)
        self.study = study
        self.experiment = experiment
        self.outbox = Outbox(outbox)
        self._open: set[str] = set()
        self._sender: Sender | None = Sender(
            outbox,
            self.uri,
            interval=interval,
            longest_wait=longest_wait,
            on_run_id=lambda key, run_id: on_run_id(key.label, run_id) if on_run_id else None,
            on_trouble=on_trouble or (lambda reason: None),
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

        A parameter that has another value than at first keeps the first; the new one becomes a tag ``param.<name>``.
        """
        noted = {"mlflow.note.content": note} if note else {}
        creation = {"name": name, "experiment": self.experiment}
        self._begin("", creation, params, {"stage": "study", **tags, **noted}, start_ms)

    def trial_started(
        self,
        number: int | str,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, object] | None = None,
        start_ms: int | None = None,
        stage: str = "search",
    ) -> None:
        """Create a trial's run, or open it again where it was interrupted."""
        self._begin(str(number), {"name": name}, params, {"stage": stage, **(tags or {})}, start_ms)

    def trial_epoch(
        self, number: int | str, metrics: Mapping[str, float], step: int, timestamp_ms: int | None = None
    ) -> None:
        """Record the metrics of an epoch; what is told of it again, e.g. trained anew after a crash, is left out.

        What is infinite is recorded as not a number: MLflow's databases would store the largest float, and charts
        would show nothing else.
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
    ) -> None:
        """End a trial's run.

        Args:
            number: of the trial.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            tags: e.g. ``{"outcome": "pruned"}``; without an outcome it is the status in small letters.
            end_ms: milliseconds since 1970; default: now.
            artifacts: texts by file name, e.g. ``{"traceback.txt": ...}``.
        """
        self._end(str(number), status, tags or {}, end_ms, artifacts or {})

    def trial_interrupted(self, number: int | str, end_ms: int | None = None) -> None:
        """End a trial's run for now: killed, ``outcome=interrupted``; ``trial_started`` opens it again."""
        self._end(str(number), "KILLED", {OUTCOME: INTERRUPTED}, end_ms, {})

    def interrupted(self) -> None:
        """End all open runs for now, the trials' and the study's own."""
        for label in sorted(self._open, reverse=True):
            self.trial_interrupted(label)

    def study_finished(
        self,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, object] | None = None,
        note: str = "",
        end_ms: int | None = None,
        status: str = "FINISHED",
    ) -> None:
        """End the study's own run with its summary."""
        if metrics:
            self._metrics("", metrics, 0, end_ms, f"summary {_json(metrics)}")
        noted = {"mlflow.note.content": note} if note else {}
        self._end("", status, {**(tags or {}), **noted}, end_ms, {})

    def log_dataset(self, name: str, fingerprint: str, description: Mapping[str, object], context: str) -> None:
        """Record the data as an input of the study's run.

        Args:
            name: of the task.
            fingerprint: of the data's content; MLflow keeps its first 36 characters as the digest.
            description: the task's resolved configuration and sizes.
            context: what it was used for, e.g. ``"training"``.
        """
        profile = _json({**description, "fingerprint": fingerprint})
        source = _json({"task": name, "fingerprint": fingerprint})
        body = {"name": name, "digest": fingerprint[:36], "source": source, "profile": profile, "context": context}
        self._put("", "dataset", body)

    def log_text(self, number: int | str, name: str, text: str) -> None:
        """Add a text as an artifact (``""``: to the study's own run); ``name`` may have folders."""
        self.outbox.put_text(RunKey(self.study, str(number)), name, mask(text))

    def log_file(self, number: int | str, name: str, path: Path) -> None:
        """Add a copy of a file as an artifact (``""``: to the study's own run); ``name`` may have folders."""
        self.outbox.put_file(RunKey(self.study, str(number)), name, path)

    def run_ids(self) -> dict[str, str]:
        """Return the run id of each label that has one ("" is the study's own run)."""
        return self.outbox.run_ids(self.study)

    def pending(self) -> int:
        """Return how many operations wait."""
        return self.outbox.pending()

    def rejected(self) -> list[Rejected]:
        """Return what MLflow refused for good, with the reasons."""
        return self.outbox.rejected()

    def flush(self, timeout: float) -> int:
        """Deliver now and wait; return how many operations still wait after ``timeout`` seconds."""
        if self._sender:
            self._sender.tell("flush")
        deadline = time.monotonic() + timeout
        while self.outbox.pending() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.outbox.pending()

    def close(self, timeout: float = 30.0) -> int:
        """Deliver what waits for at most ``timeout`` seconds; return how many operations still wait."""
        if self._sender:
            self._sender.tell("finish")
            self._sender.wait(timeout)
            self._sender = None
            left = self.outbox.pending()
            self.outbox.close()
            return left
        return 0

    def _begin(
        self,
        label: str,
        creation: Mapping[str, object],
        params: Mapping[str, object],
        tags: Mapping[str, object],
        start_ms: int | None,
    ) -> None:
        start = _now() if start_ms is None else int(start_ms)
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
        self._put(label, "status", {"status": status, "end": _now() if end_ms is None else int(end_ms)})
        self._open.discard(label)

    def _metrics(
        self, label: str, metrics: Mapping[str, float], step: int, timestamp_ms: int | None, mark: str
    ) -> None:
        at = _now() if timestamp_ms is None else int(timestamp_ms)
        rows = [[k, finite_or_nan(v), int(step), at] for k, v in metrics.items()]
        self.outbox.put_once(RunKey(self.study, label), "log", {"metrics": rows}, mark)

    def _put(self, label: str, kind: str, body: dict[str, Any]) -> None:
        self.outbox.put(RunKey(self.study, label), kind, body)


def _now() -> int:
    return time.time_ns() // 1_000_000


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return parameters or tags as MLflow keeps them, without secrets."""
    return {str(name): mask(str(value)) for name, value in values.items()}


def finite_or_nan(value: float) -> float:
    """Return what is recorded of a metric: what is infinite becomes not a number."""
    return float(value) if math.isfinite(value) else math.nan


def _json(values: Mapping[str, object]) -> str:
    import json

    return mask(json.dumps(values, default=str))
