"""The first sections of a report: the answer as a table of arms, the champion's settings, and the ablation path."""

from __future__ import annotations

from ..console.shell_commands import from_this_shell
from ..scoring import answer_words, explanation_words
from ..scoring.explanation import of_result
from . import html
from .study_results import StudyResults


def arms(results: StudyResults) -> str | None:
    """Return the section with the difference of each arm to its control; None if nothing was compared."""
    answer = results.answer
    if answer is None or not answer.contrasts:
        return None
    columns, rows = answer_words.table(answer)
    caption = answer_words.caption(answer)
    note = f"{caption}. A claim needs an interval without zero and a p-value below 0.05."
    return html.text_table("answer", "Answer", f"{answer_words.title(answer)}.", columns, rows, note)


def settings(results: StudyResults) -> str | None:
    """Return the section with the champion's settings; None if there is no champion or no setting."""
    if results.result is None or not results.result["hyperparameters"]:
        return None
    shown = results.result["hyperparameters"].items()
    rows = [[name, f"{value:.4g}" if isinstance(value, float) else str(value)] for name, value in shown]
    sentence = f"The champion is {results.result['role']}."
    note = f"As a file that studies take: {from_this_shell(f'sepray show {results.spec.name} --settings')}"
    if of_result(results.result) is None:
        note += f". Which of them earned what: {from_this_shell(f'sepray explain {results.spec.name}')}"
    note = ". ".join([*results.result.get("edges", ()), note])
    return html.text_table("settings", "Settings of the champion", sentence, ["setting", "value"], rows, note)


def path(results: StudyResults) -> str | None:
    """Return the section with the ablation path to the champion's settings; None if none was trained."""
    found = of_result(results.result)
    if found is None:
        return None
    columns, rows = explanation_words.table(found)
    sentence, note = explanation_words.sentence(found), explanation_words.caption(found)
    return html.text_table("explanation", explanation_words.TITLE, sentence, columns, rows, note)
