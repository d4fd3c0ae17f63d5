"""What MLflow says about a study and its model, in Markdown: the answer, the champion's settings, the final table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..choices import MEASURES
from ..contracts import TaskData
from ..scoring import answer_words
from ..scoring.answers import Answer
from ..scoring.tables import ResultRow, markdown_table
from ..spec.study import StudySpec
from .final_scores import Result

LONGEST = 5000
"""Characters that MLflow's databases keep of a model's description."""


def answer_of(result: Result) -> Answer | None:
    """Return the answer in a result; None where it has none, and for a result of an older version."""
    kept = result.get("answer")
    return Answer.restored(kept) if kept else None


def table_words(spec: StudySpec, data: TaskData, result: Result) -> tuple[str, list[str], list[ResultRow], str]:
    """Return title, columns, rows and caption of the final table."""
    measure = MEASURES[result["metric"]]
    better = "less" if measure.direction == "minimize" else "more"
    label = result["metric"].replace("_", " ") + (f" in {measure.unit}" if measure.unit else "")
    title = f"{spec.name}: {label} on the test split"
    caption = f"mean over {len(data.test)} test items [95% bootstrap interval]; {better} is better"
    caption += "; the champion is one training, the best of its seeds on validation"
    return title, [*data.signal.sources, "mean"], [ResultRow(**row) for row in result["rows"]], caption


def shown(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings for a reader: numbers with four digits."""
    return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in settings.items()}


def describe(spec: StudySpec, data: TaskData, result: Result) -> list[str]:
    """Return the paragraphs on a result: the answer with its table, the champion's settings, the final table."""
    answer, settings = answer_of(result), shown(result["hyperparameters"])
    paragraphs = []
    if answer is not None:
        paragraphs.append(str(answer))
        if answer.contrasts:
            paragraphs.append(answer_words.markdown(answer))
    if settings:
        rows = [[f"`{name}`", value] for name, value in settings.items()]
        title = f"**Settings of the champion, {result['role']}**"
        paragraphs.append(f"{title}\n\n{answer_words.markdown_rows(['setting', 'value'], rows)}")
    return [*paragraphs, markdown_table(*table_words(spec, data, result))]


def describe_model(spec: StudySpec, data: TaskData, result: Result) -> str:
    """Return the description of a registered model and its version, with where it comes from.

    Paragraphs beyond what MLflow keeps are left out, the last ones first.
    """
    origin = f"Champion of the study `{spec.name}`; data `{data.fingerprint}`."
    paragraphs = describe(spec, data, result)
    while len(text := "\n\n".join([*paragraphs, origin])) > LONGEST and paragraphs:
        paragraphs.pop()
    return text[:LONGEST]
