"""Trials that are left in a study, and the records of those that have run."""

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from sepray.search import ledger as ledgers
from sepray.search.ledger import FixedTrial, Ledger, contains, history
from sepray.search.outcomes import Outcome
from sepray.search.samplers import capacity, make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study

from ..simulation import Controller, Killed, kill
from .studies import EPOCHS, KEY, SPACE, report, result_of, searcher_of, states, study_at, take


def test_reference_points_come_first_once_and_are_protected(url):
    points = {"paper 1": {"alpha": 0.5, "width": 2, "kind": "y"}, "paper 2": {"alpha": 0.25}}
    searcher = searcher_of(study_at(url), trials=4, reference_points=points)
    first = Controller(searcher, report, kill_after=1)
    with pytest.raises(Killed):
        first.run()
    kill(searcher)
    assert first.trials[0].config["hyperparameters"] == points["paper 1"]
    study = study_at(url)
    searcher = searcher_of(study, trials=4, reference_points=points)
    second = Controller(searcher, report)
    second.run()
    searcher.close()
    assert [(c["number"], c["protected"]) for c in (t.config for t in second.trials)] == [
        (0, True),
        (1, True),
        (2, False),
        (3, False),
    ]
    assert [t.user_attrs.get("label") for t in study.get_trials()] == ["paper 1", "paper 2", None, None]
    assert study.get_trials()[1].params["alpha"] == 0.25


def test_reference_points_do_not_exceed_the_trials(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=1, reference_points={"a": {"width": 1}, "b": {"width": 2}})
    Controller(searcher, report).run()
    searcher.close()
    assert [t.params["width"] for t in study.get_trials()] == [1]


def test_fixed_points_are_all_that_there_is(url):
    fixed = [
        FixedTrial("best", {"alpha": 0.1, "width": 3, "depth": 4}, seed=7, attributes={"role": "finalist"}),
        FixedTrial("best", {"alpha": 0.1, "width": 3, "depth": 4}, seed=8),
        FixedTrial("outside", {"alpha": 5.0}, seed=7),
    ]
    searcher = searcher_of(study_at(url, name="s/finals"), fixed=fixed, folder="final-{number:05d}")
    with pytest.raises(Killed):
        Controller(searcher, report, kill_after=2).run()
    kill(searcher)
    study = study_at(url, name="s/finals")
    searcher = searcher_of(study, fixed=fixed, folder="final-{number:05d}")
    controller = Controller(searcher, report)
    controller.run()
    searcher.close()
    configs = {t.config["number"]: t.config for t in controller.trials}
    assert [configs[i]["hyperparameters"] for i in range(3)] == [f.hyperparameters for f in fixed]
    assert [configs[i]["seed"] for i in range(3)] == [7, 8, 7]
    assert all(c["protected"] for c in configs.values())
    trials = study.get_trials()
    assert [t.params for t in trials] == [{"alpha": 0.1, "width": 3}, {"alpha": 0.1, "width": 3}, {}]
    assert [t.user_attrs["point"] for t in trials] == [f.point for f in fixed]
    assert trials[0].user_attrs["role"] == "finalist"
    assert trials[0].user_attrs["checkpoint"] == "final-00000"
    assert states(study) == {"COMPLETE": 3}


def test_fixed_points_that_are_still_wanted_are_not_trained_again(url):
    old = [FixedTrial("a", {"alpha": 0.1}, 1), FixedTrial("b", {"alpha": 0.2}, 1)]
    study = study_at(url)
    searcher = searcher_of(study, fixed=old)
    take(searcher, "0")
    take(searcher, "1")
    searcher.on_trial_complete("0", result_of(0, EPOCHS))
    searcher.flush()
    kill(searcher)
    searcher = searcher_of(study_at(url), fixed=[old[0], FixedTrial("c", {"alpha": 0.3}, 1)])
    controller = Controller(searcher, report)
    controller.run()
    searcher.close()
    assert [t.config["number"] for t in controller.trials] == [2]
    assert [t.state.name for t in study.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.get_trials()[1].user_attrs["reason"] == "no longer one of the points of this study"


def test_a_finite_grid_ends_the_study_early(url):
    study = study_at(url)
    space = {"kind": SPACE["kind"], "width": IntDistribution(1, 3)}
    for sampler in ("grid", "bruteforce"):
        study = open_study(url, sampler, ["minimize"], {}, make_sampler(sampler, 0, space))
        assert capacity(study.sampler, space) == 6
        searcher = StudySearcher(study, space, [KEY], 50, 0)
        Controller(searcher, report, slots=1).run()
        searcher.close()
        assert {(t.params["kind"], t.params["width"]) for t in study.get_trials()} == {
            (kind, width) for kind in "xy" for width in (1, 2, 3)
        }
        assert len(study.get_trials()) == 6


def test_a_grid_is_no_larger_where_a_reference_point_is_run_again():
    space = {"kind": SPACE["kind"], "width": IntDistribution(1, 3)}
    study = open_study(optuna.storages.InMemoryStorage(), "grid", ["minimize"], {}, make_sampler("grid", 0, space))
    lost = {"label": "paper", "outcome": {"tag": "lost", "reason": ""}}
    study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=lost))
    ledger = Ledger(study, space, 50, 11, {"paper": {}}, None, "{number}", retry_failed=True)
    for _ in range(2):
        ledger.count()
        assert ledger.remaining == 1 + 6


def test_the_history_is_of_an_objective_to_be_minimised(url):
    study = open_study(url, "up", ["maximize"], {}, make_sampler("random", 0, SPACE))
    searcher = searcher_of(study, trials=1)
    take(searcher)
    searcher.on_trial_result("t", {"epoch": 1, "objective": -3.0, KEY: 3.0, "outcome": ""})
    searcher.on_trial_result("t", {"epoch": 2, "objective": float("nan"), KEY: float("nan"), "outcome": ""})
    searcher.flush()
    assert history(study) == [(0, [(1, -3.0)])]
    kill(searcher)


# -- the ledger alone ------------------------------------------------------------------------------------------------


def ledger_of(study, trials=3, seed=11, references=None, fixed=None, folder="trial-{number:05d}"):
    return Ledger(study, SPACE, trials, seed, references or {}, fixed, folder)


def test_new_trials_have_seeds_and_folders_that_are_written_down(url):
    study = study_at(url)
    ledger = ledger_of(study, folder="t{number:03d}")
    ledger.count()
    asked = [ledger.next() for _ in range(3)]
    expected = [int(np.random.SeedSequence([11, number]).generate_state(1)[0]) for number in range(3)]
    assert [trial.seed for trial in asked] == expected
    assert [trial.folder for trial in asked] == ["t000", "t001", "t002"]
    assert [trial.hyperparameters for trial in asked] == [t.params for t in study.get_trials()]
    assert [(trial.label, trial.resumed, trial.stored_epochs, trial.perturbations) for trial in asked] == [
        (None, False, set(), [])
    ] * 3
    stored = [(t.user_attrs["seed"], t.user_attrs["checkpoint"]) for t in study.get_trials()]
    assert stored == [(trial.seed, trial.folder) for trial in asked]
    again = ledger_of(study_at(url), seed=99, folder="t{number:03d}")
    again.count()
    resumed = [again.next() for _ in range(3)]
    assert [(t.seed, t.folder, t.resumed) for t in resumed] == [(t.seed, t.folder, True) for t in asked]


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.WAITING])
@pytest.mark.parametrize("stored", ["../../../../tmp/esc", "/tmp/esc", "t002", "", "s3://others/esc", 5, ["t000"]])
def test_folder_of_a_trial_is_never_the_one_that_the_storage_names(url, state, stored):
    """Whoever may write there would choose where checkpoints are written, and which ones are removed."""
    study = study_at(url)
    study.add_trial(optuna.trial.create_trial(state=state, user_attrs={"checkpoint": stored}))
    ledger = ledger_of(study, trials=1, folder="t{number:03d}")
    ledger.count()
    assert [(trial.number, trial.folder) for trial in [ledger.next()]] == [(0, "t000")]


def test_trial_that_ended_late_has_its_own_folder_too(url):
    study = study_at(url)
    outcome = {"state": "FAIL", "values": None, "reason": "x", "tag": "error"}
    attributes = {"checkpoint": "../../../../tmp/esc", "outcome": outcome}
    study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attributes))
    ledger = ledger_of(study, trials=1, folder="t{number:03d}")
    ledger.count()
    assert [trial.folder for trial, _ in ledger.ended_late] == ["t000"]


def test_remaining_goes_down_with_every_trial(url):
    ledger = ledger_of(study_at(url), trials=2)
    assert ledger.remaining == 0, "not counted yet"
    ledger.count()
    numbers = []
    while ledger.remaining:
        numbers.append((ledger.next().number, ledger.remaining))
    assert numbers == [(0, 1), (1, 0)]
    ledger.count()
    assert ledger.remaining == 0, "trials that were handed out are not given twice"


def test_resumed_trial_knows_the_epochs_that_are_stored(url):
    study = study_at(url)
    ledger = ledger_of(study, trials=1)
    ledger.count()
    number = ledger.next().number
    for epoch in (1, 2, 4):
        ledger.report(number, epoch, 0.5 / epoch)
    again = ledger_of(study_at(url), trials=1)
    again.count()
    assert again.next().stored_epochs == {1, 2, 4}
    assert study.get_trials()[0].intermediate_values == {1: 0.5, 2: 0.25, 4: 0.125}


COLLAPSED = Outcome(TrialState.COMPLETE, (0.75,), "fetal is silent", "collapsed", 1.0)


def test_outcome_that_is_written_twice_is_written_once(url):
    study = study_at(url)
    ledger = ledger_of(study, trials=1)
    ledger.count()
    number = ledger.next().number
    ledger.finish(number, COLLAPSED, "Traceback ...")
    before = repr(study.get_trials())
    ledger.finish(number, COLLAPSED, "Traceback ...")
    ledger.finish(number, Outcome(TrialState.FAIL, None, "lost", "lost"))
    assert repr(study.get_trials()) == before
    trial = study.get_trials()[0]
    assert (trial.state, trial.values, trial.constraints) == (TrialState.COMPLETE, [0.75], {"collapsed": 1.0})
    assert (trial.user_attrs["reason"], trial.user_attrs["traceback"]) == ("fetal is silent", "Traceback ...")


def test_what_is_written_of_an_outcome_has_no_secrets(url):
    study = study_at(url)
    ledger = ledger_of(study, trials=1)
    ledger.count()
    reason = "lost: postgresql://me:pw@h"
    ledger.finish(ledger.next().number, Outcome(TrialState.FAIL, None, reason, "lost"), "Bearer abc123def")
    told = study.get_trials()[0].user_attrs
    assert (told["reason"], told["traceback"]) == ("lost: postgresql://me:***@h", "Bearer ***")
    assert told["outcome"]["reason"] == told["reason"]


WRITES = ("set_trial_user_attr", "set_trial_system_attr", "set_trial_state_values")


@pytest.mark.parametrize("killed_at", range(1, 6))
def test_driver_killed_at_any_write_of_an_outcome_leaves_the_trial_to_be_ended_or_to_go_on(url, monkeypatch, killed_at):
    """The writes are: outcome, reason, traceback, constraint, state. Once the outcome is written it stands."""
    study = study_at(url)
    ledger = ledger_of(study, trials=1)
    ledger.count()
    number, writes = ledger.next().number, []
    for method in WRITES:
        real = getattr(study._storage, method)

        def write(*args, real=real, method=method, **kwargs):
            writes.append(method)
            if len(writes) == killed_at:
                raise SystemExit
            return real(*args, **kwargs)

        monkeypatch.setattr(study._storage, method, write)
    with pytest.raises(SystemExit):
        ledger.finish(number, COLLAPSED, "Traceback ...")
    assert len(writes) == killed_at
    again = ledger_of(study_at(url), trials=1)
    again.count()
    trial = study_at(url).get_trials()[0]
    assert trial.state is TrialState.RUNNING  # until all have been told
    if killed_at == 1:
        assert (again.remaining, again.ended_late) == (1, [])
        return
    [(ended, outcome)] = again.ended_late
    assert (ended.number, outcome, again.remaining) == (0, COLLAPSED, 0)
    again.finish(ended.number, outcome)
    trial = study_at(url).get_trials()[0]
    assert (trial.state, trial.values, trial.constraints) == (TrialState.COMPLETE, [0.75], {"collapsed": 1.0})
    assert trial.user_attrs["reason"] == "fetal is silent"


def test_label_and_attributes_are_no_part_of_a_point():
    point = FixedTrial("a", {"alpha": 0.1, "width": 3}, 7).point
    assert FixedTrial("b", {"width": 3, "alpha": 0.1}, 7, {"role": "control"}).point == point
    assert FixedTrial("a", {"alpha": 0.1, "width": 3}, 8).point != point
    assert FixedTrial("a", {"alpha": 0.2, "width": 3}, 7).point != point


@pytest.mark.parametrize(
    ("name", "value", "inside"),
    [
        ("alpha", 1e-4, True),
        ("alpha", 1.0, True),
        ("alpha", 1.0001, False),
        ("alpha", "x", False),
        ("alpha", None, False),
        ("width", 9, True),
        ("width", 10, False),
        ("kind", "y", True),
        ("kind", "z", False),
        ("beta", 0.5, False),
    ],
)
def test_value_lies_in_the_space_or_not(name, value, inside):
    assert contains(SPACE, name, value) is inside


@pytest.mark.parametrize("fixed", [None, [FixedTrial("a", {}, 0)]])
def test_trials_are_looked_at_as_often_however_many_there_are(url, monkeypatch, fixed):
    looks = []
    monkeypatch.setattr(ledgers, "replaced", lambda trials: looks.append(len(trials)) or set())
    study, counts = study_at(url), []
    for _ in range(2):
        looks.clear()
        ledger_of(study, fixed=fixed).count()
        counts.append(len(looks))
        for _ in range(20):
            study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    assert counts[0] == counts[1] <= 4
