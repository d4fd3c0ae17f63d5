"""Studies whose trials report made-up numbers, and a listener that remembers what it heard."""

from __future__ import annotations

import time
from collections import Counter

import sqlalchemy.exc
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sepray.search.samplers import make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study

EPOCHS = 4
KEY = "validation/relative_l2"
PAIR = ("validation/maternal/relative_l2", "validation/fetal/relative_l2")
SPACE = {
    "alpha": FloatDistribution(1e-4, 1.0, log=True),
    "width": IntDistribution(1, 9),
    "kind": CategoricalDistribution(["x", "y"]),
}


def study_at(url, sampler="random", directions=("minimize",), name="s", seed=3, fingerprint=None):
    return open_study(
        url, name, directions, fingerprint or {}, lambda existing: make_sampler(sampler, seed, SPACE, existing=existing)
    )


def value(number, epoch):
    """A made-up learning curve: better with epochs, and different for every trial."""
    return 1.0 / epoch + 0.01 * number


def result_of(number, epoch, **more):
    outcome = "complete" if epoch == EPOCHS else ""
    return {"epoch": epoch, "objective": value(number, epoch), KEY: value(number, epoch), "outcome": outcome} | more


def report(trial):
    return result_of(trial.config["number"], trial.epoch + 1)


def searcher_of(study, trials=4, **more):
    return StudySearcher(study, SPACE, [KEY], trials, seed=11, **more)


def take(searcher, trial_id="t"):
    """The next suggestion, once it is ready."""
    while (config := searcher.suggest(trial_id)) is None:
        time.sleep(0.001)
    return config


def states(study):
    return Counter(t.state.name for t in study.get_trials(deepcopy=False))


class Recorder:
    """A listener that remembers."""

    def __init__(self):
        self.events = []

    def handed_out(self, number, seed, hyperparameters, label, resumed, *, arm=""):
        self.events.append(("handed_out", number, label, resumed))

    def epoch(self, number, result):
        self.events.append(("epoch", number, result["epoch"]))

    def lost(self, number, why):
        self.events.append(("lost", number, why))

    def finished(self, number, outcome, result):
        self.events.append(("finished", number, outcome.tag))


def fail_at(study, monkeypatch, method, calls, after=False):
    """Make a method of the storage fail at the given calls (1-based), before or after it has done its work."""
    real, count = getattr(study._storage, method), [0]

    def unreliable(*args, **kwargs):
        count[0] += 1
        failing = count[0] in calls
        if failing and not after:
            raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("database is locked"))
        answer = real(*args, **kwargs)
        if failing:
            raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("connection lost"))
        return answer

    monkeypatch.setattr(study._storage, method, unreliable)
