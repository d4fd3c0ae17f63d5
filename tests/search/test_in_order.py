"""With several slots the same seed gives the same trials, whichever trial is faster."""

import heapq
import math

import optuna
import pytest

from sepray.execution.schedulers import StopsAsTold, make_scheduler
from sepray.search import in_order
from sepray.search.in_order import InOrderSearcher
from sepray.search.ledger import Ledger, history
from sepray.search.samplers import make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.virtual_order import VirtualOrder

from ..simulation import Controller, Killed, UnevenController, kill
from .studies import KEY, SPACE, Recorder, study_at, take

EPOCHS = 6


@pytest.fixture
def url():
    """A storage in memory, which is faster than a file."""
    return optuna.storages.InMemoryStorage()


def curve(trial):
    """A value that depends on the settings, and an order that changes between the epochs."""
    epoch, given = trial.epoch + 1, trial.config["hyperparameters"]
    value = math.sin(50 * given["alpha"] + epoch) + given["width"] / epoch
    return {"epoch": epoch, "objective": value, KEY: value, "outcome": "complete" if epoch == EPOCHS else ""}


def run(study, trials=20, report=curve, in_order=True, scheduler="asha", slots=3, seed=None, sampler_for=None, **more):
    """Run a study whose trials are all as fast, or of random speeds that ``seed`` decides."""
    listener = more.pop("listener", None)
    judge = make_scheduler(scheduler, EPOCHS, grace_period=1, history=history(study))
    given = {"trials": trials, "seed": 11, "listener": listener}
    if in_order:
        own = {"sampler_for": sampler_for} if sampler_for else {}
        searcher = InOrderSearcher(study, SPACE, [KEY], slots=slots, judge=judge, **own, **given)
        judge = StopsAsTold(searcher.hear)
    else:
        searcher = StudySearcher(study, SPACE, [KEY], **given)
    kind, speeds = (Controller, {}) if seed is None else (UnevenController, {"seed": seed})
    controller = kind(searcher, report, judge, slots=slots, **speeds, **more)
    try:
        controller.run()
    except Killed:
        kill(searcher)
        raise
    searcher.close()
    return controller


def told(study):
    """All that a study knows of its trials."""
    return [
        (t.number, t.state.name, t.params, t.values, t.intermediate_values, t.user_attrs["seed"])
        for t in study.get_trials()
    ]


@pytest.mark.parametrize("scheduler", ["asha", "median", "none"])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_trials_do_not_depend_on_how_fast_each_is(url, sampler, scheduler):
    studies = []
    for seed in (None, 1, 2):
        studies.append(study_at(url, sampler, name=f"{scheduler}-{seed}"))
        run(studies[-1], scheduler=scheduler, seed=seed)
    first, second, third = map(told, studies)
    assert first == second == third
    assert len(first) == 20
    kinds = {state for _, state, *_ in first}
    assert kinds == ({"COMPLETE"} if scheduler == "none" else {"COMPLETE", "PRUNED"})


def test_without_it_they_do(url):
    """Otherwise the test above would show nothing."""
    studies = [study_at(url, "tpe", name=f"s{seed}") for seed in (1, 2)]
    for seed, study in enumerate(studies):
        run(study, in_order=False, seed=seed)
    assert told(studies[0]) != told(studies[1])


def test_listener_hears_every_epoch_once_and_the_end_after_it(url):
    listener = Recorder()
    study = study_at(url)
    run(study, trials=8, seed=5, listener=listener)
    for trial in study.get_trials():
        own = [event for event in listener.events if event[1] == trial.number]
        epochs = [event[2] for event in own if event[0] == "epoch"]
        assert epochs == sorted(trial.intermediate_values) == list(range(1, len(epochs) + 1))
        assert [event[0] for event in own] == ["handed_out", *["epoch"] * len(epochs), "finished"]


def test_bad_ends_are_told_in_order_too(url):
    """Trial 1 diverges in its third epoch, trial 2 breaks at once, and all goes on."""

    def report(trial):
        number, result = trial.config["number"], curve(trial)
        if number == 1 and trial.epoch == 2:
            return {**trial.last, "outcome": "diverged", "reason": "too fast"}
        return {"epoch": 0, "objective": math.nan, "outcome": "error", "reason": "x"} if number == 2 else result

    found = []
    for seed in (None, 3):
        study = study_at(url, "tpe", name=f"s{seed}")
        run(study, 9, report, seed=seed)
        found.append(told(study))
    assert found[0] == found[1]
    assert [state for _, state, *_ in found[0]].count("FAIL") == 2


def test_conditions_are_stored_of_every_start_also_of_one_whose_first_epoch_was_trained_before(url):
    study, judge = study_at(url), make_scheduler("none", EPOCHS)

    def start(*results):
        searcher = InOrderSearcher(study, SPACE, [KEY], 1, seed=11, slots=1, judge=judge)
        take(searcher)
        for epoch, more in results:
            searcher.hear(0, {"epoch": epoch, KEY: 0.5, "objective": 0.5, **more})
        searcher.flush()
        kill(searcher)

    start((1, {"conditions": [{"processor": "A"}]}), (2, {}))
    start((2, {"conditions": [{"processor": "B"}]}))
    [trial] = study.get_trials()
    assert (len(trial.intermediate_values), trial.user_attrs["conditions"]) == (2, {"processor": "A"})
    assert trial.user_attrs["conditions.2"] == {"processor": "B"}


@pytest.mark.parametrize("end", ["lost", "diverged", "error", "error at once"])
def test_clock_is_the_same_after_a_restart_however_trials_ended(url, monkeypatch, end):
    """Trial 1 ends in its second epoch; what comes after it in its slot begins when a restart would say it does."""
    begun = {}

    class Noted(VirtualOrder):
        def begin(self, number):
            super().begin(number)
            begun[number] = self._running[number].start

    def report(trial):
        result = curve(trial)
        if trial.config["number"] != 1 or (trial.epoch < 1 and end != "error at once"):
            return result
        if end == "lost":
            return None
        return (result if end == "diverged" else trial.last or {"epoch": 0}) | {
            "objective": math.nan,
            KEY: math.nan,
            "outcome": end.partition(" ")[0],
        }

    monkeypatch.setattr(in_order, "VirtualOrder", Noted)
    study = study_at(url)
    run(study, 6, report, scheduler="none", slots=2)
    free = [0, 0]
    for number, time, ended in Ledger(study, SPACE, 6, 11, {}, None, "{number}").past():
        assert ended
        assert heapq.heappop(free) == begun[number]
        heapq.heappush(free, begun[number] + time)
    assert study.get_trials()[1].state.name == "FAIL"


def test_lost_workers_are_replaced_or_given_up(url):
    """The worker of trial 0 is lost once before its first report, that of trial 1 always after two."""
    lost = []

    def report(trial):
        number = trial.config["number"]
        if (number == 0 and 0 not in lost) or (number == 1 and trial.epoch == 2):
            lost.append(number)
            return None
        return curve(trial)

    study = study_at(url)
    run(study, 6, report, scheduler="none", seed=1)
    states = [trial.state.name for trial in study.get_trials()]
    assert states == ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert study.get_trials()[1].user_attrs["outcome"]["tag"] == "lost"
    assert sorted(lost) == [0, 1, 1, 1]


def test_killed_study_goes_on_and_ends_with_all_its_trials(url):
    study = study_at(url)
    with pytest.raises(Killed):
        run(study, 12, seed=1, kill_after=20)
    before = {t.number: t.intermediate_values for t in study.get_trials()}
    run(study, 12, seed=2)
    trials = study.get_trials()
    assert [t.number for t in trials] == list(range(12))
    assert all(t.state.is_finished() for t in trials)
    for trial in trials:
        assert trial.intermediate_values.items() >= before.get(trial.number, {}).items()


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii"])
def test_killed_study_ends_with_the_trials_of_one_that_was_not(url, sampler):
    """Whenever the driver is killed, and however fast each trial is before and after."""

    def sampler_for(number):
        return make_sampler(sampler, 3, SPACE, existing=number)

    whole = study_at(url, sampler, name="whole")
    run(whole, 15, seed=1, sampler_for=sampler_for)
    for kill_after in range(1, 40, 3):
        study = study_at(url, sampler, name=f"killed after {kill_after}")
        with pytest.raises(Killed):
            run(study, 15, seed=kill_after, kill_after=kill_after, sampler_for=sampler_for)
        study = study_at(url, sampler, name=f"killed after {kill_after}")
        run(study, 15, seed=100 + kill_after, sampler_for=sampler_for)
        assert told(study) == told(whole), kill_after


def test_kill_between_the_last_value_of_a_stopped_trial_and_its_outcome_changes_no_trial(url, monkeypatch):
    def sampler_for(number):
        return make_sampler("random", 3, SPACE, existing=number)

    whole = study_at(url, name="whole")
    run(whole, 9, seed=1, sampler_for=sampler_for)
    stopped = [trial.number for trial in whole.get_trials() if trial.state.name == "PRUNED"]
    for number in (stopped[0], stopped[-1]):
        study = study_at(url, name=f"killed at the end of {number}")

        def finish(searcher, ended, *rest, number=number):
            if ended == number:
                searcher.flush()
                raise Killed
            StudySearcher._finish(searcher, ended, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(InOrderSearcher, "_finish", finish)
            with pytest.raises(Killed):
                run(study, 9, seed=2, sampler_for=sampler_for)
        killed = study.get_trials()[number]
        assert (killed.state.name, "outcome" in killed.user_attrs) == ("RUNNING", False)
        listener = Recorder()
        run(study, 9, seed=3, sampler_for=sampler_for, listener=listener)
        assert told(study) == told(whole), number
        assert listener.events.count(("finished", number, "pruned")) == 1
        reasons = [each.get_trials()[number].user_attrs["outcome"]["reason"] for each in (study, whole)]
        assert reasons[0] == reasons[1]


def test_a_stop_whose_value_was_not_written_is_judged_again(url):
    study = study_at(url)
    trial = study.ask(SPACE)
    study._storage.set_trial_user_attr(trial._trial_id, "stopped", 2)
    for epochs, ended in ((1, False), (2, True), (3, False)):
        study._storage.set_trial_intermediate_value(trial._trial_id, epochs, 0.5)
        ledger = Ledger(study, SPACE, 1, 11, {}, None, "{number}")
        ledger.count()
        assert (len(ledger.ended_late), ledger.remaining) == (int(ended), int(not ended))


def test_extended_study_asks_for_the_further_trials_alone(url):
    study = study_at(url)
    run(study, 5, seed=1)
    first = told(study)
    run(study, 9, seed=2)
    assert told(study)[:5] == first
    assert len(told(study)) == 9
