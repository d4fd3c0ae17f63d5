"""Checks of a study that has ended, whatever happened on the way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import TrialState

from ..end_to_end.conftest import Laboratory
from .files import TRIALS

_STAGES = {"search": "lab", "finals": "lab/finals"}
METRIC = "validation/relative_l2"
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}


@dataclass(frozen=True)
class Found:
    """The findings of a study.

    Attributes:
        trials: trials by stage and number: the state of each and its value after each epoch.
        champion: role, settings and scores of its champion.
    """

    trials: dict[str, dict[int, tuple[str, tuple[float, ...]]]]
    champion: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def restored(cls, plain: dict[str, Any]) -> Found:
        """Return what ``plain`` described, after a way through JSON."""
        trials = {
            stage: {int(number): (state, tuple(values)) for number, (state, values) in told.items()}
            for stage, told in plain["trials"].items()
        }
        return cls(trials, plain["champion"])


def found(laboratory: Laboratory) -> Found:
    """Read what a study found from its stores."""
    trials = {
        stage: {t.number: (t.state.name, _values(t)) for t in laboratory.trials(name)}
        for stage, name in _STAGES.items()
    }
    [result] = laboratory.folder.glob("sepray-results/lab/*/result.json")
    told = json.loads(result.read_text())
    return Found(trials, {key: told[key] for key in ("role", "hyperparameters", "scores")})


def _values(trial: Any) -> tuple[float, ...]:
    """Return the value after each epoch, in the order of the epochs."""
    return tuple(value for _, value in sorted(trial.intermediate_values.items()))


def violations(
    laboratory: Laboratory, clean: Found, failed: frozenset[int] = frozenset(), others: int = 0
) -> list[str]:
    """Return what does not hold of a study that has ended, a sentence each; none where all is well.

    Args:
        laboratory: folder of the study.
        clean: what the same study found where nothing happened.
        failed: numbers of the trials of the search that the separator itself has failed.
        others: number of other studies that have run on the same stores.
    """
    broken: list[str] = []
    now = found(laboratory)
    for stage, name in _STAGES.items():
        trials = laboratory.trials(name)
        wanted = TRIALS if stage == "search" else len(clean.trials["finals"])
        _expect(broken, f"{stage}: number of trials", len(trials), wanted)
        fails = {t.number for t in trials if t.state is TrialState.FAIL}
        _expect(broken, f"{stage}: failed trials", fails, set(failed) if stage == "search" else set())
        unfinished = {t.number for t in trials if not t.state.is_finished()}
        _expect(broken, f"{stage}: unfinished trials", unfinished, set())
        differing = [
            n for n, told in clean.trials[stage].items() if n not in fails and now.trials[stage].get(n) != told
        ]
        _expect(broken, f"{stage}: trials with other ends or values than undisturbed", sorted(differing), [])
        epochs = {t.number: sorted(t.intermediate_values) for t in trials}
        gaps = {n: steps for n, steps in epochs.items() if steps != list(range(1, len(steps) + 1))}
        _expect(broken, f"{stage}: trials whose epochs are not 1 to n", gaps, {})
        _check_runs(broken, laboratory, stage, {t.number: (t.state.name, len(epochs[t.number])) for t in trials})
    _expect(broken, "champion", now.champion, clean.champion)
    counts = {
        "runs of the study": ("select count(*) from tags where value = 'study'", 1 + others),
        "runs that are RUNNING": ("select count(*) from runs where status in ('RUNNING', 'SCHEDULED')", 0),
        "steps that MLflow has twice": (
            "select count(*) from (select 1 from metrics group by run_uuid, key, step having count(*) > 1)",
            0,
        ),
        "versions registered": ("select count(*) from model_versions", 1 + others),
        "champion's alias": ("select count(*) from registered_model_aliases", 1),
    }
    for what, (statement, wanted) in counts.items():
        _expect(broken, what, _count(laboratory, statement), wanted)
    reports = list(laboratory.folder.glob("sepray-results/lab/*/report.html"))
    _expect(broken, "reports", len(reports), 1)
    return broken


def _check_runs(broken: list[str], laboratory: Laboratory, stage: str, trials: dict[int, tuple[str, int]]) -> None:
    """Compare MLflow's runs of a stage with its trials (state, epochs): one each, each of their steps once."""
    runs = laboratory.query(
        "select t.value, r.status, r.run_uuid from runs r join tags t using (run_uuid) join tags s using (run_uuid) "
        "join tags p using (run_uuid) join runs o on o.run_uuid = p.value "
        "where t.key = 'trial' and s.key = 'stage' and s.value = ? and p.key = 'mlflow.parentRunId' and o.name = 'lab'",
        stage,
    )
    _expect(broken, f"{stage}: runs", sorted(int(number) for number, _, _ in runs), sorted(trials))
    for number, status, run in runs:
        state, epochs = trials.get(int(number), ("", 0))
        _expect(broken, f"{stage}: status of run {number}", status, _STATUS.get(state))
        steps = laboratory.query("select step from metrics where run_uuid = ? and key = ? order by step", run, METRIC)
        _expect(broken, f"{stage}: steps of run {number}", [s for (s,) in steps], list(range(1, epochs + 1)))


def _count(laboratory: Laboratory, statement: str) -> int:
    [(count,)] = laboratory.query(statement)
    return int(count)


def _expect(broken: list[str], what: str, is_now: object, wanted: object) -> None:
    if is_now != wanted:
        broken.append(f"{what}: {_short(is_now)} instead of {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
