"""Presents a study from its stores: the champion's settings, results and trials as tables, failures, progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from ..choices import MEASURES, better_words, measure_words
from ..driver import tracking_address
from ..driver.saved_study import SavedStudy
from ..errors import UsageError
from ..report.kept_result import NO_MODEL
from ..report.wording import number
from ..scoring.answers import Answer
from ..scoring.explanation import Explanation, of_result
from ..scoring.units import ITEMS, sample_words
from ..search.outcomes import is_feasible, outcome
from ..spec.settings import Settings
from ..spec.study import StudySpec
from ..tracking.pages import runs_page
from . import progress
from .disk import disk_used

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False, eq=False)
class Findings:
    """The content of a study's stores at the time when this was made.

    Attributes:
        saved: the study as its stores hold it.
        trials_of: Optuna's trials of each stage that was begun (``saved_study.STAGES``).
        result: content of ``result.json``; None if the study has no champion.
        registration: content of ``registration.json``; empty if the study has not registered anything yet.
        is_running: whether a driver on this machine runs the study.
        tracking_uri: MLflow with the study's runs and models; None: the one that the study has stored, if this user
            knows it, else MLFLOW_TRACKING_URI, or ``mlflow.db`` in the current folder.
        cache: folder or URI for generated and decoded data.
        given_status: exit status of the run that this is the result of; None if the study was only read.
    """

    saved: SavedStudy
    trials_of: Mapping[str, Sequence[FrozenTrial]]
    result: Mapping[str, Any] | None
    registration: Mapping[str, Any]
    is_running: bool
    tracking_uri: str | None = None
    cache: str | Path = Path("~/.cache/sepray")
    given_status: int | None = None

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.saved.name

    @cached_property
    def spec(self) -> StudySpec:
        """Description of the study, which runs it again or extends it: ``sepray.run(result.spec.changed(trials=50))``.

        Raises:
            UnknownNameError: the module of its separator or task is not found on this machine.
        """
        return self.saved.spec(self.cache, self.tracking_uri)

    @property
    def folder(self) -> Path:
        """Folder of the study's files on this machine; it does not exist if the study ran on another machine."""
        return self.saved.folder

    @property
    def report(self) -> Path | None:
        """File of the HTML report; None if none was made. ``sepray report NAME`` makes it (again)."""
        page = self.folder / "report.html"
        return page if page.is_file() else None

    def settings(self) -> Settings:
        """Return the settings of the champion; their text is a file that studies take.

        Raises:
            UsageError: the study has no champion.
        """
        if self.result is None:
            raise UsageError(f"{self.name} has no champion, so no settings: {self.state_in_words}")
        return Settings(
            separator=self.saved.separator,
            hyperparameters=self.result["hyperparameters"],
            study=self.name,
            trial=self.result["role"],
            task=self.saved.task,
        )

    @cached_property
    def table(self) -> pandas.DataFrame:
        """The final table on the test split; see ``frames.result_frame``. Empty without a champion."""
        from .frames import result_frame

        return result_frame(self.result)

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """All trials of the search and the retrainings; see ``frames.trials_frame``."""
        from .frames import trials_frame

        return trials_frame(self.saved, self.trials_of)

    @cached_property
    def failures(self) -> pandas.DataFrame:
        """Trials that failed, with the reasons; see ``frames.failures_frame``."""
        from .frames import failures_frame

        return failures_frame(self.trials_of)

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of trials of the search by outcome (``outcomes.outcome``)."""
        return Counter(outcome(trial) for trial in self.trials_of["search"])

    @cached_property
    def best(self) -> list[FrozenTrial]:
        """The best trial of the search, or with several objectives the Pareto front; empty before a trial has ended."""
        if len(self.saved.objectives) > 1:
            return sorted(self.saved.studies["search"].best_trials, key=lambda t: t.number)
        sign = 1 if list(self.saved.objectives.values()) == ["minimize"] else -1
        sound = filter(is_feasible, self.trials_of["search"])
        return sorted(sound, key=lambda t: (sign * t.values[0], t.number))[:1]

    @cached_property
    def state(self) -> str:
        """State of the study: ``finished``, ``running``, ``not finished`` or ``nothing to register``."""
        is_registered = bool(self.registration) and self.result is not None
        return progress.state(self.saved, self.trials_of, is_registered, self.is_running)

    @property
    def state_in_words(self) -> str:
        """State of the study as a clause that begins with its name."""
        return progress.in_words(self.state, self.saved, self.trials_of)

    @cached_property
    def answer(self) -> Answer | None:
        """The study's answer about its arms or controls, and the setting that matters most.

        None if there is no champion, if nothing was compared and no setting is known to matter, and for the result of
        an older version. Its ``str`` is the sentence; its ``contrasts`` are the differences with their intervals.
        """
        kept = None if self.result is None else self.result.get("answer")
        return Answer.restored(kept) if kept else None

    @property
    def edges(self) -> list[str]:
        """A sentence for each of the champion's settings that lies at an end of its searched range."""
        return list((self.result or {}).get("edges", ()))

    @property
    def ablation_path(self) -> Explanation | None:
        """The ablation path to the champion's settings that ``sepray explain`` has trained; None before that."""
        return of_result(self.result)

    @cached_property
    def explanation(self) -> pandas.DataFrame:
        """The contribution of each of the champion's settings, as a table; see ``frames.explanation_frame``.

        Empty until ``sepray explain NAME`` has trained the path.
        """
        from .frames import explanation_frame

        return explanation_frame(self.ablation_path)

    @property
    def conclusion(self) -> str:
        """The sentences that a finished study ends with, the answer first; for any other study, its state in words."""
        sentences = self.facts
        if self.answer is not None:
            sentences.insert(0 if self.state == progress.FINISHED else 1, str(self.answer))
        return "\n".join(sentences)

    @property
    def facts(self) -> list[str]:
        """The sentences of ``conclusion`` beside the answer."""
        if self.result is None:
            return [f"{self.state_in_words}."]
        before = "" if self.state == progress.FINISHED else f"{self.state_in_words}. This is the result so far."
        sentences = (before, self.caption, str(self.registration.get("sentence") or ""))
        return [sentence for sentence in sentences if sentence]

    @cached_property
    def caption(self) -> str:
        """Caption of the final table, in a sentence; empty without a champion."""
        if self.result is None:
            return ""
        metric = self.result["metric"]
        columns, values = self.result.get("columns", ()), self.result["rows"][0]["values"]
        sample, interval = sample_words(
            self.result.get("units"), len(self.result["scores"][metric]), self.result.get("scored", ITEMS)
        )
        if columns and "mean" not in columns:  # objectives of several measures
            found = ", ".join(f"{name} {_with_interval(values[name])}" for name in columns if name in values)
            better = better_words(dict.fromkeys(key.rpartition("/")[2] for key in self.saved.objectives))
        else:
            unit = f" {MEASURES[metric].unit}" if MEASURES[metric].unit else ""
            found, better = f"{measure_words(metric)} {_with_interval(values['mean'], unit)}", better_words([metric])
        return (
            f"The champion, {self.result['role']}, on the test split: {found}, mean over {sample} with its "
            f"{interval}; {better}."
        )

    @property
    def model_uri(self) -> str | None:
        """Address of the registered champion, ``models:/NAME/VERSION``, or folder of the packaged one; None: neither.

        A packaged model is not registered if the tracking server has not answered.
        """
        if self.result is None:
            return None
        if version := self.registration.get("version"):
            return f"models:/{self.registration['name']}/{version}"
        folder = self.folder / "model"
        return str(folder) if (folder / "MLmodel").is_file() else None

    @property
    def run_id(self) -> str | None:
        """Id of the study's own MLflow run; None if MLflow has not answered yet."""
        return self.saved.studies["search"].user_attrs.get("mlflow_run_id")

    @cached_property
    def mlflow(self) -> str:
        """Address of the study's MLflow, without secrets."""
        return tracking_address.shown(self.tracking_uri, self.saved.studies["search"].user_attrs, self.folder)

    @property
    def runs_page(self) -> str | None:
        """Address of MLflow's page with the study's runs; None if MLflow has not answered yet.

        For a local database the address is valid while ``mlflow ui`` runs. A study of an older version gets one when it
        is continued.
        """
        experiment = self.saved.studies["search"].user_attrs.get("mlflow_experiment_id")
        return runs_page(self.mlflow, experiment) if experiment else None

    @cached_property
    def disk(self) -> Mapping[str, int]:
        """Bytes of the study's files by kind (``disk.KINDS``)."""
        return disk_used(self.saved)

    @property
    def status(self) -> int | None:
        """Exit status of the study's command; None while it runs.

        - 0: done.
        - 1: there is nothing to register, or the champion could not be packaged.
        - 2: there is nothing to register because the trials raised errors, all of which the user can put right.
        - 3: likewise, but one of the errors is a bug.
        - 130: not finished; the same command continues it.
        """
        if self.given_status is not None:
            return self.given_status
        is_packaged = not str(self.registration.get("sentence")).startswith(NO_MODEL)
        return progress.exit_status(self.state, self.trials_of, is_packaged)


def _with_interval(cell: Sequence[float], unit: str = "") -> str:
    return f"{number(cell[0])}{unit} [{number(cell[1])}, {number(cell[2])}]"
