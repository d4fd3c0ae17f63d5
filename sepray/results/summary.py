"""Describes a study's result in words: in the terminal, in a notebook, and as the ``repr`` of the result."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..choices import FAILED, Objective
from ..console.shell_commands import from_this_shell
from ..console.terminal import size
from ..driver.saved_study import STAGES
from ..errors import mask
from ..plain_text import plural
from ..report.wording import OUTCOMES, number, objective_words, trial_name
from ..scoring import answer_words, explanation_words
from ..scoring.answers import Answer
from ..search.outcomes import has_failed, reason
from ..spec.folder import is_remote
from ..tracking.pages import is_server
from .findings import Findings

CHAMPION = (
    "They were chosen on validation, among the settings that were trained again on new seeds; the model is the best of "
    "these trainings."
)
"""Sentence below the champion's settings that says how they were chosen."""

_WIDTH = 15


def text(result: Findings) -> str:
    """Return a result as the text that ``repr`` gives: one line for each fact."""
    lines = [f"{title(result)}", *result.conclusion.splitlines(), *trials(result)]
    lines += [f"{name:{_WIDTH}}{location}" for name, location in locations(result).items()]
    return "\n  ".join(lines)


def html(result: Findings) -> str:
    """Return a result as the HTML that a notebook shows."""
    parts = [f"<h3>{escape(title(result))}</h3>"]
    if result.answer is not None:
        parts.append(f"<p><b>{escape(str(result.answer))}</b></p>")
        if result.answer.contrasts:
            parts.append(_answer_table(result.answer))
    if result.result is not None:
        parts += [_settings(result), *(f"<p>{escape(sentence)}.</p>" for sentence in result.edges)]
    if (path := result.ablation_path) is not None:
        parts.append(f"<p>{escape(explanation_words.sentence(path))}</p>")
        parts.append(_table(explanation_words.caption(path), *explanation_words.table(path)))
    parts += [f"<p>{escape(sentence)}</p>" for sentence in result.facts]
    if result.result is not None:
        parts.append(result.table.to_html(float_format=lambda value: f"{value:.3f}", escape=True, border=0))
    parts += [f"<p>{escape(sentence)}</p>" for sentence in trials(result)]
    rows = "".join(f"<dt>{escape(n)}</dt><dd><code>{escape(p)}</code></dd>" for n, p in locations(result).items())
    return "\n".join([*parts, f"<dl>{rows}</dl>"])


def _answer_table(answer: Answer) -> str:
    columns, rows = answer_words.table(answer)
    caption = f"{answer_words.title(answer)}; {answer_words.caption(answer)}"
    return _table(caption, columns, rows)


def _settings(result: Findings) -> str:
    settings = result.settings()
    rows = [[name, str(value)] for name, value in settings.hyperparameters.items()]
    table = _table(f"Settings of the champion, {settings.trial}", ["setting", "value"], rows) if rows else ""
    return f"{table}<p>{CHAMPION}</p>" if table else ""


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def title(result: Findings) -> str:
    """Return a line with the name of a study, its separator and task, and how far it is."""
    return f"{result.name}: {result.saved.separator} on {result.saved.task}, {result.state}"


def trials(result: Findings) -> list[str]:
    """Return sentences on the trials of the search: how they ended, which is the best, what failed last."""
    counts = dict(result.counts)
    counts["failed"] = sum(counts.pop(tag, 0) for tag in FAILED)
    ended = ", ".join(f"{counts[kind]} {words}" for kind, words in OUTCOMES.items() if counts.get(kind))
    total = plural(sum(counts.values()), "trial")
    retrained = len(result.trials_of.get("finals", ()))
    sentences = [f"{total}: {ended}" if ended else total]
    sentences[0] += f"; {plural(retrained, 'retraining')} of the best." if retrained else "."
    objectives = [Objective(key, direction) for key, direction in result.saved.objectives.items()]
    if len(objectives) > 1 and result.best:
        numbers = ", ".join(str(trial.number) for trial in result.best[:20]) + ", ..." * (len(result.best) > 20)
        words = " and ".join(map(objective_words, objectives))
        noun = "trial" if len(result.best) == 1 else "trials"
        sentences.append(f"On the Pareto front in {words} on validation: {noun} {numbers}.")
    elif result.best:
        [best] = result.best
        value = f"{objective_words(objectives[0])} {number(best.values[0])}"
        sentences.append(f"Best single training of the search: {trial_name(best)}, {value} on validation.")
    failed = [(stage, t) for stage in STAGES for t in result.trials_of.get(stage, ()) if has_failed(t)]
    if failed:
        stage, last = failed[-1]
        where = "ablation path" if stage == "explain" else stage
        sentences.append(f"The last failure, trial {last.number} of the {where}: {reason(last)}")
    return sentences


def locations(result: Findings) -> dict[str, str]:
    """Return the locations of a study's storage, folder, report, runs and model by name, with passwords masked.

    The last entries are the size of its files on the disk, in all and by kind.
    """
    saved, run = result.saved, result.run_id
    found = {"storage": mask(saved.storage), "folder": str(saved.folder)}
    if is_remote(saved.storage_path):
        found["checkpoints"] = mask(saved.checkpoints)
    found["report"] = str(result.report or f"none; {from_this_shell(f'sepray report {result.name}')} makes it")
    found["MLflow"] = result.mlflow
    found |= {"experiment": saved.model_name, "run": run or "none yet"}
    if result.runs_page is not None:
        found["runs' page"] = result.runs_page + ("" if is_server(result.mlflow) else "  (while mlflow ui runs)")
    if result.model_uri is not None:
        found["model"] = result.model_uri
    found["disk used"] = size(sum(result.disk.values()))
    found |= {f"- {kind}": size(used) for kind, used in result.disk.items() if used}
    return found
