"""The result of a study: scores on the test split of the champion, the pairs, published settings and bounds.

This is the only place where a study reads the test split. The result is kept in ``result.json`` in the study's folder,
so that the split is opened once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from ..console.terminal import console
from ..contracts import Split, TaskData, Tracks
from ..errors import SeprayError
from ..execution import checkpoint, weights
from ..loading import build_separator
from ..report.kept_result import RESULT, read_result
from ..scoring import evaluation, tables
from ..scoring.beat_scores import with_beats
from ..scoring.tables import ResultRow, Scores
from ..scoring.units import ITEMS, TRACKS, Units
from ..spec.folder import write
from ..spec.published_settings import NONE, row_title
from ..spec.study import StudySpec
from ..tracking import models
from ..training import views
from . import pairs
from .champion import Champion
from .finished_trials import Finished
from .mean_rows import MeanRow
from .pairs import Compared

KeptResult = Mapping[str, Any]
"""The result of a study as JSON values, by name; results of older versions lack the names with a star:

- ``member``: number of the champion's retraining; ``role`` and ``hyperparameters``: the champion's;
- ``validation``: mean of the champion's seeds on validation, lower is better;
- ``metric``: measure of the first objective;
- ``scores``: measure -> ``[item][source]`` on test, the champion's; ``validation_scores``*: the same on validation;
- ``scored``*: whether the scores on test are of items or of whole tracks; ``units``*: what ``Units.plain`` returns of
  the test split;
- ``rows`` of the final table; ``columns``*: those that it shows;
- ``pairs``*: what ``pairs.as_json`` returns; ``answer``*: what ``Answer.plain`` returns, or null;
- ``best_of_arms``*: numbers of the retrainings at the arms' own best settings;
- ``references``*: numbers of the retrainings of published settings;
- ``edges``*: a sentence for each setting at an edge of its range;
- ``samples``*: where unpaired samples were from, in words; empty if there were none;
- ``explanation``: what ``Explanation.plain`` returns, where an ablation path to these settings was trained.
"""


def load_result(folder: Path) -> KeptResult | None:
    """Return the result that an earlier start has kept in a study's folder; None if there is none that can be read."""
    return read_result(folder)


def save_result(folder: Path, result: KeptResult) -> None:
    """Keep a result in a study's folder."""
    write(folder, RESULT, json.dumps(result))


def score_all(
    spec: StudySpec,
    data: TaskData,
    champion: Champion,
    searched: Sequence[Finished],
    systems: Compared,
    others: Sequence[MeanRow] = (),
) -> KeptResult:
    """Score the champion, the pairs, the published settings and the bounds on the test split.

    Published settings whose trained weights are lost have no row. The row of settings that were tried in the search
    and not trained again (in studies of older versions, and ``first_settings``) is of that one training.

    Args:
        spec: description of the study.
        data: data of its task.
        champion: settings and training that were chosen on validation.
        searched: finished trials of the search.
        systems: retrainings that are compared in pairs.
        others: further rows, means over retrainings: the champion's, and published settings'.
    """
    title, sources = f"champion, {champion.role}", data.signal.sources
    objectives = spec.objectives(data.signal)
    measures = list(dict.fromkeys(objective.measure for objective in objectives))
    # With one measure the columns are all sources and their mean, whichever of them are objectives.
    shown = objectives if len(measures) > 1 else ()

    test = data.scored("test")
    if isinstance(test, Split):
        test = with_beats(test, data.signal)
    units = Units.of_split(test, data.unit_names)

    def row(name: str, scores: Scores | Sequence[Scores], bold: bool = False) -> ResultRow:
        return tables.row(name, scores, spec.metric, sources, bold, shown, units)

    validation = with_beats(data.validation, data.signal)
    best, chosen_by = (_score(spec, data, champion.member, split) for split in (test, validation))
    members = {t.number: t for system in (*systems.systems, *systems.best) for t in system.members.values()}
    compared = set(members)
    members |= {t.number: t for each in others for t in each.members if has_weights(t)}
    found = {n: best if n == champion.member.number else _score(spec, data, t, test) for n, t in members.items()}
    # An arm whose estimates are not finite for a seed has no score there, as if that training had failed.
    sound = {n: s for n, s in found.items() if all(np.isfinite(tables.over_sources(m, s[m])).all() for m in measures)}
    rows = [row(title, best, bold=True)]
    means = [(system.title, list(system.members.values())) for system in (*systems.systems, *systems.best)]
    for name, trained in [*means, *((each.title, each.members) for each in others)]:
        own = [sound[t.number] for t in trained if t.number in sound]
        if own and not (len(own) == 1 and name == champion.role):
            of = f"{tables.MEAN_OF}{len(own)} seeds" if len(own) > 1 else ""
            rows.append(row(name + of, own))
    for each in others:
        if not any(t.number in sound for t in each.members):
            console.print(f"{each.title} has no row: its checkpoints are damaged or gone, or it has no finite scores")
    bounds: dict[str, Scores] = {}
    for label, name in _of_the_search(spec, {each.label for each in others}).items():
        trials = [t for t in searched if t.label == label]
        if trials and label in spec.first_settings:  # settings may have the names of arms
            name = f"trial {trials[0].number}: {label}"
        if trials and has_weights(trials[0]):
            bounds[name] = _score(spec, data, trials[0], test)
        elif trials:
            console.print(f"{name} has no row: the checkpoints of trial {trials[0].number} are damaged or gone")
    bounds |= _of_initial_model(spec, data, test)
    stft = stft_of(spec, data)
    bounds |= tables.references(test, stft["n_fft"], stft["hop"], data.signal)
    rows += [row(name, scores) for name, scores in bounds.items()]
    of_pairs = {t.number for system in systems.systems for t in system.members.values()}
    kind = build_separator(spec.separator, data.signal)
    by_measure = {m: {n: s[m] for n, s in sound.items() if n in of_pairs} for m in measures}
    return {
        "member": champion.member.number,
        "role": champion.role,
        "hyperparameters": dict(champion.member.hyperparameters),
        "validation": champion.value,
        "metric": spec.metric,
        "scores": {measure: values.tolist() for measure, values in best.items()},
        "validation_scores": {measure: values.tolist() for measure, values in chosen_by.items()},
        "rows": [asdict(row) for row in rows],
        "units": units.plain(),
        "scored": TRACKS if isinstance(test, Tracks) else ITEMS,
        "columns": tables.objective_columns(shown) if shown else [*sources, "mean"],
        "pairs": pairs.as_json(systems, by_measure.pop(spec.metric), by_measure),
        "best_of_arms": sorted(compared - of_pairs),
        "samples": views.note(data.train, kind.supervision, data.unit_names, spec.seed, kind.paired_fraction),
        "references": sorted({t.number for each in others if each.label for t in each.members}),
    }


def _of_initial_model(spec: StudySpec, data: TaskData, split: Split | Tracks) -> dict[str, Scores]:
    """Return the scores of the initial model without further training; nothing if there is no such model."""
    if not spec.start:
        return {}
    try:
        separate = models.as_function(models.load(spec.start, spec.stores.tracking_uri))
    except SeprayError as error:  # the model was there when the study began
        console.print(f"{spec.start} has no row: {error}", markup=False, soft_wrap=True)
        return {}
    return {f"{spec.start}, as it comes": tables.score(separate, split, signal=data.signal)}


def _of_the_search(spec: StudySpec, retrained: Collection[str]) -> dict[str, str]:
    """Return the names of the rows that are trials of the search, by their label."""
    budget = spec.budget
    titles = {label: label for label in spec.first_settings}
    if budget.reference_budget != NONE:
        titles |= {
            label: row_title(label, budget.max_epochs, spec.reference_epochs.get(label))
            for label, point in spec.reference_points.items()
            if point and label not in retrained
        }
    return titles


def stft_of(spec: StudySpec, data: TaskData) -> dict[str, int]:
    """Return the STFT of the oracle bounds, ``n_fft`` and ``hop`` in samples: the separator's own, if it has one.

    Fields of these names in its configuration that cannot be frame and hop mean something else.
    """
    usual = dict(zip(("n_fft", "hop"), evaluation.default_transform(data.signal), strict=True))
    own = {name: getattr(spec.separator, name, value) for name, value in usual.items()}
    if not all(isinstance(value, Integral) for value in own.values()) or not 0 < own["hop"] <= own["n_fft"]:
        return usual
    return {name: int(value) for name, value in own.items()}


def has_weights(trial: Finished) -> bool:
    """Say whether a finished trial still has a checkpoint that can be read."""
    return checkpoint.newest(trial.folder, belongs_to(trial)) is not None


def belongs_to(trial: Finished) -> Callable[[Mapping[str, Any]], bool]:
    """Return the function that says whether the metadata of a checkpoint are of a finished trial."""
    return checkpoint.of_trial(trial.number, trial.attributes.get("seed"))


def _score(spec: StudySpec, data: TaskData, trial: Finished, split: Split | Tracks) -> Scores:
    separator = weights.load_separator(spec.separator, data.signal, trial.folder, belongs_to(trial))
    return tables.score(separator, split, signal=data.signal)
