"""Objectives of a study, as its flag ``--objective`` names them: ``[SOURCE/]MEASURE[:each][:min|:max]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..choices import BSS_EVAL, MEASURES, OBJECTIVES, Objective
from ..errors import UsageError, proposal

if TYPE_CHECKING:
    from ..contracts import Signal

_DIRECTIONS = {"min": "minimize", "max": "maximize"}
_THERE = f"{', '.join(OBJECTIVES)}, such as si_sdr, fetal/si_sdr (one source) or si_sdr:each (one per source)"


@dataclass(frozen=True)
class NamedObjective:
    """An objective as it was named.

    Attributes:
        text: the text that named it.
        source: name of a source; empty for the mean over sources.
        measure: name of a measure.
        each: whether it stands for an objective of every source.
    """

    text: str
    source: str
    measure: str
    each: bool


def read(text: str) -> NamedObjective:
    """Return an objective from its text.

    A direction at its end, ``:min`` or ``:max``, is for the reader: it has to be the measure's own.

    Raises:
        UsageError: the measure is unknown, is too slow for every epoch, or is better in the other direction.
    """
    name, *options = text.removeprefix("validation/").split(":")
    source, _, measure = name.rpartition("/")
    if measure in BSS_EVAL:
        raise UsageError(
            f"{measure} (BSS Eval) takes seconds for each item, too long for every epoch: search by si_sdr, and "
            "see `sepray evaluate --bss-eval`"
        )
    if measure in MEASURES and measure not in OBJECTIVES:
        raise UsageError(f"{measure} needs a second separation, too long for every epoch: search by relative_l2")
    if measure not in OBJECTIVES:
        raise UsageError(f"unknown objective {text!r}; {proposal(measure, OBJECTIVES)}there are {_THERE}")
    each = options[:1] == ["each"]
    directions = options[each:]
    if len(directions) > 1 or not set(directions) <= _DIRECTIONS.keys() or (each and source):
        raise UsageError(f"unknown objective {text!r}; there are {_THERE}, with :min or :max at the end if you like")
    own = MEASURES[measure].direction
    if directions and _DIRECTIONS[directions[0]] != own:
        better = "greater" if own == "maximize" else "less"
        raise UsageError(f"objective {text!r}: {measure} is the better the {better} it is; leave out :{directions[0]}")
    return NamedObjective(text, source, measure, each)


def objectives(texts: Sequence[str], signal: Signal) -> tuple[Objective, ...]:
    """Return the objectives of a study on a task's signal, in their order.

    Raises:
        UsageError: an unknown measure or source, a measure that is not defined for it, or an objective that is there
            twice.
    """
    from ..scoring import metrics

    found: list[Objective] = []
    for named in map(read, texts):
        if named.source and named.source not in signal.sources:
            meant = proposal(named.source, signal.sources)
            sources = ", ".join(signal.sources)
            raise UsageError(f"unknown objective {named.text!r}; {meant}there are {_THERE}; sources: {sources}")
        if why := metrics.unfit(named.measure, signal, named.source):
            raise UsageError(f"objective {named.text!r}: {why}")
        keys = [f"{named.source}/{named.measure}" if named.source else named.measure]
        if named.each:
            keys = [f"{s}/{named.measure}" for s in signal.sources if not metrics.unfit(named.measure, signal, s)]
        for key in keys:
            objective = Objective(f"validation/{key}", MEASURES[named.measure].direction)
            if objective in found:
                raise UsageError(f"objective {named.text!r}: {key} is an objective already")
            found.append(objective)
    return tuple(found)
