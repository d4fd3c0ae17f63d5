"""The stores of a study that runs: its Optuna study, its folder and lock, its checkpoints, its runs in MLflow."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna

from .. import identity
from ..console.terminal import console
from ..console.waiting import wait_for
from ..disk.file_systems import remove
from ..errors import mask
from ..plain_text import plural
from ..search import dashboard, lease
from ..search.holding import LAST_OWNER
from ..search.samplers import make_sampler
from ..search.storage import Study, open_study
from ..spec import folder
from ..spec.permissions import Permissions
from ..spec.study import StudySpec, key
from ..tracking.environment import environment_tags
from ..tracking.outbox import Rejected
from ..tracking.stored_forms import as_texts, dataset, now
from ..tracking.tracker import Tracker, forget
from . import code, continuing, finished_trials, new_database, runs, study_commands, tracking_address
from .other_settings import SIGNAL, stored_study
from .prepared import RETRAINS_REFERENCES, PreparedStudy

_LAST_DELIVERY_SECONDS = 20
_LOCK_SECONDS = 60.0  # for a driver on this machine from which the study was taken over


def waits_for_mlflow(spec: StudySpec, waiting: int) -> str:
    """Return the sentence on updates that MLflow has not taken yet, and the command for later."""
    later = study_commands.on_study("reconcile", spec)
    told = f"{plural(waiting, 'update')} {'waits' if waiting == 1 else 'wait'}"
    return f"{told} for the tracking server {mask(spec.stores.tracking_uri)}. When it answers again: {later}"


def refused_by_mlflow(spec: StudySpec, refused: Sequence[Rejected]) -> str:
    """Return the sentence on updates that MLflow has refused for good, with the commonest reason and what to do."""
    reasons = Counter(each.reason for each in refused)
    most, count = reasons.most_common(1)[0]
    others = f", and {len(refused) - count} for other reasons" if len(reasons) > 1 else ""
    later = study_commands.on_study("reconcile", spec)
    return (
        f"MLflow refused {plural(len(refused), 'update')} ({count}: {mask(most)}{others}). To try them again: {later}"
    )


def sender_ended_message(name: str) -> str:
    """Return the message that the sender prints where the driver has ended without one."""
    return (
        f"{name}: the process of the study has ended without a word: it was killed, or Ray has ended it because Ray's "
        "own processes had died. Nothing is lost; the same command goes on"
    )


def _tell_outbox_trouble(reason: str) -> None:
    told = "what MLflow is to be told waits in memory and is tried again"
    console.print(f"warning: {reason}; the study goes on, and {told}", soft_wrap=True)


class StudyStores:
    """Opens the stores of a study, made where they do not exist, and keeps other drivers out until ``close``.

    Args:
        prepared: the study.
        goes_on: whether the study itself goes on. Where something is only trained beside a study that has ended, its
            description and its own run stay as they are.
        permitted: what the user allows; default: nothing.

    Attributes:
        lease: the ownership of the study, which all its writes depend on.
        spec: description of the study.
        search: Optuna study of the search.
        uid: random id of the study beside its name, kept in its Optuna study. A study that is begun anew under a
            name that was used before has another id, and finds no old checkpoints.
        folder: local folder of the study's files.
        checkpoints: folder or URI that holds the checkpoints of each stage.
        tracker: tells MLflow about the study.

    Raises:
        FingerprintMismatchError: the storage holds another study of this name.
        HeldError: another driver runs the study.
        RunningError: another process on this machine holds its folder.
        UsageError: its checkpoints are elsewhere, or source files have changed, and that is not permitted.
        StorageError: the storage cannot be opened.
    """

    def __init__(self, prepared: PreparedStudy, goes_on: bool = True, permitted: Permissions | None = None) -> None:
        spec = prepared.spec
        self._prepared, self.spec, self._permitted = prepared, spec, permitted or Permissions()
        if self._permitted.take_over and (study := stored_study(spec)) is not None:
            self._refuse(study, goes_on)  # before the other driver is stopped
        remedy = f"; {lease.TAKE_OVER} takes it from there" if goes_on else ""
        self.lease = lease.take_at(spec.stores.storage, spec.name, self._permitted.take_over, wait_for, remedy)
        with contextlib.ExitStack() as opened:
            opened.callback(self.lease.release)
            self._begin(goes_on, opened)
            opened.pop_all()
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="cleaner")

    def _begin(self, goes_on: bool, opened: contextlib.ExitStack) -> None:
        """Open everything, as the owner of the study; nothing is written before all refusals.

        Args:
            goes_on: whether the study itself goes on.
            opened: closes what has been opened, where this fails.
        """
        prepared, spec = self._prepared, self.spec
        path = spec.stores.storage_path
        self.search = self._open(spec.name)
        self.uid = folder.checked_uid(self.search.user_attrs.get("uid") or secrets.token_hex(4))
        continuing.say_what_changed(spec.name, *self._refuse(self.search, goes_on))
        self.checkpoints = self._locations(self.uid)[1]
        self.folder = folder.study_folder(path, spec.name, self.uid)
        self._lock = folder.lock(self.folder, spec.name, _LOCK_SECONDS if self._permitted.take_over else 0.0)
        opened.callback(self._lock.close)
        tracking_address.require_same(self.search, self.folder, spec)
        if goes_on and "uid" not in self.search.user_attrs:
            self.search.set_user_attr(RETRAINS_REFERENCES, True)
        self.search.set_user_attr("uid", self.uid)
        folder_id = folder.folder_id(self.folder)
        elsewhere = continuing.was_elsewhere(self.search, folder_id)
        self.search.set_user_attr(LAST_OWNER, continuing.last_owner(self.lease.owner, folder_id, self.checkpoints))
        if goes_on:
            self.search.set_user_attr("spec", spec.plain())
            self.search.set_user_attr("given", spec.plain_given())
            self.search.set_user_attr(SIGNAL, identity.plain(prepared.signal))
            self.search.set_user_attr(tracking_address.ATTRIBUTE, mask(spec.stores.tracking_uri))
            continuing.keep_code(self.search, prepared.code)
        else:
            self.search.set_user_attr(code.attribute(prepared.code), prepared.code)
        outbox, run_key = self.folder / "outbox.db", f"{spec.name}-{self.uid}"
        if elsewhere:
            forget(outbox, run_key)
        new_database.queue_ended_trials(spec, self.search, outbox, run_key)
        self.tracker = Tracker(
            outbox,
            run_key,
            uri=spec.stores.tracking_uri,
            experiment=spec.model_name,
            on_run_id=self._keep_run_id,
            on_outbox_trouble=_tell_outbox_trouble,
            last_words=sender_ended_message(spec.name) if goes_on else "",
        )
        opened.callback(self.tracker.abandon)
        if goes_on:
            self._open_run()

    def _refuse(self, study: optuna.Study, goes_on: bool) -> tuple[list[str], str]:
        """Refuse changes that are not permitted; return the changed files, and where checkpoints stay behind."""
        uid = study.user_attrs.get("uid")
        here, checkpoints = self._locations(folder.checked_uid(uid) if uid else "new")
        left_behind = continuing.refuse_other_location(study, here, checkpoints, self._permitted, goes_on)
        changed = continuing.refuse_changed_code(study, self._prepared.code, self._permitted) if goes_on else []
        return changed, left_behind

    def _locations(self, uid: str) -> tuple[Path, str]:
        """Return the local folder of the study, which need not exist, and the folder or URI of its checkpoints."""
        path, name = self.spec.stores.storage_path, self.spec.name
        here = folder.own_folder(path, name, uid)
        return here, folder.checkpoint_root(path, name, uid, here)

    def open_finals(self) -> Study:
        """Return the Optuna study of the retrainings, ``<name>/finals``."""
        return self._open(f"{self._prepared.spec.name}/finals")

    def open_explain(self) -> Study:
        """Return the Optuna study of the ablation path, ``<name>/explain``."""
        return self._open(f"{self._prepared.spec.name}/explain")

    def trial_folder(self, stage: str, number: int) -> str:
        """Return the folder or URI with the checkpoints of a trial."""
        return folder.trial_folder(self.checkpoints, stage, number)

    def finished(self, stage: str, study: Study) -> list[finished_trials.Finished]:
        """Return the trials of a stage that ran their whole budget and violated no constraint."""
        trials = study.get_trials(deepcopy=False)
        searched = trials if study is self.search else self.search.get_trials(deepcopy=False)
        rule = finished_trials.rule_of(self._prepared, searched)
        return finished_trials.finished(trials, rule, lambda n: self.trial_folder(stage, n))

    def remove(self, location: str) -> None:
        """Delete a folder or URI of checkpoints, in another thread; nothing once another driver owns the study."""
        self._cleaner.submit(lambda: None if self.lease.is_lost else remove(location, self.spec.stores.storage_path))

    def close(self) -> int:
        """Finish deletions, deliver what waits for MLflow, and release the study, even if one of these fails.

        Where another driver has taken the study over, nothing more is delivered.

        Returns:
            How many updates still wait for the tracking server.
        """
        waiting = 0
        with contextlib.ExitStack() as held:
            held.callback(self.lease.release)
            held.callback(self._lock.close)
            self._cleaner.shutdown()
            if self.lease.is_lost:
                self.tracker.abandon()
            else:
                waiting = self.tracker.close(timeout=_LAST_DELIVERY_SECONDS)
        return waiting

    def _open(self, name: str) -> Study:
        prepared, spec = self._prepared, self._prepared.spec

        def sampler(existing: int) -> optuna.samplers.BaseSampler:
            arms = bool(prepared.arms)
            return make_sampler(spec.search.sampler, spec.seed, prepared.space, existing=existing, arms=arms)

        directions = [objective.direction for objective in prepared.objectives]
        check = self.lease.check
        study = open_study(spec.stores.storage, name, directions, prepared.fingerprint, sampler, check)
        dashboard.name_objectives(study, [objective.key for objective in prepared.objectives])
        return study

    def _open_run(self) -> None:
        """Begin the study's own run in MLflow, or go on with it."""
        spec, data = self._prepared.spec, self._prepared.data
        tags = as_texts(environment_tags() | runs.study_tags(spec, data, self._prepared.fingerprint))
        tags |= continuing.code_tags(self.search, self._prepared.code)
        params, described = runs.study_params(spec), runs.dataset(spec, data)
        self.tracker.open_study(spec.name, params, tags, note=f"Study `{spec.name}` is running.")
        self.tracker.log_dataset(key(spec.task), data.fingerprint, described, "training")
        # So that the runs can be made again from the storage alone.
        kept = dataset(key(spec.task), data.fingerprint, described, "training")
        before = self.search.user_attrs.get(runs.RUN_CONTEXT)
        self.search.set_user_attr(runs.RUN_CONTEXT, runs.run_context(before, as_texts(params), tags, kept, now()))

    def _keep_run_id(self, label: str, run_id: str, experiment_id: str) -> None:
        """Keep a run's id in the Optuna study; called from the tracker's thread, which the storage must not stop.

        With the study's own run the id of its experiment is stored too, for the address of MLflow's page.
        """
        if label.isdigit():
            name = f"{folder.TRIAL_FOLDER.format(number=int(label))}.mlflow_run_id"
        else:
            name = f"{label}.mlflow_run_id" if label else "mlflow_run_id"
        with contextlib.suppress(lease.LostError):
            self.search.set_user_attr(name, run_id)
            if not label:
                self.search.set_user_attr("mlflow_experiment_id", experiment_id)
