"""The front door: runs a study, from a command line to an exit status or from Python.

What can be refused is refused before torch, Ray or MLflow is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .console import interruption, output, preflight
from .console.exit_status import exit_with_status, tell_scripts_errors_in_one_line
from .console.json_output import only_json, print_json
from .console.waiting import wait_for
from .disk.files import kept_private
from .disk.shared_copies import is_uri, named_folder
from .errors import UsageError, mask
from .spec import named_by_user
from .spec.flags import RunOptions, name_given, parse_command, parse_early, with_budget
from .spec.folder import is_remote
from .spec.parts import Budget, Resources, Search, Stores
from .spec.permissions import Permissions
from .spec.study import StudySpec

if TYPE_CHECKING:
    from .results.study_result import StudyResult

__all__ = ["Budget", "Resources", "Search", "Stores", "StudySpec", "execute", "main", "run"]

started: list[str] = []
"""Names of the studies and comparisons that this process has begun to run, so that ``sepray run FILE`` knows whether
FILE runs one."""

tell_scripts_errors_in_one_line()


def main(spec: StudySpec, full: StudySpec | None = None) -> NoReturn:
    """Run a study from the command line and exit with its status (``sepray.console.exit_status``).

    Args:
        spec: the study; every field of it can be changed by a flag.
        full: its long form, which ``--budget full`` runs instead; flags change it too.
    """

    def job(given: list[str]) -> int:
        wait_for("checking the command", log=False)  # a flag may give the study another name
        chosen = with_budget(spec, full, given)
        early = parse_early(chosen, given)
        if early is not None:
            refuse_bad_input(early)
        study, options, changes = parse_command(chosen, given)
        with changes.named():
            if options.dry_run:
                return _show_estimate(study, options.permitted)
            with only_json(options.json):
                status = _run_and_tell(study, options)
                if options.json:
                    print_json(_document(study, status))
            return status

    exit_with_status(name_given(spec.name), job)


def _show_estimate(spec: StudySpec, permitted: Permissions) -> int:
    """Show what a run of the study would take; return the exit status of the dry run."""
    refuse_bad_input(spec)
    from .dry_run import estimator

    with kept_private(spec.stores.shared):  # data are made, and kept
        found = estimator.estimate(spec, permitted=permitted)
    estimator.show(found)
    return found.status


def _run_and_tell(spec: StudySpec, options: RunOptions) -> int:
    """Run a study, and then the user's command with its result, however the study has ended."""
    command = options.on_finish
    if not command:
        return execute(spec, options.permitted)
    from .driver.on_finish import run_on_error, run_on_finish

    with run_on_error(command, spec.name):
        status = execute(spec, options.permitted)
    found = _result(spec, status)
    run_on_finish(
        command,
        spec.name,
        status,
        folder=found.folder,
        report=found.report,
        model=found.model_uri,
        conclusion=found.conclusion,
    )
    return status


def run(
    spec: StudySpec,
    *,
    take_over: bool = False,
    move_here: bool = False,
    allow_changed_code: bool = False,
    trust_model_code: bool = False,
) -> StudyResult:
    """Run, continue or extend a study and finish it; return what it has found.

    What it prints is what the command prints. In a notebook, interrupting the cell interrupts the study; running the
    cell again goes on with it.

    Example::

        result = sepray.run(sepray.StudySpec(name="first", separator="cass", task="ecg", trials=6))
        result.settings()  # of the champion

    Args:
        spec: description of the study.
        take_over: take the study from another driver that runs it, which then stops.
        move_here: go on in this folder although the study's checkpoints are in another one, without them: unfinished
            trials begin again.
        allow_changed_code: go on although source files that trainings run have changed since the last start.
        trust_model_code: run the code that a registered model brings (the present champion, or the one that trainings
            start from), even if it is neither the code installed here nor that of your own studies.

    Returns:
        The result. Its ``status`` is 0 if all went well and 1 if there is nothing to register. It is 2 or 3 if
        that is because trials raised errors: 2 if you can put all of them right. ``failures`` says what failed.

    Raises:
        SeprayError: something that the user can put right.
        KeyboardInterrupt: the study was interrupted; the same call goes on with it.
    """
    status = execute(spec, Permissions(take_over, move_here, allow_changed_code, trust_model_code))
    if status in interruption.STATUSES:
        raise interruption.of_status(status)
    return _result(spec, status)


def _document(spec: StudySpec, status: int) -> dict[str, Any]:
    from .results import document

    return document.study(_result(spec, status))


def _result(spec: StudySpec, status: int) -> StudyResult:
    from .results.study_result import load_study

    stores = spec.stores
    return load_study(spec.name, stores.storage, stores.storage_path, stores.tracking_uri, stores.cache, status)


def execute(spec: StudySpec, permitted: Permissions | None = None) -> int:
    """Run a study as ``run`` does; return the exit status alone.

    Args:
        spec: description of the study.
        permitted: what the user allows; default: nothing.

    Returns:
        The exit status: 0 done; 1 nothing to register; 2 or 3 where that is because trials raised errors
        (``driver.failed_trials``); that of a signal (``console.interruption``) where one has ended the study.

    Raises:
        SeprayError: something that the user can put right.
    """
    started.append(spec.name)
    output.keep_going()
    with interruption.installed(), kept_private(spec.stores.shared):
        return _execute(spec, permitted)


def _execute(spec: StudySpec, permitted: Permissions | None) -> int:
    refuse_bad_input(spec)
    address = spec.resources.cluster_address
    if address.startswith("ray://"):
        from .execution import cluster

        _remember(spec)
        return cluster.run_on_head(address, execute, [spec.changed(address="auto"), permitted], spec.modules())
    wait_for(f"{spec.name}: importing torch, Ray and Optuna")
    from .driver import driver  # seconds

    _remember(spec)
    return driver.run(spec, permitted)


def _remember(spec: StudySpec) -> None:
    """Remember what the command names, so that later ones may use it where the study's storage says so."""
    address = spec.resources.cluster_address
    named_by_user.remember(spec.separator, spec.task, spec.search.sampler, address, spec.stores.tracking_uri)


def refuse_bad_input(spec: StudySpec) -> None:
    """Refuse impossible input: unknown names, folders without write access, silent servers, missing GPUs.

    Raises:
        SeprayError: with the reason, in one line.
    """
    spec.check()
    preflight.require_usable_folder()
    preflight.require_ray_address(spec.resources.cluster_address)
    preflight.require_tracking_address(spec.stores.tracking_uri)
    stores, address, gpus = spec.stores, spec.resources.cluster_address, spec.resources.gpus_per_trial
    if address.startswith("ray://"):
        _refuse_local_files(stores, address)
        preflight.require_listening(address, f"the Ray cluster {address}")
        return  # the head of the cluster checks folders and storage
    if not is_remote(stores.storage_path):
        preflight.require_writable(Path(stores.storage_path), "--storage-path")
    preflight.require_writable(named_folder(stores.cache), "XDG_CACHE_HOME" if is_uri(stores.cache) else "--cache")
    preflight.require_storage(stores.storage, f"storage {mask(stores.storage)}")
    if ":" in address:
        preflight.require_listening(f"ray://{address}", f"the Ray cluster {address}")
    elif not address:
        preflight.require_short_temporary_folder()
        preflight.require_token()
    if not address and gpus:
        available = preflight.count_gpus()
        if available is not None and gpus > available:
            raise UsageError(f"a trial asks for {gpus:g} GPUs, but there are {available} on this machine")


def _refuse_local_files(stores: Stores, address: str) -> None:
    """Refuse databases with a relative path, which a driver on another machine does not see."""
    for flag, store in (("storage", stores.storage), ("tracking-uri", stores.tracking_uri)):
        if store.startswith(("sqlite:///", "journal://")) and not store.startswith(("sqlite:////", "journal:///")):
            raise UsageError(
                f"--{flag} {store} is a file of this folder, which a driver on {address} does not see; "
                f"give a server, or an absolute path that all machines share"
            )
