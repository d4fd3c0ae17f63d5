"""What must hold of a study once it has ended, whatever happened on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from ..end_to_end.conftest import Laboratory
from .files import EPOCHS, TRIALS

_STAGES = {"search": "lab", "finals": "lab/finals"}
METRIC = "validation/relative_l2"


@dataclass(frozen=True)
class Found:
    """What a study found: the values of its trials by stage and number, and its champion's scores and settings."""

    values: dict[str, dict[int, tuple[float, ...]]]
    champion: dict[str, Any]


def found(laboratory: Laboratory) -> Found:
    """Read what a study found from its stores."""
    values = {
        stage: {t.number: tuple(t.intermediate_values.values()) for t in laboratory.trials(name) if t.values}
        for stage, name in _STAGES.items()
    }
    [result] = laboratory.folder.glob("sepray-results/lab/*/result.json")
    told = json.loads(result.read_text())
    return Found(values, {key: told[key] for key in ("role", "hyperparameters", "scores")})


def violations(laboratory: Laboratory, clean: Found, failed: frozenset[int] = frozenset()) -> list[str]:
    """Return what does not hold of a study that has ended, a sentence each; none where all is well.

    Args:
        laboratory: folder of the study.
        clean: what the same study found where nothing happened.
        failed: numbers of the trials of the search that the separator itself has failed.
    """
    broken: list[str] = []
    for stage, name in _STAGES.items():
        trials = laboratory.trials(name)
        wanted = TRIALS if stage == "search" else len(clean.values["finals"])
        _expect(broken, f"{stage}: number of trials", len(trials), wanted)
        states = {t.number: t.state for t in trials}
        fails = {n for n, state in states.items() if state is TrialState.FAIL}
        _expect(broken, f"{stage}: failed trials", fails, set(failed) if stage == "search" else set())
        unfinished = {n for n, s in states.items() if s not in (TrialState.COMPLETE, TrialState.FAIL)}
        _expect(broken, f"{stage}: unfinished trials", unfinished, set())
        _check_runs(broken, laboratory, stage, states)
    _expect(broken, "runs of the study", _count(laboratory, "select count(*) from tags where value = 'study'"), 1)
    running = "select count(*) from runs where status in ('RUNNING', 'SCHEDULED')"
    _expect(broken, "runs that are RUNNING", _count(laboratory, running), 0)
    repeated = "select count(*) from (select 1 from metrics group by run_uuid, key, step having count(*) > 1)"
    _expect(broken, "steps that MLflow has twice", _count(laboratory, repeated), 0)
    now = found(laboratory)
    for stage, values in clean.values.items():
        wanted = {n: v for n, v in values.items() if not (stage == "search" and n in failed)}
        differing = sorted(n for n in wanted if now.values[stage].get(n) != wanted[n])
        _expect(broken, f"{stage}: trials with other values than undisturbed", differing, [])
    _expect(broken, "champion", now.champion, clean.champion)
    _expect(broken, "versions registered", _count(laboratory, "select count(*) from model_versions"), 1)
    _expect(broken, "champion's alias", _count(laboratory, "select count(*) from registered_model_aliases"), 1)
    reports = list(Path(laboratory.folder).glob("sepray-results/lab/*/report.html"))
    _expect(broken, "reports", len(reports), 1)
    return broken


def _check_runs(broken: list[str], laboratory: Laboratory, stage: str, states: dict[int, TrialState]) -> None:
    """Compare MLflow's runs of a stage with its trials: one each, steps 1 to n once."""
    runs = laboratory.query(
        "select t.value, r.status, r.run_uuid from runs r join tags t using (run_uuid) join tags s using (run_uuid) "
        "where t.key = 'trial' and s.key = 'stage' and s.value = ?",
        stage,
    )
    _expect(broken, f"{stage}: runs", sorted(int(number) for number, _, _ in runs), sorted(states))
    for number, status, run in runs:
        complete = states.get(int(number)) is TrialState.COMPLETE
        _expect(broken, f"{stage}: status of run {number}", status, "FINISHED" if complete else "FAILED")
        steps = laboratory.query("select step from metrics where run_uuid = ? and key = ? order by step", run, METRIC)
        if complete:
            _expect(broken, f"{stage}: steps of run {number}", [s for (s,) in steps], list(range(1, EPOCHS + 1)))


def _count(laboratory: Laboratory, statement: str) -> int:
    [(count,)] = laboratory.query(statement)
    return int(count)


def _expect(broken: list[str], what: str, is_now: object, wanted: object) -> None:
    if is_now != wanted:
        broken.append(f"{what}: {_short(is_now)} instead of {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
