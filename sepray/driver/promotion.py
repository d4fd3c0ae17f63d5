"""Decides whether a new model takes the alias ``champion`` from the registry's present champion.

Validation decides. The test split is reported once for each version and decides nothing, so that a study may be started
any number of times without choosing by it. Both models are scored on the study's validation split, item by item, and
compared on its recordings (``statistics.paired_difference``). Both were chosen on that split, so neither is favoured
where they were trained on the same data. A champion that was trained on other data may have learned from the very
recordings that are scored, so it cannot defend the alias: the user decides.

With several objectives the one that ``--choose`` names decides. Where it names none, the new model has to be better in
one objective, and worse in none; objectives of different units are never averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..choices import MEASURES, Objective, measure_words
from ..contracts import TaskData
from ..errors import UnreachableError, one_line
from ..scoring import tables
from ..scoring.intervals import SIGNIFICANT
from ..scoring.many_systems import holm
from ..scoring.statistics import PairedDifference, paired_difference, too_few
from ..scoring.units import Units, Values
from ..secrecy import mask
from ..spec import choosing
from ..spec.study import StudySpec
from ..tracking import models
from ..tracking.environment import resolve_uri
from .final_scores import KeptResult

ItemScores = Mapping[str, Values]
"""Measure -> ``[item, source]``."""


def contest(spec: StudySpec, data: TaskData, result: KeptResult, folder: Path, uri: str, old: str) -> tuple[bool, str]:
    """Say whether a study's model is better than the present champion, and why, in words.

    Args:
        spec: description of the study.
        data: data of its task.
        result: result of the study, with the scores of its champion on validation; one of an older version has none,
            and its packaged model is scored anew.
        folder: folder of the packaged model.
        uri: MLflow's address.
        old: version of the present champion.

    Raises:
        UnreachableError: the server does not answer.
    """
    address = f"models:/{spec.model_name}/{old}"
    client = "" if resolve_uri(uri) == resolve_uri(None) else f'"{mask(uri)}"'
    alias = f'"{spec.model_name}", "champion", VERSION'
    by_hand = f"mlflow.MlflowClient({client}).set_registered_model_alias({alias}) moves it"
    try:
        trained_on = models.describe(address, uri).get("data_fingerprint")
        if trained_on != data.fingerprint:
            unknown = "it does not say what it was trained on" if trained_on is None else "it was trained on other data"
            return False, (
                f"; version {old} keeps the alias without a contest: {unknown}, and may have "
                f"learned from what would be scored; train its settings on these data, or decide yourself ({by_hand})"
            )
        defender = _scored(models.as_function(models.load(address, uri)), data)
    except UnreachableError:
        raise
    except models.ModelError as error:  # its code is not trusted, or it cannot be loaded here
        return False, f"; version {old} stays the champion, with which it was not compared ({one_line(error)})"
    except Exception as error:  # the present champion is other code, which may fail in any way
        why = one_line(error)
        return False, f"; version {old} stays the champion, but cannot separate this validation split ({why})"
    challenger: ItemScores = {name: np.array(values) for name, values in result.get("validation_scores", {}).items()}
    if not challenger:
        challenger = _scored(models.as_function(models.load(str(folder), uri)), data)
    units = Units.of_split(data.validation, data.unit_names)
    objectives = deciding_objectives(spec, data)
    if few := too_few(units, len(objectives)):
        return False, f"; version {old} stays the champion: on validation there are {few}; {by_hand}"
    sources = data.signal.sources
    pairs = [
        (_column(o, challenger, sources), _column(o, defender, sources), MEASURES[o.measure].direction)
        for o in objectives
    ]
    found = [paired_difference(first, second, units, spec.seed) for first, second, _ in pairs]
    told = "; ".join(
        _gap(o, float(first.mean()), float(second.mean()), difference)
        for o, (first, second, _), difference in zip(objectives, pairs, found, strict=True)
    )
    told = f"validation: {told}, over {units.words}"
    if wins(found, [direction for *_, direction in pairs]):
        return True, f", the new champion: it beats version {old} ({told})"
    return False, f"; version {old} stays the champion ({told})"


def deciding_objectives(spec: StudySpec, data: TaskData) -> tuple[Objective, ...]:
    """Return the objectives that decide a contest: the one that ``--choose`` names, or all of them."""
    objectives = spec.objectives(data.signal)
    weights = choosing.weights_of(spec.choose, objectives)
    return tuple(o for o, weight in zip(objectives, weights, strict=True) if weight > 0)


def wins(found: Sequence[PairedDifference], directions: Sequence[str]) -> bool:
    """Say whether a challenger is better in one objective and worse in none, with Holm's correction over them."""
    corrected = holm({str(k): difference.p_value for k, difference in enumerate(found)})
    signs = []
    for k, (difference, direction) in enumerate(zip(found, directions, strict=True)):
        gain = -difference.difference if direction == "minimize" else difference.difference
        beyond = difference.low > 0 or difference.high < 0
        signs.append(np.sign(gain) if beyond and corrected[str(k)] < SIGNIFICANT else 0)
    return max(signs) > 0 and min(signs) >= 0


def _scored(separate: Callable[[Tensor], Tensor], data: TaskData) -> ItemScores:
    return tables.score(separate, data.validation, signal=data.signal)


def _column(objective: Objective, scores: ItemScores, sources: Sequence[str]) -> Values:
    """Return the scores ``[item]`` that an objective is about."""
    values = scores[objective.measure]
    if objective.source:
        return values[:, sources.index(objective.source)]
    return tables.over_sources(objective.measure, values)


def _gap(objective: Objective, first: float, second: float, difference: PairedDifference) -> str:
    unit = f" {MEASURES[objective.measure].unit}" if MEASURES[objective.measure].unit else ""
    column = objective.source or "mean over the sources"
    return (
        f"{measure_words(objective.measure)}, {column}, {first:.4f}{unit} against {second:.4f}{unit}, difference "
        f"{difference.difference:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], p {difference.p_value:.2g} by "
        "sign flips"
    )
