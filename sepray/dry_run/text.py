"""Writes an estimate as text of 80 columns."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..console.exit_status import TRACEBACK, command_line, shorten_traceback, wants_whole_traceback
from ..console.terminal import console, duration, size
from ..errors import mask
from ..module_names import shown_name
from .estimate import Disk, Estimate, Memory
from .measurement import Measurement
from .schedule import EstimateRange
from .stored import StudyProgress

FLAGS = ("--dry-run", "--dry_run")
WIDTH = 80
_LABEL = 14
_SHOWN_DIMENSIONS = 12
_NOTICED = 1.2
"""Slowdown of a measurement from which on the text mentions it."""


def show(estimate: Estimate) -> None:
    """Print an estimate; the last line is the command that runs the study, unless every trial of it would fail."""
    for line in lines(estimate):
        console.print(line, soft_wrap=True)


def lines(estimate: Estimate) -> Iterator[str]:
    """Yield the lines of an estimate; only tracebacks and the command are wider than 80 columns."""
    spec, measured = estimate.spec, estimate.measurement
    yield ""
    yield f"{spec.name}: a dry run, nothing is trained to its end and nothing is kept"
    yield from row("study", _state(estimate.progress))
    yield from row("separator", _separator(estimate))
    yield from _task(estimate)
    yield from row("objective", " ".join(spec.objective))
    yield from _space(estimate.space)
    if estimate.arms:
        yield from row("arms", "; ".join(estimate.arms))
    yield from row("published", "; ".join(estimate.reference_points) or "no settings")
    if estimate.left_out:
        no_arm = estimate.arms and not spec.fixed_settings
        why = "no arm has them" if no_arm else "they differ from the fixed settings"
        yield from row("not tried", f"{'; '.join(estimate.left_out)}: {why}")
    yield from row("controls", "; ".join(estimate.controls) or "none")
    yield from row("trainings", _trainings(estimate))
    yield from row("at once", _at_once(estimate))
    if measured and estimate.seconds and estimate.search_seconds and estimate.epoch_seconds:
        yield from row("an epoch", _epoch(measured, estimate.epoch_seconds, spec.budget.max_epochs))
        yield from row("time", _time(estimate, estimate.seconds, estimate.search_seconds))
    if estimate.memory:
        yield from row("memory", _memory(estimate.memory, estimate.slots))
    if estimate.disk:
        yield from row("disk", _disk(estimate.disk))
    for warning in estimate.warnings:
        yield from row("WARNING", warning)
    if estimate.failure:
        yield from failure(estimate, "The trial that was tried")
        return
    yield ""
    yield "To run it:"
    yield f"  {command(spec.name)}"


def command(name: str) -> str:
    """Return the command that runs the study, without ``--traceback``; a Python call where Python asked for it."""
    if not set(FLAGS) & set(sys.orig_argv):
        return f"sepray.run(spec)  # of the study {name}"
    return shlex.join(part for part in shlex.split(command_line()) if part not in (*FLAGS, TRACEBACK))


def count(things: float, noun: str) -> str:
    """Return a number of things, e.g. ``1 trial``, ``2 trials``."""
    return f"{things:,.15g} {noun}{'' if things == 1 else 's'}"


def number(amount: float) -> str:
    """Return a number with commas."""
    return f"{amount:,.0f}"


def span(seconds: EstimateRange) -> str:
    """Return a range of times in words."""
    most = short(seconds.most)
    if seconds.least == seconds.most:
        return f"about {most}"
    least = short(seconds.least)
    if seconds.likely is None:
        return f"at most {most}, at least {least}"
    return f"about {short(seconds.likely)}; at most {most}, at least {least}"


def short(seconds: float) -> str:
    """Return a duration in words; below ten seconds with two figures."""
    if seconds >= 10:
        return duration(seconds)
    return f"{seconds:.2g} s" if seconds >= 0.0995 else f"{1000 * seconds:.2g} ms"


def row(label: str, text: str) -> Iterator[str]:
    """Yield a label with a text beside it, which is wrapped at 80 columns."""
    for first, line in enumerate(textwrap.wrap(text, WIDTH - _LABEL, break_long_words=False) or [""]):
        yield f"{'' if first else label:{_LABEL}}{line}"


def _state(progress: StudyProgress) -> str:
    if not progress.found:
        return "new: the storage has none of this name"
    done = f"{progress.ended} of {progress.trials} trials are done"
    if progress.asked and progress.trials > progress.asked:
        done = f"extends: it was asked for {progress.asked} trials, {done}"
    elif progress.left or progress.retrainings_left:
        done = f"continues: {done}"
    if progress.retrained:
        done += f", and {count(progress.retrained, 'retraining')}"
    if not progress.left and not progress.retrainings_left:
        done += ": nothing is left to train, the command shows the result again"
    return done


def _separator(estimate: Estimate) -> str:
    text = f"{shown_name(estimate.spec.separator)}, trained on: {estimate.supervision}"
    measured = estimate.measurement
    if measured is None:
        return text
    return f"{text}; {number(measured.parameters)} parameters, {size(measured.weights_bytes)} with its buffers"


def _task(estimate: Estimate) -> Iterator[str]:
    signal = estimate.signal
    rate = f"{signal.sample_rate:g} Hz" if signal.sample_rate else "images"
    yield from row("task", f"{shown_name(estimate.spec.task)}: {', '.join(signal.sources)}; {rate}")
    for split in estimate.splits:
        shape = " x ".join(map(str, split.shape))
        yield from row("", f"{split.name:11}{number(split.items):>8} items of {shape:14} {size(split.size):>9}")


def _space(space: Mapping[str, BaseDistribution]) -> Iterator[str]:
    if not space:
        yield from row("search space", "empty")
        return
    width = min(34, max(len(name) for name in space))
    for k, (name, distribution) in enumerate(space.items()):
        label = "" if k else "search space"
        if k == _SHOWN_DIMENSIONS and len(space) > k + 1:
            yield from row(label, f"and {len(space) - k} more")
            return
        yield from row(label, f"{name:{width}}  {_values(distribution)}")


def _values(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    step = distribution.step if isinstance(distribution, FloatDistribution) or distribution.step > 1 else None
    notes = (", log scale" if distribution.log else "") + (f", in steps of {step:g}" if step else "")
    return f"{distribution.low:g} to {distribution.high:g}{notes}"


def _trainings(estimate: Estimate) -> str:
    progress, budget = estimate.progress, estimate.spec.budget
    members = f" of {budget.seeds_per_trial} seeds each" if budget.seeds_per_trial > 1 else ""
    most = "at most " if progress.left else ""
    left = progress.left + progress.retrainings_left
    total = progress.trials + progress.retrainings
    rest = f"; {number(left)} of {number(total)} are left" if left < total else ""
    again = "the best setting" if budget.finalists == 1 else f"the best {budget.finalists} settings"
    if len(estimate.arms) > 1:
        again = "the best settings in every arm, each arm's best"
    if controls := len(estimate.controls):
        again += f" and {count(controls, 'control')}"
    return (
        f"{count(progress.trials, 'trial')} in the search{members}, then {most}"
        f"{count(progress.retrainings, 'retraining')} ({again}, on {count(estimate.final_seeds, 'new seed')}); "
        f"up to {count(budget.max_epochs, 'epoch')} each{rest}"
    )


def _at_once(estimate: Estimate) -> str:
    resources = estimate.spec.resources
    each = count(resources.cpus_per_trial, "CPU")
    if resources.gpus_per_trial:
        each += f" and {count(resources.gpus_per_trial, 'GPU')}"
    if not estimate.slots:
        address = mask(resources.cluster_address)
        return f"as many as the cluster {address} takes (a dry run does not ask it); a trial has {each}"
    return f"{count(estimate.slots, 'trial')}, each with {each}"


def _epoch(measured: Measurement, seconds: EstimateRange, budget: int) -> str:
    parts = []
    if measured.steps:
        parts.append(f"{count(measured.steps, 'step')} of {short(measured.step)}")
    outside = measured.outside(len(measured.epochs))
    first = measured.outside(0)
    if outside >= 0.001 or not measured.steps:
        parts.append(f"{short(outside)} around them" if measured.steps else f"{short(outside)} of fitting")
    if first > 2 * outside and first >= 0.1:
        parts.append(f"{short(first)} in the first")
    parts.append(f"{short(measured.validation)} of validation")
    alone = "; later epochs, which were not measured, may be shorter" if len(measured.epochs) == 1 < budget else ""
    together = f" with {measured.at_once} trials at once" if measured.at_once > 1 else ""
    return f"{short(seconds.most)}, measured{together}: {', '.join(parts)}{alone}"


def _time(estimate: Estimate, seconds: EstimateRange, search: EstimateRange) -> str:
    spec = estimate.spec
    text = span(seconds)
    if estimate.slots == 0:
        text += ", if the cluster ran one trial at a time"
    if search.most:
        text += f" (the search {short(search.expected)}, the rest {short(seconds.expected - search.expected)})"
    if search.least < search.most:
        text += ". At most: no trial is stopped early."
        if search.likely is not None:
            text += f" About: as {spec.search.scheduler}'s rule stops trials that come in a random order."
        text += " At least: every trial ends as soon as it may."
    else:
        text += "."
    if estimate.measurement is not None:
        text += f" {basis([estimate.measurement], seconds.expected)}"
    return f"{text} Not counted: the start of Ray, packaging, the report."


def basis(measured: Sequence[Measurement], seconds: float) -> str:
    """Return the sentence on how times were measured, and on the time that is left beside other programs.

    Args:
        measured: measurements that the times were computed from.
        seconds: likely seconds of all that is left.
    """
    if not all(each.by_cpu for each in measured):
        return "Timed by the clock, on this machine as it is now."
    text = "Computed from CPU time, for a machine with nothing else to do"
    slowdown = max((each.slowdown for each in measured), default=1.0)
    if slowdown < _NOTICED:
        return f"{text}."
    return f"{text}; beside what runs on it now, {slowdown:.1f} times as long: about {short(slowdown * seconds)}."


def _memory(memory: Memory, slots: int) -> str:
    parts = [f"{size(memory.trial)} a trial", f"{size(memory.shared)} shared", f"{size(memory.driver)} the driver"]
    text = " + ".join([f"{slots} x {parts[0]}" if slots > 1 else parts[0], *parts[1:]])
    text = f"{size(memory.total)} = {text}; {size(memory.available)} of {size(memory.machine)} are free"
    if memory.gpu_machine:
        text += f"; {size(memory.gpu)} a trial of the GPU's {size(memory.gpu_machine)}"
    return text


def _disk(disk: Disk) -> str:
    free = f"; {size(disk.free)} are free" if disk.free is not None else ""
    return (
        f"at most {size(disk.total)}: {count(disk.files, 'checkpoint')} of {size(disk.checkpoint)}, and the model "
        f"twice, {size(disk.model)}{free}. Not counted: the databases and the report."
    )


def failure(estimate: Estimate, subject: str) -> Iterator[str]:
    """Yield the lines about a trial that could not be measured; they begin with ``subject``."""
    if estimate.bug:
        yield ""
        yield mask(shorten_traceback(estimate.failure)).rstrip()
    what = "raised the error above" if estimate.bug else f"could not be trained: {mask(estimate.failure)}"
    hint = f" {TRACEBACK} shows the whole traceback." if estimate.bug and not wants_whole_traceback() else ""
    yield from row("WARNING", f"{subject} {what}. So would every trial of the study.{hint}")
