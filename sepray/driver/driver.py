"""Drives a study from its description to its registered model: the one place where everything is wired together."""

from __future__ import annotations

import secrets
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import TrialState

from .. import identity
from ..console.terminal import Progress, console
from ..contracts import TaskData
from ..errors import UsageError, mask
from ..execution import checkpoint, cluster
from ..execution.schedulers import make_scheduler
from ..execution.trainable import SeparatorTrainable, TrialContext
from ..scoring.tables import front_table
from ..search.ledger import FixedTrial, history
from ..search.outcomes import Outcome
from ..search.samplers import make_sampler
from ..search.searcher import StudySearcher
from ..search.storage import Study, open_study
from ..spec import folder
from ..spec.study import StudySpec, key
from ..tracking.environment import environment_tags
from ..tracking.tracker import Tracker
from ..training.views import view
from . import runs as projection
from . import selection
from . import warm_start as starting
from .finish import Finish, make_report

FOLDER = "trial-{number:05d}"
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Driver:
    """A study that is being run: its data, its record, its tracker."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.data: TaskData = spec.task.load(spec.cache.expanduser())
        self.signal = self.data.signal
        self.objectives = spec.objectives(self.signal)
        self.sign = 1 if self.objectives[0].direction == "minimize" else -1
        self.model = spec.separator.build(self.signal)
        sources = self.signal.sources
        self.space = identity.expand(spec.space, sources)
        self.reference_points = {n: identity.expand(p, sources) for n, p in spec.reference_points.items()}
        self.controls = {n: identity.expand(c, sources) for n, c in spec.controls.items()}
        self._check_hyperparameters()
        self.start = starting.find(spec.separator, self.signal, self.model.supervision, spec.tracking_uri)
        self.fingerprint = {
            "objectives": {o.key: o.direction for o in self.objectives},
            "max_epochs": spec.max_epochs,
            "seeds_per_trial": spec.seeds_per_trial,
            "search space": self.space,
            "task": {"name": key(spec.task), "data": self.data.fingerprint},
            "separator": {"name": key(spec.separator), "config": spec.separator},
        } | ({"start": self.start.identity} if self.start else {})
        self.slots = 0
        self.record = self._open(spec.name)
        self.uid = self.record.user_attrs.get("uid") or secrets.token_hex(4)
        self.record.set_user_attr("uid", self.uid)
        self.record.set_user_attr("spec", spec.plain())
        self.folder = folder.study_folder(spec.storage_path, spec.name, self.uid)
        self.lock = folder.lock(self.folder, spec.name)
        remote = "://" in spec.storage_path
        self.checkpoints = f"{spec.storage_path}/{spec.name}/{self.uid}" if remote else str(self.folder)
        self.tracker = self._track()
        self.sweeper = ThreadPoolExecutor(1, thread_name_prefix="sweep")

    def run(self) -> int:
        """Search, train the best again, and finish; return the exit status."""
        spec = self.spec
        self.slots = cluster.connect(
            spec.address, spec.concurrency, spec.cpus_per_trial, spec.gpus_per_trial, spec.modules()
        )
        console.print(
            f"study {spec.name}: {key(spec.separator)} on {key(spec.task)}, {spec.trials} trials of up to "
            f"{spec.max_epochs} epochs, {self.slots} at once; "
            f"Optuna {mask(spec.storage)}, MLflow {mask(spec.tracking_uri)}"
        )
        self.search()
        if len(self.objectives) > 1:
            self.show_front()
        chosen = selection.finalists(self.finished("search", self.record), spec.finalists)
        if not chosen:
            console.print("no trial has run its whole budget: there is nothing to train again or to register")
            make_report(spec, self.data, self.folder, self.tracker)
            self.tracker.study_finished({}, {"outcome": "nothing to register"})
            return 1
        plan = selection.retrainings(chosen, self.controls, spec.final_seeds, spec.seed)
        finals = self.retrain(plan)
        finish = Finish(spec, self.data, self.folder, self.tracker)
        return finish.run(self.finished("search", self.record), self.finished("finals", finals), plan)

    def search(self) -> None:
        """Run the trials of the search that are missing."""
        spec = self.spec
        ended = self.record.get_trials(deepcopy=False, states=ENDED)
        if len(ended) < spec.trials:
            points = {"trials": spec.trials, "reference_points": self.reference_points}
            self._stage("search", self.record, points, spec.scheduler, spec.trials)

    def show_front(self) -> None:
        """Show the trials that no other beats in all objectives, and tag their runs."""
        front = sorted(self.record.best_trials, key=lambda t: t.values)
        for trial in front:
            self.tracker.trial_tags(projection.run_label("search", trial.number), {"pareto_front": "true"})
        names = [o.key.removeprefix("validation/").replace("/", " ") for o in self.objectives]
        rows = [(f"{t.number} {t.user_attrs.get('label', '')}".strip(), t.values) for t in front]
        console.print(front_table(f"{self.spec.name}: Pareto front on the validation split", names, rows))

    def retrain(self, plan: Sequence[selection.Retraining]) -> Study:
        """Train the finalists and controls that have not been trained yet."""
        finals = self._open(f"{self.spec.name}/finals")
        fixed = [FixedTrial(p.label, p.hyperparameters, p.seed, {"role": p.role}) for p in plan]
        ended = finals.get_trials(deepcopy=False, states=ENDED)
        missing = {f.point for f in fixed} - {t.user_attrs.get("point") for t in ended}
        if missing:
            points = {"trials": len(fixed), "fixed": fixed}
            self._stage("finals", finals, points, "none", len(ended) + len(missing))
        return finals

    def _stage(self, stage: str, record: Study, points: Mapping[str, Any], scheduler: str, total: int) -> None:
        """Run a stage's trials, those that an earlier start left unfinished first."""
        spec = self.spec
        context = TrialContext(
            separator=spec.separator,
            signal=self.signal,
            objectives=self.objectives,
            max_epochs=spec.max_epochs,
            members=spec.seeds_per_trial if stage == "search" else 1,
            checkpoints=f"{self.checkpoints}/{stage}",
            checkpoint_seconds=spec.checkpoint_seconds,
            device="cuda" if spec.gpus_per_trial else "cpu",
            threads=cluster.threads(spec.cpus_per_trial),
            augmentation=self.data.augmentation,
        )
        generator = torch.Generator().manual_seed(spec.seed)
        seen = view(self.data.train, self.model.supervision, generator, self.model.paired_fraction)
        if self.start:
            folder = f"{self.checkpoints}/start"
            seen = self.start.added(seen, context.augmentation, spec.seed, context.device, folder)
        held = {"mixture": self.data.validation.mixture, "sources": self.data.validation.sources}
        parameters = {
            "context": context,
            "train": {name: tensor.numpy() for name, tensor in seen.items()},
            "validation": {name: tensor.numpy() for name, tensor in held.items()},
        }
        with self._progress(stage, record, total) as progress:
            listener = _Listener(self, stage, progress)
            searcher = StudySearcher(
                record,
                self.space,
                [o.key for o in self.objectives],
                seed=spec.seed,
                listener=listener,
                folder=FOLDER,
                **points,
            )
            try:
                cluster.run_trials(
                    SeparatorTrainable,
                    parameters,
                    searcher=searcher,
                    scheduler=make_scheduler(
                        scheduler,
                        max_epochs=spec.max_epochs,
                        grace_period=spec.grace_period,
                        reduction_factor=spec.reduction_factor,
                        space=self.space,
                        sampler=spec.sampler,
                        history=history(record),
                        on_perturb=searcher.perturbed,
                    ),
                    folder=f"{self.checkpoints}/ray",
                    name=f"{stage}-{time.time_ns()}",
                    slots=self.slots,
                    cpus=spec.cpus_per_trial,
                    gpus=spec.gpus_per_trial,
                )
            finally:
                searcher.close()
                self.sweeper.submit(checkpoint.remove, f"{self.checkpoints}/ray")
                # Again: a trial may have been writing a checkpoint while its folder was cleared.
                for number in listener.cleared:
                    self.clear(stage, number)

    def clear(self, stage: str, number: int) -> None:
        """Remove the checkpoints of a trial that will not be chosen."""
        self.sweeper.submit(checkpoint.remove, f"{self.checkpoints}/{stage}/{FOLDER.format(number=number)}")

    def _progress(self, stage: str, record: Study, total: int) -> Progress:
        ended = record.get_trials(deepcopy=False, states=ENDED)
        tags = Counter(t.user_attrs.get("outcome", {}).get("tag", t.state.name.lower()) for t in ended)
        best = selection.finalists(self.finished(stage, record), 1)
        title = f"{self.spec.name}: " + {"search": "search", "finals": "the best again, on new seeds"}[stage]
        noun = projection.STAGES[stage]
        shown = (self.sign * best[0].value, f"{noun} {best[0].number}") if best else None
        return Progress(title, total, " + ".join(self.spec.objective), self.sign, noun, tags, shown)

    def finished(self, stage: str, record: Study) -> list[selection.Finished]:
        """Return the trials of a stage that ran their whole budget and broke no constraint."""
        complete = record.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        signs = np.array([1.0 if o.direction == "minimize" else -1.0 for o in self.objectives])
        return [
            selection.Finished(
                number=trial.number,
                label=trial.user_attrs.get("label"),
                hyperparameters=projection.settings(trial),
                value=float(np.mean(signs * np.array(trial.values))),
                folder=f"{self.checkpoints}/{stage}/{FOLDER.format(number=trial.number)}",
                attributes=trial.user_attrs,
            )
            for trial in complete
            if all(value <= 0 for value in trial.constraints.values())
        ]

    def interrupted(self) -> None:
        """Say how to go on after Ctrl-C."""
        self.tracker.interrupted()
        console.print(
            f"\n{self.spec.name} is interrupted; nothing is lost. The same command goes on where it stopped:\n"
            f"  {' '.join(shlex.quote(part) for part in ('python', *sys.argv))}"
        )

    def close(self) -> None:
        """Deliver what MLflow has not been told yet, and stop Ray."""
        self.sweeper.shutdown()
        left = self.tracker.close(timeout=20)
        if left:
            console.print(
                f"{left} records wait for the tracking server {mask(self.spec.tracking_uri)}. When it answers again: "
                f"sepray reconcile {self.spec.name}"
            )
        cluster.disconnect()
        self.lock.close()

    def _open(self, name: str) -> Study:
        spec = self.spec

        def sampler(existing: int) -> optuna.samplers.BaseSampler:
            return make_sampler(spec.sampler, spec.seed, self.space, existing=existing)

        directions = [o.direction for o in self.objectives]
        return open_study(spec.storage, name, directions, self.fingerprint, sampler)

    def _track(self) -> Tracker:
        spec = self.spec
        tracker = Tracker(
            self.folder / "outbox.db",
            f"{spec.name}-{self.uid}",
            uri=spec.tracking_uri,
            experiment=spec.model_name,
            on_run_id=self._note_run_id,
        )
        params: dict[str, Any] = {"task": key(spec.task), "separator": key(spec.separator)}
        for part in ("task", "separator"):
            params |= {f"{part}.{k}": v for k, v in identity.plain(getattr(spec, part)).items()}
        for name in ("trials", "max_epochs", "seed", "seeds_per_trial", "sampler", "scheduler", "grace_period"):
            params[name] = getattr(spec, name)
        params["objective"] = " ".join(spec.objective)
        tags = environment_tags() | {
            "data_fingerprint": self.data.fingerprint,
            "study_fingerprint": identity.digest(self.fingerprint),
            "optuna_storage": mask(spec.storage),
            "optuna_study": spec.name,
        }
        tracker.open_study(spec.name, params, tags, note=f"Study `{spec.name}` is running.")
        sizes = {"items": {s: len(getattr(self.data, s)) for s in ("train", "validation", "test")}}
        described = {"config": identity.plain(spec.task), "sources": list(self.signal.sources)} | sizes
        tracker.log_dataset(key(spec.task), self.data.fingerprint, described, "training")
        return tracker

    def _note_run_id(self, label: str, run_id: str) -> None:
        """Keep a run's id in the Optuna record; called from the tracker's thread, which the storage must not stop."""
        if label.isdigit():
            name = f"trial-{int(label):05d}.mlflow_run_id"
        else:
            name = f"{label}.mlflow_run_id" if label else "mlflow_run_id"
        self.record.set_user_attr(name, run_id)

    def _check_hyperparameters(self) -> None:
        known = set(self.model.hyperparameters())
        named = {"the search space": self.space, **self.reference_points, **self.controls}
        for place, names in named.items():
            unknown = sorted(set(names) - known)
            if unknown:
                raise UsageError(
                    f"{place} names {', '.join(unknown)}, which {key(self.spec.separator)} has not; "
                    f"it has {', '.join(sorted(known))}"
                )


class _Listener:
    """Hears of a stage's trials from the searcher, and tells the tracker and the terminal."""

    def __init__(self, study: Driver, stage: str, progress: Progress) -> None:
        self.study, self.stage, self.progress = study, stage, progress
        self.cleared: list[int] = []

    def asked(
        self, number: int, seed: int, hyperparameters: Mapping[str, Any], label: str | None, resumed: bool
    ) -> None:
        """A trial was handed out: its run begins, or goes on."""
        name = projection.run_name(self.stage, number, label, hyperparameters)
        params = dict(hyperparameters) | {"seed": seed}
        tags = projection.run_tags(self.stage, number, label)
        self.study.tracker.trial_started(self._key(number), name, params, tags, stage=self.stage)
        self.progress.asked(number, seed, hyperparameters, label, resumed)

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """A trial reported an epoch."""
        metrics = {k: float(v) for k, v in result.items() if _is_metric(k, v)}
        self.study.tracker.trial_epoch(self._key(number), metrics, int(result["epoch"]), result.get("timestamp_ms"))
        self.progress.epoch(number, result)

    def finished(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """A trial ended: its run ends as the table of outcomes says."""
        failed = outcome.state is TrialState.FAIL
        tags = projection.end_tags(outcome.tag, outcome.reason, int(result.get("epoch", 0)))
        trace = str(result.get("traceback") or "")
        self.study.tracker.trial_finished(
            self._key(number),
            "FAILED" if failed else "FINISHED",
            tags,
            artifacts={"traceback.txt": trace} if trace else {},
        )
        self.progress.finished(number, outcome, result)
        if outcome.tag != "complete":
            self.cleared.append(number)
            self.study.clear(self.stage, number)

    def _key(self, number: int) -> str:
        return projection.run_label(self.stage, number)


def _is_metric(name: str, value: object) -> bool:
    mine = name.startswith(("train/", "validation/")) or name in ("objective", "epoch_seconds")
    return mine and isinstance(value, float)
