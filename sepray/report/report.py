"""The report of a study: figures, and one HTML page that holds them all, from the study's own stores.

It is drawn anew from the Optuna storage, the study's folder and the checkpoints alone, at any time: of a study that
runs, was interrupted, failed in every trial or is finished. Equal stores give equal files. matplotlib is imported
here, and so only when a report is made.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy as np
import torch

from ..choices import MEASURES
from ..console.terminal import duration
from ..contracts import Separator, Split, estimate
from ..execution import weights
from ..scoring import tables
from ..spec.study import key
from . import champion, crossing, items, parameters, search
from . import html as page
from .drawing import STYLE, Picture, Section
from .record import OUTCOMES, Record, name_of, number, unit, words

__all__ = ["Record", "Report", "build", "files_of", "publish"]

PAGE = "report.html"
_EMBEDDED = 3_000_000
"""Bytes of sounds up to which the page plays them itself; the files are artifacts in any case."""


@dataclass(frozen=True)
class Report:
    """The page and all files that go with it: figures and sounds, by their names."""

    html: str
    files: Mapping[str, bytes]


class Artifacts(Protocol):
    """Takes files for the study's own run; the tracker."""

    def log_file(self, number: int | str, name: str, path: Path) -> None:
        """Add a copy of a file as an artifact."""


def publish(record: Record, artifacts: Artifacts | None = None) -> Path:
    """Write the report into the study's folder, and add it to the study's own run; return the page's path."""
    report = build(record)
    for name in ("figures", "audio"):
        shutil.rmtree(record.folder / name, ignore_errors=True)
    for name, content in {**report.files, PAGE: report.html.encode()}.items():
        path = record.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}")
        temporary.write_bytes(content)
        temporary.replace(path)
    if artifacts is not None:
        for name, path in files_of(record.folder):
            artifacts.log_file("", name, path)
    return record.folder / PAGE


def files_of(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of the report in a study's folder, with their names as artifacts; the page is the last."""
    found = [p for name in ("figures", "audio") for p in sorted((folder / name).rglob("*")) if p.is_file()]
    return [(p.relative_to(folder).as_posix(), p) for p in (*found, folder / PAGE)]


def build(record: Record) -> Report:
    """Return the report of a study as it stands."""
    with matplotlib.rc_context(STYLE):
        sections: list[Section | str | None] = [_table(record)]
        sections += [search.history(record), search.pruning(record), search.learning(record)]
        sections += [search.pareto(record), parameters.importances(record), parameters.parallel(record)]
        sections += [crossing.section(record), champion.seeds(record)]
        shown, sounds = _separation(record)
        sections += shown
    sections.append(_commands(record))
    present = [s for s in sections if s is not None]
    lead, facts = _lead(record)
    drawn = [p for s in present if isinstance(s, Section) for p in s.pictures]
    files = {f"figures/{p.name}": p.content for p in drawn} | {f"audio/{s.name}": s.content for s in sounds}
    return Report(page.page(record.spec.name, _kind(record), lead, facts, present), files)


def _kind(record: Record) -> str:
    spec = record.spec
    objective = " and ".join(o.words for o in record.objectives)
    return f"Hyperparameter study of {key(spec.separator)} on {key(spec.task)}, for the {objective} on validation"


def _lead(record: Record) -> tuple[str, list[tuple[str, str]]]:
    """Return what came out, in a sentence or two, and the figures that a reader looks for first."""
    counts = record.counts
    facts = [(str(len(record.search)), f"trials of up to {record.spec.budget.max_epochs} epochs")]
    facts += [(str(counts[kind]), text) for kind, text in OUTCOMES.items() if counts[kind] and kind != "complete"]
    times = [t for trial in record.search for t in (trial.datetime_start, trial.datetime_complete) if t]
    times += [t for trial in record.finals for t in (trial.datetime_start, trial.datetime_complete) if t]
    if times:
        facts.append((duration((max(times) - min(times)).total_seconds()), "from the first trial to the last"))
    result, metric = record.result, record.spec.metric
    if result is not None:
        rows = result["rows"]
        values = rows[0]["values"]
        facts.insert(0, (number(values["mean"][0]), f"{words(metric)} ({unit(metric)}) of the champion on test"))
        each = ", ".join(f"{source} {number(values[source][0])}" for source in record.sources if source in values)
        lead = f"The champion, {result['role']}, has a {words(metric)} of {number(values['mean'][0])} on test ({each})"
        published = [r for r in rows if r["system"].startswith("paper: ")]
        sign = 1 if MEASURES[metric].direction == "minimize" else -1
        if published:
            best = min(published, key=lambda r: sign * r["values"]["mean"][0])
            lead += f"; the best published setting, {best['system'].removeprefix('paper: ')}, "
            lead += f"{number(best['values']['mean'][0])}"
        return lead + ".", facts
    if record.best is not None:
        value = number(record.value(record.best))
        facts.insert(0, (value, f"best validation {record.axis}"))
        return (
            f"The study has not come to its end: its best trial so far is {name_of(record.best)}, with a "
            f"{record.words} of {value} on validation. The test split has not been opened."
        ), facts
    return "No trial has run its whole budget, so there is nothing to choose from and nothing was registered.", facts


def _table(record: Record) -> str | None:
    if record.result is None:
        return None
    result, metric = record.result, record.spec.metric
    rows, unmarked = result["rows"], "unprocessed mixture"
    first = rows[0]["values"]["mean"]
    sign = 1 if MEASURES[metric].direction == "minimize" else -1
    below = [r for r in rows[1:] if sign * r["values"]["mean"][0] < sign * first[0]]
    trained = [r for r in rows[1:] if r["system"] != unmarked and not r["system"].startswith("oracle: ")]
    beaten = [r for r in trained if sign * r["values"]["mean"][0] > sign * first[0]]
    sentence = f"The champion is better than {len(beaten)} of {len(trained)} other trained systems"
    if any(r in below for r in trained):
        winners = [f"{r['system']} ({number(r['values']['mean'][0])})" for r in trained if r in below]
        sentence += f", and worse than {' and '.join(winners)}, which validation had not preferred"
    near = [r for r in beaten if r["values"]["mean"][1] <= first[2] and r["values"]["mean"][2] >= first[1]]
    if near:
        sentence += f", though its interval overlaps with that of {' and '.join(r['system'] for r in near)}"
    oracles = [r for r in rows if r["system"].startswith("oracle: ")]
    passed = [r["system"].removeprefix("oracle: ") for r in oracles if r not in below]
    if oracles:
        sentence += f"; it passes {len(passed)} of {len(oracles)} oracles" + (
            f" ({', '.join(passed)})" if passed else ""
        )
    items_ = len(result["scores"][metric])
    better = "less" if sign > 0 else "more"
    note = (
        f"{words(metric)} ({unit(metric)}): mean over {items_} test items [95% bootstrap interval]; {better} is better."
    )
    title = "Result on the test split"
    return page.table("result", title, sentence + ".", [*record.sources, "mean"], rows, note)


def _separation(record: Record) -> tuple[list[Section | str | None], list[Picture]]:
    """Return what the champion makes of test items, or the best trial so far of validation items; and the sounds."""
    if record.data is None or (record.result is None and record.best is None):
        return [], []
    if record.result is not None:
        stage, trial, name, split_name = "finals", int(record.result["member"]), "the champion", "test"
    else:
        assert record.best is not None
        stage, trial, name, split_name = "search", record.best.number, f"trial {record.best.number}", "validation"
    signal, metric = record.data.signal, record.spec.metric
    split: Split = getattr(record.data, split_name)
    try:
        separator = weights.load_separator(record.spec.separator, signal, record.trial_folder(stage, trial))
    except FileNotFoundError as error:
        text = f"There is nothing to see or hear of {name}: {error}."
        return [Section("items", "Best, median and worst item", text)], []
    if record.result is not None:
        scores = np.array(record.result["scores"][metric])
    else:
        scores = tables.score(separator, split, signal=signal)[metric]
    mean = tables.over_sources(metric, scores)
    shown = _items(separator, split, scores, mean, MEASURES[metric].direction)
    told = [p for item in shown for p in items.pictures(item, signal, words(metric))]
    middle = ", ".join(f"the {i.rank} (item {i.index}) with {number(i.score)}" for i in shown)
    sentence = (
        f"Of {len(split)} {split_name} items {name} separates half with a {words(metric)} between "
        f"{number(float(np.quantile(mean, 0.25)))} and {number(float(np.quantile(mean, 0.75)))} "
        f"(mean over sources): {middle}."
    )
    sections: list[Section | str | None] = [
        champion.errors(record, stage, trial, name),
        Section("items", "Best, median and worst item", sentence, told),
    ]
    sounds = [sound for item in shown for sound in items.sounds(item, signal)]
    if sounds:
        sections.append(_listening(sounds))
    sections.append(champion.discriminators(separator, split, signal.sources, name))
    return sections, sounds


def _items(separator: Separator, split: Split, scores: Any, mean: Any, direction: str) -> list[items.Item]:
    found = []
    for rank, index in items.ranks(mean, direction).items():
        mixture = split.mixture[index]
        with torch.inference_mode():
            estimates = estimate(separator, mixture[None], split.sources[index][None])[0]
        own = [float(v) for v in scores[index]]
        found.append(items.Item(rank, index, float(mean[index]), mixture, split.sources[index], estimates, own))
    return found


def _listening(sounds: Sequence[Picture]) -> str:
    total = math.ceil(sum(len(s.content) for s in sounds) * 4 / 3)
    fits = total <= _EMBEDDED
    sentence = f"The same items as {len(sounds)} WAV files, all of an item at one gain; they lie in audio/"
    return page.listening("sounds", "To listen to", sentence + ".", sounds if fits else [])


def _commands(record: Record) -> str:
    name = record.spec.name
    sentence = str(record.registration.get("sentence") or "The study has registered no model.")
    lines = [*record.registration.get("commands", ()), f"sepray report {name}    # makes this page again"]
    return page.commands("next", "What comes next", sentence, lines)
