"""Schedulers on simulated trials: who is stopped, and that a restart changes nothing."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune.experiment import Trial

from sepray.choices import SCHEDULERS
from sepray.errors import UsageError
from sepray.execution.schedulers import make_scheduler

from ..simulation import Controller, SimulatedTrial

EPOCHS = 9
SPACE = {
    "alpha": FloatDistribution(0.01, 1.0, log=True),
    "width": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["x", "y"]),
}


def trial_of(number, start=0, **config):
    return SimulatedTrial(f"tune-{start}-{number}", {"number": number, **config}, Trial.RUNNING)


def result(epoch, objective, **more):
    return {"epoch": epoch, "objective": objective, **more}


class Offers:
    """Stands for a searcher that offers configs from a list."""

    def __init__(self, configs):
        self.configs, self.completed = list(configs), []

    def suggest(self, trial_id):
        return self.configs.pop(0) if self.configs else "FINISHED"

    def on_trial_result(self, trial_id, result):
        pass

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.completed.append(trial_id)


class Rule:
    """A scheduler with trials that run side by side; says whom it stops."""

    def __init__(self, name, curves, history=(), start=0, **options):
        self.scheduler = make_scheduler(name, EPOCHS, history=history, **options)
        self.curves, self.start = curves, start
        self.trials = {}

    def advance(self, number, epoch, **more):
        if number not in self.trials:
            self.trials[number] = trial_of(number, self.start, protected=more.pop("protected", False))
            self.scheduler.on_trial_add(None, self.trials[number])
        more.pop("protected", None)
        trial, outcome = self.trials[number], result(epoch, self.curves[number][epoch - 1], **more)
        if epoch == EPOCHS:
            self.scheduler.on_trial_complete(None, trial, outcome | {"done": True})
            return "COMPLETE"
        decision = self.scheduler.on_trial_result(None, trial, outcome)
        if decision == "STOP":
            self.scheduler.on_trial_complete(None, trial, outcome)
        return decision


# -- ASHA ------------------------------------------------------------------------------------------------------------


def test_asha_keeps_the_best_third_of_a_rung():
    """Rungs 1, 3, 9. At rung 1 the 66.7th percentile of -1 and -2 is -2 + 2/3 = -1.33: 1.5 stops, 1.2 goes on."""
    curves = {0: [1.0] * 9, 1: [2.0] * 9, 2: [1.5] * 9, 3: [1.2] * 9}
    rule = Rule("asha", curves, grace_period=1)
    assert [rule.advance(n, 1) for n in (0, 1, 2, 3)] == ["CONTINUE", "STOP", "STOP", "CONTINUE"]
    assert rule.advance(3, 2) == "CONTINUE"  # between rungs
    assert rule.advance(0, 3) == "CONTINUE"
    assert rule.advance(3, 3) == "STOP"  # 1.2 against 1.0 at rung 3


def test_asha_knows_who_was_there_before_the_restart():
    curves = {2: [1.5] * 9, 3: [1.2] * 9}
    past = [(0, [(1, 1.0)]), (1, [(1, 2.0)])]
    assert Rule("asha", curves, grace_period=1).advance(2, 1) == "CONTINUE"
    rule = Rule("asha", curves, past, grace_period=1)
    assert [rule.advance(2, 1), rule.advance(3, 1)] == ["STOP", "CONTINUE"]


def test_a_continued_trial_is_not_judged_again_at_rungs_it_has_passed():
    """Trial 0 was alone when it passed rung 3; others, better, came to rung 3 later."""
    past = [(0, [(e, 5.0) for e in range(1, 6)])] + [(n, [(1, 0.1), (2, 0.1), (3, 0.1)]) for n in range(1, 6)]
    rule = Rule("asha", {0: [5.0] * 9}, past, grace_period=1)
    decisions = [rule.advance(0, epoch) for epoch in (4, 5, 6, 7, 8)]  # 4 and 5 are reported again: an older checkpoint
    assert decisions == ["CONTINUE"] * 5


def test_an_epoch_that_only_the_history_reports_is_judged():
    """The driver died before it heard of epoch 3; the trial goes on with epoch 4 and brings 3 along."""
    past = [(n, [(1, 0.5), (2, 0.5), (3, 0.5)]) for n in range(5)] + [(9, [(1, 0.4), (2, 0.4)])]
    rule = Rule("asha", {9: [0.4, 0.4, 0.9, 0.1]}, past, grace_period=1)
    assert rule.advance(9, 4, history=[result(3, 0.9)]) == "STOP"
    assert Rule("asha", {9: [0.4, 0.4, 0.9, 0.1]}, past, grace_period=1).advance(9, 4) == "CONTINUE"


def test_protected_trials_live_and_count():
    curves = {0: [1.0] * 9, 1: [2.0] * 9, 2: [1.5] * 9}
    rule = Rule("asha", curves, grace_period=1)
    assert rule.advance(0, 1) == "CONTINUE"
    assert [rule.advance(1, epoch, protected=True) for epoch in (1, 2, 3, 4)] == ["CONTINUE"] * 4
    assert rule.advance(2, 1) == "STOP"  # below the 66.7th percentile of -1 and -2, as above
    brackets = rule.scheduler._brackets[0]._rungs
    assert brackets[-1][1] == {"trial-00000": -1.0, "trial-00001": -2.0, "trial-00002": -1.5}


def test_values_that_are_not_finite_neither_count_nor_stop():
    curves = {0: [float("nan")] * 9, 1: [float("inf")] * 9, 2: [1.0] * 9}
    rule = Rule("asha", curves, grace_period=1)
    assert [rule.advance(n, 1) for n in (0, 1, 2)] == ["CONTINUE"] * 3
    assert rule.scheduler._brackets[0]._rungs[-1][1] == {"trial-00002": -1.0}


@pytest.mark.parametrize(
    ("epochs", "options", "rungs"),
    [
        (1, {}, [1]),
        (3, {}, [1, 3]),
        (9, {}, [1, 3, 9]),
        (20, {"grace_period": 2}, [2, 6, 18]),
        (40, {}, [1, 3, 9, 27]),
        (40, {"grace_period": 10, "reduction_factor": 2}, [10, 20, 40]),
        (5, {"grace_period": 8}, [5]),
    ],
)
def test_rungs_suit_the_budget(epochs, options, rungs):
    scheduler = make_scheduler("asha", epochs, **options)
    assert [milestone for milestone, _ in reversed(scheduler._brackets[0]._rungs)] == rungs


# -- median ----------------------------------------------------------------------------------------------------------


def test_median_stops_what_was_never_better_than_the_median_of_means():
    """Means up to epoch 2 are 1, 2, 3, their median 2: a best of 2.5 stops, a best of 1.5 goes on."""
    curves = {0: [1.0] * 9, 1: [2.0] * 9, 2: [3.0] * 9, 3: [2.5] * 9, 4: [9.0, 1.5] + [9.0] * 7, 5: [8.0] * 9}
    rule = Rule("median", curves, grace_period=1)
    for number in (0, 1, 2):
        assert [rule.advance(number, epoch) for epoch in (1, 2)] == ["CONTINUE"] * 2
    rule.scheduler._grace_period = 2
    assert [rule.advance(3, 1), rule.advance(3, 2)] == ["CONTINUE", "STOP"]
    assert [rule.advance(4, 1), rule.advance(4, 2)] == ["CONTINUE", "CONTINUE"]
    assert [rule.advance(5, e, protected=True) for e in (1, 2, 3, 4)] == ["CONTINUE"] * 4
    past = [(n, [(1, curves[n][0]), (2, curves[n][1])]) for n in (0, 1, 2)]
    again = Rule("median", curves, past, grace_period=1)
    again.scheduler._grace_period = 2
    assert [again.advance(3, 1), again.advance(3, 2)] == ["CONTINUE", "STOP"]


# -- a restart changes no decision -----------------------------------------------------------------------------------


def play(name, seed, kill_at=None):
    """Let 30 trials run 4 at a time in a seeded order; return every decision, over a restart at event ``kill_at``."""
    draw = random.Random(seed)
    curves = {n: [draw.uniform(0, 1) + 2.0 / e for e in range(1, EPOCHS + 1)] for n in range(30)}
    rule, start = Rule(name, curves, grace_period=1), 0
    waiting, running, reported, decisions = list(range(30)), {}, {}, []
    while waiting or running:
        while waiting and len(running) < 4:
            running[waiting.pop(0)] = 0
        if len(decisions) == kill_at and not start:
            past = [(n, [(e, curves[n][e - 1]) for e in range(1, last + 1)]) for n, last in reported.items()]
            rule, start = Rule(name, curves, past, start=1, grace_period=1), 1
            for number, epoch in running.items():  # from a checkpoint two epochs back
                repeated = [
                    rule.advance(number, e, protected=number % 7 == 0) for e in range(max(1, epoch - 1), epoch + 1)
                ]
                assert repeated == ["CONTINUE"] * len(repeated)
        number = draw.choice(sorted(running))
        running[number] += 1
        decision = rule.advance(number, running[number], protected=number % 7 == 0)
        reported[number] = running[number]
        decisions.append((number, running[number], decision))
        if decision != "CONTINUE":
            del running[number]
    return decisions


@pytest.mark.parametrize("name", ["asha", "median"])
def test_decisions_after_a_restart_are_those_without_it(name):
    for seed in range(5):
        whole = play(name, seed)
        stopped = {number for number, _, decision in whole if decision == "STOP"}
        assert 5 < len(stopped) < 26
        assert not any(number % 7 == 0 for number in stopped)
        for kill_at in (1, 10, len(whole) // 2, len(whole) - 3):
            assert play(name, seed, kill_at) == whole


# -- synchronous schedulers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [2, 3, 9])
def test_hyperband_compares_brackets_and_leaves_protected_trials_alone(slots):
    """Trials 1 to 3 fill the first bracket (9 epochs for all); of the next five ceil(5 / 3) outlive epoch 3."""
    configs = [{"number": n, "protected": n == 0} for n in range(9)]

    def report(trial):
        epoch = trial.epoch + 1
        worst = 100.0 if trial.config["protected"] else float(trial.config["number"])
        return result(epoch, worst, outcome="complete" if epoch == EPOCHS else "")

    searcher = Offers(configs)
    controller = Controller(searcher, report, make_scheduler("hyperband", EPOCHS), slots=slots)
    controller.run()
    reached = {t.config["number"]: t.epoch for t in controller.trials}
    assert reached == {0: 9, 1: 9, 2: 9, 3: 9, 4: 9, 5: 9, 6: 3, 7: 3, 8: 3}
    assert len(searcher.completed) == 9


class Population(Controller):
    """A controller that can do what PBT asks of Tune's."""

    def _schedule_trial_save(self, trial, result=None):
        return f"checkpoint of {trial.config['number']}"

    def pause_trial(self, trial, should_checkpoint=True):
        trial.status = Trial.PAUSED


class PopulationTrial(SimulatedTrial):
    """A trial with what PBT looks at."""

    def __init__(self, number, hyperparameters, protected=False):
        config = {"number": number, "seed": 50 + number, "hyperparameters": hyperparameters, "protected": protected}
        super().__init__(f"p{number}", config, Trial.RUNNING)
        self.experiment_tag, self.evaluated_params = str(number), {}
        manager = type("Manager", (), {"checkpoint_config": type("Config", (), {"num_to_keep": None})()})
        self.run_metadata = type("Metadata", (), {"checkpoint_manager": manager})

    def is_finished(self):
        return False

    def set_experiment_tag(self, tag):
        self.experiment_tag = tag

    def set_config(self, config):
        self.config = config


def test_pbt_takes_settings_and_nothing_else_from_the_trial_it_copies():
    random.seed(0)
    seen = []
    scheduler = make_scheduler(
        "pbt", 20, grace_period=2, space=SPACE, sampler="random", on_perturb=lambda *event: seen.append(event)
    )
    controller = Population(Offers([]), None, scheduler)
    controller.trials = [
        PopulationTrial(n, {"alpha": 1.0, "width": 4, "kind": "y", "other": 7}, protected=n == 4) for n in range(5)
    ]
    for trial in controller.trials:
        scheduler.on_trial_add(controller, trial)
    for epoch in (1, 2, 3, 4):  # at 2 nobody has a checkpoint yet; at 4 the worst quarter copies the best
        for n, trial in enumerate(controller.trials):
            if trial.status == Trial.RUNNING:
                scheduler.on_trial_result(controller, trial, result(epoch, float(n)))
    assert [(number, parent, epoch) for number, parent, epoch, _ in seen] == [(3, 0, 4)]
    for number, _, _, hyperparameters in seen:
        config = controller.trials[number].config
        assert (config["number"], config["seed"], config["perturbed_from"]) == (number, 50 + number, 0)
        assert config["hyperparameters"] == hyperparameters
        assert hyperparameters["other"] == 7
        for name, distribution in SPACE.items():
            assert distribution._contains(distribution.to_internal_repr(hyperparameters[name]))
    assert seen[0][3]["alpha"] < 1.0
    assert "perturbed_from" not in controller.trials[4].config


# -- names and options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ash"}, r"unknown scheduler 'ash'; there are: asha, hyperband, median, none, pbt"),
        ({"name": "asha", "patience": 3}, r"scheduler 'asha' cannot be made with \{'patience': 3\}: .*patience"),
        ({"name": "asha", "brackets": 2}, r"asha has one bracket"),
        ({"name": "asha", "reduction_factor": 1.0}, r"a reduction_factor above 1, not 9, 1 and 1"),
        (
            {"name": "pbt", "sampler": "tpe"},
            r"would mislead the sampler 'tpe'; use one of random, qmc, grid, bruteforce",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(arguments, message):
    with pytest.raises(UsageError, match=message) as refusal:
        make_scheduler(max_epochs=EPOCHS, **arguments)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", [n for n in SCHEDULERS if n != "pbt"])
def test_all_schedulers_bring_a_study_to_its_end(name):

    def report(trial):
        epoch, number = trial.epoch + 1, trial.config["number"]
        return result(epoch, (1.0 + number) / epoch, outcome="complete" if epoch == EPOCHS else "")

    searcher = Offers({"number": n, "protected": n < 2} for n in range(12))
    controller = Controller(searcher, report, make_scheduler(name, EPOCHS), slots=3)
    controller.run()
    assert sorted(searcher.completed) == sorted(t.trial_id for t in controller.trials)
    assert len(controller.trials) == 12
    assert all(t.epoch == EPOCHS for t in controller.trials if t.config["protected"])
    assert (min(t.epoch for t in controller.trials) == EPOCHS) == (name == "none")


def test_numbers_out_of_range_are_refused():
    for arguments in ({"max_epochs": 0}, {"max_epochs": 5, "grace_period": 0}):
        with pytest.raises(UsageError, match="max_epochs and grace_period of at least 1"):
            make_scheduler("asha", **arguments)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("median", {"grace_period": 4}, {"_grace_period": 4, "_min_samples_required": 3}),
        ("median", {"min_samples_required": 7}, {"_grace_period": 1, "_min_samples_required": 7}),
        ("hyperband", {"reduction_factor": 2}, {"_eta": 2, "_max_t_attr": EPOCHS}),
        ("hyperband", {"max_t": 5}, {"_eta": 3, "_max_t_attr": 5}),
        (
            "pbt",
            {"grace_period": 4},
            {"_perturbation_interval": 4, "_burn_in_period": 4, "_resample_probability": 0.25},
        ),
        ("pbt", {"grace_period": 4, "resample_probability": 0.5}, {"_resample_probability": 0.5}),
        ("pbt", {"perturbation_interval": 2}, {"_perturbation_interval": 2, "_burn_in_period": 1}),
    ],
)
def test_options_reach_rays_scheduler(name, options, expected):
    scheduler = make_scheduler(name, EPOCHS, space=SPACE, sampler="random", **options)
    assert {key: getattr(scheduler, key) for key in expected} == expected
    assert (scheduler._metric, scheduler._time_attr) == ("objective", "epoch")
    less_is_better = scheduler._compare_op is min if name == "median" else scheduler._metric_op == -1
    assert less_is_better


def test_asha_takes_its_reduction_factor():
    scheduler = make_scheduler("asha", 40, grace_period=10, reduction_factor=2)
    assert scheduler._brackets[0].rf == 2
    assert make_scheduler("asha", 40, max_t=20, grace_period=10, reduction_factor=2)._max_t == 20


@pytest.mark.parametrize("name", ["none", "asha", "median"])
def test_idle_worker_goes_to_a_trial_for_which_none_is_being_started(name):
    """Trial 2 waits for a worker that is coming up; 5 and 9 have none, and 1 is running already."""
    trials = {number: trial_of(number) for number in (9, 2, 5, 1)}
    for number, trial in trials.items():
        trial.status = Trial.RUNNING if number == 1 else Trial.PENDING
    controller = SimpleNamespace(
        get_live_trials=lambda: list(trials.values()),
        _trial_to_actor={trials[2]: "actor"},
        _actor_manager=SimpleNamespace(_live_actors_to_ray_actors_resources={"actor": {}}),
    )
    scheduler = make_scheduler(name, EPOCHS)
    assert scheduler.choose_trial_to_run(controller) is trials[5]
    controller._trial_to_actor = dict.fromkeys(trials.values(), "actor")
    assert scheduler.choose_trial_to_run(controller) is None
