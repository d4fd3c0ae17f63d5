"""Texts on a study and its model for MLflow, in Markdown: the answer, the champion's settings, the final table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..choices import MEASURES, better_words, measure_words
from ..console.shell_commands import from_this_shell
from ..contracts import TaskData
from ..plain_text import as_code, in_markdown
from ..scoring import answer_words, explanation_words
from ..scoring.answers import Answer
from ..scoring.explanation import of_result
from ..scoring.tables import ResultRow, markdown_table, shows_objectives
from ..scoring.units import ITEMS, sample_words
from ..spec.study import StudySpec
from .final_scores import KeptResult

LONGEST = 5000
"""Characters that MLflow's databases keep of a model's description."""
_GAP, _UNBROKEN = "&emsp;", "\u00a0"


def answer_of(result: KeptResult) -> Answer | None:
    """Return the answer in a result; None if it has none, and for a result of an older version."""
    kept = result.get("answer")
    return Answer.restored(kept) if kept else None


def table_words(spec: StudySpec, data: TaskData, result: KeptResult) -> tuple[str, list[str], list[ResultRow], str]:
    """Return title, columns, rows and caption of the final table.

    Where the objectives have several measures, each objective is a column.
    """
    columns = list(result.get("columns", [*data.signal.sources, "mean"]))
    measure = MEASURES[result["metric"]]
    label = measure_words(result["metric"]) + (f" in {measure.unit}" if measure.unit else "")
    better = "less is better" if measure.direction == "minimize" else "more is better"
    if shows_objectives(columns):
        objectives = spec.objectives(data.signal)
        label, better = "all objectives", better_words(dict.fromkeys(o.measure for o in objectives))
    title = f"{spec.name}: {label} on the test split"
    what = result.get("scored", ITEMS)
    items = len(data.test if what == ITEMS else data.scored("test"))
    sample, interval = sample_words(result.get("units"), items, what)
    if len(data.signal.shape) == 2:
        sample += f", images of {data.signal.shape[0]} x {data.signal.shape[1]} pixels"
    caption = f"mean over {sample} [{interval}]; {better}"
    caption += "; the champion is one training, the best of its seeds on validation"
    caption += f"; {result['samples']}" if result.get("samples") else ""
    return title, columns, [ResultRow(**row) for row in result["rows"]], caption


def test_metrics(spec: StudySpec, data: TaskData, result: KeptResult) -> dict[str, float]:
    """Return the champion's scores on the test split, by the names of MLflow's metrics."""
    values, metric = result["rows"][0]["values"], result["metric"]
    metrics = {f"test/{s}/{metric}": float(values[s][0]) for s in data.signal.sources if s in values}
    if shows_objectives(columns := result.get("columns", ())):
        named = zip(columns, spec.objectives(data.signal), strict=True)
        metrics |= {f"test/{o.name}": float(values[column][0]) for column, o in named if column in values}
    return {**metrics, f"test/{metric}": float(values["mean"][0])}


def origin_paragraph(spec: StudySpec, data: TaskData) -> str:
    """Return the paragraph that says where a champion comes from."""
    return f"Champion of the study `{spec.name}`; data `{data.fingerprint}`."


def readable(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return settings for a reader: numbers with four digits."""
    return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in settings.items()}


def describe(spec: StudySpec, data: TaskData, result: KeptResult) -> list[str]:
    """Return the paragraphs on a result: the answer with its table, the champion's settings, the final table.

    Where an ablation path was trained, it comes after the settings.
    """
    answer, settings = answer_of(result), readable(result["hyperparameters"])
    paragraphs = []
    if answer is not None:
        paragraphs.append(in_markdown(str(answer)))
        if answer.contrasts:
            paragraphs.append(answer_words.markdown(answer))
    if settings:
        rows = [[as_code(name), in_markdown(value)] for name, value in settings.items()]
        title = f"**Settings of the champion, {in_markdown(result['role'])}**"
        paragraphs.append(f"{title}\n\n{answer_words.markdown_rows(['setting', 'value'], rows)}")
    paragraphs += [in_markdown(f"{sentence}.") for sentence in result.get("edges", ())]
    if (path := of_result(result)) is not None:
        paragraphs.append(explanation_words.markdown(path))
    paragraphs.append(markdown_table(*table_words(spec, data, result)))
    return [_spaced(paragraph) for paragraph in paragraphs]


def _spaced(markdown: str) -> str:
    """Return Markdown with space between columns of tables, and no breaks in intervals, for MLflow's narrow pages."""
    return "\n".join(map(_spaced_row, markdown.splitlines()))


def _spaced_row(line: str) -> str:
    if not line.startswith("|") or line.startswith("| ---"):
        return line
    whole = re.sub(r"\[[^]|]*\]", lambda interval: interval[0].replace(" ", _UNBROKEN), line)
    return whole.replace(" [", f"{_UNBROKEN}[").replace(" | ", f"{_GAP} | ")


def describe_study(
    spec: StudySpec, data: TaskData, result: KeptResult, registered: str, commands: Sequence[str], has_report: bool
) -> str:
    """Return the description of a study's own run.

    Args:
        spec: description of the study.
        data: data of its task.
        result: its result.
        registered: result of registering its model, in words.
        commands: commands that a user will want to run next.
        has_report: whether the run has the report's files.
    """
    found = [*describe(spec, data, result), registered, f"Data: `{data.fingerprint}`."]
    note = [*found, "```\n" + "\n".join(map(from_this_shell, commands)) + "\n```"]
    if has_report:
        note.append("The figures are among this run's artifacts, all of them on one page in `report.html`.")
    return "\n\n".join(note)


def describe_model(spec: StudySpec, data: TaskData, result: KeptResult) -> str:
    """Return the description of a registered model and its version, with where it comes from.

    Paragraphs beyond what MLflow keeps are left out, the last ones first.
    """
    paragraphs = describe(spec, data, result)
    while len(text := "\n\n".join([*paragraphs, origin_paragraph(spec, data)])) > LONGEST and paragraphs:
        paragraphs.pop()
    return text[:LONGEST]
