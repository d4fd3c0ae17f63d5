"""Stages of a study on simulated trials: which trials run, what they are given, and what is left of them."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sepray.console import terminal
from sepray.driver import stage as stage_module
from sepray.driver.prepared import prepare
from sepray.driver.retrainings import Retraining
from sepray.driver.stage import (
    _tell_of_environment,
    finals_stage,
    run_stage,
    sampler_of_trial,
    search_stage,
    trial_parameters,
)
from sepray.driver.stores import StudyStores
from sepray.errors import UsageError
from sepray.execution.hanging import Hang
from sepray.execution.lost_workers import WorkerLossWatch
from sepray.execution.trainable import SeparatorTrainable

from ..simulation import Killed
from .conftest import DATA

PLAN = [Retraining(f"{role} seed {k}", role, {"beta": 0.2}, 100 + k) for role in ("trial 1", "trial 0") for k in (1, 2)]
# The settings of the two roles differ: of equal settings and seeds only one is trained.
PLAN[2:] = [Retraining(p.label, p.role, {"beta": 0.7}, p.seed) for p in PLAN[2:]]


def states(study) -> list[TrialState]:
    return [trial.state for trial in study.get_trials()]


def test_search_runs_reference_points_first_and_then_the_samplers_trials(prepared, stores, simulation, screen):
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    trials = stores.search.get_trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 4
    assert trials[0].user_attrs["label"] == "published"
    assert trials[0].params == {"beta": 0.5, "cross.low_to_high": 0.25, "cross.high_to_low": 0.25}
    assert all(set(t.intermediate_values) == {1, 2, 3} for t in trials)
    assert sorted(simulation.trained) == [("search", n, e) for n in range(4) for e in (1, 2, 3)]
    assert "trial 0: published, done after 3 epochs" in screen.getvalue()
    assert "4 of 4 done" in screen.getvalue().splitlines()[-1]


def test_executor_is_told_all_that_it_needs(prepared, stores, simulation, screen):
    spec = prepared.spec.changed(cpus_per_trial=0.5, gpus_per_trial=0.25, scheduler="asha", grace_period=1)
    again = prepare(spec, DATA)
    run_stage(search_stage(again, stores.search), again, stores, slots=3)
    [run] = simulation.runs
    assert run["trainable"] is SeparatorTrainable
    assert (run["slots"], run["cpus"], run["gpus"]) == (3, 0.5, 0.25)
    assert run["folder"] == f"{stores.checkpoints}/ray"
    assert run["name"].startswith("search-")
    assert run["scheduler"].__class__.__name__ != "FIFOScheduler"
    assert run["parameters"]["context"].device == "cuda"


def test_stages_differ_in_scheduler_seeds_per_trial_and_points(spec, stores):
    made = prepare(spec.changed(scheduler="median", seeds_per_trial=3, trials=9), DATA)
    search = search_stage(made, stores.search)
    assert (search.name, search.total, search.scheduler, search.members) == ("search", 9, "median", 3)
    assert (search.reference_points, search.fixed) == (made.reference_points, None)
    finals = finals_stage(PLAN, stores.open_finals())
    assert (finals.name, finals.total, finals.scheduler, finals.members) == ("finals", 4, "none", 1)
    assert [(f.label, f.hyperparameters, f.seed) for f in finals.fixed] == [
        (p.label, p.hyperparameters, p.seed) for p in PLAN
    ]
    assert [f.attributes for f in finals.fixed] == [{"role": p.role} for p in PLAN]


def test_killed_driver_goes_on_where_it_stopped(prepared, stores, simulation, screen):
    simulation.kill_after = 5
    with pytest.raises(Killed):
        run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    before = {t.number: dict(t.intermediate_values) for t in stores.search.get_trials()}
    assert any(before.values())
    simulation.kill_after = None
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    trials = stores.search.get_trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 4
    for trial in trials:
        assert before.get(trial.number, {}).items() <= trial.intermediate_values.items()


def test_finished_stage_runs_nothing(prepared, stores, simulation, screen):
    for _ in range(2):
        run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    assert len(simulation.runs) == 1


def test_larger_number_of_trials_extends_the_search(prepared, spec, stores, simulation, screen):
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    more = prepare(spec.changed(trials=6), DATA)
    run_stage(search_stage(more, stores.search), more, stores, slots=2)
    assert states(stores.search) == [TrialState.COMPLETE] * 6
    assert len(simulation.trained) == 6 * 3


def test_only_missing_retrainings_are_trained(prepared, stores, simulation, screen):
    finals = stores.open_finals()
    run_stage(finals_stage(PLAN[:2], finals), prepared, stores, slots=2)
    run_stage(finals_stage(PLAN, finals), prepared, stores, slots=2)
    assert [t.user_attrs["label"] for t in finals.get_trials()] == [p.label for p in PLAN]
    assert [t.user_attrs["role"] for t in finals.get_trials()] == [p.role for p in PLAN]
    assert len(simulation.trained) == 4 * 3


def test_checkpoints_of_trials_that_nobody_needs_are_deleted(prepared, simulation, screen, tracker):
    stores = StudyStores(prepared)
    simulation.endings = {1: {"outcome": "diverged", "reason": "mse is not finite"}, 2: {"outcome": "collapsed"}}
    for number in range(4):
        folder = Path(stores.trial_folder("search", number))
        folder.mkdir(parents=True)
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    stores.close()
    assert [Path(stores.trial_folder("search", n)).exists() for n in range(4)] == [True, False, False, True]
    assert stores.search.get_trials()[1].state is TrialState.FAIL
    assert [t.number for t in stores.finished("search", stores.search)] == [0, 3]


def book_as_lost(study, number):
    """Make a trial that has ended one that failed by its executor."""
    trial = study.get_trials()[number]
    engine = study._storage._backend.engine
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trials SET state = 'FAIL' WHERE trial_id = ?", (trial._trial_id,))
        text = json.dumps({"tag": "lost", "reason": "the worker was lost", "state": "FAIL", "values": None})
        sql = "UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = ? AND key = 'outcome'"
        connection.exec_driver_sql(sql, (text, trial._trial_id))


def test_a_limit_of_an_epoch_is_named_where_workers_were_lost(spec, prepared, stores_of, simulation, screen):
    stores = stores_of(prepared)
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    book_as_lost(stores.search, 0)
    stores.close()
    stores = stores_of(prepared)
    more = prepare(spec.changed(trials=5, epoch_timeout=20), DATA)
    run_stage(search_stage(more, stores.search), more, stores, slots=2)
    assert "failed by a store, a worker (perhaps by --epoch-timeout 20) or a node: trial 0;" in screen.getvalue()


def test_trials_that_failed_by_their_environment_are_named_and_run_again(spec, prepared, stores_of, simulation, screen):
    stores = stores_of(prepared)
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    book_as_lost(stores.search, 0)
    stores.close()
    stores = stores_of(prepared)
    more = prepare(spec.changed(trials=5), DATA)
    run_stage(search_stage(more, stores.search), more, stores, slots=2)
    assert "failed by a store, a worker or a node: trial 0; the same command with --retry-failed" in screen.getvalue()
    again = prepare(spec.changed(trials=5, retry_failed=True), DATA)
    for _ in range(2):
        run_stage(search_stage(again, stores.search), again, stores, slots=2)
    trials = stores.search.get_trials()
    assert [t.state.name for t in trials] == ["FAIL", *["COMPLETE"] * 5]
    assert trials[5].user_attrs["retry_of"] == 0
    assert trials[5].params == trials[0].params
    assert screen.getvalue().splitlines()[-1].startswith("small: search: 5 of 5 done")
    assert len(simulation.runs) == 3
    book_as_lost(stores.search, 5)  # as if the retry had failed likewise
    stores.close()
    _tell_of_environment(search_stage(again, stores_of(prepared).search), 0.0)
    assert screen.getvalue().splitlines()[-1].startswith("failed by a store, a worker or a node: trial 5; the same")


def test_retraining_that_is_run_again_stands_for_the_one_before(stores, prepared, simulation, screen):
    finals = stores.open_finals()
    run_stage(finals_stage(PLAN[:2], finals), prepared, stores, slots=2)
    stage = finals_stage(PLAN[:2], finals, again=[1])
    assert (stage.total, len(stage.ended())) == (2, 1)
    run_stage(stage, prepared, stores, slots=2)
    trials = finals.get_trials()
    assert [t.user_attrs.get("retry_of") for t in trials] == [None, None, 1]
    assert (trials[2].user_attrs["label"], trials[2].user_attrs["seed"]) == (PLAN[1].label, PLAN[1].seed)
    assert [t.number for t in stores.finished("finals", finals)] == [0, 2]
    run_stage(finals_stage(PLAN[:2], finals), prepared, stores, slots=2)
    assert len(simulation.trained) == 3 * 3


def test_checkpoint_that_was_being_written_while_its_folder_was_deleted_is_deleted_in_the_end(
    prepared, simulation, screen, tracker, monkeypatch
):
    stores = StudyStores(prepared)
    simulation.endings = {1: {"outcome": "diverged", "reason": "mse is not finite"}}
    removed: list[str] = []
    remove = stores.remove

    def late(place: str) -> None:
        """Stand in for an actor that makes the folder again, after the first deletion."""
        removed.append(place)
        remove(place)
        if removed.count(place) == 1 and place.endswith("trial-00001"):
            stores._cleaner.submit(lambda: Path(place).mkdir(parents=True))

    monkeypatch.setattr(stores, "remove", late)
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    stores.close()
    assert not Path(stores.trial_folder("search", 1)).exists()
    assert f"{stores.checkpoints}/ray" in removed


def test_progress_starts_with_what_earlier_drivers_have_done(spec, prepared, stores, simulation, screen):
    simulation.endings = {1: {"outcome": "diverged", "reason": "mse is not finite"}}
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    screen.truncate(0)
    more = prepare(spec.changed(trials=5), DATA)
    run_stage(search_stage(more, stores.search), more, stores, slots=2)
    first = screen.getvalue().splitlines()[0].lstrip("\0")
    best = min(stores.finished("search", stores.search)[:3], key=lambda t: t.value)
    assert first.startswith("small: search: 4 of 5 done · 1 failed · best relative_l2 ")
    assert f", trial {best.number}" in first


@pytest.fixture
def made(monkeypatch):
    """Return the arguments of ``make_scheduler``, and the scheduler that it made."""
    from sepray.driver import stage as module

    calls = []
    make = module.make_scheduler

    def recorded(name, **settings):
        calls.append({"name": name, **settings})
        return make(name, **settings)

    monkeypatch.setattr(module, "make_scheduler", recorded)
    return calls


def test_scheduler_is_made_from_the_settings_the_space_and_the_history(spec, stores, simulation, screen, made):
    small = prepare(spec.changed(trials=2), DATA)
    run_stage(search_stage(small, stores.search), small, stores, slots=2)
    settings = {"scheduler": "asha", "grace_period": 1, "reduction_factor": 2.5, "trials": 3}
    more = prepare(spec.changed(**settings), DATA)
    run_stage(search_stage(more, stores.search), more, stores, slots=2)
    first, second = made
    assert (first["name"], first["history"]) == ("none", [])
    assert second["name"] == "asha"
    assert (second["max_epochs"], second["grace_period"], second["reduction_factor"]) == (3, 1, 2.5)
    assert (second["space"], second["sampler"]) == (more.space, "random")
    assert len(second["history"]) == 2  # the trials that have reported before
    assert callable(second["on_perturb"])


def test_progress_shows_a_maximised_objective_as_it_is(spec, stores_of, simulation, screen):
    upwards = prepare(spec.changed(objective=("si_sdr",)), DATA)
    stores = stores_of(upwards)
    run_stage(search_stage(upwards, stores.search), upwards, stores, slots=2)
    screen.truncate(0)
    more = prepare(spec.changed(objective=("si_sdr",), trials=5), DATA)
    run_stage(search_stage(more, stores.search), more, stores, slots=2)
    best = min(stores.finished("search", stores.search)[:4], key=lambda t: t.value)
    first = screen.getvalue().splitlines()[0].lstrip("\0")
    assert f"best si_sdr {-best.value:.4f}" in first


def test_finals_count_the_retrainings_of_earlier_plans(stores, prepared, simulation, screen):
    finals = stores.open_finals()
    run_stage(finals_stage(PLAN[:2], finals), prepared, stores, slots=2)
    assert finals_stage(PLAN[2:], finals).total == 4  # two that have ended, and two that are missing


def test_continued_study_does_not_draw_its_first_points_again(spec, stores_of, simulation, screen):
    none = spec.changed(reference_points={}, trials=2)
    first = prepare(none, DATA)
    stores = stores_of(first)
    run_stage(search_stage(first, stores.search), first, stores, slots=1)
    stores.close()
    more = prepare(none.changed(trials=4), DATA)
    again = stores_of(more)
    run_stage(search_stage(more, again.search), more, again, slots=1)
    points = [tuple(t.params.values()) for t in again.search.get_trials()]
    assert len(set(points)) == 4


def test_each_trial_of_a_deterministic_study_has_a_sampler_of_its_own(spec):
    """Random numbers of a trial depend on its number alone, not on how many a driver has drawn before."""
    made = sampler_of_trial(prepare(spec.changed(sampler="tpe"), DATA))

    def drawn(number: int) -> float:
        return optuna.create_study(sampler=made(number)).ask({"beta": spec.space["beta"]}).params["beta"]

    assert drawn(3) == drawn(3) != drawn(4)
    assert sampler_of_trial(prepare(spec.changed(sampler="optuna.samplers:RandomSampler"), DATA)) is None


@pytest.mark.parametrize(
    ("hang", "timeout", "words"),
    [
        (
            Hang(3, 75.0, 2.0, 99, "10.0.0.1"),
            0.0,
            "  trial 3 has reported nothing for 1 min 15 s, and an epoch usually takes 2 s: it may hang. Its worker is "
            "process 99 on 10.0.0.1; --epoch-timeout SECONDS restarts such a trial, from its checkpoint",
        ),
        (
            Hang(3, 601.0, None, None, ""),
            900.0,
            "  trial 3 has reported nothing for 10 min 01 s, and no epoch has ended yet: it may hang. Its worker is "
            "not known; it is restarted after 15 min 00 s, from its checkpoint",
        ),
    ],
)
def test_hanging_trial_is_told_with_its_worker(spec, hang, timeout, words):
    assert stage_module.hang_message(hang, "search", spec.changed(epoch_timeout=timeout)) == words


def test_trials_are_watched_and_know_their_limit(prepared, stores, simulation, screen, monkeypatch):
    monkeypatch.setattr(stage_module, "console", terminal.console)
    object.__setattr__(prepared, "spec", prepared.spec.changed(epoch_timeout=30.0))
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    [run] = simulation.runs
    assert run["parameters"]["context"].epoch_timeout == 30.0
    losses, watch = run["callbacks"]
    assert isinstance(losses, WorkerLossWatch)
    watch._tell(Hang(3, 75.0, 2.0, 99, "10.0.0.1"))
    assert "trial 3 has reported nothing for 1 min 15 s" in screen.getvalue()


@pytest.mark.parametrize("name", ["search", "start", "ray"])
def test_no_trial_is_written_through_a_link_in_the_study(prepared, tmp_path, name):
    folder = tmp_path / "small" / "ab12"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(tmp_path)
    with pytest.raises(UsageError, match=rf"{name} is a link"):
        trial_parameters("search", 1, prepared, str(folder))
