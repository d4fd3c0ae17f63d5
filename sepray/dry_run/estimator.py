"""``--dry-run``: estimates what a study would run, and the time, memory and disk that it would take.

A few steps of one trial are trained, in processes like Ray's workers; everything else is computed from their times and
from the description of the study. Neither Ray nor MLflow is started. Of the places that a study writes to, only the
cache with the task's data is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .. import arms, processor
from ..console.terminal import console, size
from ..contracts import TaskData
from ..driver.known_names import refuse_misspelt
from ..driver.other_settings import refuse_other_settings, under_former_name
from ..driver.prepared import PreparedStudy, prepare
from ..driver.stage import trial_parameters
from ..driver.warm_start import trusting
from ..execution.devices import require_here
from ..execution.schedulers import make_scheduler
from ..loading import load_task, refuse_unfit
from ..module_names import shown_name
from ..spec import folder
from ..spec.permissions import Permissions
from ..spec.study import StudySpec
from . import machine
from .estimate import Disk, Estimate, Memory, TimeModel, split_sizes, tried_settings
from .measurement import Measurement, TrialError, measure_trial, with_zero_estimates
from .schedule import EstimateRange
from .stored import StudyProgress, attributes_of, progress
from .text import show

__all__ = ["Estimate", "estimate", "show"]


def estimate(spec: StudySpec, data: TaskData | None = None, permitted: Permissions | None = None) -> Estimate:
    """Return the estimate of a study: what it would run, and the time, memory and disk that it would take.

    Call ``study.refuse_bad_input`` before, as for a run.

    Args:
        spec: description of the study.
        data: data of its task; None: they are loaded.
        permitted: what the user allows a run of the study; default: nothing.

    Raises:
        SeprayError: a run of the study would be refused for the same reason.
    """
    spec = under_former_name(spec)
    with trusting(permitted):
        before = refuse_other_settings(spec)
    if data is None:
        refuse_misspelt(spec)
        refuse_unfit(spec.separator, spec.task)
        console.print(f"loading the data of {shown_name(spec.task)}; what the cache does not hold is generated ...")
        data = load_task(spec.task, spec.stores.cache)
    with trusting(permitted):
        prepared = prepare(spec, data, before)
    _refuse_scheduler(prepared)
    prepared = prepared.as_begun(attributes_of(spec))
    done = progress(prepared)
    slots = _slots(spec)
    found = Estimate(
        spec=prepared.spec,
        supervision=prepared.separator.supervision.value,
        signal=data.signal,
        splits=split_sizes(data),
        space=prepared.space,
        reference_points=prepared.reference_points,
        controls=prepared.controls,
        arms=prepared.arms,
        progress=done,
        slots=slots,
        left_out=prepared.left_out,
        objectives=len(prepared.objectives),
        warnings=tuple(filter(None, [prepared.warning, arms.without_trials(done.arms_without_trials, done.trials)])),
    )
    if not done.left and not done.retrainings_left:
        return found
    console.print(f"training a few steps of {shown_name(spec.separator)} ...")
    try:
        return _measured(found, prepared, done, slots)
    except TrialError as error:
        return replace(found, failure=str(error), bug=error.bug, refused=error.refused)


def _measured(found: Estimate, prepared: PreparedStudy, done: StudyProgress, slots: int) -> Estimate:
    """Measure a trial and complete the estimate.

    Raises:
        TrialError: the code of the trial raised an error, or its process was killed.
        UsageError: this machine lacks the device that trials train on.
    """
    require_here(prepared.spec.resources.trial_device, "a dry run")
    spec, at_once = prepared.spec, max(1, slots)
    # On another machine, or on a GPU, one trial is measured alone.
    here = at_once if slots and not spec.resources.cluster_address else 1
    parameters, tried = _parameters(prepared), tried_settings(prepared)
    available = machine.memory()[1]
    measured = measure_trial(parameters, tried, spec.seed, here, available)
    times = TimeModel(prepared, done, measured, at_once)
    # One for the search, and one for each seed of the retrainings.
    warm = EstimateRange(*[_warm_start_seconds(prepared, parameters, available) * (1 + prepared.final_seeds)] * 3)
    search = times.search()
    memory, disk = _memory(measured, here), _disk(spec, done, measured, times.trial())
    complete = replace(
        found,
        tried=tried,
        measurement=measured,
        epoch_seconds=times.epoch(),
        search_seconds=search,
        seconds=warm + search + times.finals() + times.scoring(),
        memory=memory,
        disk=disk,
    )
    return replace(complete, warnings=(*found.warnings, *_warnings(complete, memory, disk, measured)))


def _refuse_scheduler(prepared: PreparedStudy) -> None:
    """Make the study's scheduler, so that settings that it does not take are refused."""
    spec = prepared.spec
    make_scheduler(
        spec.search.scheduler,
        max_epochs=spec.budget.max_epochs,
        grace_period=spec.search.grace(spec.budget.max_epochs),
        reduction_factor=spec.search.reduction_factor,
        space=prepared.space,
        sampler=spec.search.sampler,
    )


def _slots(spec: StudySpec) -> int:
    """Return the number of trials that run at once; 0 where a cluster decides, because a dry run asks no cluster."""
    if spec.resources.cluster_address:
        return spec.resources.concurrency
    gpus = machine.gpus() if spec.resources.gpus_per_trial else 0
    return machine.slots(spec.resources, processor.cpus(), gpus)


def _parameters(prepared: PreparedStudy) -> dict[str, Any]:
    """Return the parameters of every trial of the search.

    Where training starts from another separator's estimates, zeros take their place.
    """
    members = prepared.spec.budget.seeds_per_trial
    parameters = trial_parameters("search", members, replace(prepared, warm_start=None), "")
    if prepared.warm_start:
        parameters["train"] = with_zero_estimates(parameters["train"], len(prepared.signal.sources))
    return parameters


def _warm_start_seconds(prepared: PreparedStudy, parameters: dict[str, Any], available: int) -> float:
    """Return the seconds of training the other separator that this study starts from; 0 where none is trained."""
    described = prepared.warm_start.identity if prepared.warm_start else {}
    if "epochs" not in described:
        return 0.0
    context = replace(parameters["context"], separator=described["config"], members=1, max_epochs=described["epochs"])
    measured = measure_trial({**parameters, "context": context}, {}, prepared.spec.seed, 1, available)
    data, epochs = prepared.data, int(described["epochs"])
    item = measured.validation / len(data.validation)
    return measured.trial_seconds(epochs, {}) - epochs * measured.validation + item * len(data.train)


def _memory(measured: Measurement, slots: int) -> Memory:
    total, available = machine.memory()
    own = machine.own_memory()
    return Memory(
        trial=measured.private_bytes,
        shared=measured.shared_bytes,
        driver=own,
        total=slots * measured.private_bytes + measured.shared_bytes + own,
        machine=total,
        available=available + own,  # this process ends before the study begins
        gpu=measured.gpu_bytes,
        gpu_machine=measured.gpu_machine_bytes,
    )


def _disk(spec: StudySpec, done: StudyProgress, measured: Measurement, trial: EstimateRange) -> Disk:
    """Return the space on the disk. A trial keeps two checkpoints, or one if it ends before the second one is due."""
    short = trial.most < spec.stores.checkpoint_seconds
    files = (1 if short else 2) * (done.left + done.retrainings_left)
    remote = folder.is_remote(spec.stores.storage_path)
    model = 2 * measured.weights_bytes
    return Disk(
        checkpoint=measured.checkpoint_bytes,
        files=files,
        model=model,
        total=files * measured.checkpoint_bytes + model,
        free=None if remote else machine.free_disk(spec.stores.storage_path),
    )


def _warnings(found: Estimate, memory: Memory, disk: Disk, measured: Measurement) -> Iterator[str]:
    if memory.total > memory.available and not found.spec.resources.cluster_address:
        fits = (memory.available - memory.shared - memory.driver) // max(1, memory.trial)
        remedy = f"--concurrency {fits} fits" if fits > 0 else "not one trial fits"
        yield (
            f"{found.slots} trials at once would need {size(memory.total)} of memory, but {size(memory.available)} "
            f"are free: {remedy}."
        )
    if memory.gpu_machine:
        sharing = max(1, int(1 / found.spec.resources.gpus_per_trial))
        if sharing * memory.gpu > memory.gpu_machine:
            yield (
                f"{sharing} trials on a GPU would need {size(sharing * memory.gpu)} of its "
                f"{size(memory.gpu_machine)}: give --gpus-per-trial a larger share."
            )
    if disk.free is not None and disk.total > disk.free:
        yield (
            f"The checkpoints would need up to {size(disk.total)}, but the disk of "
            f"{found.spec.stores.storage_path} has {size(disk.free)} free: give another --storage-path."
        )
    if measured.problem:
        tried = ", ".join(f"{name} {value:g}" for name, value in found.tried.items()) or "its defaults"
        yield f"The trial that was tried, with {tried}, could not train on: {measured.problem}. Such trials fail."
