"""Finds the runs of a study in MLflow by their tags, or creates them, once; the outbox remembers their ids.

Runs of trials that a user deleted in MLflow stay deleted. The study's own run is restored: whoever runs the study again
wants it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from .calls import RefusedError, call
from .environment import artifact_location
from .outbox import Outbox, RunKey
from .stored_forms import quoted

STUDY_TAG = "sepray.study"
TRIAL_TAG = "sepray.trial"
_TAGS_A_REQUEST = 100  # MLflow's limit


class RunFinder:
    """Finds the MLflow run to which an operation of an outbox belongs, or creates it.

    Args:
        outbox: queue of operations; it stores the ids of the runs that were found.
        uri: MLflow's address, with its secrets.
        client: returns the MlflowClient.
        on_run_id: called with the key, the id and the experiment's id of each run that was created or found.
    """

    def __init__(
        self, outbox: Outbox, uri: str, client: Callable[[], Any], on_run_id: Callable[[RunKey, str, str], None]
    ) -> None:
        self._outbox, self._uri, self._client, self._on_run_id = outbox, uri, client, on_run_id
        self._experiments: dict[str, str] = {}
        self._searched: set[str] = set()  # studies whose runs were looked for
        self._found: dict[RunKey, dict[str, set[int]]] = {}  # runs of another outbox -> the steps that each metric had

    def find_or_create(
        self, key: RunKey, creation: Mapping[str, Any] | None, tags: Mapping[str, str]
    ) -> tuple[str, str | None, dict[str, str]]:
        """Return a run; create it if it does not exist.

        Args:
            key: key of the run.
            creation: name, start and experiment of a new run; None: the run must exist.
            tags: tags that the run is to have.

        Returns:
            Its id, its last known status, and the tags that are still to be set.

        Raises:
            RefusedError: there is no such run, and it cannot be created.
        """
        known = self._outbox.run(key)
        if known and known.run_id and creation and not key.label and not self._restore(key, known.run_id):
            known = None
        is_new = known is None and creation is not None and key.study not in self._searched
        if is_new or (known is None and not key.label) or (known and not known.run_id):
            self._find_runs(key.study, creation)
            known = self._outbox.run(key)
        if known and known.run_id:
            if creation:
                self._on_run_id(key, known.run_id, known.experiment_id or "")
            return known.run_id, known.status, dict(tags)
        if creation is None:
            raise RefusedError(f"no run is known for {key.label or key.study!r}")
        run_id, left = self._create(key, creation, tags)
        return run_id, "RUNNING", left

    def steps(self, key: RunKey, run_id: str, metrics: Set[str]) -> set[tuple[str, int]]:
        """Return the metrics and steps that a run had already when it was found, because another outbox had sent them.

        Args:
            key: key of the run.
            run_id: MLflow's id of the run.
            metrics: names of the metrics to look up.
        """
        if key not in self._found:
            return set()
        known = self._found[key]
        for name in metrics - known.keys():
            known[name] = {int(metric.step) for metric in self._call("get_metric_history", run_id, name)}
        return {(name, step) for name in metrics for step in known[name]}

    def _create(
        self, key: RunKey, creation: Mapping[str, Any], wanted: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        tags = {STUDY_TAG: key.study, TRIAL_TAG: key.label, **wanted}
        if key.label:
            parent = self._outbox.run(RunKey(key.study))
            if not parent or not parent.run_id or not parent.experiment_id:
                raise RefusedError(f"the study {key.study!r} has no run of its own")
            experiment = parent.experiment_id
            tags["mlflow.parentRunId"] = parent.run_id
        else:
            experiment = self._experiment(creation["experiment"])
        self._outbox.begin_creation(key)
        first = dict(list(tags.items())[:_TAGS_A_REQUEST])
        run = self._call("create_run", experiment, start_time=creation["start"], tags=first, run_name=creation["name"])
        run_id = str(run.info.run_id)
        self._outbox.save_run(key, run_id, experiment, "RUNNING")
        self._on_run_id(key, run_id, experiment)
        return run_id, {name: value for name, value in tags.items() if name not in first}

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, creating or restoring it."""
        if name not in self._experiments:
            experiment = self._call("get_experiment_by_name", name)
            if experiment is not None and experiment.lifecycle_stage == "deleted":
                self._call("restore_experiment", experiment.experiment_id)
            number = self._create_experiment(name) if experiment is None else experiment.experiment_id
            self._experiments[name] = str(number)
        return self._experiments[name]

    def _create_experiment(self, name: str) -> str:
        """Create an experiment, unless another process does so at the same moment; return its id."""
        location = artifact_location(self._uri, name)
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the view that MLflow's pages open
        try:
            return str(self._call("create_experiment", name, artifact_location=location, tags=tags))
        except RefusedError:
            experiment = self._call("get_experiment_by_name", name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _restore(self, key: RunKey, run_id: str) -> bool:
        """Restore the study's own run if it was deleted; return False if the database no longer has it."""
        stage = self.lifecycle(run_id)
        if stage is None:
            self._outbox.forget_runs(key.study)
        elif stage == "deleted":
            self._call("restore_run", run_id)
        return stage is not None

    def lifecycle(self, run_id: str) -> str | None:
        """Return ``active`` or ``deleted``; None if there is no such run."""
        try:
            return str(self._call("get_run", run_id).info.lifecycle_stage)
        except RefusedError:
            return None

    def _find_runs(self, study: str, creation: Mapping[str, Any] | None) -> None:
        """Save in the outbox all runs of a study that the server has and the outbox does not know.

        If several runs have one label, the oldest counts.
        """
        parent = self._outbox.run(RunKey(study))
        if parent and parent.experiment_id:
            experiment = parent.experiment_id
        elif creation and "experiment" in creation:
            experiment = self._experiment(creation["experiment"])
        else:
            raise RefusedError(f"the study {study!r} has no run of its own")
        known = set(self._outbox.run_ids(study))
        for run in self.of_study(study, experiment):
            label = run.data.tags.get(TRIAL_TAG, "")
            if label not in known:
                known.add(label)
                self._found[RunKey(study, label)] = {}
                self._outbox.save_run(RunKey(study, label), run.info.run_id, experiment, run.info.status)
                if not label:
                    self._restore(RunKey(study), run.info.run_id)
        self._searched.add(study)

    def of_study(self, study: str, experiment_id: str) -> Iterator[Any]:
        """Yield the runs of a study in an experiment, oldest first; deleted ones too."""
        from mlflow.entities import ViewType

        token: str | None = None
        while True:
            page = self._call(
                "search_runs",
                [experiment_id],
                filter_string=f"tags.`{STUDY_TAG}` = {quoted(study)}",
                run_view_type=ViewType.ALL,
                order_by=["attributes.start_time ASC"],
                max_results=500,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        client = self._client()
        return call(client, getattr(client, method), *arguments, **named)
