"""The end of a study: the test split is opened once, the champion is packaged and registered, the result is shown."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import identity
from ..choices import MEASURES
from ..console.terminal import console, one_line
from ..contracts import Oracle, TaskData
from ..errors import UsageError, mask
from ..execution import weights
from ..scoring import evaluation, tables
from ..scoring.tables import ResultRow, Scores, markdown_table, result_table
from ..search.storage import load_study
from ..spec.study import DEFAULT_TRACKING_URI, StudySpec
from ..tracking import models
from ..tracking.environment import resolve_uri
from ..tracking.packaging import package_model
from ..tracking.tracker import Tracker
from . import selection
from .selection import Finished, Retraining


@dataclass(frozen=True)
class Registration:
    """What became of the champion in the registry.

    Attributes:
        name: of the registered model.
        version: of it; None where the tracking server did not answer.
        champion: whether this version bears the alias ``champion``.
        sentence: for the reader.
    """

    name: str
    version: str | None
    champion: bool
    sentence: str


class Finish:
    """Ends a study whose trials and retrainings are done; running it again repeats nothing.

    Args:
        spec: the study's description.
        data: its task's data; the only place where the test split is read.
        folder: of the study's local files: the result is kept in ``result.json``, the model in ``model``.
        tracker: of the study.
    """

    def __init__(self, spec: StudySpec, data: TaskData, folder: Path, tracker: Tracker) -> None:
        self.spec, self.data, self.folder, self.tracker = spec, data, folder, tracker
        self.sources = data.signal.sources
        self.oracle = isinstance(spec.separator.build(data.signal), Oracle)

    def run(
        self,
        searched: Sequence[Finished],
        finals: Sequence[Finished],
        plan: Sequence[Retraining],
    ) -> int:
        """Choose the champion on validation, score on test, register and show; return the exit status."""
        best = selection.champion(finals, [p.role for p in plan])
        if best is None:
            console.print("none of the best configurations could be trained again: there is nothing to register")
            make_report(self.spec, self.data, self.folder, self.tracker)
            self.tracker.study_finished({}, {"outcome": "nothing to register"})
            return 1
        role, value, member = best
        result = self._saved(member)
        if result is None:
            result = self._score(searched, finals, plan, role, value, member)
            if not self.oracle:
                self._package(member, result)
            _write(self.folder / "result.json", json.dumps(result))
        self.announce(result)
        return 0

    def announce(self, result: Mapping[str, Any]) -> None:
        """Register the champion, unless it is, and show the result: in the terminal and in the study's run.

        An oracle is never registered: it separates nothing but what is known already.
        """
        if self.oracle:
            sentence = "An oracle is told the true sources: it is a bound, and no model is registered."
            registration = Registration(self.spec.model_name, None, False, sentence)
        else:
            registration = register(result, self.folder / "model", self.spec, self.data, self.tracker)
        commands = next_commands(registration, self.spec.tracking_uri)
        # The report is made from what is on file, so that it can be made again without MLflow.
        _write(self.folder / "registration.json", json.dumps({**asdict(registration), "commands": commands}))
        page = make_report(self.spec, self.data, self.folder, self.tracker)
        self._show(result, registration, commands, page)

    def saved(self) -> dict[str, Any] | None:
        """Return the result that an earlier start has written down, if any."""
        path = self.folder / "result.json"
        result: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return result

    def _saved(self, member: Finished) -> dict[str, Any] | None:
        result = self.saved()
        return result if result is not None and result["member"] == member.number else None

    def _score(
        self,
        searched: Sequence[Finished],
        finals: Sequence[Finished],
        plan: Sequence[Retraining],
        role: str,
        value: float,
        member: Finished,
    ) -> dict[str, Any]:
        """Open the test split: score the champion, what it is compared with, and the bounds."""
        metric, test = self.spec.metric, self.data.test
        title = f"champion ({role})"
        scores: dict[str, Scores] = {title: self._score_trial(member)}
        controls = dict.fromkeys(p.role for p in plan if p.role.partition(" at ")[0] in self.spec.controls)
        for control in controls:
            members = [t for t in finals if t.attributes.get("role") == control and control != role]
            if members:
                scores[control] = self._score_trial(selection.best_member(members))
        for label in self.spec.reference_points:
            members = [t for t in searched if t.label == label]
            if members:
                scores[f"paper: {label}"] = self._score_trial(members[0])
        scores |= tables.references(test, **self._transform(), signal=self.data.signal)
        return {
            "member": member.number,
            "role": role,
            "hyperparameters": dict(member.hyperparameters),
            "validation": value,
            "metric": metric,
            "scores": {m: s.tolist() for m, s in scores[title].items()},
            "rows": [asdict(tables.row(n, s, metric, self.sources, n == title)) for n, s in scores.items()],
        }

    def _transform(self) -> dict[str, int]:
        """STFT of the oracle bounds: the separator's own, where its configuration says one."""
        config, (n_fft, hop) = self.spec.separator, evaluation.default_transform(self.data.signal)
        return {"n_fft": getattr(config, "n_fft", n_fft), "hop": getattr(config, "hop", hop)}

    def _score_trial(self, trial: Finished) -> Scores:
        separator = weights.load_separator(self.spec.separator, self.data.signal, trial.folder)
        return tables.score(separator, self.data.test, signal=self.data.signal)

    def _package(self, member: Finished, result: Mapping[str, Any]) -> None:
        spec = self.spec
        separator = weights.load_separator(spec.separator, self.data.signal, member.folder)
        package_model(
            self.folder / "model",
            separator=separator,
            config=spec.separator,
            example=self.data.validation.mixture[:1].numpy(),
            metadata={
                "study": spec.name,
                "metric": spec.metric,
                "sources": list(self.sources),
                "sample_rate": self.data.signal.sample_rate,
                "supervision": separator.supervision.value,
                "task": type(spec.task).__module__,
                "task_config": identity.plain(spec.task),
                "data_fingerprint": self.data.fingerprint,
                "hyperparameters": dict(result["hyperparameters"]),
                **self._transform(),
            },
        )

    def _show(
        self, result: Mapping[str, Any], registration: Registration, commands: Sequence[str], page: Path | None
    ) -> None:
        rows = [ResultRow(**row) for row in result["rows"]]
        columns = [*self.sources, "mean"]
        unit = MEASURES[result["metric"]]
        better = "less" if unit.direction == "minimize" else "more"
        label = result["metric"].replace("_", " ") + (f" in {unit.unit}" if unit.unit else "")
        caption = f"mean over {len(self.data.test)} test items [95% bootstrap interval]; {better} is better"
        title = f"{self.spec.name}: {label} on the test split"
        console.print()
        console.print(result_table(title, columns, rows, caption, console.width))
        console.print(registration.sentence)
        reading = [f"python -m webbrowser {_from_here(page)}"] if page else []
        console.print("\nNext:\n" + "\n".join(f"  {command}" for command in (*reading, *commands)), soft_wrap=True)
        note = f"{markdown_table(title, columns, rows, caption)}\n\n{registration.sentence}\n\n"
        note += "```\n" + "\n".join(commands) + "\n```"
        note += (
            "\n\nThe figures are among this run's artifacts, all of them on one page in `report.html`." if page else ""
        )
        found = rows[0].values
        metrics = {f"test/{s}/{result['metric']}": found[s][0] for s in self.sources if s in found}
        metrics[f"test/{result['metric']}"] = found["mean"][0]
        tags = {"outcome": "finished", "champion": result["role"]}
        tags["model_version"] = registration.version or ("none" if self.oracle else "waiting")
        self.tracker.study_finished(metrics, tags, note)


def make_report(spec: StudySpec, data: TaskData, folder: Path, tracker: Tracker) -> Path | None:
    """Write the study's report and add it to its run; return the page, None where it could not be made.

    What goes wrong in a figure is told, and costs a finished study nothing else.
    """
    try:
        from ..report import report  # brings matplotlib

        finals = None
        with contextlib.suppress(UsageError):
            finals = load_study(spec.storage, f"{spec.name}/finals")
        return report.publish(
            report.Record.read(spec, load_study(spec.storage, spec.name), finals, folder, data), tracker
        )
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        console.print(f"the report could not be made ({why}); later: sepray report {spec.name}", soft_wrap=True)
        return None


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def register(result: Mapping[str, Any], model: Path, spec: StudySpec, data: TaskData, tracker: Tracker) -> Registration:
    """Register the packaged champion once; it gets the alias if it beats the incumbent on the same test split."""
    name = spec.model_name
    label = f"final-{result['member']}"
    try:
        incumbent = models.incumbent(name, tracker.uri)
        version = models.register(tracker, label, model, name)
        if incumbent is not None and incumbent.version == version:
            return Registration(name, version, True, f"{name} version {version} is the champion.")
        if incumbent is None:
            models.set_champion(name, version, tracker.uri)
            return Registration(name, version, True, f"Registered as {name} version {version}, the first champion.")
        return _challenge(result, spec, data, tracker.uri, name, version, incumbent.version)
    except models.UnreachableError as error:
        sentence = f"{error}; the model waits in {model}. Later: sepray reconcile {spec.name}"
        return Registration(name, None, False, sentence)


def _challenge(
    result: Mapping[str, Any], spec: StudySpec, data: TaskData, uri: str, name: str, version: str, old: str
) -> Registration:
    metric = MEASURES[result["metric"]]
    challenger = tables.over_sources(result["metric"], np.array(result["scores"][result["metric"]]))

    def separate(mixture: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.array(loaded.predict(mixture.numpy())))

    try:
        loaded = models.load(f"models:/{name}/{old}", uri)
        scored = tables.score(separate, data.test, signal=data.signal)[result["metric"]]
        defender = tables.over_sources(result["metric"], scored)
    except models.UnreachableError:
        raise
    except Exception as error:  # the incumbent is code of its own, from another day
        why = f"version {old} stays the champion, but cannot separate this test split ({one_line(error)})"
        return Registration(name, version, False, f"Registered as {name} version {version}; {why}.")
    compared = evaluation.paired_bootstrap(challenger, defender, metric.direction, seed=spec.seed)
    gap = f"{result['metric']} {challenger.mean():.4f} against {defender.mean():.4f}, difference "
    gap += f"{compared.difference:+.4f} [{compared.low:+.4f}, {compared.high:+.4f}] by paired bootstrap"
    if compared.better:
        models.set_champion(name, version, uri)
        sentence = f"Registered as {name} version {version}, the new champion: it beats version {old} ({gap})."
    else:
        sentence = f"Registered as {name} version {version}; version {old} stays the champion ({gap})."
    return Registration(name, version, compared.better, sentence)


def next_commands(registration: Registration, tracking_uri: str) -> list[str]:
    """Return what a user will want to do next, with the real names filled in."""
    if tracking_uri.startswith("http"):
        commands = [f"python -m webbrowser {mask(tracking_uri)}"]
    elif tracking_uri in (DEFAULT_TRACKING_URI, resolve_uri(DEFAULT_TRACKING_URI)):
        commands = ["mlflow ui"]
    else:
        commands = [f"mlflow ui --backend-store-uri {mask(tracking_uri)}"]
    if registration.version:
        which = "@champion" if registration.champion else f"/{registration.version}"
        commands.append(f"sepray evaluate models:/{registration.name}{which}")
    return commands
