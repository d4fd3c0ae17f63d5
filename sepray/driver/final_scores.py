"""The result of a study: the champion's scores on the test split, beside those of everything that it is compared with.

This is the only place where a study reads the test split. The result is kept in ``result.json`` in the study's folder,
so that the split is opened once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..contracts import TaskData
from ..execution import weights
from ..files import replace_file
from ..scoring import evaluation, tables
from ..scoring.tables import Scores
from ..spec.study import StudySpec
from .selection import Champion, Finished, Retraining, best_member

FILE = "result.json"

Result = Mapping[str, Any]
"""``member`` (number of the champion's retraining), ``role``, ``hyperparameters``, ``validation``, ``metric``,
``scores`` (measure -> ``[item][source]``, the champion's) and ``rows`` (of the final table), as JSON values."""


def load_result(folder: Path) -> Result | None:
    """Return the result that an earlier start has kept in a study's folder, if any."""
    path = folder / FILE
    result: Result | None = json.loads(path.read_text()) if path.exists() else None
    return result


def save_result(folder: Path, result: Result) -> None:
    """Keep a result in a study's folder."""
    replace_file(folder / FILE, json.dumps(result))


def score_all(
    spec: StudySpec,
    data: TaskData,
    champion: Champion,
    searched: Sequence[Finished],
    finals: Sequence[Finished],
    plan: Sequence[Retraining],
) -> Result:
    """Score the champion, the controls, the published settings and the bounds on the test split.

    Args:
        spec: description of the study.
        data: data of its task.
        champion: settings and training that were chosen on validation.
        searched: finished trials of the search.
        finals: finished retrainings.
        plan: all retrainings of the study.
    """
    title = f"champion ({champion.role})"
    scores: dict[str, Scores] = {title: _score(spec, data, champion.member)}
    controls = dict.fromkeys(p.role for p in plan if p.role.partition(" at ")[0] in spec.controls)
    for control in controls:
        members = [t for t in finals if t.attributes.get("role") == control and control != champion.role]
        if members:
            scores[control] = _score(spec, data, best_member(members))
    titles = {label: label for label in spec.first_settings}
    titles |= {label: f"paper: {label}" for label in spec.reference_points}
    for label, row in titles.items():
        members = [t for t in searched if t.label == label]
        if members:
            scores[row] = _score(spec, data, members[0])
    scores |= tables.references(data.test, **stft_of(spec, data), signal=data.signal)
    sources = data.signal.sources
    return {
        "member": champion.member.number,
        "role": champion.role,
        "hyperparameters": dict(champion.member.hyperparameters),
        "validation": champion.value,
        "metric": spec.metric,
        "scores": {measure: values.tolist() for measure, values in scores[title].items()},
        "rows": [asdict(tables.row(name, s, spec.metric, sources, name == title)) for name, s in scores.items()],
    }


def stft_of(spec: StudySpec, data: TaskData) -> dict[str, int]:
    """Return the STFT of the oracle bounds: the separator's own, where its configuration has one."""
    n_fft, hop = evaluation.default_transform(data.signal)
    return {"n_fft": getattr(spec.separator, "n_fft", n_fft), "hop": getattr(spec.separator, "hop", hop)}


def _score(spec: StudySpec, data: TaskData, trial: Finished) -> Scores:
    separator = weights.load_separator(spec.separator, data.signal, trial.folder)
    return tables.score(separator, data.test, signal=data.signal)
