"""Compares pairs of retrainings of a study, which gives the study's answer.

A study with arms trains the same settings in every arm on the same seeds; the first arm (of those that have finished)
is the control. A study with controls trains the settings of its best finalist beside every control; there the control
is what the finalist is compared with. A study with neither compares nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..contracts import Signal
from ..scoring import answer_words
from ..scoring.answers import MEAN, Answer, Importance, Pairs, Question, compare_all
from ..scoring.units import Units, Values
from ..spec.study import StudySpec
from .finished_trials import Finished
from .retrainings import BEST_OF_ARM, SAME_SETTINGS, Retraining

_AT = " at the settings of "


@dataclass(frozen=True)
class ComparedSystem:
    """An arm, a control or a finalist: trainings that differ in their seed, and in arms perhaps in their settings.

    Attributes:
        name: its name in a sentence.
        title: its name in a table.
        members: its finished retrainings by the trial whose settings they have, and their seed.
    """

    name: str
    title: str
    members: Mapping[tuple[int, int], Finished]


@dataclass(frozen=True)
class Compared:
    """The systems of a study that are compared.

    Attributes:
        systems: those with finished retrainings.
        contrasts: names of a system and of what it is compared with.
        best: arms at their own best settings, where these differ from those of the pairs; they are in no contrast.
    """

    systems: Sequence[ComparedSystem]
    contrasts: Sequence[tuple[str, str]]
    best: Sequence[ComparedSystem] = ()


def compared(finals: Iterable[Finished], plan: Sequence[Retraining], controls: Collection[str]) -> Compared:
    """Return the systems of a study that are compared.

    Args:
        finals: finished retrainings.
        plan: all retrainings of the study, the arms in their order; others belong to an earlier finalist.
        controls: names of the study's controls.
    """
    roles = dict.fromkeys(p.role for p in plan)
    by_role: dict[str, list[Finished]] = {role: [] for role in roles}
    for trial in finals:
        if trial.attributes.get("role") in roles and "seed" in trial.attributes:
            by_role[trial.attributes["role"]].append(trial)
    systems = _arms(by_role)
    contrasts = [(system.name, systems[0].name) for system in systems[1:]]
    return replace(_with_controls(Compared(systems, contrasts), by_role, controls), best=_best_of_arms(by_role))


def _arms(by_role: Mapping[str, Sequence[Finished]]) -> list[ComparedSystem]:
    """Return the arms that have finished at the same settings, the control first."""
    members: dict[str, dict[tuple[int, int], Finished]] = {}
    for trials in by_role.values():
        for trial in trials:
            if trial.attributes.get("pairing") == SAME_SETTINGS:
                key = (int(trial.attributes["base"]), int(trial.attributes["seed"]))
                members.setdefault(str(trial.attributes["arm"]), {})[key] = trial
    return [ComparedSystem(name, name, found) for name, found in members.items()]


def _best_of_arms(by_role: Mapping[str, Sequence[Finished]]) -> list[ComparedSystem]:
    """Return the arms that have finished at their own best settings, in the order of the plan."""
    found = []
    for trials in by_role.values():
        if trials and trials[0].attributes.get("pairing") == BEST_OF_ARM:
            arm, base = str(trials[0].attributes["arm"]), int(trials[0].attributes["base"])
            found.append(ComparedSystem(arm, f"best of {arm} (trial {base})", _by_seed(trials, base)))
    return found


def _with_controls(arms: Compared, by_role: Mapping[str, Sequence[Finished]], controls: Collection[str]) -> Compared:
    """Return the arms, and beside them the controls and the finalist whose settings they have."""
    systems, contrasts = list(arms.systems), list(arms.contrasts)
    for role, trials in by_role.items():
        name, _, finalist = role.partition(_AT)
        if name not in controls or not finalist or not trials or "arm" in trials[0].attributes:
            continue
        number = int(finalist.rpartition(" ")[2])
        for own, members in by_role.items():
            if members and (own == finalist or own.startswith(f"{finalist} (best of ")):
                reference = str(members[0].attributes.get("arm") or finalist)
                if all(system.name != reference for system in systems):
                    systems.append(ComparedSystem(reference, finalist, _by_seed(members, number)))
                contrasts.append((reference, name))
        systems.append(ComparedSystem(name, role, _by_seed(trials, number)))
    return Compared(systems, contrasts)


def _by_seed(trials: Iterable[Finished], base: int) -> dict[tuple[int, int], Finished]:
    return {(base, int(trial.attributes["seed"])): trial for trial in trials}


def as_json(
    systems: Compared, scores: Mapping[int, Values], others: Mapping[str, Mapping[int, Values]] | None = None
) -> dict[str, Any]:
    """Return the scores of the compared systems as JSON values, with six digits.

    Args:
        systems: what is compared.
        scores: number of a retraining -> scores ``[item, source]``; retrainings without any have ``None``.
        others: name of a further measure -> scores by it, as in ``scores``.
    """
    members = {
        system.name: [
            {"trial": t.number, "base": base, "seed": seed, "scores": _short(scores.get(t.number))}
            | ({"others": {m: _short(by.get(t.number)) for m, by in others.items()}} if others else {})
            for (base, seed), t in system.members.items()
        ]
        for system in systems.systems
    }
    return {"contrasts": [list(names) for names in systems.contrasts], "systems": members}


def numbers(pairs: Mapping[str, Any]) -> set[int]:
    """Return the numbers of the retrainings that ``as_json`` was given."""
    return {int(member["trial"]) for members in pairs["systems"].values() for member in members}


def measures(pairs: Mapping[str, Any], first: str) -> set[str]:
    """Return the measures of scores from ``as_json``, which do not name the first measure; that is given here."""
    members = [member for members in pairs["systems"].values() for member in members]
    return {first}.union(*(member.get("others", ()) for member in members))


def answer(
    pairs: Mapping[str, Any],
    spec: StudySpec,
    signal: Signal,
    importance: Importance | None,
    units: Mapping[str, Any] | None = None,
) -> Answer | None:
    """Return a study's answer to its question; None if it compares nothing and no setting is known to matter.

    Args:
        pairs: scores that ``as_json`` has kept.
        spec: description of the study.
        signal: signal of the task.
        importance: the setting that matters most, if that is known.
        units: what ``Units.plain`` returned of the test split; None for the result of an older version.
    """
    objectives = spec.objectives(signal)
    questions = [
        Question(objective.measure, objective.source or MEAN, _pairs(pairs, objective.measure, spec.metric, units))
        for objective in objectives
    ]
    found = compare_all(questions, signal.sources)
    if not any(found) and importance is None:
        return None
    first, *others = [Answer(q.metric, q.column, contrasts) for q, contrasts in zip(questions, found, strict=True)]
    return answer_words.with_sentence(replace(first, importance=importance, others=tuple(others)))


def _pairs(pairs: Mapping[str, Any], measure: str, first: str, units: Mapping[str, Any] | None = None) -> list[Pairs]:
    """Return the pairs by one measure.

    Args:
        pairs: scores that ``as_json`` has kept.
        measure: name of the measure.
        first: name of the measure that ``as_json`` has put first.
        units: what ``Units.plain`` returned of the test split.
    """
    systems = {name: _scores(members, measure, first) for name, members in pairs["systems"].items()}
    found = [_paired(arm, control, systems[arm], systems[control]) for arm, control in pairs["contrasts"]]
    kept = [len(pair.arm_scores) and pair.arm_scores.shape[1] for pair in found]
    return [replace(pair, units=Units.restored(units, items)) for pair, items in zip(found, kept, strict=True)]


def _scores(members: Sequence[Mapping[str, Any]], measure: str, first: str) -> dict[tuple[int, int], Values]:
    kept = [(m["base"], m["seed"], m["scores"] if measure == first else m["others"][measure]) for m in members]
    return {(base, seed): np.array(scores, dtype=np.float64) for base, seed, scores in kept if scores}


def _paired(
    arm: str, control: str, first: Mapping[tuple[int, int], Values], second: Mapping[tuple[int, int], Values]
) -> Pairs:
    """Return the pairs of two systems; where several settings are paired, a seed's scores are the mean over them.

    A seed counts where every one of these settings has finished in both.
    """
    common = first.keys() & second.keys()
    bases = sorted({base for base, _ in common})
    seeds = [seed for seed in sorted({seed for _, seed in common}) if all((base, seed) in common for base in bases)]
    scores = [
        np.array([np.mean([system[base, seed] for base in bases], axis=0) for seed in seeds])
        for system in (first, second)
    ]
    return Pairs(arm, control, scores[0], scores[1])


def _short(scores: Values | None) -> list[list[float]] | None:
    return None if scores is None else [[float(f"{value:.6g}") for value in row] for row in scores.tolist()]
