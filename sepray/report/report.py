"""Makes the report of a study: one HTML page, and its figures and sounds as files.

It reads only the Optuna storage, the study's folder and the checkpoints. So it can be made again at any time, for a
study that is running, was interrupted, failed in every trial or is finished. Equal stores give equal files. matplotlib
is imported here, and so only when a report is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .. import processor
from ..choices import MEASURES, better_words, measure_words
from ..console.shell_commands import from_this_shell
from ..console.terminal import duration
from ..contracts import Separator, Split, estimate
from ..disk import links
from ..execution import weights
from ..module_names import shown_name
from ..plain_text import in_own_style
from ..scoring import tables
from ..scoring.units import ITEMS, sample_words
from ..spec.folder import LEVELS, write
from . import answer, best_trials, example_items, html, hyperparameters, search_progress, study_results
from .cross_weights import cross_weights
from .figures import STYLE, MediaFile, Section
from .study_results import StudyResults
from .wording import OUTCOMES, number, objective_words, trial_name, unit

PAGE = "report.html"
_FOLDERS = ("figures", "audio")
_EMBEDDED = 3_000_000
"""Largest total size of the sounds, in bytes, that the page embeds; they are also files in any case."""

_Sections = list[Section | str | None]


@dataclass(frozen=True)
class Report:
    """A report that is not yet written.

    Attributes:
        html: the page, which needs no other file.
        files: name -> content of each figure and sound.
    """

    html: str
    files: Mapping[str, bytes]


class Artifacts(Protocol):
    """Takes files for the study's own MLflow run, as the tracker does."""

    def log_file(self, number: int | str, name: str, path: Path) -> None:
        """Add a copy of a file as an artifact."""


def publish(results: StudyResults, artifacts: Artifacts | None = None) -> Path:
    """Write the report into the study's folder and add its files to the study's own run; return the page's path.

    Figures and sounds of an earlier report are removed.
    """
    report = build(results)
    for name in _FOLDERS:
        links.remove(results.folder / name, links.ancestor(results.folder, LEVELS))
    for name, content in {**report.files, PAGE: report.html.encode()}.items():
        write(results.folder, name, content)
    if artifacts is not None:
        for name, path in files_of(results.folder):
            artifacts.log_file("", name, path)
    return results.folder / PAGE


def files_of(folder: Path) -> list[tuple[str, Path]]:
    """Return the name and path of each file of the report in a study's folder; the page is the last.

    Raises:
        UsageError: a file lies behind a link, or the page is a link.
    """
    top = links.ancestor(folder, LEVELS)
    paths = [path for name in _FOLDERS for path in sorted(links.files_below(links.refuse(folder / name, top)))]
    return [(path.relative_to(folder).as_posix(), path) for path in (*paths, links.refuse(folder / PAGE, top))]


def build(results: StudyResults) -> Report:
    """Return the report of a study in its present state."""
    with in_own_style(STYLE):
        items, curves, sounds = _separation(results)
        sections: list[Section | str | None] = [answer.arms(results), answer.settings(results), answer.path(results)]
        sections += [*items, _result_table(results)]
        sections += [search_progress.history(results), search_progress.pruning(results)]
        sections += [search_progress.learning(results), search_progress.pareto(results)]
        sections += [search_progress.front(results)]
        sections += [hyperparameters.importances(results), hyperparameters.parallel_coordinates(results)]
        sections += [cross_weights(results), best_trials.retrainings(results), *curves]
    sections.append(_next_steps(results))
    present = [section for section in sections if section is not None]
    lead, facts = _lead(results)
    model = str(results.registration.get("sentence", ""))
    figures = [figure for section in present if isinstance(section, Section) for figure in section.figures]
    files = {f"figures/{f.name}": f.content for f in figures} | {f"audio/{s.name}": s.content for s in sounds}
    return Report(html.document(results.spec.name, _subtitle(results), lead, facts, present, model), files)


def _subtitle(results: StudyResults) -> str:
    spec = results.spec
    objectives = " and ".join(objective_words(o) for o in results.objectives)
    what = f"{shown_name(spec.separator)} on {shown_name(spec.task)}"
    return f"Hyperparameter study of {what}; objective: {objectives} on validation"


def _lead(results: StudyResults) -> tuple[str, list[tuple[str, str]]]:
    """Return the answer, or else the result, in a sentence or two, and the numbers that a reader looks for first."""
    counts = results.counts
    ends = [f"{counts[kind]} {text}" for kind, text in OUTCOMES.items() if counts[kind] and kind != "complete"]
    trained = f"trials of up to {results.spec.budget.max_epochs} epochs"
    facts = [(str(len(results.trials)), "; ".join([trained, *ends]))]
    trials = (*results.trials, *results.finals)
    times = [time for trial in trials for time in (trial.datetime_start, trial.datetime_complete) if time]
    if times:
        taken = duration((max(times) - min(times)).total_seconds())
        facts.append((taken, f"from the first trial to the last{_processors(results)}"))
    result, metric = results.result, results.spec.metric
    if result is not None:
        rows = result["rows"]
        values = rows[0]["values"]
        mean = number(values["mean"][0])
        shown = [(f"{measure_words(metric)} ({unit(metric)})", "mean")]
        if tables.shows_objectives(result.get("columns", ())):
            shown = [(column, column) for column in result["columns"] if column in values]
        facts = [(number(values[key][0]), f"{title} of the champion on test") for title, key in shown] + facts
        mixture = next((r["values"]["mean"] for r in rows if r["system"] == "unprocessed mixture"), None)
        if mixture and len(shown) == 1:
            facts.insert(1, (number(mixture[0]), "of the unprocessed mixture"))
        each = ", ".join(f"{source} {number(values[source][0])}" for source in results.sources if source in values)
        if results.answer is not None:
            return str(results.answer), facts
        return f"The champion, {result['role']}, has a {measure_words(metric)} of {mean} on test ({each}).", facts
    if results.best is not None:
        value = number(results.value(results.best))
        facts.insert(0, (value, f"best validation {results.axis}"))
        return (
            f"The study is not finished: its best trial so far is {trial_name(results.best)}, with a "
            f"{results.words} of {value} on validation. The test split has not been used."
        ), facts
    return "No trial has run its whole budget, so there is no champion and no model was registered.", facts


def _processors(results: StudyResults) -> str:
    """Return a clause with the processors that the trials were trained on, for readers who compare times.

    It is empty if no trial says it: older versions did not store it, or not all of it.
    """
    told = [trial.user_attrs.get("conditions") for trial in (*results.trials, *results.finals)]
    names = {
        c["processor"] if c["device"] == "cpu" else c["device"]
        for c in told
        if c and {"processor", "device"} <= c.keys()
    }
    return f", on {' and '.join(sorted(map(processor.short_name, names)))}" if names else ""


def _result_table(results: StudyResults) -> str | None:
    """Return the section with the scores of all systems on the test split; None if the study is not finished."""
    if results.result is None:
        return None
    result, metric = results.result, results.spec.metric
    rows = result["rows"]
    # Means of different measures cannot be compared: then rows are compared by the column of the first objective.
    judged = result["columns"][0] if tables.shows_objectives(result.get("columns", ())) else "mean"
    first = rows[0]["values"][judged]
    sign = 1 if MEASURES[metric].direction == "minimize" else -1
    better = [r for r in rows[1:] if sign * r["values"][judged][0] < sign * first[0]]
    # The champion is one training, the best of its seeds: comparing it with means over seeds would not be fair.
    trained = [
        r
        for r in rows[1:]
        if r["system"] != "unprocessed mixture"
        and not r["system"].startswith("oracle: ")
        and tables.MEAN_OF not in r["system"]
    ]
    worse = [r for r in trained if sign * r["values"][judged][0] > sign * first[0]]
    sentence = "The champion beside means over seeds and bounds"
    if trained:
        sentence = f"The champion is better than {len(worse)} of {len(trained)} other single trainings"
    if any(r in better for r in trained):
        winners = [f"{r['system']} ({number(r['values']['mean'][0])})" for r in trained if r in better]
        sentence += f", and worse than {' and '.join(winners)}, which validation did not choose"
    near = [r for r in worse if r["values"][judged][1] <= first[2] and r["values"][judged][2] >= first[1]]
    if near:
        sentence += f"; its interval overlaps with that of {' and '.join(r['system'] for r in near)}"
    oracles = [r for r in rows if r["system"].startswith("oracle: ")]
    beaten = [r["system"].removeprefix("oracle: ") for r in oracles if r not in better]
    if oracles:
        names = f" ({', '.join(beaten)})" if beaten else ""
        sentence += f"; it reaches {len(beaten)} of {len(oracles)} oracle bounds{names}"
    sample, interval = sample_words(result.get("units"), len(result["scores"][metric]), result.get("scored", ITEMS))
    columns, title = [*results.sources, "mean"], "Result on the test split"
    of, better_is = f"{measure_words(metric)} ({unit(metric)})", better_words([metric])
    if tables.shows_objectives(result.get("columns", ())):
        columns, of = list(result["columns"]), "All objectives"
        better_is = better_words(dict.fromkeys(o.measure for o in results.objectives))
        sentence = f"By {judged}, {sentence[0].lower()}{sentence[1:]}"
    note = (
        f"{of}: mean over {sample} [{interval}]; {better_is}. The champion is one training, the best of its "
        "seeds on validation."
    )
    return html.table_section("result", title, sentence + ".", columns, rows, note)


def _separation(results: StudyResults) -> tuple[_Sections, _Sections, list[MediaFile]]:
    """Return the sections on items and on training of one trained separator, and the sounds of the items.

    They show the champion on test items, or in an unfinished study the best trial so far on validation items.
    """
    if results.data is None or (results.result is None and results.best is None):
        return [], [], []
    if results.result is not None:
        stage, trial, name, split_name = "finals", int(results.result["member"]), "the champion", "test"
        settings: Mapping[str, Any] = results.result["hyperparameters"]
    else:
        assert results.best is not None
        stage, trial, name, split_name = "search", results.best.number, f"trial {results.best.number}", "validation"
        settings = study_results.settings(results.best)
    signal, metric = results.data.signal, results.spec.metric
    split: Split = getattr(results.data, split_name)
    title = "Best, median and worst item"
    try:
        separator = weights.load_separator(results.spec.separator, signal, results.trial_folder(stage, trial))
    except FileNotFoundError as error:
        return [Section("items", title, f"No items of {name} can be shown: {error}.")], [], []
    if results.result is not None:
        scores = np.array(results.result["scores"][metric])
    else:
        scores = tables.score(separator, split, signal=signal)[metric]
    means = tables.over_sources(metric, scores)
    items = _example_items(separator, split, scores, means, MEASURES[metric].direction)
    figures = [figure for item in items for figure in example_items.figures_of(item, signal, measure_words(metric))]
    examples = ", ".join(f"the {item.rank} is item {item.index} with {number(item.score)}" for item in items)
    low, high = (number(float(np.quantile(means, share))) for share in (0.25, 0.75))
    sentence = (
        f"For the middle half of the {len(split)} {split_name} items, the {measure_words(metric)} of {name} lies "
        f"between {low} and {high} (mean over sources); {examples}."
    )
    shown: _Sections = [Section("items", title, sentence, figures)]
    sounds = [sound for item in items for sound in example_items.wav_files(item, signal)]
    if sounds:
        shown.append(_sounds(sounds))
    curves: _Sections = [best_trials.error_curves(results, stage, trial, name)]
    if _trained_whole(separator, settings):
        curves.append(best_trials.discriminators(separator, split, signal.sources, name))
    return shown, curves, sounds


def _trained_whole(separator: Separator, settings: Mapping[str, Any]) -> bool:
    """Say whether all phases of a separator's training were switched on: untrained discriminators show nothing."""
    given = {**separator.hyperparameters(), **settings}
    return all(given[phase.active] for phase in separator.phases() if phase.active)


def _example_items(
    separator: Separator, split: Split, scores: NDArray[np.float64], means: NDArray[np.float64], direction: str
) -> list[example_items.ExampleItem]:
    items = []
    for rank, index in example_items.best_median_worst(means, direction).items():
        mixture, sources = split.mixture[index], split.sources[index]
        with torch.inference_mode():
            estimates = estimate(separator, mixture[None], sources[None])[0]
        own = [float(score) for score in scores[index]]
        items.append(example_items.ExampleItem(rank, index, float(means[index]), mixture, sources, estimates, own))
    return items


def _sounds(sounds: Sequence[MediaFile]) -> str:
    """Return the section on sounds, with players unless the sounds are too large for the page."""
    size_in_base64 = math.ceil(sum(len(sound.content) for sound in sounds) * 4 / 3)
    embedded = sounds if size_in_base64 <= _EMBEDDED else []
    sentence = (
        f"The same items as {len(sounds)} WAV files in the folder audio, all files of an item with the same gain."
    )
    if not embedded:
        sentence += " They are too large to be played in this page."
    return html.sounds_section("sounds", "Sounds", sentence, embedded)


def _next_steps(results: StudyResults) -> str:
    name = results.spec.name
    sentence = str(results.registration.get("sentence") or "No model was registered.")
    lines: list[str] = [*results.registration.get("commands", ()), f"sepray report {name}    # makes this page again"]
    return html.commands_section("next", "Next steps", sentence, [from_this_shell(line) for line in lines])
